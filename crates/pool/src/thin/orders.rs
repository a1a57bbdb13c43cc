//! What the kernel is told of a thin pool's devices, and how a replica stands still meanwhile.

use std::time::{Duration, Instant};

use lvm_dm::{DeviceId, DmUuid, SuspendFlags, UdevFlags};
use lvm_meta::detail::ThinMessage;

use super::protocol::device_id;
use crate::open_vg::OpenVg;
use crate::system::Inner;
use crate::{Error, naming};

/// Does something while a device's I/O is stopped; it flows again afterwards, whatever happens.
pub(super) fn while_suspended(
    inner: &Inner,
    device: &DmUuid,
    act: &mut dyn FnMut() -> Result<(), Error>,
) -> (Result<(), Error>, Duration) {
    let mapper = &*inner.mapper;
    let id = DeviceId::Uuid(device);
    // A cookie that cannot be had must not strand a suspended device: get it first.
    let mut cookie = match mapper.cookie() {
        Ok(cookie) => cookie,
        Err(error) => return (Err(Error::Dm(error)), Duration::ZERO),
    };
    let start = Instant::now();
    let mut result = mapper
        .suspend(id, SuspendFlags::empty())
        .map_err(Error::Dm)
        .map(drop);
    if result.is_ok() {
        result = act();
    }
    // A suspend that failed may have stopped it all the same.  A resume that fails is tried once more: nothing else lets
    // the I/O of a replica in use go on.
    let mut resume = || mapper.resume(id, UdevFlags::empty(), &mut cookie);
    let resumed = resume().or_else(|_| resume());
    let stall = start.elapsed();
    let settled = mapper.finish(cookie, inner.timeout);
    let resumed = resumed.map(drop).and(settled).map_err(Error::Dm);
    (result.and(resumed), stall)
}

/// Whether messages may have been carried out already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Never,
    /// By a process that is gone: the kernel has not moved on, so nothing stands on what they made.
    Perhaps,
}

/// A message in the kernel's words.
pub(super) enum Order {
    Create(u32),
    Snapshot {
        id: u32,
        origin: u32,
        /// The origin's device, to be stopped meanwhile.
        device: Option<DmUuid>,
    },
    Delete(u32),
}

impl Order {
    pub(super) fn of(
        inner: &Inner,
        open: &OpenVg,
        message: &ThinMessage,
        before: Sent,
    ) -> Result<Self, Error> {
        Ok(match message {
            ThinMessage::Delete(id) => Self::Delete(*id),
            ThinMessage::Create(name) => {
                let lv = open.vg.lv(name).and_then(super::thin);
                let thin = lv.ok_or_else(|| Error::ReplicaNotFound(name.to_string()))?;
                let id = thin.device_id;
                match &thin.origin {
                    Some(origin) => Self::Snapshot {
                        id,
                        origin: device_id(open, origin)?,
                        // Who sends first knows, and has stopped it.
                        device: match before {
                            Sent::Never => None,
                            Sent::Perhaps => active(inner, open, origin)?,
                        },
                    },
                    None => Self::Create(id),
                }
            }
        })
    }

    pub(super) fn send(&self, inner: &Inner, pool: &DmUuid, before: Sent) -> Result<(), Error> {
        if let Self::Snapshot {
            device: Some(device), ..
        } = self
        {
            return while_suspended(inner, device, &mut || self.send_now(inner, pool, before)).0;
        }
        self.send_now(inner, pool, before)
    }

    fn send_now(&self, inner: &Inner, pool: &DmUuid, before: Sent) -> Result<(), Error> {
        let text = match self {
            Self::Create(id) => format!("create_thin {id}"),
            Self::Snapshot { id, origin, .. } => format!("create_snap {id} {origin}"),
            Self::Delete(id) => format!("delete {id}"),
        };
        let answer = message(inner, pool, &text);
        let errno = match &answer {
            Err(Error::Dm(error)) => error.errno(),
            _ => return answer,
        };
        match (self, errno, before) {
            // What is gone needs no deletion.
            (Self::Delete(_), libc::ENODATA, _) | (Self::Create(_), libc::EEXIST, Sent::Perhaps) => Ok(()),
            (Self::Snapshot { id, .. }, libc::EEXIST, Sent::Perhaps) => {
                message(inner, pool, &format!("delete {id}"))?;
                message(inner, pool, &text)
            }
            _ => answer,
        }
    }
}

/// The device of an LV, if it is mapped.
fn active(inner: &Inner, open: &OpenVg, name: &str) -> Result<Option<DmUuid>, Error> {
    let Some(lv) = open.vg.lv(name) else {
        return Ok(None);
    };
    let device = open.kernel_device(inner, lv)?.filter(|device| device.live_table);
    Ok(device.map(|_| naming::dm_uuid(&open.vg.id(), &lv.id())))
}

pub(super) fn message(inner: &Inner, pool: &DmUuid, text: &str) -> Result<(), Error> {
    inner
        .mapper
        .message(DeviceId::Uuid(pool), 0, text)
        .map_err(Error::Dm)
        .map(drop)
}
