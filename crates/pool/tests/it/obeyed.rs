//! What the metadata and the host's configuration say is obeyed by every change: see docs/obeyed.md.

mod block_sizes;
mod devices;
mod limits;
mod policies;
mod settings;

use lvm_meta::FileDisk;
use uuid::Uuid;

use crate::lab::Lab;
use crate::restore;

/// Changes the pool's text on its disks, as the tools would.
#[track_caller]
fn rewrite(lab: &Lab, disks: &[usize], edit: impl FnOnce(String) -> String) {
    let text = edit(lab.metadata());
    let (before, rest) = text.split_once("seqno = ").unwrap();
    let (seqno, rest) = rest.split_once('\n').unwrap();
    let seqno: u32 = seqno.parse().unwrap();
    let text = format!("{before}seqno = {}\n{rest}", seqno + 1);
    lvm_meta::Vg::parse(text.as_bytes()).unwrap();
    restore::commit(lab, disks, text.as_bytes());
    for at in disks {
        let disk = FileDisk::new(restore::image(lab, *at));
        assert!(lvm_meta::scan(&disk).unwrap().is_some());
    }
}

/// Replaces one piece of a text.
#[track_caller]
fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old} in {text}");
    text.replacen(old, new, 1)
}

/// Adds fields to a replica's section.
#[track_caller]
fn with_fields(text: &str, replica: Uuid, fields: &str) -> String {
    let head = format!("\n{replica} {{\n");
    replaced(text, &head, &format!("{head}{fields}"))
}

/// Adds fields to the VG.
#[track_caller]
fn with_vg_fields(text: &str, fields: &str) -> String {
    replaced(text, "max_pv = 0\n", &format!("max_pv = 0\n{fields}"))
}
