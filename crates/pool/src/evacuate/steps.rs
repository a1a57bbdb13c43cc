//! The commits of a move.
//!
//! | commit | metadata | kernel, before the commit | and after it |
//! | --- | --- | --- | --- |
//! | begin | the LVs stand on the hidden LV, locked | hidden device made, tables staged, LVs stopped | mirror mapped, LVs go on |
//! | piece | its `extents_moved` is its length | next table staged, hidden device stopped | next mirror mapped, or none behind the last |
//! | end | the LVs have the new places; the hidden LV holds nothing | tables staged, LVs stopped | LVs go on, hidden device removed |
//! | clean | no hidden LV | | |
//! | take back | the LVs have the places where their pieces are; no hidden LV | tables staged, LVs stopped | LVs go on, hidden device removed |
//!
//! The mirror is never mapped while an LV writes past it, and no LV goes on at a place that the metadata does not say.

use std::collections::BTreeSet;

use lvm_dm::{DeviceId, SuspendFlags, Table};
use lvm_meta::{Extents, LvId, LvName, MovePiece, NewLv, Tag, Vg};

use super::parts::Part;
use super::{Hidden, NAME, OWNER, mend, plan};
use crate::apply::Step;
use crate::open_vg::OpenVg;
use crate::system::Inner;
use crate::{Error, identity, naming};

/// Puts pieces on a hidden LV, and begins to copy the first.  The caller holds the VG's lock.
pub(crate) fn begin(
    inner: &Inner,
    open: &mut OpenVg,
    pieces: &[MovePiece],
    description: &str,
) -> Result<(), Error> {
    let names = plan::names(pieces);
    let region = plan::region(&open.vg)?;
    let new = NewLv {
        tags: vec![Tag::parse(OWNER)?],
        creation: Some(inner.creation()),
        ..NewLv::new(
            unused_name(inner, &open.vg)?,
            LvId::from_random(identity::random()?),
            Vec::new(),
        )
    };
    open.change(inner, description, |change| {
        let parts = Part::mapped(inner, change.open(), &names)?;
        change
            .edit()
            .begin_move(new, region, pieces)
            .map_err(Error::Meta)?;
        let open = change.open();
        let Some(hidden) = Hidden::of(&open.vg)? else {
            return Ok(());
        };
        let layer = hidden.layer(&open.vg)?;
        let mut steps = vec![layer.create(hidden.table(open)?)];
        for part in &parts {
            steps.push(part.load(open, &layer.uuid)?);
        }
        steps.extend(parts.iter().map(Part::suspend));
        steps.extend([Step::Commit, layer.resume()]);
        steps.extend(parts.iter().map(Part::resume));
        steps.push(Step::Settle);
        steps.into_iter().for_each(|step| change.step(step));
        Ok(())
    })
}

/// Goes on behind a piece that is copied: to the next one, or to the end.  The caller holds the VG's lock.
pub(crate) fn advance(inner: &Inner, open: &mut OpenVg) -> Result<(), Error> {
    let Some(hidden) = Hidden::of(&open.vg)? else {
        return Ok(());
    };
    if let Some(piece) = hidden.current() {
        let (name, start) = (hidden.lv.name().to_string(), piece.start);
        finish_piece(inner, open, &name, start, |hidden, open| hidden.table(open))?;
    }
    // The LVs are suspended with no mirror below them: one that held their writes would have them wait for ever.
    match Hidden::of(&open.vg)? {
        Some(hidden) if hidden.current().is_none() => end(inner, open),
        _ => Ok(()),
    }
}

/// Notes that a piece is at its new place; `next` is the table that is mapped then.
fn finish_piece(
    inner: &Inner,
    open: &mut OpenVg,
    name: &str,
    start: u32,
    next: fn(&Hidden<'_>, &OpenVg) -> Result<Table, Error>,
) -> Result<(), Error> {
    open.change(inner, &format!("{name} moved a piece"), |change| {
        change.repair(|vg| vg.finish_piece(name, start))?;
        let open = change.open();
        let Some(hidden) = Hidden::of(&open.vg)? else {
            return Ok(());
        };
        let layer = hidden.layer(&open.vg)?;
        let uuid = layer.uuid.clone();
        let steps = [
            layer.load(next(&hidden, open)?),
            mend::suspend_held(&layer),
            Step::InSync {
                uuid,
                start: sectors(open, start),
            },
            Step::Commit,
            layer.resume(),
            Step::Settle,
        ];
        steps.into_iter().for_each(|step| change.step(step));
        Ok(())
    })
}

fn end(inner: &Inner, open: &mut OpenVg) -> Result<(), Error> {
    let Some(hidden) = Hidden::of(&open.vg)? else {
        return Ok(());
    };
    let name = hidden.lv.name().to_string();
    let layer = hidden.layer(&open.vg)?;
    let names = users(&open.vg, &name);
    open.change(inner, &format!("{name} moved all"), |change| {
        let parts = Part::mapped(inner, change.open(), &names)?;
        change.edit().end_move(&name).map_err(Error::Meta)?;
        let mut steps = Vec::new();
        for part in &parts {
            steps.push(part.load(change.open(), &layer.uuid)?);
        }
        steps.extend(parts.iter().map(Part::suspend));
        steps.push(Step::Commit);
        steps.extend(parts.iter().map(Part::resume));
        // The links of parts first: then nobody looks into the device any more.
        steps.extend([Step::Settle, layer.remove(), Step::Settle]);
        steps.into_iter().for_each(|step| change.step(step));
        Ok(())
    })?;
    clean(inner, open)
}

/// Takes a move of ours back, though disks are missing: what is at its new place stays there, the rest stays at the old one.
/// The caller holds the VG's lock.
///
/// What is mapped and has something on a missing disk stays on the device of the hidden LV until it is taken away; that maps
/// no mirror any more.
pub(crate) fn take_back(inner: &Inner, open: &mut OpenVg) -> Result<(), Error> {
    let Some(hidden) = Hidden::of(&open.vg)? else {
        return Ok(());
    };
    let name = hidden.lv.name().to_string();
    // The LVs are suspended with no mirror below them: see `advance`.
    match hidden.copied(inner, open)? {
        Some(start) => finish_piece(inner, open, &name, start, |hidden, open| {
            hidden.table_taken_back(open)
        })?,
        None => mend::stop_copy(inner, open)?,
    }
    let Some(hidden) = Hidden::of(&open.vg)? else {
        return Ok(());
    };
    let layer = hidden.layer(&open.vg)?;
    let is_empty = hidden.pieces.is_empty();
    let names = users(&open.vg, &name);
    let is_there = layer.info(inner)?.is_some();
    let left = hidden.table_taken_back(open)?;
    open.change(inner, &format!("take back {name}"), |change| {
        let parts = Part::mapped(inner, change.open(), &names)?;
        change.repair(|vg| {
            if !is_empty {
                vg.take_move_back(&name, None)?;
            }
            vg.remove_move(&name)
        })?;
        let mut steps = Vec::new();
        let mut moved = Vec::new();
        for part in &parts {
            match part.load(change.open(), &layer.uuid) {
                Ok(load) => {
                    steps.push(load);
                    moved.push(part);
                }
                Err(Error::MissingDisk { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let stays = is_there && moved.len() < parts.len();
        if stays {
            steps.push(layer.load(left));
        }
        steps.extend(moved.iter().map(|part| part.suspend()));
        if stays {
            let (uuid, flags) = (layer.uuid.clone(), SuspendFlags::SKIP_LOCKFS);
            steps.push(Step::Suspend { uuid, flags });
        }
        steps.push(Step::Commit);
        if stays {
            steps.push(layer.resume());
        }
        steps.extend(moved.iter().map(|part| part.resume()));
        steps.push(Step::Settle);
        if is_there && !stays {
            steps.extend([layer.remove(), Step::Settle]);
        }
        steps.into_iter().for_each(|step| change.step(step));
        Ok(())
    })
}

/// Removes the hidden LV of a move that ended.  The caller holds the VG's lock.
pub(crate) fn clean(inner: &Inner, open: &mut OpenVg) -> Result<(), Error> {
    let Some(hidden) = Hidden::of(&open.vg)?.filter(|hidden| hidden.pieces.is_empty()) else {
        return Ok(());
    };
    let name = hidden.lv.name().to_string();
    let layer = hidden.layer(&open.vg)?;
    let is_there = layer.info(inner)?.is_some();
    open.change(inner, &format!("remove {name}"), |change| {
        if is_there {
            change.step(layer.remove());
            change.step(Step::Settle);
        }
        change.edit().remove_move(&name).map_err(Error::Meta)?;
        change.step(Step::Commit);
        Ok(())
    })
}

/// The names of the LVs on a hidden LV.
fn users(vg: &Vg, hidden: &str) -> Vec<String> {
    let users = vg.users_of(hidden).map(|user| user.name().to_string());
    let names: BTreeSet<String> = users.collect();
    names.into_iter().collect()
}

fn sectors(open: &OpenVg, extent: u32) -> u64 {
    open.vg.extent_size().to_sectors(Extents::new(extent)).get()
}

/// The name that LVM would give: that of the first number that is free, in the kernel, too, where the device of a move that
/// was taken back may be in use still.
fn unused_name(inner: &Inner, vg: &Vg) -> Result<LvName, Error> {
    let mut names = (0u32..).map(|number| format!("{NAME}{number}"));
    let name = names.find_map(|name| {
        let device = naming::dm_name(vg.name(), &name).ok()?;
        let is_mapped = inner
            .mapper
            .info(DeviceId::Name(&device))
            .map(|info| info.is_some());
        (vg.lv(&name).is_none() && !is_mapped.unwrap_or(false)).then_some(name)
    });
    Ok(LvName::parse(&name.unwrap_or_default())?)
}

/// The name of the first number that is free in a VG.
pub(super) fn free_name(vg: &Vg) -> Result<LvName, Error> {
    let mut names = (0u32..).map(|number| format!("{NAME}{number}"));
    let name = names.find(|name| vg.lv(name).is_none());
    Ok(LvName::parse(&name.unwrap_or_default())?)
}
