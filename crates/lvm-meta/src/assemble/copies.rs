//! Which texts are generations of one VG, and which are of two VGs with one id.
//!
//! A disk that was copied block by block carries a VG of the same id.  Once its PV has another id, or its VG another name,
//! the sequence numbers of the two have nothing to do with each other: the higher one is not the newer one, and going by
//! it would hide the other VG.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Ambiguity, FoundVg, Place, Problem, Severity};
use crate::head::TextHead;
use crate::scan::PvScan;
use crate::{Error, PvId, Vg};

/// How many others a message names.
const NAMED_LIMIT: usize = 3;

/// A text that stands in one or more areas, parsed once.
struct Copy {
    text: Arc<Vec<u8>>,
    vg: Result<Vg, Error>,
    /// Where it stands.
    holders: Vec<Place>,
}

/// A VG with what is known of its older generations.
struct Family {
    found: FoundVg,
    /// The PVs that any generation lists.
    pvs: HashSet<PvId>,
    /// The first text of it, by the order in which they were read.
    first: usize,
}

/// The PVs that are here, and which of them each disk carries.
struct Here {
    carried: HashMap<usize, PvId>,
    pvs: HashSet<PvId>,
}

/// The VGs of which disks hold a text, without their disks: in the order of the first text of each.
pub(super) fn group(scans: &[(usize, PvScan)]) -> Vec<FoundVg> {
    let copies = read(scans).into_iter().enumerate();
    let (mut good, broken): (Vec<_>, Vec<_>) = copies.partition(|(_, copy)| copy.vg.is_ok());
    let here = Here {
        carried: scans.iter().map(|(disk, scan)| (*disk, scan.header.id)).collect(),
        pvs: scans.iter().map(|(_, scan)| scan.header.id).collect(),
    };
    // The newest first: what was wrong with an older generation is wrong no more.
    good.sort_by_key(|(_, copy)| std::cmp::Reverse(copy.vg.as_ref().map_or(0, Vg::seqno)));
    let mut families: Vec<Family> = Vec::new();
    for (at, Copy { text, vg, holders }) in good {
        let Ok(vg) = vg else { continue };
        let is_its =
            |family: &&mut Family| family.found.id == Some(vg.id()) && family.has(&vg, &holders, &here);
        match families.iter_mut().find(is_its) {
            Some(family) => family.join(at, &vg, &holders),
            None => families.push(Family::new(at, vg, text, &holders)),
        }
    }
    families.sort_by_key(|family| family.first);
    let mut vgs: Vec<FoundVg> = families.into_iter().map(|family| family.found).collect();
    for (_, copy) in broken {
        add_broken(&mut vgs, copy);
    }
    report_twins(&mut vgs);
    vgs
}

/// The different texts, each with all places where it stands.
fn read(scans: &[(usize, PvScan)]) -> Vec<Copy> {
    let mut copies: Vec<Copy> = Vec::new();
    // Copies by what the headers say of their texts, which is quicker to look up than the texts.
    let mut known: HashMap<(u64, u32), Vec<usize>> = HashMap::new();
    for (disk, scan) in scans {
        for mda in &scan.mdas {
            let (Ok(header), Some(Ok(text))) = (&mda.header, &mda.text) else {
                continue;
            };
            let place = Place {
                disk: Some(*disk),
                at: mda.area.offset,
            };
            let alike = known
                .entry((header.committed.size, header.committed.checksum))
                .or_default();
            let is_same = |at: &&usize| copies.get(**at).is_some_and(|copy| copy.text == *text);
            match alike.iter().find(is_same).copied() {
                Some(at) => copies.get_mut(at).map(|copy| copy.holders.push(place)),
                None => {
                    alike.push(copies.len());
                    copies.push(Copy {
                        text: text.clone(),
                        vg: Vg::parse(text),
                        holders: vec![place],
                    });
                    None
                }
            };
        }
    }
    copies
}

impl Family {
    fn new(first: usize, vg: Vg, text: Arc<Vec<u8>>, holders: &[Place]) -> Self {
        let pvs = vg.pvs().iter().map(|pv| pv.id()).collect();
        let mut found = FoundVg::new(vg, text);
        found.hold(holders);
        Self { found, pvs, first }
    }

    /// Is a text of the same id, which is not newer, a generation of this VG?
    ///
    /// A change of the VG keeps at least one PV, and a rename leaves an old name on a disk that was away.  A PV that is there
    /// twice, under both names, or two VGs that are whole and share no PV, are what copying makes.
    fn has(&self, vg: &Vg, holders: &[Place], here: &Here) -> bool {
        let is_renamed = vg.name() != self.found.name;
        let carries = |disk: &usize| here.carried.get(disk);
        let own: HashSet<&PvId> = self.found.holders.iter().filter_map(carries).collect();
        let mut others = holders.iter().filter_map(|place| place.disk);
        let is_elsewhere = |disk: usize| {
            !self.found.holders.contains(&disk) && carries(&disk).is_some_and(|pv| own.contains(pv))
        };
        if is_renamed && others.any(is_elsewhere) {
            return false;
        }
        let mut pvs = vg.pvs().iter();
        let is_whole = || vg.pvs().iter().all(|pv| here.pvs.contains(&pv.id()));
        pvs.any(|pv| self.pvs.contains(&pv.id())) || !is_renamed && !is_whole()
    }

    fn join(&mut self, at: usize, vg: &Vg, holders: &[Place]) {
        self.first = self.first.min(at);
        self.pvs.extend(vg.pvs().iter().map(|pv| pv.id()));
        self.found.hold(holders);
        let newest = self.found.seqno().unwrap_or(0);
        if vg.seqno() == newest {
            for place in holders {
                self.found.doubt(Ambiguity::CopiesDiffer(newest), *place);
            }
        }
    }
}

/// Gives a text that cannot be parsed to the VG that it names, else to one of its own.
fn add_broken(vgs: &mut Vec<FoundVg>, copy: Copy) {
    let Err(error) = copy.vg else { return };
    let name = Vg::peek_name(&copy.text).unwrap_or_default();
    let id = TextHead::read(&copy.text).ok().and_then(|head| head.id);
    let place = place(&copy.holders);
    let what = format!("the metadata text cannot be used: {error}");
    // Of several VGs of that name its id tells which, if it can be read.
    let is_other = |found: &FoundVg| id.zip(found.id).is_some_and(|(id, other)| id != other);
    let mut is_known = false;
    for found in vgs
        .iter_mut()
        .filter(|found| found.name == name && !is_other(found))
    {
        // Its checksum is good, so it was meant: it may be the newer one.
        found.doubt(Ambiguity::UnreadableCopy(what.clone()), place);
        found.hold(&copy.holders);
        is_known = true;
    }
    if !is_known {
        let problem = Problem {
            severity: Severity::Error,
            place,
            what,
        };
        let mut found = FoundVg::unreadable(name, error, copy.text, problem);
        found.hold(&copy.holders);
        vgs.push(found);
    }
}

fn place(holders: &[Place]) -> Place {
    holders.first().copied().unwrap_or(Place { disk: None, at: 0 })
}

/// Tells of VGs that have one id, of which none may be changed, and of those that have one name.
fn report_twins(vgs: &mut [FoundVg]) {
    let (mut by_id, mut by_name) = (HashMap::new(), HashMap::new());
    for (at, found) in vgs.iter().enumerate() {
        if let Some(id) = found.id {
            by_id.entry(id).or_insert_with(Vec::new).push(at);
        }
        by_name
            .entry(found.name.clone())
            .or_insert_with(Vec::new)
            .push(at);
    }
    let others = |of: &[usize], not: usize, tell: &dyn Fn(&usize) -> Option<String>| -> Vec<String> {
        of.iter()
            .filter(|at| **at != not)
            .filter_map(tell)
            .take(NAMED_LIMIT)
            .collect()
    };
    let names: Vec<String> = vgs.iter().map(|found| found.name.clone()).collect();
    for twins in by_id.values().filter(|twins| twins.len() > 1) {
        for at in twins {
            let named = others(twins, *at, &|at| names.get(*at).cloned());
            if let Some(found) = vgs.get_mut(*at)
                && let Some(id) = found.id
            {
                let place = found.first_place();
                found.doubt(Ambiguity::IdOfTwoVgs { id, others: named }, place);
            }
        }
    }
    let ids: Vec<_> = vgs.iter().map(|found| found.id).collect();
    for twins in by_name.into_values().filter(|twins| twins.len() > 1) {
        for at in &twins {
            let own = ids.get(*at).copied().flatten();
            let named = others(&twins, *at, &|at| {
                let id = ids.get(*at).copied().flatten();
                id.filter(|id| Some(*id) != own).map(|id| id.to_string())
            });
            if let Some(found) = vgs.get_mut(*at).filter(|_| !named.is_empty()) {
                found.problems.push(Problem {
                    severity: Severity::Warning,
                    place: found.first_place(),
                    what: format!("another volume group has this name, too: {}", named.join(", ")),
                });
            }
        }
    }
}
