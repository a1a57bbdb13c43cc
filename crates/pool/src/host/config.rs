//! LVM's configuration: the settings of `lvm.conf`, `lvmlocal.conf` and the host tags' files that this library obeys.
//!
//! Files are merged as LVM merges them: a later one replaces values, but its `devices/filter`, `devices/types` and
//! `activation/volume_list` go before the earlier ones.  What LVM would warn of and ignore is an error here: a host
//! whose filter has a typing error must not have its disks written to.  Settings for output, logging and tools that
//! this library does not run are not read.  Reference: LVM2 `lib/config/config_settings.h`, `lib/config/defaults.h`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::candidates::DEFAULT_PV_MIN_SIZE;
use super::{DeviceRules, DevicesFile, Error, Filter, Locks, Paths, Result, sysfs};
use tree::Tree;

mod parse;
mod tree;
mod volume_list;

pub use volume_list::VolumeList;

/// Deepest chain of host tags, each of whose files may bring new tags.
const TAG_LIMIT: usize = 64;

/// LVM's settings on this host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Section `devices`.
    pub devices: DeviceConfig,
    /// Section `allocation`.
    pub allocation: AllocationConfig,
    /// Section `backup`.
    pub backup: BackupConfig,
    /// Section `global`.
    pub global: GlobalConfig,
    /// Section `activation`.
    pub activation: ActivationConfig,
    /// `local/system_id`.
    pub local_system_id: Option<String>,
    /// `local/extra_system_ids`: those of other hosts whose VGs are ours as well.
    pub extra_system_ids: Vec<String>,
    /// The tags of this host, from section `tags`.
    pub host_tags: Vec<String>,
}

/// How block devices are used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceConfig {
    /// `filter`; accepts everything by default.
    pub filter: Filter,
    /// `global_filter`; accepts everything by default.
    pub global_filter: Filter,
    /// `types`: names of further block drivers.
    pub types: Vec<String>,
    /// `use_devicesfile`.  Where no file sets it, the default of this host's LVM build counts, which its `lvm.conf`
    /// shows in a comment; else 0.
    pub use_devicesfile: bool,
    /// `devicesfile`: `system.devices`.
    pub devicesfile: String,
    /// `devicesfile_backup_limit`: 50.
    pub devicesfile_backup_limit: u32,
    /// `scan_lvs`: 0.
    pub scan_lvs: bool,
    /// `multipath_component_detection`: 1.
    pub multipath_component_detection: bool,
    /// `multipath_wwids_file`: `/etc/multipath/wwids`; `None` when set empty.
    pub multipath_wwids_file: Option<PathBuf>,
    /// `md_component_detection`: 1.
    pub md_component_detection: bool,
    /// `pv_min_size` in bytes: 2 MiB, and never less than 512 KiB.
    pub pv_min_size: u64,
    /// `issue_discards`: 0.
    pub issue_discards: bool,
    /// `allow_mixed_block_sizes`: 0.
    pub allow_mixed_block_sizes: bool,
    /// Whether `hints` is not `none`.
    pub hints: bool,
    /// `data_alignment`, else `default_data_alignment`, in bytes: 1 MiB.
    pub data_alignment: u64,
}

/// How space is given out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AllocationConfig {
    /// `physical_extent_size` in bytes: 4 MiB.
    pub physical_extent_size: u64,
    /// `wipe_signatures_when_zeroing_new_lvs`: 1.
    pub wipe_signatures: bool,
    /// `zero_metadata`: 1.
    pub zero_metadata: bool,
    /// `thin_pool_zero`: 1.
    pub thin_pool_zero: bool,
    /// `thin_pool_discards`: `passdown`.
    pub thin_pool_discards: String,
    /// `thin_pool_chunk_size` in bytes; `None` leaves it to the size of the pool.
    pub thin_pool_chunk_size: Option<u64>,
    /// `thin_pool_crop_metadata`: 0.
    pub thin_pool_crop_metadata: bool,
    /// `raid_stripe_all_devices`: 0.
    pub raid_stripe_all_devices: bool,
}

/// What is kept of earlier metadata.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackupConfig {
    /// `backup`: 1.
    pub backup: bool,
    /// `backup_dir`: `backup` in LVM's folder.
    pub backup_dir: PathBuf,
    /// `archive`: 1.
    pub archive: bool,
    /// `archive_dir`: `archive` in LVM's folder.
    pub archive_dir: PathBuf,
    /// `retain_min`: 10.
    pub retain_min: u32,
    /// `retain_days`: 30.
    pub retain_days: u32,
}

/// Settings for all of LVM.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GlobalConfig {
    /// `locking_dir`, where a file sets it.
    pub locking_dir: Option<PathBuf>,
    /// `wait_for_locks`: 1.
    pub wait_for_locks: bool,
    /// `prioritise_write_locks`: 1.
    pub prioritise_write_locks: bool,
    /// `metadata_read_only`: 0; else no VG may be changed.
    pub metadata_read_only: bool,
    /// `use_lvmlockd`: 0.
    pub use_lvmlockd: bool,
    /// `event_activation`: 1.
    pub event_activation: bool,
    /// `system_id_source`: `none`.
    pub system_id_source: String,
    /// `system_id_file`.
    pub system_id_file: Option<PathBuf>,
}

/// How LVs are activated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ActivationConfig {
    /// `udev_sync`: 1.
    pub udev_sync: bool,
    /// `udev_rules`: 1.
    pub udev_rules: bool,
    /// `verify_udev_operations`: 0.
    pub verify_udev_operations: bool,
    /// `retry_deactivation`: 1.
    pub retry_deactivation: bool,
    /// `use_linear_target`: 1.
    pub use_linear_target: bool,
    /// `missing_stripe_filler`: `error`.
    pub missing_stripe_filler: String,
    /// `activation_mode`: `degraded`.
    pub activation_mode: String,
    /// `volume_list`; unset by default.
    pub volume_list: Option<VolumeList>,
    /// `auto_activation_volume_list`; unset by default.
    pub auto_activation_volume_list: Option<VolumeList>,
    /// `read_only_volume_list`; unset by default.
    pub read_only_volume_list: Option<VolumeList>,
    /// `raid_region_size` in bytes: 2 MiB.
    pub raid_region_size: u64,
    /// `error_when_full`: 0.
    pub error_when_full: bool,
    /// `thin_pool_autoextend_threshold` in percent: 100, which is off.
    pub thin_pool_autoextend_threshold: u32,
    /// `thin_pool_autoextend_percent`: 20.
    pub thin_pool_autoextend_percent: u32,
    /// `snapshot_autoextend_threshold` in percent: 100, which is off.
    pub snapshot_autoextend_threshold: u32,
    /// `snapshot_autoextend_percent`: 20.
    pub snapshot_autoextend_percent: u32,
    /// `monitoring`: 1.
    pub monitoring: bool,
    /// `auto_set_activation_skip`: 1.
    pub auto_set_activation_skip: bool,
}

impl Config {
    /// Reads the configuration below `paths.lvm_system_dir`; files that are absent set nothing.
    ///
    /// `host_name` is what `tags` sections compare with.
    ///
    /// # Errors
    /// [`Error::ConfigSyntax`] or [`Error::ConfigValue`] with file and place, [`Error::FilterPattern`],
    /// [`Error::Io`] for a file that is there but cannot be read.
    pub fn read(paths: &Paths, host_name: &str) -> Result<Self> {
        let dir = &paths.lvm_system_dir;
        let mut tree = Tree::default();
        let mut host_tags = Vec::new();
        let main = read_layer(&dir.join("lvm.conf"))?;
        if let Some((text, layer)) = main {
            tree.use_devicesfile_of_build = tree::default_in_comment(&text);
            layer.host_tags(host_name, &mut host_tags)?;
            tree.merge(layer, None);
        }
        let mut layers = Vec::new();
        if let Some((_, layer)) = read_layer(&dir.join("lvmlocal.conf"))? {
            layer.host_tags(host_name, &mut host_tags)?;
            layers.push(layer);
        }
        let mut next = 0;
        while let Some(tag) = host_tags.get(next).filter(|_| next < TAG_LIMIT).cloned() {
            next += 1;
            if let Some((_, layer)) = read_layer(&dir.join(format!("lvm_{tag}.conf")))? {
                layer.host_tags(host_name, &mut host_tags)?;
                layers.push(layer);
            }
        }
        for layer in layers {
            tree.merge(layer, Some(&host_tags));
        }
        Self::from_tree(&tree, dir, host_tags)
    }

    fn from_tree(tree: &Tree, dir: &Path, host_tags: Vec<String>) -> Result<Self> {
        let volume_list = |key| {
            Ok::<_, Error>(
                tree.texts(key)?
                    .map(|entries| VolumeList::new(entries, &host_tags)),
            )
        };
        Ok(Self {
            devices: DeviceConfig::from_tree(tree)?,
            allocation: AllocationConfig {
                physical_extent_size: tree.bytes("allocation/physical_extent_size", 4096, KIB)?,
                wipe_signatures: tree.flag("allocation/wipe_signatures_when_zeroing_new_lvs", true)?,
                zero_metadata: tree.flag("allocation/zero_metadata", true)?,
                thin_pool_zero: tree.flag("allocation/thin_pool_zero", true)?,
                thin_pool_discards: tree
                    .text("allocation/thin_pool_discards")?
                    .unwrap_or_else(|| "passdown".into()),
                thin_pool_chunk_size: tree.optional_bytes("allocation/thin_pool_chunk_size", KIB)?,
                thin_pool_crop_metadata: tree.flag("allocation/thin_pool_crop_metadata", false)?,
                raid_stripe_all_devices: tree.flag("allocation/raid_stripe_all_devices", false)?,
            },
            backup: BackupConfig {
                backup: tree.flag("backup/backup", true)?,
                backup_dir: tree
                    .text("backup/backup_dir")?
                    .map_or_else(|| dir.join("backup"), PathBuf::from),
                archive: tree.flag("backup/archive", true)?,
                archive_dir: tree
                    .text("backup/archive_dir")?
                    .map_or_else(|| dir.join("archive"), PathBuf::from),
                retain_min: tree.count("backup/retain_min", 10)?,
                retain_days: tree.count("backup/retain_days", 30)?,
            },
            global: GlobalConfig {
                locking_dir: tree.text("global/locking_dir")?.map(PathBuf::from),
                wait_for_locks: tree.flag("global/wait_for_locks", true)?,
                prioritise_write_locks: tree.flag("global/prioritise_write_locks", true)?,
                metadata_read_only: tree.flag("global/metadata_read_only", false)?,
                use_lvmlockd: tree.flag("global/use_lvmlockd", false)?,
                event_activation: tree.flag("global/event_activation", true)?,
                system_id_source: tree
                    .text("global/system_id_source")?
                    .unwrap_or_else(|| "none".into()),
                system_id_file: tree.text("global/system_id_file")?.map(PathBuf::from),
            },
            activation: ActivationConfig {
                udev_sync: tree.flag("activation/udev_sync", true)?,
                udev_rules: tree.flag("activation/udev_rules", true)?,
                verify_udev_operations: tree.flag("activation/verify_udev_operations", false)?,
                retry_deactivation: tree.flag("activation/retry_deactivation", true)?,
                use_linear_target: tree.flag("activation/use_linear_target", true)?,
                missing_stripe_filler: tree
                    .text("activation/missing_stripe_filler")?
                    .unwrap_or_else(|| "error".into()),
                activation_mode: tree
                    .text("activation/activation_mode")?
                    .unwrap_or_else(|| "degraded".into()),
                volume_list: volume_list("activation/volume_list")?,
                auto_activation_volume_list: volume_list("activation/auto_activation_volume_list")?,
                read_only_volume_list: volume_list("activation/read_only_volume_list")?,
                raid_region_size: tree.bytes("activation/raid_region_size", 2048, KIB)?,
                error_when_full: tree.flag("activation/error_when_full", false)?,
                thin_pool_autoextend_threshold: tree
                    .count("activation/thin_pool_autoextend_threshold", 100)?,
                thin_pool_autoextend_percent: tree.count("activation/thin_pool_autoextend_percent", 20)?,
                snapshot_autoextend_threshold: tree.count("activation/snapshot_autoextend_threshold", 100)?,
                snapshot_autoextend_percent: tree.count("activation/snapshot_autoextend_percent", 20)?,
                monitoring: tree.flag("activation/monitoring", true)?,
                auto_set_activation_skip: tree.flag("activation/auto_set_activation_skip", true)?,
            },
            local_system_id: tree.text("local/system_id")?.filter(|id| !id.is_empty()),
            extra_system_ids: tree.texts("local/extra_system_ids")?.unwrap_or_default(),
            host_tags,
        })
    }

    /// The lock files of the host that this configuration is of.
    pub fn locks(&self, paths: &Paths) -> Locks {
        let mut paths = paths.clone();
        if let Some(dir) = &self.global.locking_dir {
            paths.locking_dir = dir.clone();
        }
        Locks::new(&paths).with_write_priority(self.global.prioritise_write_locks)
    }

    /// How long to wait for a lock when the caller would wait for `timeout`: not at all with `wait_for_locks = 0`.
    pub fn lock_timeout(&self, timeout: Duration) -> Duration {
        if self.global.wait_for_locks {
            timeout
        } else {
            Duration::ZERO
        }
    }

    /// The rules by which devices are looked at; reads the devices file, if one is in use, under no lock.
    ///
    /// # Errors
    /// Those of [`DevicesFile::read`], and [`Error::Io`].
    pub fn device_rules(&self, paths: &Paths) -> Result<DeviceRules> {
        let devices = &self.devices;
        let devices_file = if devices.use_devicesfile {
            DevicesFile::read(paths, &devices.devicesfile)?
        } else {
            None
        };
        let multipath_wwids = match &devices.multipath_wwids_file {
            Some(file) if devices.multipath_component_detection => DeviceRules::read_multipath_wwids(file)?,
            _ => Default::default(),
        };
        Ok(DeviceRules {
            filter: devices.filter.clone(),
            global_filter: devices.global_filter.clone(),
            devices_file,
            scan_lvs: devices.scan_lvs,
            pv_min_size: devices.pv_min_size,
            multipath_detection: devices.multipath_component_detection,
            md_detection: devices.md_component_detection,
            majors: DeviceRules::read_majors(paths, &devices.types)?,
            multipath_wwids,
        })
    }

    /// Whether this host may activate the LV at all: `volume_list`, or else the host tags, must allow it.
    pub fn may_activate(&self, vg: &str, lv: &str, vg_tags: &[&str], lv_tags: &[&str]) -> bool {
        match &self.activation.volume_list {
            Some(list) => list.names(vg, lv, vg_tags, lv_tags),
            None if self.host_tags.is_empty() => true,
            None => self
                .host_tags
                .iter()
                .any(|tag| vg_tags.contains(&tag.as_str()) || lv_tags.contains(&tag.as_str())),
        }
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl DeviceConfig {
    fn from_tree(tree: &Tree) -> Result<Self> {
        let filter = |key| Filter::parse(&tree.texts(key)?.unwrap_or_default());
        let wwids = tree
            .text("devices/multipath_wwids_file")?
            .unwrap_or_else(|| "/etc/multipath/wwids".into());
        let default_alignment = tree.bytes("devices/default_data_alignment", 1, MIB)?;
        let alignment = tree.bytes("devices/data_alignment", 0, KIB)?;
        Ok(Self {
            filter: filter("devices/filter")?,
            global_filter: filter("devices/global_filter")?,
            types: tree.names("devices/types")?,
            use_devicesfile: tree.flag(
                "devices/use_devicesfile",
                tree.use_devicesfile_of_build.unwrap_or(false),
            )?,
            devicesfile: tree
                .text("devices/devicesfile")?
                .unwrap_or_else(|| "system.devices".into()),
            devicesfile_backup_limit: tree.count("devices/devicesfile_backup_limit", 50)?,
            scan_lvs: tree.flag("devices/scan_lvs", false)?,
            multipath_component_detection: tree.flag("devices/multipath_component_detection", true)?,
            multipath_wwids_file: Some(PathBuf::from(wwids)).filter(|path| path.is_absolute()),
            md_component_detection: tree.flag("devices/md_component_detection", true)?,
            pv_min_size: tree
                .bytes("devices/pv_min_size", DEFAULT_PV_MIN_SIZE / KIB, KIB)?
                .max(512 * KIB),
            issue_discards: tree.flag("devices/issue_discards", false)?,
            allow_mixed_block_sizes: tree.flag("devices/allow_mixed_block_sizes", false)?,
            hints: tree.text("devices/hints")?.as_deref() != Some("none"),
            data_alignment: if alignment > 0 {
                alignment
            } else {
                default_alignment
            },
        })
    }
}

/// One file's text and settings, or `None` when it is absent.
fn read_layer(path: &Path) -> Result<Option<(Vec<u8>, tree::Layer)>> {
    let Some(text) = sysfs::optional_file(path)? else {
        return Ok(None);
    };
    let layer = tree::Layer::parse(path, &text)?;
    Ok(Some((text, layer)))
}

#[cfg(test)]
mod tests;
