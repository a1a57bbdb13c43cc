//! From an LV's segments to its device-mapper table: the one place that sees extents and mapped sectors.
//!
//! Segment by segment in LE order, a PV's extent `n` at sector `pe_start + n * extent_size`, an LV's at `n * extent_size`, one area as
//! `linear`: what LVM loads for the same LV.

use lvm_dm::{DeviceNumber, Table, Target, TargetLine};
use lvm_meta::detail::{Detail, Thin};
use lvm_meta::{Area, Lv, PvId, Segment, SegmentKind, Vg};

use crate::Error;

/// The table of `lv`; `device` knows the block device of each PV that is there, `below` that of an LV on which others
/// may lie, `thin_pool` that of a thin LV's pool.
///
/// # Errors
/// [`Error::Unsupported`] for segment types and stacks that this crate does not map, [`Error::MissingDisk`] for
/// a PV without a device.
pub(crate) fn table(
    vg: &Vg,
    lv: &Lv,
    device: &dyn Fn(PvId) -> Option<DeviceNumber>,
    below: &dyn Fn(&str) -> Result<DeviceNumber, Error>,
    thin_pool: &dyn Fn(&Thin) -> Result<DeviceNumber, Error>,
) -> Result<Table, Error> {
    let extent_size = vg.extent_size();
    let place = |area: &Area| -> Result<(DeviceNumber, u64), Error> {
        let (id, start) = match area {
            Area::Pv { pv, start } => (pv, start),
            Area::Lv { name, start } => {
                let offset = extent_size.to_sectors(lvm_meta::Extents::new(*start));
                return Ok((below(name)?, offset.get()));
            }
        };
        let missing = || Error::MissingDisk {
            replica: lv.name().into(),
            pv: id.to_string(),
        };
        let pv = vg.pv(*id).ok_or_else(missing)?;
        let device = device(*id).ok_or_else(missing)?;
        let offset = extent_size
            .to_sectors(lvm_meta::Extents::new(*start))
            .checked_add(pv.pe_start());
        let offset = offset.ok_or_else(|| Error::Unsupported("a PV past 2^64 sectors".into()))?;
        Ok((device, offset.get()))
    };
    let mut lines = Vec::with_capacity(lv.segments().len());
    for segment in lv.segments() {
        let target = match segment.kind() {
            SegmentKind::Striped(striped) => match striped.areas() {
                [area] => {
                    let (device, offset) = place(area)?;
                    Target::Linear { device, offset }
                }
                areas => {
                    let stripes = areas.iter().map(place).collect::<Result<_, _>>()?;
                    Target::Striped {
                        chunk: striped.stripe_size().get(),
                        stripes,
                    }
                }
            },
            SegmentKind::Error => Target::Error,
            SegmentKind::Zero => Target::Zero,
            SegmentKind::Other(opaque) => match opaque.detail() {
                // LVM shows an external origin and a merge in ways of their own.
                Ok(Some(Detail::Thin(thin))) if thin.external_origin.is_none() && thin.merge.is_none() => {
                    Target::Thin(lvm_dm::Thin {
                        pool: thin_pool(&thin)?,
                        id: thin.device_id,
                        origin: None,
                    })
                }
                _ => return Err(unsupported(segment)),
            },
            _ => return Err(unsupported(segment)),
        };
        lines.push(TargetLine {
            start: extent_size
                .to_sectors(lvm_meta::Extents::new(segment.start()))
                .get(),
            length: extent_size.to_sectors(segment.extent_count()).get(),
            target,
        });
    }
    Ok(Table::new(lines))
}

fn unsupported(segment: &Segment) -> Error {
    Error::Unsupported(format!("mapping the segment type {:?}", segment.type_name()))
}
