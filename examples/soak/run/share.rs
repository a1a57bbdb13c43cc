//! Replicas are shared, with other hosts than before, and shared no more.

use lvm_native::pool::{Nqn, ShareReplica};

use super::world::World;
use super::{Outcome, told};

pub(crate) fn share(world: &mut World) -> Outcome<()> {
    let Some(uuid) = world.some(|_| true) else {
        return Ok(());
    };
    let replica = world.model.replicas.get(&uuid);
    let is_active = replica.is_some_and(|replica| replica.active);
    if replica.is_some_and(|replica| replica.shared.is_some()) && world.random.once_in(2) {
        world.note(format!("unshare {uuid}"));
        let info = world.pool()?.unshare_replica(uuid).map_err(told)?;
        world.learn_shared(uuid, None);
        return match info.shared {
            true => Err(format!("{uuid} is shared after it was unshared")),
            false => Ok(()),
        };
    }
    let mut request = ShareReplica::default();
    let port = 8420 + world.random.below(3);
    request.listen = format!("127.0.0.1:{port}").parse().ok();
    for number in 0..3 {
        if world.random.once_in(2) {
            let host = Nqn::of_node(&format!("host-{number}")).map_err(told)?;
            request.allowed_hosts.push(host);
        }
    }
    world.note(format!("share {uuid}, active: {is_active}, {request:?}"));
    let shared = world.pool()?.share_replica(uuid, &request);
    let may: &[&str] = if is_active { &[] } else { &["NotActive"] };
    if let Some(info) = world.judge(shared, may)? {
        let hosts = request.allowed_hosts.iter().map(ToString::to_string);
        world.learn_shared(uuid, Some(hosts.collect()));
        if info.share_uri.is_none() {
            return Err(format!("{uuid} was shared and is not reached: {info:?}"));
        }
    }
    Ok(())
}

impl World {
    fn learn_shared(&mut self, uuid: uuid::Uuid, hosts: Option<Vec<String>>) {
        if let Some(replica) = self.model.replicas.get_mut(&uuid) {
            replica.shared = hosts;
        }
    }
}
