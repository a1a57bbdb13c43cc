//! What is measured: texts of every kind and size, and PV images that hold them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lvm_native::meta::{
    Assembly, Disk, ExtentSize, FileDisk, MakePv, MdaSet, PvId, Vg, assemble, check, make_pv, scan,
    set_pv_used,
};

use crate::data::{self, Kind};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const KINDS: [(Kind, &str); 2] = [(Kind::Linear, "linear"), (Kind::Mixed, "mixed")];
const SIZES: [u32; 4] = [10, 1_000, 10_000, 100_000];
/// Bytes of a metadata area: two of the longest text fit.
const MDA_SIZE: u64 = 192 << 20;

/// The program's words; `cargo bench` and `cargo test` run all benches without.
pub(crate) fn words() -> Vec<String> {
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if words.is_empty() {
        eprintln!("run it as `cargo xtask bench metadata`");
    }
    words
}

/// Calls `each` with the name of the data, the number of LVs and the text.
pub(crate) fn each_text(mut each: impl FnMut(&str, u32, String) -> Result<()>) -> Result<()> {
    for (kind, name) in KINDS {
        for lvs in SIZES {
            each(name, lvs, data::text(kind, lvs, layout()?.pe_start.get()))?;
        }
    }
    Ok(())
}

/// The image in a folder.
pub(crate) fn path(dir: &str) -> PathBuf {
    Path::new(dir).join("image")
}

fn layout() -> Result<lvm_native::meta::PvLayout> {
    Ok(MakePv::new(1 << 46, ExtentSize::DEFAULT)
        .mda_size(MDA_SIZE)
        .layout()?)
}

/// A PV with a text, as a sparse file.
pub(crate) fn image(path: &Path, text: &[u8]) -> Result<FileDisk> {
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
pub(crate) fn open(disk: &FileDisk) -> Assembly {
    let scan = scan(disk).expect("the image can be read").expect("it is a PV");
    let assembly = assemble(vec![(0, scan)]);
    let vg = vg(&assembly);
    assert!(check(vg).is_empty(), "the VG is good");
    assembly
}

pub(crate) fn vg(assembly: &Assembly) -> &Vg {
    let found = assembly.vgs.first().expect("the image holds a VG");
    found.vg.as_ref().expect("its text can be read")
}
