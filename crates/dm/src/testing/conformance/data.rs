//! What is written is read, from where the table says.

use super::{Bench, Check, Device, Outcome, becomes, same};
use crate::{BlockIo, DeviceId, OpenMode, UdevFlags};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "a linear table maps across its segments",
        run: linear,
    },
    Check {
        name: "a striped table maps across its stripes",
        run: striped,
    },
    Check {
        name: "zero reads zeroes and error fails",
        run: zero_and_error,
    },
    Check {
        name: "data stay while a table grows",
        run: grow,
    },
    Check {
        name: "reads and writes past the end fail",
        run: past_the_end,
    },
    Check {
        name: "zeroing zeroes what it should and nothing else",
        run: zeroing,
    },
    Check {
        name: "a read-only table and a read-only opening refuse writes",
        run: read_only,
    },
    Check {
        name: "a mirror writes all its images",
        run: mirror,
    },
    Check {
        name: "a raid1 finds and mends what differs, and goes on without an image that fails",
        run: raid1,
    },
];

/// Bytes that tell where they were written.
pub(super) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let word = |at: u64| {
        (at ^ seed.rotate_left(32))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_ne_bytes()
    };
    (0..).flat_map(word).take(length).collect()
}

pub(super) fn read(io: &dyn BlockIo, at: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0xaa; length];
    io.read_at(at, &mut bytes)?;
    Ok(bytes)
}

/// Reads sectors of a disk by a device made for that, so that no cache answers.
pub(super) fn below(
    bench: &Bench,
    disk: &str,
    sector: u64,
    sectors: u64,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let device = bench.device("below", &format!("0 {sectors} linear {disk} {sector}"))?;
    let bytes = read(&*device.open()?, 0, usize::try_from(sectors)? * 512)?;
    device.remove()?;
    Ok(bytes)
}

fn linear(bench: &Bench) -> Outcome {
    let device = bench.device(
        "linear",
        "0 16 linear A 2048\n16 8 linear B 64\n24 16 linear A 4096",
    )?;
    let io = device.open()?;
    same!(io.size()?, 40 * 512);
    let data = pattern(1, 40 * 512);
    io.write_at(0, &data)?;
    io.sync()?;
    // Any bytes, not only whole sectors.
    same!(read(&*io, 16 * 512 - 3, 7)?, data[16 * 512 - 3..16 * 512 + 4]);
    same!(read(&*io, 0, data.len())?, data);
    drop(io);
    device.remove()?;
    same!(below(bench, "A", 2048, 16)?, data[..8192]);
    same!(below(bench, "B", 64, 8)?, data[8192..12288]);
    same!(below(bench, "A", 4096, 16)?, data[12288..]);
    Ok(())
}

fn striped(bench: &Bench) -> Outcome {
    let device = bench.device("striped", "0 64 striped 2 8 A 2048 B 1024")?;
    let io = device.open()?;
    let data = pattern(2, 64 * 512);
    // In pieces that begin and end inside stripes.
    let mut at = 0;
    for length in [1000, 3096, 5000, 1, 15000, 8671] {
        io.write_at(at as u64, &data[at..at + length])?;
        at += length;
    }
    same!(at, data.len());
    io.sync()?;
    same!(read(&*io, 4000, 9000)?, data[4000..13000]);
    drop(io);
    device.remove()?;
    for (disk, sector, first) in [("A", 2048, 0), ("B", 1024, 1)] {
        let expected: Vec<u8> = data
            .chunks(4096)
            .skip(first)
            .step_by(2)
            .flatten()
            .copied()
            .collect();
        same!(below(bench, disk, sector, 32)?, expected);
    }
    Ok(())
}

fn zero_and_error(bench: &Bench) -> Outcome {
    let device = bench.device("zero", "0 64 zero\n64 64 error")?;
    let io = device.open()?;
    io.write_at(0, &pattern(3, 4096))?;
    io.sync()?;
    drop(io);
    let io = device.open()?;
    same!(read(&*io, 0, 4096)?, [0; 4096]);
    same!(read(&*io, 64 * 512, 4096).is_err(), true);
    let written = io.write_at(64 * 512, &[1; 4096]).and_then(|()| io.sync());
    same!(written.is_err(), true);
    drop(io);
    device.remove()?;
    Ok(())
}

fn grow(bench: &Bench) -> Outcome {
    let device = bench.device("grow", "0 2048 linear A 2048")?;
    let io = device.open()?;
    let data = pattern(4, 2048 * 512);
    io.write_at(0, &data)?;
    device.load("0 2048 linear A 2048\n2048 2048 linear B 2048")?;
    bench
        .mapper
        .suspend(device.id(), crate::SuspendFlags::SKIP_LOCKFS)?;
    device.resume()?;
    same!(io.size()?, 4096 * 512);
    io.write_at(data.len() as u64, &data)?;
    io.sync()?;
    same!(read(&*io, 0, data.len())?, data);
    drop(io);
    device.remove()?;
    same!(below(bench, "A", 2048, 2048)?, data);
    same!(below(bench, "B", 2048, 2048)?, data);
    Ok(())
}

fn past_the_end(bench: &Bench) -> Outcome {
    let device = bench.device("end", "0 16 linear A 0")?;
    let io = device.open()?;
    let end = 16 * 512;
    let error = read(&*io, end - 512, 1024).err().map(|error| error.kind());
    same!(error, Some(std::io::ErrorKind::UnexpectedEof));
    let error = read(&*io, 1 << 40, 1).err().map(|error| error.kind());
    same!(error, Some(std::io::ErrorKind::UnexpectedEof));
    let error = io
        .write_at(end - 512, &[1; 1024])
        .err()
        .and_then(|error| error.raw_os_error());
    same!(error, Some(libc::ENOSPC));
    drop(io);
    device.remove()?;
    Ok(())
}

fn zeroing(bench: &Bench) -> Outcome {
    let device = bench.device("zeroing", "0 8192 striped 2 128 A 0 B 0")?;
    let io = device.open()?;
    let mut data = pattern(5, 8192 * 512);
    io.write_at(0, &data)?;
    io.sync()?;
    io.zero(512, 3 << 20)?;
    io.zero(0, 0)?;
    io.sync()?;
    data[512..512 + (3 << 20)].fill(0);
    same!(read(&*io, 0, data.len())? == data, true);
    for (at, length) in [(1, 512), (512, 100), (0, 8193 * 512)] {
        let error = io.zero(at, length).err().and_then(|error| error.raw_os_error());
        same!((at, length, error), (at, length, Some(libc::EINVAL)));
    }
    drop(io);
    device.remove()?;
    Ok(())
}

fn read_only(bench: &Bench) -> Outcome {
    let device = bench.device("ro", "0 16 linear A 0")?;
    let io = device.open()?;
    io.write_at(0, &pattern(6, 8192))?;
    io.sync()?;
    drop(io);
    let io = bench.mapper.open(device.id(), OpenMode::ReadOnly)?;
    same!(io.write_at(0, &[0; 512]).is_err(), true);
    drop(io);
    bench
        .mapper
        .load(device.id(), &bench.table("0 16 linear A 0")?, true)?;
    same!(device.resume()?.read_only, true);
    let io = bench.mapper.open(device.id(), OpenMode::ReadOnly)?;
    same!(read(&*io, 0, 8192)?, pattern(6, 8192));
    drop(io);
    // Whether opening for writing is refused or only the write is, depends on the kernel.
    let written = bench
        .mapper
        .open(device.id(), OpenMode::ReadWrite)
        .is_ok_and(|io| io.write_at(0, &[0; 512]).and_then(|()| io.sync()).is_ok());
    same!(written, false);
    device.load("0 16 linear A 0")?;
    same!(device.resume()?.read_only, false);
    device.remove()?;
    same!(below(bench, "A", 0, 16)?, pattern(6, 8192));
    Ok(())
}

/// Two images of 4 MiB that can be made to fail.
fn images(bench: &Bench) -> Result<[Device<'_>; 2], crate::Error> {
    Ok([
        bench.device("image-a", "0 8192 linear A 2048")?,
        bench.device("image-b", "0 8192 linear B 2048")?,
    ])
}

fn mirror(bench: &Bench) -> Outcome {
    let [a, b] = images(bench)?;
    // What differs is copied from the first image before the mirror is in sync.
    let old = pattern(7, 8192 * 512);
    let io = a.open()?;
    io.write_at(0, &old)?;
    io.sync()?;
    drop(io);
    let (first, second) = (a.number()?, b.number()?);
    let table = format!("0 8192 mirror core 1 1024 2 {first} 0 {second} 0 1 handle_errors");
    let device = bench.device("mirror", &table)?;
    same!(bench.mapper.table(device.id(), false)?.to_string(), table);
    let in_sync = format!("2 {first} {second} 8/8 1 AA 1 core");
    becomes(&in_sync, || {
        Ok(bench.mapper.status(device.id(), true)?[0].status.clone())
    })?;
    let io = device.open()?;
    let new = pattern(8, 100_000);
    io.write_at(70_000, &new)?;
    io.sync()?;
    drop(io);
    device.remove()?;
    let mut expected = old;
    expected[70_000..170_000].copy_from_slice(&new);
    for image in [a, b] {
        image.remove()?;
    }
    for disk in ["A", "B"] {
        same!(below(bench, disk, 2048, 8192)? == expected, true);
    }
    Ok(())
}

fn raid1(bench: &Bench) -> Outcome {
    let [a, b] = images(bench)?;
    let (first, second) = (a.number()?, b.number()?);
    // The kernel looks for its superblock there.
    let metas = [
        bench.device("meta-a", "0 2048 linear A 12288")?,
        bench.device("meta-b", "0 2048 linear B 12288")?,
    ];
    for meta in &metas {
        let io = meta.open()?;
        io.zero(0, 2048 * 512)?;
        io.sync()?;
    }
    let [meta_a, meta_b] = [metas[0].number()?, metas[1].number()?];
    let table = format!("0 8192 raid raid1 4 0 nosync region_size 1024 2 {meta_a} {first} {meta_b} {second}");
    let device = bench.device("raid1", &table)?;
    // Images that are to be taken for equal show as such a moment after the array is up.
    let health = || {
        let status = bench.mapper.status(device.id(), true)?[0].status.clone();
        Ok(status.split(' ').take(3).collect::<Vec<_>>().join(" "))
    };
    becomes("raid1 2 AA", health)?;
    let io = device.open()?;
    let old = pattern(9, 8192 * 512);
    io.write_at(0, &old)?;
    io.sync()?;
    // The second one is damaged below the array.
    let image = b.open()?;
    image.write_at(1 << 20, &pattern(11, 512))?;
    image.sync()?;
    drop(image);
    let scrub = || {
        let status = bench.mapper.status(device.id(), true)?[0].status.clone();
        Ok(status.split(' ').skip(4).take(2).collect::<Vec<_>>().join(" "))
    };
    for (message, found) in [("check", "idle 128"), ("repair", "idle 0"), ("check", "idle 0")] {
        let before = bench.mapper.info(device.id())?.map(|info| info.event_nr);
        bench.mapper.message(device.id(), 0, message)?;
        becomes("an event", || {
            let now = bench.mapper.info(device.id())?.map(|info| info.event_nr);
            Ok(if now == before { "none" } else { "an event" }.into())
        })?;
        becomes(found, scrub)?;
    }
    same!(below(bench, "B", 2048, 8192)? == old, true);
    // The first image, which reads prefer, fails from now on.
    a.load("0 8192 error")?;
    a.resume()?;
    let new = pattern(10, 1 << 20);
    io.write_at(1 << 20, &new)?;
    io.sync()?;
    becomes("raid1 2 DA", health)?;
    drop(io);
    let io = device.open()?;
    let mut expected = old.clone();
    expected[1 << 20..2 << 20].copy_from_slice(&new);
    same!(read(&*io, 0, expected.len())? == expected, true);
    drop(io);
    // It comes back with what it had, and must not be read: the array knows that it is stale.
    a.load("0 8192 linear A 2048")?;
    a.resume()?;
    let io = device.open()?;
    same!(read(&*io, 0, expected.len())? == expected, true);
    drop(io);
    bench.batch(|cookie| {
        bench
            .mapper
            .remove(device.id(), false, UdevFlags::empty(), cookie)
    })?;
    same!(bench.mapper.info(DeviceId::Uuid(&device.uuid))?, None);
    for device in metas.into_iter().chain([a, b]) {
        device.remove()?;
    }
    same!(below(bench, "B", 2048, 8192)? == expected, true);
    Ok(())
}
