//! A picture of every PV's extents, coloured by the LV that they belong to.
//!
//! A PV is a bar that is broken into lines, more of them the more pieces it has.  The parts of an LV (images, pool data,
//! metadata) have its colour.  The legend names the largest LVs; every piece tells what it is when it is pointed at.

use std::collections::HashMap;
use std::fmt::Write as _;

use lvm_native::meta::{Lv, LvRole, Vg};

use crate::ShownVg;
use crate::segment::{self, Target};

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 16.0;
/// Height of one line of a bar.
const LINE: f64 = 18.0;
/// Pieces on one line, as far as there are lines enough.
const PIECES_A_LINE: usize = 48;
const LINE_LIMIT: usize = 64;
/// LVs that the legend names.
const NAMED: usize = 60;
/// Columns of the legend.
const COLUMNS: usize = 2;
/// How deep LVs stand on LVs.
const DEPTH_LIMIT: usize = 16;

/// A run of a PV's extents that belongs to one LV.
struct Piece<'a> {
    start: u32,
    length: u32,
    lv: &'a str,
    /// The LV that it is a part of, or it itself.
    owner: &'a str,
}

/// Draws all VGs, one below the other.
pub(crate) fn draw(vgs: &[ShownVg<'_>]) -> String {
    let mut body = String::new();
    let mut y = MARGIN;
    for vg in vgs {
        y = draw_vg(&mut body, vg.vg, y) + MARGIN;
    }
    let (width, height) = (WIDTH + 2.0 * MARGIN, y.max(2.0 * MARGIN));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

/// Draws one VG from `y` on, and tells where it ends.
fn draw_vg(out: &mut String, vg: &Vg, mut y: f64) -> f64 {
    let extent = vg.extent_size();
    let mut sizes: HashMap<&str, u64> = HashMap::new();
    let pieces = pieces(vg);
    for piece in pieces.values().flatten() {
        *sizes.entry(piece.owner).or_default() += u64::from(piece.length);
    }
    let mut owners: Vec<(&str, u64)> = sizes.into_iter().collect();
    owners.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let colours: HashMap<&str, String> = owners
        .iter()
        .enumerate()
        .map(|(at, (name, _))| (*name, colour(at)))
        .collect();

    y += LINE;
    let free = bytes(vg.free_extents() * extent.bytes());
    text(
        out,
        MARGIN,
        y,
        "font-size=\"16\"",
        &format!("{}: {} free", vg.name(), free),
    );
    for pv in vg.pvs() {
        let own = pieces.get(pv.key()).map_or(&[][..], Vec::as_slice);
        y += 1.5 * LINE;
        let hint = pv.device_hint().unwrap_or_default();
        text(out, MARGIN, y, "", &format!("{} {hint}", pv.key()));
        y += 0.4 * LINE;
        let count = u64::from(pv.pe_count().get());
        let lines = own.len().div_ceil(PIECES_A_LINE).clamp(1, LINE_LIMIT);
        let per_line = count.div_ceil(lines as u64).max(1);
        for line in 0..lines {
            let first = line as u64 * per_line;
            let length = per_line.min(count.saturating_sub(first));
            let width = WIDTH * length as f64 / per_line as f64;
            let top = y + line as f64 * LINE;
            let _ = writeln!(
                out,
                "<rect x=\"{MARGIN}\" y=\"{top:.1}\" width=\"{width:.2}\" height=\"{:.1}\" fill=\"#eee\"/>",
                LINE - 2.0
            );
        }
        for piece in own {
            let fill = colours.get(piece.owner).map_or("#000", String::as_str);
            let said = format!(
                "{}: extents {} to {}, {}",
                piece.lv,
                piece.start,
                u64::from(piece.start) + u64::from(piece.length) - 1,
                bytes(u64::from(piece.length) * extent.bytes())
            );
            draw_piece(out, piece, per_line, y, fill, &said);
        }
        y += lines as f64 * LINE;
    }
    draw_legend(out, &owners, &colours, extent.bytes(), y + LINE)
}

/// Draws a run, on as many lines as it reaches over.
fn draw_piece(out: &mut String, piece: &Piece<'_>, per_line: u64, y: f64, fill: &str, said: &str) {
    let (mut at, end) = (
        u64::from(piece.start),
        u64::from(piece.start) + u64::from(piece.length),
    );
    let _ = write!(out, "<g fill=\"{fill}\"><title>{}</title>", escaped(said));
    while at < end {
        let line = at / per_line;
        let stop = end.min((line + 1) * per_line);
        let scale = |extents: u64| WIDTH * extents as f64 / per_line as f64;
        let (x, width) = (MARGIN + scale(at % per_line), scale(stop - at));
        let _ = write!(
            out,
            "<rect x=\"{x:.2}\" y=\"{:.1}\" width=\"{width:.2}\" height=\"{:.1}\"/>",
            y + line as f64 * LINE,
            LINE - 2.0
        );
        at = stop;
    }
    out.push_str("</g>\n");
}

fn draw_legend(
    out: &mut String,
    owners: &[(&str, u64)],
    colours: &HashMap<&str, String>,
    extent: u64,
    mut y: f64,
) -> f64 {
    let named = &owners[..owners.len().min(NAMED)];
    for row in named.chunks(COLUMNS) {
        for (column, (name, extents)) in row.iter().enumerate() {
            let x = MARGIN + WIDTH / COLUMNS as f64 * column as f64;
            let fill = colours.get(name).map_or("#000", String::as_str);
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{fill}\"/>",
                y - 10.0
            );
            text(
                out,
                x + 18.0,
                y,
                "",
                &format!("{name}, {}", bytes(extents * extent)),
            );
        }
        y += LINE;
    }
    if owners.len() > named.len() {
        let rest: u64 = owners[named.len()..].iter().map(|(_, extents)| extents).sum();
        let said = format!(
            "and {} smaller ones, {}",
            owners.len() - named.len(),
            bytes(rest * extent)
        );
        text(out, MARGIN, y, "", &said);
        y += LINE;
    }
    y
}

/// The runs of each PV by its key, in order.
fn pieces(vg: &Vg) -> HashMap<&str, Vec<Piece<'_>>> {
    let mut pieces: HashMap<&str, Vec<Piece<'_>>> = HashMap::new();
    for lv in vg.lvs() {
        let owner = owner(vg, lv);
        for area in lv
            .segments()
            .iter()
            .flat_map(|segment| segment::areas(vg, segment))
        {
            if let (Target::Pv(key, _), Some(extents)) = (area.target, area.extents) {
                pieces.entry(key).or_default().push(Piece {
                    start: area.start,
                    length: extents.get(),
                    lv: lv.name(),
                    owner,
                });
            }
        }
    }
    pieces
        .values_mut()
        .for_each(|pieces| pieces.sort_by_key(|piece| piece.start));
    pieces
}

/// The LV that users see of which this one is a part.
fn owner<'a>(vg: &'a Vg, lv: &'a Lv) -> &'a str {
    let mut lv = lv;
    for _ in 0..DEPTH_LIMIT {
        let above = match vg.role(lv) {
            LvRole::RaidImage { of, .. }
            | LvRole::RaidMeta { of, .. }
            | LvRole::MirrorImage { of, .. }
            | LvRole::MirrorLog { of }
            | LvRole::PoolData { of }
            | LvRole::PoolMetadata { of }
            | LvRole::CacheOf { of }
            | LvRole::CacheOrigin { of }
            | LvRole::IntegrityOrigin { of }
            | LvRole::IntegrityMeta { of }
            | LvRole::Layer { of } => vg.lv(of),
            _ => None,
        };
        match above {
            Some(above) => lv = above,
            None => break,
        }
    }
    lv.name()
}

/// Colours far from each other for neighbours in size, by the golden angle.
fn colour(at: usize) -> String {
    let hue = (at as f64 * 137.508) % 360.0;
    let (saturation, light) = ([65, 45, 85][at % 3], [52, 66, 40][at / 3 % 3]);
    format!("hsl({hue:.0},{saturation}%,{light}%)")
}

fn text(out: &mut String, x: f64, y: f64, attributes: &str, said: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{}</text>",
        escaped(said)
    );
}

/// Bytes in the largest unit that they fill.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.1}");
    format!("{} {}", text.trim_end_matches(".0"), UNITS[unit])
}

/// Text that is no markup and that XML can hold, whatever a disk has for a name.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
