//! Importing a copied set of disks, beside the original, under new ids.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lvm_meta::{Disk, FoundVg, MdaSet, Pv, PvId, PvScan, Vg, VgId, VgName};
use uuid::Uuid;

use crate::apply::{NewText, Step};
use crate::copied_vg::{new_pv_id, renewed};
use crate::disk::LazyDisk;
use crate::error::{DiskProblem, Refusal};
use crate::host::{self, LeaveOut};
use crate::new_disks::check_given_once;
use crate::open_vg::OpenVg;
use crate::scan::Scan;
use crate::system::{Inner, System};
use crate::{CreatePool, Error, StoragePool, identity, tags};

/// A disk of the copy.
struct CopiedDisk {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    read: PvScan,
}

/// The copy as its disks hold it.
struct Copied {
    disks: Vec<CopiedDisk>,
    vg: Vg,
    /// An earlier call gave the metadata their new ids, and did not come to its end.
    is_begun: bool,
}

impl System {
    /// Takes over a copy of a VG, such as cloned or restored disks, as a pool called `name` under new ids, as
    /// `vgimportclone` does; the original may be in use beside it.  Only `disks` are changed.  Durable when this returns.
    ///
    /// The pool gets the UUID that is given, or a random one.  Its replicas and snapshots get new UUIDs, too, which follow
    /// from the pool's and from the old ones: [`ReplicaInfo::copied_from`](crate::ReplicaInfo::copied_from) has those.
    /// None of them is shared.  A call that was cut is finished by the next one with the same disks and name, and a repeated
    /// one is success: disks that have new ids already, and the name, are imported as [`System::import_pool`] does.
    ///
    /// # Errors
    /// [`Error::Disk`] for a disk that carries no PV, or is in use; [`Error::DisksMismatch`] when the disks are not one
    /// whole VG; [`Error::Exists`] for the name or UUID of another VG; [`Error::Refused`] for a VG that must not be changed;
    /// [`Error::MetadataFull`].  Nothing is changed then.
    pub fn import_pool_with_new_ids(
        &self,
        name: &str,
        disks: &[PathBuf],
        uuid: Option<Uuid>,
    ) -> Result<StoragePool, Error> {
        let inner = &*self.inner;
        let name = CreatePool::new(name, Vec::new()).vg_name()?;
        check_given_once(disks)?;
        let old_name = Copied::read(inner, &name, disks)?.vg.name().to_string();
        let mut locks = inner.lock_global_with(&[name.as_str(), &old_name])?;
        let copied = Copied::read(inner, &name, disks)?;
        if copied.vg.name() != old_name {
            return Err(Error::PoolNotFound(old_name));
        }
        if self.is_done(&copied, &name, uuid)? {
            drop(locks);
            return self.import_pool(name.as_str(), disks, uuid);
        }
        copied.check(inner)?;
        let uuid = copied.new_uuid(uuid)?;
        self.check_not_taken(&name, &uuid, &copied)?;
        let vg = copied.write(inner, &name, &uuid)?;
        let id = vg.id();
        inner.enter_pvs(&mut locks, &copied.new_pvs(&uuid))?;
        drop(copied);
        let mut scan = inner.scan_also(disks)?;
        let found = scan.take_vg(&id, name.as_str());
        let found = found.ok_or_else(|| Error::PoolNotFound(name.to_string()))?;
        let mut open = OpenVg::new(inner, &scan, found)?;
        open.change(inner, "import pool under new ids", |change| {
            let old = change.open().vg.tags().iter();
            let new = old.filter(|tag| *tag != tags::NEW_IDS).chain([tags::OWNER]);
            let new: Vec<String> = new.map(Into::into).collect();
            change.edit().set_tags(&new).map_err(Error::Meta)?;
            change.step(Step::Commit);
            Ok(())
        })?;
        self.take_over(open)
    }

    /// Returns `true` if an earlier call gave the copy its ids: no other disk has them.
    fn is_done(&self, copied: &Copied, name: &VgName, uuid: Option<Uuid>) -> Result<bool, Error> {
        let vg = &copied.vg;
        let is_copy = |tag: &str| tag.split_once('=').is_some_and(|(key, _)| key == tags::COPIED_VG);
        let is_named = vg.name() == name.as_str() && vg.tags().iter().any(is_copy) && !copied.is_begun;
        if !is_named || uuid.is_some_and(|uuid| uuid != identity::pool_uuid(&vg.id())) {
            return Ok(false);
        }
        let scan = self.inner.scan()?;
        Ok(!copied.others(&scan).iter().any(|pv| vg.pv(*pv).is_some()))
    }

    /// Refuses a name or UUID that a VG on other disks has.
    fn check_not_taken(&self, name: &VgName, uuid: &Uuid, copied: &Copied) -> Result<(), Error> {
        let scan = self.inner.scan()?;
        let others = copied.others(&scan);
        let id = VgId::from_uuid_bytes(*uuid.as_bytes());
        for vg in &scan.assembly.vgs {
            // The copy is there, too, and under the original's name and ids until it has its own.
            let is_elsewhere = vg.pvs.iter().any(|pv| others.contains(&pv.id));
            let exists = |what, id| Err(Error::Exists { what, id });
            if is_elsewhere && vg.name == name.as_str() {
                return exists("volume group", name.to_string());
            }
            if is_elsewhere && vg.id == Some(id) {
                return exists("pool", uuid.to_string());
            }
        }
        if copied.vg.name() != name.as_str() {
            self.inner.sweep_nodes(name.as_str())?;
            self.inner.nodes.check_vg_name_free(name.as_str())?;
        }
        Ok(())
    }
}

impl Copied {
    fn read(inner: &Inner, name: &VgName, paths: &[PathBuf]) -> Result<Self, Error> {
        let disks = paths.iter().map(|path| CopiedDisk::open(inner, path));
        let disks: Vec<CopiedDisk> = disks.collect::<Result<_, _>>()?;
        let mut scans = Vec::new();
        for (at, disk) in disks.iter().enumerate() {
            scans.extend(
                lvm_meta::scan(&*disk.disk)
                    .map_err(Error::Meta)?
                    .map(|read| (at, read)),
            );
        }
        let mut vgs = lvm_meta::assemble(scans).vgs;
        let is_marked = |found: &FoundVg| {
            let vg = found.vg.as_ref();
            vg.is_ok_and(|vg| vg.tags().contains(tags::NEW_IDS))
        };
        let at = vgs.iter().position(is_marked);
        let is_begun = at.is_some();
        let found = match (at, vgs.len()) {
            (Some(at), _) => vgs.swap_remove(at),
            (None, 1) => vgs.remove(0),
            (None, 0) => return Err(Error::PoolNotFound(name.to_string())),
            (None, _) => return Err(mismatch(name, None, &[], paths)),
        };
        let place = found.problems.first().map(|problem| problem.place);
        let vg = found.vg.map_err(|source| Error::Unreadable {
            vg: found.name.clone(),
            disk: place
                .and_then(|place| paths.get(place.disk?).cloned())
                .unwrap_or_default(),
            byte: place.map_or(0, |place| place.at),
            source: Box::new(source),
        })?;
        if let Some(what) = found.ambiguous.filter(|_| !is_begun) {
            let (vg, why) = (found.name, Refusal::Ambiguous(what.to_string()));
            return Err(Error::Refused { vg, why });
        }
        let copied = Self { disks, vg, is_begun };
        let is_whole = copied.disks.len() == copied.vg.pvs().len()
            && copied.disks.iter().all(|disk| copied.pv_of(disk).is_some());
        if !is_whole {
            let of_vg = copied.disks.iter().filter(|disk| copied.pv_of(disk).is_some());
            let own: Vec<PathBuf> = of_vg.map(|disk| disk.path.clone()).collect();
            return Err(mismatch(name, Some(&copied), &own, paths));
        }
        Ok(copied)
    }

    /// The PVs on all other disks.
    fn others(&self, scan: &Scan) -> Vec<PvId> {
        let is_copy = |path: &Path| {
            let mut own = self.disks.iter();
            own.any(|disk| host::same_device(&disk.path, path).unwrap_or(false))
        };
        let others = scan.labels.iter().filter_map(|(disk, pv)| {
            let disk = scan.disks.get(*disk)?;
            (!is_copy(&disk.path)).then_some(*pv)
        });
        others.collect()
    }

    /// The PV of the text that a disk is, whether its label has the new id already or not.
    fn pv_of(&self, disk: &CopiedDisk) -> Option<PvId> {
        let label = disk.read.header.id;
        let new = new_pv_id(&identity::pool_uuid(&self.vg.id()), label);
        let ids = [Some(label), self.is_begun.then_some(new)];
        ids.into_iter().flatten().find(|id| self.vg.pv(*id).is_some())
    }

    /// Refuses a VG that must not be changed, and disks that are in use.
    fn check(&self, inner: &Inner) -> Result<(), Error> {
        let refusal = self.vg.refusal().map(|refusal| Refusal::of_metadata(&refusal));
        if let Some(why) = refusal.or_else(|| inner.host_refusal(&self.vg)) {
            let vg = self.vg.name().into();
            return Err(Error::Refused { vg, why });
        }
        if inner.images {
            return Ok(());
        }
        let (devices, _) = inner.devices(&LeaveOut::default())?;
        for disk in &self.disks {
            let Some(device) = devices.by_path(&disk.path) else {
                continue;
            };
            let uses = host::uses(&inner.paths, &devices, device).map_err(Error::Host)?;
            if !uses.is_empty() {
                let why = DiskProblem::InUse(uses.iter().map(ToString::to_string).collect());
                let disk = disk.path.clone();
                return Err(Error::Disk { disk, why });
            }
        }
        Ok(())
    }

    fn new_uuid(&self, given: Option<Uuid>) -> Result<Uuid, Error> {
        if !self.is_begun {
            return given.map_or_else(identity::new_uuid, Ok);
        }
        let actual = identity::pool_uuid(&self.vg.id());
        match given.filter(|given| *given != actual) {
            Some(given) => Err(Error::UuidMismatch {
                pool: self.vg.name().into(),
                actual,
                given,
            }),
            None => Ok(actual),
        }
    }

    /// Each disk with the id that its PV gets.
    fn new_pvs(&self, uuid: &Uuid) -> Vec<(PathBuf, PvId)> {
        let id = |disk: &CopiedDisk| match self.is_begun {
            true => self.pv_of(disk),
            false => Some(new_pv_id(uuid, disk.read.header.id)),
        };
        let disks = self.disks.iter();
        disks
            .filter_map(|disk| Some((disk.path.clone(), id(disk)?)))
            .collect()
    }

    /// Commits the metadata with the new ids to every area, then gives the labels theirs.
    ///
    /// Until the first header is written, the copy is what it was; from then on the mark in the text says what to finish.
    fn write(&self, inner: &Inner, name: &VgName, uuid: &Uuid) -> Result<Vg, Error> {
        let mut vg = match self.is_begun {
            true => self.vg.clone(),
            false => renewed(&self.vg, name, uuid)?,
        };
        vg.set_name(name).map_err(Error::Meta)?;
        for (path, pv) in self.new_pvs(uuid) {
            vg.set_pv_device_hint(pv, &path.to_string_lossy())
                .map_err(Error::Meta)?;
            vg.set_pv_device_id(pv, None).map_err(Error::Meta)?;
        }
        vg.bump_seqno().map_err(Error::Meta)?;
        if let Some(finding) = lvm_meta::check(&vg).into_iter().next() {
            let vg = name.to_string();
            return Err(Error::Unsound { vg, finding });
        }
        let mut mdas = MdaSet::new();
        for disk in &self.disks {
            let headers = disk.read.mdas.iter().filter_map(|mda| mda.header.as_ref().ok());
            let in_use = headers.filter(|header| !header.is_ignored());
            in_use.for_each(|header| mdas.add(&disk.disk, header.clone()));
        }
        let text = vg.print_raw(&inner.provenance(&format!("import {name} under new ids")));
        let (needed, capacity) = (text.len() as u64, mdas.capacity());
        if needed > capacity {
            let pool = name.to_string();
            return Err(Error::MetadataFull {
                pool,
                needed,
                capacity,
            });
        }
        let _hints = inner.invalidate_hints()?;
        let new = NewText {
            mdas: &mut mdas,
            text: text.as_slice().into(),
        };
        inner.kernel().apply(Some(new), &[Step::Commit])?;
        let pvs = self.new_pvs(uuid);
        for (disk, (_, pv)) in self.disks.iter().zip(pvs) {
            let labelled = lvm_meta::set_pv_id(&*disk.disk, pv);
            labelled.map_err(|error| Error::AfterCommit(Box::new(Error::Meta(error))))?;
        }
        Ok(vg)
    }
}

impl CopiedDisk {
    fn open(inner: &Inner, path: &Path) -> Result<Self, Error> {
        let disk = LazyDisk::open(&inner.paths, path).map_err(Error::Host)?;
        let disk = inner.wrap(path, Arc::new(disk));
        let read = lvm_meta::scan(&*disk).map_err(Error::Meta)?;
        let read = read.ok_or(Error::Meta(lvm_meta::Error::NotAPv))?;
        Ok(Self {
            path: path.into(),
            disk,
            read,
        })
    }
}

/// The disks given are of several VGs, or not those of the one whose copy they hold.
fn mismatch(name: &VgName, copied: Option<&Copied>, own: &[PathBuf], given: &[PathBuf]) -> Error {
    let pvs = copied.map_or(&[][..], |copied| copied.vg.pvs());
    let is_here =
        |pv: &&Pv| copied.is_some_and(|it| it.disks.iter().any(|disk| it.pv_of(disk) == Some(pv.id())));
    let missing = pvs.iter().filter(|pv| !is_here(pv)).map(super::missing_pv);
    Error::DisksMismatch {
        pool: name.to_string(),
        disks: pvs.len(),
        missing: missing.collect(),
        others: given.iter().filter(|path| !own.contains(path)).cloned().collect(),
    }
}
