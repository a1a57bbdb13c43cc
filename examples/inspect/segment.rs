//! A segment in the words of LVM's reports: its type, its areas, and the fields of its type.

use lvm_native::meta::config::{Body, Section, Value};
use lvm_native::meta::{Area, Extents, Opaque, Segment, SegmentKind, Vg};
use serde_json::{Map, Value as Json, json};

/// What one area of a segment lies on.
pub(crate) enum Target<'a> {
    /// A PV: its key and id.
    Pv(&'a str, String),
    /// Another LV.
    Lv(String),
}

/// One stripe, image or leg.
pub(crate) struct ShownArea<'a> {
    pub(crate) target: Target<'a>,
    pub(crate) start: u32,
    /// Extents of it, where the metadata tells.
    pub(crate) extents: Option<Extents>,
}

/// The type: of a striped segment with one stripe, as LVM reports it, `linear`.
pub(crate) fn type_name(segment: &Segment) -> &str {
    match segment.kind() {
        SegmentKind::Striped(striped) if striped.is_linear() => "linear",
        _ => split_type(segment).0,
    }
}

/// What the text has behind the type: words that a reader of this type must know, such as `CACHE_USES_CACHEVOL`.
pub(crate) fn type_words(segment: &Segment) -> Vec<&str> {
    let words = split_type(segment).1;
    words.split('+').filter(|word| !word.is_empty()).collect()
}

fn split_type(segment: &Segment) -> (&str, &str) {
    let name = segment.type_name();
    name.split_once('+').unwrap_or((name, ""))
}

/// Where the data lies, in the order of the stripes or images.
pub(crate) fn areas<'a>(vg: &'a Vg, segment: &Segment) -> Vec<ShownArea<'a>> {
    let on_pv = |pv, start, extents| ShownArea {
        target: Target::Pv(vg.pv(pv).map_or("", |pv| pv.key()), pv.to_string()),
        start,
        extents: Some(extents),
    };
    match segment.kind() {
        SegmentKind::Striped(striped) => {
            let extents = striped.area_extents(segment.extent_count());
            let shown = |area: &Area| match area {
                Area::Pv { pv, start } => on_pv(*pv, *start, extents),
                Area::Lv { name, start } => ShownArea {
                    target: Target::Lv(name.to_string()),
                    start: *start,
                    extents: Some(extents),
                },
            };
            striped.areas().iter().map(shown).collect()
        }
        SegmentKind::Other(other) => {
            let on_pvs = other
                .pv_areas()
                .iter()
                .map(|(pv, start)| on_pv(*pv, *start, segment.extent_count()));
            let on_lvs = data_lvs(other).into_iter().map(|(name, start)| {
                let extents = vg.lv(&name).map(|lv| lv.extent_count());
                ShownArea {
                    target: Target::Lv(name),
                    start,
                    extents,
                }
            });
            on_pvs.chain(on_lvs).collect()
        }
        _ => Vec::new(),
    }
}

/// The LVs that hold a segment's data, with the first extent used.
fn data_lvs(other: &Opaque) -> Vec<(String, u32)> {
    let section = other.section();
    let names = |key: &str| {
        section
            .find(key)
            .into_iter()
            .flat_map(Value::strings)
            .map(|name| (name.to_owned(), 0))
    };
    let base = other.type_name().split('+').next().unwrap_or_default();
    match base {
        // Pairs of metadata and image.
        raid if raid.starts_with("raid") => names("raids")
            .skip(1)
            .step_by(2)
            .chain(names("raid0_lvs"))
            .collect(),
        "thin-pool" => names("pool").collect(),
        "cache-pool" | "vdo-pool" => names("data").collect(),
        "cache" | "writecache" | "integrity" => names("origin").collect(),
        "mirror" => {
            let pairs = section
                .find("mirrors")
                .map(Value::items)
                .unwrap_or_default()
                .chunks(2);
            let lv = |name: &str| other.stands_on().iter().any(|lv| **lv == *name);
            let area = |pair: &[Value]| match pair {
                [name, start] => Some((name.as_str()?.to_owned(), u32::try_from(start.as_int()?).ok()?)),
                _ => None,
            };
            pairs.filter_map(area).filter(|(name, _)| lv(name)).collect()
        }
        _ => Vec::new(),
    }
}

/// Fields that the text gives in sectors and everything here in bytes.
const SECTORS: [&str; 4] = ["chunk_size", "header_size", "region_size", "stripe_size"];

/// The fields of the segment's type, by the keys of the text.
pub(crate) fn fields(segment: &Segment) -> Map<String, Json> {
    match segment.kind() {
        SegmentKind::Striped(striped) if !striped.is_linear() => {
            let bytes = striped.stripe_size().to_bytes();
            Map::from_iter([("stripe_size".to_owned(), json!(bytes))])
        }
        SegmentKind::Other(other) => of_section(&other.section()),
        _ => Map::new(),
    }
}

fn of_section(section: &Section) -> Map<String, Json> {
    let mut fields = Map::new();
    for node in section.nodes() {
        let value = match node.body() {
            Body::Section(section) => Json::Object(of_section(section)),
            Body::Value(value) => match value.as_int().and_then(|count| u64::try_from(count).ok()) {
                Some(count) if SECTORS.contains(&node.key()) => json!(count.saturating_mul(512)),
                _ => of_value(value),
            },
        };
        // Of two equal keys the first one counts.
        fields.entry(node.key()).or_insert(value);
    }
    fields
}

fn of_value(value: &Value) -> Json {
    match value {
        Value::Int(number) => json!(number),
        Value::Float(text) => value
            .as_float()
            .map_or_else(|| json!(text), |number| json!(number)),
        Value::Str(text) => json!(text),
        Value::List(items) => items.iter().map(of_value).collect(),
    }
}
