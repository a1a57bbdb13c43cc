//! The fields of segment types outside: the names of each, and how one that comes in is checked.
//!
//! One is taken in when its own text is read back as the same: so by the rules of LVM's text, one place for both.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::opaque::References;
use super::thin::DEVICES;
use super::{
    Cache, CachePool, CacheSettings, CacheVolume, Detail, Integrity, Mirror, MirrorArea, Raid, RaidLayout,
    RaidLeg, Snapshot, Thin, ThinMessage, ThinPool, Vdo, VdoPool, Writecache,
};
use crate::text::{self, Section};
use crate::{Extents, LvName, Sectors};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Mirror", deny_unknown_fields)]
struct MirrorForm {
    extents_moved: Option<u64>,
    #[serde(rename = "mirror_log")]
    log: Option<Arc<str>>,
    region_size: Option<Sectors>,
    #[serde(rename = "mirrors")]
    images: Vec<MirrorArea>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Raid", deny_unknown_fields)]
struct RaidForm {
    layout: RaidLayout,
    legs: Vec<RaidLeg>,
    data_copies: Option<u64>,
    region_size: Option<Sectors>,
    stripe_size: Option<Sectors>,
    #[serde(rename = "writebehind")]
    write_behind: Option<u64>,
    min_recovery_rate: Option<u64>,
    max_recovery_rate: Option<u64>,
    data_offset: Option<Sectors>,
}

/// One of the two stores, as in the text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotForm {
    chunk_size: Sectors,
    origin: Arc<str>,
    cow_store: Option<Arc<str>>,
    merging_store: Option<Arc<str>>,
}

impl SnapshotForm {
    fn serialize<S: Serializer>(snapshot: &Snapshot, serializer: S) -> Result<S::Ok, S::Error> {
        let store = |is_merging| (snapshot.is_merging == is_merging).then(|| snapshot.store.clone());
        let form = Self {
            chunk_size: snapshot.chunk_size,
            origin: snapshot.origin.clone(),
            cow_store: store(false),
            merging_store: store(true),
        };
        Serialize::serialize(&form, serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Snapshot, D::Error> {
        let form: Self = Deserialize::deserialize(deserializer)?;
        let (store, is_merging) = match (form.cow_store, form.merging_store) {
            (Some(store), None) => (store, false),
            (None, Some(store)) => (store, true),
            _ => {
                return Err(D::Error::custom(
                    "a snapshot has either cow_store or merging_store",
                ));
            }
        };
        Ok(Snapshot {
            chunk_size: form.chunk_size,
            origin: form.origin,
            store,
            is_merging,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ThinPool", deny_unknown_fields)]
struct ThinPoolForm {
    metadata: Arc<str>,
    #[serde(rename = "pool")]
    data: Arc<str>,
    transaction_id: u64,
    chunk_size: Sectors,
    discards: Option<Arc<str>>,
    zero_new_blocks: bool,
    crop_metadata: Option<bool>,
    messages: Vec<ThinMessage>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Thin", deny_unknown_fields)]
struct ThinForm {
    #[serde(rename = "thin_pool")]
    pool: Arc<str>,
    transaction_id: u64,
    device_id: u32,
    external_origin: Option<Arc<str>>,
    origin: Option<Arc<str>>,
    merge: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CachePool", deny_unknown_fields)]
struct CachePoolForm {
    data: Arc<str>,
    metadata: Arc<str>,
    #[serde(with = "CacheSettingsForm")]
    settings: CacheSettings,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CacheSettings", deny_unknown_fields)]
struct CacheSettingsForm {
    metadata_format: Option<u64>,
    chunk_size: Option<Sectors>,
    #[serde(rename = "cache_mode")]
    mode: Option<Arc<str>>,
    policy: Option<Arc<str>>,
    policy_settings: Option<Section>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Cache", deny_unknown_fields)]
struct CacheForm {
    #[serde(rename = "cache_pool")]
    pool: Arc<str>,
    origin: Arc<str>,
    cleaner: Option<u64>,
    #[serde(default, deserialize_with = "volume")]
    volume: Option<CacheVolume>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CacheVolume", deny_unknown_fields)]
struct CacheVolumeForm {
    #[serde(with = "CacheSettingsForm")]
    settings: CacheSettings,
    metadata_start: Sectors,
    metadata_len: Sectors,
    data_start: Sectors,
    data_len: Sectors,
    metadata_id: Option<Arc<str>>,
    data_id: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Writecache", deny_unknown_fields)]
struct WritecacheForm {
    #[serde(rename = "writecache")]
    cache: Arc<str>,
    origin: Arc<str>,
    #[serde(rename = "writecache_block_size")]
    block_size: u64,
    #[serde(serialize_with = "put_settings", deserialize_with = "writecache_settings")]
    settings: Vec<(&'static str, u64)>,
    other_setting: Option<(Arc<str>, Arc<str>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Integrity", deny_unknown_fields)]
struct IntegrityForm {
    origin: Arc<str>,
    data_sectors: Sectors,
    mode: Arc<str>,
    tag_size: u64,
    block_size: u64,
    internal_hash: Arc<str>,
    #[serde(rename = "meta_dev")]
    meta: Option<Arc<str>>,
    #[serde(serialize_with = "put_settings", deserialize_with = "integrity_settings")]
    settings: Vec<(&'static str, u64)>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "VdoPool", deny_unknown_fields)]
struct VdoPoolForm {
    data: Arc<str>,
    header_size: Sectors,
    virtual_extents: Extents,
    use_compression: bool,
    use_deduplication: bool,
    use_metadata_hints: bool,
    use_sparse_index: bool,
    #[serde(serialize_with = "put_vdo_settings", deserialize_with = "vdo_settings")]
    settings: Vec<u64>,
    write_policy: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Vdo", deny_unknown_fields)]
struct VdoForm {
    #[serde(rename = "vdo_pool")]
    pool: Arc<str>,
    #[serde(rename = "vdo_offset")]
    offset: Extents,
}

/// Types with a form; what comes in must be a detail that LVM would read.
macro_rules! checked {
    ($($name:ident by $form:ident,)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $form::serialize(self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = $form::deserialize(deserializer)?;
                check(&Detail::$name(value.clone())).map_err(D::Error::custom)?;
                Ok(value)
            }
        }
    )*};
}

checked! {
    Mirror by MirrorForm,
    Raid by RaidForm,
    Snapshot by SnapshotForm,
    ThinPool by ThinPoolForm,
    Thin by ThinForm,
    CachePool by CachePoolForm,
    Cache by CacheForm,
    Writecache by WritecacheForm,
    Integrity by IntegrityForm,
    VdoPool by VdoPoolForm,
    Vdo by VdoForm,
}

impl Serialize for CacheSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        CacheSettingsForm::serialize(self, serializer)
    }
}

impl Serialize for CacheVolume {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        CacheVolumeForm::serialize(self, serializer)
    }
}

/// Insists that a detail comes back from its own text, and names only what can be the name of an LV.
fn check(detail: &Detail) -> Result<(), String> {
    let type_name = detail.type_name();
    let section = text::parse(detail.print().as_bytes()).map_err(|error| error.to_string())?;
    let read = Detail::read(&type_name, &section).map_err(|error| error.to_string())?;
    if read.as_ref() != Some(detail) {
        return Err(format!(
            "the text of a segment of type {type_name:?} cannot hold this"
        ));
    }
    let mut references = References::default();
    for node in section.nodes() {
        references.add(&type_name, node);
    }
    let areas = references.areas.iter().map(|(name, _)| &**name);
    let mut names = references
        .stands_on
        .iter()
        .chain(&references.mentions)
        .map(AsRef::as_ref)
        .chain(areas);
    names
        .try_for_each(LvName::check)
        .map_err(|error| error.to_string())
}

impl Detail {
    /// The type that goes with the fields, with its `+` words.
    pub(super) fn type_name(&self) -> String {
        let with = |base: &str, word: &str, is_set: bool| format!("{base}{}", if is_set { word } else { "" });
        match self {
            Self::Mirror(_) => "mirror".into(),
            Self::Raid(raid) => raid.layout.as_str().into(),
            Self::Snapshot(_) => "snapshot".into(),
            Self::ThinPool(pool) => with("thin-pool", "+CROP_METADATA", pool.crop_metadata.is_some()),
            Self::Thin(_) => "thin".into(),
            Self::CachePool(pool) => {
                let is_second = pool.settings.metadata_format == Some(2);
                with("cache-pool", "+METADATA_FORMAT", is_second)
            }
            Self::Cache(cache) => with("cache", "+CACHE_USES_CACHEVOL", cache.volume.is_some()),
            Self::Writecache(_) => "writecache".into(),
            Self::Integrity(_) => "integrity".into(),
            Self::VdoPool(_) => "vdo-pool".into(),
            Self::Vdo(_) => "vdo".into(),
        }
    }
}

fn volume<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CacheVolume>, D::Error> {
    #[derive(Deserialize)]
    struct Volume(#[serde(with = "CacheVolumeForm")] CacheVolume);
    let volume = Option::<Volume>::deserialize(deserializer)?;
    Ok(volume.map(|Volume(volume)| volume))
}

/// The number of a device in a thin pool.
pub(super) fn device_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    match DEVICES.contains(&u64::from(number)) {
        true => Ok(number),
        false => Err(D::Error::custom("a device's number past 24 bits")),
    }
}

fn put_settings<S: Serializer>(settings: &[(&'static str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(settings.iter().copied())
}

fn put_vdo_settings<S: Serializer>(settings: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(VdoPool::SETTINGS.iter().map(|(key, _)| *key).zip(settings))
}

fn writecache_settings<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(&'static str, u64)>, D::Error> {
    let numbers = deserializer.deserialize_map(Settings(&Writecache::SETTINGS))?;
    Ok(present(&Writecache::SETTINGS, numbers))
}

fn integrity_settings<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(&'static str, u64)>, D::Error> {
    let numbers = deserializer.deserialize_map(Settings(&Integrity::SETTINGS))?;
    Ok(present(&Integrity::SETTINGS, numbers))
}

fn present(keys: &[&'static str], numbers: Vec<Option<u64>>) -> Vec<(&'static str, u64)> {
    let both = keys.iter().zip(numbers);
    both.filter_map(|(key, number)| Some((*key, number?))).collect()
}

fn vdo_settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    let keys = VdoPool::SETTINGS.map(|(key, _): (&'static str, RangeInclusive<u64>)| key);
    let numbers = deserializer.deserialize_map(Settings(&keys))?;
    let all: Option<Vec<u64>> = numbers.into_iter().collect();
    all.ok_or_else(|| D::Error::custom("a setting of the pool is missing"))
}

/// Numbers behind these keys, each at most once, in the order of the keys.
struct Settings<'a>(&'a [&'static str]);

impl<'de> Visitor<'de> for Settings<'_> {
    type Value = Vec<Option<u64>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a map of numbers, with keys of {:?}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut numbers = vec![None; self.0.len()];
        while let Some(key) = map.next_key::<String>()? {
            let at = self.0.iter().position(|own| *own == key);
            match at.and_then(|at| numbers.get_mut(at)) {
                Some(number @ None) => *number = Some(map.next_value()?),
                Some(Some(_)) => return Err(A::Error::custom(format_args!("{key:?} is there twice"))),
                None => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(A::Error::custom(format_args!("{key:?} is no setting here")));
                }
            }
        }
        Ok(numbers)
    }
}
