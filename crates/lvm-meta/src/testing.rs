//! Disks that crash and fail on demand, for the tests of this crate and of its users.
//!
//! [`CrashDisks`] notes every write and sync of a group of disks, and then gives what a loss of power at any moment
//! could leave on them.  [`Faults`] makes one operation of a group of disks fail.  Both group disks because a VG's
//! metadata is on several, and what counts is the order over all of them.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Disk, MemDisk};

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// One write, or one sync when there are no bytes.
struct Event {
    disk: usize,
    write: Option<(u64, Vec<u8>)>,
}

type Journal = Arc<Mutex<Vec<Event>>>;

fn lock(journal: &Journal) -> MutexGuard<'_, Vec<Event>> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Disks in memory that note what is done to them.
///
/// The model of a disk: a sector is written as a whole or not at all; until a sync returns, each write since the
/// last one may have landed or not, whatever the order, and the last one in part.
pub struct CrashDisks {
    before: Vec<Vec<u8>>,
    disks: Vec<Arc<dyn Disk>>,
    journal: Journal,
}

struct CrashDisk {
    number: usize,
    live: MemDisk,
    journal: Journal,
}

impl Disk for CrashDisk {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.live.read_at(at, buf)
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.live.write_at(at, bytes)?;
        lock(&self.journal).push(Event {
            disk: self.number,
            write: Some((at, bytes.to_vec())),
        });
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        lock(&self.journal).push(Event {
            disk: self.number,
            write: None,
        });
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        self.live.size()
    }
}

/// A moment at which the power went, and what of the writes that no sync covered was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashPoint {
    /// Writes and syncs that were asked for before, see [`CrashDisks::event_count`].
    pub events: usize,
    /// What was lost.
    pub lost: Lost,
}

/// What a loss of power takes of the writes that no sync covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing: all had landed.
    Nothing,
    /// All of them.
    All,
    /// One of them, by its number among all events.
    Write(usize),
    /// The last one but for its first sectors, as many as this.
    AllButFirst(usize),
    /// The last one but for its last sectors, all but as many as this.
    First(usize),
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "power lost after {} writes and syncs, lost: {:?}",
            self.events, self.lost
        )
    }
}

impl CrashDisks {
    /// Disks that hold these bytes, durably.
    pub fn new(images: Vec<Vec<u8>>) -> Self {
        let journal = Journal::default();
        let disk = |(number, image): (usize, &Vec<u8>)| -> Arc<dyn Disk> {
            Arc::new(CrashDisk {
                number,
                live: MemDisk::new(image.clone()),
                journal: journal.clone(),
            })
        };
        let disks = images.iter().enumerate().map(disk).collect();
        Self {
            before: images,
            disks,
            journal,
        }
    }

    /// The disks, in the order of their images.
    pub fn disks(&self) -> Vec<Arc<dyn Disk>> {
        self.disks.clone()
    }

    /// The writes and syncs so far, on all disks together.
    pub fn event_count(&self) -> usize {
        lock(&self.journal).len()
    }

    /// What the disks hold with all writes landed.
    pub fn images(&self) -> Vec<Vec<u8>> {
        self.image(&CrashPoint {
            events: self.event_count(),
            lost: Lost::Nothing,
        })
    }

    /// What the disks hold for certain: the writes that a sync covered.
    pub fn durable_images(&self) -> Vec<Vec<u8>> {
        self.image(&CrashPoint {
            events: self.event_count(),
            lost: Lost::All,
        })
    }

    /// Every moment at which the power could have gone, with what it could have cost.
    pub fn crash_points(&self) -> Vec<CrashPoint> {
        let events = lock(&self.journal);
        let mut points = vec![CrashPoint {
            events: 0,
            lost: Lost::Nothing,
        }];
        for (last, event) in events.iter().enumerate() {
            // After a sync there is nothing that was not there before it.
            let Some((_, bytes)) = &event.write else { continue };
            let count = last.saturating_add(1);
            let mut lost = vec![Lost::Nothing, Lost::All];
            lost.extend(open_writes(&events, count).map(Lost::Write));
            let sectors = bytes.len().div_ceil(SECTOR);
            lost.extend((1..sectors).flat_map(|some| [Lost::AllButFirst(some), Lost::First(some)]));
            points.extend(lost.into_iter().map(|lost| CrashPoint { events: count, lost }));
        }
        points
    }

    /// What the disks hold when the power comes back.
    pub fn image(&self, point: &CrashPoint) -> Vec<Vec<u8>> {
        let events = lock(&self.journal);
        let open: Vec<usize> = open_writes(&events, point.events).collect();
        let last = point.events.checked_sub(1);
        let mut images = self.before.clone();
        for (number, event) in events.iter().enumerate().take(point.events) {
            let Some((at, bytes)) = &event.write else { continue };
            let is_open = open.contains(&number);
            let cut = |sectors: usize| sectors.saturating_mul(SECTOR).min(bytes.len());
            let landed = match point.lost {
                Lost::All if is_open => continue,
                Lost::Write(lost) if lost == number => continue,
                Lost::AllButFirst(some) if Some(number) == last => 0..cut(some),
                Lost::First(some) if Some(number) == last => cut(some)..bytes.len(),
                _ => 0..bytes.len(),
            };
            let from = usize::try_from(*at)
                .unwrap_or(usize::MAX)
                .saturating_add(landed.start);
            let place = from..from.saturating_add(landed.len());
            let place = images.get_mut(event.disk).and_then(|image| image.get_mut(place));
            if let (Some(place), Some(bytes)) = (place, bytes.get(landed)) {
                place.copy_from_slice(bytes);
            }
        }
        images
    }

    /// Calls `each` with what every crash could leave, as fresh disks.
    pub fn each_crash(&self, mut each: impl FnMut(&CrashPoint, Vec<Arc<dyn Disk>>)) {
        for point in self.crash_points() {
            let disks = self.image(&point).into_iter();
            each(
                &point,
                disks
                    .map(|image| -> Arc<dyn Disk> { Arc::new(MemDisk::new(image)) })
                    .collect(),
            );
        }
    }
}

/// The writes among the first `count` events that no later sync of their disk among them covers.
fn open_writes(events: &[Event], count: usize) -> impl Iterator<Item = usize> {
    let events = events.get(..count).unwrap_or(events);
    let is_open = move |(number, event): &(usize, &Event)| {
        let later = events.get(*number..).unwrap_or_default();
        event.write.is_some()
            && !later
                .iter()
                .any(|other| other.write.is_none() && other.disk == event.disk)
    };
    events
        .iter()
        .enumerate()
        .filter(is_open)
        .map(|(number, _)| number)
}

/// Counts the operations of a group of disks, and fails one of them, or all from one on.
///
/// Where one fails, those before and after it succeed: only a caller that refuses to go on by itself passes.  Of a write
/// that fails the first half of its sectors lands; of a disk that is gone nothing lands.
#[derive(Debug, Default)]
pub struct Faults {
    fails: Option<usize>,
    /// What fails first fails for good.
    is_gone: bool,
    done: AtomicUsize,
}

impl Faults {
    /// Fails no operation.
    pub fn never() -> Arc<Self> {
        Arc::default()
    }

    /// Fails the operation of this number; the first one is 0.
    pub fn at(number: usize) -> Arc<Self> {
        Arc::new(Self {
            fails: Some(number),
            ..Self::default()
        })
    }

    /// Fails the operation of this number and all after it, as a device does that was taken away.
    pub fn gone_at(number: usize) -> Arc<Self> {
        Arc::new(Self {
            fails: Some(number),
            is_gone: true,
            ..Self::default()
        })
    }

    /// The reads, writes and syncs so far.
    pub fn count(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Tells whether the operation that fails was reached.
    pub fn has_struck(&self) -> bool {
        self.fails.is_some_and(|fails| self.count() > fails)
    }

    /// Puts a disk under this count.
    pub fn wrap(self: &Arc<Self>, disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
        Arc::new(FailDisk {
            disk,
            faults: self.clone(),
        })
    }

    fn next_fails(&self) -> bool {
        let number = self.done.fetch_add(1, Ordering::Relaxed);
        self.fails
            .is_some_and(|fails| number == fails || (self.is_gone && number > fails))
    }
}

struct FailDisk {
    disk: Arc<dyn Disk>,
    faults: Arc<Faults>,
}

fn fault() -> io::Error {
    io::Error::other("a fault was asked for here")
}

impl Disk for FailDisk {
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.faults.next_fails() {
            Err(fault())
        } else {
            self.disk.read_at(at, buf)
        }
    }
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.faults.next_fails() {
            return self.disk.write_at(at, bytes);
        }
        let sectors = if self.faults.is_gone {
            0
        } else {
            bytes.len() / SECTOR / 2
        };
        let half = sectors.saturating_mul(SECTOR);
        self.disk.write_at(at, bytes.get(..half).unwrap_or_default())?;
        Err(fault())
    }
    fn sync(&self) -> io::Result<()> {
        if self.faults.next_fails() {
            Err(fault())
        } else {
            self.disk.sync()
        }
    }
    fn size(&self) -> io::Result<u64> {
        self.disk.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_bytes(images: &[Vec<u8>]) -> Vec<u8> {
        images
            .iter()
            .flat_map(|image| image.iter().step_by(SECTOR).copied())
            .collect()
    }

    #[test]
    fn a_crash_takes_only_what_no_sync_covered() {
        let crash = CrashDisks::new(vec![vec![0; 1024], vec![0; 512]]);
        let disks = crash.disks();
        disks[0].write_at(0, &[1; 512]).unwrap();
        disks[0].sync().unwrap();
        disks[1].write_at(0, &[2; 512]).unwrap();
        disks[0].write_at(0, &[3; 1024]).unwrap();
        let seen: Vec<_> = crash
            .crash_points()
            .iter()
            .map(|point| first_bytes(&crash.image(point)))
            .collect();
        let expected: [&[u8]; 13] = [
            &[0, 0, 0],
            // After the first write: landed, all lost, it alone lost.
            &[1, 0, 0],
            &[0, 0, 0],
            &[0, 0, 0],
            // After the second disk's.
            &[1, 0, 2],
            &[1, 0, 0],
            &[1, 0, 0],
            // After the last: landed, all lost, each lost, its first and its last sector only.
            &[3, 3, 2],
            &[1, 0, 0],
            &[3, 3, 0],
            &[1, 0, 2],
            &[3, 0, 2],
            &[1, 3, 2],
        ];
        assert_eq!(seen, expected);
        assert_eq!(first_bytes(&crash.durable_images()), [1, 0, 0]);
        assert_eq!(first_bytes(&crash.images()), [3, 3, 2]);
    }

    #[test]
    fn the_chosen_operation_fails_and_no_other() {
        let faults = Faults::at(1);
        let disk = faults.wrap(Arc::new(MemDisk::new(vec![0; 2048])));
        disk.write_at(0, &[1; 512]).unwrap();
        assert!(!faults.has_struck());
        assert!(disk.write_at(0, &[2; 2048]).is_err());
        assert!(faults.has_struck());
        disk.sync().unwrap();
        let mut bytes = [0; 2048];
        disk.read_at(0, &mut bytes).unwrap();
        // Half of the failed write landed.
        assert_eq!(first_bytes(&[bytes.to_vec()]), [2, 2, 0, 0]);
        assert_eq!(faults.count(), 4);
    }

    #[test]
    fn a_disk_that_is_gone_stays_so() {
        let live = Arc::new(MemDisk::new(vec![0; 1024]));
        let disk = Faults::gone_at(1).wrap(live.clone());
        disk.write_at(0, &[1; 512]).unwrap();
        assert!(disk.write_at(0, &[2; 1024]).is_err());
        assert!(disk.sync().is_err() && disk.read_at(0, &mut [0]).is_err());
        assert_eq!(first_bytes(&[live.bytes()]), [1, 0]);
    }
}
