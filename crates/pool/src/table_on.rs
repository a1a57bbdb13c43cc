//! Tables of devices on other mapped devices, whose numbers are not known before those are made.

use lvm_dm::{
    Cache, DeviceId, DeviceMapper, DeviceNumber, DmUuid, Raid, RaidImage, Snapshot, Table, Target,
    TargetLine, Writecache,
};

use crate::Error;

/// A table of one line on mapped devices, which are looked up when it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableOn {
    /// Sectors.
    pub(crate) length: u64,
    pub(crate) target: TargetOn,
}

/// The targets of copy-on-write snapshots, of arrays and of caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetOn {
    /// What is written here is copied for the snapshots first.
    Origin { real: DmUuid },
    /// What the origin was when the store was empty.
    Snapshot {
        real: DmUuid,
        store: DmUuid,
        /// Sectors copied at a time.
        chunk: u64,
    },
    /// An array.
    Raid {
        /// The kernel's word for level and layout.
        level: String,
        /// Sectors of one stripe; 0 for level 1.
        chunk: u64,
        params: Vec<String>,
        /// Metadata and data of each image; `None` for one that is missing.
        images: Vec<Option<(Option<DmUuid>, DmUuid)>>,
    },
    /// A part of one device.
    Linear {
        on: DmUuid,
        /// Sectors.
        start: u64,
    },
    /// A device with a cache in front of it.
    Cache {
        metadata: DmUuid,
        data: DmUuid,
        origin: DmUuid,
        /// Sectors of a block.
        chunk: u64,
        features: Vec<String>,
        policy: String,
    },
    /// A device with a cache for its writes in front of it.
    Writecache {
        origin: DmUuid,
        cache: DmUuid,
        /// Bytes of a block.
        block_size: u64,
        options: Vec<String>,
    },
}

/// A table of linear and striped lines with a stand-in for the number of one mapped device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableOver {
    pub(crate) table: Table,
    /// The device that [`TableOver::STAND_IN`] stands for.
    pub(crate) device: DmUuid,
}

impl TableOver {
    /// No device has this number.
    pub(crate) const STAND_IN: DeviceNumber = DeviceNumber { major: 0, minor: 0 };

    /// The table for the kernel.
    ///
    /// # Errors
    /// [`Error::NotActive`] when the device is not there.
    pub(crate) fn table(&self, mapper: &dyn DeviceMapper) -> Result<Table, Error> {
        let device = number(mapper, &self.device)?;
        let place = |number: &mut DeviceNumber| {
            if *number == Self::STAND_IN {
                *number = device;
            }
        };
        let mut lines = self.table.lines().to_vec();
        for line in &mut lines {
            match &mut line.target {
                Target::Linear { device, .. } => place(device),
                Target::Striped { stripes, .. } => {
                    stripes.iter_mut().for_each(|(device, _)| place(device));
                }
                _ => {}
            }
        }
        Ok(Table::new(lines))
    }
}

fn number(mapper: &dyn DeviceMapper, uuid: &DmUuid) -> Result<DeviceNumber, Error> {
    let info = mapper.info(DeviceId::Uuid(uuid)).map_err(Error::Dm)?;
    info.map(|info| info.number)
        .ok_or_else(|| Error::NotActive(uuid.to_string()))
}

impl TableOn {
    /// The table for the kernel.
    ///
    /// # Errors
    /// [`Error::NotActive`] when a device below is not there.
    pub(crate) fn table(&self, mapper: &dyn DeviceMapper) -> Result<Table, Error> {
        let number = |uuid: &DmUuid| number(mapper, uuid);
        let target = match &self.target {
            TargetOn::Origin { real } => Target::SnapshotOrigin {
                device: number(real)?,
            },
            TargetOn::Snapshot { real, store, chunk } => Target::Snapshot(Snapshot {
                origin: number(real)?,
                store: number(store)?,
                persistence: "P".into(),
                chunk: *chunk,
                features: Vec::new(),
            }),
            TargetOn::Linear { on, start } => Target::Linear {
                device: number(on)?,
                offset: *start,
            },
            TargetOn::Cache {
                metadata,
                data,
                origin,
                chunk,
                features,
                policy,
            } => Target::Cache(Cache {
                metadata: number(metadata)?,
                cache: number(data)?,
                origin: number(origin)?,
                block_size: *chunk,
                features: features.clone(),
                policy: policy.clone(),
                policy_args: Vec::new(),
            }),
            TargetOn::Writecache {
                origin,
                cache,
                block_size,
                options,
            } => Target::Writecache(Writecache {
                mode: Writecache::SSD.into(),
                origin: number(origin)?,
                cache: number(cache)?,
                block_size: *block_size,
                options: options.clone(),
            }),
            TargetOn::Raid {
                level,
                chunk,
                params,
                images,
            } => {
                let image = |image: &Option<(Option<DmUuid>, DmUuid)>| -> Result<RaidImage, Error> {
                    let (meta, data) = match image {
                        Some((meta, data)) => (meta.as_ref().map(number).transpose()?, Some(number(data)?)),
                        None => (None, None),
                    };
                    Ok(RaidImage { meta, data })
                };
                Target::Raid(Raid {
                    level: level.clone(),
                    chunk: *chunk,
                    params: params.clone(),
                    images: images.iter().map(image).collect::<Result<_, _>>()?,
                })
            }
        };
        Ok(Table::new(vec![TargetLine {
            start: 0,
            length: self.length,
            target,
        }]))
    }
}
