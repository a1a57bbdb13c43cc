//! The thin pool of a storage pool: making it, and making it larger.

use lvm_meta::detail::{Detail, ThinPool};
use lvm_meta::{
    AllocRequest, Extents, Lv, LvFlags, LvId, LvName, LvStatus, NewLv, PvFilter, PvId, Sectors, Vg,
};

use super::resize_replica::{alloc_error, no_space};
use super::{StoragePool, raid_replicas};
use crate::apply::Step;
use crate::info::PoolInfo;
use crate::open_vg::Change;
use crate::raid::Array;
use crate::request::CreateThinPool;
use crate::thin::sizes::Sizes;
use crate::thin::{POOL_NAME, PoolLv, stack};
use crate::{Error, Layout, RaidLevel, activate, identity, replica};

impl StoragePool {
    /// Makes the pool's thin pool.  Durable when this returns.
    ///
    /// One that exists with this size, and these chunks if they are given, is success and nothing is changed.  The kernel
    /// meets it with its first replica.  Thin pools of other names are others', and stay beside it.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::InvalidArgument`], [`Error::NoThinTarget`]; all is as it was then.
    pub fn create_thin_pool(&self, request: &CreateThinPool) -> Result<PoolInfo, Error> {
        let sizes = Sizes::of(request)?;
        self.change("create the thin pool", |change| {
            if let Some(found) = PoolLv::own(&change.open().vg) {
                return check_same(change, &found, request);
            }
            stack::check_targets(&self.inner, request)?;
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
        let [pool, tdata, tmeta] = &names;
        let new = [
            self.new_lv(LvName::parse(tdata)?)?,
            self.new_lv(LvName::parse(tmeta)?)?,
        ];
        add_parts(change.edit(), new, request, sizes)?;
        let data = change.open().vg.lv(tdata).map_or(Extents::ZERO, Lv::extent_count);
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
        let mut new = self.new_lv(LvName::parse(pool)?)?;
        if request.error_if_no_space {
            new.flags = LvFlags::ERROR_WHEN_FULL;
        }
        change
            .edit()
            .add_detailed(new, data, "thin-pool", &Detail::ThinPool(detail))
            .map_err(Error::Meta)?;
        // The kernel formats what begins with zeroes, and takes anything else for its own: it is zeroed before any text
        // names it.  So are its notes on the images of arrays.
        let open = change.open();
        let mut steps = Vec::new();
        for lv in [tmeta, tdata].into_iter().filter_map(|name| open.vg.lv(name)) {
            if let Some(array) = Array::of(&open.vg, lv) {
                steps.extend(array.zero_new(open)?);
            } else if lv.name() == tmeta {
                let length = open.vg.extent_size().to_bytes(lv.extent_count());
                steps.extend(activate::zero_new(open, lv, length.unwrap_or(u64::MAX))?);
            }
        }
        steps.push(Step::Commit);
        steps.into_iter().for_each(|step| change.step(step));
        Ok(())
    }

    /// A new LV with an id of its own, without segments.
    pub(super) fn new_lv(&self, name: LvName) -> Result<NewLv, Error> {
        Ok(NewLv {
            creation: Some(self.inner.creation()),
            ..NewLv::new(name, LvId::from_random(identity::random()?), Vec::new())
        })
    }
}

/// Refuses a thin pool for which a VG has no room.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::InvalidArgument`].
pub(crate) fn check_thin_pool_fits(vg: &Vg, request: &CreateThinPool) -> Result<(), Error> {
    let new = |part: &str| {
        let name = LvName::parse(&format!("{POOL_NAME}_{part}"))?;
        Ok::<_, Error>(NewLv::new(
            name,
            LvId::from_random(identity::random()?),
            Vec::new(),
        ))
    };
    let new = [new("tdata")?, new("tmeta")?];
    add_parts(&mut vg.clone(), new, request, Sizes::of(request)?)
}

/// Adds data and metadata of a thin pool to a VG.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::InvalidArgument`].
fn add_parts(
    vg: &mut Vg,
    [new_data, new_metadata]: [NewLv; 2],
    request: &CreateThinPool,
    sizes: Sizes,
) -> Result<(), Error> {
    request.layout.check_stripe(vg.extent_size())?;
    let (data, metadata) = (whole(vg, sizes.data, sizes.chunk)?, whole(vg, sizes.metadata, 1)?);
    let name = new_data.name.to_string();
    // Both parts may lie on any disk; the metadata is the first to find room.
    let Layout::Raid {
        level,
        count,
        stripe_size,
    } = request.layout
    else {
        add_linear(vg, new_metadata, metadata, sizes.metadata)?;
        return add_linear(vg, new_data, data, sizes.data);
    };
    let bytes = |vg: &Vg, extents| vg.extent_size().to_bytes(extents).unwrap_or(u64::MAX);
    let hidden = |new| NewLv {
        status: LvStatus::HIDDEN,
        ..new
    };
    let size = bytes(vg, data);
    raid_replicas::add(
        vg,
        hidden(new_data),
        level,
        count,
        stripe_size,
        size,
        PvFilter::All,
    )?;
    // Metadata are small: copies of them do for arrays of any size.
    let copies = if level == RaidLevel::Raid1 { count } else { 2 };
    let size = bytes(vg, metadata);
    let add_metadata = |vg: &mut Vg, new, pvs: PvFilter<'_>| {
        raid_replicas::add(
            vg,
            hidden(new),
            RaidLevel::Raid1,
            copies,
            Sectors::default(),
            size,
            pvs,
        )
    };
    // Where the data lie, if there is room: no two disks that the data can do without take the metadata with them.
    let own = pvs_of(vg, &name);
    match add_metadata(vg, new_metadata.clone(), PvFilter::Ids(&own)) {
        Err(Error::NoSpace { .. }) => add_metadata(vg, new_metadata, PvFilter::All),
        done => done,
    }
}

fn add_linear(vg: &mut Vg, new: NewLv, extents: Extents, needed: u64) -> Result<(), Error> {
    let segments = lvm_meta::allocate(vg, &AllocRequest::new(extents))
        .map_err(|error| alloc_error(vg, needed, error))?;
    let new = NewLv {
        segments,
        status: LvStatus::HIDDEN,
        ..new
    };
    vg.add_lv(new).map_err(Error::Meta)
}

/// The PVs on which an array's images lie.
fn pvs_of(vg: &Vg, array: &str) -> Vec<PvId> {
    let array = Array::named(vg, array);
    array.map_or_else(Vec::new, |array| array.pvs().collect())
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
    // Rounded up to extents, or to extents, chunks and stripes.
    let least = size(whole(vg, request.data_size, 1)?);
    let most = size(whole(vg, request.data_size, found.chunk())?);
    let [data, _] = found.parts(vg)?;
    let most = Array::of(vg, data).map_or(Ok(most), |array| {
        array.sized(most).map(|(extents, _)| size(extents))
    })?;
    let layout = replica::layout(data);
    if request.layout != Layout::Linear && request.layout.to_string() != layout {
        return Err(Error::InvalidArgument {
            what: "thin pool layout",
            given: request.layout.to_string(),
            why: format!("the thin pool {:?} exists as {layout}", found.lv.name()),
        });
    }
    if !(least..=most).contains(&actual) {
        return refuse("thin pool size", request.data_size, actual);
    }
    Ok(())
}
