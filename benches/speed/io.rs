//! Reads and writes through the embedded mapper, beside pread and pwrite of as many bytes of the image files.
//!
//! `cargo xtask bench io` runs it.  The word is `DIR`, for the images; prints lines of `TABLE WHAT BYTES MAPPED FILE`, the
//! last two the processor's nanoseconds of one call, the median of rounds that take turns.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use lvm_native::dm::{BlockIo, DeviceId, DeviceMapper, DmName, DmUuid, Embedded, OpenMode, UdevFlags};
use nix::time::{ClockId, clock_gettime};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Bytes of each image: they stay in the page cache, so that the disk is not measured.
const IMAGE: usize = 64 << 20;
const SIZES: [usize; 2] = [4 << 10, 1 << 20];
const ROUNDS: usize = 61;
/// Bytes of a stripe's chunk.
const CHUNK: usize = 64 << 10;
/// Bytes moved in a round.
const ROUND: usize = 16 << 20;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [dir] = &args[..] else {
        eprintln!("run it as `cargo xtask bench io`");
        return Ok(());
    };
    let paths = ["a", "b"].map(|name| Path::new(dir).join(name));
    for path in &paths {
        std::fs::write(path, vec![7; IMAGE])?;
    }
    let mapper = Embedded::new();
    let [a, b] = [mapper.backing(&paths[0])?, mapper.backing(&paths[1])?];
    let sectors = IMAGE / 512;
    let tables = [
        ("linear", format!("0 {sectors} linear {a} 0")),
        ("striped", format!("0 {sectors} striped 2 128 {a} 0 {b} 0")),
    ];
    let open = |path| File::options().read(true).write(true).open(path);
    let files = [open(&paths[0])?, open(&paths[1])?];
    for (name, table) in tables {
        let device = map(&mapper, name, &table)?;
        let files = if name == "linear" { &files[..1] } else { &files[..] };
        for size in SIZES {
            let mut buffer = vec![1; size];
            let [mapped, raw] = in_turns(
                size,
                &mut buffer,
                &|at, buffer| device.read_at(at, buffer),
                &|at, buffer| shared_out(files, at, buffer, File::read_exact_at),
            )?;
            println!("{name} read {size} {mapped} {raw}");
            let [mapped, raw] = in_turns(
                size,
                &mut buffer,
                &|at, buffer| device.write_at(at, buffer),
                &|at, buffer| shared_out(files, at, buffer, |file, part, at| file.write_all_at(part, at)),
            )?;
            println!("{name} write {size} {mapped} {raw}");
        }
    }
    for path in &paths {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

fn map(mapper: &Embedded, name: &str, table: &str) -> Result<Box<dyn BlockIo>> {
    let name = DmName::new(name)?;
    mapper.create(&name, &DmUuid::new(name.as_str())?)?;
    let id = DeviceId::Name(&name);
    mapper.load(id, &table.parse()?, false)?;
    let mut cookie = mapper.cookie()?;
    mapper.resume(id, UdevFlags::empty(), &mut cookie)?;
    mapper.finish(cookie, Duration::ZERO)?;
    Ok(mapper.open(id, OpenMode::ReadWrite)?)
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
    time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs()
}

/// Moves a buffer as somebody would who knows where it lies: a chunk by one call to its file, more by one call to each.
fn shared_out(
    files: &[File],
    at: u64,
    buffer: &mut [u8],
    call: impl Fn(&File, &mut [u8], u64) -> std::io::Result<()>,
) -> std::io::Result<()> {
    if buffer.len() <= CHUNK {
        let file = (at as usize / CHUNK) % files.len();
        return call(&files[file], buffer, at / files.len() as u64);
    }
    let part = buffer.len() / files.len();
    let mut parts = files.iter().zip(buffer.chunks_exact_mut(part));
    parts.try_for_each(|(file, part)| call(file, part, at / files.len() as u64))
}

type Transfer<'a> = dyn Fn(u64, &mut [u8]) -> std::io::Result<()> + 'a;

/// Median times of a call of each, over the same places.
fn in_turns(size: usize, buffer: &mut [u8], mapped: &Transfer<'_>, raw: &Transfer<'_>) -> Result<[u64; 2]> {
    let places = IMAGE / size;
    let calls = ROUND / size;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (transfer, times) in [mapped, raw].into_iter().zip(&mut times) {
            let start = now();
            for call in 0..calls {
                // An odd stride visits all places in no order that a read-ahead would like.
                let place = (call * 7919) % places;
                transfer((place * size) as u64, black_box(buffer))?;
            }
            times.push((now() - start) / calls as u64);
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2]
    }))
}
