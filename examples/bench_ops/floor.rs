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
    let device = Mapped {
        number: mapper.backing(disk).map_err(Error::Dm)?.to_string(),
        name: DmName::new("bench-floor").map_err(Error::Dm)?,
        uuid: DmUuid::new("BENCH-FLOOR").map_err(Error::Dm)?,
        mapper,
    };
    let mut file = File::options();
    file.write(true).custom_flags(nix::fcntl::OFlag::O_DIRECT.bits());
    let file = file.open(disk).map_err(failed)?;
    let mut times = Times::default();
    for _ in 0..rounds.max(1) {
        let commit = || commit(&file).map_err(failed);
        times.lap("create", || {
            device.create().map_err(Error::Dm)?;
            device.zero(failed)?;
            commit()
        })?;
        times.lap("set-tag", commit)?;
        times.lap("resize", || {
            device.grow().map_err(Error::Dm)?;
            commit()
        })?;
        times.lap("destroy", || {
            device.remove().map_err(Error::Dm)?;
            commit()
        })?;
    }
    Ok(times)
}

/// Text, precommit, commit: a write and a sync each.
fn commit(file: &File) -> io::Result<()> {
    let memory = vec![0; 2 * BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    let block = memory.get(start..start + BLOCK).unwrap_or_default();
    for at in [4 * BLOCK as u64, 0, 0] {
        file.write_all_at(block, at)?;
        file.sync_data()?;
    }
    Ok(())
}

struct Mapped {
    mapper: Kernel,
    number: String,
    name: DmName,
    uuid: DmUuid,
}

impl Mapped {
    fn id(&self) -> DeviceId<'_> {
        DeviceId::Uuid(&self.uuid)
    }

    fn create(&self) -> Result<(), lvm_native::dm::Error> {
        self.mapper.create(&self.name, &self.uuid)?;
        self.load(2048)?;
        self.resume()
    }

    fn grow(&self) -> Result<(), lvm_native::dm::Error> {
        self.load(4096)?;
        self.mapper.suspend(self.id(), SuspendFlags::empty())?;
        self.resume()
    }

    fn load(&self, sectors: u64) -> Result<(), lvm_native::dm::Error> {
        let table: Table = format!("0 {sectors} linear {} 8192", self.number).parse()?;
        self.mapper.load(self.id(), &table, false).map(drop)
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

    fn remove(&self) -> Result<(), lvm_native::dm::Error> {
        let mut cookie = self.mapper.cookie()?;
        self.mapper
            .remove(self.id(), false, UdevFlags::empty(), &mut cookie)?;
        self.mapper.finish(cookie, PATIENCE)
    }
}
