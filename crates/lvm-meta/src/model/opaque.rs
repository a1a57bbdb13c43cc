//! Segments of types that are kept as text, byte for byte, with the LVs that they name.

use std::sync::{Arc, OnceLock};

use super::detail::{Detail, DetailError};
use crate::PvId;
use crate::text::{self, Body, Node, Section, TextError};

/// A segment kept as text: RAID, thin, cache, snapshots and all else that is not linear, striped, error or zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    type_name: Box<str>,
    /// Lines behind `type` and `tags`, without the newline of the last.
    body: Box<str>,
    stands_on: Box<[Arc<str>]>,
    mentions: Box<[Arc<str>]>,
    pv_areas: Box<[(PvId, u32)]>,
    detail: ReadOnce,
}

/// The fields of the body, once somebody has asked for them: the rules ask at each commit, for a snapshot's pool and all
/// its LVs.
#[derive(Clone, Debug, Default)]
struct ReadOnce(OnceLock<Box<Result<Option<Detail>, DetailError>>>);

/// They follow from the text, which is what is compared.
impl PartialEq for ReadOnce {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ReadOnce {}

/// Keys that name an LV which the segment stands on, by type without `+` words.
const REFERENCES: [(&str, &[&str]); 11] = [
    ("mirror", &["mirror_log"]),
    ("snapshot", &["origin", "cow_store", "merging_store"]),
    ("thin-pool", &["metadata", "pool"]),
    ("thin", &["thin_pool", "external_origin", "origin"]),
    ("cache-pool", &["data", "metadata"]),
    ("cache", &["cache_pool", "origin"]),
    ("writecache", &["writecache", "origin"]),
    ("integrity", &["origin", "meta_dev"]),
    ("vdo-pool", &["data"]),
    ("vdo", &["vdo_pool"]),
    ("raid", &["raids", "raid0_lvs"]),
];

/// RAID types, which share their keys.
const RAID_TYPES: [&str; 21] = [
    "raid0",
    "raid0_meta",
    "raid1",
    "raid10",
    "raid10_near",
    "raid4",
    "raid5",
    "raid5_n",
    "raid5_la",
    "raid5_ls",
    "raid5_ra",
    "raid5_rs",
    "raid6",
    "raid6_nc",
    "raid6_nr",
    "raid6_zr",
    "raid6_n_6",
    "raid6_la_6",
    "raid6_ls_6",
    "raid6_ra_6",
    "raid6_rs_6",
];

/// Words that LVM puts behind a type.
const SUFFIXES: [&str; 8] = [
    "RESHAPE",
    "RESHAPE_DATA_OFFSET",
    "RESHAPE_DELTA_DISKS_PLUS",
    "RESHAPE_DELTA_DISKS_MINUS",
    "REMOVE_AFTER_RESHAPE",
    "METADATA_FORMAT",
    "CROP_METADATA",
    "CACHE_USES_CACHEVOL",
];

/// Splits a type into its name and its `+` words; false when one of the words is unknown.
pub(super) fn split_type(type_name: &str) -> (&str, &str, bool) {
    let at = type_name.find('+').unwrap_or(type_name.len());
    let (base, suffix) = type_name.split_at_checked(at).unwrap_or((type_name, ""));
    let known = suffix.split('+').skip(1).all(|word| SUFFIXES.contains(&word));
    (base, suffix, known)
}

fn reference_keys(type_name: &str) -> Option<&'static [&'static str]> {
    let (base, _, suffix_is_known) = split_type(type_name);
    let is_raid = RAID_TYPES.contains(&base);
    let name = if is_raid { "raid" } else { base };
    if !suffix_is_known || name != base && !is_raid || base == "raid" {
        return None;
    }
    REFERENCES
        .iter()
        .find(|(own, _)| *own == name)
        .map(|(_, keys)| *keys)
}

/// What a segment kept as text refers to, gathered item by item.
#[derive(Default)]
pub(super) struct References {
    pub(super) stands_on: Vec<Arc<str>>,
    pub(super) mentions: Vec<Arc<str>>,
    /// Elements of a legacy mirror's `mirrors`: PV key or LV name, and first extent.
    pub(super) areas: Vec<(Box<str>, i64)>,
    /// They are no pairs of a name and a number: what the mirror lies on is unknown.
    pub(super) is_odd: bool,
}

impl References {
    /// Takes in what one item of a segment of this type refers to.
    pub(super) fn add(&mut self, type_name: &str, node: &Node) {
        let Some(keys) = reference_keys(type_name) else {
            return;
        };
        let (base, ..) = split_type(type_name);
        match node.body() {
            Body::Value(value) if keys.contains(&node.key()) => {
                self.stands_on.extend(value.strings().map(Arc::from));
            }
            Body::Value(value) if base == "mirror" && node.key() == "mirrors" => {
                for pair in value.items().chunks(2) {
                    match pair {
                        [name, start] => match (name.as_str(), start.as_int()) {
                            (Some(name), Some(start)) => self.areas.push((name.into(), start)),
                            _ => self.is_odd = true,
                        },
                        _ => self.is_odd = true,
                    }
                }
            }
            // A thin LV on its way into another one.
            Body::Value(value) if base == "thin" && node.key() == "merge" => {
                self.mentions.extend(value.strings().map(Arc::from));
            }
            // Messages to the kernel that are on their way.
            Body::Section(message) if base == "thin-pool" => {
                self.mentions.extend(
                    message
                        .find("create")
                        .into_iter()
                        .flat_map(|value| value.strings().map(Arc::from).collect::<Vec<_>>()),
                );
            }
            _ => {}
        }
    }
}

impl Opaque {
    pub(super) fn new(
        type_name: &str,
        body: &str,
        references: References,
        pv_areas: Vec<(PvId, u32)>,
    ) -> Self {
        Self(Box::new(Parts {
            type_name: type_name.into(),
            body: body.into(),
            stands_on: references.stands_on.into(),
            mentions: references.mentions.into(),
            pv_areas: pv_areas.into(),
            detail: ReadOnce::default(),
        }))
    }

    /// Makes a segment kept as text of a type that LVM knows; `body` is what stands behind `type`, as on disk.
    ///
    /// # Errors
    /// [`TextError`] when the body breaks the grammar; `Ok(None)` for a type whose references are not known,
    /// and for one with areas on PVs.
    pub fn parse(type_name: &str, body: &str) -> Result<Option<Self>, TextError> {
        let section = text::parse(body.as_bytes())?;
        let (base, ..) = split_type(type_name);
        if reference_keys(type_name).is_none() || base == "mirror" || body.contains('\0') {
            return Ok(None);
        }
        let mut references = References::default();
        for node in section.nodes() {
            references.add(type_name, node);
        }
        let body = body.strip_suffix('\n').unwrap_or(body);
        Ok(Some(Self::new(type_name, body, references, Vec::new())))
    }

    /// The type with its `+` words, as stored.
    pub fn type_name(&self) -> &str {
        &self.0.type_name
    }

    /// What stands behind `type` and `tags`, as on disk.
    pub fn body(&self) -> &str {
        &self.0.body
    }

    /// The body as a tree.
    pub fn section(&self) -> Section {
        // The text parsed when the segment was made.
        text::parse(self.0.body.as_bytes()).unwrap_or_default()
    }

    /// Reads the fields of the type; `Ok(None)` for a type that is not known.
    ///
    /// # Errors
    /// [`DetailError`] for a field that LVM would not take either.  The text is kept as it is all the same.
    pub fn detail(&self) -> Result<Option<Detail>, DetailError> {
        let read = || Box::new(Detail::read(&self.0.type_name, &self.section()));
        (**self.0.detail.0.get_or_init(read)).clone()
    }

    /// Tells whether it is known what the type refers to.
    pub fn is_known(&self) -> bool {
        reference_keys(&self.0.type_name).is_some()
    }

    /// The LVs that the segment stands on: images, pools, origins.
    pub fn stands_on(&self) -> &[Arc<str>] {
        &self.0.stands_on
    }

    /// The LVs that it names without standing on them: in pending thin messages, as the target of a merge.
    pub fn mentions(&self) -> &[Arc<str>] {
        &self.0.mentions
    }

    /// The PVs and first extents of areas as long as the segment, which only mirrors of a `pvmove` have.
    pub fn pv_areas(&self) -> &[(PvId, u32)] {
        &self.0.pv_areas
    }
}

/// Brings a body into the form that is on disk, if it comes from a backup file.
pub(super) fn disk_form(body: String) -> String {
    // A file is indented by a tab at least; on disk a line may start with one only inside a section.
    if !body.trim_start_matches('\n').starts_with('\t') {
        return body;
    }
    let stripped = strip_file_form(&body);
    // Strings over several lines, which LVM never writes, must not lose what looks like indentation or a comment.
    let is_same = text::parse(stripped.as_bytes()) == text::parse(body.as_bytes());
    if is_same { stripped } else { body }
}

/// Lines from a backup file without their indentation and comments.
///
/// Lines that LVM writes in configuration style, `key=value` without blanks, are the exception: they keep one
/// tab for each section within the body.
fn strip_file_form(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut depth = 0usize;
    for (at, line) in body.split('\n').enumerate() {
        let line = without_comment(line).trim_matches([' ', '\t', '\r']);
        if line.starts_with('}') {
            depth = depth.saturating_sub(1);
        }
        if at > 0 {
            out.push('\n');
        }
        if is_config_style(line) {
            out.extend(std::iter::repeat_n('\t', depth));
        }
        out.push_str(line);
        if line.ends_with('{') {
            depth = depth.saturating_add(1);
        }
    }
    out
}

/// Tells whether an equals sign stands right behind the key of a line, which may be quoted.
fn is_config_style(line: &str) -> bool {
    let behind = match line.strip_prefix('"') {
        Some(inside) => {
            let mut hidden = false;
            let ends = |c: char| {
                let is_end = c == '"' && !hidden;
                hidden = c == '\\' && !hidden;
                is_end
            };
            inside.split_once(ends).map_or("", |(_, behind)| behind)
        }
        None => line.trim_start_matches(|c| !matches!(c, ' ' | '\t' | '"' | '=')),
    };
    behind.starts_with('=') && behind.len() < line.len()
}

fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut hidden = false;
    for (at, byte) in line.bytes().enumerate() {
        match (quote, byte) {
            (None, b'#') => return line.get(..at).unwrap_or(line),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(b'"'), b'\\') if !hidden => {
                hidden = true;
                continue;
            }
            (Some(open), byte) if open == byte && !hidden => quote = None,
            _ => {}
        }
        hidden = false;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[Arc<str>]) -> Vec<&str> {
        list.iter().map(AsRef::as_ref).collect()
    }

    #[test]
    fn the_lvs_that_a_type_names_are_found() {
        let body = "metadata = \"p_tmeta\"\npool = \"p_tdata\"\ntransaction_id = 3\n\nmessage1 {\ncreate = \"web2\"\n}";
        let pool = Opaque::parse("thin-pool", body).unwrap().unwrap();
        assert_eq!(names(pool.stands_on()), ["p_tmeta", "p_tdata"]);
        assert_eq!(names(pool.mentions()), ["web2"]);
        assert_eq!(pool.section().find("transaction_id").unwrap().as_int(), Some(3));
        let raid = "device_count = 2\n\nraids = [\n\"a_rmeta_0\", \"a_rimage_0\"\n]";
        let raid = Opaque::parse("raid5_ls+RESHAPE", raid).unwrap().unwrap();
        assert_eq!(names(raid.stands_on()), ["a_rmeta_0", "a_rimage_0"]);
        let thin = Opaque::parse("thin", "thin_pool = \"p\"\norigin = \"a\"\nmerge = \"a\"\n")
            .unwrap()
            .unwrap();
        assert_eq!(
            (names(thin.stands_on()), names(thin.mentions())),
            (vec!["p", "a"], vec!["a"])
        );
        assert!(!thin.body().ends_with('\n'));
    }

    #[test]
    fn types_that_nobody_knows_are_not_made() {
        for unknown in ["raid", "future", "thin+FUTURE", "mirror", "striped"] {
            assert_eq!(Opaque::parse(unknown, "a = 1"), Ok(None), "{unknown}");
        }
    }

    #[test]
    fn backup_files_lose_indentation_and_comments() {
        let file = "\t\t\t\tchunk_size = 128\t# 64 Kilobytes\n\t\t\t\tpolicy = \"s#q\"\n\t\t\t\tpolicy_settings {\n\
                    \t\t\t\t\tmigration_threshold=2048\n\t\t\t\t\t\"a \\\"=\"=1\n\t\t\t\t}\n\n\t\t\t\tmessage1 {\n\t\t\t\t\tdelete = 9\n\t\t\t\t}";
        let disk = "chunk_size = 128\npolicy = \"s#q\"\npolicy_settings {\n\tmigration_threshold=2048\n\t\"a \\\"=\"=1\n}\n\n\
                    message1 {\ndelete = 9\n}";
        assert_eq!(disk_form(file.to_owned()), disk);
        for odd in ["\ta = \"x\n # y\"", "\ta = \"x\n\ty\"", "a = 1\n\tb = 2"] {
            assert_eq!(disk_form(odd.to_owned()), odd);
        }
    }
}
