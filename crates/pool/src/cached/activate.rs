//! The devices of a cached LV that is not active, made to be written back and for nothing else.
//!
//! They have LVM's names and uuids, so the tools find the LV active and make none beside them; udev makes no links.  The
//! cache comes without write-back from the start.

use lvm_dm::{Cache, DmUuid};
use lvm_meta::detail::Detail;
use lvm_meta::{Lv, LvId, Sectors};

use super::{Stack, is_on_disks};
use crate::apply::Step;
use crate::layer::{Layer, is_cut};
use crate::open_vg::OpenVg;
use crate::raid::{self, Array};
use crate::system::Inner;
use crate::table_on::{TableOn, TargetOn};
use crate::{Error, naming};

/// Device and table of a part.
enum Part<'a> {
    /// The segments of an LV.
    Lv(Layer, &'a Lv),
    /// A part of another device.
    Slice {
        layer: Layer,
        on: DmUuid,
        start: Sectors,
        length: Sectors,
    },
}

impl<'a> Stack<'a> {
    /// Refuses an LV whose devices this crate does not make.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::MissingDisk`], [`Error::Refused`].
    pub(super) fn check_activatable(&self, inner: &Inner, open: &OpenVg) -> Result<(), Error> {
        crate::activate::check_allowed(inner, open, self.lv)?;
        for part in self.parts()? {
            if let Part::Lv(_, lv) = part {
                if !is_on_disks(self.vg, lv) {
                    let what = format!(
                        "mapping {:?}, which is no linear or striped part of a cache,",
                        lv.name()
                    );
                    return Err(Error::Unsupported(what));
                }
                open.table_of_part(lv)?;
            }
        }
        match Array::of(self.vg, self.origin) {
            Some(array) => {
                raid::check_target(inner, array.detail.layout)?;
                array
                    .parts()
                    .try_for_each(|part| open.table_of_part(part).map(drop))
            }
            None => open.table_of_part(self.origin).map(drop),
        }
    }

    /// Makes the devices.  The caller holds the VG's lock.
    ///
    /// # Errors
    /// As [`Stack::check_activatable`]; what was made is gone then.
    pub(crate) fn activate(&self, inner: &Inner, open: &OpenVg) -> Result<(), Error> {
        self.check_activatable(inner, open)?;
        let mut steps = Vec::new();
        for part in self.parts()? {
            let (layer, table) = match part {
                Part::Lv(layer, lv) => {
                    steps.extend(make(inner, &layer, || open.table_of_part(lv))?);
                    continue;
                }
                Part::Slice {
                    layer,
                    on,
                    start,
                    length,
                } => {
                    let (length, start) = (length.get(), start.get());
                    (
                        layer,
                        TableOn {
                            length,
                            target: TargetOn::Linear { on, start },
                        },
                    )
                }
            };
            steps.extend(make_on(inner, &layer, table)?);
        }
        let real = self.origin_layer()?;
        match Array::of(self.vg, self.origin) {
            Some(array) => {
                for part in array.parts() {
                    steps.extend(make(inner, &array.layer(part)?, || open.table_of_part(part))?);
                }
                steps.extend(make_on(inner, &real, array.table_on(open)?)?);
            }
            None => steps.extend(make(inner, &real, || open.table_of_part(self.origin))?),
        }
        let top = self.top()?;
        steps.extend(make_on(inner, &top, self.table_cleaning(open)?)?);
        steps.push(Step::Settle);
        inner.kernel().apply(None, &steps)
    }

    /// The parts of the cache, in the order in which they are made: metadata and data are the last two.
    fn parts(&self) -> Result<Vec<Part<'a>>, Error> {
        let vg = self.vg;
        let Some(volume) = &self.detail.volume else {
            let Some(Detail::CachePool(pool)) = self.pool.detail() else {
                return Err(self.is_odd());
            };
            let part = |name: &str, word: &str| {
                let lv = vg.lv(name).ok_or_else(|| self.is_odd())?;
                Ok::<_, Error>(Part::Lv(Layer::of(vg, lv, "", word)?, lv))
            };
            return Ok(vec![part(&pool.metadata, "cmeta")?, part(&pool.data, "cdata")?]);
        };
        let whole = Layer::of(vg, self.pool, "", "cvol")?;
        let slice = |word: &str, id: Option<&str>, start, length| {
            let mut layer = Layer::of(vg, self.pool, word, word)?;
            if let Some(id) = id.and_then(|id| LvId::parse(id).ok()) {
                layer.uuid = naming::dm_layer_uuid(&vg.id(), &id, word);
            }
            let on = whole.uuid.clone();
            Ok::<_, Error>(Part::Slice {
                layer,
                on,
                start,
                length,
            })
        };
        Ok(vec![
            Part::Lv(whole.clone(), self.pool),
            slice(
                "cmeta",
                volume.metadata_id.as_deref(),
                volume.metadata_start,
                volume.metadata_len,
            )?,
            slice(
                "cdata",
                volume.data_id.as_deref(),
                volume.data_start,
                volume.data_len,
            )?,
        ])
    }

    /// The table of the LV while it is written back.
    fn table_cleaning(&self, open: &OpenVg) -> Result<TableOn, Error> {
        let settings = self.settings().ok_or_else(|| self.is_odd())?;
        let chunk = settings.chunk_size.ok_or_else(|| self.is_odd())?;
        let mut uuids = self.parts()?.into_iter().rev().map(|part| match part {
            Part::Lv(layer, _) | Part::Slice { layer, .. } => layer.uuid,
        });
        let (Some(data), Some(metadata)) = (uuids.next(), uuids.next()) else {
            return Err(self.is_odd());
        };
        let is_second = settings.metadata_format == Some(2);
        Ok(TableOn {
            length: open.vg.extent_size().to_sectors(self.lv.extent_count()).get(),
            target: TargetOn::Cache {
                metadata,
                data,
                origin: self.origin_layer()?.uuid,
                chunk: chunk.get(),
                features: is_second
                    .then_some("metadata2")
                    .into_iter()
                    .chain([Cache::WRITETHROUGH])
                    .map(Into::into)
                    .collect(),
                policy: Cache::CLEANER.into(),
            },
        })
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
