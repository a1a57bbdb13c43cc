//! Time and memory of reading and printing a VG, beside what no reader can save.
//!
//! `cargo xtask bench metadata` runs it beside the C library and makes a table.  Words are `write DIR`, which makes the
//! texts, and `measure DIR`, which reads PV images with the same texts and prints lines of `DATA LVS WHAT NUMBER`.  Times
//! are nanoseconds of this thread's processor, the median of many rounds.

mod data;

use std::fs::{self, File};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use counting::{Counting, count};
use data::Kind;
use lvm_native::meta::{
    Assembly, Disk, ExtentSize, FileDisk, MakePv, MdaSet, Provenance, PvId, Vg, assemble, check, make_pv,
    scan, set_pv_used,
};
use nix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const KINDS: [(Kind, &str); 2] = [(Kind::Linear, "linear"), (Kind::Mixed, "mixed")];
const SIZES: [u32; 4] = [10, 1_000, 10_000, 100_000];
/// Bytes of a metadata area: two of the longest text fit.
const MDA_SIZE: u64 = 192 << 20;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [word, dir] = args.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        // `cargo bench` and `cargo test` run all benches without words.
        eprintln!("run it as `cargo xtask bench metadata`");
        return Ok(());
    };
    let dir = Path::new(dir);
    for (kind, name) in KINDS {
        for lvs in SIZES {
            let text = data::text(kind, lvs, layout()?.pe_start.get());
            match word {
                "write" => fs::write(dir.join(format!("{name}-{lvs}")), &text)?,
                _ => {
                    let report = |what: &str, number: u64| println!("{name} {lvs} {what} {number}");
                    measure(&dir.join("image"), text, lvs, &report)?;
                }
            }
        }
    }
    Ok(())
}

fn layout() -> Result<lvm_native::meta::PvLayout> {
    Ok(MakePv::new(1 << 46, ExtentSize::DEFAULT)
        .mda_size(MDA_SIZE)
        .layout()?)
}

/// A PV with a text, as a sparse file.
fn image(path: &Path, text: &[u8]) -> Result<FileDisk> {
    let layout = layout()?;
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.set_len(1 << 43)?;
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(file.try_clone()?));
    let pv = Vg::parse(text)?.pvs().first().map(|pv| pv.id());
    let id: PvId = pv.ok_or("a VG without PVs")?;
    make_pv(&*disk, id, &layout)?;
    let mut set = MdaSet::new();
    set.open(&disk, &layout.metadata_areas)?;
    set.write(text)?.precommit()?.commit()?;
    set_pv_used(&*disk, true)?;
    Ok(FileDisk::new(file))
}

/// All that stands between a disk and a VG that may be used.
fn open(disk: &FileDisk) -> Assembly {
    let scan = scan(disk).expect("the image can be read").expect("it is a PV");
    let assembly = assemble(vec![(0, scan)]);
    let vg = vg(&assembly);
    assert!(check(vg).is_empty(), "the VG is good");
    assembly
}

fn vg(assembly: &Assembly) -> &Vg {
    let found = assembly.vgs.first().expect("the image holds a VG");
    found.vg.as_ref().expect("its text can be read")
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
    time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs()
}

/// Median time; what a round makes is freed outside of it.
fn median<T>(rounds: usize, mut round: impl FnMut() -> T) -> u64 {
    let mut times: Vec<u64> = (0..rounds)
        .map(|_| {
            let start = now();
            let result = black_box(round());
            let time = now() - start;
            drop(result);
            time
        })
        .collect();
    times.sort_unstable();
    times[rounds / 2]
}

fn measure(path: &Path, text: String, lvs: u32, report: &dyn Fn(&str, u64)) -> Result<()> {
    let mut text = text.into_bytes();
    text.push(0);
    let disk = image(path, &text)?;
    let rounds = (3_000_000 / lvs as usize).clamp(9, 2_000);
    report("bytes", text.len() as u64);
    report("open", median(rounds, || open(&disk)));
    let (assembly, taken) = count(|| open(&disk));
    report("peak", taken.peak as u64);
    report("allocations", taken.allocations as u64);
    report("kept", taken.kept as u64);
    let vg = vg(&assembly);
    report("parse", median(rounds, || Vg::parse(&text)));
    report("check", median(rounds, || check(vg)));
    report("print", median(rounds, || vg.print_raw(&Provenance::default())));
    let printed = vg.print_raw(&Provenance::default());
    report("newlines", median(rounds, || look_at_lines(&printed)));
    report("checksum", median(rounds, || crc32fast::hash(&text)));
    report("copy", median(rounds, || text.clone()));
    Ok(())
}

/// Looks at each newline of a text once: what any reader or printer by lines does at least.
fn look_at_lines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).fold(0, |sum, at| sum ^ at)
}
