//! The head of one PV as bytes that a test may change, with its checksums made good again or not.

use std::fs;
use std::io::Read;
use std::path::Path;

/// Bytes of a head: all of the label, and of the metadata area at the front of the fixtures.
const HEAD: u64 = 1 << 20;
/// First byte of the label's sector.
pub(crate) const LABEL: usize = 512;
/// First byte of the metadata area's header.
pub(crate) const MDA: usize = 4096;

/// The first mebibyte of a PV.
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
}

impl Image {
    pub(crate) fn read(path: &Path) -> Self {
        let mut bytes = Vec::new();
        fs::File::open(path)
            .unwrap()
            .take(HEAD)
            .read_to_end(&mut bytes)
            .unwrap();
        Self { bytes }
    }

    /// Writes it as an image of this many bytes.
    pub(crate) fn write(&self, path: &Path, size: u64) {
        fs::write(path, &self.bytes).unwrap();
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(size)
            .unwrap();
    }

    fn u64_at(&self, at: usize) -> usize {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap()) as usize
    }

    /// Where the committed text starts.
    pub(crate) fn text_at(&self) -> usize {
        MDA + self.u64_at(MDA + 40)
    }

    /// The committed text with its NUL.
    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[self.text_at()..][..self.u64_at(MDA + 48)]
    }

    /// Puts another text in place of the committed one, with good checksums.
    pub(crate) fn set_text(&mut self, text: &[u8]) {
        let at = self.text_at();
        self.bytes[at..at + text.len()].copy_from_slice(text);
        self.bytes[MDA + 48..MDA + 56].copy_from_slice(&(text.len() as u64).to_le_bytes());
        self.bytes[MDA + 56..MDA + 60].copy_from_slice(&crc(text).to_le_bytes());
        self.mend_mda();
    }

    /// Replaces a part of the committed text; gives the byte of the image at which the part started.
    #[track_caller]
    pub(crate) fn replace(&mut self, old: &str, new: &str) -> usize {
        let text = String::from_utf8(self.text().to_vec()).unwrap();
        let at = text
            .find(old)
            .unwrap_or_else(|| panic!("{old:?} is not in the text"));
        self.set_text(text.replacen(old, new, 1).as_bytes());
        self.text_at() + at
    }

    /// Makes the checksum of the area's header good.
    pub(crate) fn mend_mda(&mut self) {
        let sum = crc(&self.bytes[MDA + 4..MDA + 512]);
        self.bytes[MDA..MDA + 4].copy_from_slice(&sum.to_le_bytes());
    }

    /// Makes the label's checksum good.
    pub(crate) fn mend_label(&mut self) {
        let sum = crc(&self.bytes[LABEL + 20..LABEL + 512]);
        self.bytes[LABEL + 16..LABEL + 20].copy_from_slice(&sum.to_le_bytes());
    }
}

/// LVM's checksum: the usual CRC-32 with another start and no inversion.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

#[test]
fn the_checksums_of_these_tests_are_lvms() {
    assert_eq!(crc(b"123456789"), 0x4991_cf02);
}
