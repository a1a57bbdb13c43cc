//! Time of reading and printing a VG, beside what no reader can save.
//!
//! `cargo xtask bench metadata` runs it in turns with the C library and makes a table.  Words are `write DIR`, which makes the
//! texts, and `measure DATA LVS ROUNDS DIR`, which reads a PV image with one of the same texts and prints lines of
//! `DATA LVS WHAT NUMBER`.  Times are nanoseconds of this thread's processor, the median of the rounds.

mod data;
mod image;

use std::fs;
use std::hint::black_box;
use std::path::Path;

use image::{Result, each_text, image, open, path, vg, words};
use lvm_native::meta::{Provenance, Vg, check};
use nix::time::{ClockId, clock_gettime};

fn main() -> Result<()> {
    let words = words();
    match &*words {
        [word, dir] if word == "write" => each_text(|name, lvs, text| {
            let file = Path::new(dir).join(format!("{name}-{lvs}"));
            Ok(fs::write(file, text)?)
        }),
        [word, data, number, rounds, dir] if word == "measure" => {
            let text = fs::read(Path::new(dir).join(format!("{data}-{number}")))?;
            let report = |what: &str, value: u64| println!("{data} {number} {what} {value}");
            measure(&path(dir), text, rounds.parse()?, &report)
        }
        _ => Ok(()),
    }
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

fn measure(path: &Path, mut text: Vec<u8>, rounds: usize, report: &dyn Fn(&str, u64)) -> Result<()> {
    text.push(0);
    let disk = image(path, &text)?;
    report("bytes", text.len() as u64);
    report("open", median(rounds, || open(&disk)));
    let assembly = open(&disk);
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
