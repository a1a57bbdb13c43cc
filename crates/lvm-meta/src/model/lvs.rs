//! The LVs of a VG: in order, found by name and id, each with those that refer to it.

use std::sync::Arc;

use super::index::{Hash, Index};
use super::{Lv, SegmentKind};
use crate::LvId;

/// The LVs in list order.  Changing one costs the same however many there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Lvs {
    /// Removed LVs leave holes; `compact` closes them.
    slots: Vec<Option<Entry>>,
    by_name: Index,
    by_id: Index,
}

#[derive(Clone, Debug)]
struct Entry {
    lv: Arc<Lv>,
    /// Most have none, which takes no more than a pointer.
    users: Option<Box<Users>>,
}

/// Slots of LVs that refer to one, once for each reference.
#[derive(Clone, Debug, Default)]
struct Users(Vec<u32>);

impl Entry {
    fn users(&self) -> &[u32] {
        self.users.as_ref().map(|users| &*users.0).unwrap_or_default()
    }

    fn users_mut(&mut self) -> &mut Vec<u32> {
        &mut self.users.get_or_insert_default().0
    }
}

/// Which of two LVs' keys is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Name,
    Id,
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

impl Lvs {
    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.slots.get(index(slot))?.as_ref()
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.slots.get_mut(index(slot))?.as_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Lv> {
        self.entry(self.slot(name)?).map(|entry| &*entry.lv)
    }

    pub(super) fn get_id(&self, id: LvId) -> Option<&Lv> {
        let slot = self.slot_of_id(self.by_id.hash(id.as_bytes()), id)?;
        self.entry(slot).map(|entry| &*entry.lv)
    }

    /// The slot of the LV of a name.
    fn slot(&self, name: &str) -> Option<u32> {
        self.slot_of_name(self.by_name.hash(name.as_bytes()), name)
    }

    fn slot_of_name(&self, hash: Hash, name: &str) -> Option<u32> {
        let is_it = |slot| self.entry(slot).is_some_and(|entry| *entry.lv.name == *name);
        self.by_name.get(hash, is_it)
    }

    fn slot_of_id(&self, hash: Hash, id: LvId) -> Option<u32> {
        let is_it = |slot| self.entry(slot).is_some_and(|entry| entry.lv.id == id);
        self.by_id.get(hash, is_it)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lv> {
        self.slots.iter().flatten().map(|entry| &*entry.lv)
    }

    /// The LVs in order, each with whether others refer to it.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Arc<Lv>, bool)> {
        self.slots
            .iter()
            .flatten()
            .map(|entry| (&entry.lv, !entry.users().is_empty()))
    }

    /// The first of the LVs that refer to this one.
    pub(super) fn user_of(&self, name: &str) -> Option<&Lv> {
        self.users_of(name).next()
    }

    /// The LVs that refer to this one, once for each reference.
    pub(super) fn users_of(&self, name: &str) -> impl Iterator<Item = &Lv> {
        let entry = self.slot(name).and_then(|slot| self.entry(slot));
        let users = entry.map(Entry::users).unwrap_or_default();
        users
            .iter()
            .filter_map(|slot| self.entry(*slot).map(|entry| &*entry.lv))
    }

    /// The hashes of a name and an id, for [`Lvs::push_hashed`].
    pub(super) fn hashes(&self, name: &str, id: LvId) -> (Hash, Hash) {
        (self.by_name.hash(name.as_bytes()), self.by_id.hash(id.as_bytes()))
    }

    /// Gets ready for the names and ids of many LVs that come next.
    pub(super) fn warm(&self, hashes: &[(Hash, Hash)]) {
        self.by_name.warm(hashes.iter().map(|(name, _)| *name));
        self.by_id.warm(hashes.iter().map(|(_, id)| *id));
    }

    /// Appends an LV without looking at what it refers to.
    pub(super) fn push(&mut self, lv: Lv) -> Result<(), Taken> {
        let hashes = self.hashes(&lv.name, lv.id);
        self.push_hashed(Arc::new(lv), hashes)
    }

    /// As [`Lvs::push`], with the LV's [`Lvs::hashes`].
    pub(super) fn push_hashed(&mut self, lv: Arc<Lv>, (name, id): (Hash, Hash)) -> Result<(), Taken> {
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let at = |slot: u32| self.slots.get(index(slot)).and_then(Option::as_ref);
        let has_name = |slot| at(slot).is_some_and(|entry| *entry.lv.name == *lv.name);
        if !self.by_name.add(name, slot, has_name) {
            return Err(Taken::Name);
        }
        let has_id = |slot| at(slot).is_some_and(|entry| entry.lv.id == lv.id);
        if !self.by_id.add(id, slot, has_id) {
            self.by_name.remove(name, slot);
            return Err(Taken::Id);
        }
        self.slots.push(Some(Entry { lv, users: None }));
        Ok(())
    }

    /// Makes room for `count` more.
    pub(super) fn reserve(&mut self, count: usize) {
        self.slots.reserve(count);
        self.by_name.reserve(count);
        self.by_id.reserve(count);
    }

    /// Notes what every LV refers to; gives the LV and the name of a reference to nothing.
    pub(super) fn link_all(&mut self) -> Result<(), (String, String)> {
        let mut links = Vec::new();
        for (slot, entry) in self.slots.iter().enumerate() {
            let slot = u32::try_from(slot).unwrap_or(u32::MAX);
            let Some(entry) = entry else { continue };
            let mut dangling = None;
            entry.lv.each_lv(|name, _| match self.slot(name) {
                Some(target) => links.push((target, slot)),
                None => dangling = Some(name.to_string()),
            });
            if let Some(name) = dangling {
                return Err((entry.lv.name().to_owned(), name));
            }
        }
        for (target, user) in links {
            if let Some(entry) = self.entry_mut(target) {
                entry.users_mut().push(user);
            }
        }
        Ok(())
    }

    /// The first LV name in these segments that is not there.
    pub(super) fn missing(&self, lv: &Lv) -> Option<String> {
        let mut missing = None;
        lv.each_lv(|name, _| {
            if missing.is_none() && self.slot(name).is_none() {
                missing = Some(name.to_string());
            }
        });
        missing
    }

    fn link(&mut self, lv: &Lv, user: u32) {
        lv.each_lv(|name, _| {
            if let Some(slot) = self.slot(name)
                && let Some(entry) = self.entry_mut(slot)
            {
                entry.users_mut().push(user);
            }
        });
    }

    fn unlink(&mut self, lv: &Lv, user: u32) {
        lv.each_lv(|name, _| {
            if let Some(slot) = self.slot(name)
                && let Some(entry) = self.entry_mut(slot)
                && let Some(at) = entry.users().iter().rposition(|own| *own == user)
            {
                entry.users_mut().swap_remove(at);
            }
        });
    }

    /// Appends an LV all of whose references are there.
    pub(super) fn add(&mut self, lv: Lv) -> Result<(), Taken> {
        let name = lv.name.clone();
        self.push(lv)?;
        if let Some(slot) = self.slot(&name)
            && let Some(lv) = self.entry(slot).map(|entry| entry.lv.clone())
        {
            self.link(&lv, slot);
        }
        Ok(())
    }

    /// Takes an LV out that nothing refers to.
    pub(super) fn remove(&mut self, name: &str) -> Option<Arc<Lv>> {
        let slot = self.slot(name)?;
        let entry = self.slots.get_mut(index(slot))?.take()?;
        self.by_name.remove(self.by_name.hash(name.as_bytes()), slot);
        self.by_id.remove(self.by_id.hash(entry.lv.id.as_bytes()), slot);
        self.unlink(&entry.lv, slot);
        self.compact();
        Some(entry.lv)
    }

    /// Puts an LV of the same name and id in the place of one.
    pub(super) fn replace(&mut self, lv: Lv) {
        let Some(slot) = self.slot(&lv.name) else { return };
        let lv = Arc::new(lv);
        let Some(entry) = self.entry_mut(slot) else { return };
        let old = std::mem::replace(&mut entry.lv, lv.clone());
        self.unlink(&old, slot);
        self.link(&lv, slot);
    }

    #[cfg(test)]
    pub(super) fn share(&mut self, other: &Self) {
        for entry in self.slots.iter_mut().flatten() {
            let same = other.slots.iter().flatten().find(|same| same.lv == entry.lv);
            if let Some(same) = same {
                entry.lv = same.lv.clone();
            }
        }
    }

    /// Gives an LV another name that is free, in the segments of its users, too.
    pub(super) fn rename(&mut self, from: &str, to: &Arc<str>) {
        let Some(slot) = self.slot(from) else { return };
        self.by_name.remove(self.by_name.hash(from.as_bytes()), slot);
        self.by_name.insert(self.by_name.hash(to.as_bytes()), slot);
        let Some(entry) = self.entry_mut(slot) else { return };
        Arc::make_mut(&mut entry.lv).name = (&**to).into();
        for user in entry.users().to_vec() {
            if let Some(entry) = self.entry_mut(user) {
                let lv = Arc::make_mut(&mut entry.lv);
                let mut segments = lv.segments.to_vec();
                for segment in &mut segments {
                    match &mut segment.kind {
                        SegmentKind::Striped(striped) => striped.rename(from, to),
                        SegmentKind::Other(other) => {
                            if let Some(renamed) = other.renamed(from, to) {
                                *other = renamed;
                            }
                        }
                        _ => {}
                    }
                }
                lv.segments = segments.into();
            }
        }
    }

    /// Closes the holes once they outnumber the LVs.
    fn compact(&mut self) {
        if self.slots.len() < 64 || self.slots.len() / 2 < self.by_name.len() {
            return;
        }
        let mut moved = vec![0u32; self.slots.len()];
        let mut next = 0u32;
        for (slot, new) in self.slots.iter().zip(&mut moved) {
            *new = next;
            next = next.saturating_add(u32::from(slot.is_some()));
        }
        let place = |old: u32| moved.get(index(old)).copied().unwrap_or_default();
        self.slots.retain(Option::is_some);
        self.by_name.renumber(place);
        self.by_id.renumber(place);
        for entry in self.slots.iter_mut().flatten() {
            for user in entry.users.iter_mut().flat_map(|users| users.0.iter_mut()) {
                *user = place(*user);
            }
        }
    }

    /// Tells whether an LV with these segments would stand on the LV of a name, however far below.
    pub(super) fn reaches(&self, lv: &Lv, target: &str) -> bool {
        let mut seen = std::collections::HashSet::new();
        let mut open = Vec::new();
        let mut gather = |lv: &Lv, open: &mut Vec<u32>| {
            lv.each_lv(|name, stands_on| {
                let slot = self.slot(name).filter(|_| stands_on);
                open.extend(slot.filter(|slot| seen.insert(*slot)));
            });
        };
        gather(lv, &mut open);
        while let Some(entry) = open.pop().and_then(|slot| self.entry(slot)) {
            if *entry.lv.name == *target {
                return true;
            }
            gather(&entry.lv, &mut open);
        }
        false
    }

    /// An LV that stands on itself through others, if there is one.
    pub(super) fn cycle(&self) -> Option<String> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.slots.len()];
        // A slot is on the stack once to be opened and once to be closed.
        let mut stack: Vec<(u32, bool)> = Vec::new();
        for (slot, entry) in self.slots.iter().enumerate() {
            if entry.as_ref().is_none_or(|entry| entry.users().is_empty()) {
                continue;
            }
            stack.push((u32::try_from(slot).unwrap_or(u32::MAX), false));
            while let Some((slot, is_left)) = stack.pop() {
                let Some(mark) = marks.get_mut(index(slot)) else {
                    continue;
                };
                if is_left {
                    *mark = Mark::Done;
                    continue;
                }
                if *mark != Mark::New {
                    continue;
                }
                *mark = Mark::Open;
                stack.push((slot, true));
                let Some(entry) = self.entry(slot) else { continue };
                let mut open = None;
                entry.lv.each_lv(|name, stands_on| {
                    let Some(target) = self.slot(name).filter(|_| stands_on) else {
                        return;
                    };
                    match marks.get(index(target)) {
                        Some(Mark::New) => stack.push((target, false)),
                        Some(Mark::Open) => open = Some(name.to_string()),
                        _ => {}
                    }
                });
                if open.is_some() {
                    return open;
                }
            }
        }
        None
    }
}

impl PartialEq for Lvs {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Lvs {}
