//! Moving what LVs hold on one disk to the others, while they are used: LVM's `pvmove`, in its own form.
//!
//! | file | what |
//! | --- | --- |
//! | `mod` | the hidden LV that moves others, its device and table |
//! | `parts` | the devices of the LVs that it moves |
//! | `plan` | what may be moved, and where to |
//! | `chosen` | the same of one replica and of disks that the caller chose |
//! | `steps` | the three commits: begin, a piece done, end |
//! | `mend` | what a cut change left, and a copy of which a disk failed |
//!
//! The hidden LV is a mirror of the piece that is copied; the pieces before it lie at their new place, those behind it at
//! their old one.  That it is ours a tag says; the tools do not mind it, and finish or abort the move as one of theirs.
//! Reference: LVM2 `tools/pvmove.c`, `tools/pvmove_poll.c`, `lib/mirror/mirrored.c`.

pub(crate) mod chosen;
pub(crate) mod mend;
mod parts;
pub(crate) mod plan;
pub(crate) mod steps;

use lvm_dm::{DeviceId, DeviceNumber, Mirror, MirrorLog, MirrorStatus, Table, Target, TargetLine};
use lvm_meta::{Area, Extents, Lv, LvStatus, Moving, PvId, SegmentKind, Vg};

use crate::Error;
use crate::layer::Layer;
use crate::open_vg::OpenVg;
use crate::system::Inner;

/// Marks a move as ours.
const OWNER: &str = "lvm-native.evacuate";
/// What LVM's names of hidden LVs that move others begin with.
const NAME: &str = "pvmove";
/// The kernel's target of mirrors, by which a host without it is told.
const TARGET: &str = "mirror";
/// Has a mirror hold writes that an image refused, until its table is replaced, and not count as copied what was not.
const HANDLE_ERRORS: &str = "handle_errors";

/// How the copying of a piece was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The piece is mapped at its old place: the copying can begin again.
    AtSource,
    /// Errors are mapped: what was written while the source failed is not on it.
    Errors,
}

fn holds_failed_writes(mirror: &Mirror) -> bool {
    mirror.features.iter().any(|word| word == HANDLE_ERRORS)
}

/// Is it the hidden LV of a move of ours?
pub(crate) fn is_hidden(lv: &Lv) -> bool {
    lv.status().contains(LvStatus::PVMOVE) && lv.tags().any(|tag| tag == OWNER)
}

/// Does an LV lie on nothing but disks, and hidden LVs of moves of ours?
pub(crate) fn is_on_disks_or_ours(vg: &Vg, lv: &Lv) -> bool {
    let is_fine = |area: &Area| match area {
        Area::Pv { .. } => true,
        Area::Lv { name, .. } => vg.lv(name).is_some_and(is_hidden),
    };
    lv.segments().iter().all(|segment| match segment.kind() {
        SegmentKind::Striped(striped) => striped.areas().iter().all(is_fine),
        _ => false,
    })
}

/// The device of a hidden LV.  Its uuid has no word behind the ids: LVM gave it one (`real`) only after 2.03.31.
pub(crate) fn layer(vg: &Vg, lv: &Lv) -> Result<Layer, Error> {
    Layer::plain(vg, lv)
}

/// A move of ours.
pub(crate) struct Hidden<'a> {
    pub(crate) lv: &'a Lv,
    /// Empty when all LVs have their new places.
    pub(crate) pieces: Vec<Moving>,
}

impl<'a> Hidden<'a> {
    /// The move that is under way.
    ///
    /// # Errors
    /// [`Error::MoveUnderWay`] for a move that is not ours, or not as we make them.
    pub(crate) fn of(vg: &'a Vg) -> Result<Option<Self>, Error> {
        let mut moves = vg.lvs().filter(|lv| lv.status().contains(LvStatus::PVMOVE));
        let Some(lv) = moves.next() else { return Ok(None) };
        let refuse = |lv: &Lv| Error::MoveUnderWay {
            pool: vg.name().into(),
            lv: lv.name().into(),
            disk: None,
        };
        if let Some(other) = moves.next() {
            return Err(refuse(other));
        }
        let is_empty = matches!(lv.segments(), [segment] if matches!(segment.kind(), SegmentKind::Error));
        match lv.moving() {
            _ if !is_hidden(lv) => Err(refuse(lv)),
            Some(pieces) => Ok(Some(Self { lv, pieces })),
            None if is_empty => Ok(Some(Self {
                lv,
                pieces: Vec::new(),
            })),
            None => Err(refuse(lv)),
        }
    }

    /// The disk that is emptied.
    pub(crate) fn from(&self) -> Option<PvId> {
        self.pieces.first().map(|piece| piece.from.0)
    }

    /// The piece that is copied.
    pub(crate) fn current(&self) -> Option<&Moving> {
        self.pieces.iter().find(|piece| !piece.is_done())
    }

    pub(crate) fn layer(&self, vg: &Vg) -> Result<Layer, Error> {
        layer(vg, self.lv)
    }

    /// The table of the hidden LV: as LVM's, one piece is a mirror at a time.
    ///
    /// # Errors
    /// [`Error::MissingDisk`].
    pub(crate) fn table(&self, open: &OpenVg) -> Result<Table, Error> {
        let current = self.current().map(|piece| piece.start);
        self.table_of(open, |piece| {
            let (from, to) = (self.place(open, piece.from)?, self.place(open, piece.to)?);
            let linear = |(device, offset)| Target::Linear { device, offset };
            Ok(match piece.is_done() {
                true => linear(to),
                false if current == Some(piece.start) => Target::Mirror(Mirror {
                    log: MirrorLog::Core,
                    region_size: piece.region.get(),
                    nosync: false,
                    images: vec![from, to],
                    // Without it the kernel counts what it could not read from the source as copied.
                    features: vec![HANDLE_ERRORS.into()],
                }),
                false => linear(from),
            })
        })
    }

    /// The table of the hidden LV when the move is taken back while something stays on it: each piece at the place that it has
    /// then, and errors where that is on a missing disk.
    fn table_taken_back(&self, open: &OpenVg) -> Result<Table, Error> {
        self.table_of(open, |piece| {
            match self.place(open, if piece.is_done() { piece.to } else { piece.from }) {
                Ok((device, offset)) => Ok(Target::Linear { device, offset }),
                Err(Error::MissingDisk { .. }) => Ok(Target::Error),
                Err(error) => Err(error),
            }
        })
    }

    /// The table that stops the copying; `None` while nothing is copied.
    ///
    /// What is copied is at its source again, where every write that was answered is; from there the copying can begin again.
    /// A mirror of LVM's making answers writes that its source refused: then errors are all that may be read.
    fn table_stopped(&self, inner: &Inner, open: &OpenVg) -> Result<Option<Table>, Error> {
        let Some(status) = self.status(inner, open)? else {
            return Ok(None);
        };
        let Some(live) = self.live_table(inner, open)? else {
            return Ok(None);
        };
        let stop = |target: &Target| match target {
            Target::Mirror(mirror) => match mirror.images.first() {
                Some(&(device, offset)) if holds_failed_writes(mirror) || status.is_first_healthy() => {
                    Target::Linear { device, offset }
                }
                _ => Target::Error,
            },
            other => other.clone(),
        };
        let lines = live.lines().iter().map(|line| TargetLine {
            target: stop(&line.target),
            ..line.clone()
        });
        Ok(Some(Table::new(lines.collect())))
    }

    /// Returns `true` if the kernel copies a piece from or to a disk that failed.
    pub(crate) fn has_failed(&self, inner: &Inner, open: &OpenVg) -> Result<bool, Error> {
        let status = self.status(inner, open)?;
        Ok(status.is_some_and(|status| !status.is_healthy()))
    }

    /// How the copying of the current piece was stopped; see [`mend::stop_copy`].
    pub(crate) fn stopped(&self, inner: &Inner, open: &OpenVg) -> Result<Option<Stopped>, Error> {
        let (Some(piece), Some(live)) = (self.current(), self.live_table(inner, open)?) else {
            return Ok(None);
        };
        let is_mirror = |line: &TargetLine| matches!(line.target, Target::Mirror(_));
        if live.lines().iter().any(is_mirror) {
            return Ok(None);
        }
        let start = open.vg.extent_size().to_sectors(Extents::new(piece.start)).get();
        let line = live.lines().iter().find(|line| line.start == start);
        Ok(line.map(|line| match line.target {
            Target::Error => Stopped::Errors,
            _ => Stopped::AtSource,
        }))
    }

    /// The live table of the hidden LV's device, unless that was cut.
    fn live_table(&self, inner: &Inner, open: &OpenVg) -> Result<Option<Table>, Error> {
        let layer = self.layer(&open.vg)?;
        if layer.info(inner)?.is_none_or(|info| crate::layer::is_cut(&info)) {
            return Ok(None);
        }
        let table = inner.mapper.table(DeviceId::Uuid(&layer.uuid), false);
        table.map(Some).map_err(Error::Dm)
    }

    fn table_of(
        &self,
        open: &OpenVg,
        target: impl Fn(&Moving) -> Result<Target, Error>,
    ) -> Result<Table, Error> {
        let size = open.vg.extent_size();
        let line = |piece: &Moving| {
            Ok(TargetLine {
                start: size.to_sectors(Extents::new(piece.start)).get(),
                length: size.to_sectors(piece.extents).get(),
                target: target(piece)?,
            })
        };
        let lines = self.pieces.iter().map(line);
        Ok(Table::new(lines.collect::<Result<Vec<_>, Error>>()?))
    }

    /// The device and the sector of an extent of a PV.
    fn place(&self, open: &OpenVg, (id, start): (PvId, u32)) -> Result<(DeviceNumber, u64), Error> {
        let missing = || Error::MissingDisk {
            replica: self.lv.name().into(),
            pv: id.to_string(),
        };
        let pv = open.vg.pv(id).ok_or_else(missing)?;
        let sectors = open.vg.extent_size().to_sectors(Extents::new(start));
        let offset = sectors.checked_add(pv.pe_start());
        let offset = offset.ok_or_else(|| Error::Unsupported("a PV past 2^64 sectors".into()))?;
        Ok((open.device(id).ok_or_else(missing)?, offset.get()))
    }

    /// How far the copying of the current piece is; `None` while the device does not copy it.
    pub(crate) fn status(&self, inner: &Inner, open: &OpenVg) -> Result<Option<MirrorStatus>, Error> {
        let Some(piece) = self.current() else {
            return Ok(None);
        };
        let layer = self.layer(&open.vg)?;
        if layer.info(inner)?.is_none_or(|info| crate::layer::is_cut(&info)) {
            return Ok(None);
        }
        let lines = inner
            .mapper
            .status(DeviceId::Uuid(&layer.uuid), true)
            .map_err(Error::Dm)?;
        let start = open.vg.extent_size().to_sectors(Extents::new(piece.start)).get();
        let line = lines.iter().find(|line| line.start == start);
        Ok(line.and_then(MirrorStatus::parse))
    }
}

impl Hidden<'_> {
    /// Is a disk missing of which or to which something is moved?
    pub(crate) fn is_stuck(&self, open: &OpenVg) -> bool {
        let mut pvs = self.pieces.iter().flat_map(|piece| [piece.from.0, piece.to.0]);
        pvs.any(|pv| open.device(pv).is_none())
    }

    /// The piece that the kernel has copied while that is not noted yet, by its first extent.
    ///
    /// A mirror of which any disk failed tells nothing: the kernel counts a region as in sync that could not be copied.
    pub(crate) fn copied(&self, inner: &Inner, open: &OpenVg) -> Result<Option<u32>, Error> {
        let (Some(piece), Some(status)) = (self.current(), self.status(inner, open)?) else {
            return Ok(None);
        };
        Ok((status.is_in_sync() && open.device(piece.to.0).is_some()).then_some(piece.start))
    }
}

/// Is a move of ours under way that cannot go on, as a disk of it is missing?
pub(crate) fn is_stuck(open: &OpenVg) -> bool {
    matches!(Hidden::of(&open.vg), Ok(Some(hidden)) if hidden.is_stuck(open))
}

/// Takes the move of ours back that is under way in a copy of a VG, as [`steps::take_back`] does in the VG.
///
/// # Errors
/// [`Error::MoveUnderWay`] for a move that is not ours.
pub(crate) fn take_back_in(inner: &Inner, open: &OpenVg, vg: &mut Vg) -> Result<(), Error> {
    let Some(hidden) = Hidden::of(&open.vg)? else {
        return Ok(());
    };
    let (name, copied) = (hidden.lv.name(), hidden.copied(inner, open)?);
    vg.repairing(|vg| {
        if !hidden.pieces.is_empty() {
            vg.take_move_back(name, copied)?;
        }
        vg.remove_move(name)
    })
    .map_err(Error::Meta)
}

/// Refuses a kernel without mirrors.
///
/// # Errors
/// [`Error::NoMirrorTarget`].
pub(crate) fn check_target(inner: &Inner) -> Result<(), Error> {
    match inner.mapper.has_target(TARGET).map_err(Error::Dm)? {
        true => Ok(()),
        false => Err(Error::NoMirrorTarget),
    }
}
