//! Volumes over image files: made, served, ended, and refused.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lvm_dm::{BlockIo, DeviceId, DeviceMapper, DmName, Embedded, OpenMode};
use lvm_pool::{Error, ReplicaState, ReplicaUri, State, System, VolumeInfo};
use tempfile::TempDir;
use uuid::Uuid;

const VOLUME: Uuid = Uuid::from_u128(0x99);
const MIB: u64 = 1 << 20;
const DATA_START: u64 = 5 * MIB;

/// A host with image files for replicas; what it maps dies with it.
struct Host {
    mapper: Arc<Embedded>,
    system: System,
}

fn host(dir: &TempDir) -> Host {
    let mapper = Arc::new(Embedded::new());
    let builder = System::embedded()
        .mapper(mapper.clone())
        .lock_dir(dir.path().join("lock"));
    Host {
        mapper,
        system: builder.build().unwrap(),
    }
}

fn image(dir: &TempDir, number: u128, size: u64) -> ReplicaUri {
    let path = path(dir, number);
    File::create(&path).unwrap().set_len(size).unwrap();
    let uuid = Uuid::from_u128(number);
    format!("bdev:///{}?uuid={uuid}", path.display()).parse().unwrap()
}

fn path(dir: &TempDir, number: u128) -> PathBuf {
    dir.path().join(format!("replica-{number}"))
}

/// Two replicas of a volume of 8 MiB.
fn made() -> (TempDir, Vec<ReplicaUri>) {
    let dir = tempfile::tempdir().unwrap();
    let replicas = vec![image(&dir, 1, 16 * MIB), image(&dir, 2, 16 * MIB)];
    let made = host(&dir)
        .system
        .create_volume(VOLUME, 8 * MIB, &replicas)
        .unwrap();
    assert_eq!((made.size, made.device, made.epoch), (8 * MIB, None, 1));
    (dir, replicas)
}

impl Host {
    fn open(&self) -> Box<dyn BlockIo> {
        let name = DmName::new(&format!("volume-{VOLUME}")).unwrap();
        self.mapper
            .open(DeviceId::Name(&name), OpenMode::ReadWrite)
            .unwrap()
    }

    fn publish(&self, replicas: &[ReplicaUri]) -> Result<VolumeInfo, Error> {
        self.system.publish_volume(VOLUME, replicas, false)
    }

    fn devices(&self) -> usize {
        self.mapper.list().unwrap().len()
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().kind()
}

fn data_at(path: &Path, at: u64) -> [u8; 4] {
    use std::os::unix::fs::FileExt;
    let mut bytes = [0; 4];
    File::open(path)
        .unwrap()
        .read_exact_at(&mut bytes, DATA_START + at)
        .unwrap();
    bytes
}

#[test]
fn what_is_written_is_on_every_replica_from_five_mebibytes_on() {
    let (dir, replicas) = made();
    let host = host(&dir);
    let served = host.publish(&replicas).unwrap();
    assert_eq!(
        (served.state, served.epoch, served.size),
        (State::Online, 2, 8 * MIB)
    );
    let device = host.open();
    device.write_at(4096, b"data").unwrap();
    device.sync().unwrap();
    drop(device);
    assert_eq!(
        host.publish(&replicas).unwrap(),
        served,
        "what is published is published"
    );
    host.system.unpublish_volume(VOLUME).unwrap();
    host.system.unpublish_volume(VOLUME).unwrap();
    assert_eq!(host.devices(), 0);
    for number in [1, 2] {
        assert_eq!(&data_at(&path(&dir, number), 4096), b"data");
    }
    assert_eq!(kind(host.system.volume(VOLUME)), "NotPublished");
}

#[test]
fn a_host_that_was_superseded_does_not_take_the_volume_for_published() {
    let (dir, replicas) = made();
    let (old, new) = (host(&dir), host(&dir));
    old.publish(&replicas).unwrap();
    new.publish(&replicas).unwrap();
    assert_eq!(kind(old.publish(&replicas)), "Superseded");
    assert!(old.open().write_at(0, b"data").is_err());
    new.open().write_at(0, b"data").unwrap();
    old.system.unpublish_volume(VOLUME).unwrap();
    new.system.unpublish_volume(VOLUME).unwrap();
    assert_eq!(&data_at(&path(&dir, 1), 0), b"data");
}

#[test]
fn a_volume_in_use_is_not_unpublished_and_its_users_have_time_to_end_when_it_is_abandoned() {
    let (dir, replicas) = made();
    let host = host(&dir);
    host.publish(&replicas).unwrap();
    let device = host.open();
    assert_eq!(kind(host.system.unpublish_volume(VOLUME)), "Busy");
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            drop(device);
        });
        host.system.abandon_volume(VOLUME).unwrap();
        host.system.unpublish_volume(VOLUME).unwrap();
    });
    assert_eq!(host.devices(), 0);
}

#[test]
fn a_volume_whose_host_died_is_served_again_when_all_replicas_are_there() {
    let (dir, replicas) = made();
    let first = host(&dir);
    first.publish(&replicas).unwrap();
    first.open().write_at(0, b"data").unwrap();
    drop(first);
    let second = host(&dir);
    let served = second.publish(&replicas).unwrap();
    assert_eq!((served.state, served.epoch), (State::Online, 3));
    let mut bytes = [0; 4];
    second.open().read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"data");
}

#[test]
fn one_of_two_replicas_serves_only_by_the_callers_word() {
    let (dir, replicas) = made();
    let first = host(&dir);
    first.publish(&replicas).unwrap();
    drop(first);
    let second = host(&dir);
    assert_eq!(kind(second.publish(&replicas[..1])), "NeedsDegraded");
    assert_eq!(second.devices(), 0);
    let served = second
        .system
        .publish_volume(VOLUME, &replicas[..1], true)
        .unwrap();
    assert_eq!(served.state, State::Degraded);
    let states: Vec<ReplicaState> = served.replicas.iter().map(|replica| replica.state).collect();
    assert_eq!(states[0], ReplicaState::Online);
    assert_ne!(states[1], ReplicaState::Online);
    second.system.unpublish_volume(VOLUME).unwrap();
    // Now that the first one is known to be ahead, it serves without a word; the other never alone.
    assert_eq!(second.publish(&replicas[..1]).unwrap().state, State::Degraded);
    second.system.unpublish_volume(VOLUME).unwrap();
    assert_eq!(kind(second.publish(&replicas[1..])), "NeedsDegraded");
}

#[test]
fn sides_that_were_written_alone_are_not_put_together() {
    let (dir, replicas) = made();
    for side in [&replicas[..1], &replicas[1..]] {
        let host = host(&dir);
        host.system.publish_volume(VOLUME, side, true).unwrap();
        host.open().write_at(0, b"mine").unwrap();
    }
    let host = host(&dir);
    assert_eq!(kind(host.publish(&replicas)), "SplitBrain");
    assert_eq!(
        kind(host.system.publish_volume(VOLUME, &replicas, true)),
        "SplitBrain"
    );
    assert_eq!(host.devices(), 0);
    // Whose writes count is the caller's to say; the other is left as it is.
    assert_eq!(host.publish(&replicas[1..]).unwrap().state, State::Degraded);
}

#[test]
fn sides_that_were_written_alone_and_unpublished_are_not_put_together() {
    let (dir, replicas) = made();
    let host = host(&dir);
    host.publish(&replicas).unwrap();
    host.system.unpublish_volume(VOLUME).unwrap();
    for side in [&replicas[..1], &replicas[1..]] {
        host.system.publish_volume(VOLUME, side, true).unwrap();
        host.open().write_at(0, b"mine").unwrap();
        host.system.unpublish_volume(VOLUME).unwrap();
    }
    assert_eq!(kind(host.publish(&replicas)), "SplitBrain");
}

#[test]
fn what_cannot_carry_a_volume_is_refused_before_it_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (small, large) = (image(&dir, 1, 13 * MIB), image(&dir, 2, 16 * MIB));
    let host = host(&dir);
    let create = |replicas: &[ReplicaUri]| host.system.create_volume(VOLUME, 8 * MIB, replicas);
    assert_eq!(kind(create(&[large.clone(), small])), "ReplicaMismatch");
    assert_eq!(kind(create(&[])), "InvalidArgument");
    assert_eq!(kind(create(&[large.clone(), large.clone()])), "InvalidArgument");
    let gone = format!(
        "bdev:///{}/gone?uuid={}",
        dir.path().display(),
        Uuid::from_u128(3)
    );
    assert_eq!(
        kind(create(&[large.clone(), gone.parse().unwrap()])),
        "Unreachable"
    );
    assert!(
        std::fs::read(path(&dir, 2))
            .unwrap()
            .iter()
            .all(|byte| *byte == 0)
    );
    assert_eq!(kind(host.publish(std::slice::from_ref(&large))), "VolumeNotFound");
    create(std::slice::from_ref(&large)).unwrap();
    assert_eq!(kind(create(std::slice::from_ref(&large))), "AlreadyExists");
    let other = host
        .system
        .create_volume(Uuid::from_u128(5), 8 * MIB, std::slice::from_ref(&large));
    assert_eq!(kind(other), "ReplicaMismatch");
    assert_eq!(
        kind(host.system.publish_volume(Uuid::from_u128(5), &[large], true)),
        "ReplicaMismatch"
    );
}

#[test]
fn a_damaged_record_takes_its_replica_out_and_no_other() {
    use std::os::unix::fs::FileExt;
    let (dir, replicas) = made();
    let first = host(&dir);
    first.publish(&replicas).unwrap();
    first.system.unpublish_volume(VOLUME).unwrap();
    let file = File::options().write(true).open(path(&dir, 1)).unwrap();
    for slot in [512 << 10, 768 << 10] {
        file.write_all_at(&[0xff; 64], slot + 40).unwrap();
    }
    assert_eq!(kind(first.publish(&replicas)), "NeedsDegraded");
    let served = first.system.publish_volume(VOLUME, &replicas, true).unwrap();
    assert_eq!(served.replicas[1].state, ReplicaState::Online);
    // Nobody knows what is on it: that is given up only by the caller's word.
    let heal = |discard: &[Uuid]| first.system.heal_volume(VOLUME, discard, &mut |_| {}).unwrap();
    let healed = heal(&[]);
    assert_eq!(healed.replicas[0].state, ReplicaState::Diverged, "{healed:?}");
    let healed = heal(&[replicas[0].uuid]);
    assert_eq!(healed.state, State::Online, "{healed:?}");
}

/// What the kernel would have noted of an image of two: nothing failed, and writes may be under way in these regions.
fn note_dirty(dir: &TempDir, number: u128, dirty: &[usize]) {
    use std::os::unix::fs::FileExt;
    let file = File::options().write(true).open(path(dir, number)).unwrap();
    let mut superblock = [0; 512];
    superblock[..4].copy_from_slice(b"DmRd");
    superblock[8] = 2;
    superblock[12] = number as u8 - 1;
    superblock[16] = 5;
    superblock[32..40].fill(0xff);
    file.write_all_at(&superblock, MIB).unwrap();
    let mut bitmap = [0; 512];
    bitmap[..4].copy_from_slice(b"bitm");
    bitmap[4] = 4;
    bitmap[24] = 5;
    bitmap[52..56].copy_from_slice(&(512_u32 << 10).to_le_bytes());
    dirty
        .iter()
        .for_each(|region| bitmap[256 + region / 8] |= 1 << (region % 8));
    file.write_all_at(&bitmap, MIB + 4096).unwrap();
}

#[test]
fn what_was_under_way_when_the_host_died_is_made_the_same_on_all_replicas() {
    use std::os::unix::fs::FileExt;
    let (dir, replicas) = made();
    let first = host(&dir);
    first.publish(&replicas).unwrap();
    drop(first);
    note_dirty(&dir, 1, &[15]);
    note_dirty(&dir, 2, &[2]);
    let (two, fifteen, nine) = (2 * MIB / 2 + 8192, 8 * MIB - 4, 9 * MIB / 2);
    for number in [1, 2] {
        let file = File::options().write(true).open(path(&dir, number)).unwrap();
        for at in [two, fifteen, nine] {
            file.write_all_at(&[number as u8; 4], DATA_START + at).unwrap();
        }
    }
    let second = host(&dir);
    assert_eq!(second.publish(&replicas).unwrap().state, State::Online);
    let of = |number: u128| [two, fifteen, nine].map(|at| data_at(&path(&dir, number), at)[0]);
    assert_eq!(of(1), [1, 1, 1]);
    assert_eq!(of(2), [1, 1, 2], "only where the bitmaps tell of writes");
}
