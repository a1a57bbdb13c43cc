//! What metadata alone costs, in pools of any size, with a mapper that does nothing but note its devices.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use lvm_native::meta::FileDisk;
use lvm_native::pool::{CreatePool, CreateReplica, Error, StoragePool, System, Zeroing};
use uuid::Uuid;

use crate::memory::Memory;
use crate::{Times, ops};

const POOL: &str = "bench";
const EXTENT: u64 = 128 << 10;
/// Bytes of metadata for each LV: two copies and some room.
const TEXT: u64 = 2048;
/// Rounds in most pools, and in those of a hundred thousand.
const ROUNDS: (usize, usize) = (11, 3);

/// Does each operation in a pool of `lvs` replicas on an image in `folder`.
pub(crate) fn run(folder: &Path, lvs: usize) -> Result<Times, Error> {
    let image = folder.join("image");
    let failed = |source| Error::Io {
        what: "make",
        path: image.clone(),
        source,
    };
    let size = (lvs as u64 + 1024) * (EXTENT + TEXT) + (4 << 20);
    let made = File::create(&image).and_then(|file| file.set_len(size));
    made.map_err(failed)?;
    let (system, mut times) = (system(&image)?, Times::default());
    let pool = fill(&system, &image, lvs, &mut times)?;
    // The first change alone prints and checks everything.
    ops::round(&pool, Zeroing::None, &mut Times::default())?;
    for _ in 0..if lvs < 100_000 { ROUNDS.0 } else { ROUNDS.1 } {
        ops::round(&pool, Zeroing::None, &mut times)?;
    }
    drop(pool);
    for _ in 0..ROUNDS.1 {
        times.lap("open", || system.open_pool(POOL))?;
    }
    let file = File::open(&image).map_err(failed)?;
    ops::print(&FileDisk::new(file), ROUNDS.1, &mut times)?;
    std::fs::remove_file(&image).map_err(failed)?;
    Ok(times)
}

/// Makes a pool of `lvs` replicas on a disk; none of them is active in the kernel.
pub(crate) fn inactive(disk: &Path, lvs: usize) -> Result<Times, Error> {
    let mut times = Times::default();
    fill(&system(disk)?, disk, lvs, &mut times)?;
    Ok(times)
}

fn system(disk: &Path) -> Result<System, Error> {
    let mapper = Arc::new(Memory::default());
    let system = System::embedded().mapper(mapper);
    system.devices(vec![disk.into()]).build()
}

fn fill(system: &System, disk: &Path, lvs: usize, times: &mut Times) -> Result<StoragePool, Error> {
    let mut request = CreatePool::new(POOL, vec![disk.into()]);
    request.extent_size = Some(EXTENT);
    request.metadata_size = Some(((lvs as u64 + 1024) * TEXT).next_multiple_of(1 << 20));
    let pool = system.create_pool(&request)?;
    let requests: Vec<_> = (0..lvs).map(|_| CreateReplica::new(Uuid::new_v4(), 1)).collect();
    times.lap("many", || pool.create_replicas(&requests))?;
    Ok(pool)
}
