//! Thin pools inside a storage pool, and the thin LVs in them.
//!
//! | file | what |
//! | --- | --- |
//! | `mend` | what a cut change leaves of them, and putting it right |
//! | `policy` | when it grows, and by how much |
//! | `sizes` | how large chunks and metadata are made |
//! | `stack` | the devices below a thin LV, and how they are mapped |
//! | `protocol` | how LVM's metadata and the kernel's change together |
//! | `orders` | what the kernel is told |
//! | `index` | the thin LVs by pool and origin, kept from one change to the next |
//! | `usage` | what is taken of one, by the kernel's word |
//! | `usages` | the same of all of a VG |

pub(crate) mod index;
pub(crate) mod mend;
mod orders;
pub(crate) mod policy;
pub(crate) mod protocol;
pub(crate) mod sizes;
pub(crate) mod stack;
pub(crate) mod usage;
pub(crate) mod usages;

use lvm_meta::detail::{Detail, Thin, ThinPool};
use lvm_meta::{Lv, LvRole, Vg};

use crate::Error;

/// The thin pool that this library makes; io-engine's name.
pub(crate) const POOL_NAME: &str = "mayastor-thinpool";

/// A thin pool, as the metadata has it.
#[derive(Clone, Debug)]
pub(crate) struct PoolLv<'a> {
    pub(crate) lv: &'a Lv,
    pub(crate) detail: ThinPool,
}

impl<'a> PoolLv<'a> {
    /// The thin pool that is a storage pool's own by its name: ours, or lvm-localpv's.
    pub(crate) fn own(vg: &'a Vg) -> Option<Self> {
        Self::named(vg, POOL_NAME).or_else(|| Self::named(vg, &format!("{}_thinpool", vg.name())))
    }

    /// The thin pool that is meant where none is named: the storage pool's own, or the only one, whatever its name.
    pub(crate) fn of_vg(vg: &'a Vg) -> Option<Self> {
        Self::own(vg).or_else(|| {
            let mut all = Self::all(vg);
            all.next().filter(|_| all.next().is_none())
        })
    }

    /// All thin pools of a VG, in the order of the metadata.
    pub(crate) fn all(vg: &'a Vg) -> impl Iterator<Item = Self> {
        // The type's name first: reading the fields of each LV costs.
        let is_pool = |lv: &&Lv| {
            lv.segments()
                .first()
                .is_some_and(|first| first.type_name() == "thin-pool")
        };
        vg.lvs()
            .filter(is_pool)
            .filter_map(|lv| Self::named(vg, lv.name()))
    }

    /// The thin pool of that name, or the one that is meant where none is named.
    ///
    /// # Errors
    /// [`Error::NoThinPool`], [`Error::ManyThinPools`], [`Error::LvNotFound`]; [`Error::InvalidArgument`] for another LV.
    pub(crate) fn chosen(vg: &'a Vg, name: Option<&str>) -> Result<Self, Error> {
        let Some(name) = name else {
            return Self::of_vg(vg).ok_or_else(|| no_pool_meant(vg));
        };
        Self::named(vg, name).ok_or_else(|| match vg.lv(name) {
            None => Error::LvNotFound(format!("{}/{name}", vg.name())),
            Some(_) => Error::InvalidArgument {
                what: "thin pool",
                given: name.into(),
                why: "it is another logical volume".into(),
            },
        })
    }

    /// The thin pool of that name, if there is one.
    pub(crate) fn named(vg: &'a Vg, name: &str) -> Option<Self> {
        let lv = vg.lv(name)?;
        match lv.detail()? {
            Detail::ThinPool(detail) => Some(Self { lv, detail }),
            _ => None,
        }
    }

    /// The thin pool of a thin LV.
    ///
    /// # Errors
    /// [`Error::NoThinPool`].
    pub(crate) fn of(vg: &'a Vg, thin: &Thin) -> Result<Self, Error> {
        Self::named(vg, &thin.pool).ok_or_else(|| Error::NoThinPool {
            pool: vg.name().into(),
        })
    }

    /// The thin pool whose data or metadata an LV is.
    pub(crate) fn on(vg: &'a Vg, part: &str) -> Option<Self> {
        match vg.role(vg.lv(part)?) {
            LvRole::PoolData { of } | LvRole::PoolMetadata { of } => Self::named(vg, of),
            _ => None,
        }
    }

    /// The LVs with its data and its metadata.
    ///
    /// # Errors
    /// [`Error::NoThinPool`] when one is not there.
    pub(crate) fn parts(&self, vg: &'a Vg) -> Result<[&'a Lv; 2], Error> {
        let part = |name: &str| {
            vg.lv(name).ok_or_else(|| Error::NoThinPool {
                pool: vg.name().into(),
            })
        };
        Ok([part(&self.detail.data)?, part(&self.detail.metadata)?])
    }

    /// Bytes of its chunks.
    pub(crate) fn chunk(&self) -> u64 {
        self.detail
            .chunk_size
            .get()
            .saturating_mul(lvm_meta::Sectors::SIZE)
    }

    /// Its thin LVs.
    pub(crate) fn thins(&self, vg: &'a Vg) -> impl Iterator<Item = (&'a Lv, Thin)> {
        let name = self.lv.name();
        let all = vg.lvs().filter_map(|lv| Some((lv, thin(lv)?)));
        all.filter(move |(_, thin)| *thin.pool == *name)
    }
}

/// Why no thin pool is meant where none is named.
fn no_pool_meant(vg: &Vg) -> Error {
    let pool = vg.name().into();
    let names: Vec<String> = PoolLv::all(vg).map(|pool| pool.lv.name().into()).collect();
    match names.is_empty() {
        true => Error::NoThinPool { pool },
        false => Error::ManyThinPools { pool, names },
    }
}

/// What makes an LV thin, if it is.
pub(crate) fn thin(lv: &Lv) -> Option<Thin> {
    // The type's name first: most LVs are thick, and reading the fields costs.
    match lv.segments() {
        [segment] if segment.type_name() == "thin" => match lv.detail()? {
            Detail::Thin(thin) => Some(thin),
            _ => None,
        },
        _ => None,
    }
}
