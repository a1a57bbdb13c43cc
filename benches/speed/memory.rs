//! Memory of opening a VG, in a program of its own: the allocator that counts would make the times longer.
//!
//! The word is `DIR`; prints lines of `DATA LVS WHAT NUMBER`, in bytes and allocations.

mod data;
mod image;

use image::{Result, each_text, image, open, path, vg, words};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn main() -> Result<()> {
    let words = words();
    let [dir] = &*words else { return Ok(()) };
    each_text(|name, lvs, text| {
        let mut text = text.into_bytes();
        text.push(0);
        let disk = image(&path(dir), &text)?;
        let profiler = dhat::Profiler::builder().testing().build();
        let assembly = open(&disk);
        let taken = dhat::HeapStats::get();
        drop(profiler);
        // It was kept until here.
        assert!(vg(&assembly).lv_count() > 0);
        println!("{name} {lvs} peak {}", taken.max_bytes);
        println!("{name} {lvs} allocations {}", taken.total_blocks);
        println!("{name} {lvs} kept {}", taken.curr_bytes);
        Ok(())
    })
}
