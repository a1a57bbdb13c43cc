use std::path::PathBuf;

use crate::{
    BlockIo, Cookie, DeviceId, DeviceMapper, DeviceNumber, DmName, DmUuid, Embedded, Error, OpenMode,
    ThinMetadata, UdevFlags,
};

/// Sectors of the images.
const SECTORS: u64 = 4096;

/// Images of metadata and data, which outlive the mapper.
struct Disks {
    _dir: tempfile::TempDir,
    paths: [PathBuf; 2],
}

impl Disks {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["meta", "data"].map(|name| dir.path().join(name));
        for path in &paths {
            std::fs::write(path, vec![0; 512 * SECTORS as usize]).unwrap();
        }
        Self { _dir: dir, paths }
    }

    /// What the metadata say on their image.
    fn read(&self) -> ThinMetadata {
        let image = std::fs::read(&self.paths[0]).unwrap();
        let read = ThinMetadata::read(&mut |at, block| {
            block.copy_from_slice(&image[usize::try_from(at).unwrap() * 4096..][..4096]);
            Ok(())
        });
        read.unwrap().unwrap()
    }
}

struct Rig<'d> {
    disks: &'d Disks,
    mapper: Embedded,
}

impl<'d> Rig<'d> {
    fn new(disks: &'d Disks) -> Self {
        let mapper = Embedded::with_thin_pools();
        Self { disks, mapper }
    }

    fn image(&self, at: usize) -> DeviceNumber {
        self.mapper.backing(&self.disks.paths[at]).unwrap()
    }

    fn device(&self, name: &str, table: &str) -> Result<DeviceNumber, Error> {
        let (name, uuid) = (DmName::new(name).unwrap(), DmUuid::new(name).unwrap());
        let number = self.mapper.create(&name, &uuid)?.number;
        self.map(number, table).map(|()| number)
    }

    fn map(&self, number: DeviceNumber, table: &str) -> Result<(), Error> {
        let id = DeviceId::Number(number);
        self.mapper.load(id, &table.parse()?, false)?;
        let resumed = self.mapper.resume(id, UdevFlags::empty(), &mut Cookie::none());
        resumed.map(drop)
    }

    fn remove(&self, name: &str) {
        let name = DmName::new(name).unwrap();
        let id = DeviceId::Name(&name);
        let removed = self
            .mapper
            .remove(id, false, UdevFlags::empty(), &mut Cookie::none());
        removed.unwrap();
    }

    /// A pool of 32 blocks of 64 KiB on the images.
    fn pool(&self) -> Result<DeviceNumber, Error> {
        let [metadata, data] = [self.image(0), self.image(1)];
        self.device(
            "pool",
            &format!("0 {SECTORS} thin-pool {metadata} {data} 128 0 0"),
        )
    }

    fn message(&self, pool: DeviceNumber, text: &str) -> Result<(), Error> {
        let answer = self.mapper.message(DeviceId::Number(pool), 0, text);
        answer.map(drop)
    }

    fn status(&self, number: DeviceNumber, noflush: bool) -> String {
        let lines = self.mapper.status(DeviceId::Number(number), noflush);
        lines.unwrap().remove(0).status
    }

    fn open(&self, number: DeviceNumber) -> Box<dyn BlockIo> {
        let opened = self.mapper.open(DeviceId::Number(number), OpenMode::ReadWrite);
        opened.unwrap()
    }
}

#[test]
fn a_pool_of_another_mapper_and_one_that_somebody_changed_are_refused() {
    let disks = Disks::new();
    let rig = Rig::new(&disks);
    let pool = rig.pool().unwrap();
    let other = Rig::new(&disks);
    assert_eq!(other.pool().unwrap_err().errno(), libc::EOPNOTSUPP);
    let old = std::fs::read(&disks.paths[0]).unwrap();
    rig.message(pool, "create_thin 1").unwrap();
    rig.remove("pool");
    rig.pool().unwrap();
    rig.remove("pool");
    std::fs::write(&disks.paths[0], old).unwrap();
    assert_eq!(rig.pool().unwrap_err().errno(), libc::EOPNOTSUPP);
}

#[test]
fn what_is_written_is_in_the_metadata_after_a_sync() {
    let disks = Disks::new();
    let rig = Rig::new(&disks);
    let pool = rig.pool().unwrap();
    rig.message(pool, "create_thin 1").unwrap();
    let thin = rig.device("thin", &format!("0 4096 thin {pool} 1")).unwrap();
    let io = rig.open(thin);
    io.write_at(200_000, &[1; 10]).unwrap();
    assert_eq!(disks.read().devices[&1].mapped, 0);
    let status = "0 54/512 1/32 - rw discard_passdown queue_if_no_space - 128 ";
    assert_eq!(rig.status(pool, true), status);
    io.sync().unwrap();
    let found = disks.read();
    assert_eq!(
        (found.devices[&1].mapped, found.data_used, found.metadata_used),
        (1, 1, 54)
    );
    // The first free block.
    let data = std::fs::read(&disks.paths[1]).unwrap();
    assert_eq!(data[200_000 - 3 * 65536..][..10], [1; 10]);
}

#[test]
fn a_kept_snapshot_of_the_metadata_keeps_blocks() {
    let disks = Disks::new();
    let rig = Rig::new(&disks);
    let pool = rig.pool().unwrap();
    rig.message(pool, "create_thin 1").unwrap();
    let thin = rig.device("thin", &format!("0 4096 thin {pool} 1")).unwrap();
    rig.open(thin).write_at(0, &[1; 70_000]).unwrap();
    rig.message(pool, "reserve_metadata_snap").unwrap();
    let status = rig.status(pool, false);
    let held: u64 = status.split(' ').nth(3).unwrap().parse().unwrap();
    rig.remove("thin");
    rig.message(pool, "delete 1").unwrap();
    assert_eq!(disks.read().data_used, 2);
    // The copy of the superblock is one, in its own place.
    let image = std::fs::read(&disks.paths[0]).unwrap();
    let copy = &image[usize::try_from(held).unwrap() * 4096..][..4096];
    assert_eq!(copy[8..16], held.to_le_bytes());
    assert_eq!(copy[32..40], image[32..40]);
    rig.message(pool, "release_metadata_snap").unwrap();
    assert_eq!(disks.read().data_used, 0);
}

#[test]
fn a_pool_whose_metadata_cannot_be_written_fails() {
    let disks = Disks::new();
    let rig = Rig::new(&disks);
    let (metadata, data) = (rig.image(0), rig.image(1));
    let linear = format!("0 {SECTORS} linear {metadata} 0");
    let below = rig.device("meta", &linear).unwrap();
    let table = format!("0 {SECTORS} thin-pool {below} {data} 128 0 0");
    let pool = rig.device("pool", &table).unwrap();
    rig.message(pool, "create_thin 1").unwrap();
    let thin = rig.device("thin", &format!("0 256 thin {pool} 1")).unwrap();
    let info = || rig.mapper.info(DeviceId::Number(pool)).unwrap().unwrap();
    let before = info().event_nr;
    rig.map(below, &format!("0 {SECTORS} error")).unwrap();
    let io = rig.open(thin);
    io.write_at(0, &[1]).unwrap();
    io.sync().unwrap_err();
    assert_eq!(info().event_nr, before + 1);
    for device in [pool, thin] {
        assert_eq!(rig.status(device, false), "Fail");
    }
    let error = io.read_at(0, &mut [0]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    let refused = rig.message(pool, "create_thin 2").unwrap_err();
    assert_eq!(refused.errno(), libc::EOPNOTSUPP);
}

#[test]
fn only_mappers_for_it_do_thin_targets() {
    let count = |mapper: &Embedded| {
        let targets = mapper.targets().unwrap();
        let thin = targets.iter().filter(|target| target.name.starts_with("thin"));
        thin.count()
    };
    let counts = (count(&Embedded::new()), count(&Embedded::with_thin_pools()));
    assert_eq!(counts, (0, 2));
}
