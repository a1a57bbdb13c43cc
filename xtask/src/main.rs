//! Every task that CI runs: `cargo xtask TASK`.

mod bench;
mod count;
mod fuzz;
mod host;
mod sh;
mod soak;
mod tidy;
mod vm;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  test                 what every commit has to pass: tidy, this machine's tests, then each VM scenario on one machine;
                       a seed, the commit's, draws which, and at which moments operations are cut
  test all             each scenario on every machine, cut at all moments
  test host            tidy and this machine's tests alone
  test repeat N [SCENARIO]...
                       the scenarios N times under load, each time by another seed: which checks fail now and then
  vm [bookworm|trixie] [udev|noudev] [SCENARIO]...
                       the VM part of `test`, or what the words select of it; scenarios, which are in tests/vm, run in full
                       when they are named
  vm cluster [bookworm|trixie] [udev|noudev] [SCENARIO]...
                       of these the scenarios in tests/vm/cluster, each in three VMs on a network
  vm all               each scenario on every machine, cut at all moments
  vm some ...          at some moments, also of scenarios that are named
  vm profile ...       with a table of all programs that ran: starts, times
  bench [udev]         the library against the LVM tools, in a VM: times, ratios, system calls
  bench print [udev]   the tables and plots of the last such run, again
  count                instructions of the hot operations against benches/count/counts
  count update         writes that file anew
  bench metadata       reading and printing VGs, beside libdevmapper's parser: times, ratios, memory
  bench thin [udev]    thin replicas, snapshots and clones beside the LVM tools, in a VM
  bench io             the embedded mapper's reads and writes, beside pread and pwrite
  tidy                 the rules of the source tree that no compiler checks
  soak SEED MINUTES    random operations on image files, and a model of what should be
  soak vm SEED MINUTES the same in a VM, with the LVM tools changing the pool in turn
  fuzz [SECONDS]       each fuzz target for a minute, or for SECONDS
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["test"] => host::test().and_then(|()| vm::test(&[])),
        ["test", "all"] => host::test().and_then(|()| vm::test(&["all"])),
        ["test", "repeat", count, selection @ ..] => vm::repeat(count, selection),
        ["test", "host"] => host::test(),
        ["vm", selection @ ..] => vm::test(selection),
        ["bench"] => bench::run(false),
        ["bench", "udev"] => bench::run(true),
        ["count"] => count::check(),
        ["count", "update"] => count::update(),
        ["bench", "metadata"] => bench::metadata::run(),
        ["bench", "thin"] => bench::thin::run(false),
        ["bench", "thin", "udev"] => bench::thin::run(true),
        ["bench", "io"] => bench::io::run(),
        ["bench", "print"] => bench::print(false),
        ["bench", "print", "udev"] => bench::print(true),
        ["tidy"] => tidy::check(),
        ["soak", "vm", seed, minutes] => soak::in_vm(seed, minutes),
        ["soak", seed, minutes] => soak::on_images(seed, minutes),
        ["fuzz"] => fuzz::run("60"),
        ["fuzz", seconds] => fuzz::run(seconds),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
