//! The namespaces of targets, as the kernel shows them in sysfs.
//!
//! With the kernel's own multipath (`nvme_core.multipath`) the disk `nvmeSnN` belongs to the subsystem S, and `nvmeScCnN` below the
//! controller C is a hidden path to it; without, the disk is below its controller.  Names are not stable, and N is not the
//! namespace's id.  Reference: Linux `drivers/nvme/host/core.c`, `nvme_alloc_ns`.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::host::sysfs;

/// The id of the one namespace that a replica's subsystem has; io-engine opens this one and no other, too.
const REPLICA_ID: u64 = 1;

/// A namespace that claims to be a replica.
#[derive(Debug)]
pub(super) struct Namespace {
    disk: String,
    /// The subsystem's.
    pub(super) nqn: String,
    id: Option<u64>,
}

impl Namespace {
    /// The namespaces of this host that claim to be a replica.
    pub(super) fn claiming(sys: &Path, replica: Uuid) -> Vec<Self> {
        let dir = sys.join("block");
        let read = |disk: String| {
            numbers(&disk)?;
            let dir = dir.join(&disk);
            let uuid = sysfs::text(&dir.join("uuid"))?;
            (Uuid::parse_str(uuid.trim()).ok()? == replica).then(|| Self {
                nqn: sysfs::text(&dir.join("device/subsysnqn")).unwrap_or_default(),
                id: sysfs::number(&dir.join("nsid")),
                disk,
            })
        };
        sysfs::names(&dir).into_iter().filter_map(read).collect()
    }

    /// The disk of a replica that a subsystem shows, if it does; by way of this controller, if one is named.
    ///
    /// # Errors
    /// In words, when it is not sure which disk is the replica.
    pub(super) fn of_replica(
        sys: &Path,
        nqn: &str,
        replica: Uuid,
        controller: Option<&Path>,
    ) -> Result<Option<String>, String> {
        let claims = Self::claiming(sys, replica);
        if let Some(other) = claims.iter().find(|claim| claim.nqn != nqn) {
            let own = claims.iter().find(|claim| claim.nqn == nqn);
            let disk = own.map_or_else(String::new, |own| format!(" beside {}", own.disk));
            return Err(format!(
                "another subsystem, {:?}, shows a namespace with the uuid {replica}, too: {}{disk}",
                other.nqn, other.disk
            ));
        }
        let claim = match claims.as_slice() {
            [] => return Ok(None),
            [claim] => claim,
            _ => {
                let disks: Vec<&str> = claims.iter().map(|claim| &*claim.disk).collect();
                return Err(format!(
                    "its subsystem shows {} namespaces with the uuid {replica}: {}",
                    claims.len(),
                    disks.join(", ")
                ));
            }
        };
        if let Some(id) = claim.id.filter(|id| *id != REPLICA_ID) {
            return Err(format!(
                "its subsystem shows the uuid {replica} at namespace {id}; a replica is namespace {REPLICA_ID}"
            ));
        }
        let is_reached = controller.is_none_or(|controller| claim.is_reached_by(controller));
        Ok(is_reached.then(|| claim.disk.clone()))
    }

    /// Returns `true` if a controller, by its folder in sysfs, is a way to it.
    fn is_reached_by(&self, controller: &Path) -> bool {
        let Some((subsystem, number)) = numbers(&self.disk) else {
            return false;
        };
        let (start, end) = (format!("nvme{subsystem}c"), format!("n{number}"));
        let is_path = |name: &String| {
            let middle = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(&end));
            *name == self.disk || middle.is_some_and(is_number)
        };
        sysfs::names(controller).iter().any(is_path)
    }

    /// Its disk.
    pub(super) fn path(&self, dev: &Path) -> PathBuf {
        dev.join(&self.disk)
    }
}

/// The two numbers of a disk's name; none for one of its paths, `nvme0c0n1`, or anything else.
fn numbers(name: &str) -> Option<(&str, &str)> {
    let (first, second) = name.strip_prefix("nvme")?.split_once('n')?;
    (is_number(first) && is_number(second)).then_some((first, second))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const A: Uuid = Uuid::from_u128(7);
    const B: Uuid = Uuid::from_u128(8);

    struct Sys(tempfile::TempDir);

    impl Sys {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        /// A disk, and the controllers that are ways to it.
        fn disk(&self, name: &str, nqn: &str, id: u64, uuid: Uuid, ways: &[&str]) {
            let dir = self.path().join("block").join(name);
            fs::create_dir_all(dir.join("device")).unwrap();
            fs::write(dir.join("device/subsysnqn"), format!("{nqn}\n")).unwrap();
            fs::write(dir.join("uuid"), format!("{uuid}\n")).unwrap();
            fs::write(dir.join("nsid"), format!("{id}\n")).unwrap();
            for way in ways {
                fs::create_dir_all(self.path().join("class/nvme").join(way)).unwrap();
            }
        }

        fn replica(&self, nqn: &str, uuid: Uuid) -> Result<Option<String>, String> {
            Namespace::of_replica(self.path(), nqn, uuid, None)
        }

        fn by_way_of(&self, controller: &str) -> Option<String> {
            let dir = self.path().join("class/nvme").join(controller);
            Namespace::of_replica(self.path(), "a", A, Some(&dir)).unwrap()
        }
    }

    #[test]
    fn a_disk_is_found_by_its_uuid_and_not_by_one_of_its_paths() {
        let sys = Sys::new();
        sys.disk("nvme3c0n12", "a", 1, A, &[]);
        sys.disk("nvme3n12", "a", 1, A, &[]);
        sys.disk("nvme1n1", "b", 1, B, &[]);
        sys.disk("vda", "a", 1, A, &[]);
        assert_eq!(sys.replica("a", A), Ok(Some("nvme3n12".into())));
        assert_eq!(sys.replica("b", Uuid::from_u128(9)), Ok(None));
    }

    #[test]
    fn a_second_namespace_with_the_uuid_of_another_replica_is_not_that_replica() {
        let sys = Sys::new();
        sys.disk("nvme0n1", "b", 1, B, &[]);
        sys.disk("nvme0n2", "b", 2, A, &[]);
        let error = sys.replica("a", A).unwrap_err();
        assert!(error.contains("\"b\""), "{error}");
        // Nor is it when the replica itself is there.
        sys.disk("nvme1n1", "a", 1, A, &[]);
        let error = sys.replica("a", A).unwrap_err();
        assert!(error.contains("nvme0n2") && error.contains("nvme1n1"), "{error}");
        assert_eq!(sys.replica("b", B), Ok(Some("nvme0n1".into())));
    }

    #[test]
    fn a_subsystem_that_shows_one_uuid_twice_or_at_another_namespace_is_refused() {
        let sys = Sys::new();
        sys.disk("nvme0n2", "a", 2, A, &[]);
        assert!(sys.replica("a", A).unwrap_err().contains("namespace 2"));
        sys.disk("nvme0n1", "a", 1, A, &[]);
        let error = sys.replica("a", A).unwrap_err();
        assert!(
            error.contains("2 namespaces") && error.contains("nvme0n1"),
            "{error}"
        );
    }

    #[test]
    fn a_disk_is_that_of_the_controller_that_is_a_way_to_it() {
        let sys = Sys::new();
        sys.disk(
            "nvme0n1",
            "a",
            1,
            A,
            &["nvme4/nvme0c4n1", "nvme5/nvme0c5n11", "nvme6/nvme1c6n1"],
        );
        assert_eq!(sys.by_way_of("nvme4"), Some("nvme0n1".into()));
        for other in ["nvme5", "nvme6", "nvme7"] {
            assert_eq!(sys.by_way_of(other), None, "{other}");
        }
        // Without the kernel's multipath.
        fs::create_dir_all(sys.path().join("class/nvme/nvme0/nvme0n1")).unwrap();
        assert_eq!(sys.by_way_of("nvme0"), Some("nvme0n1".into()));
    }
}
