//! Volumes whose replicas, network and publisher fail in any order, and what is judged of them.

use lvm_dm::RaidSuperblock;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use uuid::Uuid;

use super::*;
use crate::volume::record::Member;

/// Writes by their numbers.
type Writes = u128;

/// A replica in the model.
#[derive(Clone, Default)]
struct Replica {
    record: Option<Record>,
    superblock: Option<RaidSuperblock>,
    holds: Writes,
    /// What the bitmap on it says: writes that others may lack.
    dirty: Writes,
    is_cut_off: bool,
}

/// The kernel's array.
#[derive(Clone)]
struct Array {
    in_sync: Places,
    /// Being brought in line.
    behind: Places,
    /// As its publisher wrote it last, or tried to.
    record: Record,
    /// What a replica does not take waits until its loss is noted.
    is_holding: bool,
    /// Writes that wait.
    waiting: Writes,
    /// Those on which the kernel has to note a failure before it acknowledges anything.
    unnoted: Places,
}

struct World {
    replicas: Vec<Replica>,
    array: Option<Array>,
    acknowledged: Writes,
    next_write: u32,
    ids: u128,
    served: u32,
}

/// What happens; numbers choose among replicas.
#[derive(Clone, Debug)]
enum Event {
    Write,
    CutOff(usize),
    Return(usize),
    /// A replica that is there refuses a write: the kernel goes on by itself.
    Refuse(usize),
    /// A monitor begins to look after the volume.
    Monitor,
    /// The publisher dies.
    Crash,
    /// As a write is under way, on these.
    CrashWhileWriting(Places),
    /// As the kernel notes a failure on some of the others.
    CrashWhileFailing(usize, Places),
    Publish {
        degraded: bool,
        dies_after: usize,
    },
    Unpublish {
        dies_after: usize,
    },
    /// One look of the publisher: notes what happened, and takes back.
    Tend {
        dies_after: usize,
    },
    /// The kernel is done with bringing one in line.
    Done(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    // Mostly what is begun is finished.
    let dies = prop_oneof![4 => Just(usize::MAX), 1 => 0..4_usize];
    prop_oneof![
        4 => Just(Event::Write),
        2 => (0..3_usize).prop_map(Event::CutOff),
        3 => (0..3_usize).prop_map(Event::Return),
        1 => (0..3_usize).prop_map(Event::Refuse),
        2 => Just(Event::Monitor),
        1 => Just(Event::Crash),
        1 => (0..8_u64).prop_map(Event::CrashWhileWriting),
        1 => (0..3_usize, 0..8_u64).prop_map(|(replica, noted)| Event::CrashWhileFailing(replica, noted)),
        3 => dies.clone().prop_map(|dies_after| Event::Publish { degraded: false, dies_after }),
        1 => dies.clone().prop_map(|dies_after| Event::Unpublish { dies_after }),
        4 => dies.prop_map(|dies_after| Event::Tend { dies_after }),
        4 => (0..3_usize).prop_map(Event::Done),
    ]
}

impl World {
    fn new(count: usize) -> Self {
        let members: Vec<Member> = (1..=count as u128)
            .map(|at| Member {
                uuid: Uuid::from_u128(at),
                uri: String::new(),
            })
            .collect();
        let first = Record::created(Uuid::from_u128(99), 1 << 20, members);
        let replica = Replica {
            record: Some(first),
            ..Replica::default()
        };
        Self {
            replicas: vec![replica; count],
            array: None,
            acknowledged: 0,
            next_write: 0,
            ids: 1000,
            served: 0,
        }
    }

    fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn each(&self, places: Places) -> Vec<usize> {
        (0..self.replicas.len())
            .filter(|at| places & 1 << at != 0)
            .collect()
    }

    fn cut_off(&self) -> Places {
        let each = self.replicas.iter().enumerate();
        each.filter(|(_, replica)| replica.is_cut_off)
            .fold(0, |all, (at, _)| all | 1 << at)
    }

    /// The kernel notes its view on those that it has, of which `noted` only are reached.
    fn note(&mut self, noted: Places) {
        let cut_off = self.cut_off();
        let Some(array) = &mut self.array else { return };
        let mut noted = noted;
        if array.is_holding {
            array.unnoted = (array.in_sync | array.behind) & cut_off;
            noted &= !cut_off;
        }
        let array = array.clone();
        let all = all_of(self.replicas.len());
        let events = self
            .replicas
            .iter()
            .filter_map(|replica| replica.superblock)
            .map(|found| found.events)
            .max()
            .unwrap_or(0)
            + 1;
        let live = array.in_sync | array.behind;
        for at in self.each(live & noted) {
            self.replicas[at].superblock = Some(superblock(
                all.count_ones(),
                at,
                events,
                all & !live,
                array.in_sync & 1 << at != 0,
            ));
        }
    }

    /// The kernel loses a replica; the last one it never gives up, its writes fail.
    fn fail(&mut self, at: usize, noted: Places) {
        let Some(array) = &mut self.array else { return };
        let own: Places = 1 << at;
        if (array.in_sync | array.behind) & own == 0 || array.in_sync == own {
            return;
        }
        array.in_sync &= !own;
        array.behind &= !own;
        self.note(noted);
    }

    /// What waits goes on, if nobody that the kernel has is lost.
    fn go_on(&mut self) {
        let cut_off = self.cut_off();
        let Some(array) = &self.array else { return };
        let live = array.in_sync | array.behind;
        if !array.is_holding || live & cut_off != 0 {
            return;
        }
        if array.unnoted != 0 {
            self.note(Places::MAX);
        }
        let Some(array) = &mut self.array else { return };
        let waiting = std::mem::take(&mut array.waiting);
        let is_degraded = array.in_sync != all_of(self.replicas.len());
        for at in self.each(live) {
            let replica = &mut self.replicas[at];
            replica.holds |= waiting;
            if is_degraded {
                replica.dirty |= waiting;
            }
        }
        self.acknowledged |= waiting;
    }

    fn write(&mut self) {
        if self.next_write >= 120 {
            return;
        }
        let cut_off = self.cut_off();
        let Some(array) = self.array.clone() else { return };
        // Without an answer from the last one nothing is acknowledged.
        if !array.is_holding && array.in_sync & cut_off != 0 {
            return;
        }
        let write: Writes = 1 << self.next_write;
        self.next_write += 1;
        let all = all_of(self.replicas.len());
        for at in self.each((array.in_sync | array.behind) & !cut_off) {
            let replica = &mut self.replicas[at];
            replica.holds |= write;
            if array.in_sync != all {
                replica.dirty |= write;
            }
        }
        match &mut self.array {
            Some(array) if array.is_holding => {
                array.waiting |= write;
                self.go_on();
            }
            _ => self.acknowledged |= write,
        }
    }

    fn look(&self) -> Vec<(Uuid, Found)> {
        let found = |(at, replica): (usize, &Replica)| {
            let found = match &replica.record {
                _ if replica.is_cut_off => Found::Absent,
                None => Found::Blank,
                Some(record) => Found::Known {
                    record: Box::new(record.clone()),
                    superblock: replica.superblock,
                },
            };
            (Uuid::from_u128(at as u128 + 1), found)
        };
        self.replicas.iter().enumerate().map(found).collect()
    }

    /// Writes a record to these, first to last; `false` when the writer died, or one cannot be reached.  Once it may be on one
    /// of them, what comes next comes after it.
    fn record(&mut self, record: &Record, order: &[usize], dies_after: &mut usize) -> bool {
        for at in order {
            if *dies_after == 0 {
                self.array = None;
            }
            self.array
                .iter_mut()
                .for_each(|array| array.record = record.clone());
            if *dies_after == 0 || self.replicas[*at].is_cut_off {
                return false;
            }
            *dies_after = dies_after.saturating_sub(1);
            let replica = &mut self.replicas[*at];
            let (known, superblock) = (replica.record.as_ref(), replica.superblock.as_ref());
            let own = Uuid::from_u128(*at as u128 + 1);
            replica.record = Some(record.for_replica(own, known, superblock));
        }
        true
    }

    fn publish(&mut self, degraded: bool, mut dies_after: usize) {
        if self.array.is_some() {
            return;
        }
        let Ok(verdict) = judge(&self.look(), degraded) else {
            return;
        };
        if verdict.fates.contains(&Fate::Diverged) {
            return;
        }
        let in_sync = verdict.places(Fate::InSync);
        self.served += 1;
        for at in self.each(in_sync) {
            let lost = self.acknowledged & !self.replicas[at].holds;
            assert_eq!(lost, 0, "replica {at} lacks what was acknowledged");
        }
        let behind = verdict.places(Fate::CatchUp) | verdict.places(Fate::Rebuild);
        let filling = match verdict.head.is_open {
            true => behind,
            false => verdict.places(Fate::Rebuild),
        };
        let given = self.each(in_sync | verdict.places(Fate::CatchUp));
        let given: Vec<_> = given
            .into_iter()
            .filter_map(|at| self.replicas[at].superblock)
            .collect();
        let most = given.iter().map(|found| found.events).max();
        for at in self.each(verdict.places(Fate::CatchUp)) {
            let mut believed = given.iter().filter(|found| Some(found.events) == most);
            let is_known = believed.all(|found| found.failed & 1 << at != 0);
            assert!(is_known, "the kernel takes replica {at} for whole");
        }
        // They are made the same if it was not unpublished.
        for at in self.each(in_sync) {
            let source = self.replicas[in_sync.trailing_zeros() as usize].holds;
            let replica = &mut self.replicas[at];
            assert!(
                verdict.head.is_open || replica.holds == source,
                "replica {at} differs"
            );
            replica.holds = source;
        }
        let mut record = verdict.head.next(in_sync, behind, filling, self.id());
        if verdict.head.is_open {
            record.taken_over = record.now.number;
        }
        record.is_open = true;
        record.publication = self.id();
        let order = [self.each(behind), self.each(in_sync)].concat();
        if !self.record(&record, &order, &mut dies_after) {
            return;
        }
        self.array = Some(Array {
            in_sync,
            behind,
            record,
            is_holding: false,
            waiting: 0,
            unnoted: 0,
        });
        self.begin(filling);
    }

    /// The kernel begins to bring in line what is behind.
    fn begin(&mut self, filling: Places) {
        for at in self.each(filling) {
            self.replicas[at].holds = 0;
            self.replicas[at].superblock = None;
        }
        self.spread_bitmap();
        self.note(Places::MAX);
    }

    /// The kernel writes the whole bitmap to those that it adds.  Reference: Linux `drivers/md/md.c`, where spares are added.
    fn spread_bitmap(&mut self) {
        let Some(array) = self.array.clone() else { return };
        let Some(source) = self.each(array.in_sync).first().copied() else {
            return;
        };
        for at in self.each(array.behind) {
            self.replicas[at].dirty = self.replicas[source].dirty;
        }
    }

    fn unpublish(&mut self, mut dies_after: usize) {
        if self.array.as_ref().is_some_and(|array| array.waiting != 0) {
            return;
        }
        let Some(array) = self.array.take() else { return };
        let in_sync = array.in_sync & array.record.now.counted();
        let mut record = array.record.next(in_sync, 0, 0, self.id());
        record.is_open = false;
        self.record(&record, &self.each(in_sync), &mut dies_after);
    }

    fn tend(&mut self, mut dies_after: usize) {
        // First what failed, and what is in line now, is noted.
        let Some(array) = self.array.clone() else { return };
        let lost = self.cut_off() & (array.in_sync | array.behind);
        let (in_sync, behind) = (array.in_sync & !lost, array.behind & !lost);
        if in_sync == 0 {
            return;
        }
        let mut record = array.record.clone();
        if (record.now.in_sync, record.now.joining) != (in_sync, behind) {
            record = record.next(in_sync, behind, record.filling, self.id());
        }
        let is_on = |at: &usize| {
            let on = self.replicas[*at].record.as_ref();
            on.is_some_and(|on| on.now.id == record.now.id)
        };
        let counted = self.each(in_sync | behind);
        if !counted.iter().all(is_on) {
            if !self.record(&record, &counted, &mut dies_after) {
                return;
            }
            if in_sync == all_of(self.replicas.len()) {
                self.replicas.iter_mut().for_each(|replica| replica.dirty = 0);
            }
        }
        for at in self.each(lost) {
            self.fail(at, Places::MAX);
        }
        self.go_on();
        // What came back is taken in.
        let Some(array) = self.array.clone() else { return };
        let used = array.in_sync | array.behind;
        let (mut behind, mut filling) = (0, 0);
        for at in self.each(all_of(self.replicas.len()) & !used & !self.cut_off()) {
            let asked = self.look().into_iter().enumerate();
            let asked: Vec<_> = asked
                .filter(|(other, _)| *other == at || used & 1 << other != 0)
                .map(|(_, found)| found)
                .collect();
            match beside(&asked, Uuid::from_u128(at as u128 + 1), array.record.publication) {
                Fate::Rebuild => filling |= 1 << at,
                Fate::CatchUp => {}
                _ => continue,
            }
            behind |= 1 << at;
        }
        if behind == 0 {
            return;
        }
        let (joining, filled) = (array.behind | behind, array.record.filling | filling);
        let record = array.record.next(array.in_sync, joining, filled, self.id());
        let order = [self.each(behind), self.each(array.in_sync | array.behind)].concat();
        if !self.record(&record, &order, &mut dies_after) {
            return;
        }
        self.array.iter_mut().for_each(|array| array.behind |= behind);
        self.begin(filling);
    }

    /// The kernel is done with bringing one in line.
    fn done(&mut self, at: usize) {
        let Some(array) = self.array.clone() else { return };
        let source = self
            .each(array.in_sync)
            .into_iter()
            .find(|at| !self.replicas[*at].is_cut_off);
        let (Some(source), true) = (source, array.behind & 1 << at != 0) else {
            return;
        };
        if self.replicas[at].is_cut_off {
            return;
        }
        let (holds, dirty) = (self.replicas[source].holds, self.replicas[source].dirty);
        let replica = &mut self.replicas[at];
        replica.holds = match array.record.filling & 1 << at == 0 {
            true => replica.holds & !dirty | holds & dirty,
            false => holds,
        };
        let lost = self.acknowledged & !replica.holds;
        assert_eq!(lost, 0, "what was brought in line lacks what was acknowledged");
        let differs = (replica.holds ^ holds) & !array.waiting;
        assert_eq!(differs, 0, "what was brought in line differs");
        if let Some(array) = &mut self.array {
            array.behind &= !(1 << at);
            array.in_sync |= 1 << at;
        }
        self.note(Places::MAX);
    }

    fn happen(&mut self, event: &Event) {
        let count = self.replicas.len();
        match event {
            Event::Write => self.write(),
            Event::CutOff(at) => {
                self.replicas[at % count].is_cut_off = true;
                if self.array.as_ref().is_some_and(|array| !array.is_holding) {
                    self.fail(at % count, Places::MAX);
                }
            }
            Event::Return(at) => {
                self.replicas[at % count].is_cut_off = false;
                self.go_on();
            }
            Event::Refuse(at) => {
                self.fail(at % count, Places::MAX);
                self.go_on();
            }
            Event::Monitor => self.array.iter_mut().for_each(|array| array.is_holding = true),
            Event::Crash => self.array = None,
            Event::CrashWhileWriting(reached) => {
                let live = self
                    .array
                    .as_ref()
                    .map_or(0, |array| array.in_sync | array.behind);
                if self.next_write < 120 {
                    let write: Writes = 1 << self.next_write;
                    self.next_write += 1;
                    for at in self.each(live & reached & !self.cut_off()) {
                        self.replicas[at].holds |= write;
                    }
                }
                self.array = None;
            }
            Event::CrashWhileFailing(at, noted) => {
                self.fail(at % count, *noted);
                self.array = None;
            }
            Event::Publish { degraded, dies_after } => self.publish(*degraded, *dies_after),
            Event::Unpublish { dies_after } => self.unpublish(*dies_after),
            Event::Tend { dies_after } => self.tend(*dies_after),
            Event::Done(at) => self.done(at % count),
        }
    }
}

fn superblock(images: u32, at: usize, events: u64, failed: u64, is_recovered: bool) -> RaidSuperblock {
    let mut bytes = [0; 64];
    bytes[..4].copy_from_slice(b"DmRd");
    bytes[8..12].copy_from_slice(&images.to_le_bytes());
    bytes[12..16].copy_from_slice(&(at as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&events.to_le_bytes());
    bytes[24..32].copy_from_slice(&failed.to_le_bytes());
    if is_recovered {
        bytes[32..40].fill(0xff);
    }
    RaidSuperblock::parse(&bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_acknowledged_write_is_lost_whatever_fails_in_whatever_order(
        count in 2..4_usize,
        events in prop::collection::vec(any_event(), 1..60),
    ) {
        let mut world = World::new(count);
        for event in &events {
            world.happen(event);
        }
        // With all of them back there is somebody to serve it.
        world.array = None;
        world.replicas.iter_mut().for_each(|replica| replica.is_cut_off = false);
        let verdict = judge(&world.look(), false);
        prop_assert!(verdict.is_ok(), "{verdict:?}");
    }
}

#[test]
fn the_model_serves_often_enough_to_tell_something() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut served, mut written) = (0, 0);
    for _ in 0..200 {
        let events = prop::collection::vec(any_event(), 60)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut world = World::new(3);
        events.iter().for_each(|event| world.happen(event));
        served += world.served;
        written += world.next_write;
    }
    assert!(served > 300 && written > 300, "{served} {written}");
}
