//! The extents of each disk as a line of letters.

use lvm_meta::{Area, SegmentKind};

use crate::open_vg::OpenVg;
use crate::{Error, StoragePool};

/// Characters of one line at most: a larger disk shows several extents as one.
const WIDTH: usize = 64;

impl StoragePool {
    /// Draws each disk's extents, `a` for those of the first LV, `b` for those of the second, `.` for free ones; then
    /// says which letter is which LV.
    ///
    /// # Errors
    /// As [`StoragePool::info`].
    pub fn extent_map(&self) -> Result<Vec<String>, Error> {
        Ok(draw(&*self.fresh()?))
    }
}

fn letter(at: usize) -> char {
    const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    LETTERS.get(at).map_or('*', |letter| char::from(*letter))
}

fn draw(open: &OpenVg) -> Vec<String> {
    let mut lines = Vec::new();
    for pv in open.vg.pvs() {
        let count = pv.pe_count().get() as usize;
        let cells = count.min(WIDTH);
        let mut line = vec!['.'; cells];
        for (at, lv) in open.vg.lvs().enumerate() {
            for segment in lv.segments() {
                let SegmentKind::Striped(striped) = segment.kind() else {
                    continue;
                };
                let length = segment.extent_count().get() as usize / striped.areas().len().max(1);
                for area in striped.areas() {
                    let Area::Pv { pv: id, start } = area else {
                        continue;
                    };
                    let start = *start as usize;
                    for extent in (start..start + length).filter(|_| *id == pv.id()) {
                        if let Some(cell) = line.get_mut(extent * cells / count.max(1)) {
                            *cell = letter(at);
                        }
                    }
                }
            }
        }
        let path = open
            .disks
            .iter()
            .find(|disk| disk.pv == pv.id())
            .map(|disk| disk.path.display().to_string());
        lines.push(format!(
            "{} {}",
            line.into_iter().collect::<String>(),
            path.unwrap_or_else(|| "missing".into())
        ));
    }
    lines.extend(
        open.vg
            .lvs()
            .enumerate()
            .take(52)
            .map(|(at, lv)| format!("{} = {}", letter(at), lv.name())),
    );
    lines
}
