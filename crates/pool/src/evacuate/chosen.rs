//! Moving what one replica has on some disks to others that the caller chose.

use lvm_meta::{Area, Extents, Lv, MovePiece, MoveRequest, PvFilter, PvId, SegmentKind, Vg};

use super::Hidden;
use super::parts::Part;
use super::plan::{piece_limit, refused, region};
use crate::Error;
use crate::open_vg::OpenVg;
use crate::raid::Array;

/// What is to be moved, and where it may go.
pub(crate) struct Chosen<'a> {
    /// The names of the LVs whose segments are moved: the replica's, or those of the images of an array.
    pub(crate) lvs: Vec<&'a str>,
    /// The one disk that they leave; all but those where they go if `None`.
    pub(crate) from: Option<PvId>,
    /// The disks where they may go; all others if empty.
    pub(crate) to: Vec<PvId>,
}

impl<'a> Chosen<'a> {
    /// The LVs of a replica that lie on disks.
    pub(crate) fn new(vg: &'a Vg, lv: &'a Lv, from: Option<PvId>, to: Vec<PvId>) -> Self {
        let lvs = match Array::of(vg, lv) {
            Some(array) => array.parts().map(Lv::name).collect(),
            None => vec![lv.name()],
        };
        Self { lvs, from, to }
    }

    /// The disks that they still have to leave, in the order of the VG.
    pub(crate) fn sources(&self, vg: &Vg) -> Vec<PvId> {
        let mut held = Vec::new();
        for lv in self.lvs.iter().filter_map(|name| vg.lv(name)) {
            for segment in lv.segments() {
                if let SegmentKind::Striped(striped) = segment.kind() {
                    held.extend(striped.areas().iter().filter_map(|area| match area {
                        Area::Pv { pv, .. } => Some(*pv),
                        Area::Lv { .. } => None,
                    }));
                }
            }
        }
        let leaves = |pv: PvId| match self.from {
            Some(from) => pv == from,
            None => !self.to.contains(&pv),
        };
        let pvs = vg.pvs().iter().map(lvm_meta::Pv::id);
        pvs.filter(|pv| held.contains(pv) && leaves(*pv)).collect()
    }

    /// Finds the new places of what lies on the first of the disks that are left, having looked that there is room for what
    /// lies on all of them; `None` when all is where it should be.  Nothing is changed.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; [`Error::Unsupported`], by name, for what cannot be moved.
    pub(crate) fn plan(&self, open: &OpenVg) -> Result<Option<Vec<MovePiece>>, Error> {
        for lv in self.lvs.iter().filter_map(|name| open.vg.lv(name)) {
            Part::of(open, lv)?;
        }
        let sources = self.sources(&open.vg);
        let Some((first, rest)) = sources.split_first() else {
            return Ok(None);
        };
        let region = region(&open.vg)?;
        let pieces = self.plan_one(&open.vg, *first)?;
        let mut last = pieces.clone();
        let mut vg = open.vg.clone();
        for source in rest {
            // As if the one before were done.
            let name = super::steps::free_name(&vg)?;
            let new = lvm_meta::NewLv::new(
                name.clone(),
                lvm_meta::LvId::from_random(crate::identity::random()?),
                Vec::new(),
            );
            vg.begin_move(new, region, &last)
                .and_then(|()| vg.end_move(name.as_str()))
                .and_then(|()| vg.remove_move(name.as_str()))
                .map_err(Error::Meta)?;
            last = self.plan_one(&vg, *source)?;
        }
        Ok(Some(pieces))
    }

    fn plan_one(&self, vg: &Vg, from: PvId) -> Result<Vec<MovePiece>, Error> {
        let request = MoveRequest {
            from,
            keep: Extents::ZERO,
            first: self.to.first().copied(),
            max_piece: piece_limit(vg, Extents::new(vg.pv_used(from).get())),
            only: Some(&self.lvs),
            to: match &self.to[..] {
                [] => PvFilter::All,
                to => PvFilter::Ids(to),
            },
        };
        lvm_meta::plan_move(vg, &request).map_err(|error| refused(vg, error))
    }

    /// Does a move of ours move these LVs alone?
    pub(crate) fn is_moved_by(&self, vg: &Vg, hidden: &Hidden<'_>) -> bool {
        vg.users_of(hidden.lv.name())
            .all(|user| self.lvs.contains(&user.name()))
    }
}
