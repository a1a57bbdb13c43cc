//! Which replicas of a volume may serve it, judged from what they tell.  The argument is in docs/volumes.md.
//!
//! A write is acknowledged when every replica that the kernel has in sync took it.  So the replicas of the newest epoch's set
//! have every acknowledged write, but for those that the kernel lost since: it notes them as failed in the superblocks of
//! the others before it acknowledges what they miss.  A replica that is brought in line is in sync as soon as the kernel says
//! so, be it noted or not, so it is suspected from the start.  One that is not there may have gone on alone as long as nothing
//! says that it did not; then the volume is not served without the caller's explicit word.

use lvm_dm::RaidSuperblock;
use uuid::Uuid;

use super::record::{Epoch, MOST_PAST, Places, Record, all_of};

/// What is known of a replica.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// It cannot be reached.
    Absent,
    /// It has no record: nothing on it counts.
    Blank,
    /// It has one that cannot be read: nobody knows what is on it.
    Damaged,
    /// What it tells.
    Known {
        record: Box<Record>,
        /// What the kernel noted of its image; `None` if it never did, or of another array.
        superblock: Option<RaidSuperblock>,
    },
}

/// What becomes of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has every acknowledged write.
    InSync,
    /// It had, and lacks only what the bitmap of those in sync tells.
    CatchUp,
    /// Nothing that it holds counts.
    Rebuild,
    /// It is not there.
    Absent,
    /// It may hold acknowledged writes that those in sync lack: nothing is done to it without the caller's word.
    Diverged,
}

/// Who serves the volume.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// The newest record.
    pub(super) head: Record,
    /// By the places of its replicas.
    pub(super) fates: Vec<Fate>,
}

/// Why the volume is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No replica has a record.
    NoRecord,
    /// The records are of different volumes, or this replica is none of the volume's.
    OtherVolume(Uuid),
    /// These replicas have acknowledged writes that others lack, each way.
    SplitBrain(Vec<Uuid>),
    /// One of these may have newer writes.
    MayBeNewer(Vec<Uuid>),
    /// No replica that is there is in sync.
    NoneInSync,
}

impl Verdict {
    /// The places with this fate.
    pub(super) fn places(&self, fate: Fate) -> Places {
        let with = |(place, _): (usize, &Fate)| 1 << place;
        let all = self.fates.iter().enumerate();
        all.filter(|(_, found)| **found == fate)
            .map(with)
            .fold(0, |all: Places, one: Places| all | one)
    }
}

/// The replicas that are there and have a record.
type Known<'a> = [(Uuid, &'a Record, Option<&'a RaidSuperblock>)];

/// What the kernel noted in the record's time: before a replica began to join it noted what is of no use now.
fn current<'a>(record: &Record, superblock: &'a Option<RaidSuperblock>) -> Option<&'a RaidSuperblock> {
    superblock
        .as_ref()
        .filter(|found| found.events > record.outdated_events)
}

/// The replicas whose writes those of `record`'s replica may go beyond: those that the kernel noted as failed, which it does
/// before it acknowledges anything without them, and those that the record leaves out, unless its epoch never began.
fn outrun(record: &Record, superblock: Option<&RaidSuperblock>, known: &Known<'_>) -> Places {
    let left_out = match is_cut_short(record, known) {
        true => 0,
        false => !record.now.in_sync,
    };
    all_of(record.members.len()) & (left_out | superblock.map_or(0, |found| found.failed))
}

/// Was the epoch's record never written to one that it counts on?  Nothing is written to the volume before it is on all.
fn is_cut_short(record: &Record, known: &Known<'_>) -> bool {
    known.iter().any(|(uuid, other, _)| {
        let is_counted = record
            .place_of(*uuid)
            .is_some_and(|place| record.now.counted() & 1 << place != 0);
        let remembers = other.past.len() < MOST_PAST
            || other
                .past
                .last()
                .is_some_and(|oldest| oldest.number < record.now.number);
        is_counted && remembers && other.now.id != record.now.id && in_past(other, record.now.id).is_none()
    })
}

/// The epoch in `head`'s past with this id, and the one after it.
fn in_past(head: &Record, id: Uuid) -> Option<(Epoch, Epoch)> {
    let at = head.past.iter().position(|epoch| epoch.id == id)?;
    let after = match at.checked_sub(1) {
        Some(at) => *head.past.get(at)?,
        None => head.now,
    };
    Some((*head.past.get(at)?, after))
}

/// What a replica that is not in sync with `head` is worth.
fn fate_behind(
    head: &Record,
    place: usize,
    (record, superblock): (&Record, Option<&RaidSuperblock>),
    known: &Known<'_>,
) -> Fate {
    let own: Places = 1 << place;
    let failed = superblock.map_or(0, |found| found.failed) & !own;
    // Without the kernel's superblock there is nothing that a bitmap could be about.
    let had_bitmap = superblock.is_some() || record.outdated_events > 0;
    let is_whole = superblock.is_some_and(|found| found.is_recovered);
    // What was under way when a publisher died no bitmap keeps.
    let was_away = record.now.number < head.taken_over;
    let behind = match record.filling & own != 0 && !is_whole || !had_bitmap || was_away {
        true => Fate::Rebuild,
        false => Fate::CatchUp,
    };
    if record.now.id == head.now.id {
        // It failed in this epoch, by what the others say.
        return match failed & head.now.in_sync {
            0 => behind,
            _ => Fate::Diverged,
        };
    }
    match in_past(head, record.now.id) {
        // Records are written to those that count alone.
        Some((then, _)) if then.counted() & own == 0 => Fate::Diverged,
        // It went on without one that the next epoch was begun with.
        Some((_, after)) if after.counted() & own == 0 && failed & after.in_sync != 0 => Fate::Diverged,
        Some(_) => behind,
        // A beginning that was cut before anything was written; anything else may hold what was acknowledged.
        None => match outrun(record, superblock, known) & head.now.in_sync & !own {
            0 if record.now.number > head.past.last().map_or(0, |oldest| oldest.number) => Fate::Rebuild,
            _ => Fate::Diverged,
        },
    }
}

/// Judges what was found of a volume's replicas.
///
/// `degraded` is the caller's word that those which are not there do not count.
///
/// # Errors
/// [`Refused`].
pub(super) fn judge(found: &[(Uuid, Found)], degraded: bool) -> Result<Verdict, Refused> {
    let known: Vec<_> = found
        .iter()
        .filter_map(|(uuid, found)| match found {
            Found::Known { record, superblock } => Some((*uuid, &**record, current(record, superblock))),
            _ => None,
        })
        .collect();
    if let Some((uuid, _)) = known
        .first()
        .and_then(|(_, first, _)| found.iter().find(|(uuid, _)| first.place_of(*uuid).is_none()))
    {
        return Err(Refused::OtherVolume(*uuid));
    }
    let head = newest(&known)?;
    let by_place: Vec<&Found> = head
        .members
        .iter()
        .map(|member| {
            let found = found.iter().find(|(uuid, _)| *uuid == member.uuid);
            found.map_or(&Found::Absent, |(_, found)| found)
        })
        .collect();
    let count = by_place.len();
    let told = |place: usize| match by_place.get(place) {
        Some(Found::Known { record, superblock }) => Some((&**record, current(record, superblock))),
        _ => None,
    };
    // Those that the newest epoch counts on and that can be asked.
    let mut trusted: Vec<usize> = (0..count)
        .filter(|place| head.now.counted() & 1 << place != 0)
        .filter(|place| told(*place).is_some_and(|(record, _)| is_part_of(&head, *place, record, &known)))
        .collect();
    let superblock = |place: usize| told(place).and_then(|(_, superblock)| superblock);
    let newest_events = trusted
        .iter()
        .filter_map(|place| superblock(*place))
        .map(|found| found.events)
        .max();
    let fresh = |place: &usize| superblock(*place).is_some_and(|found| Some(found.events) == newest_events);
    let failed: Places = trusted
        .iter()
        .filter(|place| fresh(place))
        .filter_map(|place| superblock(*place))
        .fold(0, |all, found| all | found.failed);
    let is_whole = |place: &usize| match superblock(*place) {
        Some(found) => found.is_recovered,
        // The kernel never got to it, but to others; or not since it began to join.
        None => newest_events.is_none() && head.now.in_sync & 1 << place != 0,
    };
    let counted = trusted.clone();
    trusted.retain(|place| failed & 1 << place == 0 && is_whole(place));
    let in_sync: Places = trusted.iter().fold(0, |all, place| all | 1 << place);
    // Of those that noted last one counts another as failed, and is counted so itself.
    let is_mutual = in_sync == 0
        && counted
            .iter()
            .any(|place| fresh(place) && failed & 1 << place != 0);
    if is_mutual {
        let sides = counted.iter().filter_map(|place| head.members.get(*place));
        return Err(Refused::SplitBrain(sides.map(|member| member.uuid).collect()));
    }
    if in_sync == 0 && !counted.is_empty() {
        return Err(Refused::NoneInSync);
    }

    let asked: Places = counted.iter().fold(0, |all, place| all | 1 << place);
    let unasked = head.now.counted() & !asked & !failed;
    let is_majority = 2 * (asked & head.now.in_sync).count_ones() > head.now.in_sync.count_ones();
    if unasked != 0 && !degraded && (head.is_open || !is_majority) {
        let unasked = (0..count).filter(|place| unasked & 1 << place != 0);
        let members = unasked.filter_map(|place| head.members.get(place));
        return Err(Refused::MayBeNewer(members.map(|member| member.uuid).collect()));
    }
    if in_sync == 0 {
        return Err(Refused::NoneInSync);
    }
    let mut fates: Vec<Fate> = (0..count)
        .map(|place| match by_place.get(place) {
            _ if in_sync & 1 << place != 0 => Fate::InSync,
            Some(Found::Known { record, superblock }) => {
                fate_behind(&head, place, (record, current(record, superblock)), &known)
            }
            Some(Found::Blank) => Fate::Rebuild,
            Some(Found::Damaged) => Fate::Diverged,
            Some(Found::Absent) | None => Fate::Absent,
        })
        .collect();
    fill_what_looks_whole(&mut fates, &by_place);
    Ok(Verdict { head, fates })
}

/// What a replica is worth beside those that a publication serves now.
///
/// As long as its array lives, that alone decides what is acknowledged: a replica that has a record of the same publication
/// fell behind, whatever was begun to be noted on it.
pub(super) fn beside(found: &[(Uuid, Found)], own: Uuid, publication: Uuid) -> Fate {
    let is_of_publication = |wanted: Uuid| {
        let own = found.iter().find(|(uuid, _)| *uuid == wanted);
        own.is_some_and(|(_, found)| match found {
            Found::Known { record, .. } => record.publication == publication,
            _ => false,
        })
    };
    let fate = match judge(found, true) {
        Ok(verdict) if verdict.head.publication == publication => {
            let place = verdict.head.place_of(own);
            place.and_then(|place| verdict.fates.get(place).copied())
        }
        _ => None,
    };
    match fate.unwrap_or(Fate::Diverged) {
        Fate::Diverged if is_of_publication(own) => Fate::Rebuild,
        fate => fate,
    }
}

/// Lets those be filled of which the kernel would not know that they are behind: it believes the superblocks with the most
/// events of those that it is given.
fn fill_what_looks_whole(fates: &mut [Fate], by_place: &[&Found]) {
    loop {
        let given = fates
            .iter()
            .zip(by_place)
            .filter_map(|(fate, found)| match (fate, found) {
                (Fate::InSync | Fate::CatchUp, Found::Known { superblock, .. }) => superblock.as_ref(),
                _ => None,
            });
        let most = given.clone().map(|found| found.events).max();
        let believed = given.filter(|found| Some(found.events) == most);
        let failed = believed.fold(Places::MAX, |all, found| all & found.failed);
        let unknown = fates.iter().enumerate();
        let unknown = unknown.filter(|(place, fate)| **fate == Fate::CatchUp && failed & 1 << place == 0);
        let Some(place) = unknown.map(|(place, _)| place).next() else {
            return;
        };
        if let Some(fate) = fates.get_mut(place) {
            *fate = Fate::Rebuild;
        }
    }
}

/// Is this record, of a replica that the newest epoch counts on, of that epoch, or of one before that its replica was in sync
/// with to the end?  The newer record was on its way to it then.
fn is_part_of(head: &Record, place: usize, record: &Record, known: &Known<'_>) -> bool {
    record.now.id == head.now.id
        || match in_past(head, record.now.id) {
            Some(_) => true,
            // A beginning that was cut.
            None => outrun(record, None, known) & head.now.in_sync & !(1 << place) == 0,
        }
}

/// The record that those of all other replicas lead to, or are worth nothing beside.
fn newest(known: &Known<'_>) -> Result<Record, Refused> {
    let (_, first, _) = known.first().ok_or(Refused::NoRecord)?;
    for (uuid, record, _) in known {
        if !record.is_of_one_volume(first) {
            return Err(Refused::OtherVolume(*uuid));
        }
    }
    let is_earlier = |record: &Record| {
        known
            .iter()
            .any(|(_, other, _)| in_past(other, record.now.id).is_some())
    };
    let mut heads: Vec<_> = known
        .iter()
        .filter(|(_, record, _)| !is_earlier(record))
        .collect();
    heads.sort_by_key(|(_, record, _)| std::cmp::Reverse((record.now.number, record.now.id)));
    let is_head = |record: &Record| {
        heads.iter().all(|(_, other, superblock)| {
            other.now.id == record.now.id || outrun(other, *superblock, known) & record.now.in_sync == 0
        })
    };
    let head = heads.iter().find(|(_, record, _)| is_head(record));
    match head {
        Some((_, record, _)) => Ok((*record).clone()),
        None => Err(Refused::SplitBrain(
            heads.iter().map(|(uuid, ..)| *uuid).collect(),
        )),
    }
}

#[cfg(test)]
mod tests;
