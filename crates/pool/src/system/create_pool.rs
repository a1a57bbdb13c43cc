//! Making a pool of blank disks.

use lvm_meta::{ExtentSize, MdaSet, NewVg, Tag, Vg, VgId, VgName};

use crate::apply::{NewText, Step};
use crate::disk::same_disks;
use crate::host::HeldLocks;
use crate::new_disks::{NewDisks, NewDisksRequest, check_given_once};
use crate::open_vg::OpenVg;
use crate::request::CreatePool;
use crate::scan::Scan;
use crate::system::System;
use crate::system::lifecycle::disks_mismatch;
use crate::thin::sizes::Sizes;
use crate::thin::stack::check_targets;
use crate::{Error, StoragePool, identity, storage_pool, tags};

impl System {
    /// Makes a pool.  Durable when this returns.
    ///
    /// A pool of this name on these disks, in whatever order and under whatever names of theirs, is success and
    /// nothing is changed.
    ///
    /// # Errors
    /// [`Error::Disk`] for each disk that may not be taken, [`Error::DisksMismatch`], [`Error::UuidMismatch`],
    /// [`Error::Exists`] for a UUID that is taken, [`Error::Name`], and as [`StoragePool::create_thin_pool`].  Every disk
    /// is as it was then.
    pub fn create_pool(&self, request: &CreatePool) -> Result<StoragePool, Error> {
        let Some(thin) = &request.thin_pool else {
            return self.create_vg(request).map(|(pool, _)| pool);
        };
        Sizes::of(thin)?;
        let (pool, is_new) = self.create_vg(request)?;
        match pool.create_thin_pool(thin) {
            Ok(_) => Ok(pool),
            Err(error) if is_new => {
                // The first error is the one to tell; a pool that cannot be taken back is one to destroy by hand.
                let _ = self.destroy_pool(&pool.uuid().to_string());
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the pool without a thin pool, and tells whether it is new.
    fn create_vg(&self, request: &CreatePool) -> Result<(StoragePool, bool), Error> {
        let name = request.vg_name()?;
        let default = self.inner.config.allocation.physical_extent_size;
        let extent_size = extent_size(request.extent_size.unwrap_or(default))?;
        if request.disks.is_empty() {
            let why = "a pool needs at least one disk".into();
            return Err(Error::InvalidArgument {
                what: "disks",
                given: String::new(),
                why,
            });
        }
        self.check_named(&request.disks)?;
        check_given_once(&request.disks)?;
        let mut locks = self.inner.lock_global(name.as_str())?;
        let disks = &request.disks;
        self.inner.with_disks(disks, || {
            self.create_or_find(request, name, extent_size, &mut locks)
        })
    }

    /// As [`System::create_vg`], with the disks in scope, under the locks.
    fn create_or_find(
        &self,
        request: &CreatePool,
        name: VgName,
        extent_size: ExtentSize,
        locks: &mut HeldLocks,
    ) -> Result<(StoragePool, bool), Error> {
        let scan = self.inner.scan_also(&request.disks)?;
        if scan.assembly.vgs.iter().any(|vg| vg.name == name.as_str()) {
            let found = self.find_vg(scan, name.as_str())?;
            return self.created_before(found, request).map(|pool| (pool, false));
        }
        let name_of = name.to_string();
        let pool = self.make_pool(request, name, extent_size, &scan, locks)?;
        let mut scan = self.inner.scan_also(&request.disks)?;
        let found = scan
            .take_vg(&pool, &name_of)
            .ok_or_else(|| Error::PoolNotFound(request.name.clone()))?;
        let open = OpenVg::new(&self.inner, &scan, found)?;
        Ok((StoragePool::new(self.inner.clone(), open), true))
    }

    /// A VG of the name exists: the answer to a repeated request, or a refusal.
    fn created_before(&self, found: OpenVg, request: &CreatePool) -> Result<StoragePool, Error> {
        let actual: Vec<_> = found.disks.iter().map(|disk| disk.path.clone()).collect();
        if actual.len() != found.vg.pvs().len() || !same_disks(&request.disks, &actual)? {
            return Err(disks_mismatch(&found, &request.disks));
        }
        let actual = found.vg.extent_size().bytes();
        if let Some(given) = request.extent_size.filter(|given| *given != actual) {
            let why = format!("pool {:?} exists with extents of {actual} bytes", request.name);
            return Err(Error::InvalidArgument {
                what: "extent size",
                given: given.to_string(),
                why,
            });
        }
        let actual = identity::pool_uuid(&found.vg.id());
        match request.uuid {
            Some(given) if given != actual => Err(Error::UuidMismatch {
                pool: request.name.clone(),
                actual,
                given,
            }),
            _ => self.take_over(found),
        }
    }

    fn make_pool(
        &self,
        request: &CreatePool,
        name: VgName,
        extent_size: ExtentSize,
        scan: &Scan,
        locks: &mut HeldLocks,
    ) -> Result<VgId, Error> {
        let inner = &*self.inner;
        let uuid = request.uuid.map_or_else(identity::new_uuid, Ok)?;
        let id = VgId::from_uuid_bytes(*uuid.as_bytes());
        if scan.assembly.vgs.iter().any(|vg| vg.id == Some(id)) {
            return Err(Error::Exists {
                what: "pool",
                id: uuid.to_string(),
            });
        }
        inner.sweep_nodes(name.as_str())?;
        inner.nodes.check_vg_name_free(name.as_str())?;
        let wanted = NewDisksRequest {
            paths: &request.disks,
            extent_size,
            metadata_size: request.metadata_size,
            force: request.force,
            beside: &[],
        };
        let mut disks = NewDisks::check(inner, scan, &wanted)?;
        // A host without device-mapper shall not end up with a pool that nobody can use.
        inner.mapper.version().map_err(Error::Dm)?;

        let mut vg = Vg::new(NewVg {
            name,
            id,
            extent_size,
            tags: vec![Tag::parse(tags::OWNER)?],
            system_id: inner.system_id.as_str().map(Into::into),
        });
        disks.add_to(&mut vg)?;
        if let Some(thin) = &request.thin_pool {
            check_targets(inner, thin)?;
            storage_pool::check_thin_pool_fits(&vg, thin)?;
        }
        let _hints = inner.invalidate_hints()?;
        let mut write = || -> Result<(), Error> {
            disks.format(locks)?;
            let mut mdas = MdaSet::new();
            disks.join_areas(&mut mdas)?;
            vg.bump_seqno().map_err(Error::Meta)?;
            let description = format!("create pool {}", request.name);
            let text = vg.print_raw(&inner.provenance(&description));
            inner.kernel().apply(
                Some(NewText {
                    mdas: &mut mdas,
                    text: text.as_slice().into(),
                }),
                &[Step::Commit],
            )?;
            disks.mark_used()?;
            // A pool without a backup is a pool; its next change tells of it.
            let _ = inner.backup(&request.name, &text, &description);
            Ok(())
        };
        // All disks of the VG are new: even a commit that reached some of them can be taken back.
        if let Err(error) = write() {
            disks.undo(locks);
            return Err(error);
        }
        Ok(id)
    }
}

fn extent_size(bytes: u64) -> Result<ExtentSize, Error> {
    let sectors = bytes
        .is_multiple_of(512)
        .then(|| u32::try_from(bytes / 512).ok())
        .flatten();
    sectors
        .and_then(ExtentSize::for_new_vg)
        .ok_or_else(|| Error::InvalidArgument {
            what: "extent size",
            given: bytes.to_string(),
            why: "it is a power of two of at least 1 KiB, or a multiple of 128 KiB, below 2 TiB".into(),
        })
}
