//! Arrays by the kernel's RAID target: an LV that users see, or data or metadata of a thin pool, and for each image a hidden
//! LV of data and one of metadata.  Under the classic snapshots of an array lies its hidden device, as under those of others.
//!
//! | file | what |
//! | --- | --- |
//! | `plan` | how large the parts are, what the metadata say of them |
//! | `steps` | how the devices are made, grown and taken away |
//! | `swap` | how images are replaced, added and dropped |
//! | `mend` | what a cut change left of them |
//! | `health` | what the kernel and the disks tell of them |
//! | `fresh` | an image that holds what was written last |
//!
//! | device | table |
//! | --- | --- |
//! | `VG-LV_rmeta_N` | the segments of the metadata of image N |
//! | `VG-LV_rimage_N` | the segments of its data |
//! | `VG-LV`; its uuid ends in `tdata` or `tmeta` if it is a part of a thin pool; `VG-LV-real` of an origin | `raid` on them |
//!
//! Reference: LVM2 `lib/raid/raid.c`, `lib/metadata/raid_manip.c`, `lib/activate/dev_manager.c`.

mod fresh;
pub(crate) mod health;
pub(crate) mod mend;
pub(crate) mod plan;
mod steps;
pub(crate) mod swap;

use lvm_dm::UdevFlags;
use lvm_meta::detail::{Detail, Raid, RaidLayout};
use lvm_meta::{Area, Lv, PvId, SegmentKind, Vg};

use crate::apply::Step;
use crate::cow::Group;
use crate::layer::Layer;
use crate::open_vg::OpenVg;
use crate::system::Inner;
use crate::thin::PoolLv;
use crate::{Error, activate, evacuate};

pub(crate) use steps::{Degraded, First};

/// The kernel's target of arrays, by which a host without it is told.
const TARGET: &str = "raid";

/// An array with its parts.
#[derive(Clone, Debug)]
pub(crate) struct Array<'a> {
    vg: &'a Vg,
    pub(crate) lv: &'a Lv,
    pub(crate) detail: Raid,
    pub(crate) legs: Vec<Leg<'a>>,
}

/// One image of an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg<'a> {
    /// Superblock and bitmap of the kernel's.
    pub(crate) meta: Option<&'a Lv>,
    pub(crate) image: &'a Lv,
}

impl<'a> Leg<'a> {
    /// The LVs of it, the metadata first.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'a Lv> + use<'a> {
        self.meta.into_iter().chain([self.image])
    }

    /// Is a part of it its metadata?
    fn is_meta(&self, part: &Lv) -> bool {
        self.meta.is_some_and(|meta| meta.id() == part.id())
    }
}

impl<'a> Array<'a> {
    /// The array that an LV is.
    pub(crate) fn of(vg: &'a Vg, lv: &Lv) -> Option<Self> {
        // Most LVs are none: they cost no look-up.
        let Some(Detail::Raid(detail)) = lv.detail() else {
            return None;
        };
        let lv = vg.lv(lv.name())?;
        let leg = |leg: &lvm_meta::detail::RaidLeg| {
            let meta = match &leg.meta {
                Some(meta) => Some(vg.lv(meta)?),
                None => None,
            };
            Some(Leg {
                meta,
                image: vg.lv(&leg.image)?,
            })
        };
        let legs = detail.legs.iter().map(leg).collect::<Option<_>>()?;
        Some(Self { vg, lv, detail, legs })
    }

    /// The array of a name.
    pub(crate) fn named(vg: &'a Vg, name: &str) -> Option<Self> {
        Self::of(vg, vg.lv(name)?)
    }

    /// The arrays of a VG.
    pub(crate) fn all(vg: &'a Vg) -> impl Iterator<Item = Self> {
        vg.lvs().filter_map(|lv| Self::of(vg, lv))
    }

    /// All LVs below it.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'a Lv> {
        self.legs.iter().flat_map(Leg::parts)
    }

    /// The PVs of its images and their metadata.
    pub(crate) fn pvs(&self) -> impl Iterator<Item = PvId> {
        self.parts().flat_map(|part| areas(self.vg, part)).flatten()
    }

    /// The PVs on which no new image may be when the images at these places are replaced: those of the images that stay, and
    /// of those that go, whose disks may be failing; the metadata of one that goes may be elsewhere after half a move.
    pub(crate) fn pvs_beside(&self, replaced: &[usize]) -> impl Iterator<Item = PvId> {
        let legs = self.legs.iter().enumerate();
        let parts = legs.flat_map(move |(at, leg)| {
            let goes = replaced.contains(&at);
            let meta = leg.meta.filter(|_| !goes);
            [Some(leg.image), meta].into_iter().flatten()
        });
        parts.flat_map(|part| areas(self.vg, part)).flatten()
    }

    /// The word for the part of a thin pool that the array is.
    fn pool_part(&self) -> Option<&'static str> {
        let pool = PoolLv::on(self.vg, self.lv.name())?;
        Some(match *pool.detail.data == *self.lv.name() {
            true => "tdata",
            false => "tmeta",
        })
    }

    /// Refuses an array that this crate does not map: one that is being reshaped, one on which others than a thin pool or
    /// classic snapshots stand, and one over anything but PVs.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |what: &str| {
            let what = format!("mapping {:?}, {what},", self.lv.name());
            Err(Error::Unsupported(what))
        };
        let (users, is_visible) = (self.vg.users_of(self.lv.name()).count(), self.lv.is_visible());
        let is_alone = match (self.pool_part(), Group::of_origin(self.vg, self.lv)) {
            (Some(_), _) => users == 1 && !is_visible,
            (None, Some(group)) => {
                group.check_links()?;
                true
            }
            (None, None) => users == 0 && is_visible,
        };
        if !is_alone {
            return refuse("on which others stand");
        }
        self.check_parts()
    }

    /// As [`Array::check`], whatever stands on it.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub(crate) fn check_parts(&self) -> Result<(), Error> {
        let refuse = |what: &str| {
            let what = format!("mapping {:?}, {what},", self.lv.name());
            Err(Error::Unsupported(what))
        };
        let segments = self.lv.segments();
        if segments.iter().any(|segment| segment.type_name().contains('+')) {
            return refuse("which is being reshaped");
        }
        for part in self.parts() {
            let mut areas = areas(self.vg, part);
            if areas.any(|pv| pv.is_none()) || !evacuate::is_on_disks_or_ours(self.vg, part) {
                return refuse("whose images do not lie on disks alone");
            }
            if self.vg.users_of(part.name()).count() != 1 || part.is_visible() {
                return refuse("whose images are used by others");
            }
        }
        Ok(())
    }

    /// Whether each image is there, with its metadata.
    pub(crate) fn present(&self, open: &OpenVg) -> Vec<bool> {
        let is_there = |pv: Option<PvId>| pv.is_some_and(|pv| open.device(pv).is_some());
        self.legs
            .iter()
            .map(|leg| leg.parts().all(|part| areas(self.vg, part).all(is_there)))
            .collect()
    }

    /// Is all data there while only some of the images are?
    pub(crate) fn survives(&self, alive: &[bool]) -> bool {
        let lost = alive.iter().filter(|alive| !**alive).count();
        match self.detail.layout {
            _ if lost == 0 => true,
            RaidLayout::Raid1 => lost < alive.len(),
            RaidLayout::Raid10 | RaidLayout::Raid10Near => {
                // The copies of a stripe lie on neighbours, which share the images out between them when their number
                // does not divide that of the images.
                let copies = usize::try_from(self.detail.copies()).unwrap_or(1).max(1);
                match alive.len().is_multiple_of(copies) {
                    true => alive.chunks(copies).all(|group| group.contains(&true)),
                    false => lost < copies,
                }
            }
            layout => lost <= layout.parity_images(),
        }
    }

    /// Level 1: each image has all data.
    pub(crate) fn is_copies(&self) -> bool {
        self.detail.layout == RaidLayout::Raid1
    }

    /// Is anything of it being moved to another disk?
    pub(crate) fn is_moved(&self) -> bool {
        self.parts().any(Lv::is_locked)
    }

    /// Refuses an array of which something is being moved.
    ///
    /// # Errors
    /// [`Error::Meta`]: it is locked.
    pub(crate) fn check_not_moved(&self) -> Result<(), Error> {
        let moved = self.parts().find(|part| part.is_locked());
        moved.map_or(Ok(()), |part| {
            let locked = lvm_meta::ChangeError::LvLocked(part.name().into());
            Err(Error::Meta(locked.into()))
        })
    }

    /// Can the disks of an image be read where its parts begin?
    pub(crate) fn answers(&self, open: &OpenVg, at: usize) -> bool {
        let mut parts = self.legs.get(at).into_iter().flat_map(Leg::parts);
        parts.all(|part| open.read_first(part).is_some())
    }

    /// The error of a change that has to wait until images are filled.
    pub(crate) fn is_syncing(&self) -> Error {
        Error::ArrayState {
            replica: self.lv.name().into(),
            state: "syncing".into(),
        }
    }

    /// The device of the array itself, if it is none that users see.
    fn hidden(&self) -> Result<Option<Layer>, Error> {
        match (self.pool_part(), Group::of_origin(self.vg, self.lv)) {
            (Some(word), _) => Layer::of(self.vg, self.lv, "", word).map(Some),
            (None, Some(group)) => group.real().map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The device of the array itself.
    pub(crate) fn device(&self) -> Result<Layer, Error> {
        match self.hidden()? {
            Some(layer) => Ok(layer),
            None => Layer::plain(self.vg, self.lv),
        }
    }

    /// Maps what is staged of the array and lets I/O go on.
    pub(crate) fn resume(&self, open: &OpenVg) -> Result<Step, Error> {
        match self.hidden()? {
            Some(layer) => Ok(layer.resume()),
            None => activate::resume(open, self.lv, UdevFlags::empty()),
        }
    }

    /// The device of a part.  Its uuid has no word behind the ids: LVM gave it one (`real`) only after 2.03.31.
    pub(crate) fn layer(&self, part: &Lv) -> Result<Layer, Error> {
        Layer::plain(self.vg, part)
    }
}

/// The PV of each area of an LV, for one that is being moved those of all that is moved with it; `None` for an area, or a
/// segment, on anything else.
pub(crate) fn areas<'a>(vg: &'a Vg, lv: &'a Lv) -> impl Iterator<Item = Option<PvId>> + 'a {
    let of_area = |area: &Area| match area {
        Area::Pv { pv, .. } => vec![Some(*pv)],
        Area::Lv { name, .. } => match vg.lv(name).and_then(Lv::moving) {
            Some(pieces) => pieces
                .iter()
                .flat_map(|piece| [Some(piece.from.0), Some(piece.to.0)])
                .collect(),
            None => vec![None],
        },
    };
    lv.segments()
        .iter()
        .flat_map(move |segment| match segment.kind() {
            SegmentKind::Striped(striped) => striped.areas().iter().flat_map(of_area).collect(),
            _ => vec![None],
        })
}

/// Refuses a kernel without arrays, and a mapper without those of a level.
///
/// # Errors
/// [`Error::NoRaidTarget`], [`Error::Unsupported`].
pub(crate) fn check_target(inner: &Inner, layout: RaidLayout) -> Result<(), Error> {
    let level = steps::kernel_word(layout);
    match inner.mapper.has_target(TARGET).map_err(Error::Dm)? {
        true if inner.mapper.takes_raid(level) => Ok(()),
        true => Err(Error::Unsupported(format!("mapping {level}"))),
        false => Err(Error::NoRaidTarget),
    }
}
