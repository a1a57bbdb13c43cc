//! All of the crate's unsafe code: device-mapper's ioctl, udev's semaphores, and two ioctls of block devices.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::deadline::Deadline;

/// Bytes of `struct dm_ioctl`.
pub(crate) const HEADER: usize = 312;

/// The request code of a device-mapper command: `_IOWR(0xfd, command, struct dm_ioctl)`.
const fn dm_request(command: u8) -> libc::Ioctl {
    nix::request_code_readwrite!(0xfd, command, HEADER)
}

const _: () = assert!(dm_request(3) as u32 == 0xc138_fd03);

/// Sends a command to the control device; the reply replaces `bytes`.
///
/// `bytes` begins with a `struct dm_ioctl` whose `data_size` field this function stores.
pub(crate) fn dm_ioctl(control: &File, command: u8, bytes: &mut [u64]) -> io::Result<()> {
    let size = size_of_val(bytes);
    let (Ok(size), true) = (u32::try_from(size), size >= HEADER) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // `data_size` is the fourth 32-bit word: the upper or lower half of the second 64-bit word, by byte order.
    let mut word = bytes[1].to_ne_bytes();
    word[4..].copy_from_slice(&size.to_ne_bytes());
    bytes[1] = u64::from_ne_bytes(word);
    // SAFETY: the request is device-mapper's, whose argument is a `struct dm_ioctl` followed by a payload.  `bytes` is
    // initialised, 8-aligned, exclusively borrowed until the call returns, at least as long as the struct, and its true
    // length was stored in `data_size` above: the kernel touches no byte behind it.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), dm_request(command), bytes.as_mut_ptr()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Upper half of the keys of udev's semaphores.
const KEY_MAGIC: i32 = 0x0d4d << 16;

unsafe extern "C" {
    // The C library's; the libc crate does not have it.
    fn semtimedop(
        id: libc::c_int,
        operations: *mut libc::sembuf,
        count: libc::size_t,
        timeout: *const libc::timespec,
    ) -> libc::c_int;
}

/// Members of our semaphore sets.  The first is the one that udevd counts down; libdevmapper's sets have no other.
/// The second and third hold the maker's process id, so that what a killed process left can be told and removed.
pub(crate) const SEMAPHORE_MEMBERS: usize = 3;
/// Bits of a process id in each of the two members, whose values end at 32767.
const ID_BITS: u32 = 14;

/// The value of a set's member; none if there is no such set.
fn member_value(id: i32, member: libc::c_int) -> Option<u32> {
    // SAFETY: GETVAL takes no fourth argument and touches no memory of ours; a wrong id or member is an error.
    let value = unsafe { libc::semctl(id, member, libc::GETVAL) };
    u32::try_from(value).ok()
}

/// A semaphore that udevd counts down; it is removed with this value.
#[derive(Debug)]
pub(crate) struct Semaphore {
    id: i32,
    cookie: u16,
}

impl Semaphore {
    /// Makes a semaphore with the key of `cookie` and the value 1; `AlreadyExists` when the key is taken.
    ///
    /// `owner` is the process that will remove it, 0 if none may be told by its number.
    pub(crate) fn new(cookie: u16, owner: u32) -> io::Result<Self> {
        let flags = 0o600 | libc::IPC_CREAT | libc::IPC_EXCL;
        let (key, members) = (KEY_MAGIC | i32::from(cookie), SEMAPHORE_MEMBERS as libc::c_int);
        // SAFETY: semget takes plain numbers and touches no memory of ours.
        let id = unsafe { libc::semget(key, members, flags) };
        if id < 0 {
            return Err(io::Error::last_os_error());
        }
        let semaphore = Self { id, cookie };
        // Linux makes them with the value 0.
        semaphore.operate(0, 1, Duration::ZERO)?;
        for (member, part) in [(1, owner & ((1 << ID_BITS) - 1)), (2, owner >> ID_BITS)] {
            // Adding nothing would be a wait.
            if let Some(part) = i16::try_from(part).ok().filter(|part| *part > 0) {
                semaphore.operate(member, part, Duration::ZERO)?;
            }
        }
        Ok(semaphore)
    }

    /// Takes over the semaphore set of an id, if this library made it under this key: its cookie and its owner.
    pub(crate) fn made_by_us(id: i32, key: i32) -> Option<(Self, u32)> {
        let cookie = u16::try_from(key ^ KEY_MAGIC).ok()?;
        let part = |member| member_value(id, member);
        let owner = part(1)? | part(2)? << ID_BITS;
        Some((Self { id, cookie }, owner))
    }

    /// The number that udev's rules get.
    pub(crate) fn cookie(&self) -> u16 {
        self.cookie
    }

    /// One more event to wait for.
    pub(crate) fn raise(&self) -> io::Result<()> {
        self.operate(0, 1, Duration::ZERO)
    }

    /// One event less: the kernel sent none.
    pub(crate) fn lower(&self) -> io::Result<()> {
        self.operate(0, -1, Duration::ZERO)
    }

    /// Waits until every event was handled; `false` when none was for as long as `timeout`.
    ///
    /// udevd takes its time for each event of a large batch, and is waited for as long as it counts.  That ends: each
    /// event can prolong the wait but once.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        // Takes back the 1 that kept the value from zero; a value of zero was counted down by somebody else.
        let mut result = self.lower().or_else(|error| match error.raw_os_error() {
            Some(libc::EAGAIN) => Ok(()),
            _ => Err(error),
        });
        // Why a value cannot be had, the next wait tells.
        let pending = || member_value(self.id, 0).unwrap_or(0);
        let (mut end, mut least) = (Deadline::after(timeout), pending());
        loop {
            let Err(error) = result.and_then(|()| self.operate(0, 0, end.left())) else {
                return Ok(true);
            };
            result = Ok(());
            match error.raw_os_error() {
                Some(libc::EAGAIN) => match pending() {
                    fewer if fewer < least => (end, least) = (Deadline::after(timeout), fewer),
                    _ => return Ok(false),
                },
                // Somebody removed it, as `dmsetup udevcomplete_all` does: nothing is left to wait for.
                Some(libc::EIDRM | libc::EINVAL) => return Ok(true),
                Some(libc::EINTR) => {}
                _ => return Err(error),
            }
        }
    }

    /// Adds to a member's value, or waits until it is zero; `EAGAIN` when that takes longer than `timeout`.
    fn operate(&self, member: u16, by: i16, timeout: Duration) -> io::Result<()> {
        let mut operation = libc::sembuf {
            sem_num: member,
            sem_op: by,
            // Only the wait for zero takes time.
            sem_flg: if by == 0 { 0 } else { libc::IPC_NOWAIT as i16 },
        };
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs().min(1 << 30) as _,
            tv_nsec: timeout.subsec_nanos() as _,
        };
        // SAFETY: `operation` is one initialised sembuf, as the count says, and `timeout` an initialised timespec; both
        // live until the call returns, and the call keeps no pointer to them.
        if unsafe { semtimedop(self.id, &mut operation, 1, &timeout) } < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: IPC_RMID takes no fourth argument and touches no memory of ours; removing twice is an error that
        // changes nothing.
        unsafe { libc::semctl(self.id, 0, libc::IPC_RMID) };
    }
}

/// `BLKZEROOUT`: zeroes a range of a block device, by the device's own means where it has them.
pub(crate) fn zero_out(device: &File, at: u64, length: u64) -> io::Result<()> {
    // The kernel refuses to do nothing.
    if length == 0 {
        return Ok(());
    }
    let range = [at, length];
    let request = nix::request_code_none!(0x12, 127);
    // SAFETY: BLKZEROOUT reads an array of two u64, which `range` is; it lives until the call returns.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), request, range.as_ptr()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::mem::ManuallyDrop;

    pub(crate) fn any_semaphore() -> Semaphore {
        let free = (1..u16::MAX).find_map(|cookie| Semaphore::new(cookie, 0).ok());
        free.expect("System V semaphores")
    }

    /// The same semaphore in another process's hands: udevd's.
    pub(crate) fn seen_by_udevd(semaphore: &Semaphore) -> ManuallyDrop<Semaphore> {
        let Semaphore { id, cookie } = *semaphore;
        ManuallyDrop::new(Semaphore { id, cookie })
    }

    #[test]
    fn a_semaphore_counts_and_is_removed_with_its_value() {
        let semaphore = any_semaphore();
        semaphore.raise().unwrap();
        assert!(!semaphore.wait(Duration::from_millis(20)).unwrap());
        semaphore.lower().unwrap();
        let (id, cookie) = (semaphore.id, semaphore.cookie());
        drop(semaphore);
        let again = Semaphore::new(cookie, 0).unwrap();
        assert_ne!(again.id, id);
    }

    #[test]
    fn a_taken_key_is_told_from_other_failures() {
        let semaphore = any_semaphore();
        let again = Semaphore::new(semaphore.cookie(), 0).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_wait_ends_when_udevd_counts_down() {
        let semaphore = any_semaphore();
        semaphore.raise().unwrap();
        let udevd = seen_by_udevd(&semaphore);
        let counting = std::thread::spawn(move || udevd.lower());
        assert!(semaphore.wait(Duration::MAX).unwrap());
        counting.join().unwrap().unwrap();
    }

    #[test]
    fn a_wait_goes_on_as_long_as_udevd_counts() {
        // All of the events together take longer than one may.
        let (events, pause, limit) = (6, Duration::from_millis(400), Duration::from_secs(2));
        let semaphore = any_semaphore();
        (0..events).for_each(|_| semaphore.raise().unwrap());
        let udevd = seen_by_udevd(&semaphore);
        let counting = std::thread::spawn(move || {
            for _ in 0..events {
                std::thread::sleep(pause);
                udevd.lower().unwrap();
            }
        });
        assert!(semaphore.wait(limit).unwrap());
        counting.join().unwrap();
    }

    #[test]
    fn a_wait_ends_when_the_semaphore_is_removed_or_counted_down_too_far() {
        let semaphore = any_semaphore();
        semaphore.raise().unwrap();
        drop(ManuallyDrop::into_inner(seen_by_udevd(&semaphore)));
        assert!(semaphore.wait(Duration::MAX).unwrap());
        let semaphore = any_semaphore();
        seen_by_udevd(&semaphore).lower().unwrap();
        assert!(semaphore.wait(Duration::MAX).unwrap());
    }
}
