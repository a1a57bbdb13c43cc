//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use lvm_native::pool::TagChange;

/// Manage storage pools and replicas on LVM2 volume groups.
#[derive(Parser)]
#[command(name = "poolctl", version)]
pub(crate) struct Args {
    /// Print JSON: one object, or an array for lists.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The kernel's device-mapper, or one in this process over image files.
    #[arg(long, global = true, default_value = "kernel")]
    pub(crate) mapper: Mapper,
    /// Scan only these devices or image files; may be given several times.
    #[arg(long = "device", global = true, value_name = "PATH")]
    pub(crate) devices: Vec<PathBuf>,
    /// Folder of the lock files, in place of LVM's.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) lock_dir: Option<PathBuf>,
    /// Longest wait for a lock or for udev, 30 otherwise; for `replica events` and `volume monitor`, how long they watch.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A PV's id or key, and the disk that is to be it.
fn labelled_disk(text: &str) -> Result<(String, PathBuf), String> {
    let (pv, disk) = text
        .split_once('=')
        .ok_or("not a PV, an equals sign and a disk")?;
    Ok((pv.into(), disk.into()))
}

/// A logical volume by its volume group's name and its own.
#[derive(Clone)]
pub(crate) struct NamedLv {
    pub(crate) vg: String,
    pub(crate) lv: String,
}

fn named_lv(text: &str) -> Result<NamedLv, String> {
    match text.split_once('/') {
        Some((vg, lv)) if !vg.is_empty() && !lv.is_empty() => Ok(NamedLv {
            vg: vg.into(),
            lv: lv.into(),
        }),
        _ => Err("not a volume group, a slash and a logical volume".into()),
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Mapper {
    Kernel,
    Embedded,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Storage pools: volume groups with our mark.
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Replicas: logical volumes of a pool.
    #[command(subcommand)]
    Replica(ReplicaCommand),
    /// Snapshots of replicas.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Clones: thin replicas that begin as a snapshot is.
    #[command(subcommand)]
    Clone(CloneCommand),
    /// The thin pool of a pool.
    #[command(subcommand)]
    Thin(ThinCommand),
    /// Logical volumes of others as replicas, in place.
    #[command(subcommand)]
    Adopt(AdoptCommand),
    /// Volumes: mirrors over replicas on several nodes.
    #[command(subcommand)]
    Volume(VolumeCommand),
}

/// Tags of the caller's own.
#[derive(ClapArgs)]
pub(crate) struct TagArgs {
    /// Add a tag; may be given several times.
    #[arg(long = "add-tag", value_name = "TAG")]
    add: Vec<String>,
    /// Remove a tag; may be given several times.
    #[arg(long = "remove-tag", value_name = "TAG")]
    remove: Vec<String>,
}

impl TagArgs {
    pub(crate) fn change(&self) -> TagChange {
        TagChange {
            add: self.add.clone(),
            remove: self.remove.clone(),
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum PoolCommand {
    /// Make a pool of disks; success without a change if it exists on them.
    Create {
        name: String,
        #[arg(required = true)]
        disks: Vec<PathBuf>,
        /// The pool's UUID; drawn at random otherwise.
        #[arg(long)]
        uuid: Option<String>,
        /// Size of an extent.
        #[arg(long, value_name = "SIZE")]
        extent_size: Option<String>,
        /// Size of each disk's metadata area.
        #[arg(long, value_name = "SIZE")]
        metadata_size: Option<String>,
        /// Make a thin pool of this size in it.
        #[arg(long, value_name = "SIZE")]
        thin_pool: Option<String>,
        /// How the data of the thin pool lie: linear, raid1:IMAGES or raid10:N[:STRIPE].
        #[arg(long, value_name = "LAYOUT", requires = "thin_pool", default_value = "linear")]
        thin_layout: String,
        /// Wipe the signatures that disks carry.
        #[arg(long)]
        force: bool,
    },
    /// Take over a volume group on these disks as a pool.
    Import {
        name: String,
        #[arg(required = true)]
        disks: Vec<PathBuf>,
        /// The disks are a copy: give the pool this name, and it, its disks and replicas new ids.
        #[arg(long)]
        new_ids: bool,
        /// The pool's UUID; with --new-ids the one that it gets.
        #[arg(long)]
        uuid: Option<String>,
    },
    /// List all pools.
    List,
    /// Show one pool.
    Show { pool: String },
    /// Give the pool another name, online; the same name is success.
    Rename {
        /// The pool's name, or its UUID, which tells two pools of one name apart.
        pool: String,
        name: String,
    },
    /// Change properties; what is set already costs no commit.
    Set {
        pool: String,
        #[command(flatten)]
        tags: TagArgs,
    },
    /// Use the space of disks that became larger.
    Grow { pool: String },
    /// Write the metadata anew to every disk that lost it.
    Repair { pool: String },
    /// Make a backup of the metadata the pool's again.
    Restore {
        name: String,
        /// A backup or archive file of LVM's form.
        file: PathBuf,
        /// Label a blank disk as a PV of the file; may be given several times.
        #[arg(long = "disk", value_name = "PV=DISK", value_parser = labelled_disk)]
        disks: Vec<(String, PathBuf)>,
        /// Restore thin pools, let go of disks that hold data, and wipe the signatures of disks to be labelled.
        #[arg(long)]
        force: bool,
    },
    /// List the files that a pool may be restored from.
    Backups { name: String },
    /// Deactivate the replicas and give up the ownership; nothing is destroyed.
    Export { pool: String },
    /// Destroy the replicas and the pool; its disks are blank then.
    Destroy { pool: String },
    /// Add disks.
    AddDisk {
        pool: String,
        #[arg(required = true)]
        disks: Vec<PathBuf>,
        /// Wipe the signatures that disks carry.
        #[arg(long)]
        force: bool,
    },
    /// Move what a disk holds to the others, and remove it.
    RemoveDisk { pool: String, disk: PathBuf },
    /// Use only the first SIZE bytes of a disk, before it is made smaller.
    ShrinkDisk {
        pool: String,
        disk: PathBuf,
        size: String,
        /// Move the extents in use behind that, to the disk's front or to other disks.
        #[arg(long = "move")]
        move_extents: bool,
    },
    /// Add a disk, move what another one holds to it, and remove that.
    ReplaceDisk {
        pool: String,
        old: PathBuf,
        new: PathBuf,
        /// Wipe the signatures that the new disk carries.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum ReplicaCommand {
    /// Make a replica and activate it.
    Create {
        pool: String,
        uuid: String,
        size: String,
        /// Display name; the UUID otherwise.
        #[arg(long)]
        name: Option<String>,
        /// The volume that the replica belongs to.
        #[arg(long)]
        entity_id: Option<String>,
        /// Take space of a thin pool as it is written.
        #[arg(long)]
        thin: bool,
        /// The name of the thin pool's LV; the pool's own, or the only one, otherwise.
        #[arg(long = "pool-lv", value_name = "NAME", requires = "thin")]
        thin_pool: Option<String>,
        /// linear, striped:N[:STRIPE], raid1:IMAGES, or raidLEVEL:N[:STRIPE] with N images of data.
        #[arg(long, default_value = "linear")]
        layout: String,
        /// A disk of the pool that it may lie on; may be given several times.  Any disk without it.
        #[arg(long = "disk", value_name = "DISK", conflicts_with = "thin")]
        disks: Vec<PathBuf>,
        /// What is zeroed before the replica is handed out.
        #[arg(long, default_value = "head")]
        zero: Zero,
        /// Take an array to be in sync from the start.
        #[arg(long)]
        nosync: bool,
    },
    /// Make many replicas in one metadata commit.
    CreateMany {
        pool: String,
        count: u32,
        size: String,
        /// Take space of a thin pool as it is written.
        #[arg(long)]
        thin: bool,
        /// The name of the thin pool's LV; the pool's own, or the only one, otherwise.
        #[arg(long = "pool-lv", value_name = "NAME", requires = "thin")]
        thin_pool: Option<String>,
    },
    /// List the replicas of a pool, or of all pools.
    List { pool: Option<String> },
    /// Show one replica.
    Show { uuid: String },
    /// Change the size, online; the same size is success.
    Resize {
        uuid: String,
        size: String,
        /// Allow a smaller size: what is beyond it is lost.
        #[arg(long)]
        allow_shrink: bool,
    },
    /// Move it to other disks of its pool, online; what is there already is success.
    Move {
        uuid: String,
        /// Where it may go; may be given several times.  Any other disk without it.
        #[arg(long = "disk", value_name = "DISK", required_unless_present = "from")]
        disks: Vec<PathBuf>,
        /// The disk that it leaves; all but those where it goes otherwise.
        #[arg(long, value_name = "DISK")]
        from: Option<PathBuf>,
    },
    /// Destroy a replica.
    Destroy { uuid: String },
    /// Change properties; what is set already costs no commit.
    Set {
        uuid: String,
        #[arg(long)]
        entity_id: Option<String>,
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        tags: TagArgs,
    },
    /// Make the device.
    Activate {
        uuid: String,
        /// With disks missing: an array without the images on them, if it has all data without them.
        #[arg(long)]
        degraded: bool,
    },
    /// Give it another layout, online: copies of a linear one, more or fewer of them, or none.
    Convert {
        uuid: String,
        /// linear, or raid1:N for N images.
        #[arg(long)]
        layout: String,
    },
    /// Replace the images of an array that failed or whose disks are missing.
    Repair { uuid: String },
    /// Remove the device; the data stays.
    Deactivate { uuid: String },
    /// Have other hosts reach it over NVMe/TCP, by the kernel's target.
    Share {
        uuid: String,
        /// Where to listen; where it was shared before, or on port 8420 of this host's own address otherwise.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<String>,
        /// A host that may connect; may be given several times.  Any host without it.
        #[arg(long = "allow-host", value_name = "NQN")]
        allowed_hosts: Vec<String>,
    },
    /// Have no other host reach it any more.
    Unshare { uuid: String },
    /// Copy bytes of the replica to standard output.
    Read {
        uuid: String,
        offset: String,
        length: String,
    },
    /// Copy standard input to the replica.
    Write { uuid: String, offset: String },
    /// Show the I/O counters since activation.
    Stats { uuid: String },
    /// Compare the images of an array, and count the sectors that differ.
    Scrub {
        uuid: String,
        /// Make them equal.
        #[arg(long)]
        repair: bool,
    },
    /// Watch the arrays of a pool, or of all pools, until killed; each change of health is a line.
    Events {
        pool: Option<String>,
        /// End after the first change.
        #[arg(long)]
        once: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Zero {
    None,
    Head,
    Full,
}

#[derive(Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Take a snapshot of a replica, under I/O if it is active.
    Create {
        replica: String,
        uuid: String,
        #[arg(long)]
        name: String,
        /// The transaction of the volume's snapshot.
        #[arg(long)]
        txn: String,
        /// The volume that it belongs to.
        #[arg(long)]
        entity_id: String,
        /// Space for what is overwritten of a thick replica; a thin one needs none.
        #[arg(long)]
        size: Option<String>,
    },
    /// List all snapshots, or those of a replica.
    List { replica: Option<String> },
    /// Show one snapshot.
    Show { uuid: String },
    /// Give a thick replica's snapshot more space, online; the same size is success.
    Resize { uuid: String, size: String },
    /// Destroy a snapshot; its replica and clones stay.
    Destroy { uuid: String },
}

#[derive(Subcommand)]
pub(crate) enum CloneCommand {
    /// Make a clone of a snapshot, and activate it.
    Create {
        snapshot: String,
        uuid: String,
        #[arg(long)]
        name: String,
        /// The volume that it belongs to.
        #[arg(long)]
        entity_id: Option<String>,
    },
    /// List all clones, or those of a snapshot.
    List { snapshot: Option<String> },
}

#[derive(Subcommand)]
pub(crate) enum AdoptCommand {
    /// Show what adopting a logical volume would do, and why it would not; nothing is changed.
    Plan {
        #[arg(value_name = "VG/LV", value_parser = named_lv)]
        lv: NamedLv,
        /// What the replica is to be known by.
        #[arg(long)]
        uuid: String,
        /// Take a cache (dm-cache) off first, as apply would.
        #[arg(long)]
        uncache: bool,
    },
    /// Take a logical volume over as a replica, under I/O if it is in use; one that is that replica is success.
    Apply {
        #[arg(value_name = "VG/LV", value_parser = named_lv)]
        lv: NamedLv,
        /// What the replica is to be known by.
        #[arg(long)]
        uuid: String,
        /// Take a cache (dm-cache) off first: what it holds is written back, and the cache is removed.
        #[arg(long)]
        uncache: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum VolumeCommand {
    /// Make a volume over replicas that hold nothing that counts; it is not published.
    Create {
        uuid: String,
        size: String,
        /// nvmf://ADDRESS:PORT/NQN?uuid=UUID of one on a node, or bdev:///PATH?uuid=UUID of a device of this one; the first
        /// one's content becomes the volume's.
        #[arg(long = "replica", value_name = "URI", required = true)]
        replicas: Vec<String>,
    },
    /// Serve a volume on this host.
    Publish {
        uuid: String,
        #[arg(long = "replica", value_name = "URI", required = true)]
        replicas: Vec<String>,
        /// Replicas that cannot be asked have no newer writes, or these do not count.
        #[arg(long)]
        degraded: bool,
    },
    /// Show a volume that is published on this host.
    Status { uuid: String },
    /// Note what failed, take in what came back, and wait until it is in line.
    Heal {
        uuid: String,
        /// Fill this replica, though it may hold acknowledged writes of its own: they are lost.
        #[arg(long, value_name = "REPLICA")]
        discard: Vec<String>,
    },
    /// Look after a volume until killed, or for the seconds of --timeout; each change is a line.  What a lost replica does not take
    /// waits from then on until this or `heal` has noted it
    Monitor { uuid: String },
    /// End serving a volume on this host.
    Unpublish {
        uuid: String,
        /// First let I/O fail that waits for replicas which are lost, and those end who wait for it (see --timeout); of a write that
        /// waits nobody knows then whether it counts
        #[arg(long)]
        abandon: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum ThinCommand {
    /// Make the thin pool of a pool; success without a change if it exists so.
    Create {
        pool: String,
        size: String,
        /// How large it may become: chunks and metadata are made for that.
        #[arg(long, value_name = "SIZE")]
        max: Option<String>,
        /// How many snapshots and clones its metadata is made for.
        #[arg(long, value_name = "COUNT")]
        snapshots: Option<u32>,
        #[arg(long, value_name = "SIZE")]
        chunk_size: Option<String>,
        /// Size of the kernel's metadata.
        #[arg(long, value_name = "SIZE")]
        metadata_size: Option<String>,
        /// Do not zero chunks before their first use.
        #[arg(long)]
        no_zeroing: bool,
        #[arg(long, default_value = "passdown")]
        discards: DiscardWord,
        /// Fail writes at once when it is full.
        #[arg(long)]
        error_if_no_space: bool,
        /// How the data lie: linear, raid1:IMAGES or raid10:N[:STRIPE].
        #[arg(long, default_value = "linear")]
        layout: String,
    },
    /// Show the thin pool of a pool.
    Status {
        pool: String,
        #[command(flatten)]
        which: ThinPoolName,
    },
    /// Make the thin pool larger, under I/O; the size that it has is success.
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Extend {
        pool: String,
        /// Size of the data.
        #[arg(long, value_name = "SIZE", group = "what")]
        data: Option<String>,
        /// Size of the kernel's metadata.
        #[arg(long, value_name = "SIZE", group = "what")]
        metadata: Option<String>,
        #[command(flatten)]
        which: ThinPoolName,
    },
    /// Make the thin pool larger as it fills, until killed; each action is a line.
    Monitor {
        pool: String,
        #[command(flatten)]
        which: ThinPoolName,
        #[command(flatten)]
        policy: PolicyArgs,
        /// Look once, act, and show the thin pool.
        #[arg(long)]
        once: bool,
    },
}

/// Which of several thin pools.
#[derive(clap::Args)]
pub(crate) struct ThinPoolName {
    /// The name of the thin pool's LV; the pool's own, or the only one, otherwise.
    #[arg(long = "pool-lv", value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// When and how far a thin pool grows.
#[derive(clap::Args)]
pub(crate) struct PolicyArgs {
    /// Percent in use from which the data grow; 80 otherwise.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) threshold: Option<u32>,
    /// What the data grow by: a size, or a share; 20% otherwise.
    #[arg(long, value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// Size that the data never pass.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max: Option<String>,
    /// As --threshold, for the metadata; 70 otherwise.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) metadata_threshold: Option<u32>,
    /// As --step, for the metadata; 50% otherwise.
    #[arg(long, value_name = "STEP")]
    pub(crate) metadata_step: Option<String>,
    /// As --max, for the metadata.
    #[arg(long, value_name = "SIZE")]
    pub(crate) metadata_max: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum DiscardWord {
    Passdown,
    Nopassdown,
    Ignore,
}
