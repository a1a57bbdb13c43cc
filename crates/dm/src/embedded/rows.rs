//! Rows of a striped line: what lies on one stripe is moved by one call, since its chunks follow each other there.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};

use nix::errno::Errno;
use nix::sys::uio::{preadv, pwritev};

use crate::DeviceNumber;

/// Most chunks on one stripe in one call: the kernel's `UIO_MAXIOV`.
const CHUNKS_LIMIT: u64 = 1024;

/// Some bytes of a striped line that are on more than one chunk.
pub(super) struct Rows<'a> {
    /// Device and first sector of each stripe.
    pub(super) stripes: &'a [(DeviceNumber, u64)],
    /// Bytes of a chunk.
    pub(super) chunk: u64,
    /// First byte within the line.
    pub(super) inside: u64,
}

/// What of some bytes is on one stripe: parts of a buffer that follow each other on the device.
pub(super) struct Share<P> {
    pub(super) device: DeviceNumber,
    /// First byte on the device.
    pub(super) at: u64,
    pub(super) parts: Vec<P>,
}

impl Rows<'_> {
    /// Bytes from [`Rows::inside`] that one call for each stripe can move.
    pub(super) fn limit(&self) -> u64 {
        let stripes = self.stripes.len() as u64;
        // The first and the last chunk may be parts.
        self.chunk
            .saturating_mul(stripes)
            .saturating_mul(CHUNKS_LIMIT - 1)
    }

    /// Deals `length` bytes out to the stripes; `take` cuts the next ones off the buffer.
    pub(super) fn shares<P>(&self, length: usize, mut take: impl FnMut(usize) -> P) -> Vec<Share<P>> {
        let mut shares: Vec<Share<P>> = Vec::new();
        let mut slots: Vec<Option<usize>> = vec![None; self.stripes.len()];
        let (mut inside, mut left) = (self.inside, length);
        while left > 0 {
            let Some((stripe, within, at)) = self.place(inside) else {
                break;
            };
            let whole = usize::try_from(self.chunk.saturating_sub(within)).unwrap_or(left);
            let part = whole.min(left);
            let Some((slot, (device, _))) = slots.get_mut(stripe).zip(self.stripes.get(stripe)) else {
                break;
            };
            match slot.and_then(|share| shares.get_mut(share)) {
                Some(share) => share.parts.push(take(part)),
                None => {
                    *slot = Some(shares.len());
                    shares.push(Share {
                        device: *device,
                        at,
                        parts: vec![take(part)],
                    });
                }
            }
            left -= part;
            inside = inside.saturating_add(part as u64);
        }
        shares
    }

    /// The stripe of a byte of the line, the byte within its chunk, and the byte on the stripe's device.
    pub(super) fn place(&self, inside: u64) -> Option<(usize, u64, u64)> {
        let (number, within) = (inside.checked_div(self.chunk)?, inside.checked_rem(self.chunk)?);
        let count = u64::try_from(self.stripes.len()).ok()?;
        let (row, stripe) = (number.checked_div(count)?, number.checked_rem(count)?);
        let stripe = usize::try_from(stripe).ok()?;
        let (_, offset) = self.stripes.get(stripe)?;
        let byte = offset
            .saturating_mul(super::map::SECTOR)
            .saturating_add(row.saturating_mul(self.chunk))
            .saturating_add(within);
        Some((stripe, within, byte))
    }
}

/// Fills all parts from byte `at` of a file.
pub(super) fn read_all(file: &File, at: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<()> {
    move_all(
        at,
        parts,
        io::ErrorKind::UnexpectedEof,
        IoSliceMut::advance_slices,
        |parts, at| preadv(file, parts, at),
    )
}

/// Writes all parts from byte `at` of a file.
pub(super) fn write_all(file: &File, at: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    move_all(
        at,
        parts,
        io::ErrorKind::WriteZero,
        IoSlice::advance_slices,
        |parts, at| pwritev(file, parts, at),
    )
}

/// Calls until all parts are moved.
fn move_all<P>(
    mut at: u64,
    mut parts: &mut [P],
    nothing: io::ErrorKind,
    advance: impl Fn(&mut &mut [P], usize),
    call: impl Fn(&mut [P], i64) -> nix::Result<usize>,
) -> io::Result<()> {
    while !parts.is_empty() {
        let place = i64::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
        match call(parts, place) {
            Ok(0) => return Err(nothing.into()),
            Ok(moved) => {
                advance(&mut parts, moved);
                at = at.saturating_add(moved as u64);
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_dealt_out_in_the_order_of_the_chunks() {
        let [a, b] = [1, 2].map(|minor| DeviceNumber { major: 254, minor });
        let rows = Rows {
            stripes: &[(a, 10), (b, 20)],
            chunk: 1024,
            inside: 1024 + 24,
        };
        let mut next = 0;
        let shares = rows.shares(1000 + 1024 + 1024 + 7, |length| {
            next += length;
            (next - length, length)
        });
        let shares: Vec<_> = shares
            .iter()
            .map(|share| (share.device, share.at, &*share.parts))
            .collect();
        let of_b = [(0, 1000), (2024, 1024)];
        let of_a = [(1000, 1024), (3048, 7)];
        assert_eq!(
            shares,
            [(b, 20 * 512 + 24, &of_b[..]), (a, 10 * 512 + 1024, &of_a[..])]
        );
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error_after_what_it_has() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3).unwrap();
        let (mut first, mut second) = ([1; 2], [1; 2]);
        let mut parts = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let error = read_all(&file, 0, &mut parts).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!((first, second), ([0, 0], [0, 1]));
    }
}
