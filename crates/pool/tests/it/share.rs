//! Sharing by a target that is plugged in: what is persisted, in what order, and what a cut or a failure leaves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use lvm_dm::testing::{Call, FakeMapper};
use lvm_dm::{BlockIo, DeviceId, DeviceMapper, DmName, OpenMode};
use lvm_pool::{
    Class, CreateReplica, Error, Nqn, ReplicaInfo, ServedReplica, Share, ShareReplica, SharedDevice, Shrink,
    System,
};
use uuid::Uuid;

use crate::lab::{Cut, Lab, POOL, UNIT, uuid};

const RESIZED: &str = "resized";

/// A target that outlives the processes that use it.
#[derive(Clone)]
struct Target {
    state: Arc<Mutex<State>>,
    fake: FakeMapper,
}

#[derive(Default)]
struct State {
    served: BTreeMap<Uuid, (SharedDevice, Box<dyn BlockIo>)>,
    log: Vec<String>,
    /// Calls that look.
    looks: usize,
    /// Fails the change of this number, from 1, and those that follow so many.
    fails_at: Option<(usize, usize)>,
    changes: usize,
    /// What `check` refuses.
    refuses: bool,
}

impl Target {
    fn new(lab: &Lab) -> Self {
        Self {
            state: Arc::default(),
            fake: lab.fake.clone(),
        }
    }

    fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock().unwrap())
    }

    /// What was done since the last call, but for hosts that are told of sizes: opening a pool does that, too.
    fn log(&self) -> Vec<String> {
        let mut log = self.with(|state| std::mem::take(&mut state.log));
        log.retain(|what| what != RESIZED);
        log
    }

    /// How often hosts were told of a size since the last look.
    fn resized(&self) -> usize {
        self.with(|state| state.log.drain(..).filter(|what| what == RESIZED).count())
    }

    fn hosts(&self, n: u128) -> Option<Vec<String>> {
        self.with(|state| {
            let (shared, _) = state.served.get(&uuid(n))?;
            Some(shared.allowed_hosts.iter().map(ToString::to_string).collect())
        })
    }

    fn change(&self, what: String) -> Result<(), Error> {
        let failed = |what: String| Error::ShareFailed {
            what,
            source: std::io::Error::from_raw_os_error(libc::EINVAL),
        };
        if self.fake.is_dead() {
            return Err(failed("live".into()));
        }
        self.with(|state| {
            state.changes += 1;
            let fails = |(at, count)| (at..at + count).contains(&state.changes);
            if state.fails_at.is_some_and(fails) {
                return Err(failed(what));
            }
            state.log.push(what);
            Ok(())
        })
    }
}

impl Share for Target {
    fn check(&self, wanted: &SharedDevice) -> Result<(), Error> {
        match self.with(|state| state.refuses) {
            true => Err(Error::AddressInUse(wanted.listen)),
            false => Ok(()),
        }
    }

    fn share(&self, wanted: &SharedDevice) -> Result<(), Error> {
        self.change(format!("share {}", wanted.allowed_hosts.len()))?;
        let name = format!("pool--1-{}", wanted.replica.to_string().replace('-', "--"));
        let io = self
            .fake
            .open(DeviceId::Name(&DmName::new(&name).unwrap()), OpenMode::ReadWrite);
        let io = io.map_err(Error::Dm)?;
        self.with(|state| state.served.insert(wanted.replica, (wanted.clone(), io)));
        Ok(())
    }

    fn unshare(&self, replica: Uuid) -> Result<(), Error> {
        self.change("unshare".into())?;
        self.with(|state| state.served.remove(&replica));
        Ok(())
    }

    fn served(&self, only: Option<Uuid>) -> Result<Vec<ServedReplica>, Error> {
        self.with(|state| {
            state.looks += 1;
            let all = state.served.values().map(|(shared, _)| ServedReplica {
                replica: shared.replica,
                device: shared.device.clone(),
                listen: Some(shared.listen),
                allowed_hosts: shared.allowed_hosts.iter().map(ToString::to_string).collect(),
                is_whole: true,
                is_open: true,
            });
            let asked = |found: &ServedReplica| only.is_none_or(|only| only == found.replica);
            Ok(all.filter(asked).collect())
        })
    }

    fn resized(&self, _: Uuid) -> Result<(), Error> {
        self.change(RESIZED.into())
    }
}

/// A host with a replica in a pool, and a target.
fn scene() -> (Lab, Target) {
    let lab = Lab::with_pool(1);
    let target = Target::new(&lab);
    let pool = lab.pool();
    pool.create_replica(&CreateReplica::new(uuid(1), 8 * UNIT))
        .unwrap();
    pool.create_replica(&CreateReplica::new(uuid(2), 8 * UNIT))
        .unwrap();
    (lab, target)
}

fn system(lab: &Lab, target: &Target) -> System {
    lab.system_with(|builder| builder.share_with(Arc::new(target.clone())))
}

fn with(hosts: &[&str]) -> ShareReplica {
    ShareReplica {
        listen: None,
        allowed_hosts: hosts.iter().map(|name| Nqn::of_node(name).unwrap()).collect(),
    }
}

fn share(system: &System, hosts: &[&str]) -> Result<ReplicaInfo, Error> {
    system.open_pool(POOL)?.share_replica(uuid(1), &with(hosts))
}

fn listen() -> SocketAddr {
    "127.0.0.1:8421".parse().unwrap()
}

#[test]
fn what_is_shared_is_in_tags_that_io_engine_reads() {
    let (lab, target) = scene();
    let system = system(&lab, &target);
    let mut request = with(&["b", "a", "b"]);
    request.listen = Some("[::1]:8421".parse().unwrap());
    let pool = system.open_pool(POOL).unwrap();
    let seqno = pool.info().unwrap().seqno;
    let info = pool.share_replica(uuid(1), &request).unwrap();
    assert_eq!(pool.info().unwrap().seqno, seqno + 1, "one commit");
    assert_eq!(info, pool.replica(uuid(1)).unwrap());
    assert_eq!(
        info.share_uri.as_ref().unwrap().to_string(),
        format!("nvmf://[::1]:8421/nqn.2019-05.io.openebs:{0}?uuid={0}", uuid(1))
    );
    let text = lab.metadata();
    for tag in [
        "mayastor.lv.share=nvmf",
        "mayastor.lv.allowed_hosts=nqn.2019-05.io.openebs:node-name:a",
        "mayastor.lv.allowed_hosts=nqn.2019-05.io.openebs:node-name:b",
        "mayastor.lv.listen=::1:8421",
    ] {
        assert_eq!(text.matches(&format!("\"{tag}\"")).count(), 1, "{tag}: {text}");
    }
    // Again, in another order, without the address: it is what it is.
    assert_eq!(pool.share_replica(uuid(1), &with(&["a", "b"])).unwrap(), info);
    assert_eq!(pool.info().unwrap().seqno, seqno + 1);
    assert_eq!(target.log(), ["share 2"]);
    let info = pool.unshare_replica(uuid(1)).unwrap();
    assert!(!info.shared && info.share_uri.is_none() && info.allowed_hosts.is_empty());
    assert_eq!(pool.info().unwrap().seqno, seqno + 2);
    pool.unshare_replica(uuid(1)).unwrap();
    assert_eq!(pool.info().unwrap().seqno, seqno + 2);
    assert_eq!(target.log(), ["unshare"]);
    let info = pool.share_replica(uuid(1), &with(&[])).unwrap();
    assert!(
        info.share_uri
            .unwrap()
            .to_string()
            .starts_with("nvmf://[::1]:8421/")
    );
}

#[test]
fn hosts_that_older_tags_join_by_commas_are_the_same_hosts() {
    let (lab, target) = scene();
    let system = system(&lab, &target);
    share(&system, &["a"]).unwrap();
    let info = share(&system, &["a", "b"]).unwrap();
    assert_eq!(info.allowed_hosts.len(), 2);
    assert_eq!(target.hosts(1).unwrap().len(), 2);
    share(&system, &["b"]).unwrap();
    assert_eq!(target.hosts(1).unwrap(), ["nqn.2019-05.io.openebs:node-name:b"]);
    assert_eq!(target.log(), ["share 1", "share 2", "share 1"]);
}

#[test]
fn what_cannot_be_shared_is_refused_before_anything_is_changed() {
    let (lab, target) = scene();
    let system = system(&lab, &target);
    let pool = system.open_pool(POOL).unwrap();
    let refused = |error: Error, kind: &str, class: Class, errno: i32| {
        assert_eq!(
            (error.kind(), error.class(), error.errno()),
            (kind, class, errno),
            "{error}"
        );
    };
    let before = lab.bytes();
    let error = pool.share_replica(uuid(9), &with(&[])).unwrap_err();
    refused(error, "ReplicaNotFound", Class::NotFound, libc::ENOENT);
    let mut nowhere = with(&[]);
    nowhere.listen = Some("0.0.0.0:1".parse().unwrap());
    let error = pool.share_replica(uuid(1), &nowhere).unwrap_err();
    refused(error, "InvalidArgument", Class::InvalidArgument, libc::EINVAL);
    target.with(|state| state.refuses = true);
    let error = pool.share_replica(uuid(1), &with(&[])).unwrap_err();
    refused(error, "AddressInUse", Class::Precondition, libc::EADDRINUSE);
    target.with(|state| state.refuses = false);
    pool.deactivate_replica(uuid(2)).unwrap();
    let error = pool.share_replica(uuid(2), &with(&[])).unwrap_err();
    refused(error, "NotActive", Class::Precondition, libc::EBUSY);
    let error = lab.pool().share_replica(uuid(1), &with(&[])).unwrap_err();
    refused(error, "Unsupported", Class::Unsupported, libc::ENOTSUP);
    lab.pool().unshare_replica(uuid(1)).unwrap();
    assert!(lab.bytes() == before && target.log().is_empty());
}

#[test]
fn a_replica_that_others_have_open_stays_shared() {
    let (lab, target) = scene();
    let system = system(&lab, &target);
    share(&system, &[]).unwrap();
    target.log();
    let pool = system.open_pool(POOL).unwrap();
    let held = pool.open_replica(uuid(1)).unwrap();
    let before = lab.bytes();
    for error in [
        pool.deactivate_replica(uuid(1)).map(drop).unwrap_err(),
        pool.destroy_replica(uuid(1)).unwrap_err(),
        system.export_pool(POOL).unwrap_err(),
        system.destroy_pool(POOL).unwrap_err(),
    ] {
        assert_eq!(error.kind(), "Busy", "{error}");
    }
    assert!(lab.bytes() == before && target.log().is_empty());
    drop(held);
    pool.deactivate_replica(uuid(1)).unwrap();
    assert_eq!(target.log(), ["unshare"]);
}

#[test]
fn the_target_follows_the_device() {
    let (lab, target) = scene();
    let system = system(&lab, &target);
    let shared = share(&system, &["a"]).unwrap();
    let pool = system.open_pool(POOL).unwrap();
    target.log();
    pool.resize_replica(uuid(1), 16 * UNIT, Shrink::Refuse).unwrap();
    pool.resize_replica(uuid(2), 16 * UNIT, Shrink::Refuse).unwrap();
    assert_eq!(target.resized(), 1);
    // It may be that a call was cut just before that, or that somebody else made it larger.
    pool.resize_replica(uuid(1), 16 * UNIT, Shrink::Refuse).unwrap();
    assert_eq!(target.resized(), 1);
    system.open_pool(POOL).unwrap();
    assert_eq!(target.resized(), 1);
    let off = pool.deactivate_replica(uuid(1)).unwrap();
    assert!(off.shared && off.share_uri.is_none() && off.allowed_hosts == shared.allowed_hosts);
    assert_eq!(target.log(), ["unshare"]);
    let on = pool.activate_replica(uuid(1)).unwrap();
    assert_eq!(on.share_uri, shared.share_uri);
    assert_eq!(target.log(), ["share 1"]);
    system.export_pool(POOL).unwrap();
    assert_eq!(target.log(), ["unshare"]);
    let pool = system.import_pool(POOL, &lab.images, None).unwrap();
    assert_eq!(pool.replica(uuid(1)).unwrap().share_uri, shared.share_uri);
    assert_eq!(target.log(), ["share 1"]);
    pool.destroy_replica(uuid(1)).unwrap();
    assert_eq!(target.log(), ["unshare"]);
    share_two(&system, &lab, &target);
}

/// Another replica is shared, and its pool destroyed.
fn share_two(system: &System, lab: &Lab, target: &Target) {
    let pool = system.open_pool(POOL).unwrap();
    pool.share_replica(uuid(2), &with(&[])).unwrap();
    system.destroy_pool(POOL).unwrap();
    assert_eq!(target.log(), ["share 0", "unshare"]);
    assert!(lab.fake.list().unwrap().is_empty());
}

#[test]
fn a_target_that_serves_nothing_stops_no_import_and_the_pool_tells() {
    let (lab, target) = scene();
    let system = system(&lab, &target);
    share(&system, &["a"]).unwrap();
    system.export_pool(POOL).unwrap();
    target.with(|state| {
        (state.changes, state.fails_at) = (0, Some((1, 1)));
        state.refuses = true;
    });
    let pool = system.import_pool(POOL, &lab.images, None).unwrap();
    let info = pool.info().unwrap();
    assert_eq!(info.reasons.len(), 1, "{:?}", info.reasons);
    assert!(
        info.reasons[0].contains("something else listens"),
        "{:?}",
        info.reasons
    );
    let replica = pool.replica(uuid(1)).unwrap();
    assert!(replica.active && replica.shared && replica.share_uri.is_none());
    target.with(|state| state.refuses = false);
    // The next who opens it shares it.
    let pool = system.open_pool(POOL).unwrap();
    assert!(pool.info().unwrap().reasons.is_empty());
    assert!(pool.replica(uuid(1)).unwrap().share_uri.is_some());
}

#[test]
fn what_the_target_forgot_or_kept_is_put_right_when_the_pool_is_opened() {
    let (lab, target) = scene();
    let system = system(&lab, &target);
    let shared = share(&system, &["a"]).unwrap();
    target.with(|state| state.served.clear());
    let pool = system.open_pool(POOL).unwrap();
    assert_eq!(pool.replica(uuid(1)).unwrap(), shared);
    // One that no tag asks for.
    let kept = SharedDevice {
        replica: uuid(2),
        device: None,
        listen: listen(),
        allowed_hosts: Vec::new(),
    };
    target.share(&kept).unwrap();
    system.open_pool(POOL).unwrap();
    assert_eq!((target.hosts(2), target.hosts(1).unwrap().len()), (None, 1));
}

#[test]
fn a_pool_that_shares_nothing_costs_no_look_at_the_target() {
    let (lab, target) = scene();
    let system = system(&lab, &target);
    let pool = system.open_pool(POOL).unwrap();
    pool.replicas().unwrap();
    pool.info().unwrap();
    pool.resize_replica(uuid(1), 16 * UNIT, Shrink::Refuse).unwrap();
    pool.deactivate_replica(uuid(1)).unwrap();
    pool.activate_replica(uuid(1)).unwrap();
    assert_eq!(target.with(|state| state.looks), 0);
    pool.share_replica(uuid(1), &with(&[])).unwrap();
    pool.share_replica(uuid(2), &with(&[])).unwrap();
    target.with(|state| state.looks = 0);
    assert!(
        pool.replicas()
            .unwrap()
            .iter()
            .all(|replica| replica.share_uri.is_some())
    );
    assert_eq!(target.with(|state| state.looks), 1, "one for all");
}

type Operation = (&'static str, fn(&System) -> Result<(), Error>);

/// From a replica that hosts a and b may reach.
const OPERATIONS: &[Operation] = &[
    ("shut a host out", |system| share(system, &["b"]).map(drop)),
    ("any host", |system| share(system, &[]).map(drop)),
    ("elsewhere", |system| {
        let mut request = with(&["a", "b"]);
        request.listen = Some(listen());
        system.open_pool(POOL)?.share_replica(uuid(1), &request).map(drop)
    }),
    ("unshare", |system| {
        system.open_pool(POOL)?.unshare_replica(uuid(1)).map(drop)
    }),
    ("share another", |system| {
        system
            .open_pool(POOL)?
            .share_replica(uuid(2), &with(&["c"]))
            .map(drop)
    }),
    ("deactivate", |system| {
        system.open_pool(POOL)?.deactivate_replica(uuid(1)).map(drop)
    }),
    ("destroy", |system| {
        system.open_pool(POOL)?.destroy_replica(uuid(1))
    }),
    ("resize", |system| {
        let pool = system.open_pool(POOL)?;
        pool.resize_replica(uuid(1), 16 * UNIT, Shrink::Refuse).map(drop)
    }),
    ("export", |system| system.export_pool(POOL)),
];

/// What is told of the replicas, and is the same as what is served.
#[track_caller]
fn state(lab: &Lab, target: &Target, context: &str) -> Vec<(Uuid, Option<String>, Vec<String>, u64)> {
    let system = system(lab, target);
    let pool = match system.open_pool(POOL) {
        Ok(pool) => pool,
        Err(_) => system.import_pool(POOL, &lab.images, None).unwrap(),
    };
    let replicas = pool.replicas().unwrap();
    for replica in &replicas {
        let is_served = target.with(|state| state.served.contains_key(&replica.uuid));
        assert_eq!(
            is_served,
            replica.shared && replica.active,
            "{context}: {replica:?}"
        );
        if is_served {
            let n = replica.uuid.as_u128() & 0xff;
            assert_eq!(target.hosts(n).unwrap(), replica.allowed_hosts, "{context}");
        }
    }
    let known = |uuid: &Uuid| replicas.iter().any(|replica| replica.uuid == *uuid);
    target.with(|state| assert!(state.served.keys().all(known), "{context}: of no replica"));
    assert!(pool.info().unwrap().reasons.is_empty(), "{context}");
    // A replica whose device a cut destruction took away may be inactive.
    let activate = |replica: &ReplicaInfo| pool.activate_replica(replica.uuid).unwrap();
    let told = replicas.iter().map(activate).map(|replica| {
        let uri = replica.share_uri.map(|uri| uri.to_string());
        (replica.uuid, uri, replica.allowed_hosts, replica.size)
    });
    told.collect()
}

fn shared_scene() -> (Lab, Target) {
    let (lab, target) = scene();
    share(&system(&lab, &target), &["a", "b"]).unwrap();
    target.with(|state| (state.changes, state.fails_at) = (0, None));
    (lab, target)
}

/// Breaks an operation at each place until it comes through; what the next process finds is old or new, and served so.
fn check_all(context: &str, arm: impl Fn(&Lab, &Target, usize), dies: bool) {
    for (name, run) in OPERATIONS {
        let (lab, target) = shared_scene();
        let old = state(&lab, &target, name);
        run(&system(&lab, &target)).unwrap();
        let new = state(&lab, &target, name);
        for at in 1.. {
            let (lab, target) = shared_scene();
            let system = system(&lab, &target);
            arm(&lab, &target, at);
            let result = run(&system);
            let struck = lab.switch.has_struck()
                || lab.fake.is_dead()
                || lab.fake.fault_count() > 0
                || target.with(|state| state.fails_at.is_some_and(|(at, _)| state.changes >= at));
            drop(system);
            target.with(|state| state.fails_at = None);
            let context = format!("{name}, {context} {at}: {result:?}");
            let found = state(&lab, &target, &context);
            assert!(
                found == old || found == new,
                "{context}: {found:?} is neither {old:?} nor {new:?}"
            );
            assert!(result.is_err() || found == new, "{context}: {found:?}");
            // A failure that does not say that it is done left all as it was.
            if let (Err(error), false) = (&result, dies) {
                let is_done = matches!(error, Error::AfterCommit(_));
                assert!(
                    is_done || found == old || *name == "deactivate" || new == old,
                    "{context}: {found:?}"
                );
            }
            if !struck {
                result.unwrap();
                break;
            }
            assert!(at < 200, "{context}");
        }
    }
}

#[test]
fn death_before_any_change_of_a_disk_leaves_what_is_served_as_the_tags_say() {
    check_all(
        "death before disk change",
        |lab, _, at| lab.arm(Cut::Death { at }),
        true,
    );
}

#[test]
fn death_before_any_call_to_the_kernel_leaves_what_is_served_as_the_tags_say() {
    let arm = |lab: &Lab, _: &Target, at| lab.fake.fault_at_change(at, lvm_dm::testing::Fault::Die);
    check_all("death before kernel change", arm, true);
}

#[test]
fn death_before_any_call_to_the_target_leaves_what_is_served_as_the_tags_say() {
    let arm = |_: &Lab, target: &Target, at| target.with(|state| state.fails_at = Some((at, 1000)));
    check_all("all fails from target change", arm, true);
}

#[test]
fn a_target_that_fails_once_leaves_what_is_served_as_the_tags_say() {
    let arm = |_: &Lab, target: &Target, at| target.with(|state| state.fails_at = Some((at, 1)));
    check_all("failure of target change", arm, false);
}

#[test]
fn no_device_is_removed_while_hosts_reach_it() {
    let (lab, target) = shared_scene();
    let system = system(&lab, &target);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (look, log) = (target.clone(), seen.clone());
    lab.fake
        .fault_when(lvm_dm::testing::Fault::Refuse(libc::EIO), move |call: &Call| {
            if call.command() == "remove" {
                log.lock().unwrap().push(look.with(|state| state.served.len()));
            }
            false
        });
    system.export_pool(POOL).unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 0]);
}
