//! What of an operation on thin volumes no library can leave out: the kernel's messages, devices and the writes and syncs of two
//! commits.

use std::path::Path;

use lvm_native::dm::{DeviceId, DeviceMapper, DmName, Kernel, Table, ThinPoolStatus};
use lvm_native::pool::Error;

use crate::Times;
use crate::floor::{Mapped, commit, open};

/// Numbers of devices that no LV has.
const ORIGIN: u32 = 16_000_000;
const OTHER: u32 = ORIGIN + 1;

/// Does each operation's calls N times in the thin pool of this device name, and the commits on a blank disk.  The pool's
/// transaction stays what it is.
pub(crate) fn run(pool: &str, disk: &Path, rounds: usize) -> Result<Times, Error> {
    let file = open(disk)?;
    let mapper = Kernel::new();
    let name = DmName::new(pool).map_err(Error::Dm)?;
    let gone = || Error::NotActive(pool.into());
    let info = mapper
        .info(DeviceId::Name(&name))
        .map_err(Error::Dm)?
        .ok_or_else(gone)?;
    let lines = mapper.status(DeviceId::Name(&name), true).map_err(Error::Dm)?;
    let status = lines.first().and_then(ThinPoolStatus::parse).ok_or_else(gone)?;
    let table = |id: u32| -> Result<Table, Error> {
        format!("0 131072 thin {} {id}", info.number)
            .parse()
            .map_err(Error::Dm)
    };
    let origin = Mapped::new(Kernel::new(), "bench-floor-origin")?;
    let other = Mapped::new(Kernel::new(), "bench-floor-other")?;
    // A message, the step to the next transaction, and what is around them.
    let tell = |text: String| -> Result<(), Error> {
        let both = [text, format!("set_transaction_id {0} {0}", status.transaction_id)];
        for text in both {
            mapper
                .message(DeviceId::Name(&name), 0, &text)
                .map_err(Error::Dm)?;
        }
        for _ in 0..2 {
            commit(&file).map_err(|source| Error::Io {
                what: "write",
                path: disk.into(),
                source,
            })?;
        }
        Ok(())
    };
    let mut times = Times::default();
    tell(format!("create_thin {ORIGIN}"))?;
    origin.create(&table(ORIGIN)?).map_err(Error::Dm)?;
    for _ in 0..rounds.max(1) {
        times.lap("snapshot", || {
            tell(format!("create_snap {OTHER} {ORIGIN}"))?;
            origin.reload(None).map_err(Error::Dm)
        })?;
        times.lap("destroy-snapshot", || tell(format!("delete {OTHER}")))?;
        for (create, destroy, text) in [
            ("clone", "destroy-clone", format!("create_snap {OTHER} {ORIGIN}")),
            ("thin-create", "thin-destroy", format!("create_thin {OTHER}")),
        ] {
            times.lap(create, || {
                tell(text)?;
                other.create(&table(OTHER)?).map_err(Error::Dm)
            })?;
            times.lap(destroy, || {
                other.remove().map_err(Error::Dm)?;
                tell(format!("delete {OTHER}"))
            })?;
        }
    }
    origin.remove().map_err(Error::Dm)?;
    tell(format!("delete {ORIGIN}"))?;
    Ok(times)
}
