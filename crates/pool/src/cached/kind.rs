//! The two kinds of caches: the kernel's `cache`, and its `writecache`.

use lvm_dm::{
    CacheStatus, DeviceId, DeviceMapper, DeviceNumber, DmUuid, StatusLine, Target, WritecacheStatus,
};
use lvm_meta::Lv;
use lvm_meta::detail::{Cache, Detail, Writecache};

use crate::Error;
use crate::system::Inner;

/// What a cache of writes may hold when it is taken off: that much is written back while the LV is stopped.
///
/// It holds no less for long when the same blocks are written over and over: one that is written while it is being written
/// back stays in the cache.
const FEW: u64 = 128 << 10;

/// A kind of cache, with what the metadata say of one.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// dm-cache: of reads and writes, by a cache pool or by one LV.
    Cache(Cache),
    /// dm-writecache: of writes, by one LV.
    Writecache(Writecache),
}

/// The kernel's targets of caches.
pub(crate) const TARGETS: [&str; 2] = ["cache", lvm_dm::Writecache::TARGET];

impl Kind {
    /// What an LV is cached by; `None` for one without a cache.
    pub(crate) fn of(lv: &Lv) -> Option<Self> {
        match lv.detail()? {
            Detail::Cache(cache) => Some(Self::Cache(cache)),
            Detail::Writecache(cache) => Some(Self::Writecache(cache)),
            _ => None,
        }
    }

    /// The kernel's target.
    fn target(&self) -> &'static str {
        let [cache, writecache] = TARGETS;
        match self {
            Self::Cache(_) => cache,
            Self::Writecache(_) => writecache,
        }
    }

    /// The LV behind the cache.
    pub(crate) fn origin(&self) -> &str {
        match self {
            Self::Cache(cache) => &cache.origin,
            Self::Writecache(cache) => &cache.origin,
        }
    }

    /// The cache pool, or the LV that holds all of the cache.
    pub(crate) fn pool(&self) -> &str {
        match self {
            Self::Cache(cache) => &cache.pool,
            Self::Writecache(cache) => &cache.cache,
        }
    }

    /// Refuses a kernel without such caches.
    ///
    /// # Errors
    /// [`Error::NoCacheTarget`].
    pub(crate) fn check_target(&self, inner: &Inner) -> Result<(), Error> {
        let target = self.target();
        match inner.mapper.has_target(target).map_err(Error::Dm)? {
            true => Ok(()),
            false => Err(Error::NoCacheTarget(target)),
        }
    }

    /// Can the kernel write it back while it is used?  Else all is written back while the LV is stopped.
    pub(crate) fn has_cleaner(&self, inner: &Inner) -> Result<bool, Error> {
        Ok(match self {
            Self::Cache(_) => true,
            Self::Writecache(_) => {
                let targets = inner.mapper.targets().map_err(Error::Dm)?;
                targets.iter().any(lvm_dm::Writecache::has_cleaner)
            }
        })
    }
}

/// A cache that the kernel has mapped.
#[derive(Clone, Debug)]
pub(crate) enum Mapped {
    Cache(lvm_dm::Cache),
    Writecache(lvm_dm::Writecache),
}

impl Mapped {
    /// The cache that is mapped for a device; `None` for a table that is none.
    ///
    /// # Errors
    /// [`Error::Dm`].
    pub(crate) fn of(mapper: &dyn DeviceMapper, uuid: &DmUuid) -> Result<Option<Self>, Error> {
        let table = mapper.table(DeviceId::Uuid(uuid), false).map_err(Error::Dm)?;
        Ok(match table.lines() {
            [line] => match &line.target {
                Target::Cache(cache) => Some(Self::Cache(cache.clone())),
                Target::Writecache(cache) => Some(Self::Writecache(cache.clone())),
                _ => None,
            },
            _ => None,
        })
    }

    /// The device behind the cache.
    pub(crate) fn origin(&self) -> DeviceNumber {
        match self {
            Self::Cache(cache) => cache.origin,
            Self::Writecache(cache) => cache.origin,
        }
    }

    /// The same cache while it is written back.
    pub(crate) fn cleaning(&self) -> Target {
        match self {
            Self::Cache(cache) => Target::Cache(cache.cleaning()),
            Self::Writecache(cache) => Target::Writecache(cache.cleaning()),
        }
    }
}

/// How full a cache is that can be written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Bytes that the origin does not have.
    pub(crate) held: u64,
    /// Bytes that it may hold when it is taken off.
    few: u64,
    /// Can it hold no more such, but for blocks that it holds already?
    pub(crate) is_cleaning: bool,
}

impl Usage {
    /// What the kernel says of a cache that is mapped; `lv` is what errors name.
    ///
    /// # Errors
    /// [`Error::CacheState`] for one that cannot be written back.
    pub(crate) fn of(mapper: &dyn DeviceMapper, uuid: &DmUuid, lv: &str) -> Result<Self, Error> {
        let lines = mapper.status(DeviceId::Uuid(uuid), true).map_err(Error::Dm)?;
        let state = |state: &str| Error::CacheState {
            lv: lv.into(),
            state: state.into(),
        };
        match (lines.as_slice(), Mapped::of(mapper, uuid)?) {
            ([line], Some(Mapped::Cache(_))) => of_cache(line).map_err(state),
            ([line], Some(Mapped::Writecache(cache))) => of_writecache(line, &cache).map_err(state),
            _ => Err(state("mapped without a cache")),
        }
    }

    /// Can the cache be taken off when the LV is stopped?
    pub(crate) fn is_nearly_clean(&self) -> bool {
        self.is_cleaning && self.held <= self.few
    }
}

fn of_cache(line: &StatusLine) -> Result<Usage, &'static str> {
    match CacheStatus::parse(line) {
        Some(CacheStatus::Serving(usage)) if usage.needs_check => {
            Err("to be checked (cache_check, cache_repair)")
        }
        Some(CacheStatus::Serving(usage)) if usage.is_read_only => Err("read-only"),
        Some(CacheStatus::Serving(usage)) => Ok(Usage {
            held: usage.dirty.saturating_mul(usage.block_size).saturating_mul(512),
            few: 0,
            // Without anything dirty it needs no cleaner.
            is_cleaning: !usage.is_writeback()
                && (usage.dirty == 0 || usage.policy == lvm_dm::Cache::CLEANER),
        }),
        Some(_) => Err("failed"),
        None => Err("mapped without a cache"),
    }
}

fn of_writecache(line: &StatusLine, cache: &lvm_dm::Writecache) -> Result<Usage, &'static str> {
    match WritecacheStatus::parse(line) {
        Some(status) if status.error != 0 => Err("failed"),
        Some(status) => Ok(Usage {
            held: status.held().saturating_mul(cache.block_size),
            few: FEW,
            is_cleaning: cache.is_cleaning(),
        }),
        None => Err("failed"),
    }
}
