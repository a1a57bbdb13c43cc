//! The same VG under other ids: what makes a copied set of disks a VG of its own.

use std::collections::HashMap;

use super::Vg;
use crate::{Error, Provenance, PvId, VgId};

impl Vg {
    /// The same VG and PVs with other ids, in memory.  LVs keep theirs: LVM tells LVs apart by the VG's id, too.
    ///
    /// # Errors
    /// Those of [`Vg::parse`], if two PVs get one id.
    pub fn with_ids(&self, id: VgId, new_pv_id: impl Fn(PvId) -> PvId) -> Result<Self, Error> {
        // In a printed text each id has a line of its own, and strings hold no line ends.
        let line = |id: &dyn std::fmt::Display| format!("id = \"{id}\"");
        let pvs = self.pvs().iter().map(super::Pv::id);
        let pvs: HashMap<String, String> = pvs.map(|pv| (line(&pv), line(&new_pv_id(pv)))).collect();
        let vg = HashMap::from([(line(&self.id()), line(&id))]);
        // The VG's own, then those of its PVs; an LV may have the id of a PV, and keeps it.
        let (nothing, mut lines) = (HashMap::new(), &vg);
        let mut new = String::new();
        let printed = self.print_raw(&Provenance::default());
        let printed = String::from_utf8_lossy(&printed);
        for (at, old) in printed.trim_end_matches('\0').lines().enumerate() {
            match old {
                // The VG's name, whatever it is.
                _ if at == 0 => {}
                "physical_volumes {" => lines = &pvs,
                "logical_volumes {" => lines = &nothing,
                _ => {}
            }
            new.push_str(lines.get(old).map_or(old, String::as_str));
            new.push('\n');
        }
        Self::parse(new.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ids_of_the_vg_and_its_pvs_change() {
        let text = include_bytes!("../../tests/data/lvm2-2.03.16/raid5/vgcfgbackup.txt");
        let before = Vg::parse(text).unwrap();
        let new_pv = |pv: PvId| {
            let mut bytes = *pv.as_bytes();
            bytes.reverse();
            PvId::parse(std::str::from_utf8(&bytes).unwrap()).unwrap()
        };
        let id = VgId::from_uuid_bytes([7; 16]);
        let after = before.with_ids(id, new_pv).unwrap();
        assert_eq!(after.id(), id);
        for (old, new) in before.pvs().iter().zip(after.pvs()) {
            assert_eq!(new.id(), new_pv(old.id()));
            assert_eq!(new.used(), old.used());
        }
        assert_eq!(after.with_ids(before.id(), new_pv).unwrap(), before);
        assert!(before.with_ids(id, |_| PvId::from_uuid_bytes([1; 16])).is_err());
    }
}
