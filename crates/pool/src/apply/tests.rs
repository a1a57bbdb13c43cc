use lvm_dm::testing::FakeMapper;

use super::*;

/// So many resumes of one device, and a wait for all.
fn steps(rounds: usize) -> Vec<Step> {
    let uuid = DmUuid::new("LVM-a").unwrap();
    let device = DmName::new("vg-a").unwrap();
    let (vg, lv) = ("vg".to_string(), "a".to_string());
    let resume = Step::Resume {
        uuid,
        flags: UdevFlags::empty(),
        link: Some(Link { vg, lv, device }),
    };
    let mut steps = vec![resume; rounds];
    steps.push(Step::Settle);
    steps
}

#[test]
fn no_wait_is_for_more_events_than_a_cookie_counts() {
    let mapper = FakeMapper::new();
    let (name, uuid) = (DmName::new("vg-a").unwrap(), DmUuid::new("LVM-a").unwrap());
    mapper.create(&name, &uuid).unwrap();
    let table: Table = "0 8 zero".parse().unwrap();
    mapper.load(DeviceId::Uuid(&uuid), &table, false).unwrap();
    let nodes = Nodes::new("/nonexistent".into(), lvm_dm::NodeMode::None);
    let kernel = Kernel {
        mapper: &mapper,
        nodes: &nodes,
        timeout: Duration::ZERO,
    };
    for (rounds, waits) in [
        (EVENTS_AT_ONCE - 1, 1),
        (EVENTS_AT_ONCE, 1),
        (EVENTS_AT_ONCE + 1, 2),
    ] {
        mapper.forget_calls();
        kernel.apply(None, &steps(rounds)).unwrap();
        let calls = mapper.calls();
        let count = |name: &str| calls.iter().filter(|call| call.command() == name).count();
        assert_eq!(
            [count("resume"), count("cookie"), count("finish")],
            [rounds, waits, waits]
        );
    }
}
