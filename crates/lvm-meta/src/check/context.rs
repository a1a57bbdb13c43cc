//! What the rules look things up in, gathered in one pass over the VG.

use std::collections::{HashMap, HashSet};

use super::runs::Runs;
use crate::detail::{Detail, DetailError};
use crate::text::{self, Section};
use crate::{Area, Lv, Opaque, PvId, Segment, SegmentKind, Vg};

/// A VG with the fields of its segments, each read once, and with who stands on whom.
///
/// Linear LVs on PVs, which are most, take no room here but for their extents, as far as those lie apart.
pub(super) struct Context<'a> {
    pub(super) vg: &'a Vg,
    /// The LVs that are looked at, in the order of the VG: all those that another one has to do with, and of the others
    /// all or those that changed.
    pub(super) lvs: Vec<&'a Lv>,
    /// Those of them that are not ordinary.
    pub(super) odd: Vec<&'a Lv>,
    gathered: usize,
    /// The extents of each PV that these LVs hold.
    runs: Vec<Runs>,
    /// An area lies on a PV that the VG has not.
    is_pv_unknown: bool,
    /// How the ids of the PVs start, if they are few.
    pv_starts: Vec<u64>,
    /// The records of removed LVs.
    pub(super) history: Section,
    /// The segments of known types that are kept as text, in the order of the VG.
    pub(super) kept: Vec<Kept<'a>>,
    /// Every use of an LV by a segment, in the order of the users.
    pub(super) uses: Vec<Use<'a>>,
    /// Who stands on an LV, by its name.
    users: HashMap<&'a str, Users>,
    /// The first of [`Context::kept`] that is an LV's, by the LV's name.
    first_kept: HashMap<&'a str, usize>,
    /// Stores of snapshots, and whether LVM shows them.
    stores: HashMap<&'a str, bool>,
    /// LVs of which there are snapshots.
    origins: HashSet<&'a str>,
}

/// PVs that are looked at as quickly as one is looked up.
const FEW_PVS: usize = 16;

/// The first characters of an id, which are as random as the rest.
fn id_start(id: &PvId) -> u64 {
    id.as_bytes().first_chunk().copied().map_or(0, u64::from_le_bytes)
}

/// A segment that is kept as text.
pub(super) struct Kept<'a> {
    pub(super) lv: &'a Lv,
    pub(super) segment: &'a Segment,
    pub(super) opaque: &'a Opaque,
    pub(super) detail: Result<Detail, DetailError>,
}

/// One use of an LV by a segment: what LVM counts as a link from the LV to its user.
pub(super) struct Use<'a> {
    /// The LV that is stood on.
    pub(super) lv: &'a Lv,
    /// Who stands on it.
    pub(super) user: &'a Lv,
    pub(super) segment: &'a Segment,
    pub(super) part: Part,
}

/// What an LV is to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing else may stand on it, whatever it is.
    Alone,
    /// No other owner may have it.
    Owned,
    /// As [`Part::Owned`]: an image or the metadata of an array.
    Raid,
    /// Others may stand on it.
    Shared,
}

/// Who stands on one LV, as numbers of [`Context::uses`].  The first and the second are all that a rule asks for.
#[derive(Default)]
struct Users {
    first: Option<usize>,
    second: Option<usize>,
    first_owner: Option<usize>,
    is_in_raid: bool,
}

impl<'a> Context<'a> {
    /// A VG without its LVs: [`Context::gather`] adds those that are looked at, [`Context::finish`] ends it.
    pub(super) fn new(vg: &'a Vg) -> Self {
        let few_pvs = Some(vg.pvs())
            .filter(|pvs| pvs.len() <= FEW_PVS)
            .unwrap_or_default();
        let pv_starts = few_pvs.iter().map(|pv| id_start(&pv.id())).collect();
        Self {
            vg,
            lvs: Vec::new(),
            odd: Vec::new(),
            gathered: 0,
            runs: vec![Runs::default(); vg.pvs().len()],
            is_pv_unknown: false,
            pv_starts,
            // The text parsed when the VG was read.
            history: text::parse(vg.history_text().unwrap_or_default().as_bytes()).unwrap_or_default(),
            kept: Vec::new(),
            uses: Vec::new(),
            users: HashMap::new(),
            first_kept: HashMap::new(),
            stores: HashMap::new(),
            origins: HashSet::new(),
        }
    }

    /// Adds an LV.
    pub(super) fn gather(&mut self, lv: &'a Lv) {
        self.gathered = self.gathered.saturating_add(1);
        for segment in lv.segments() {
            segment.each_pv_run(|pv, start, length| {
                let number = self.pv_number(&pv);
                match number.and_then(|number| self.runs.get_mut(number)) {
                    Some(runs) => runs.add(start, length),
                    None => self.is_pv_unknown = true,
                }
            });
        }
        if !lv.is_ordinary() {
            self.odd.push(lv);
            self.gather_odd(lv);
        }
    }

    fn gather_odd(&mut self, lv: &'a Lv) {
        for segment in lv.segments() {
            match segment.kind() {
                SegmentKind::Striped(striped) => {
                    for area in striped.areas() {
                        if let Area::Lv { name, .. } = area {
                            self.add_use(name, lv, segment, Part::Shared);
                        }
                    }
                }
                SegmentKind::Other(opaque) => self.keep(lv, segment, opaque),
                SegmentKind::Error | SegmentKind::Zero => {}
            }
        }
    }

    /// The number of LVs that were added.
    pub(super) fn gathered(&self) -> usize {
        self.gathered
    }

    /// Takes the LVs, all of which were added.
    pub(super) fn finish(&mut self, lvs: Vec<&'a Lv>) {
        self.lvs = lvs;
        self.runs.iter_mut().for_each(Runs::sort);
    }

    /// Tells whether all areas on PVs lie on extents that those have.
    pub(super) fn are_runs_inside(&self) -> bool {
        let mut pvs = self.vg.pvs().iter().zip(&self.runs);
        !self.is_pv_unknown && pvs.all(|(pv, runs)| runs.end() <= u64::from(pv.pe_count().get()))
    }

    /// Tells whether no extent of any PV has two owners.
    pub(super) fn are_runs_disjoint(&self) -> bool {
        self.runs.iter().all(Runs::are_disjoint)
    }

    /// Which of the VG's PVs has an id.
    fn pv_number(&self, id: &PvId) -> Option<usize> {
        // Which of a few PVs a segment lies on no processor can guess: so no branch for each, but a look at all.
        let start = id_start(id);
        let starts = self.pv_starts.iter().enumerate();
        let guess = starts.fold(
            0,
            |found, (number, own)| if *own == start { number } else { found },
        );
        match self.vg.pvs().get(guess) {
            Some(pv) if pv.id() == *id => Some(guess),
            _ => self.vg.pv_number(*id),
        }
    }

    fn keep(&mut self, lv: &'a Lv, segment: &'a Segment, opaque: &'a Opaque) {
        // Types that nobody knows have no rules.
        let Some(detail) = opaque.detail().transpose() else {
            return;
        };
        self.first_kept.entry(lv.name()).or_insert(self.kept.len());
        if let Ok(detail) = &detail {
            self.add_uses(lv, segment, detail);
        }
        self.kept.push(Kept {
            lv,
            segment,
            opaque,
            detail,
        });
    }

    fn add_uses(&mut self, lv: &'a Lv, segment: &'a Segment, detail: &Detail) {
        let mut add = |name: &str, part| self.add_use(name, lv, segment, part);
        match detail {
            Detail::Mirror(mirror) => {
                // Areas on PVs find no LV of their name; keys of PVs come before names of LVs.
                let on_lvs = mirror.images.iter().filter(|image| is_lv(segment, &image.name));
                on_lvs.for_each(|image| add(&image.name, Part::Alone));
                mirror.log.iter().for_each(|log| add(log, Part::Alone));
            }
            Detail::Raid(raid) => {
                for leg in &raid.legs {
                    leg.meta.iter().for_each(|meta| add(meta, Part::Raid));
                    add(&leg.image, Part::Raid);
                }
            }
            Detail::ThinPool(pool) => [&pool.metadata, &pool.data]
                .into_iter()
                .for_each(|name| add(name, Part::Alone)),
            Detail::CachePool(pool) => [&pool.metadata, &pool.data]
                .into_iter()
                .for_each(|name| add(name, Part::Alone)),
            Detail::VdoPool(pool) => add(&pool.data, Part::Owned),
            Detail::Cache(cache) => {
                add(&cache.pool, Part::Owned);
                add(&cache.origin, Part::Owned);
            }
            Detail::Writecache(cache) => {
                add(&cache.cache, Part::Owned);
                add(&cache.origin, Part::Owned);
            }
            Detail::Integrity(integrity) => {
                add(&integrity.origin, Part::Owned);
                integrity.meta.iter().for_each(|meta| add(meta, Part::Owned));
            }
            Detail::Thin(thin) => {
                add(&thin.pool, Part::Shared);
                let origins = [&thin.origin, &thin.external_origin];
                origins
                    .into_iter()
                    .flatten()
                    .for_each(|name| add(name, Part::Shared));
            }
            Detail::Vdo(vdo) => add(&vdo.pool, Part::Shared),
            Detail::Snapshot(snapshot) => {
                // LVM does not count these among the users of an LV.
                let (origin, store) = (self.vg.lv(&snapshot.origin), self.vg.lv(&snapshot.store));
                let (Some(origin), Some(store)) = (origin, store) else {
                    return;
                };
                self.origins.insert(origin.name());
                // A hidden origin is taken for the zeros of which a snapshot without an origin is one.
                let is_shown = !snapshot.is_merging || !origin.is_visible();
                self.stores.insert(store.name(), is_shown);
            }
        }
    }

    fn add_use(&mut self, name: &str, user: &'a Lv, segment: &'a Segment, part: Part) {
        let Some(lv) = self.vg.lv(name) else { return };
        // A cached LV of such a name is about to go, and what it stands on has its next user already.
        if segment.base_type() == "cache" && user.name().contains("_corig") {
            return;
        }
        let number = self.uses.len();
        let users = self.users.entry(lv.name()).or_default();
        users.is_in_raid |= part == Part::Raid;
        if users.first.is_none() {
            users.first = Some(number);
        } else {
            users.second.get_or_insert(number);
        }
        if part != Part::Shared {
            users.first_owner.get_or_insert(number);
        }
        self.uses.push(Use {
            lv,
            user,
            segment,
            part,
        });
    }

    /// Another use of the LV of a use, if there is one that stays.
    pub(super) fn other_use(&self, number: usize, used: &Use<'_>) -> Option<&Use<'a>> {
        let users = self.users.get(used.lv.name())?;
        let other = [users.first, users.second].into_iter().flatten();
        other
            .filter(|other| *other != number)
            .find_map(|other| self.uses.get(other))
    }

    /// The owner of the LV of a use before that use, if there is one.
    pub(super) fn owner_before(&self, number: usize, used: &Use<'_>) -> Option<&Use<'a>> {
        let owner = self.users.get(used.lv.name())?.first_owner?;
        self.uses.get(owner).filter(|_| owner < number)
    }

    /// The first LV that stands on this one.
    pub(super) fn first_user(&self, lv: &Lv) -> Option<&'a Lv> {
        let number = self.users.get(lv.name())?.first?;
        self.uses.get(number).map(|used| used.user)
    }

    /// Tells whether an array has this LV as an image or as metadata.
    pub(super) fn is_in_raid(&self, lv: &Lv) -> bool {
        self.users.get(lv.name()).is_some_and(|users| users.is_in_raid)
    }

    /// The segments of an LV that are kept as text.
    pub(super) fn kept_of<'b>(&'b self, lv: &'b Lv) -> impl Iterator<Item = &'b Kept<'a>> {
        let first = self.first_kept.get(lv.name()).copied().unwrap_or(usize::MAX);
        let rest = self.kept.get(first..).unwrap_or_default().iter();
        rest.take_while(|kept| kept.lv.name() == lv.name())
    }

    /// The first segment of the LV of a name that is kept as text.
    pub(super) fn first_kept_of(&self, lv: &str) -> Option<&Kept<'a>> {
        self.kept.get(*self.first_kept.get(lv)?)
    }

    /// Tells whether the LV of a name is of a type that is kept as text.
    pub(super) fn is_of(&self, lv: &str, base_type: &str) -> bool {
        self.first_kept_of(lv)
            .is_some_and(|kept| kept.segment.base_type() == base_type)
    }

    /// Tells whether an LV is for users, as LVM sees it.
    pub(super) fn is_visible(&self, lv: &Lv) -> bool {
        let is_store = !self.origins.contains(lv.name()) && !self.is_of(lv.name(), "thin");
        match self.stores.get(lv.name()) {
            Some(is_shown) if is_store => *is_shown,
            _ => lv.is_visible() && !self.is_of(lv.name(), "snapshot"),
        }
    }
}

/// Tells whether an area of a legacy mirror lies on an LV: what it stands on is what no PV's key is.
pub(super) fn is_lv(segment: &Segment, name: &str) -> bool {
    match segment.kind() {
        SegmentKind::Other(opaque) => opaque.stands_on().iter().any(|own| **own == *name),
        _ => false,
    }
}
