//! Messages to a pool, with the kernel's errors.

use super::pool::{Held, Mapped, Pool};
use super::{pool_of, thins_of};
use crate::embedded::State;
use crate::thin_metadata::ID_END;
use crate::{DeviceNumber, Error, ThinDevice, ThinPoolMode};

impl State {
    /// Sends a message to the target at a sector; `None` if that is no pool.
    pub(in crate::embedded) fn pool_message(
        &self,
        minor: u32,
        sector: u64,
        text: &str,
    ) -> Option<Result<(), Error>> {
        let failed = |errno| {
            Error::errno_of(
                "message",
                DeviceNumber {
                    major: super::super::MAJOR,
                    minor,
                },
                errno,
            )
        };
        let Some(live) = self.devices.get(minor)?.live.as_ref() else {
            let staged = self.maps(minor).find_map(pool_of);
            return staged.map(|_| Err(failed(libc::ENXIO)));
        };
        let (_, handle, length) = pool_of(live)?;
        if sector >= length {
            return Some(Err(failed(libc::EINVAL)));
        }
        let mut pool = handle.lock();
        let done = match pool.mode {
            ThinPoolMode::ReadOnly | ThinPoolMode::Failed => Err(libc::EOPNOTSUPP),
            ThinPoolMode::Write | ThinPoolMode::OutOfDataSpace => self.obey(minor, &mut pool, text),
        };
        Some(done.map_err(failed).map(|()| {
            // As in the kernel, what it says of this is not told: a pool that cannot commit changes its mode.
            let _ = self.commit(&mut pool);
        }))
    }

    fn obey(&self, minor: u32, pool: &mut Pool, text: &str) -> Result<(), i32> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (name, arguments) = words.split_first().ok_or(libc::EINVAL)?;
        let number = |word: &str| word.parse::<u64>().map_err(|_| libc::EINVAL);
        let id = |word: &str| {
            let id = number(word).ok().filter(|id| *id < ID_END);
            id.and_then(|id| u32::try_from(id).ok()).ok_or(libc::EINVAL)
        };
        match (name.to_ascii_lowercase().as_str(), arguments) {
            ("create_thin", [new]) => pool.create_thin(id(new)?),
            ("create_snap", [new, origin]) => pool.create_snap(id(new)?, id(origin)?),
            ("delete", [old]) => {
                let old = id(old)?;
                let is_open = pool.thins.contains_key(&old) && self.is_open(minor, old);
                if is_open {
                    Err(libc::EBUSY)
                } else {
                    pool.delete(old)
                }
            }
            ("set_transaction_id", [current, new]) => {
                let (current, new) = (number(current)?, number(new)?);
                if pool.transaction_id != current {
                    return Err(libc::EINVAL);
                }
                pool.transaction_id = new;
                Ok(())
            }
            ("reserve_metadata_snap", []) => self.reserve(pool),
            ("release_metadata_snap", []) => pool.release(),
            _ => Err(libc::EINVAL),
        }
    }

    /// Is a device of a pool named by a table, live or staged?
    fn is_open(&self, minor: u32, id: u32) -> bool {
        let users = self.devices.users(minor);
        let mut thins = users.flat_map(|user| self.maps(user)).flat_map(thins_of);
        thins.any(|(thin, _)| thin.pool.minor == minor && thin.id == id)
    }

    fn reserve(&self, pool: &mut Pool) -> Result<(), i32> {
        if pool.held.is_some() {
            return Err(libc::EBUSY);
        }
        let _ = self.commit(pool);
        let block = pool.free_metadata().next().ok_or(libc::ENOSPC)?;
        self.write_held(pool, block).map_err(|_| libc::EIO)?;
        let (tree, thins) = (pool.tree.clone(), pool.thins.clone());
        let blocks = thins.values().flat_map(|thin| thin.blocks.values());
        blocks.for_each(|(at, _)| pool.keep(*at));
        pool.held = Some(Held { block, tree, thins });
        Ok(())
    }
}

impl Pool {
    fn create_thin(&mut self, id: u32) -> Result<(), i32> {
        if self.thins.contains_key(&id) {
            return Err(libc::EEXIST);
        }
        let device = ThinDevice {
            mapped: 0,
            transaction_id: self.transaction_id,
            created: self.time,
            snapshotted: self.time,
        };
        let blocks = std::collections::BTreeMap::new();
        self.thins.insert(id, Mapped { device, blocks });
        Ok(())
    }

    fn create_snap(&mut self, id: u32, origin: u32) -> Result<(), i32> {
        if self.thins.contains_key(&id) {
            return Err(libc::EEXIST);
        }
        let origin = self.thins.get_mut(&origin).ok_or(libc::ENODATA)?;
        self.time = self.time.wrapping_add(1);
        origin.device.snapshotted = self.time;
        let mut snapshot = origin.clone();
        snapshot.device.transaction_id = self.transaction_id;
        snapshot.device.created = self.time;
        let blocks = snapshot.blocks.values();
        blocks.for_each(|(at, _)| self.keep(*at));
        self.thins.insert(id, snapshot);
        Ok(())
    }

    fn delete(&mut self, id: u32) -> Result<(), i32> {
        let thin = self.thins.remove(&id).ok_or(libc::ENODATA)?;
        thin.blocks.values().for_each(|(at, _)| self.drop_block(*at));
        Ok(())
    }

    fn release(&mut self) -> Result<(), i32> {
        let held = self.held.take().ok_or(libc::EINVAL)?;
        let blocks = held.thins.values().flat_map(|thin| thin.blocks.values());
        blocks.for_each(|(at, _)| self.drop_block(*at));
        Ok(())
    }
}
