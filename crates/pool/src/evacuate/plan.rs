//! What may be moved, and where it goes.

use lvm_meta::{Extents, MoveError, MovePiece, MoveRequest, PvFilter, PvId, Sectors, Vg};

use super::parts::Part;
use crate::Error;
use crate::open_vg::OpenVg;
use crate::storage_pool::no_space;

/// What the kernel copies at a time at most: LVM's own default of 2 MiB, in sectors.
const REGION: u64 = 4096;
/// The kernel's least, a page.
const LEAST_REGION: u64 = 8;
/// Bytes of a piece at least: each piece is a commit, and what is lost of the copying by a cut is one piece at most.
const PIECE: u64 = 1 << 30;
/// Pieces of a disk at most, as long as its free and used runs allow: each takes some room in the metadata.
const PIECES: u32 = 64;

/// Finds the new places of all that a disk holds behind its first `keep` extents.  Nothing is changed.
///
/// # Errors
/// [`Error::NoSpace`]; [`Error::Unsupported`], by name, for what cannot be moved.
pub(crate) fn plan(
    open: &OpenVg,
    from: PvId,
    keep: Extents,
    first: Option<PvId>,
) -> Result<Vec<MovePiece>, Error> {
    plan_in(open, &open.vg, from, keep, first)
}

/// As [`plan`], in a copy of the VG to which a disk is added that is not taken yet.
///
/// # Errors
/// As [`plan`].
pub(crate) fn plan_in(
    open: &OpenVg,
    vg: &Vg,
    from: PvId,
    keep: Extents,
    first: Option<PvId>,
) -> Result<Vec<MovePiece>, Error> {
    let request = MoveRequest {
        from,
        keep,
        first,
        max_piece: piece_limit(vg, vg.pv_used(from)),
        only: None,
        to: PvFilter::All,
    };
    let pieces = lvm_meta::plan_move(vg, &request).map_err(|error| refused(vg, error))?;
    for name in names(&pieces) {
        if let Some(lv) = vg.lv(&name) {
            Part::of(open, lv)?;
        }
    }
    region(vg)?;
    Ok(pieces)
}

/// Most extents of a piece, of so many that are moved.
pub(super) fn piece_limit(vg: &Vg, used: Extents) -> Extents {
    let least = vg.extent_size().extents_ceil(PIECE).unwrap_or(Extents::new(1));
    least.max(Extents::new(used.get().div_ceil(PIECES)))
}

/// The LVs of pieces, each once.
pub(super) fn names(pieces: &[MovePiece]) -> Vec<String> {
    let mut names: Vec<String> = pieces.iter().map(|piece| piece.lv.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The largest power of two that the kernel copies at a time and that divides an extent.
pub(super) fn region(vg: &Vg) -> Result<Sectors, Error> {
    let sectors = u64::from(vg.extent_size().sectors());
    let region = REGION.min(1 << sectors.trailing_zeros());
    if region < LEAST_REGION {
        let what = format!("moving extents of {sectors} sectors");
        return Err(Error::Unsupported(what));
    }
    Ok(Sectors::new(region))
}

pub(super) fn refused(vg: &Vg, error: MoveError) -> Error {
    match error {
        MoveError::NoSpace { lv, needed, free } => Error::NoSpace {
            pool: vg.name().into(),
            needed: vg.extent_size().to_bytes(needed).unwrap_or(u64::MAX),
            free: free.saturating_mul(vg.extent_size().bytes()),
            detail: format!(
                " on the other disks, and what {lv:?} has on this one finds no place there: add a disk"
            ),
        },
        MoveError::Policy { needed, .. } => {
            let needed = vg.extent_size().to_bytes(needed).unwrap_or(u64::MAX);
            no_space(vg, needed, format!(" ({error})"))
        }
        MoveError::Locked(lv) => Error::Meta(lvm_meta::ChangeError::LvLocked(lv).into()),
        MoveError::Refused(refusal) => Error::Refused {
            vg: vg.name().into(),
            why: crate::Refusal::of_metadata(&refusal),
        },
        other => Error::Unsupported(format!("emptying the disk: {other}; this")),
    }
}
