//! A machine that is three VMs on two networks: a cluster that loses links and power as its scenario says.
//!
//! Nodes 1 and 2 do what node 3 tells their agents, node 3 runs the scenario, each has disks of its own.  Their addresses are
//! `10.0.1.N` on the network for data, whose links the scenario cuts, and `10.0.2.N` on the one for orders, which is always there.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::host_line::HostLine;
use super::machine::make_empty;
use super::network::{NODES, Network};
use super::node::{Node, Watched};
use super::payload::Payload;
use super::qemu::End;
use super::report::Report;
use super::timing::Timing;
use crate::sh;

/// The node with the scenario.
const LEADER: usize = NODES;
/// How often the scenario's requests are looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Three VMs and their scenario.
pub(crate) struct Cluster<'a> {
    /// Names the folder below the target folder that keeps the logs and results.
    pub(crate) name: String,
    /// What is in each of the VMs.
    pub(crate) payload: Payload<'a>,
    /// Limit of the run.
    pub(crate) limit: Duration,
}

/// The VMs, and what they share.
struct Running<'a> {
    nodes: Vec<Node<'a>>,
    data: Network,
    line: HostLine,
    /// Always there: nothing is cut in it.
    _orders: Network,
}

impl Cluster<'_> {
    /// Runs the VMs until node 3 comes to its end, or to the limit.  A node that ends without having been told to is a failed
    /// check of the report.
    ///
    /// # Errors
    /// If a VM cannot be started.
    pub(crate) fn run(&self) -> Result<Report> {
        let dir = sh::target().join("vm").join(&self.name);
        make_empty(&dir)?;
        let initramfs = dir.join("initramfs");
        self.payload.write_initramfs(&initramfs)?;
        let mut report = Report::new(&self.name, dir.join("out"));
        let began = Instant::now();
        let mut running = self.start(&dir, &initramfs)?;
        let end = running.go_on(began + self.limit, &mut report)?;
        for node in &mut running.nodes {
            node.power_off();
        }
        let end = end.unwrap_or(End::Stopped(self.limit));
        if let Some(leader) = running.nodes.last() {
            report.add_boot(&leader.lines(), end, &leader.console());
        }
        report.took = began.elapsed();
        report.boots = running.nodes.iter().map(Node::boots).sum();
        report.timings.push(Timing {
            name: self
                .payload
                .scenarios
                .iter()
                .map(|scenario| scenario.name.clone())
                .collect(),
            wall: report.took,
            cpu: running.nodes.iter().map(Node::cpu).sum(),
        });
        for node in &running.nodes {
            node.keep_results()?;
        }
        fs::remove_file(initramfs)?;
        Ok(report)
    }

    fn start<'a>(&'a self, dir: &Path, initramfs: &'a Path) -> Result<Running<'a>> {
        let (data, orders) = (Network::new(1)?, Network::new(2)?);
        let line = HostLine::new()?;
        let mut nodes = Vec::new();
        for number in 1..=NODES {
            let mut devices = [data.card(number), orders.card(number)].concat();
            if number == LEADER {
                devices.extend(line.serial()?);
            }
            nodes.push(Node::new(number, dir, &self.payload, initramfs, devices)?);
        }
        for node in &mut nodes {
            node.power_on()?;
        }
        Ok(Running {
            nodes,
            data,
            line,
            _orders: orders,
        })
    }
}

impl Running<'_> {
    /// Does what the scenario asks for; none if the deadline came first.
    fn go_on(&mut self, deadline: Instant, report: &mut Report) -> Result<Option<End>> {
        while Instant::now() < deadline {
            if let Some(request) = self.line.request()? {
                let answer = self.obey(&request)?;
                self.line.answer(answer);
            }
            for (node, number) in self.nodes.iter_mut().zip(1..) {
                match node.watch(report)? {
                    Watched::Runs | Watched::IsOff => {}
                    Watched::Ended if number == LEADER => return Ok(Some(End::Came)),
                    Watched::Ended => report.fail(&format!(
                        "node {number} stopped without having been told to; see its console"
                    )),
                }
            }
            thread::sleep(LOOK);
        }
        Ok(None)
    }

    /// A request is a word and the number of a node.
    fn obey(&mut self, request: &str) -> Result<&'static str> {
        let (word, number) = request.split_once(' ').unwrap_or((request, ""));
        let number = number.parse().unwrap_or(0);
        let Some(node) = (1..=NODES).contains(&number).then(|| &mut self.nodes[number - 1]) else {
            return Ok("there is no such node");
        };
        match word {
            "cut" => self.data.set_cut(number, true),
            "mend" => self.data.set_cut(number, false),
            "off" | "on" if number == LEADER => return Ok("this node runs the scenario"),
            "off" => node.power_off(),
            "on" => node.power_on()?,
            _ => return Ok("there is no such request"),
        }
        Ok("done")
    }
}
