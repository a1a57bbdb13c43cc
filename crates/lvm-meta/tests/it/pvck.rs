//! The real `pvck` takes the images that we write for its own.
//!
//! It reads plain files and needs no root.  Where it is not installed the tests say so on stderr and prove nothing; where `CI` is
//! set that is a failure.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use lvm_meta::{Disk, FileDisk, MdaSet, Vg, orphan_pv};

use crate::support::{DISK_SIZE, add_lv, changed, commit, create, layout, open, provenance, read_vg};

/// Makes image files with a VG on them.
fn images(folder: &Path, mda_counts: &[u8]) -> (Vec<Arc<dyn Disk>>, Vg) {
    let disk = |number: usize| -> Arc<dyn Disk> {
        let path = folder.join(format!("disk{number}"));
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .unwrap();
        file.set_len(u64::try_from(DISK_SIZE).unwrap()).unwrap();
        Arc::new(FileDisk::new(file))
    };
    let disks: Vec<_> = (0..mda_counts.len()).map(disk).collect();
    let vg = create(&disks, mda_counts).unwrap();
    (disks, vg)
}

/// Runs `pvck --dump WHAT FILE`; `None` where there is none.
fn pvck(folder: &Path, args: &[&str], file: &str) -> Option<Output> {
    let mut command = Command::new("pvck");
    command
        .args(args)
        .arg(folder.join(file))
        .env("LVM_SUPPRESS_FD_WARNINGS", "1");
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(
                std::env::var_os("CI").is_none(),
                "pvck is not installed: apt-get install lvm2"
            );
            eprintln!("pvck is not installed: our images were not shown to it");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// What `pvck` found; insists that it complained of nothing.
#[track_caller]
fn text_of(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<_> = told
        .lines()
        .filter(|line| !line.contains("devices file") && !line.is_empty())
        .collect();
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && complaints.is_empty(),
        "{complaints:?}\n{found}"
    );
    for bad in ["CHECK:", "ERROR", "bad ", "invalid"] {
        assert!(!found.contains(bad), "{found}");
    }
    found
}

#[test]
fn pvck_finds_the_headers_of_our_images_good() {
    let folder = tempfile::tempdir().unwrap();
    let (disks, mut vg) = images(folder.path(), &[1, 2, 0]);
    for number in 0..30 {
        let new = changed(&vg, |vg| {
            if number < 9 {
                add_lv(vg, number, 1)
            } else {
                drop(vg.remove_lv("lv1"))
            }
        });
        let new = if new.lv_count() == vg.lv_count() {
            changed(&vg, |vg| add_lv(vg, 1, 2))
        } else {
            new
        };
        commit(&mut open(&disks, &read_vg(&disks).unwrap()), &new).unwrap();
        vg = new;
        for (file, areas) in [("disk0", 1), ("disk1", 2), ("disk2", 0)] {
            let Some(output) = pvck(folder.path(), &["--dump", "headers"], file) else {
                return;
            };
            let found = text_of(&output);
            let seqno = format!("seqno {}", vg.seqno());
            assert_eq!(found.matches(&seqno).count(), areas, "{file}: {found}");
            assert!(
                found.contains("label_header.id LABELONE") && found.contains("pv_header.pv_uuid"),
                "{found}"
            );
        }
    }
}

#[test]
fn pvck_reads_the_text_that_we_wrote_wrapped_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let (disks, mut vg) = images(folder.path(), &[1]);
    let mut wrapped = 0;
    for number in 0..60 {
        vg = changed(&vg, |vg| {
            if number < 15 {
                add_lv(vg, number, 1)
            }
        });
        let mut set = open(&disks, &read_vg(&disks).unwrap());
        commit(&mut set, &vg).unwrap();
        let text = vg.print_raw(&provenance());
        let header = read_vg(&disks)
            .unwrap()
            .pvs
            .remove(0)
            .scan
            .unwrap()
            .mdas
            .remove(0)
            .header
            .unwrap();
        let wraps = header.committed.offset + header.committed.size > header.size;
        wrapped += usize::from(wraps);
        if !wraps && number % 10 != 0 {
            continue;
        }
        let Some(output) = pvck(folder.path(), &["--dump", "metadata"], "disk0") else {
            return;
        };
        let found = text_of(&output);
        // The tool prints its own lines around the text as it is on the disk.
        let text = String::from_utf8(text).unwrap();
        assert!(found.contains(text.trim_end_matches('\0').trim_end()), "{found}");
    }
    assert!(wrapped > 1, "{wrapped} texts wrapped");
}

#[test]
fn pvck_sees_a_precommitted_text_beside_the_committed_one_and_an_orphan_without_either() {
    let folder = tempfile::tempdir().unwrap();
    let (disks, vg) = images(folder.path(), &[1]);
    let mut set = MdaSet::new();
    set.open(&disks[0], &layout(1).metadata_areas).unwrap();
    let new = changed(&vg, |vg| add_lv(vg, 1, 1));
    drop(
        set.write(&new.print_raw(&provenance()))
            .unwrap()
            .precommit()
            .unwrap(),
    );
    let Some(output) = pvck(folder.path(), &["--dump", "headers"], "disk0") else {
        return;
    };
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        found.contains("CHECK: mda_header_1.raw_locn[1] for precommit not empty"),
        "{found}"
    );
    assert!(
        found.contains("# vgname vg0 seqno 1\n") && !found.contains("seqno 2"),
        "{found}"
    );
    orphan_pv(&*disks[0]).unwrap();
    let Some(output) = pvck(folder.path(), &["--dump", "headers"], "disk0") else {
        return;
    };
    assert!(!text_of(&output).contains("seqno"));
}
