//! Thin pools: messages, tables, blocks, states.  A mapper in user space that refuses the targets is not asked.

use super::data::{below, pattern, read};
use super::{Bench, Check, Device, MIB, Outcome, becomes, refused, same};
use crate::{Backend, DeviceId, Error, SuspendFlags, ThinMetadata, ThinPoolMode, ThinPoolStatus};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "a thin pool takes the tables that the kernel takes",
        run: tables,
    },
    Check {
        name: "a thin pool answers messages as the kernel does",
        run: messages,
    },
    Check {
        name: "thin devices read zeroes, and what they were written",
        run: blocks,
    },
    Check {
        name: "a snapshot of a thin device stays as it was",
        run: snapshots,
    },
    Check {
        name: "a thin pool without space says so, and goes on with more",
        run: space,
    },
    Check {
        name: "a thin pool's metadata say what it says, and outlive its device",
        run: metadata,
    },
    Check {
        name: "a thin device reads its external origin",
        run: external,
    },
];

/// Sectors of a block, and its bytes.
const CHUNK: u64 = 128;
const BYTES: usize = 65536;

/// Does the mapper have the targets?  The kernel loads them when they are first used, and does not list them before.
fn has_thin(bench: &Bench) -> Result<bool, Error> {
    if bench.mapper.backend() != Backend::Embedded {
        return Ok(true);
    }
    let targets = bench.mapper.targets()?;
    Ok(targets.iter().any(|target| target.name == "thin-pool"))
}

/// A pool with its two devices: metadata of 2 MiB of zeroes, and data.
struct Pool<'b> {
    bench: &'b Bench,
    metadata: Device<'b>,
    data: Device<'b>,
    pool: Device<'b>,
}

impl<'b> Pool<'b> {
    /// A pool of so many blocks.
    fn new(bench: &'b Bench, blocks: u64, rest: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let metadata = bench.device("tmeta", &format!("0 {} linear A {MIB}", 2 * MIB))?;
        let io = metadata.open()?;
        io.zero(0, 8192)?;
        io.sync()?;
        drop(io);
        let data = bench.device("tdata", &format!("0 {} linear B {MIB}", blocks * CHUNK))?;
        let table = table(&metadata, &data, blocks, rest)?;
        let pool = bench.device("tpool", &table)?;
        Ok(Self {
            bench,
            metadata,
            data,
            pool,
        })
    }

    fn message(&self, text: &str) -> Result<(), Error> {
        let answer = self.bench.mapper.message(self.pool.id(), 0, text)?;
        assert_eq!(answer, None);
        Ok(())
    }

    fn status(&self) -> Result<ThinPoolStatus, Error> {
        let line = self.bench.mapper.status(self.pool.id(), false)?.remove(0);
        let read = ThinPoolStatus::parse(&line);
        read.ok_or_else(|| Error::BadTable(format!("no status of a pool: {:?}", line.status)))
    }

    fn thin(&self, id: u32, blocks: u64) -> Result<Device<'b>, Error> {
        let table = format!("0 {} thin {} {id}", blocks * CHUNK, self.pool.number()?);
        self.bench.device(&format!("thin-{id}"), &table)
    }

    /// What a table of text for a device of the pool is answered.
    fn load(&self, table: &str) -> Result<(), Error> {
        let (name, uuid) = self.bench.fresh("refused")?;
        self.bench.mapper.create(&name, &uuid)?;
        let id = DeviceId::Uuid(&uuid);
        let loaded = self.bench.mapper.load(id, &self.bench.table(table)?, false);
        self.bench.remove(id)?;
        loaded.map(drop)
    }

    /// The metadata as they are on their disk, by a device made for that, so that no cache answers.
    fn read(&self) -> Result<ThinMetadata, Box<dyn std::error::Error>> {
        let device = self
            .bench
            .device("tmeta-now", &format!("0 {} linear A {MIB}", 2 * MIB))?;
        let io = device.open()?;
        let read = ThinMetadata::read(&mut |at, block| io.read_at(at * 4096, block))?;
        drop(io);
        device.remove()?;
        read.ok_or_else(|| "the metadata are all zeroes".into())
    }

    fn remove(self) -> Result<(), Error> {
        self.pool.remove()?;
        self.data.remove()?;
        self.metadata.remove()
    }
}

fn table(metadata: &Device<'_>, data: &Device<'_>, blocks: u64, rest: &str) -> Result<String, Error> {
    let (metadata, data) = (metadata.number()?, data.number()?);
    Ok(format!(
        "0 {} thin-pool {metadata} {data} {CHUNK} {rest}",
        blocks * CHUNK
    ))
}

fn thin_status(device: &Device<'_>) -> Result<String, Error> {
    let line = device.bench.mapper.status(device.id(), false)?.remove(0);
    Ok(line.status.trim_end().to_string())
}

fn tables(bench: &Bench) -> Outcome {
    if !has_thin(bench)? {
        return Ok(());
    }
    let pool = Pool::new(bench, 16, "0 1 skip_block_zeroing")?;
    let (metadata, data, own) = (pool.metadata.number()?, pool.data.number()?, pool.pool.number()?);
    let mut table = bench.mapper.table(pool.pool.id(), false)?.to_string();
    same!(
        table.trim_end(),
        format!("0 2048 thin-pool {metadata} {data} 128 0 1 skip_block_zeroing")
    );
    pool.message("create_thin 1")?;
    table = format!("0 256 thin {own} 1");
    pool.load(&table)?;
    for (table, errno) in [
        (format!("0 256 thin {own} 2"), libc::ENODATA),
        (format!("0 256 thin {own} 16777216"), libc::EINVAL),
        (format!("0 256 thin {data} 1"), libc::EINVAL),
        // Metadata have one pool.
        (format!("0 2048 thin-pool {metadata} {data} 128 0 0"), libc::EBUSY),
        (format!("0 2048 thin-pool {metadata} A 128 0 0"), libc::EBUSY),
    ] {
        same!(
            (&table, pool.load(&table).err().map(|error| error.errno())),
            (&table, Some(errno))
        );
    }
    // The pool's own table: other features and numbers, but the same devices, and nothing else beside it.
    for (table, errno) in [
        (format!("0 2048 thin-pool {metadata} A 128 0 0"), libc::EBUSY),
        (format!("0 2048 thin-pool A {data} 128 0 0"), libc::EINVAL),
        (
            format!("0 2048 thin-pool {metadata} {data} 128 0 1 ignore_discard"),
            libc::EINVAL,
        ),
        (
            format!("0 2048 thin-pool {metadata} {data} 128 0 1 other"),
            libc::EINVAL,
        ),
        (
            format!("0 1024 thin-pool {metadata} {data} 128 0 0\n1024 1024 zero"),
            libc::EINVAL,
        ),
        ("0 2048 zero".to_string(), libc::EINVAL),
    ] {
        let loaded = pool.pool.load(&table);
        same!(
            (&table, loaded.err().map(|error| error.errno())),
            (&table, Some(errno))
        );
    }
    pool.pool.load(&format!(
        "0 2048 thin-pool {metadata} {data} 128 3 1 error_if_no_space"
    ))?;
    pool.pool.resume()?;
    same!(pool.status()?.error_if_no_space, true);
    bench.remove(pool.pool.id())?;
    // Blocks of other sizes, of those that can be and of those that cannot.
    for (chunk, errno) in [
        (64, libc::EINVAL),
        (192, libc::EINVAL),
        (256, libc::EINVAL),
        (1 << 22, libc::EINVAL),
    ] {
        let loaded = pool.load(&format!("0 2048 thin-pool {metadata} {data} {chunk} 0 0"));
        same!(
            (chunk, loaded.err().map(|error| error.errno())),
            (chunk, Some(errno))
        );
    }
    // No superblock, and none at all where nothing may be written.
    let table = format!("0 2048 thin-pool {metadata} {data} 128 0 0");
    for (magic, table, errno) in [
        (0x5a, &table, libc::EILSEQ),
        (0, &table.replace("128 0 0", "128 0 1 read_only"), libc::EPERM),
    ] {
        let io = pool.metadata.open()?;
        let mut superblock = [0; 4096];
        superblock[32] = magic;
        io.write_at(0, &superblock)?;
        io.sync()?;
        drop(io);
        let loaded = pool.load(table);
        same!(
            (table, loaded.err().map(|error| error.errno())),
            (table, Some(errno))
        );
    }
    pool.data.remove()?;
    pool.metadata.remove()?;
    Ok(())
}

fn messages(bench: &Bench) -> Outcome {
    if !has_thin(bench)? {
        return Ok(());
    }
    let pool = Pool::new(bench, 16, "0 0")?;
    pool.message("create_thin 0")?;
    pool.message("create_thin 16777215")?;
    pool.message("create_snap 7 0")?;
    pool.message("set_transaction_id 0 5")?;
    let thin = pool.thin(0, 4)?;
    for (text, errno) in [
        ("create_thin 0", libc::EEXIST),
        ("create_thin", libc::EINVAL),
        ("create_thin 1 2", libc::EINVAL),
        ("create_thin 16777216", libc::EINVAL),
        ("create_thin -1", libc::EINVAL),
        ("create_thin one", libc::EINVAL),
        ("create_snap 0 7", libc::EEXIST),
        ("create_snap 7 7", libc::EEXIST),
        ("create_snap 8 9", libc::ENODATA),
        ("create_snap 8", libc::EINVAL),
        ("delete 9", libc::ENODATA),
        ("delete 0", libc::EBUSY),
        ("delete", libc::EINVAL),
        ("set_transaction_id 4 6", libc::EINVAL),
        ("set_transaction_id 5", libc::EINVAL),
        ("release_metadata_snap", libc::EINVAL),
        ("reserve_metadata_snap now", libc::EINVAL),
        ("other", libc::EINVAL),
    ] {
        let refused = pool.message(text).err().map(|error| error.errno());
        same!((text, refused), (text, Some(errno)));
    }
    same!(pool.status()?.transaction_id, 5);
    pool.message("reserve_metadata_snap")?;
    refused!(pool.message("reserve_metadata_snap"), libc::EBUSY);
    pool.message("release_metadata_snap")?;
    // A staged table holds its device, too.
    let (name, uuid) = bench.fresh("staged")?;
    bench.mapper.create(&name, &uuid)?;
    let table = bench.table(&format!("0 128 thin {} 7", pool.pool.number()?))?;
    bench.mapper.load(DeviceId::Uuid(&uuid), &table, false)?;
    refused!(pool.message("delete 7"), libc::EBUSY);
    bench.mapper.clear(DeviceId::Uuid(&uuid))?;
    pool.message("delete 7")?;
    bench.remove(DeviceId::Uuid(&uuid))?;
    refused!(pool.message("delete 7"), libc::ENODATA);
    // While the pool is suspended it takes messages, but no new thin devices.
    thin.remove()?;
    bench.mapper.suspend(pool.pool.id(), SuspendFlags::SKIP_LOCKFS)?;
    pool.message("create_thin 9")?;
    refused!(
        pool.load(&format!("0 128 thin {} 9", pool.pool.number()?)),
        libc::EINVAL
    );
    pool.pool.resume()?;
    pool.load(&format!("0 128 thin {} 9", pool.pool.number()?))?;
    // A pool that is read-only takes none.
    let table = table_of(&pool, 16, "0 1 read_only")?;
    pool.pool.load(&table)?;
    pool.pool.resume()?;
    same!(pool.status()?.mode, ThinPoolMode::ReadOnly);
    refused!(pool.message("create_thin 3"), libc::EOPNOTSUPP);
    pool.remove()?;
    Ok(())
}

fn table_of(pool: &Pool<'_>, blocks: u64, rest: &str) -> Result<String, Error> {
    table(&pool.metadata, &pool.data, blocks, rest)
}

fn blocks(bench: &Bench) -> Outcome {
    if !has_thin(bench)? {
        return Ok(());
    }
    for rest in ["0 0", "0 1 skip_block_zeroing"] {
        let pool = Pool::new(bench, 32, rest)?;
        let io = pool.data.open()?;
        io.write_at(0, &pattern(3, 32 * BYTES))?;
        io.sync()?;
        drop(io);
        pool.message("create_thin 1")?;
        let thin = pool.thin(1, 64)?;
        same!(thin_status(&thin)?, "0 -");
        same!(pool.status()?.data_used, 0);
        let io = thin.open()?;
        same!(read(&*io, 0, 3 * BYTES)? == vec![0; 3 * BYTES], true);
        // Across three blocks, two of them in part.
        let data = pattern(4, BYTES + 8192);
        let at = 7 * BYTES - 4096;
        io.write_at(at as u64, &data)?;
        io.sync()?;
        same!(read(&*io, at as u64, data.len())? == data, true);
        same!(thin_status(&thin)?, "384 1151");
        same!(pool.status()?.data_used, 3);
        if rest == "0 0" {
            let around = read(&*io, 6 * BYTES as u64, 3 * BYTES)?;
            same!(around[..BYTES - 4096].iter().all(|byte| *byte == 0), true);
            same!(around[2 * BYTES + 4096..].iter().all(|byte| *byte == 0), true);
        }
        // Written again in place.
        io.write_at(at as u64, &data[1000..9000])?;
        io.sync()?;
        same!(pool.status()?.data_used, 3);
        drop(io);
        thin.remove()?;
        pool.message("delete 1")?;
        same!(pool.status()?.data_used, 0);
        pool.remove()?;
    }
    Ok(())
}

fn snapshots(bench: &Bench) -> Outcome {
    if !has_thin(bench)? {
        return Ok(());
    }
    let pool = Pool::new(bench, 32, "0 0")?;
    pool.message("create_thin 1")?;
    let origin = pool.thin(1, 8)?;
    let io = origin.open()?;
    let mut now = pattern(5, 4 * BYTES);
    io.write_at(0, &now)?;
    io.sync()?;
    bench.mapper.suspend(origin.id(), SuspendFlags::SKIP_LOCKFS)?;
    pool.message("create_snap 2 1")?;
    origin.resume()?;
    same!(pool.status()?.data_used, 4);
    let then = now.clone();
    // In part, which copies the rest, and a whole block.
    for (at, length) in [(100, 1000), (2 * BYTES, BYTES)] {
        let new = pattern(6 + at as u64, length);
        io.write_at(at as u64, &new)?;
        now[at..at + length].copy_from_slice(&new);
    }
    io.sync()?;
    same!(pool.status()?.data_used, 6);
    same!(thin_status(&origin)?, "512 511");
    let snapshot = pool.thin(2, 8)?;
    let of_snapshot = snapshot.open()?;
    same!(read(&*of_snapshot, 0, then.len())? == then, true);
    same!(read(&*io, 0, now.len())? == now, true);
    of_snapshot.write_at(5 * BYTES as u64, &[1; 512])?;
    of_snapshot.sync()?;
    same!(read(&*io, 5 * BYTES as u64, 512)?, [0; 512]);
    same!(thin_status(&snapshot)?, "640 767");
    same!(pool.status()?.data_used, 7);
    drop((io, of_snapshot));
    origin.remove()?;
    pool.message("delete 1")?;
    same!(pool.status()?.data_used, 5);
    // What nobody else has any more is still copied, once.
    let of_snapshot = snapshot.open()?;
    of_snapshot.write_at(0, &[2; 4096])?;
    of_snapshot.sync()?;
    same!(pool.status()?.data_used, 5);
    same!(read(&*of_snapshot, 4096, 4096)? == then[4096..8192], true);
    drop(of_snapshot);
    snapshot.remove()?;
    pool.message("delete 2")?;
    same!(pool.status()?.data_used, 0);
    pool.remove()?;
    Ok(())
}

fn space(bench: &Bench) -> Outcome {
    if !has_thin(bench)? {
        return Ok(());
    }
    let pool = Pool::new(bench, 4, "2 1 error_if_no_space")?;
    pool.message("create_thin 1")?;
    let thin = pool.thin(1, 64)?;
    let event_nr = || Ok::<_, Error>(pool.pool.info()?.event_nr);
    let start = event_nr()?;
    let write = |block: usize| -> std::io::Result<()> {
        let io = thin.open().map_err(std::io::Error::other)?;
        io.write_at((block * BYTES) as u64, &[7; BYTES])?;
        io.sync()
    };
    // The low water mark is told once, by the block that finds two left.
    write(0)?;
    write(1)?;
    same!(event_nr()?.wrapping_sub(start), 0);
    write(2)?;
    same!(event_nr()?.wrapping_sub(start), 1);
    write(3)?;
    same!(event_nr()?.wrapping_sub(start), 1);
    same!(pool.status()?.mode, ThinPoolMode::Write);
    same!(write(4).is_err(), true);
    same!(pool.status()?.mode, ThinPoolMode::OutOfDataSpace);
    same!(event_nr()?.wrapping_sub(start), 2);
    // What is there is still written, and messages are taken.
    write(3)?;
    pool.message("create_thin 2")?;
    // More space, by a larger table.
    pool.data.load(&format!("0 {} linear B {MIB}", 8 * CHUNK))?;
    pool.data.resume()?;
    bench.mapper.suspend(pool.pool.id(), SuspendFlags::SKIP_LOCKFS)?;
    pool.pool.load(&table_of(&pool, 8, "2 1 error_if_no_space")?)?;
    pool.pool.resume()?;
    let status = pool.status()?;
    same!(
        (status.mode, status.data_used, status.data_blocks),
        (ThinPoolMode::Write, 4, 8)
    );
    same!(event_nr()?.wrapping_sub(start), 3);
    write(4)?;
    // More metadata, too.
    let before = pool.status()?.metadata_blocks;
    same!(before, 512);
    pool.metadata.load(&format!("0 {} linear A {MIB}", 3 * MIB))?;
    pool.metadata.resume()?;
    bench.mapper.suspend(pool.pool.id(), SuspendFlags::SKIP_LOCKFS)?;
    pool.pool.resume()?;
    same!(pool.status()?.metadata_blocks, 768);
    // A pool does not shrink.
    let smaller = table_of(&pool, 4, "2 1 error_if_no_space")?;
    pool.pool.load(&smaller)?;
    refused!(pool.pool.resume(), libc::EINVAL);
    pool.pool.load(&table_of(&pool, 8, "2 1 error_if_no_space")?)?;
    pool.pool.resume()?;
    // Space that a deletion gives.
    for block in 5..8 {
        write(block)?;
    }
    same!(write(8).is_err(), true);
    same!(pool.status()?.mode, ThinPoolMode::OutOfDataSpace);
    pool.message("create_snap 3 1")?;
    thin.remove()?;
    pool.message("delete 1")?;
    same!(pool.status()?.mode, ThinPoolMode::OutOfDataSpace);
    pool.message("delete 3")?;
    same!(pool.status()?.mode, ThinPoolMode::Write);
    pool.remove()?;
    waits_for_space(bench)
}

/// Without `error_if_no_space` a write waits until there is space.
fn waits_for_space(bench: &Bench) -> Outcome {
    let pool = Pool::new(bench, 1, "0 0")?;
    pool.message("create_thin 1")?;
    let thin = pool.thin(1, 4)?;
    let io = thin.open()?;
    let writer = std::thread::spawn(move || io.write_at(0, &[9; 2 * BYTES]).and_then(|()| io.sync()));
    becomes("out of data space", || Ok(pool.status()?.mode.to_string()))?;
    pool.data.load(&format!("0 {} linear B {MIB}", 4 * CHUNK))?;
    pool.data.resume()?;
    pool.pool.load(&table_of(&pool, 4, "0 0")?)?;
    pool.pool.resume()?;
    writer.join().map_err(|_| "the writer panicked")??;
    same!(read(&*thin.open()?, 0, 2 * BYTES)? == [9; 2 * BYTES], true);
    thin.remove()?;
    pool.remove()?;
    Ok(())
}

fn metadata(bench: &Bench) -> Outcome {
    if !has_thin(bench)? {
        return Ok(());
    }
    let pool = Pool::new(bench, 16, "0 0")?;
    for id in 1..=200 {
        pool.message(&format!("create_thin {id}"))?;
    }
    let thin = pool.thin(5, 8)?;
    let io = thin.open()?;
    let data = pattern(8, 3 * BYTES);
    io.write_at(0, &data)?;
    io.sync()?;
    drop(io);
    thin.remove()?;
    pool.message("set_transaction_id 0 1")?;
    pool.message("create_snap 300 5")?;
    pool.message("delete 7")?;
    let (found, said) = (pool.read()?, pool.status()?);
    same!(
        (found.transaction_id, found.chunk, found.needs_check),
        (1, CHUNK, false)
    );
    same!(
        (found.data_used, found.data_blocks),
        (said.data_used, said.data_blocks)
    );
    same!((found.data_used, found.data_blocks), (3, 16));
    same!(
        (found.metadata_used, found.metadata_blocks),
        (said.metadata_used, said.metadata_blocks)
    );
    let ids: Vec<u32> = found.devices.keys().copied().collect();
    same!(
        ids,
        (1..=200).filter(|id| *id != 7).chain([300]).collect::<Vec<u32>>()
    );
    let of = |id: u32| {
        let device = found.devices.get(&id);
        device.map(|device| {
            (
                device.mapped,
                device.transaction_id,
                device.created,
                device.snapshotted,
            )
        })
    };
    same!(
        (of(4), of(5), of(300)),
        (Some((0, 0, 0, 0)), Some((3, 0, 0, 1)), Some((3, 1, 1, 1)))
    );
    // All is found again, by another device.
    let Pool {
        metadata,
        data: below,
        pool,
        ..
    } = pool;
    pool.remove()?;
    let table = table(&metadata, &below, 16, "0 0")?;
    let pool = Pool {
        bench,
        pool: bench.device("again", &table)?,
        metadata,
        data: below,
    };
    same!(pool.read()?.devices, found.devices);
    same!(pool.status()?.transaction_id, 1);
    let snapshot = pool.thin(300, 8)?;
    same!(read(&*snapshot.open()?, 0, data.len())? == data, true);
    snapshot.remove()?;
    pool.message("delete 5")?;
    same!(pool.read()?.devices.len(), 199);
    pool.remove()?;
    Ok(())
}

fn external(bench: &Bench) -> Outcome {
    if !has_thin(bench)? {
        return Ok(());
    }
    let pool = Pool::new(bench, 16, "0 0")?;
    // A block and a half.
    let origin = bench.device("external", &format!("0 192 linear A {}", 8 * MIB))?;
    let data = pattern(9, 96 * 1024);
    let io = origin.open()?;
    io.write_at(0, &data)?;
    io.sync()?;
    drop(io);
    pool.message("create_thin 1")?;
    let table = format!("0 512 thin {} 1 {}", pool.pool.number()?, origin.number()?);
    let thin = bench.device("thin", &table)?;
    let io = thin.open()?;
    let mut expected = data.clone();
    expected.resize(4 * BYTES, 0);
    same!(read(&*io, 0, expected.len())? == expected, true);
    for at in [4096, BYTES + 8192, 3 * BYTES + 512] {
        io.write_at(at as u64, &[3; 4096])?;
        expected[at..at + 4096].fill(3);
    }
    io.sync()?;
    same!(read(&*io, 0, expected.len())? == expected, true);
    drop(io);
    same!(thin_status(&thin)?, "384 511");
    thin.remove()?;
    origin.remove()?;
    pool.remove()?;
    same!(below(bench, "A", 8 * MIB, 192)? == data, true);
    Ok(())
}
