//! Events, and I/O that waits for a resume.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Bench, Check, LONG, Outcome, refused, same};
use crate::{DeviceId, SuspendFlags, UdevFlags};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "I/O on a suspended device waits for the resume",
        run: suspended_io,
    },
    Check {
        name: "a wait ends with the time or with an event",
        run: wait,
    },
    Check {
        name: "a wait for a device that goes away ends",
        run: wait_for_removed,
    },
    Check {
        name: "the stream of events tells of changes, and of nothing else",
        run: events,
    },
];

fn suspended_io(bench: &Bench) -> Outcome {
    let below = bench.device("below", "0 64 linear A 0")?;
    let above = bench.device("above", &format!("0 64 linear {} 0", below.number()?))?;
    // The device itself, and one below it.
    for device in [&above, &below] {
        let io = above.open()?;
        bench.mapper.suspend(device.id(), SuspendFlags::SKIP_LOCKFS)?;
        let (done, is_done) = mpsc::channel();
        let writer = thread::spawn(move || {
            let result = io.write_at(4096, &[7; 4096]).and_then(|()| io.sync());
            let _ = done.send(());
            result
        });
        let early = is_done.recv_timeout(Duration::from_millis(50)).is_ok();
        device.resume()?;
        writer.join().map_err(|_| "the writer panicked")??;
        same!(early, false);
        let mut bytes = [0; 4096];
        above.open()?.read_at(4096, &mut bytes)?;
        same!(bytes, [7; 4096]);
    }
    above.remove()?;
    below.remove()?;
    Ok(())
}

fn wait(bench: &Bench) -> Outcome {
    let device = bench.device("wait", "0 8 zero")?;
    let event_nr = device.info()?.event_nr;
    let same_nr = bench
        .mapper
        .wait(device.id(), event_nr, Duration::from_millis(10))?
        .event_nr;
    same!(same_nr, event_nr);
    let (new, _) = bench.fresh("renamed")?;
    let renamed = thread::scope(|scope| {
        let waiting = scope.spawn(|| bench.mapper.wait(device.id(), event_nr, LONG));
        bench.batch(|cookie| {
            bench
                .mapper
                .rename(&device.name, &new, UdevFlags::empty(), cookie)
        })?;
        waiting
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    same!(renamed.event_nr, event_nr.wrapping_add(1));
    same!(renamed.name, new);
    // An event that was missed ends the next wait at once.
    let missed = bench.mapper.wait(device.id(), event_nr, LONG)?.event_nr;
    same!(missed, renamed.event_nr);
    device.remove()?;
    Ok(())
}

fn wait_for_removed(bench: &Bench) -> Outcome {
    let device = bench.device("wait", "0 8 zero")?;
    let event_nr = device.info()?.event_nr;
    let number = device.number()?;
    let ended = thread::scope(|scope| {
        let waiting = scope.spawn(|| bench.mapper.wait(DeviceId::Number(number), event_nr, LONG));
        bench.remove(device.id())?;
        waiting
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    refused!(ended, libc::ENXIO);
    Ok(())
}

fn events(bench: &Bench) -> Outcome {
    let mut events = bench.mapper.events()?;
    same!(events.wait(Duration::ZERO)?, false);
    let device = bench.device("events", "0 8 zero")?;
    same!(events.wait(LONG)?, true);
    same!(events.wait(Duration::ZERO)?, false);
    device.info()?;
    bench.mapper.table(device.id(), false)?;
    same!(events.wait(Duration::ZERO)?, false);
    device.remove()?;
    same!(events.wait(LONG)?, true);
    Ok(())
}
