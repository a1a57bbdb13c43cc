//! I/O counters of a block device, as the kernel keeps them for every device at no cost.

use super::{DeviceNumber, Error, Paths, Result, sysfs};

/// What a device has done since it was made.
///
/// Counters survive a change of a mapped device's table and begin anew when the device is made again, so know it by
/// its uuid, not by its number.  They may wrap around after years.  Fields that an old kernel lacks are 0.
/// Reference: the kernel's `Documentation/admin-guide/iostats.rst`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Reads.
    pub read: IoCounter,
    /// Writes.
    pub written: IoCounter,
    /// Discards.
    pub discarded: IoCounter,
    /// Flushes completed.
    pub flushes: u64,
    /// Milliseconds that flushes took, together.
    pub flush_ms: u64,
    /// Requests that are under way now.
    pub in_flight: u64,
    /// Milliseconds in which at least one request was under way.
    pub busy_ms: u64,
    /// Milliseconds that all requests took, together.
    pub weighted_ms: u64,
}

/// One kind of request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounter {
    /// Requests completed.
    pub operations: u64,
    /// Requests that were merged into others; always 0 for mapped devices.
    pub merged: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Milliseconds that the requests took, together.
    pub ms: u64,
}

impl IoStats {
    /// Reads the counters of a device.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no such device, [`Error::Attribute`] when the kernel's line has another form.
    pub fn read(paths: &Paths, device: DeviceNumber) -> Result<Self> {
        let path = paths.sys.join("dev/block").join(device.to_string()).join("stat");
        let text = sysfs::optional_file(&path)?
            .ok_or_else(|| Error::io("read", &path)(std::io::ErrorKind::NotFound.into()))?;
        Self::parse(&String::from_utf8_lossy(&text)).ok_or_else(|| Error::attribute(&path, &text))
    }

    /// Reads the line of 11, 15 or 17 numbers.
    fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split_ascii_whitespace().map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        let read = IoCounter::parse(&mut next)?;
        let written = IoCounter::parse(&mut next)?;
        let (in_flight, busy_ms, weighted_ms) = (next()?, next()?, next()?);
        let discarded = IoCounter::parse(&mut next).unwrap_or_default();
        let (flushes, flush_ms) = (next().unwrap_or(0), next().unwrap_or(0));
        Some(Self {
            read,
            written,
            discarded,
            flushes,
            flush_ms,
            in_flight,
            busy_ms,
            weighted_ms,
        })
    }
}

impl IoCounter {
    fn parse(next: &mut impl FnMut() -> Option<u64>) -> Option<Self> {
        let (operations, merged, sectors, ms) = (next()?, next()?, next()?, next()?);
        Some(Self {
            operations,
            merged,
            bytes: sectors.wrapping_mul(512),
            ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::FakeHost;

    const DEVICE: DeviceNumber = DeviceNumber { major: 253, minor: 4 };

    fn read(line: &str) -> Result<IoStats> {
        let host = FakeHost::new();
        host.write(&host.paths.sys.join("dev/block/253:4/stat"), line);
        IoStats::read(&host.paths, DEVICE)
    }

    #[test]
    fn the_lines_of_old_and_new_kernels_are_read() {
        let stats = read("  1 2 3 4   5 6 7 8   9 10 11   12 13 14 15   16 17\n").unwrap();
        assert_eq!(
            stats.read,
            IoCounter {
                operations: 1,
                merged: 2,
                bytes: 3 * 512,
                ms: 4
            }
        );
        assert_eq!(
            stats.written,
            IoCounter {
                operations: 5,
                merged: 6,
                bytes: 7 * 512,
                ms: 8
            }
        );
        assert_eq!((stats.in_flight, stats.busy_ms, stats.weighted_ms), (9, 10, 11));
        assert_eq!(
            stats.discarded,
            IoCounter {
                operations: 12,
                merged: 13,
                bytes: 14 * 512,
                ms: 15
            }
        );
        assert_eq!((stats.flushes, stats.flush_ms), (16, 17));
        let old = read("1 2 3 4 5 6 7 8 9 10 11\n").unwrap();
        assert_eq!(
            old,
            IoStats {
                discarded: IoCounter::default(),
                flushes: 0,
                flush_ms: 0,
                ..stats
            }
        );
    }

    #[test]
    fn other_lines_and_missing_devices_are_errors() {
        for line in ["", "1 2 3", "a b c d e f g h i j k"] {
            assert!(matches!(read(line), Err(Error::Attribute { .. })), "{line}");
        }
        let host = FakeHost::new();
        assert!(matches!(
            IoStats::read(&host.paths, DEVICE),
            Err(Error::Io { .. })
        ));
        let huge = format!("{0} {0} {0} {0} {0} {0} {0} {0} {0} {0} {0}", u64::MAX);
        assert_eq!(read(&huge).unwrap().read.ms, u64::MAX);
    }
}
