//! The main job on image files: no root, nothing installed.
//!
//! Makes two image files in a temporary folder, a pool on them and a replica in the pool; writes data through the
//! replica, resizes it, opens the pool again from the images alone, checks the data, and removes all it made.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use lvm_native::pool::{CreatePool, CreateReplica, Layout, Shrink, StoragePool, System};
use uuid::Uuid;

const MIB: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut steps = Steps::default();
    let images = steps.run("make two image files of 64 MiB", || images(folder.path()))?;
    let locks = folder.path().join("lock");
    let open = || {
        System::embedded()
            .devices(images.clone())
            .lock_dir(locks.clone())
            .build()
    };

    let system = open()?;
    let uuid = Uuid::new_v4();
    let pool = steps.run("create a pool on them: a volume group with our mark", || {
        system.create_pool(&CreatePool::new("quick", images.clone()))
    })?;
    steps.note(&format!(
        "capacity {} MiB, extents of {} MiB",
        pool.info()?.capacity / MIB,
        pool.info()?.extent_size / MIB
    ));
    steps.run("create a replica of 20 MiB, its head zeroed", || {
        pool.create_replica(&CreateReplica::new(uuid, 20 * MIB))
    })?;
    steps.run("create another, striped over both disks", || {
        let mut request = CreateReplica::new(Uuid::new_v4(), 16 * MIB);
        request.layout = Layout::striped(2, 64 << 10)?;
        pool.create_replica(&request)
    })?;
    let data = pattern(8 * MIB);
    steps.run("write 8 MiB through the replica and sync", || {
        let device = pool.open_replica(uuid)?;
        device.write_at(4 * MIB, &data)?;
        device.sync()
    })?;
    steps.run("resize it to 80 MiB, more than is left on one disk", || {
        pool.resize_replica(uuid, 80 * MIB, Shrink::Refuse)
    })?;
    steps.run("read the data back", || check(&pool, uuid, &data))?;
    for replica in steps.run("list the replicas", || pool.replicas())? {
        steps.note(&format!(
            "{} {:>3} MiB {}",
            replica.uuid,
            replica.size / MIB,
            replica.layout
        ));
    }
    drop((pool, system));

    let system = open()?;
    let pool = steps.run("open the pool again, from the images alone", || {
        system.import_pool("quick", &images, None)
    })?;
    steps.run("read the data back again", || check(&pool, uuid, &data))?;
    for line in steps.run("draw the extents of each disk", || pool.extent_map())? {
        steps.note(&line);
    }
    pvck(&mut steps, &images);
    steps.run("destroy the pool with its replicas", || {
        system.destroy_pool("quick")
    })?;
    steps.run("remove the images", || folder.close())?;
    Ok(())
}

/// Runs steps and prints each with its time.
#[derive(Default)]
struct Steps(u32);

impl Steps {
    fn run<T, E: Into<Box<dyn Error>>>(
        &mut self,
        what: &str,
        step: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Box<dyn Error>> {
        let start = Instant::now();
        let result = step().map_err(Into::into)?;
        self.0 += 1;
        self.print(&format!(
            "{:>2}. {what:<60} {:>8.2} ms",
            self.0,
            start.elapsed().as_secs_f64() * 1e3
        ));
        Ok(result)
    }

    fn note(&self, text: &str) {
        self.print(&format!("      {text}"));
    }

    fn print(&self, line: &str) {
        // A reader that closed its end does not stop the work.
        let _ = writeln!(io::stdout(), "{line}");
    }
}

fn images(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let make = |name: &str| {
        let path = folder.join(name);
        File::create(&path)?.set_len(64 * MIB)?;
        Ok(path)
    };
    ["disk-1.img", "disk-2.img"].into_iter().map(make).collect()
}

/// Bytes that differ from place to place.
fn pattern(length: u64) -> Vec<u8> {
    (0..length)
        .map(|at| (at.wrapping_mul(0x9E37_79B9) >> 13) as u8)
        .collect()
}

fn check(pool: &StoragePool, uuid: Uuid, data: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut found = vec![0; data.len()];
    pool.open_replica(uuid)?.read_at(4 * MIB, &mut found)?;
    if found == data {
        Ok(())
    } else {
        Err("the data read is not the data written".into())
    }
}

/// Lets LVM's own checker look at the images, where it is installed.
fn pvck(steps: &mut Steps, images: &[PathBuf]) {
    for image in images {
        match Command::new("pvck")
            .args(["--dump", "headers"])
            .arg(image)
            .output()
        {
            Ok(done) if done.status.success() => {
                steps.note(&format!("LVM's pvck finds {} sound", image.display()))
            }
            Ok(done) => steps.note(&format!(
                "LVM's pvck says: {}",
                String::from_utf8_lossy(&done.stderr).trim()
            )),
            Err(_) => return steps.note("LVM's pvck is not installed here; it would check the images now"),
        }
    }
}
