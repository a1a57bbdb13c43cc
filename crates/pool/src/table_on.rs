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
        };
        Ok(Table::new(vec![TargetLine {
            start: 0,
            length: self.length,
            target,
        }]))
    }
}
