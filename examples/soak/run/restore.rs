//! The pool is restored from a text that was kept, after changes and, on image files, without labels.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use lvm_native::meta::{FileDisk, scan};
use lvm_native::pool::RestorePool;

use super::place::{run, text};
use super::world::{POOL, World};
use super::{Outcome, replicas, told};

/// Bytes from the start of a disk in which its label and the header of its metadata area are.
const HEAD: usize = 8192;

/// Does only what moves no data and leaves the kernel's metadata of thin pools alone: the old text is true again.
pub(crate) fn restore(world: &mut World) -> Outcome<()> {
    let kept = keep(world)?;
    let before = world.model.clone();
    world.note("change what a restore undoes:".into());
    replicas::set(world)?;
    super::pool::tag(world)?;
    if let Some(uuid) = world.some(|replica| !replica.thin) {
        world.note(format!("destroy {uuid}"));
        world.pool()?.destroy_replica(uuid).map_err(told)?;
        world.model.replicas.remove(&uuid);
    }
    world.stop()?;
    let mut request = RestorePool::new(POOL, kept.text);
    // It might be older than the kernel's metadata.
    request.force = world.model.has_thin_pool;
    if !world.place.is_kernel() {
        let erased = world.some_disk();
        world.note(format!("restore; disk {erased} has lost its label"));
        erase(&world.disk(erased))?;
        request.disks = kept.disks;
    } else {
        world.note("restore".into());
    }
    let done = world.system().restore_pool(&request).map_err(told)?;
    let labels = usize::from(!world.place.is_kernel());
    if done.relabelled.len() != labels || !done.left.is_empty() {
        return Err(format!("a restore did {done:?}"));
    }
    world.model = before;
    world.reopen()?;
    world.check_all()
}

/// A text, and the disk of each PV in it.
struct Kept {
    text: Vec<u8>,
    disks: Vec<(String, PathBuf)>,
}

fn keep(world: &World) -> Outcome<Kept> {
    if world.place.is_kernel() {
        let file = std::env::temp_dir().join("soak-backup");
        run("vgcfgbackup", &["-f", &text(&file), POOL])?;
        let text = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let disks = Vec::new();
        return Ok(Kept { text, disks });
    }
    let mut kept = Kept {
        text: Vec::new(),
        disks: Vec::new(),
    };
    for disk in world.disks() {
        let wrong = |error| format!("{}: {error}", disk.display());
        let file = File::open(&disk).map_err(|error| format!("{}: {error}", disk.display()))?;
        let read = scan(&FileDisk::new(file)).map_err(wrong)?;
        let read = read.ok_or_else(|| format!("{} has no label", disk.display()))?;
        kept.disks.push((read.header.id.to_string(), disk.clone()));
        let found = read.mdas.into_iter().find_map(|mda| mda.text?.ok());
        if let Some(found) = found {
            kept.text = found.to_vec();
        }
    }
    Ok(kept)
}

fn erase(disk: &Path) -> Outcome<()> {
    let file = File::options().write(true).open(disk);
    let done = file.and_then(|file| file.write_all_at(&[0; HEAD], 0));
    done.map_err(|error| format!("{}: {error}", disk.display()))
}
