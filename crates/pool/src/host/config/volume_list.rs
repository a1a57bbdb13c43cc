//! The lists of LVs in section `activation`.

/// A list of LVs: `vg`, `vg/lv`, `@tag`, and `@*` for any tag of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeList {
    entries: Vec<String>,
    host_tags: Vec<String>,
}

impl VolumeList {
    pub(super) fn new(entries: Vec<String>, host_tags: &[String]) -> Self {
        Self {
            entries,
            host_tags: host_tags.to_vec(),
        }
    }

    /// Whether an entry names the LV, its VG, or a tag of one of them.
    pub fn names(&self, vg: &str, lv: &str, vg_tags: &[&str], lv_tags: &[&str]) -> bool {
        let tagged = |tag: &str| vg_tags.contains(&tag) || lv_tags.contains(&tag);
        self.entries.iter().any(|entry| match entry.strip_prefix('@') {
            Some("*") => self.host_tags.iter().any(|tag| tagged(tag)),
            Some(tag) => tagged(tag),
            None => match entry.split_once('/') {
                Some((entry_vg, entry_lv)) => entry_vg == vg && entry_lv == lv,
                None => entry == vg,
            },
        })
    }
}
