//! What of an operation no library can leave out: the kernel's work and the disk's.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use lvm_native::dm::{
    DeviceId, DeviceMapper, DmName, DmUuid, Kernel, OpenMode, SuspendFlags, Table, UdevFlags,
};
use lvm_native::pool::Error;

use crate::Times;

/// Bytes of one write.
const BLOCK: usize = 4096;
/// Longest wait for udev.
const PATIENCE: Duration = Duration::from_secs(30);

/// Does each operation's calls N times, with a device that it maps on a blank disk, and the writes and syncs of one
/// metadata area's commit at the disk's start.
pub(crate) fn run(disk: &Path, rounds: usize) -> Result<Times, Error> {
    let failed = |source| Error::Io {
        what: "write",
        path: disk.into(),
        source,
    };
    let mapper = Kernel::new();
    let number = mapper.backing(disk).map_err(Error::Dm)?;
    let table = |sectors: u64| -> Result<Table, Error> {
        format!("0 {sectors} linear {number} 8192")
            .parse()
            .map_err(Error::Dm)
    };
    let device = Mapped::new(mapper, "bench-floor")?;
    let file = open(disk)?;
    let mut times = Times::default();
    for _ in 0..rounds.max(1) {
        let commit = || commit(&file).map_err(failed);
        times.lap("create", || {
            device.create(&table(2048)?).map_err(Error::Dm)?;
            device.zero(failed)?;
            commit()
        })?;
        times.lap("set-tag", commit)?;
        times.lap("resize", || {
            device.reload(Some(&table(4096)?)).map_err(Error::Dm)?;
            commit()
        })?;
        times.lap("destroy", || {
            device.remove().map_err(Error::Dm)?;
            commit()
        })?;
    }
    Ok(times)
}

/// Opens a disk past the page cache.
pub(crate) fn open(disk: &Path) -> Result<File, Error> {
    let mut file = File::options();
    file.write(true).custom_flags(nix::fcntl::OFlag::O_DIRECT.bits());
    file.open(disk).map_err(|source| Error::Io {
        what: "open",
        path: disk.into(),
        source,
    })
}

/// Text, precommit, commit: a write and a sync each.
pub(crate) fn commit(file: &File) -> io::Result<()> {
    let memory = vec![0; 2 * BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    let block = memory.get(start..start + BLOCK).unwrap_or_default();
    for at in [4 * BLOCK as u64, 0, 0] {
        file.write_all_at(block, at)?;
        file.sync_data()?;
    }
    Ok(())
}

/// A device, by the kernel's calls alone.
pub(crate) struct Mapped {
    pub(crate) mapper: Kernel,
    name: DmName,
    uuid: DmUuid,
}

impl Mapped {
    pub(crate) fn new(mapper: Kernel, name: &str) -> Result<Self, Error> {
        Ok(Self {
            mapper,
            name: DmName::new(name).map_err(Error::Dm)?,
            uuid: DmUuid::new(&name.to_uppercase()).map_err(Error::Dm)?,
        })
    }

    fn id(&self) -> DeviceId<'_> {
        DeviceId::Uuid(&self.uuid)
    }

    pub(crate) fn create(&self, table: &Table) -> Result<(), lvm_native::dm::Error> {
        self.mapper.create(&self.name, &self.uuid)?;
        self.mapper.load(self.id(), table, false)?;
        self.resume()
    }

    /// Stops it, and lets it go on with another table if there is one.
    pub(crate) fn reload(&self, table: Option<&Table>) -> Result<(), lvm_native::dm::Error> {
        if let Some(table) = table {
            self.mapper.load(self.id(), table, false)?;
        }
        self.mapper.suspend(self.id(), SuspendFlags::empty())?;
        self.resume()
    }

    fn resume(&self) -> Result<(), lvm_native::dm::Error> {
        let mut cookie = self.mapper.cookie()?;
        self.mapper.resume(self.id(), UdevFlags::empty(), &mut cookie)?;
        self.mapper.finish(cookie, PATIENCE)
    }

    fn zero(&self, failed: impl Fn(io::Error) -> Error) -> Result<(), Error> {
        let device = self
            .mapper
            .open(self.id(), OpenMode::ReadWrite)
            .map_err(Error::Dm)?;
        device.zero(0, 128 << 10).map_err(&failed)?;
        device.sync().map_err(failed)
    }

    pub(crate) fn remove(&self) -> Result<(), lvm_native::dm::Error> {
        let mut cookie = self.mapper.cookie()?;
        self.mapper
            .remove(self.id(), false, UdevFlags::empty(), &mut cookie)?;
        self.mapper.finish(cookie, PATIENCE)
    }
}
