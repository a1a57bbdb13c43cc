//! Which processes ran in a VM, and what time they took: the kernel's process accounting (acct(5), version 3).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

/// Size of a record in bytes.
const RECORD: usize = 64;
/// Ticks of a second in a record, whatever the kernel's own clock has.
const TICKS: f64 = 100.0;

/// What all processes of one name did.
#[derive(Clone, Copy, Default)]
pub(crate) struct Total {
    /// Processes that ended.
    pub(crate) starts: usize,
    /// Time on a processor.
    pub(crate) cpu: Duration,
    /// Time from start to end.
    pub(crate) wall: Duration,
}

impl Total {
    /// Adds another total to this one.
    pub(crate) fn add(&mut self, other: &Self) {
        self.starts += other.starts;
        self.cpu += other.cpu;
        self.wall += other.wall;
    }
}

/// Totals by the name of the program.
pub(crate) type Totals = BTreeMap<String, Total>;

/// Reads the accounts of one scenario.  An absent file has no records: a VM that was stopped leaves none.
pub(crate) fn read(path: &Path) -> io::Result<Totals> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    let mut totals = Totals::new();
    for record in bytes.as_chunks::<RECORD>().0 {
        let (name, total) = decode(record);
        totals.entry(name).or_default().add(&total);
    }
    Ok(totals)
}

/// Returns `true` if a process of this name is one of LVM's commands.
pub(crate) fn is_lvm(name: &str) -> bool {
    name == "lvm" || ["lv", "vg", "pv"].iter().any(|start| name.starts_with(start))
}

fn decode(record: &[u8; RECORD]) -> (String, Total) {
    let half = |at: usize| u16::from_le_bytes([record[at], record[at + 1]]);
    let wall = f32::from_le_bytes([record[28], record[29], record[30], record[31]]);
    let name: Vec<u8> = record[48..]
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
        .collect();
    let total = Total {
        starts: 1,
        cpu: seconds(ticks(half(32)) + ticks(half(34))),
        wall: seconds(f64::from(wall)),
    };
    (String::from_utf8_lossy(&name).into_owned(), total)
}

/// A number of 13 bits, and three bits that say by which power of eight it is multiplied.
fn ticks(packed: u16) -> f64 {
    f64::from(packed & 0x1fff) * f64::from(1_u32 << (3 * (packed >> 13)))
}

fn seconds(ticks: f64) -> Duration {
    Duration::try_from_secs_f64(ticks / TICKS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_the_kernel_writes_it() {
        let mut record = [0; RECORD];
        record[1] = 3;
        record[28..32].copy_from_slice(&250.0_f32.to_le_bytes());
        // 100 ticks in user mode; 2 * 8 in the kernel.
        record[32..34].copy_from_slice(&100_u16.to_le_bytes());
        record[34..36].copy_from_slice(&(2_u16 | 1 << 13).to_le_bytes());
        record[48..51].copy_from_slice(b"lvs");
        let (name, total) = decode(&record);
        assert_eq!(name, "lvs");
        assert_eq!(total.cpu, Duration::from_millis(1160));
        assert_eq!(total.wall, Duration::from_millis(2500));
        assert!(is_lvm(&name) && !is_lvm("poolctl"));
    }
}
