//! The report for people: each VG with its PVs, LVs and problems.

use std::fmt::Write;

use lvm_native::meta::{Extents, FoundPv, FoundVg, Lv, SegmentKind, Tags, Vg};

use crate::check::Problem;
use crate::devices::Devices;
use crate::segment::{self, ShownArea, Target};
use crate::{ShownVg, mda};

/// The whole report; empty if nothing can be shown.
pub(crate) fn report(devices: &Devices, vgs: &[ShownVg], orphan_problems: &[Problem]) -> String {
    let mut out = String::new();
    for vg in vgs {
        of_vg(devices, vg, &mut out);
    }
    if !devices.assembly.orphans.is_empty() {
        out += "PVs in no volume group\n";
        for pv in &devices.assembly.orphans {
            of_pv(devices, None, pv, &mut out);
        }
        of_problems(orphan_problems, &mut out);
    }
    out
}

/// Adds a line; writing to a string cannot fail.
macro_rules! line {
    ($out:expr, $($format:tt)*) => {{ let _ = writeln!($out, $($format)*); }};
}

fn of_vg(devices: &Devices, shown: &ShownVg, out: &mut String) {
    let ShownVg {
        found,
        vg,
        problems,
        refusal,
    } = shown;
    line!(out, "VG {}  {}  seqno {}", vg.name(), vg.id(), vg.seqno());
    let (count, free, each) = (vg.extent_count(), vg.free_extents(), vg.extent_size().bytes());
    let bytes = |extents: u64| size(extents.saturating_mul(each));
    line!(
        out,
        "   {count} extents of {} ({}), {free} free ({})",
        size(each),
        bytes(count),
        bytes(free)
    );
    line!(
        out,
        "   {}{}",
        plain(&shown.status().join(" ")),
        tag_list(vg.tags())
    );
    if let Some(id) = vg.system_id() {
        line!(out, "   owned by the host with system id {}", plain(id));
    }
    if let Some(refusal) = refusal {
        line!(out, "   must not be changed: {}", plain(refusal));
    }
    for pv in &found.pvs {
        of_pv(devices, Some((found, vg)), pv, out);
    }
    for lv in vg.lvs() {
        of_lv(vg, lv, out);
    }
    of_problems(problems, out);
}

fn of_pv(devices: &Devices, vg: Option<(&FoundVg, &Vg)>, found: &FoundPv, out: &mut String) {
    let pv = vg.and_then(|(_, vg)| vg.pv(found.id));
    let hint = pv.and_then(|pv| pv.device_hint()).unwrap_or("no known device");
    let path = devices.path(found.disk).map(|path| path.display().to_string());
    let path = path.unwrap_or_else(|| format!("missing, last seen as {hint}"));
    line!(
        out,
        "  PV {}  {}  {}",
        pv.map_or("-", |pv| pv.key()),
        found.id,
        plain(&path)
    );
    if let Some(pv) = pv {
        let start = pv.pe_start().to_bytes().unwrap_or(u64::MAX);
        let (count, used, stated) = (
            pv.pe_count().get(),
            pv.used().get(),
            pv.dev_size().to_bytes().unwrap_or(u64::MAX),
        );
        let mut words = pv.status().words().collect::<Vec<_>>().join(" ");
        if pv.is_missing() {
            words += " MISSING";
        }
        line!(
            out,
            "     {}: {count} extents from byte {start}, {used} used  {words}{}",
            size(stated),
            tag_list(pv.tags())
        );
    } else if let Some(scan) = &found.scan {
        line!(out, "     {}", size(scan.device_size));
    }
    for area in found.scan.iter().flat_map(|scan| &scan.mdas) {
        let state = mda::state(vg.map(|(found, _)| found), area);
        let bytes = area.header.as_ref().map_or(area.area.size, |header| header.size);
        let mut text = format!(
            "     metadata area at byte {}, {}: {}",
            area.area.offset,
            size(bytes),
            state.word
        );
        if let Some(seqno) = state.seqno {
            text += &format!(", seqno {seqno}");
        }
        if let Some(problem) = state.problem {
            text += &format!(", {}", plain(&problem));
        }
        line!(out, "{text}");
    }
}

fn of_lv(vg: &Vg, lv: &Lv, out: &mut String) {
    let bytes = vg.extent_size().to_bytes(lv.extent_count()).unwrap_or(u64::MAX);
    // In brackets, as LVM shows what is a part of another LV.
    let (open, close) = if vg.is_visible(lv) { ("", "") } else { ("[", "]") };
    let words = lv
        .status()
        .words()
        .chain(lv.flags().words())
        .filter(|word| *word != "VISIBLE");
    let words = words.collect::<Vec<_>>().join(" ");
    line!(
        out,
        "  LV {open}{}{close}  {}  {}  {words}{}",
        lv.name(),
        lv.id(),
        size(bytes),
        tag_list(lv.tag_list())
    );
    for segment in lv.segments() {
        let areas: Vec<String> = segment::areas(vg, segment).iter().map(of_area).collect();
        let mut kind = plain(segment::type_name(segment));
        if let Some(bytes) = segment::fields(segment)
            .get("stripe_size")
            .and_then(|bytes| bytes.as_u64())
        {
            kind += &format!(" of {}", size(bytes));
        }
        let on = match segment.kind() {
            _ if !areas.is_empty() => format!(" on {}", areas.join(", ")),
            SegmentKind::Other(other) if !other.stands_on().is_empty() => {
                format!(" of {}", plain(&other.stands_on().join(", ")))
            }
            _ => String::new(),
        };
        line!(
            out,
            "     extents {}: {kind}{on}",
            range(segment.start(), segment.extent_count())
        );
    }
}

fn of_area(area: &ShownArea) -> String {
    let name = match &area.target {
        Target::Pv(key, _) => (*key).to_owned(),
        Target::Lv(name) => plain(name),
    };
    match area.extents {
        Some(extents) => format!("{name} {}", range(area.start, extents)),
        None => format!("{name} {}", area.start),
    }
}

fn of_problems(problems: &[Problem], out: &mut String) {
    if problems.is_empty() {
        line!(out, "  no problems");
    }
    for problem in problems {
        line!(
            out,
            "  {}: {}: {}",
            problem.severity(),
            plain(&problem.place),
            plain(&problem.what)
        );
    }
}

/// The first and the last of a run of extents.
fn range(start: u32, extents: Extents) -> String {
    let last = u64::from(start)
        .saturating_add(u64::from(extents.get()))
        .saturating_sub(1);
    format!("{start}-{last}")
}

fn tag_list(tags: &Tags) -> String {
    if tags.is_empty() {
        return String::new();
    }
    format!("  tags {}", plain(&tags.iter().collect::<Vec<_>>().join(",")))
}

/// A number of bytes in the largest unit: exact if it is whole, else with two digits.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = usize::try_from(bytes.checked_ilog2().unwrap_or(0) / 10).unwrap_or(0);
    let unit = 1u64 << (10 * power);
    let (whole, rest) = (bytes / unit, u128::from(bytes % unit));
    match rest {
        0 => format!("{whole} {}", UNITS[power]),
        _ => format!("{whole}.{:02} {}", rest * 100 / u128::from(unit), UNITS[power]),
    }
}

/// Text from a disk or a path without what could command a terminal.
pub(crate) fn plain(text: &str) -> String {
    lvm_native::pool::printable(text)
}
