//! A volume over two replicas of this very host, which reaches them as another host would.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use lvm_native::pool::{CreateReplica, ReplicaUri, ShareReplica};
use uuid::Uuid;

use super::check::check_stamps;
use super::model::{Data, MIB, SLOT};
use super::random::block;
use super::world::World;
use super::{Outcome, told};

/// Bytes of each replica, and of the volume, which leaves room for its record.
const REPLICA: u64 = 8 * MIB;
const VOLUME: u64 = 2 * MIB;

/// Makes one, writes to it, has it served anew, reads all of it, and gives the replicas back.
pub(crate) fn volume(world: &mut World) -> Outcome<()> {
    if !world.place.is_kernel() {
        return Ok(());
    }
    let (volume, pair) = (world.new_uuid(), [world.new_uuid(), world.new_uuid()]);
    let Some(uris) = replicas(world, pair)? else {
        return Ok(());
    };
    world.note(format!("volume {volume} of {pair:?}"));
    let system = world.system().clone();
    system.create_volume(volume, VOLUME, &uris).map_err(told)?;
    let published = system.publish_volume(volume, &uris, false).map_err(told)?;
    let device = published.device.ok_or("a published volume has no device")?;
    let data = write(world, &device)?;
    system.heal_volume(volume, &[], &mut |_| ()).map_err(told)?;
    system.unpublish_volume(volume).map_err(told)?;
    // By one of them alone, which has every write.
    let other = world.random.below(2);
    let some = if world.random.once_in(2) {
        &uris[..]
    } else {
        &uris[other..=other]
    };
    let degraded = some.len() < uris.len();
    world.note(format!("serve it anew by {} of them", some.len()));
    let published = system.publish_volume(volume, some, degraded).map_err(told)?;
    let device = published.device.ok_or("a published volume has no device")?;
    let wrong = |error| format!("{}: {error}", device.display());
    let file = File::open(&device).map_err(wrong)?;
    let read = |at, found: &mut [u8]| file.read_exact_at(found, at).map_err(wrong);
    check_stamps(&format!("volume {volume}"), &data, read)?;
    drop(file);
    system.unpublish_volume(volume).map_err(told)?;
    for uuid in pair {
        world.pool()?.destroy_replica(uuid).map_err(told)?;
    }
    Ok(())
}

/// Two replicas that are shared; `None` if there is no room for them.
fn replicas(world: &mut World, pair: [Uuid; 2]) -> Outcome<Option<Vec<ReplicaUri>>> {
    // Each by itself, as its head is zeroed then: what is left of others would be taken for a record.
    for (number, uuid) in pair.into_iter().enumerate() {
        let made = world.pool()?.create_replica(&CreateReplica::new(uuid, REPLICA));
        if world.judge(made, &["NoSpace"])?.is_none() {
            for made in pair.into_iter().take(number) {
                world.pool()?.destroy_replica(made).map_err(told)?;
            }
            return Ok(None);
        }
    }
    let request = ShareReplica {
        listen: "127.0.0.1:8420".parse().ok(),
        allowed_hosts: Vec::new(),
    };
    let shared = pair.map(|uuid| {
        let shared = world.pool()?.share_replica(uuid, &request).map_err(told)?;
        let uri = shared.share_uri;
        uri.ok_or_else(|| format!("{uuid} was shared and is not reached"))
    });
    shared.into_iter().collect::<Outcome<Vec<_>>>().map(Some)
}

fn write(world: &mut World, device: &PathBuf) -> Outcome<Data> {
    let wrong = |error| format!("{}: {error}", device.display());
    let file = File::options().read(true).write(true).open(device);
    let file = file.map_err(wrong)?;
    let mut data = Data::new();
    for _ in 0..6 {
        let slot = world.random.next() % (VOLUME / SLOT);
        let stamp = world.random.next() | 1;
        file.write_all_at(&block(stamp), slot * SLOT).map_err(wrong)?;
        data.insert(slot, stamp);
    }
    file.sync_all().map_err(wrong)?;
    Ok(data)
}
