//! The record that each replica of a volume keeps of it: which replicas there are, which of them had every write, and
//! what came before.
//!
//! A slot, of 16 KiB; all integers are little-endian:
//!
//! | byte | size | field |
//! | ---: | ---: | --- |
//! |    0 |    8 | `LVMNVOL1` |
//! |    8 |    4 | CRC-32 of all that follows |
//! |   12 |    4 | 1 if the volume is published |
//! |   16 |   16 | the volume's UUID |
//! |   32 |   16 | the replica's own UUID |
//! |   48 |    8 | bytes of the volume |
//! |   56 |    8 | epoch |
//! |   64 |   16 | the epoch's id, drawn at random |
//! |   80 |   16 | the publication's id |
//! |   96 |    8 | bytes of a region |
//! |  104 |    8 | the replicas that are in sync, a bit each |
//! |  112 |    8 | those that are brought in line, and may be in sync before it is noted |
//! |  120 |    8 | those of the last that are filled from the start: until then nothing on them counts |
//! |  128 |    8 | if this replica is brought in line: the events in the kernel's superblock when that began, which tells nothing of this epoch unless it counts more |
//! |  136 |    8 | the epoch in which the volume was last published though it had not been unpublished; 0: in none |
//! |  144 |    2 | how many replicas |
//! |  146 |    2 | how many earlier epochs |
//! |  148 |    2 | length of the publisher's NQN |
//! |  150 |      | the NQN; of each replica its UUID, the length of its URI (2) and the URI; of each earlier epoch, the newest first, its number (8), its id (16), its replicas in sync (8) and brought in line (8) |
//!
//! It is written to the slot that does not hold the newest record, and is durable before anything relies on it: a torn write
//! leaves the other slot.

use lvm_dm::RaidSuperblock;
use lvm_meta::Disk;
use uuid::Uuid;

use super::geometry::{SLOTS, region_size, volume_size};
use crate::nvmf::{Nqn, ReplicaUri};
use crate::{Error, identity};

/// Bytes of a slot.
pub(super) const SLOT_SIZE: usize = 16 << 10;
const MAGIC: &[u8; 8] = b"LVMNVOL1";
/// Where what the checksum covers begins.
const CHECKED: usize = 12;
/// The most replicas of a volume.
pub(super) const MOST_MEMBERS: usize = 8;
/// The earlier epochs that are remembered.
pub(super) const MOST_PAST: usize = 128;

/// Replicas by their place in the record: a bit each.
pub(super) type Places = u64;

/// Each of these places.
pub(super) fn places(all: Places) -> impl Iterator<Item = usize> {
    (0..Places::BITS as usize).filter(move |place| all & 1 << place != 0)
}

/// The bits of `count` replicas.
pub(super) fn all_of(count: usize) -> Places {
    (1 << count.min(MOST_MEMBERS)) - 1
}

/// A replica of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) uuid: Uuid,
    /// Where it was reached last.
    pub(super) uri: String,
}

/// One state of the set of replicas that have every write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) number: u64,
    pub(super) id: Uuid,
    pub(super) in_sync: Places,
    /// Those that may come to have every write before it is noted.
    pub(super) joining: Places,
}

impl Epoch {
    /// All that may have every write.
    pub(super) fn counted(&self) -> Places {
        self.in_sync | self.joining
    }
}

/// What a replica knows of its volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) volume: Uuid,
    /// Bytes.
    pub(super) size: u64,
    /// Bytes that a bit of the bitmap stands for.
    pub(super) region: u64,
    pub(super) now: Epoch,
    /// Those that join of which nothing counted when they began.
    pub(super) filling: Places,
    /// What the kernel's superblock on this replica counted when this replica began to join; 0 if it does not.
    pub(super) outdated_events: u64,
    /// The epoch in which it was last published though it had not been unpublished: what was under way before may be on a replica
    /// that was not there then.
    pub(super) taken_over: u64,
    /// The newest first.
    pub(super) past: Vec<Epoch>,
    pub(super) is_open: bool,
    /// Who publishes or published it, and as which publication.
    pub(super) publisher: Option<Nqn>,
    pub(super) publication: Uuid,
    pub(super) members: Vec<Member>,
}

impl Record {
    /// The first record of a volume of `size` bytes: every replica is as good as the others.
    pub(super) fn created(volume: Uuid, size: u64, members: Vec<Member>) -> Self {
        Self {
            volume,
            size,
            region: region_size(size),
            now: Epoch {
                number: 1,
                id: Uuid::new_v5(&volume, b"created"),
                in_sync: all_of(members.len()),
                joining: 0,
            },
            filling: 0,
            outdated_events: 0,
            taken_over: 0,
            past: Vec::new(),
            is_open: false,
            publisher: None,
            publication: Uuid::nil(),
            members,
        }
    }

    /// The record of the next epoch; of those that join, `filling` are filled from the start.
    pub(super) fn next(&self, in_sync: Places, joining: Places, filling: Places, id: Uuid) -> Self {
        let mut past = Vec::with_capacity((self.past.len() + 1).min(MOST_PAST));
        past.push(self.now);
        past.extend(self.past.iter().take(MOST_PAST - 1));
        Self {
            now: Epoch {
                number: self.now.number.saturating_add(1),
                id,
                in_sync,
                joining: joining & !in_sync,
            },
            filling: filling & joining & !in_sync,
            past,
            ..self.clone()
        }
    }

    /// The record in which these are in sync, and these are joining: this one if they are.
    pub(super) fn with_only(&self, in_sync: Places, joining: Places) -> Result<Self, Error> {
        match (self.now.in_sync, self.now.joining) == (in_sync, joining) {
            true => Ok(self.clone()),
            false => Ok(self.next(in_sync, joining, self.filling, identity::new_uuid()?)),
        }
    }

    /// The record as this replica gets it, which had `known` and `superblock`.
    pub(super) fn for_replica(
        &self,
        own: Uuid,
        known: Option<&Self>,
        superblock: Option<&RaidSuperblock>,
    ) -> Self {
        let joins = |record: &&Self| {
            let place = record.place_of(own);
            place.is_some_and(|place| record.now.joining & 1 << place != 0)
        };
        let began = known.filter(|known| joins(known) && known.publication == self.publication);
        let outdated_events = match (joins(&self), began) {
            (false, _) => 0,
            (true, Some(known)) => known.outdated_events,
            (true, None) => superblock.map_or(0, |found| found.events),
        };
        Self {
            outdated_events,
            ..self.clone()
        }
    }

    /// A replica's place.
    pub(super) fn place_of(&self, uuid: Uuid) -> Option<usize> {
        self.members.iter().position(|member| member.uuid == uuid)
    }

    /// Is it of the same volume with the same replicas?
    pub(super) fn is_of_one_volume(&self, other: &Self) -> bool {
        let uuids =
            |record: &Self| -> Vec<Uuid> { record.members.iter().map(|member| member.uuid).collect() };
        (self.volume, self.size, self.region) == (other.volume, other.size, other.region)
            && uuids(self) == uuids(other)
    }

    /// The slot's bytes, for the replica with this UUID.
    pub(super) fn encode(&self, own: Uuid) -> Vec<u8> {
        let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
        let publisher = self.publisher.as_ref().map_or("", Nqn::as_str);
        let mut bytes = Vec::with_capacity(SLOT_SIZE);
        bytes.extend(MAGIC);
        bytes.extend([0; 4]);
        bytes.extend(u32::from(self.is_open).to_le_bytes());
        bytes.extend(self.volume.as_bytes());
        bytes.extend(own.as_bytes());
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.now.number.to_le_bytes());
        bytes.extend(self.now.id.as_bytes());
        bytes.extend(self.publication.as_bytes());
        bytes.extend(self.region.to_le_bytes());
        bytes.extend(self.now.in_sync.to_le_bytes());
        bytes.extend(self.now.joining.to_le_bytes());
        bytes.extend(self.filling.to_le_bytes());
        bytes.extend(self.outdated_events.to_le_bytes());
        bytes.extend(self.taken_over.to_le_bytes());
        bytes.extend(short(self.members.len()));
        bytes.extend(short(self.past.len()));
        bytes.extend(short(publisher.len()));
        bytes.extend(publisher.bytes());
        for member in &self.members {
            bytes.extend(member.uuid.as_bytes());
            bytes.extend(short(member.uri.len()));
            bytes.extend(member.uri.bytes());
        }
        for epoch in &self.past {
            bytes.extend(epoch.number.to_le_bytes());
            bytes.extend(epoch.id.as_bytes());
            bytes.extend(epoch.in_sync.to_le_bytes());
            bytes.extend(epoch.joining.to_le_bytes());
        }
        debug_assert!(bytes.len() <= SLOT_SIZE);
        bytes.resize(SLOT_SIZE, 0);
        let checksum = crc32fast::hash(&bytes[CHECKED..]);
        bytes[8..CHECKED].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a slot, of the replica with this UUID; an error says what is wrong with it.  Never panics.
    fn decode(bytes: &[u8], own: Uuid) -> Result<Self, &'static str> {
        let checked = bytes.get(CHECKED..SLOT_SIZE).ok_or("it is cut")?;
        let mut fields = Fields(bytes);
        if fields.take(8)? != MAGIC {
            return Err("it has no magic");
        }
        if fields.u32()? != crc32fast::hash(checked) {
            return Err("its checksum is wrong");
        }
        let is_open = match fields.u32()? {
            0 => false,
            1 => true,
            _ => return Err("it is neither open nor closed"),
        };
        let volume = fields.uuid()?;
        if fields.uuid()? != own {
            return Err("it is another replica's");
        }
        let (size, number, id) = (fields.u64()?, fields.u64()?, fields.uuid()?);
        let (publication, region) = (fields.uuid()?, fields.u64()?);
        let (in_sync, joining, filling) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (outdated_events, taken_over) = (fields.u64()?, fields.u64()?);
        let (count, past_count) = (fields.u16()?, fields.u16()?);
        if !(1..=MOST_MEMBERS).contains(&count) || past_count > MOST_PAST {
            return Err("it counts too many replicas or epochs");
        }
        let valid = |in_sync: Places, joining: Places| {
            in_sync != 0 && (in_sync | joining) & !all_of(count) == 0 && in_sync & joining == 0
        };
        if volume_size(size).ok() != Some(size)
            || !region.is_power_of_two()
            || region < region_size(size)
            || !valid(in_sync, joining)
            || filling & !joining != 0
        {
            return Err("its numbers are impossible");
        }
        let publisher = match fields.text(Nqn::MAX)? {
            "" => None,
            text => Some(Nqn::parse(text).map_err(|_| "its publisher has no NQN")?),
        };
        let mut members: Vec<Member> = Vec::with_capacity(count);
        for _ in 0..count {
            let uuid = fields.uuid()?;
            let uri = fields.text(ReplicaUri::MAX)?.to_owned();
            if members.iter().any(|member| member.uuid == uuid) {
                return Err("it names a replica twice");
            }
            members.push(Member { uuid, uri });
        }
        if !members.iter().any(|member| member.uuid == own) {
            return Err("it does not name its own replica");
        }
        let mut past = Vec::with_capacity(past_count);
        let mut before = number;
        for _ in 0..past_count {
            let epoch = Epoch {
                number: fields.u64()?,
                id: fields.uuid()?,
                in_sync: fields.u64()?,
                joining: fields.u64()?,
            };
            if epoch.number >= before || !valid(epoch.in_sync, epoch.joining) {
                return Err("its earlier epochs are out of order");
            }
            before = epoch.number;
            past.push(epoch);
        }
        let now = Epoch {
            number,
            id,
            in_sync,
            joining,
        };
        Ok(Self {
            volume,
            size,
            region,
            now,
            filling,
            outdated_events,
            taken_over,
            past,
            is_open,
            publisher,
            publication,
            members,
        })
    }
}

/// The fields of a slot, from the first on.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it is cut")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N)?.try_into().map_err(|_| "it is cut")
    }

    fn u16(&mut self) -> Result<usize, &'static str> {
        self.array().map(|bytes| usize::from(u16::from_le_bytes(bytes)))
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        self.array().map(u64::from_le_bytes)
    }

    fn uuid(&mut self) -> Result<Uuid, &'static str> {
        self.array().map(Uuid::from_bytes)
    }

    fn text(&mut self, limit: usize) -> Result<&'a str, &'static str> {
        let length = self.u16()?;
        if length > limit {
            return Err("a text in it is too long");
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text in it is none")
    }
}

/// What is in a replica's slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slots {
    /// Nothing was ever written there, or it was blanked.
    Blank,
    /// A record.
    Record(Box<Record>),
    /// Something else, and what is wrong with it.
    Broken(&'static str),
}

/// Reads both slots of the replica with this UUID; the newer record counts.
///
/// # Errors
/// The disk's.
pub(super) fn read(disk: &dyn Disk, own: Uuid) -> std::io::Result<Slots> {
    read_slots(disk, own).map(|(slots, _)| slots)
}

/// What is in the slots, and the slot to write next.
fn read_slots(disk: &dyn Disk, own: Uuid) -> std::io::Result<(Slots, u64)> {
    let mut found: Option<(Record, usize)> = None;
    let mut broken = None;
    for (at, slot) in SLOTS.iter().enumerate() {
        let mut bytes = vec![0; SLOT_SIZE];
        disk.read_at(*slot, &mut bytes)?;
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        match Record::decode(&bytes, own) {
            Ok(record) => {
                if found
                    .as_ref()
                    .is_none_or(|(best, _)| best.now.number < record.now.number)
                {
                    found = Some((record, at));
                }
            }
            Err(why) => broken = Some(why),
        }
    }
    Ok(match found {
        Some((record, at)) => (Slots::Record(Box::new(record)), SLOTS[1 - at]),
        None => (broken.map_or(Slots::Blank, Slots::Broken), SLOTS[0]),
    })
}

/// Writes the record to the slot that does not hold the newest one.  Durable when this returns.
///
/// # Errors
/// The disk's: the earlier record is whole all the same.
pub(super) fn write(disk: &dyn Disk, own: Uuid, record: &Record) -> std::io::Result<()> {
    let (_, slot) = read_slots(disk, own)?;
    disk.write_at(slot, &record.encode(own))?;
    disk.sync()
}

/// A replica's URI as records keep it.
///
/// # Errors
/// [`Error::InvalidArgument`] for one that is too long.
pub(super) fn check_uri(uri: &ReplicaUri) -> Result<String, Error> {
    let text = uri.to_string();
    match text.len() <= ReplicaUri::MAX {
        true => Ok(text),
        false => Err(Error::InvalidArgument {
            what: "replica URI",
            given: text,
            why: format!("it is longer than {} bytes", ReplicaUri::MAX),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lvm_meta::MemDisk;
    use proptest::prelude::*;

    const OWN: Uuid = Uuid::from_u128(1);

    fn record(number: u64) -> Record {
        Record {
            volume: Uuid::from_u128(9),
            size: 64 << 20,
            region: 512 << 10,
            now: Epoch {
                number,
                id: Uuid::from_u128(u128::from(number)),
                in_sync: 3,
                joining: 0,
            },
            filling: 0,
            outdated_events: 0,
            taken_over: 0,
            past: Vec::new(),
            is_open: true,
            publisher: Nqn::of_node("n").ok(),
            publication: Uuid::from_u128(5),
            members: [OWN, Uuid::from_u128(2)]
                .map(|uuid| Member {
                    uuid,
                    uri: format!("nvmf://10.0.0.1:8420/x?uuid={uuid}"),
                })
                .into(),
        }
    }

    #[test]
    fn the_largest_record_fits_a_slot_and_reads_back() {
        let mut largest = record(1);
        largest.publisher = Some(Nqn::parse(&format!("nqn.2019-05.io:{}", "x".repeat(208))).unwrap());
        largest.members = (0..MOST_MEMBERS as u128)
            .map(|at| Member {
                uuid: Uuid::from_u128(at + 1),
                uri: "u".repeat(ReplicaUri::MAX),
            })
            .collect();
        for number in 2..2 * MOST_PAST as u128 {
            largest = largest.next(1, 6, 2, Uuid::from_u128(number));
        }
        assert_eq!(largest.past.len(), MOST_PAST);
        assert_eq!(Record::decode(&largest.encode(OWN), OWN), Ok(largest));
    }

    #[test]
    fn a_record_with_more_regions_than_the_kernels_bitmap_has_is_refused() {
        let small = Record {
            region: 4096,
            ..record(1)
        };
        assert!(Record::decode(&small.encode(OWN), OWN).is_err());
    }

    #[test]
    fn a_torn_write_leaves_the_record_before() {
        let disk = MemDisk::new(vec![0; 1 << 20]);
        assert_eq!(read(&disk, OWN).unwrap(), Slots::Blank);
        let (mut written, mut bytes) = (record(1), Vec::new());
        for cut in 0..64 {
            write(&disk, OWN, &written).unwrap();
            assert_eq!(
                read(&disk, OWN).unwrap(),
                Slots::Record(Box::new(written.clone()))
            );
            let next = written.next(1, 2, 2, Uuid::from_u128(cut));
            bytes.clear();
            bytes.extend(next.encode(OWN));
            let (_, slot) = read_slots(&disk, OWN).unwrap();
            let part = 512 * (cut as usize % 31) + cut as usize % 5;
            disk.write_at(slot, &bytes[..part]).unwrap();
            let found = read(&disk, OWN).unwrap();
            assert!(
                found == Slots::Record(Box::new(written.clone()))
                    || found == Slots::Record(Box::new(next.clone())),
                "{cut}"
            );
            written = next;
        }
    }

    #[test]
    fn a_record_copied_to_another_replica_is_not_taken() {
        let disk = MemDisk::new(vec![0; 1 << 20]);
        write(&disk, OWN, &record(1)).unwrap();
        assert!(matches!(
            read(&disk, Uuid::from_u128(2)).unwrap(),
            Slots::Broken(_)
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_change_goes_unseen(at in 0..SLOT_SIZE, value in any::<u8>(), fix in any::<bool>()) {
            let whole = record(7).next(1, 2, 0, Uuid::from_u128(3));
            let mut bytes = whole.encode(OWN);
            let is_changed = bytes[at] != value;
            bytes[at] = value;
            if fix {
                // Whoever makes the checksum right gets a record, or an error.
                let checksum = crc32fast::hash(&bytes[CHECKED..]);
                bytes[8..CHECKED].copy_from_slice(&checksum.to_le_bytes());
                let _ = Record::decode(&bytes, OWN);
            } else {
                prop_assert_eq!(Record::decode(&bytes, OWN).is_err(), is_changed);
            }
        }

        #[test]
        fn no_length_panics(length in 0..SLOT_SIZE) {
            prop_assert!(Record::decode(&record(1).encode(OWN)[..length], OWN).is_err());
        }
    }
}
