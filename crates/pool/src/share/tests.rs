//! The kernel's target, shared and unshared in every order, cut at every call.

use std::net::SocketAddr;
use std::time::Duration;

use uuid::Uuid;

use super::fake::{FakeTarget, Tree};
use super::tree::serial;
use super::{NvmetTarget, ServedReplica, Share, SharedDevice};
use crate::{Error, Nqn};

const FIRST: &str = "127.0.0.1:8420";
const SECOND: &str = "127.0.0.2:8420";

fn replica(n: u128) -> Uuid {
    Uuid::from_u128(0x1111_2222_3333_4444_8000_0000_0000_0000 | n)
}

fn host(name: &str) -> Nqn {
    Nqn::of_node(name).unwrap()
}

fn device(n: u128) -> String {
    format!("/dev/p/{n}")
}

fn wanted(n: u128, listen: &str, hosts: &[&str]) -> SharedDevice {
    SharedDevice {
        replica: replica(n),
        device: Some(device(n).into()),
        listen: listen.parse().unwrap(),
        allowed_hosts: hosts.iter().map(|name| host(name)).collect(),
    }
}

fn target() -> FakeTarget {
    FakeTarget::new(&[&device(1), &device(2)])
}

fn process(target: &FakeTarget) -> NvmetTarget {
    NvmetTarget::on(Box::new(target.clone()), Duration::ZERO)
}

fn served(target: &FakeTarget, n: u128) -> Option<ServedReplica> {
    let share = process(target);
    let one = share.served(Some(replica(n))).unwrap();
    let all = share.served(None).unwrap();
    let found = all.into_iter().find(|found| found.replica == replica(n));
    assert_eq!(one.first(), found.as_ref(), "all or one: the same is told");
    found
}

#[track_caller]
fn check_served(target: &FakeTarget, wanted: &SharedDevice, context: &str) {
    let n = wanted.replica.as_u128() & 0xff;
    let found = served(target, n).unwrap_or_else(|| panic!("{context}: not served"));
    assert!(found.is(wanted) && found.is_open, "{context}: {found:?}");
    let at = (wanted.replica, wanted.listen);
    assert!(process(target).reached(None).unwrap().contains(&at), "{context}");
    assert_eq!(
        process(target).reached(Some(wanted.replica)).unwrap(),
        [at],
        "{context}"
    );
}

/// What hosts can reach of replica 1: where, and which of them; `None` for any.
fn reachable(tree: &Tree) -> Option<(Vec<String>, Option<Vec<String>>)> {
    let nqn = Nqn::of_replica(replica(1)).to_string();
    let links = |id: &String| tree.children(&format!("ports/{id}/subsystems")).contains(&nqn);
    let ports: Vec<String> = tree.children("ports").into_iter().filter(links).collect();
    if ports.is_empty() {
        return None;
    }
    let file = |path: &str| {
        tree.file(&format!("subsystems/{nqn}/{path}"))
            .unwrap()
            .to_string()
    };
    // Whoever reaches it finds it whole.
    let id = replica(1).to_string();
    assert_eq!(file("namespaces/1/enable"), "1");
    assert_eq!(file("namespaces/1/device_path"), device(1));
    assert_eq!(
        [
            file("namespaces/1/device_uuid"),
            file("namespaces/1/device_nguid")
        ],
        [id.clone(), id]
    );
    assert_eq!(file("attr_serial"), serial(replica(1)));
    assert_eq!(file("attr_model"), "Mayastor NVMe controller");
    let hosts = tree.children(&format!("subsystems/{nqn}/allowed_hosts"));
    Some((ports, (file("attr_allow_any_host") == "0").then_some(hosts)))
}

/// Replicas that come from one state to another.
fn transitions() -> Vec<(SharedDevice, SharedDevice)> {
    let hosts: [&[&str]; 4] = [&[], &["a"], &["a", "b"], &["b", "c"]];
    let mut states = Vec::new();
    for listen in [FIRST, SECOND] {
        states.extend(hosts.iter().map(|hosts| wanted(1, listen, hosts)));
    }
    let pairs = |from: &SharedDevice| {
        let from = from.clone();
        states.clone().into_iter().map(move |to| (from.clone(), to))
    };
    states.iter().flat_map(pairs).collect()
}

#[test]
fn the_serial_number_is_io_engines() {
    let uuid = Uuid::nil();
    // SHA-256 of sixteen zero bytes.
    assert_eq!(serial(uuid), "DCS374708FFF7719DD59");
    assert_eq!(serial(uuid).len(), 20);
}

#[test]
fn a_replica_is_served_and_nothing_is_left_of_it() {
    let target = target();
    let share = process(&target);
    for hosts in [&[][..], &["a", "b"]] {
        let wanted = wanted(1, FIRST, hosts);
        share.share(&wanted).unwrap();
        check_served(&target, &wanted, "shared");
        target.with(|tree| tree.log.clear());
        share.share(&wanted).unwrap();
        assert_eq!(target.with(|tree| tree.log.len()), 0, "shared again");
        share.resized(replica(1)).unwrap();
        share.unshare(replica(1)).unwrap();
        assert!(target.is_blank(), "{:?}", target.paths());
        target.with(|tree| tree.log.clear());
        share.unshare(replica(1)).unwrap();
        share.resized(replica(1)).unwrap();
        assert_eq!(served(&target, 1), None);
    }
}

#[test]
fn the_link_is_made_last_and_goes_first() {
    let target = target();
    let share = process(&target);
    share.share(&wanted(1, FIRST, &["a"])).unwrap();
    let log = target.with(|tree| std::mem::take(&mut tree.log));
    assert!(log.last().unwrap().starts_with("link ports/"), "{log:?}");
    share.unshare(replica(1)).unwrap();
    let log = target.with(|tree| std::mem::take(&mut tree.log));
    assert!(log[0].starts_with("unlink ports/"), "{log:?}");
    assert!(log[1].ends_with("namespaces/1/enable 0"), "{log:?}");
}

#[test]
fn replicas_share_a_port_and_hosts_which_go_with_the_last() {
    let target = target();
    let share = process(&target);
    let (one, two) = (wanted(1, FIRST, &["a"]), wanted(2, FIRST, &["a", "b"]));
    share.share(&one).unwrap();
    share.share(&two).unwrap();
    assert_eq!(target.with(|tree| tree.children("ports").len()), 1);
    share.unshare(replica(2)).unwrap();
    check_served(&target, &one, "the other went");
    assert_eq!(target.with(|tree| tree.children("hosts")), [host("a").as_str()]);
    share.unshare(replica(1)).unwrap();
    assert!(target.is_blank());
}

#[test]
fn an_administrators_port_and_subsystem_stay() {
    let target = target();
    target.with(|tree| tree.taken.push("127.0.0.9:1".parse().unwrap()));
    let share = process(&target);
    // A port of somebody else's at the same address, without a subsystem and with one.
    {
        use super::configfs::ConfigFs;
        target.make_dir("ports/1").unwrap();
        for (name, value) in [
            ("addr_trtype", "tcp"),
            ("addr_adrfam", "ipv4"),
            ("addr_traddr", "127.0.0.1"),
            ("addr_trsvcid", "8420"),
        ] {
            target.write(&format!("ports/1/{name}"), value).unwrap();
        }
        target
            .make_dir("subsystems/nqn.2014-08.org.example:other")
            .unwrap();
        target.make_dir("hosts/nqn.2014-08.org.example:host").unwrap();
    }
    let before = target.paths();
    let wanted = wanted(1, FIRST, &["a"]);
    share.share(&wanted).unwrap();
    check_served(&target, &wanted, "on their port");
    assert_eq!(target.with(|tree| tree.children("ports")), ["1"]);
    share.unshare(replica(1)).unwrap();
    assert_eq!(target.paths(), before);
}

#[test]
fn hosts_are_added_and_all_let_in_without_an_interruption() {
    for (before, after) in [(&["a"][..], &["a", "b"][..]), (&["a", "b"], &[])] {
        let target = target();
        let share = process(&target);
        share.share(&wanted(1, FIRST, before)).unwrap();
        target.with(|tree| {
            tree.watch = Some(Box::new(|tree| assert!(reachable(tree).is_some())));
        });
        let after = wanted(1, FIRST, after);
        share.share(&after).unwrap();
        check_served(&target, &after, "with more hosts");
    }
}

#[test]
fn a_host_that_may_not_connect_any_more_loses_the_namespace_that_it_uses() {
    for (before, after) in [(&["a", "b"][..], &["b"][..]), (&[], &["a"]), (&["a"], &["b"])] {
        let target = target();
        let share = process(&target);
        share.share(&wanted(1, FIRST, before)).unwrap();
        target.with(|tree| tree.log.clear());
        let after = wanted(1, FIRST, after);
        share.share(&after).unwrap();
        check_served(&target, &after, "with fewer hosts");
        let log = target.with(|tree| tree.log.clone());
        let at = |what: &str| log.iter().position(|call| call.contains(what)).unwrap();
        assert!(at("unlink ports/") < at("enable 0"), "{log:?}");
        assert!(at("enable 0") < at("rmdir subsystems/"), "{log:?}");
        assert!(
            at("rmdir subsystems/") < at("link ports/8420/subsystems")
                || log.last().unwrap().contains("link ports/")
        );
    }
}

#[test]
fn what_others_changed_of_a_subsystem_is_put_right() {
    let base = format!("subsystems/{}", Nqn::of_replica(replica(1)));
    let other = replica(9).to_string();
    for (attribute, value) in [
        ("attr_serial", "x"),
        ("attr_model", "Linux"),
        ("namespaces/1/device_path", "/dev/p/2"),
        ("namespaces/1/device_uuid", &other),
        ("namespaces/1/device_nguid", &other),
        ("namespaces/1/enable", "0"),
        ("namespaces/1/device_uuid", "nonsense"),
        ("attr_allow_any_host", "0"),
    ] {
        let target = target();
        let share = process(&target);
        let wanted = wanted(1, FIRST, &[]);
        share.share(&wanted).unwrap();
        target.with(|tree| tree.set(&format!("{base}/{attribute}"), value));
        let found = served(&target, 1).unwrap();
        assert!(!found.is(&wanted), "{attribute}: {found:?}");
        share.share(&wanted).unwrap();
        check_served(&target, &wanted, attribute);
        share.unshare(replica(1)).unwrap();
        assert!(target.is_blank());
    }
}

#[test]
fn a_kernel_without_newer_attributes_is_enough() {
    let target = target();
    target.with(|tree| tree.is_old = true);
    let share = process(&target);
    let wanted = wanted(1, FIRST, &[]);
    share.share(&wanted).unwrap();
    check_served(&target, &wanted, "without a model");
    share.resized(replica(1)).unwrap();
    share.unshare(replica(1)).unwrap();
    assert!(target.is_blank());
}

#[test]
fn what_the_target_refuses_is_told_and_leaves_nothing() {
    let target = target();
    target.with(|tree| tree.taken.push("127.0.0.3:8420".parse().unwrap()));
    let share = process(&target);
    let mut no_device = wanted(1, FIRST, &["a"]);
    no_device.device = Some("/dev/p/none".into());
    let mut no_path = wanted(1, FIRST, &["a"]);
    no_path.device = None;
    for (wanted, kind, errno) in [
        (
            wanted(1, "127.0.0.3:8420", &["a"]),
            "AddressInUse",
            libc::EADDRINUSE,
        ),
        (
            wanted(1, "203.0.113.77:8420", &["a"]),
            "AddressNotLocal",
            libc::EADDRNOTAVAIL,
        ),
        (no_device, "ShareFailed", libc::ENOENT),
        (no_path, "Unsupported", libc::ENOTSUP),
    ] {
        let error = share.share(&wanted).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (kind, errno), "{error}");
        assert!(target.is_blank(), "{error}: {:?}", target.paths());
    }
}

#[test]
fn death_at_any_call_lets_nobody_meet_what_is_half_made_and_the_next_call_ends_right() {
    let mut cuts = 0;
    for (from, to) in transitions() {
        for at in 1.. {
            let target = target();
            process(&target).share(&from).unwrap();
            let names = |wanted: &SharedDevice| {
                let hosts = wanted.allowed_hosts.iter().map(ToString::to_string);
                hosts.collect::<Vec<_>>()
            };
            let (old, new) = (names(&from), names(&to));
            let may_any = old.is_empty() || new.is_empty();
            target.with(|tree| {
                tree.watch = Some(Box::new(move |tree| {
                    // Nobody is let in whom neither state lets in.
                    let Some((ports, hosts)) = reachable(tree) else {
                        return;
                    };
                    assert_eq!(ports.len(), 1);
                    let is_known = |host: &String| old.contains(host) || new.contains(host);
                    assert!(hosts.map_or(may_any, |hosts| hosts.iter().all(is_known)));
                }));
            });
            target.die_at(at);
            let result = process(&target).share(&to);
            if !target.revive() {
                result.unwrap();
                break;
            }
            cuts += 1;
            let context = format!("{from:?} to {to:?} cut at {at}");
            process(&target).share(&to).unwrap();
            check_served(&target, &to, &context);
            process(&target).unshare(replica(1)).unwrap();
            assert!(target.is_blank(), "{context}: {:?}", target.paths());
        }
    }
    assert!(cuts > 500, "{cuts}");
}

#[test]
fn death_at_any_call_of_the_first_share_or_of_an_unshare_leaves_nothing_after_the_next() {
    for hosts in [&[][..], &["a"], &["a", "b"]] {
        let wanted = wanted(1, FIRST, hosts);
        for is_share in [true, false] {
            for at in 1.. {
                let target = target();
                if !is_share {
                    process(&target).share(&wanted).unwrap();
                }
                target.with(|tree| tree.watch = Some(Box::new(|tree| drop(reachable(tree)))));
                target.die_at(at);
                let result = match is_share {
                    true => process(&target).share(&wanted),
                    false => process(&target).unshare(replica(1)),
                };
                if !target.revive() {
                    result.unwrap();
                    break;
                }
                process(&target).unshare(replica(1)).unwrap();
                let context = format!("{wanted:?}, {is_share}, cut at {at}");
                assert!(target.is_blank(), "{context}: {:?}", target.paths());
                process(&target).share(&wanted).unwrap();
                check_served(&target, &wanted, &context);
            }
        }
    }
}

#[test]
fn a_listener_of_somebody_else_is_found_before_anything_is_changed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let target = target();
    let mut wanted = wanted(1, FIRST, &[]);
    wanted.listen = address;
    let error = process(&target).check(&wanted).unwrap_err();
    assert!(matches!(error, Error::AddressInUse(found) if found == address));
    assert!(target.is_blank());
    drop(listener);
    process(&target).check(&wanted).unwrap();
}

#[test]
fn it_is_known_when_more_hosts_could_connect_than_before() {
    let served = |hosts: &[&str]| ServedReplica {
        replica: replica(1),
        device: Some(device(1).into()),
        listen: Some(FIRST.parse().unwrap()),
        allowed_hosts: hosts.iter().map(|name| host(name).to_string()).collect(),
        is_whole: true,
        is_open: true,
    };
    for (now, then, is_within) in [
        (&["a", "b"][..], &["a"][..], true),
        (&["a"], &["a"], true),
        (&["a"], &["a", "b"], false),
        (&["a"], &[], false),
        (&[], &["a"], true),
        (&[], &[], true),
    ] {
        let found = served(now).admits_all_of(&wanted(1, SECOND, then));
        assert_eq!(found, is_within, "{now:?} {then:?}");
    }
    let unreachable = ServedReplica {
        listen: None,
        ..served(&[])
    };
    assert!(!unreachable.admits_all_of(&wanted(1, FIRST, &["a"])));
}
