//! The thin pool of a storage pool: making it, and making it larger.

use lvm_meta::detail::{Detail, ThinPool};
use lvm_meta::{AllocRequest, Extents, LvFlags, LvId, LvName, LvStatus, NewLv, Sectors, Vg};

use super::StoragePool;
use super::resize_replica::{alloc_error, no_space};
use crate::apply::Step;
use crate::info::PoolInfo;
use crate::open_vg::Change;
use crate::request::CreateThinPool;
use crate::thin::sizes::Sizes;
use crate::thin::{POOL_NAME, PoolLv, stack};
use crate::{Error, activate, identity};

impl StoragePool {
    /// Makes the pool's thin pool.  Durable when this returns.
    ///
    /// One that exists with this size, and these chunks if they are given, is success and nothing is changed.  The kernel
    /// meets it with its first replica.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::InvalidArgument`], [`Error::NoThinTarget`]; all is as it was then.
    pub fn create_thin_pool(&self, request: &CreateThinPool) -> Result<PoolInfo, Error> {
        let sizes = Sizes::of(request)?;
        self.change("create the thin pool", |change| {
            if let Some(found) = PoolLv::of_vg(&change.open().vg) {
                return check_same(change, &found, request);
            }
            stack::check_target(&self.inner)?;
            self.plan_thin_pool(change, request, sizes)
        })?;
        self.info()
    }

    fn plan_thin_pool(
        &self,
        change: &mut Change<'_>,
        request: &CreateThinPool,
        sizes: Sizes,
    ) -> Result<(), Error> {
        let vg = &change.open().vg;
        let (data, metadata) = (whole(vg, sizes.data, sizes.chunk)?, whole(vg, sizes.metadata, 1)?);
        let length = vg.extent_size().to_bytes(metadata).unwrap_or(u64::MAX);
        let names = [
            POOL_NAME.to_string(),
            format!("{POOL_NAME}_tdata"),
            format!("{POOL_NAME}_tmeta"),
        ];
        if let Some(taken) = names.iter().find(|name| change.open().vg.lv(name).is_some()) {
            return Err(Error::Exists {
                what: "logical volume",
                id: taken.clone(),
            });
        }
        let [pool, tdata, tmeta] = names;
        // Both parts may lie on any disk; the metadata is the first to find room.
        self.add_part(change, &tmeta, metadata, sizes.metadata)?;
        self.add_part(change, &tdata, data, sizes.data)?;
        let detail = ThinPool {
            metadata: tmeta.as_str().into(),
            data: tdata.as_str().into(),
            transaction_id: 0,
            chunk_size: sizes.chunk_sectors(),
            discards: Some(request.discards.as_str().into()),
            zero_new_blocks: request.zeroing,
            crop_metadata: None,
            messages: Vec::new(),
        };
        let mut new = self.new_lv(LvName::parse(&pool)?);
        if request.error_if_no_space {
            new.flags = LvFlags::ERROR_WHEN_FULL;
        }
        change
            .edit()
            .add_detailed(new, data, "thin-pool", &Detail::ThinPool(detail))
            .map_err(Error::Meta)?;
        // The kernel formats what begins with zeroes, and takes anything else for its own: it is zeroed before any text
        // names it.
        let open = change.open();
        let lv = open.vg.lv(&tmeta).ok_or_else(|| Error::NoThinPool {
            pool: open.vg.name().into(),
        })?;
        activate::zero_new(open, lv, length)?
            .into_iter()
            .chain([Step::Commit])
            .for_each(|step| change.step(step));
        Ok(())
    }

    fn add_part(
        &self,
        change: &mut Change<'_>,
        name: &str,
        extents: Extents,
        needed: u64,
    ) -> Result<(), Error> {
        let vg = &change.open().vg;
        let segments = lvm_meta::allocate(vg, &AllocRequest::new(extents))
            .map_err(|error| alloc_error(vg, needed, error))?;
        let new = NewLv {
            segments,
            status: LvStatus::HIDDEN,
            ..self.new_lv(LvName::parse(name)?)
        };
        change.edit().add_lv(new).map_err(Error::Meta)
    }

    /// A new LV with an id of its own, without segments.
    pub(super) fn new_lv(&self, name: LvName) -> NewLv {
        NewLv {
            creation: Some(self.inner.creation()),
            ..NewLv::new(name, LvId::from_random(identity::random()), Vec::new())
        }
    }
}

/// Refuses a thin pool for which a VG has no room.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::InvalidArgument`].
pub(crate) fn check_thin_pool_fits(vg: &Vg, request: &CreateThinPool) -> Result<(), Error> {
    let sizes = Sizes::of(request)?;
    let (data, metadata) = (whole(vg, sizes.data, sizes.chunk)?, whole(vg, sizes.metadata, 1)?);
    let needed = sizes.data.saturating_add(sizes.metadata);
    let both = data
        .checked_add(metadata)
        .ok_or_else(|| no_space(vg, needed, String::new()))?;
    lvm_meta::allocate(vg, &AllocRequest::new(both))
        .map(drop)
        .map_err(|error| alloc_error(vg, needed, error))
}

/// Extents that hold `bytes` in whole units.
pub(super) fn whole(vg: &Vg, bytes: u64, unit: u64) -> Result<Extents, Error> {
    let rounded = bytes.checked_next_multiple_of(unit.max(Sectors::SIZE));
    rounded
        .and_then(|bytes| vg.extent_size().extents_ceil(bytes))
        .ok_or_else(|| no_space(vg, bytes, String::new()))
}

/// A thin pool exists: the answer to a repeated request, or a refusal.
fn check_same(change: &Change<'_>, found: &PoolLv<'_>, request: &CreateThinPool) -> Result<(), Error> {
    let vg = &change.open().vg;
    let refuse = |what, given: u64, actual: u64| {
        Err(Error::InvalidArgument {
            what,
            given: given.to_string(),
            why: format!("the thin pool {:?} exists with {actual} bytes", found.lv.name()),
        })
    };
    if let Some(given) = request.chunk_size.filter(|given| *given != found.chunk()) {
        return refuse("chunk size", given, found.chunk());
    }
    let size = |extents| vg.extent_size().to_bytes(extents).unwrap_or(u64::MAX);
    let actual = size(found.lv.extent_count());
    // Rounded up to extents, or to extents and chunks.
    let least = whole(vg, request.data_size, 1)?;
    let most = whole(vg, request.data_size, found.chunk())?;
    if !(size(least)..=size(most)).contains(&actual) {
        return refuse("thin pool size", request.data_size, actual);
    }
    Ok(())
}
