//! The life of devices: names, tables, states.

use super::{Bench, Check, MIB, Outcome, becomes, refused, refuses, same};
use crate::{DeviceId, DmName, DmUuid, NodeMode, OpenMode, SuspendFlags, UdevFlags};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "the interface is version 4 and has the linear target",
        run: version,
    },
    Check {
        name: "a new device has no table and is found by name, uuid and number",
        run: new_device,
    },
    Check {
        name: "a taken name or uuid is busy",
        run: taken_names,
    },
    Check {
        name: "a device has the minor number that it asks for, unless another one has it",
        run: chosen_minor,
    },
    Check {
        name: "a device that is not there is told by every command",
        run: unknown_device,
    },
    Check {
        name: "a table is staged, mapped, shown and replaced",
        run: life_cycle,
    },
    Check {
        name: "a staged table can be dropped",
        run: clear,
    },
    Check {
        name: "a device is renamed, with its node, and keeps uuid and number",
        run: rename,
    },
    Check {
        name: "a uuid is set once",
        run: uuid_once,
    },
    Check {
        name: "tables that cannot be are refused, and change nothing",
        run: bad_tables,
    },
    Check {
        name: "a device that is used by another is busy and counted as open",
        run: stacked,
    },
    Check {
        name: "an open device is busy until it is closed",
        run: busy,
    },
    Check {
        name: "a deferred removal waits for the last user and can be taken back",
        run: deferred,
    },
    Check {
        name: "names that udev does not take are mangled",
        run: mangled,
    },
    Check {
        name: "a hundred devices are made and removed by two cookies",
        run: many,
    },
];

fn version(bench: &Bench) -> Outcome {
    same!(bench.mapper.version()?.major, 4);
    let targets = bench.mapper.targets()?;
    same!(targets.iter().any(|target| target.name == "linear"), true);
    Ok(())
}

fn new_device(bench: &Bench) -> Outcome {
    let (name, uuid) = bench.fresh("new")?;
    let info = bench.mapper.create(&name, &uuid)?;
    same!(&info.name, &name);
    same!(
        (info.live_table, info.inactive_table, info.target_count),
        (false, false, 0)
    );
    same!((info.open_count, info.suspended), (0, false));
    for id in [
        DeviceId::Name(&name),
        DeviceId::Uuid(&uuid),
        DeviceId::Number(info.number),
    ] {
        let found = bench.mapper.info(id)?.ok_or("not found")?;
        same!((&found.name, found.uuid.as_ref()), (&name, Some(&uuid)));
        same!((found.number, found.suspended), (info.number, info.suspended));
        same!(bench.mapper.deps(id)?, []);
        same!(bench.mapper.table(id, false)?.lines(), []);
        same!(bench.mapper.table(id, true)?.lines(), []);
        same!(bench.mapper.status(id, true)?, []);
    }
    let listed = bench.mapper.list()?;
    let entry = listed
        .iter()
        .find(|entry| entry.number == info.number)
        .ok_or("not listed")?;
    same!((&entry.name, entry.uuid.as_ref()), (&name, Some(&uuid)));
    bench.remove(DeviceId::Number(info.number))?;
    same!(bench.mapper.info(DeviceId::Uuid(&uuid))?, None);
    Ok(())
}

fn taken_names(bench: &Bench) -> Outcome {
    let (name, uuid) = bench.fresh("one")?;
    let (other_name, other_uuid) = bench.fresh("two")?;
    bench.mapper.create(&name, &uuid)?;
    refused!(bench.mapper.create(&name, &other_uuid), libc::EBUSY);
    refused!(bench.mapper.create(&other_name, &uuid), libc::EBUSY);
    same!(bench.mapper.info(DeviceId::Name(&other_name))?, None);
    bench.remove(DeviceId::Name(&name))?;
    Ok(())
}

fn chosen_minor(bench: &Bench) -> Outcome {
    let mapper = &bench.mapper;
    if mapper.backend() == crate::Backend::Stratis {
        return Ok(());
    }
    let (name, uuid) = bench.fresh("one")?;
    let (other, other_uuid) = bench.fresh("two")?;
    let minor = 77_777;
    same!(mapper.create_at(&name, &uuid, minor)?.number.minor, minor);
    refused!(mapper.create_at(&other, &other_uuid, minor), libc::EBUSY);
    refused!(mapper.create_at(&other, &other_uuid, 1 << 20), libc::EINVAL);
    same!(mapper.info(DeviceId::Name(&other))?, None);
    // Others get theirs as before.
    mapper.create(&other, &other_uuid)?;
    bench.remove(DeviceId::Name(&other))?;
    bench.remove(DeviceId::Name(&name))?;
    same!(mapper.create_at(&other, &other_uuid, minor)?.number.minor, minor);
    bench.remove(DeviceId::Name(&other))?;
    Ok(())
}

fn unknown_device(bench: &Bench) -> Outcome {
    let (name, uuid) = bench.fresh("absent")?;
    let (other, _) = bench.fresh("absent-too")?;
    let mapper = &bench.mapper;
    let id = DeviceId::Uuid(&uuid);
    let table = bench.table("0 8 zero")?;
    let none = UdevFlags::empty();
    same!(mapper.info(id)?, None);
    refused!(mapper.load(id, &table, false), libc::ENXIO);
    refused!(mapper.clear(id), libc::ENXIO);
    refused!(mapper.suspend(id, SuspendFlags::empty()), libc::ENXIO);
    refused!(bench.batch(|cookie| mapper.resume(id, none, cookie)), libc::ENXIO);
    refused!(
        bench.batch(|cookie| mapper.rename(&name, &other, none, cookie)),
        libc::ENXIO
    );
    refused!(mapper.set_uuid(&name, &uuid), libc::ENXIO);
    refused!(bench.remove(id), libc::ENXIO);
    refused!(mapper.table(id, false), libc::ENXIO);
    refused!(mapper.status(id, true), libc::ENXIO);
    refused!(mapper.deps(id), libc::ENXIO);
    refused!(mapper.message(id, 0, "hello"), libc::ENXIO);
    refused!(mapper.wait(id, 0, super::LONG), libc::ENXIO);
    refused!(mapper.open(id, OpenMode::ReadOnly), libc::ENXIO);
    Ok(())
}

fn life_cycle(bench: &Bench) -> Outcome {
    let device = bench.device("linear", "0 2048 linear A 0")?;
    let (mapper, id) = (&bench.mapper, device.id());
    let info = device.info()?;
    same!(
        (info.live_table, info.inactive_table, info.suspended),
        (true, false, false)
    );
    same!((info.target_count, info.read_only), (1, false));
    let first = bench.table("0 2048 linear A 0")?;
    same!(mapper.table(id, false)?, first.clone());
    same!(mapper.deps(id)?, [bench.disks[0]]);
    let status = mapper.status(id, false)?;
    same!(
        (
            status.len(),
            status[0].length,
            status[0].kind.as_str(),
            status[0].status.as_str()
        ),
        (1, 2048, "linear", "")
    );

    let second = "0 2048 linear A 0\n2048 4096 striped 2 8 A 4096 B 4096\n6144 8 zero\n6152 8 error";
    same!(device.load(second)?.inactive_table, true);
    let second = bench.table(second)?;
    same!(mapper.table(id, false)?, first);
    same!(mapper.table(id, true)?, second.clone());
    for flags in [
        SuspendFlags::empty(),
        SuspendFlags::SKIP_LOCKFS | SuspendFlags::NOFLUSH,
    ] {
        same!(mapper.suspend(id, flags)?.suspended, true);
    }
    let info = device.resume()?;
    same!(
        (info.suspended, info.inactive_table, info.target_count),
        (false, false, 4)
    );
    same!(mapper.table(id, false)?, second);
    same!(mapper.table(id, true)?.lines(), []);
    let mut disks = bench.disks;
    disks.sort_unstable();
    let mut deps = mapper.deps(id)?;
    deps.sort_unstable();
    same!(deps, disks);
    let striped = mapper.status(id, true)?[1].status.clone();
    let [a, b] = bench.disks;
    same!(striped, format!("2 {a} {b} 1 AA"));
    // A table that shrinks, and one that is loaded and mapped without a suspend.
    mapper.suspend(id, SuspendFlags::SKIP_LOCKFS)?;
    device.load("0 8 zero")?;
    device.resume()?;
    same!(device.open()?.size()?, 4096);
    device.remove()?;
    Ok(())
}

fn clear(bench: &Bench) -> Outcome {
    let device = bench.device("clear", "0 8 zero")?;
    device.load("0 16 zero")?;
    let info = bench.mapper.clear(device.id())?;
    same!((info.live_table, info.inactive_table), (true, false));
    same!(bench.mapper.table(device.id(), true)?.lines(), []);
    device.resume()?;
    same!(device.open()?.size()?, 4096);
    device.remove()?;
    Ok(())
}

fn rename(bench: &Bench) -> Outcome {
    let mut device = bench.device("old", "0 8 zero")?;
    let other = bench.device("other", "0 8 zero")?;
    let (new, _) = bench.fresh("new")?;
    let number = device.number()?;
    let rename = |name: &DmName, new: &DmName| {
        bench.batch(|cookie| bench.mapper.rename(name, new, UdevFlags::empty(), cookie))
    };
    refused!(rename(&device.name, &other.name), libc::EBUSY);
    same!(device.info()?.name, device.name.clone());
    rename(&device.name, &new)?;
    let info = device.info()?;
    same!((&info.name, info.number), (&new, number));
    same!(bench.mapper.info(DeviceId::Name(&device.name))?, None);
    same!(node(bench, &device.name), false);
    same!(node(bench, &new), bench.mapper.node_mode() != NodeMode::None);
    device.name = new;
    // While it is suspended, as LVM does.
    bench.mapper.suspend(device.id(), SuspendFlags::SKIP_LOCKFS)?;
    let (newer, _) = bench.fresh("newer")?;
    bench.batch(|cookie| {
        bench
            .mapper
            .rename(&device.name, &newer, UdevFlags::empty(), cookie)?;
        bench.mapper.resume(device.id(), UdevFlags::empty(), cookie)
    })?;
    same!(node(bench, &newer), bench.mapper.node_mode() != NodeMode::None);
    same!(node(bench, &device.name), false);
    device.remove()?;
    same!(node(bench, &newer), false);
    other.remove()?;
    Ok(())
}

/// Is there anything of that name in `/dev/mapper`?
fn node(bench: &Bench, name: &DmName) -> bool {
    std::fs::symlink_metadata(bench.dev.join("mapper").join(name.as_str())).is_ok()
}

fn uuid_once(bench: &Bench) -> Outcome {
    let device = bench.device("uuid", "0 8 zero")?;
    let (_, other) = bench.fresh("other")?;
    refused!(bench.mapper.set_uuid(&device.name, &other), libc::EINVAL);
    refused!(bench.mapper.set_uuid(&device.name, &device.uuid), libc::EBUSY);
    device.remove()?;
    Ok(())
}

fn bad_tables(bench: &Bench) -> Outcome {
    let device = bench.device("bad", "0 8 zero")?;
    for bad in [
        "0 8 linear A 1000000000000",
        "0 8 striped 2 0 A 0 B 0",
        "0 8 striped 2 8 A 0 B 0",
        "0 12 striped 2 4 A 0 B 0",
        "0 8 zero\n9 8 zero",
        "1 8 zero",
        "0 0 zero",
        "0 18014398509481985 zero",
        "",
    ] {
        refuses(&device, bad).map_err(|why| format!("{bad:?}: {why}"))?;
    }
    refused!(
        device.load("0 8 no-such-target 1 2"),
        libc::EINVAL | libc::EOPNOTSUPP
    );
    refused!(
        device.load("0 8 linear 4095:1048575 0"),
        libc::EINVAL | libc::ENXIO
    );
    // A device's first table is refused at once.
    let (name, uuid) = bench.fresh("first")?;
    bench.mapper.create(&name, &uuid)?;
    let first = bench.table("0 8 linear B 9999999999")?;
    refused!(
        bench.mapper.load(DeviceId::Uuid(&uuid), &first, false),
        libc::EINVAL
    );
    bench.remove(DeviceId::Uuid(&uuid))?;
    let info = device.info()?;
    same!((info.inactive_table, info.target_count), (false, 1));
    device.remove()?;
    Ok(())
}

fn stacked(bench: &Bench) -> Outcome {
    let below = bench.device("below", "0 2048 linear A 0")?;
    let number = below.number()?;
    let above = bench.device("above", &format!("0 1024 linear {number} 1024"))?;
    same!(bench.mapper.deps(above.id())?, [number]);
    same!(below.info()?.open_count, 1);
    refused!(bench.remove(below.id()), libc::EBUSY);
    // A table past the end of the device below is refused until that has grown, and is live.
    let table = format!("0 4096 linear {number} 0");
    refuses(&above, &table)?;
    below.load("0 4096 linear A 0")?;
    refuses(&above, &table)?;
    below.resume()?;
    above.load(&table)?;
    above.resume()?;
    same!(above.open()?.size()?, MIB * 2 * 512);
    above.remove()?;
    same!(below.info()?.open_count, 0);
    below.remove()?;
    Ok(())
}

fn busy(bench: &Bench) -> Outcome {
    let device = bench.device("open", "0 8 zero")?;
    let opened = device.open()?;
    same!(device.info()?.open_count, 1);
    refused!(bench.remove(device.id()), libc::EBUSY);
    same!(
        node(bench, &device.name),
        bench.mapper.node_mode() != NodeMode::None
    );
    drop(opened);
    device.remove()?;
    Ok(())
}

fn deferred(bench: &Bench) -> Outcome {
    let device = bench.device("deferred", "0 8 zero")?;
    let defer = || bench.batch(|cookie| bench.mapper.remove(device.id(), true, UdevFlags::empty(), cookie));
    let opened = device.open()?;
    defer()?;
    same!(device.info()?.deferred_remove, true);
    bench.mapper.cancel_deferred_remove(device.id())?;
    same!(device.info()?.deferred_remove, false);
    drop(opened);
    same!(device.info()?.open_count, 0);
    let opened = device.open()?;
    defer()?;
    let mut byte = [1];
    opened.read_at(0, &mut byte)?;
    same!(byte, [0]);
    drop(opened);
    // The kernel removes it from a work queue of its own.
    becomes("gone", || {
        let there = bench.mapper.info(device.id())?.is_some();
        Ok(if there { "there" } else { "gone" }.into())
    })?;
    // Nobody uses it: deferring changes nothing.
    let device = bench.device("idle", "0 8 zero")?;
    bench.batch(|cookie| bench.mapper.remove(device.id(), true, UdevFlags::empty(), cookie))?;
    same!(bench.mapper.info(device.id())?, None);
    Ok(())
}

fn mangled(bench: &Bench) -> Outcome {
    let device = bench.device("two words, 100%", "0 8 zero")?;
    let info = device.info()?;
    same!(
        info.name.as_str().ends_with("two\\x20words\\x2c\\x20100\\x25"),
        true
    );
    same!(info.name.unmangled().ends_with("two words, 100%"), true);
    same!(
        node(bench, &info.name),
        bench.mapper.node_mode() != NodeMode::None
    );
    same!(DmName::new(info.name.as_str())?, info.name);
    device.remove()?;
    Ok(())
}

fn many(bench: &Bench) -> Outcome {
    let mut all = Vec::new();
    for _ in 0..100 {
        let (name, _) = bench.fresh(&"n".repeat(90))?;
        let uuid = DmUuid::new(&format!("{name:u<128}"))?;
        bench.mapper.create(&name, &uuid)?;
        bench
            .mapper
            .load(DeviceId::Uuid(&uuid), &bench.table("0 8 zero")?, false)?;
        all.push((name, uuid));
    }
    bench.batch(|cookie| {
        all.iter().try_for_each(|(_, uuid)| {
            bench
                .mapper
                .resume(DeviceId::Uuid(uuid), UdevFlags::empty(), cookie)
                .map(drop)
        })
    })?;
    let has_nodes = bench.mapper.node_mode() != NodeMode::None;
    let listed = bench.mapper.list()?;
    for (name, uuid) in &all {
        let entry = listed
            .iter()
            .find(|entry| entry.name == *name)
            .ok_or("not listed")?;
        same!(entry.uuid.as_ref(), Some(uuid));
        same!(node(bench, name), has_nodes);
    }
    bench.batch(|cookie| {
        all.iter().try_for_each(|(_, uuid)| {
            bench
                .mapper
                .remove(DeviceId::Uuid(uuid), false, UdevFlags::empty(), cookie)
        })
    })?;
    same!(all.iter().any(|(name, _)| node(bench, name)), false);
    Ok(())
}
