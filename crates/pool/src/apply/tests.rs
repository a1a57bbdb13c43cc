use lvm_dm::testing::{Call, FakeMapper};
use lvm_dm::{NodeMode, Target, TargetLine};

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
        read_ahead: None,
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
    let nodes = Nodes::new("/nonexistent".into(), NodeMode::None);
    let kernel = Kernel {
        mapper: &mapper,
        nodes: &nodes,
        share: None,
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

fn table(length: u64, target: Target) -> Table {
    Table::new(vec![TargetLine {
        start: 0,
        length,
        target,
    }])
}

/// A device on another one: what a thin pool is to its data.
struct Stack {
    fake: FakeMapper,
    below: DmUuid,
    above: DmUuid,
}

impl Stack {
    fn new() -> Self {
        let fake = FakeMapper::new();
        let make = |name: &str, table: &Table| {
            let (name, uuid) = (DmName::new(name).unwrap(), DmUuid::new(name).unwrap());
            fake.create(&name, &uuid).unwrap();
            fake.load(DeviceId::Uuid(&uuid), table, false).unwrap();
            let mut cookie = fake.cookie().unwrap();
            let id = DeviceId::Uuid(&uuid);
            let number = fake.resume(id, UdevFlags::empty(), &mut cookie).unwrap().number;
            fake.finish(cookie, Duration::ZERO).unwrap();
            (uuid, number)
        };
        let (below, device) = make("below", &table(8, Target::Zero));
        let (above, _) = make("above", &table(8, Target::Linear { device, offset: 0 }));
        fake.forget_calls();
        Self { fake, below, above }
    }

    fn length(&self, uuid: &DmUuid) -> u64 {
        self.fake.table(DeviceId::Uuid(uuid), false).unwrap().length()
    }

    fn longer(&self) -> Vec<Step> {
        let device = self
            .fake
            .info(DeviceId::Uuid(&self.below))
            .unwrap()
            .unwrap()
            .number;
        vec![
            Step::Replace {
                uuid: self.below.clone(),
                table: table(16, Target::Zero),
                old: table(8, Target::Zero),
                flags: UdevFlags::empty(),
            },
            Step::Load {
                uuid: self.above.clone(),
                table: table(16, Target::Linear { device, offset: 0 }),
                read_only: false,
            },
            Step::Suspend {
                uuid: self.above.clone(),
                flags: SuspendFlags::NOFLUSH,
            },
        ]
    }

    fn apply(&self, steps: &[Step]) -> Result<(), Error> {
        let kernel = Kernel {
            share: None,
            mapper: &self.fake,
            nodes: &Nodes::new("/nonexistent".into(), NodeMode::None),
            timeout: Duration::from_secs(1),
        };
        kernel.apply(None, steps)
    }
}

#[test]
fn what_was_stopped_goes_on_only_when_what_it_stands_on_is_as_it_was() {
    let stack = Stack::new();
    let mut steps = stack.longer();
    let nothing = DmUuid::new("nothing").unwrap();
    steps.push(Step::Clear { uuid: nothing });
    stack.apply(&steps).unwrap_err();
    assert_eq!((stack.length(&stack.below), stack.length(&stack.above)), (8, 8));
    let info = stack.fake.info(DeviceId::Uuid(&stack.above)).unwrap().unwrap();
    assert!(!info.suspended && !info.inactive_table);
    let resumed: Vec<String> = stack
        .fake
        .changes()
        .into_iter()
        .filter_map(|call| match call {
            Call::Resume { device, .. } => Some(device),
            _ => None,
        })
        .collect();
    assert_eq!(resumed, ["below", "below", "above"]);
}

#[test]
fn a_table_that_cannot_be_replaced_stays() {
    // The second change is the resume, which fails and leaves the device stopped, or works and does not say so.
    for fault in [
        lvm_dm::testing::Fault::Refuse(libc::EINVAL),
        lvm_dm::testing::Fault::LoseAnswer(libc::EINVAL),
    ] {
        let stack = Stack::new();
        stack.fake.fault_at_change(2, fault);
        stack.apply(&stack.longer()).unwrap_err();
        assert_eq!(stack.length(&stack.below), 8);
        let info = stack.fake.info(DeviceId::Uuid(&stack.below)).unwrap().unwrap();
        assert!(!info.suspended && !info.inactive_table);
    }
}
