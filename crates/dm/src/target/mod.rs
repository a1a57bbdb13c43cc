//! Targets: what a device does with I/O.  Each prints and parses its own parameters.

mod cache;
mod mirror;
mod multipath;
mod raid;
mod snapshot;
mod thin;
mod writecache;

pub use cache::{Cache, CacheStatus, CacheUsage};
pub use mirror::{Mirror, MirrorLog, MirrorStatus};
pub use multipath::{Multipath, MultipathStatus};
pub use raid::{Raid, RaidHealth, RaidImage, RaidStatus};
pub use snapshot::{Snapshot, SnapshotStatus};
pub use thin::{Thin, ThinPool, ThinPoolMode, ThinPoolStatus, ThinStatus};
pub use writecache::{Writecache, WritecacheStatus};

use crate::{DeviceNumber, Error};

/// What serves a run of sectors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// One area of another device.
    Linear {
        /// The device.
        device: DeviceNumber,
        /// Its first sector.
        offset: u64,
    },
    /// Areas of other devices, side by side.
    Striped {
        /// Sectors of one stripe.
        chunk: u64,
        /// Device and first sector of each area.
        stripes: Vec<(DeviceNumber, u64)>,
    },
    /// Reads give zeroes, writes are dropped.
    Zero,
    /// Every read and write fails.
    Error,
    /// Copies on several devices, in the old way.
    Mirror(Mirror),
    /// One device by several ways, or by one whose errors can be held.
    Multipath(Multipath),
    /// Copies or parity on several devices, by md's personalities.
    Raid(Raid),
    /// Blocks that thin devices share.
    ThinPool(ThinPool),
    /// A device of a thin pool.
    Thin(Thin),
    /// A copy-on-write snapshot of the old kind.
    Snapshot(Snapshot),
    /// The origin of such snapshots.
    SnapshotOrigin {
        /// The device with its data.
        device: DeviceNumber,
    },
    /// A device with a cache in front of it.
    Cache(Cache),
    /// A device with a cache for its writes in front of it.
    Writecache(Writecache),
    /// A target that this crate has no type for.
    Other {
        /// Its name.
        kind: String,
        /// Its parameters.
        params: String,
    },
}

impl Target {
    /// The kernel's name of the target.
    pub fn kind(&self) -> &str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Striped { .. } => "striped",
            Self::Zero => "zero",
            Self::Error => "error",
            Self::Mirror(_) => "mirror",
            Self::Multipath(_) => "multipath",
            Self::Raid(_) => "raid",
            Self::ThinPool(_) => "thin-pool",
            Self::Thin(_) => "thin",
            Self::Snapshot(_) => "snapshot",
            Self::SnapshotOrigin { .. } => "snapshot-origin",
            Self::Cache(_) => "cache",
            Self::Writecache(_) => Writecache::TARGET,
            Self::Other { kind, .. } => kind,
        }
    }

    /// The parameters as the kernel takes them.
    pub fn params(&self) -> String {
        match self {
            Self::Linear { device, offset } => format!("{device} {offset}"),
            Self::Striped { chunk, stripes } => {
                let mut params = format!("{} {chunk}", stripes.len());
                for (device, offset) in stripes {
                    params += &format!(" {device} {offset}");
                }
                params
            }
            Self::Zero | Self::Error => String::new(),
            Self::Mirror(mirror) => mirror.params(),
            Self::Multipath(multipath) => multipath.params(),
            Self::Raid(raid) => raid.params(),
            Self::ThinPool(pool) => pool.params(),
            Self::Thin(thin) => thin.params(),
            Self::Snapshot(snapshot) => snapshot.params(),
            Self::SnapshotOrigin { device } => device.to_string(),
            Self::Cache(cache) => cache.params(),
            Self::Writecache(cache) => cache.params(),
            Self::Other { params, .. } => params.clone(),
        }
    }

    /// Reads what [`Target::kind`] and [`Target::params`] give; names without a type here become [`Target::Other`].
    ///
    /// # Errors
    /// [`Error::BadParams`] when a target of a known type does not take the parameters.
    pub fn parse(kind: &str, params: &str) -> Result<Self, Error> {
        let mut words = Words(params.split_ascii_whitespace());
        let target = match kind {
            "linear" => words
                .area()
                .map(|(device, offset)| Self::Linear { device, offset }),
            "striped" => striped(&mut words),
            "zero" => Some(Self::Zero),
            "error" => Some(Self::Error),
            "mirror" => Mirror::parse(&mut words).map(Self::Mirror),
            // One of another form stays as it is.
            "multipath" => {
                let found = Multipath::parse(params).map(Self::Multipath);
                return Ok(found.unwrap_or_else(|| other(kind, params)));
            }
            "raid" => Raid::parse(&mut words).map(Self::Raid),
            "thin-pool" => ThinPool::parse(&mut words).map(Self::ThinPool),
            "thin" => Thin::parse(&mut words).map(Self::Thin),
            "snapshot" => Snapshot::parse(&mut words).map(Self::Snapshot),
            "snapshot-origin" => words.device().map(|device| Self::SnapshotOrigin { device }),
            "cache" => Cache::parse(&mut words).map(Self::Cache),
            Writecache::TARGET => Writecache::parse(&mut words).map(Self::Writecache),
            _ => return Ok(other(kind, params)),
        };
        let whole = target.filter(|_| words.0.next().is_none());
        whole.ok_or_else(|| Error::BadParams {
            kind: kind.into(),
            params: params.chars().take(200).collect(),
        })
    }
}

fn other(kind: &str, params: &str) -> Target {
    Target::Other {
        kind: kind.into(),
        params: params.into(),
    }
}

fn striped(words: &mut Words<'_>) -> Option<Target> {
    let (count, chunk) = (words.number::<usize>()?, words.number()?);
    let mut stripes = Vec::new();
    for _ in 0..count {
        stripes.push(words.area()?);
    }
    (count > 0).then_some(Target::Striped { chunk, stripes })
}

/// The words of a parameter line.
struct Words<'a>(std::str::SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    fn word(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        let word = self.word()?;
        // Rust takes a sign here, the kernel prints none.
        (!word.starts_with('+')).then(|| word.parse().ok())?
    }

    /// Two numbers with a slash between them.
    fn fraction(&mut self) -> Option<(u64, u64)> {
        let (part, whole) = self.word()?.split_once('/')?;
        let mut numbers = Words(part.split_ascii_whitespace());
        let part = numbers.number()?;
        numbers = Words(whole.split_ascii_whitespace());
        Some((part, numbers.number()?))
    }

    /// So many words as the first one says.
    fn counted(&mut self) -> Option<Vec<String>> {
        let mut counted = Vec::new();
        for _ in 0..self.number::<usize>()? {
            counted.push(self.word()?.to_string());
        }
        Some(counted)
    }

    fn device(&mut self) -> Option<DeviceNumber> {
        DeviceNumber::parse(self.word()?)
    }

    fn area(&mut self) -> Option<(DeviceNumber, u64)> {
        Some((self.device()?, self.number()?))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_number() -> impl Strategy<Value = DeviceNumber> + Clone {
        (0u32..4096, 0u32..1 << 20).prop_map(|(major, minor)| DeviceNumber { major, minor })
    }

    /// A target as somebody could load it.
    pub(crate) fn any_target() -> impl Strategy<Value = Target> {
        let areas = prop::collection::vec((any_number(), any::<u64>()), 1..5);
        let words = prop::collection::vec("[a-z_]{1,9}|[0-9]{1,9}", 0..6);
        let maybe = prop::option::of(any_number());
        let image = (maybe.clone(), maybe.clone()).prop_map(|(meta, data)| RaidImage { meta, data });
        let log = maybe.prop_map(|disk| disk.map_or(MirrorLog::Core, MirrorLog::Disk));
        prop_oneof![
            (any_number(), any::<u64>()).prop_map(|(device, offset)| Target::Linear { device, offset }),
            (any::<u64>(), areas.clone()).prop_map(|(chunk, stripes)| Target::Striped { chunk, stripes }),
            Just(Target::Zero),
            Just(Target::Error),
            (log, any::<u64>(), any::<bool>(), areas, words.clone()).prop_map(
                |(log, region_size, nosync, images, features)| Target::Mirror(Mirror {
                    log,
                    region_size,
                    nosync,
                    images,
                    features
                })
            ),
            (words.clone(), prop::collection::vec(any_number(), 1..4))
                .prop_map(|(features, paths)| Target::Multipath(Multipath { features, paths })),
            (
                "raid[0-9]{1,2}",
                any::<u64>(),
                words.clone(),
                prop::collection::vec(image, 0..5)
            )
                .prop_map(|(level, chunk, params, images)| Target::Raid(Raid {
                    level,
                    chunk,
                    params,
                    images
                })),
            (
                any_number(),
                any_number(),
                any::<u64>(),
                any::<u64>(),
                words.clone()
            )
                .prop_map(|(metadata, data, chunk, low_water, features)| Target::ThinPool(
                    ThinPool {
                        metadata,
                        data,
                        chunk,
                        low_water,
                        features
                    }
                )),
            (any_number(), any::<u32>(), prop::option::of(any_number()))
                .prop_map(|(pool, id, origin)| { Target::Thin(Thin { pool, id, origin }) }),
            (any_number(), any_number(), "P|PO|N", any::<u64>(), words.clone()).prop_map(
                |(origin, store, persistence, chunk, features)| Target::Snapshot(Snapshot {
                    origin,
                    store,
                    persistence,
                    chunk,
                    features
                })
            ),
            any_number().prop_map(|device| Target::SnapshotOrigin { device }),
            (
                [any_number(), any_number(), any_number()],
                any::<u64>(),
                words.clone(),
                "[a-z]{1,9}",
                words.clone()
            )
                .prop_map(
                    |([metadata, cache, origin], block_size, features, policy, policy_args)| {
                        Target::Cache(Cache {
                            metadata,
                            cache,
                            origin,
                            block_size,
                            features,
                            policy,
                            policy_args,
                        })
                    }
                ),
            ("[ps]", [any_number(), any_number()], any::<u64>(), words.clone()).prop_map(
                |(mode, [origin, cache], block_size, options)| {
                    Target::Writecache(Writecache {
                        mode,
                        origin,
                        cache,
                        block_size,
                        options,
                    })
                }
            ),
            words.prop_map(|words| Target::Other {
                kind: "vdo".into(),
                params: words.join(" ")
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_target_reads_back_as_it_prints(target in any_target()) {
            prop_assert_eq!(Target::parse(target.kind(), &target.params()).unwrap(), target);
        }

        #[test]
        fn no_parameters_panic(
            kind in "linear|striped|zero|error|mirror|multipath|raid|thin-pool|thin|snapshot|snapshot-origin|cache|writecache|vdo",
            params in "([0-9]{1,20}|[0-9]{1,3}:[0-9]{1,3}|core|disk|nosync|raid1|-|[ -~]{0,5}| ){0,12}",
        ) {
            if let Ok(target) = Target::parse(&kind, &params) {
                prop_assert_eq!(Target::parse(&kind, &target.params()).unwrap(), target);
            }
        }
    }

    #[test]
    fn parameters_that_lvm_loads_read_back_as_they_print() {
        for (kind, params) in [
            ("linear", "8:16 2048"),
            ("striped", "3 128 1:0 59392 1:1 2048 1:2 2048"),
            ("zero", ""),
            ("error", ""),
            ("mirror", "core 1 1024 2 253:1 0 253:2 0 1 handle_errors"),
            ("mirror", "disk 2 253:3 1024 2 253:1 0 253:2 0"),
            ("mirror", "core 2 1024 nosync 2 253:1 0 253:2 0"),
            (
                "multipath",
                "3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 1 253:0 1",
            ),
            ("multipath", "0 1 alua 1 1 service-time 0 1 1 8:0 1"),
            ("raid", "raid1 3 0 region_size 4096 2 253:1 253:2 253:3 253:4"),
            ("raid", "raid1 4 0 nosync region_size 4096 2 253:1 253:2 - -"),
            ("raid", "raid0 1 128 2 - 253:1 - 253:2"),
            ("thin-pool", "253:0 253:1 128 0 0"),
            ("thin-pool", "253:0 253:1 128 4915 1 skip_block_zeroing"),
            ("thin", "253:2 1"),
            ("thin", "253:5 3 253:9"),
            ("snapshot", "253:1 253:2 P 8"),
            ("snapshot-origin", "253:1"),
            ("cache", "253:1 253:0 253:2 128 2 metadata2 writethrough smq 0"),
            (
                "cache",
                "253:1 253:0 253:2 512 1 writeback smq 2 migration_threshold 4096",
            ),
            ("cache", "253:1 253:0 253:2 64 0 cleaner 0"),
            ("writecache", "s 253:1 253:0 4096 0"),
            (
                "writecache",
                "s 253:1 253:0 512 5 high_watermark 60 writeback_jobs 32 cleaner",
            ),
        ] {
            let target = Target::parse(kind, params).unwrap();
            assert_eq!((target.kind(), target.params().as_str()), (kind, params));
        }
    }

    #[test]
    fn broken_parameters_are_refused() {
        for (kind, params) in [
            ("linear", "8:16"),
            ("linear", "8 0"),
            ("linear", "8:16 0 1"),
            ("linear", "8:16 +1"),
            ("linear", "8:16 -1"),
            ("linear", "8:16 18446744073709551616"),
            ("linear", "/dev/sdb 0"),
            ("linear", ""),
            ("error", "8:16 0"),
            ("striped", ""),
            ("striped", "2 128 8:1 0"),
            ("striped", "1 128 8:1 0 8:2 0"),
            ("zero", "1"),
            ("striped", "0 128"),
            ("striped", "99999999999 128 8:1 0"),
            ("mirror", "core 1"),
            ("thin-pool", "253:0 253:1 128 0"),
            ("thin-pool", "253:0 253:1 128 0 9"),
            ("thin", "253:5"),
            ("thin", "253:5 1 2"),
            ("snapshot", "253:1 253:2 X 8"),
            ("snapshot", "253:1 253:2 P 8 0"),
            ("snapshot-origin", "253"),
            ("cache", "253:1 253:0 253:2 128 1 writeback smq"),
            ("cache", "253:1 253:0 253:2 128 9 writeback smq 0"),
            ("cache", "253:1 253:0 128 1 writeback smq 0"),
            ("cache", "253:1 253:0 253:2 128 1 writeback smq 0 x"),
            ("raid", "raid1 99 0"),
            ("raid", "raid1 1 0 18446744073709551615"),
        ] {
            assert!(Target::parse(kind, params).is_err(), "{kind} {params}");
        }
    }
}
