//! How what each operation costs grows with the number of LVs, drawn.

use std::fs;

use anyhow::{Context, Result};

use super::plot::{Curve, Panel, Plot};
use super::times::{Times, area};
use crate::sh;

/// Who is drawn, in the order of the legend.
const KINDS: [(&str, &str); 5] = [
    ("tools", "the tools' commands"),
    ("poolctl", "a poolctl for each"),
    ("process", "in a long-lived process"),
    ("metadata", "the same, metadata alone"),
    ("floor", "the kernel's part alone"),
];
/// Operations and the titles of their panels.
const PANELS: [(&str, &str); 9] = [
    ("create", "create one"),
    ("set-tag", "set a tag"),
    ("resize", "resize one"),
    ("destroy", "destroy one"),
    ("list", "list all"),
    ("open", "open the pool (vgs)"),
    ("print", "print all metadata (vgcfgbackup)"),
    ("activate", "activate all (vgchange -ay)"),
    ("many", "create all in one commit (one by one)"),
];

/// Draws `docs/growth.svg`, or `docs/growth-udev.svg`.
pub(super) fn draw(times: &Times, udev: bool) -> Result<()> {
    // What lasts are ratios: the unit is a time of the same run.
    let unit = times.at("process", "set-tag", 10)?;
    let panels = PANELS.iter().map(|(operation, title)| {
        let curves = KINDS.iter().enumerate().map(|(kind, (who, _))| {
            let mut points = curve(times, who, operation);
            points.iter_mut().for_each(|point| point.1 /= unit);
            Curve { kind, points }
        });
        Panel {
            title: (*title).to_owned(),
            curves: curves.filter(|curve| !curve.points.is_empty()).collect(),
        }
    });
    let with = if udev { "with udevd" } else { "without udevd" };
    let plot = Plot {
        title: format!("What operations cost in pools of 10 to 100 000 LVs, {with}"),
        axes: ["LVs in the pool".into(), "1 = set a tag at 10 LVs".into()],
        legend: KINDS.iter().map(|(_, name)| (*name).to_owned()).collect(),
        panels: panels.collect(),
    };
    let name = if udev { "growth-udev.svg" } else { "growth.svg" };
    let path = sh::workspace().join("docs").join(name);
    fs::write(&path, plot.to_svg()).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\ndrawn: docs/{name}");
    Ok(())
}

fn curve(times: &Times, who: &str, operation: &str) -> Vec<(f64, f64)> {
    match (who, operation) {
        // One by one: the area below the curve of one.
        ("tools", "many") => {
            // Of active LVs, as whoever creates them so has them.
            let mut one = times.curve("tools", "create");
            one.retain(|point| point.0 < 10_000.0);
            let last = one.last().map_or(0.0, |point| point.0);
            let beside = times.curve("beside", "create").into_iter();
            one.extend(beside.filter(|point| point.0 > last));
            (1..=one.len())
                .filter_map(|count| Some((one.get(count - 1)?.0, area(one.get(..count)?))))
                .collect()
        }
        ("process", "many") => times.curve("many", "many"),
        _ => times.curve(who, operation),
    }
}
