//! What every mapper does alike, as checks to run against one.

mod data;
mod devices;
mod thin;
mod waiting;

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::deadline::Deadline;
use crate::{
    BlockIo, Cookie, DeviceId, DeviceInfo, DeviceMapper, DeviceNumber, DmName, DmUuid, Error, OpenMode,
    Table, UdevFlags,
};

/// Longest that a check waits for anything.
const LONG: Duration = Duration::from_secs(300);
/// Sectors of a mebibyte.
const MIB: u64 = 2048;

type Outcome = Result<(), Box<dyn StdError>>;

/// One thing that every mapper does.
#[derive(Clone, Copy)]
pub struct Check {
    /// What it is, in words.
    pub name: &'static str,
    run: fn(&Bench) -> Outcome,
}

impl Check {
    /// Checks it; what is wrong otherwise.  Devices that it made are taken away again.
    ///
    /// # Errors
    /// What the mapper did wrong, for people.
    pub fn run(&self, bench: &Bench) -> Result<(), String> {
        let result = (self.run)(bench).map_err(|error| {
            let mut words = error.to_string();
            let mut below = error.source();
            while let Some(error) = below {
                words += &format!(": {error}");
                below = error.source();
            }
            words
        });
        let left = bench.clean_up();
        result.and_then(|()| match left.as_slice() {
            [] => Ok(()),
            left => Err(format!("devices are left: {left:?}")),
        })
    }
}

/// All checks.
pub fn checks() -> Vec<Check> {
    [devices::CHECKS, data::CHECKS, waiting::CHECKS, thin::CHECKS].concat()
}

/// A mapper, and two disks of at least 16 MiB whose contents do not matter.
pub struct Bench {
    mapper: Box<dyn DeviceMapper>,
    disks: [DeviceNumber; 2],
    dev: PathBuf,
    prefix: String,
    serial: AtomicU32,
}

impl Bench {
    /// A bench for a mapper whose nodes are below `dev`.
    ///
    /// # Errors
    /// Those of [`DeviceMapper::backing`].
    pub fn new(mapper: Box<dyn DeviceMapper>, disks: [&Path; 2], dev: &Path) -> Result<Self, Error> {
        let disks = [mapper.backing(disks[0])?, mapper.backing(disks[1])?];
        Ok(Self {
            mapper,
            disks,
            dev: dev.into(),
            prefix: format!("conformance-{}-", std::process::id()),
            serial: AtomicU32::new(0),
        })
    }

    /// Names that nobody else has.
    fn fresh(&self, what: &str) -> Result<(DmName, DmUuid), Error> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let text = format!("{}{serial}-{what}", self.prefix);
        Ok((DmName::new(&text)?, DmUuid::new(&format!("TEST-{text}"))?))
    }

    /// A table of text, in which `A` and `B` are the disks.
    fn table(&self, text: &str) -> Result<Table, Error> {
        let words = text.lines().map(|line| {
            let named = line.split(' ').map(|word| match word {
                "A" => self.disks[0].to_string(),
                "B" => self.disks[1].to_string(),
                word => word.to_string(),
            });
            named.collect::<Vec<_>>().join(" ")
        });
        words.collect::<Vec<_>>().join("\n").parse()
    }

    /// A device that is up, with a table of text.
    fn device(&self, what: &str, table: &str) -> Result<Device<'_>, Error> {
        let (name, uuid) = self.fresh(what)?;
        self.mapper.create(&name, &uuid)?;
        let device = Device {
            bench: self,
            name,
            uuid,
        };
        device.load(table)?;
        device.resume()?;
        Ok(device)
    }

    /// Runs some commands with one cookie.
    fn batch<T>(&self, act: impl FnOnce(&mut Cookie) -> Result<T, Error>) -> Result<T, Error> {
        let mut cookie = self.mapper.cookie()?;
        let result = act(&mut cookie);
        self.mapper.finish(cookie, LONG)?;
        result
    }

    fn remove(&self, id: DeviceId<'_>) -> Result<(), Error> {
        self.batch(|cookie| self.mapper.remove(id, false, UdevFlags::empty(), cookie))
    }

    /// Takes away what a check left, users before what they use, and names it.
    fn clean_up(&self) -> Vec<String> {
        let mut left = Vec::new();
        for _ in 0..8 {
            let ours = self.mapper.list().unwrap_or_default();
            let ours = ours
                .into_iter()
                .filter(|entry| entry.name.as_str().starts_with(&self.prefix));
            for entry in ours {
                let id = DeviceId::Number(entry.number);
                let busy = !matches!(self.mapper.info(id), Ok(Some(info)) if info.open_count == 0);
                if !busy && self.remove(id).is_ok() {
                    left.push(entry.name.to_string());
                }
            }
        }
        left
    }
}

/// A device of a check; it has to be removed by the check.
struct Device<'b> {
    bench: &'b Bench,
    name: DmName,
    uuid: DmUuid,
}

impl Device<'_> {
    fn id(&self) -> DeviceId<'_> {
        DeviceId::Uuid(&self.uuid)
    }

    fn info(&self) -> Result<DeviceInfo, Error> {
        let info = self.bench.mapper.info(self.id())?;
        info.ok_or_else(|| Error::errno_of("info", &self.name, libc::ENXIO))
    }

    fn number(&self) -> Result<DeviceNumber, Error> {
        Ok(self.info()?.number)
    }

    fn load(&self, table: &str) -> Result<DeviceInfo, Error> {
        self.bench
            .mapper
            .load(self.id(), &self.bench.table(table)?, false)
    }

    fn resume(&self) -> Result<DeviceInfo, Error> {
        self.bench
            .batch(|cookie| self.bench.mapper.resume(self.id(), UdevFlags::empty(), cookie))
    }

    fn open(&self) -> Result<Box<dyn BlockIo>, Error> {
        self.bench.mapper.open(self.id(), OpenMode::ReadWrite)
    }

    fn remove(self) -> Result<(), Error> {
        self.bench.remove(self.id())
    }
}

/// Fails with the line and both values when they differ.
macro_rules! same {
    ($found:expr, $expected:expr) => {
        match (&$found, &$expected) {
            (found, expected) if found == expected => {}
            (found, expected) => {
                let what = stringify!($found);
                return Err(format!("line {}: {what} is {found:?}, not {expected:?}", line!()).into());
            }
        }
    };
}

/// Fails unless the result is an error with one of these errnos.
macro_rules! refused {
    ($result:expr, $($errno:path)|+) => {
        match $result {
            Ok(_) => return Err(format!("line {}: {} succeeds", line!(), stringify!($result)).into()),
            Err(error) => match error.errno() {
                $($errno)|+ => {}
                errno => return Err(format!("line {}: errno {errno}: {error}", line!()).into()),
            },
        }
    };
}

/// Waits until something is what it should become.
fn becomes(expected: &str, look: impl Fn() -> Result<String, Error>) -> Outcome {
    let end = Deadline::after(LONG);
    loop {
        let found = look()?;
        if found == expected {
            return Ok(());
        }
        if end.left().is_zero() {
            return Err(format!("{found:?} does not become {expected:?}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Fails unless a table is refused with `EINVAL`: when it is loaded or, as the kernel does with all but a device's first,
/// when it is to be mapped.  The device then stays suspended with its old table, and goes on with the next resume.
fn refuses(device: &Device<'_>, table: &str) -> Outcome {
    let result = device.load(table);
    if result.is_ok() {
        refused!(device.resume(), libc::EINVAL);
        same!(device.info()?.inactive_table, false);
        same!(device.resume()?.suspended, false);
    } else {
        refused!(result, libc::EINVAL);
    }
    Ok(())
}

use {refused, same};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embedded;
    use crate::testing::FakeMapper;

    fn run_all(mapper: Box<dyn DeviceMapper>) {
        let dir = tempfile::tempdir().unwrap();
        let disks = ["a", "b"].map(|name| dir.path().join(name));
        for disk in &disks {
            std::fs::File::create(disk).unwrap().set_len(16 << 20).unwrap();
        }
        let bench = Bench::new(mapper, [&disks[0], &disks[1]], dir.path()).unwrap();
        let run = |check: &Check| Some(format!("{}: {}", check.name, check.run(&bench).err()?));
        let failed: Vec<String> = checks().iter().filter_map(run).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn the_embedded_mapper_does_what_the_kernels_does() {
        run_all(Box::new(Embedded::new()));
    }

    #[test]
    fn an_embedded_mapper_with_thin_pools_does_what_the_kernels_does() {
        run_all(Box::new(Embedded::with_thin_pools()));
    }

    #[test]
    fn a_fake_without_faults_does_what_its_mapper_does() {
        run_all(Box::new(FakeMapper::new()));
    }
}
