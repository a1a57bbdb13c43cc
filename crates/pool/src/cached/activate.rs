//! The devices of a cached LV that is not active, made to be written back and for nothing else.
//!
//! They have LVM's names and uuids, so the tools find the LV active and make none beside them; udev makes no links.  The
//! cache comes without write-back from the start.

use lvm_dm::{Cache, DmUuid, Writecache};
use lvm_meta::detail::{CacheSettings, CacheVolume, Detail};
use lvm_meta::{Lv, LvId, Sectors};

use super::kind::Kind;
use super::{Stack, is_on_disks};
use crate::apply::Step;
use crate::layer::{Layer, is_cut};
use crate::open_vg::OpenVg;
use crate::raid::{self, Array};
use crate::system::Inner;
use crate::table_on::{TableOn, TargetOn};
use crate::{Error, naming};

/// What a device of a cached LV consists of.
enum Content<'a> {
    /// The segments of an LV on disks.
    Lv(&'a Lv),
    Array(Array<'a>),
    /// A part of another device.
    Slice {
        on: DmUuid,
        start: Sectors,
        length: Sectors,
    },
    /// The cache on the others.
    Cache,
}

/// A device of a cached LV.
type Part<'a> = (Layer, Content<'a>);

impl<'a> Stack<'a> {
    /// Refuses an LV whose devices this crate does not make.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::MissingDisk`], [`Error::Refused`].
    pub(super) fn check_activatable(&self, inner: &Inner, open: &OpenVg) -> Result<(), Error> {
        crate::activate::check_allowed(inner, open, self.lv)?;
        for (_, content) in self.parts()? {
            match content {
                Content::Lv(lv) if !is_on_disks(self.vg, lv) => {
                    let what = format!(
                        "mapping {:?}, which is no linear or striped part, nor an array, of a cache,",
                        lv.name()
                    );
                    return Err(Error::Unsupported(what));
                }
                Content::Lv(lv) => drop(open.table_of_part(lv)?),
                Content::Array(array) => {
                    array.check_parts()?;
                    raid::check_target(inner, array.detail.layout)?;
                }
                Content::Slice { .. } | Content::Cache => {}
            }
        }
        self.table_cleaning(inner, open).map(drop)
    }

    /// Makes the devices.  The caller holds the VG's lock.
    ///
    /// # Errors
    /// As [`Stack::check_activatable`]; what was made is gone then.
    pub(crate) fn activate(&self, inner: &Inner, open: &OpenVg) -> Result<(), Error> {
        self.check_activatable(inner, open)?;
        let mut steps = Vec::new();
        for (layer, content) in self.parts()? {
            let table = match content {
                Content::Lv(lv) => {
                    steps.extend(make(inner, &layer, || open.table_of_part(lv))?);
                    continue;
                }
                Content::Array(array) => array.table_on(open)?,
                Content::Slice { on, start, length } => TableOn {
                    length: length.get(),
                    target: TargetOn::Linear {
                        on,
                        start: start.get(),
                    },
                },
                Content::Cache => self.table_cleaning(inner, open)?,
            };
            steps.extend(make_on(inner, &layer, table)?);
        }
        steps.push(Step::Settle);
        inner.kernel().apply(None, &steps)
    }

    /// The devices, in the order in which they are made.
    pub(super) fn layers(&self) -> Result<Vec<Layer>, Error> {
        Ok(self.parts()?.into_iter().map(|(layer, _)| layer).collect())
    }

    fn parts(&self) -> Result<Vec<Part<'a>>, Error> {
        let mut parts = Vec::new();
        match (&self.kind, self.pool.detail()) {
            (Kind::Cache(cache), pool) => match (&cache.volume, pool) {
                (Some(volume), _) => {
                    self.add(&mut parts, self.pool, "cvol")?;
                    parts.extend(self.slices(volume)?);
                }
                (None, Some(Detail::CachePool(pool))) => {
                    for (name, word) in [(&pool.metadata, "cmeta"), (&pool.data, "cdata")] {
                        let lv = self.vg.lv(name).ok_or_else(|| self.is_odd())?;
                        self.add(&mut parts, lv, word)?;
                    }
                }
                _ => return Err(self.is_odd()),
            },
            (Kind::Writecache(_), _) => self.add(&mut parts, self.pool, "cvol")?,
        }
        self.add(&mut parts, self.origin, "real")?;
        parts.push((self.top()?, Content::Cache));
        Ok(parts)
    }

    /// The devices of an LV that is a part.
    fn add(&self, parts: &mut Vec<Part<'a>>, lv: &'a Lv, word: &str) -> Result<(), Error> {
        let layer = Layer::of(self.vg, lv, "", word)?;
        let Some(array) = Array::of(self.vg, lv) else {
            parts.push((layer, Content::Lv(lv)));
            return Ok(());
        };
        for part in array.parts() {
            parts.push((array.layer(part)?, Content::Lv(part)));
        }
        parts.push((layer, Content::Array(array)));
        Ok(())
    }

    /// Metadata and data on one LV that holds both.
    fn slices(&self, volume: &CacheVolume) -> Result<[Part<'a>; 2], Error> {
        let whole = Layer::of(self.vg, self.pool, "", "cvol")?;
        let slice = |word: &str, id: Option<&str>, start, length| {
            let mut layer = Layer::of(self.vg, self.pool, word, word)?;
            if let Some(id) = id.and_then(|id| LvId::parse(id).ok()) {
                layer.uuid = naming::dm_layer_uuid(&self.vg.id(), &id, word);
            }
            let on = whole.uuid.clone();
            Ok::<_, Error>((layer, Content::Slice { on, start, length }))
        };
        let (metadata, data) = (volume.metadata_id.as_deref(), volume.data_id.as_deref());
        Ok([
            slice("cmeta", metadata, volume.metadata_start, volume.metadata_len)?,
            slice("cdata", data, volume.data_start, volume.data_len)?,
        ])
    }

    /// The table of the LV while it is written back.
    fn table_cleaning(&self, inner: &Inner, open: &OpenVg) -> Result<TableOn, Error> {
        let layers = self.layers()?;
        let device = |word: &str| {
            let is_it = |layer: &&Layer| {
                let uuid = layer.uuid.as_str();
                uuid.strip_suffix(word).is_some_and(|ids| ids.ends_with('-'))
            };
            let found = layers.iter().find(is_it);
            found.map(|layer| layer.uuid.clone()).ok_or_else(|| self.is_odd())
        };
        let origin = device("real")?;
        let target = match &self.kind {
            Kind::Cache(_) => {
                let settings = self.settings().ok_or_else(|| self.is_odd())?;
                let is_second = settings.metadata_format == Some(2);
                let features = is_second.then_some("metadata2").into_iter();
                TargetOn::Cache {
                    metadata: device("cmeta")?,
                    data: device("cdata")?,
                    origin,
                    chunk: settings.chunk_size.ok_or_else(|| self.is_odd())?.get(),
                    features: features.chain([Cache::WRITETHROUGH]).map(Into::into).collect(),
                    policy: Cache::CLEANER.into(),
                }
            }
            Kind::Writecache(cache) => {
                let cleaner = self.kind.has_cleaner(inner)?.then_some(Writecache::CLEANER);
                TargetOn::Writecache {
                    origin,
                    cache: device("cvol")?,
                    block_size: cache.block_size,
                    options: cleaner.into_iter().map(Into::into).collect(),
                }
            }
        };
        Ok(TableOn {
            length: open.vg.extent_size().to_sectors(self.lv.extent_count()).get(),
            target,
        })
    }

    /// How a cache of reads and writes works.
    fn settings(&self) -> Option<CacheSettings> {
        match (&self.kind, self.pool.detail()) {
            (Kind::Cache(cache), Some(Detail::CachePool(pool))) if cache.volume.is_none() => {
                Some(pool.settings)
            }
            (Kind::Cache(cache), _) => cache.volume.as_ref().map(|volume| volume.settings.clone()),
            (Kind::Writecache(_), _) => None,
        }
    }

    fn is_odd(&self) -> Error {
        Error::Unsupported(format!(
            "the cache {:?} of {:?}",
            self.pool.name(),
            self.lv.name()
        ))
    }
}

/// The steps that make a device, or put right what a cut call left of it.
fn make(
    inner: &Inner,
    layer: &Layer,
    table: impl FnOnce() -> Result<lvm_dm::Table, Error>,
) -> Result<Vec<Step>, Error> {
    Ok(match layer.info(inner)? {
        None => layer.activate(table()?).into(),
        Some(info) if is_cut(&info) => vec![layer.load(table()?), layer.resume()],
        Some(_) => Vec::new(),
    })
}

/// As [`make`], for a device on others.
fn make_on(inner: &Inner, layer: &Layer, table: TableOn) -> Result<Vec<Step>, Error> {
    let create = match layer.info(inner)? {
        None => Step::CreateOn {
            name: layer.name.clone(),
            uuid: layer.uuid.clone(),
            table,
            read_only: false,
            minor: None,
        },
        Some(info) if is_cut(&info) => Step::LoadOn {
            uuid: layer.uuid.clone(),
            table,
            read_only: false,
        },
        Some(_) => return Ok(Vec::new()),
    };
    Ok(vec![create, layer.resume()])
}
