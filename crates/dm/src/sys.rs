//! All of the crate's unsafe code: device-mapper's ioctl, udev's semaphores, and two ioctls of block devices.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

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

/// A semaphore that udevd counts down; it is removed with this value.
#[derive(Debug)]
pub(crate) struct Semaphore {
    id: i32,
    cookie: u16,
}

impl Semaphore {
    /// Makes a semaphore with the key of `cookie` and the value 1; `AlreadyExists` when the key is taken.
    pub(crate) fn new(cookie: u16) -> io::Result<Self> {
        let flags = 0o600 | libc::IPC_CREAT | libc::IPC_EXCL;
        // SAFETY: semget takes plain numbers and touches no memory of ours.
        let id = unsafe { libc::semget(KEY_MAGIC | i32::from(cookie), 1, flags) };
        if id < 0 {
            return Err(io::Error::last_os_error());
        }
        let semaphore = Self { id, cookie };
        // SAFETY: SETVAL takes its value as the fourth argument by value; `id` is a set of one semaphore made above.
        if unsafe { libc::semctl(id, 0, libc::SETVAL, 1) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(semaphore)
    }

    /// The number that udev's rules get.
    pub(crate) fn cookie(&self) -> u16 {
        self.cookie
    }

    /// One more event to wait for.
    pub(crate) fn raise(&self) -> io::Result<()> {
        self.operate(1, 0, None)
    }

    /// One event less: the kernel sent none.
    pub(crate) fn lower(&self) -> io::Result<()> {
        self.operate(-1, libc::IPC_NOWAIT, None)
    }

    /// Waits until every event was handled; `false` when the time is over.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        self.lower()?;
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.operate(0, 0, Some(left)) {
                Ok(()) => return Ok(true),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(false),
                    // Somebody removed it, as `dmsetup udevcomplete_all` does: nothing is left to wait for.
                    Some(libc::EIDRM | libc::EINVAL) => return Ok(true),
                    Some(libc::EINTR) => {}
                    _ => return Err(error),
                },
            }
        }
    }

    fn operate(&self, by: i16, flags: i32, timeout: Option<Duration>) -> io::Result<()> {
        let operation = libc::sembuf {
            sem_num: 0,
            sem_op: by,
            sem_flg: flags as i16,
        };
        let timeout = timeout.map(|left| libc::timespec {
            tv_sec: left.as_secs().min(1 << 30) as _,
            tv_nsec: left.subsec_nanos() as _,
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `operation` is one initialised sembuf, as the count says; `timeout` is null or points to a timespec
        // that lives until the call returns; the kernel only reads both.
        let result = unsafe {
            libc::syscall(
                libc::SYS_semtimedop,
                self.id,
                std::ptr::from_ref(&operation),
                1usize,
                timeout,
            )
        };
        if result < 0 {
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
mod tests {
    use super::*;

    #[test]
    fn a_semaphore_counts_and_is_removed_with_its_value() {
        let cookie = (1..u16::MAX).find_map(|cookie| Semaphore::new(cookie).ok());
        let semaphore = cookie.expect("System V semaphores");
        semaphore.raise().unwrap();
        assert!(!semaphore.wait(Duration::from_millis(20)).unwrap());
        semaphore.lower().unwrap();
        let (id, cookie) = (semaphore.id, semaphore.cookie());
        drop(semaphore);
        let again = Semaphore::new(cookie).unwrap();
        assert_ne!(again.id, id);
    }
}
