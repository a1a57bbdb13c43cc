//! The model outside: one struct for each part, whose fields are the stable names.
//!
//! Everything is borrowed, and looked at once: what only the whole VG can tell of an LV is left to
//! [`Vg::role`](super::Vg::role) and [`Vg::is_visible`](super::Vg::is_visible).

use std::borrow::Cow;
use std::sync::Arc;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::detail::Detail;
use super::lv::LvRare;
use super::lvs::Lvs;
use super::segment::SegmentRare;
use super::{Area, Lv, Opaque, Pv, Refusal, Segment, SegmentKind, Striped, Tags, Vg};
use crate::serial::Nodes;
use crate::{ExtentSize, Extents, LvId, PvId, Sectors, VgId};

type Words<'a> = Vec<&'a str>;

#[derive(Serialize)]
struct VgForm<'a> {
    name: &'a str,
    id: VgId,
    seqno: u32,
    status: Words<'a>,
    flags: Words<'a>,
    tags: &'a Tags,
    system_id: Option<&'a str>,
    lock_type: Option<&'a str>,
    lock_args: Option<&'a str>,
    pr: &'a [Box<str>],
    extent_size: ExtentSize,
    max_lv: u32,
    max_pv: u32,
    allocation_policy: &'a str,
    profile: Option<&'a str>,
    metadata_copies: u32,
    /// Keys and sections that are not known.
    unknown: Nodes<'a>,
    extent_count: u64,
    free_extents: u64,
    refusal: Option<Refusal>,
    physical_volumes: &'a [Pv],
    logical_volumes: &'a Lvs,
    /// As text.
    historical_logical_volumes: Option<&'a str>,
}

#[derive(Serialize)]
struct PvForm<'a> {
    /// The key of its section.
    key: &'a str,
    id: PvId,
    device: Option<&'a str>,
    device_id_type: Option<&'a str>,
    device_id: Option<&'a str>,
    status: Words<'a>,
    flags: Words<'a>,
    tags: &'a Tags,
    dev_size: Option<Sectors>,
    pe_start: Sectors,
    pe_count: Extents,
    pe_used: Extents,
    ba_start: Option<Sectors>,
    ba_size: Option<Sectors>,
    unknown: Nodes<'a>,
}

#[derive(Serialize)]
struct LvForm<'a> {
    name: &'a str,
    id: LvId,
    status: Words<'a>,
    flags: Words<'a>,
    tags: &'a Tags,
    creation_time: Option<u64>,
    creation_host: Option<&'a str>,
    lock_args: Option<&'a str>,
    /// Nothing when it follows the VG's.
    allocation_policy: Option<&'a str>,
    profile: Option<&'a str>,
    read_ahead: Option<i64>,
    major: Option<i64>,
    minor: Option<i64>,
    unknown: Nodes<'a>,
    extent_count: Extents,
    refusal: Option<Refusal>,
    segments: &'a [Segment],
}

#[derive(Serialize)]
struct SegmentForm<'a> {
    start_extent: u32,
    extent_count: Extents,
    /// With the words behind `+`.
    #[serde(rename = "type")]
    type_name: Cow<'a, str>,
    tags: Tags,
    reshape_count: Extents,
    #[serde(flatten)]
    own: OwnFields<'a>,
    unknown: Nodes<'a>,
}

/// A kind by itself.
#[derive(Serialize)]
struct KindForm<'a> {
    #[serde(rename = "type")]
    type_name: &'a str,
    #[serde(flatten)]
    own: OwnFields<'a>,
}

/// What only segments of one kind have.
#[derive(Serialize)]
#[serde(untagged)]
enum OwnFields<'a> {
    Striped {
        stripe_count: u32,
        /// 0 for a linear segment.
        stripe_size: Sectors,
        stripes: &'a [Area],
    },
    Opaque {
        /// Nothing for a type that is not known, and for one whose fields cannot be read.
        detail: Box<Option<Detail>>,
        detail_error: Option<String>,
        stands_on: &'a [Arc<str>],
        mentions: &'a [Arc<str>],
        pv_areas: Vec<Area>,
        /// What stands behind `type` and `tags`.
        text: &'a str,
    },
    None {},
}

fn words<'a>(known: impl Iterator<Item = &'static str>, unknown: &'a [Box<str>]) -> Words<'a> {
    let known = known.map(|word| -> &'a str { word });
    known.chain(unknown.iter().map(AsRef::as_ref)).collect()
}

impl Serialize for Vg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        VgForm {
            name: &self.name,
            id: self.id,
            seqno: self.seqno,
            status: words(self.status.words(), &self.unknown_status),
            flags: words(self.flags.words(), &self.unknown_flags),
            tags: &self.tags,
            system_id: self.system_id.as_deref(),
            lock_type: self.lock_type.as_deref(),
            lock_args: self.lock_args.as_deref(),
            pr: &self.pr,
            extent_size: self.extent_size,
            max_lv: self.max_lv,
            max_pv: self.max_pv,
            allocation_policy: self.allocation_policy(),
            profile: self.profile.as_deref(),
            metadata_copies: self.metadata_copies,
            unknown: Nodes(&self.extras),
            extent_count: self.extent_count(),
            free_extents: self.free_extents(),
            refusal: self.refusal(),
            physical_volumes: &self.pvs,
            logical_volumes: &self.lvs,
            historical_logical_volumes: self.history.as_ref().map(|history| &*history.body),
        }
        .serialize(serializer)
    }
}

impl Serialize for Lvs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        for lv in self.iter() {
            list.serialize_element(lv)?;
        }
        list.end()
    }
}

impl Serialize for Pv {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PvForm {
            key: &self.key,
            id: self.id,
            device: self.device_hint(),
            device_id_type: self.device_id().map(|(kind, _)| kind),
            device_id: self.device_id().map(|(_, name)| name),
            status: words(self.status.words(), &self.unknown_status),
            flags: words(self.flags.words(), &self.unknown_flags),
            tags: &self.tags,
            dev_size: self.dev_size,
            pe_start: self.pe_start,
            pe_count: self.pe_count,
            pe_used: self.used(),
            ba_start: self.bootloader.map(|(start, _)| start),
            ba_size: self.bootloader.map(|(_, size)| size),
            unknown: Nodes(&self.extras),
        }
        .serialize(serializer)
    }
}

impl Serialize for Lv {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = LvRare::default();
        let rare = self.rare.as_deref().unwrap_or(&none);
        LvForm {
            name: &self.name,
            id: self.id,
            status: words(self.status.words(), &rare.unknown_status),
            flags: words(self.flags.words(), &rare.unknown_flags),
            tags: &self.tags,
            creation_time: self.creation().map(|(time, _)| time),
            creation_host: self.creation().map(|(_, host)| host),
            lock_args: rare.lock_args.as_deref(),
            allocation_policy: rare.allocation_policy.as_deref(),
            profile: rare.profile.as_deref(),
            read_ahead: rare.read_ahead,
            major: rare.major,
            minor: rare.minor,
            unknown: Nodes(&rare.extras),
            extent_count: self.extents,
            refusal: self.refusal(),
            segments: &self.segments,
        }
        .serialize(serializer)
    }
}

impl Serialize for Segment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = SegmentRare::default();
        let rare = self.rare.as_deref().unwrap_or(&none);
        SegmentForm {
            start_extent: self.start,
            extent_count: self.extents,
            type_name: match &*rare.suffix {
                "" => self.type_name().into(),
                suffix => format!("{}{suffix}", self.type_name()).into(),
            },
            tags: self.tags(),
            reshape_count: self.reshape_count(),
            own: OwnFields::of(&self.kind),
            unknown: Nodes(&rare.extras),
        }
        .serialize(serializer)
    }
}

impl Serialize for SegmentKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        KindForm {
            type_name: self.type_name(),
            own: OwnFields::of(self),
        }
        .serialize(serializer)
    }
}

impl Serialize for Striped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        OwnFields::of_striped(self).serialize(serializer)
    }
}

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        KindForm {
            type_name: self.type_name(),
            own: OwnFields::of_opaque(self),
        }
        .serialize(serializer)
    }
}

impl<'a> OwnFields<'a> {
    fn of(kind: &'a SegmentKind) -> Self {
        match kind {
            SegmentKind::Striped(striped) => Self::of_striped(striped),
            SegmentKind::Error | SegmentKind::Zero => Self::None {},
            SegmentKind::Other(other) => Self::of_opaque(other),
        }
    }

    fn of_striped(striped: &'a Striped) -> Self {
        Self::Striped {
            stripe_count: striped.stripe_count(),
            stripe_size: striped.stripe_size(),
            stripes: striped.areas(),
        }
    }

    fn of_opaque(other: &'a Opaque) -> Self {
        let (detail, error) = match other.detail() {
            Ok(detail) => (detail, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let on_pv = |(pv, start): &(PvId, u32)| Area::Pv {
            pv: *pv,
            start: *start,
        };
        Self::Opaque {
            detail: Box::new(detail),
            detail_error: error,
            stands_on: other.stands_on(),
            mentions: other.mentions(),
            pv_areas: other.pv_areas().iter().map(on_pv).collect(),
            text: other.body(),
        }
    }
}

/// Its message, for people.
impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
