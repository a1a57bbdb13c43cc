//! A backup becomes the metadata again, whatever is left of it on the disks.

mod cuts;
mod refused;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use lvm_meta::{Disk, FileDisk, MdaSet, Provenance, Vg};
use lvm_pool::{Class, CreateReplica, RestorePool};

use crate::lab::{Lab, POOL, UNIT, lvm_checksum, request, uuid};
use crate::refusals::check_refused;

/// First byte of the metadata area's header, and of the first extent, on each disk.
const MDA: u64 = 4096;
const EXTENTS: u64 = 1 << 20;

pub(crate) fn image(lab: &Lab, disk: usize) -> File {
    let mut options = File::options();
    options.read(true).write(true);
    options.open(&lab.images[disk]).unwrap()
}

fn write(lab: &Lab, disk: usize, at: u64, bytes: &[u8]) {
    image(lab, disk).write_all_at(bytes, at).unwrap();
}

/// The committed text on a disk.
fn text_on(lab: &Lab, disk: usize) -> Vec<u8> {
    let read = lvm_meta::scan(&FileDisk::new(image(lab, disk))).unwrap().unwrap();
    read.mdas[0].text.as_ref().unwrap().as_ref().unwrap().to_vec()
}

/// Makes a text the one of these disks, as somebody else would.
pub(crate) fn commit(lab: &Lab, disks: &[usize], text: &[u8]) {
    let mut mdas = MdaSet::new();
    for at in disks {
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(image(lab, *at)));
        let areas = lvm_meta::scan(&*disk).unwrap().unwrap().header.metadata_areas;
        mdas.open(&disk, &areas).unwrap();
    }
    mdas.write(text).unwrap().precommit().unwrap().commit().unwrap();
}

/// A text with one piece of it replaced.
fn edited(text: &[u8], old: &str, new: &str) -> Vec<u8> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains(old), "{old} is not in {text}");
    text.replacen(old, new, 1).into_bytes()
}

/// A pool on three of four disks with an inactive replica of data, its text, and what was made of it since.
struct Prepared {
    lab: Lab,
    /// With one replica.
    text: Vec<u8>,
    /// All disks when that was the text.
    then: Vec<Vec<u8>>,
}

fn prepared() -> Prepared {
    // The folder of a lab goes with it: what is kept is the bytes of its disks.
    static MADE: OnceLock<[Vec<Vec<u8>>; 2]> = OnceLock::new();
    let [then, now] = MADE.get_or_init(|| {
        let made = make();
        [made.then, made.lab.bytes()]
    });
    let lab = Lab::new(4);
    for (disk, bytes) in then.iter().enumerate() {
        write(&lab, disk, 0, bytes);
    }
    let text = text_on(&lab, 0);
    for (disk, bytes) in now.iter().enumerate() {
        write(&lab, disk, 0, bytes);
    }
    let then = then.clone();
    Prepared { lab, text, then }
}

fn make() -> Prepared {
    let lab = Lab::new(4);
    let pool = lab.system().create_pool(&request(POOL, &lab.images[..3]));
    let pool = pool.unwrap();
    pool.create_replica(&CreateReplica::new(uuid(1), 100 * UNIT))
        .unwrap();
    pool.open_replica(uuid(1))
        .unwrap()
        .write_at(UNIT, &[0x5a; 4096])
        .unwrap();
    pool.deactivate_replica(uuid(1)).unwrap();
    let (text, then) = (text_on(&lab, 0), lab.bytes());
    for n in 2..4 {
        pool.create_replica(&CreateReplica::new(uuid(n), UNIT)).unwrap();
        pool.deactivate_replica(uuid(n)).unwrap();
    }
    pool.destroy_replica(uuid(2)).unwrap();
    Prepared { lab, text, then }
}

impl Prepared {
    fn request(&self) -> RestorePool {
        RestorePool::new(POOL, self.text.clone())
    }

    /// With the disks of all of the pool's PVs named.
    fn request_with_disks(&self, disks: &[usize]) -> RestorePool {
        let mut request = self.request();
        request.disks = disks
            .iter()
            .map(|at| (format!("pv{at}"), self.lab.images[*at].clone()))
            .collect();
        request
    }

    /// The pool is what the text says, on all disks, and nothing is wrong.
    #[track_caller]
    fn check(&self, context: &str) {
        let pool = self.lab.pool();
        let info = pool.info().unwrap();
        assert!(info.reasons.is_empty(), "{context}: {:?}", info.reasons);
        assert_eq!(info.disks, self.lab.images[..3], "{context}");
        let replicas: Vec<_> = pool.replicas().unwrap().iter().map(|lv| lv.uuid).collect();
        assert_eq!(replicas, [uuid(1)], "{context}");
        let (text, restored) = (
            Vg::parse(&self.text).unwrap(),
            Vg::parse(&text_on(&self.lab, 0)).unwrap(),
        );
        assert!(text.lvs().eq(restored.lvs()), "{context}");
        for disk in 1..3 {
            assert!(text_on(&self.lab, disk) == text_on(&self.lab, 0), "{context}");
        }
        pool.activate_replica(uuid(1)).unwrap();
        let mut data = [0; 4096];
        pool.open_replica(uuid(1))
            .unwrap()
            .read_at(UNIT, &mut data)
            .unwrap();
        assert!(data == [0x5a; 4096], "{context}: the data changed");
        pool.deactivate_replica(uuid(1)).unwrap();
    }

    /// Nothing from the extents on changed since the text was the pool's.
    #[track_caller]
    fn check_extents(&self, context: &str) {
        for (now, then) in self.lab.bytes().iter().zip(&self.then) {
            // What was made since was zeroed at its head: behind the first replica.
            let end = (EXTENTS + 100 * UNIT / 3) as usize;
            assert!(
                now[EXTENTS as usize..end] == then[EXTENTS as usize..end],
                "{context}"
            );
        }
    }
}

#[test]
fn an_older_text_of_either_form_becomes_the_pools_above_all_others() {
    let prepared = prepared();
    let lab = &prepared.lab;
    let provenance = Provenance::default();
    let file = lvm_meta::backup_text(&prepared.text, &provenance, &|_| String::new()).unwrap();
    for text in [prepared.text.clone(), file] {
        let before = lab.pool().info().unwrap().seqno;
        let done = lab.system().restore_pool(&RestorePool::new(POOL, text)).unwrap();
        assert_eq!(done.pool.seqno, before + 1);
        assert_eq!(done.written, lab.images[..3]);
        assert!(done.relabelled.is_empty() && done.left.is_empty());
        assert!(done.pool.reasons.is_empty(), "{:?}", done.pool.reasons);
        prepared.check("restored");
    }
    prepared.check_extents("restored");
}

#[test]
fn no_copy_needs_to_be_readable() {
    // The header's checksum, the place that it names for the text, the text.
    for at in [&[MDA + 1][..], &[MDA + 513], &[MDA + 1, MDA + 2048]] {
        let prepared = prepared();
        for disk in 0..3 {
            let ring = vec![0xee; 64 << 10];
            write(&prepared.lab, disk, MDA + 512, &ring);
            for at in at {
                write(&prepared.lab, disk, *at, &[0xff; 16]);
            }
        }
        assert!(prepared.lab.system().open_pool(POOL).is_err());
        let done = prepared.lab.system().restore_pool(&prepared.request()).unwrap();
        assert!(done.relabelled.is_empty());
        prepared.check(&format!("{at:?}"));
        prepared.check_extents(&format!("{at:?}"));
    }
}

#[test]
fn a_header_that_names_no_place_in_its_ring_is_written_anew() {
    let prepared = prepared();
    for disk in 0..3 {
        let mut header = [0; 512];
        image(&prepared.lab, disk)
            .read_exact_at(&mut header, MDA)
            .unwrap();
        header[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
        let sum = lvm_checksum(&header[4..]);
        header[..4].copy_from_slice(&sum.to_le_bytes());
        write(&prepared.lab, disk, MDA, &header);
    }
    prepared.lab.system().restore_pool(&prepared.request()).unwrap();
    prepared.check("restored");
}

#[test]
fn lost_labels_are_written_as_they_were() {
    for lost in [&[1][..], &[0, 2], &[0, 1, 2]] {
        let prepared = prepared();
        let lab = &prepared.lab;
        for disk in lost {
            write(lab, *disk, 0, &vec![0; EXTENTS as usize]);
        }
        check_refused(lab, "MissingPv", Class::Precondition, |system| {
            system.restore_pool(&prepared.request())
        });
        let done = lab
            .system()
            .restore_pool(&prepared.request_with_disks(lost))
            .unwrap();
        let named: Vec<PathBuf> = lost.iter().map(|disk| lab.images[*disk].clone()).collect();
        assert_eq!(done.relabelled, named);
        prepared.check(&format!("{lost:?}"));
        prepared.check_extents(&format!("{lost:?}"));
        for (now, then) in lab.bytes().iter().zip(&prepared.then) {
            assert!(now[..2048] == then[..2048], "{lost:?}: another label");
        }
        // Naming a disk that has its label is no harm.
        let again = lab.system().restore_pool(&prepared.request_with_disks(lost));
        assert!(again.unwrap().relabelled.is_empty());
    }
}

#[test]
fn what_is_left_of_a_label_is_known_by_its_id() {
    let prepared = prepared();
    let lab = &prepared.lab;
    // Its checksum is wrong; the id in it is not.
    write(lab, 1, 512 + 16, &[0; 4]);
    let mut request = prepared.request();
    let id = Vg::parse(&prepared.text).unwrap().pvs()[1].id();
    request.disks = vec![(id.to_string(), lab.images[1].clone())];
    assert_eq!(lab.system().restore_pool(&request).unwrap().relabelled.len(), 1);
    prepared.check("restored");
}

#[test]
fn signatures_before_the_extents_take_a_word_and_data_is_never_wiped() {
    let prepared = prepared();
    let lab = &prepared.lab;
    write(lab, 1, 0, &vec![0; EXTENTS as usize]);
    write(lab, 1, 0, b"XFSB");
    // Superblocks of an array lie at the disk's end, where a replica may have them.
    let md_at = 64 * UNIT - (64 << 10);
    write(lab, 1, md_at, &0xa92b_4efc_u32.to_le_bytes());
    let mut request = prepared.request_with_disks(&[1]);
    check_refused(lab, "DiskInUse", Class::Precondition, |system| {
        system.restore_pool(&request)
    });
    request.force = true;
    lab.system().restore_pool(&request).unwrap();
    prepared.check("forced");
    let disk = &lab.bytes()[1];
    assert!(&disk[..4] != b"XFSB");
    assert!(disk[md_at as usize..][..4] == 0xa92b_4efc_u32.to_le_bytes());
}

#[test]
fn a_disk_that_the_text_does_not_list_is_a_free_one() {
    let prepared = prepared();
    let lab = &prepared.lab;
    lab.pool().add_disks(&lab.images[3..], false).unwrap();
    let before = lab.pool().info().unwrap().seqno;
    let done = lab.system().restore_pool(&prepared.request()).unwrap();
    assert_eq!(done.left, lab.images[3..]);
    assert_eq!(done.pool.seqno, before + 1);
    prepared.check("restored");
    lab.system()
        .create_pool(&request("other", &lab.images[3..]))
        .unwrap();
}

#[test]
fn a_disk_with_data_leaves_only_by_a_word() {
    let prepared = prepared();
    let lab = &prepared.lab;
    let pool = lab.pool();
    pool.add_disks(&lab.images[3..], false).unwrap();
    pool.create_replica(&CreateReplica::new(uuid(9), 60 * UNIT))
        .unwrap();
    pool.deactivate_replica(uuid(9)).unwrap();
    let mut request = prepared.request();
    check_refused(lab, "NeedsForce", Class::InvalidArgument, |system| {
        system.restore_pool(&request)
    });
    request.force = true;
    assert_eq!(lab.system().restore_pool(&request).unwrap().left, lab.images[3..]);
    prepared.check("forced");
}

#[test]
fn a_copy_that_only_others_can_read_is_outranked_too() {
    let prepared = prepared();
    let lab = &prepared.lab;
    lab.pool().add_disks(&lab.images[3..], false).unwrap();
    let text = edited(&text_on(lab, 3), "seqno = ", "seqno = 7");
    // Extents of no size: not for us, but who knows.
    let text = edited(&text, "extent_size = 512", "extent_size = 0");
    let seqno = lvm_meta::TextHead::read(&text).unwrap().seqno.unwrap();
    assert!(Vg::parse(&text).is_err() && seqno > 70);
    for disks in [&[3][..], &[0, 3]] {
        commit(lab, disks, &text);
        let done = lab.system().restore_pool(&prepared.request()).unwrap();
        assert!(done.pool.seqno > seqno, "{disks:?}: {}", done.pool.seqno);
        prepared.check(&format!("{disks:?}"));
        lab.pool().add_disks(&lab.images[3..], true).unwrap();
    }
}

#[test]
fn image_files_have_no_backups_of_the_hosts() {
    let lab = Lab::with_pool(1);
    assert!(lab.system().saved_metadata(POOL).unwrap().is_empty());
    assert!(lab.system().saved_metadata("../x").is_err());
}
