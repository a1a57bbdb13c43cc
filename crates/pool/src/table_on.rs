//! Tables of devices on other mapped devices, whose numbers are not known before those are made.

use lvm_dm::{DeviceId, DeviceMapper, DeviceNumber, DmUuid, Snapshot, Table, Target, TargetLine};

use crate::Error;

/// A table of one line on mapped devices, which are looked up when it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableOn {
    /// Sectors.
    pub(crate) length: u64,
    pub(crate) target: TargetOn,
}

/// The targets of copy-on-write snapshots.
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
}

impl TableOn {
    /// The table for the kernel.
    ///
    /// # Errors
    /// [`Error::NotActive`] when a device below is not there.
    pub(crate) fn table(&self, mapper: &dyn DeviceMapper) -> Result<Table, Error> {
        let number = |uuid: &DmUuid| -> Result<DeviceNumber, Error> {
            let info = mapper.info(DeviceId::Uuid(uuid)).map_err(Error::Dm)?;
            info.map(|info| info.number)
                .ok_or_else(|| Error::NotActive(uuid.to_string()))
        };
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
        };
        Ok(Table::new(vec![TargetLine {
            start: 0,
            length: self.length,
            target,
        }]))
    }
}
