//! Events of all devices: arm, then poll.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::codec::Message;
use crate::command::Command;
use crate::deadline::Deadline;
use crate::{Error, EventSource};

/// A control file of its own, armed.
pub(super) struct Events(File);

impl Events {
    /// Arms the file: events from now on count.
    pub(super) fn new(control: File) -> Result<Self, Error> {
        let events = Self(control);
        events.arm()?;
        Ok(events)
    }

    fn arm(&self) -> Result<(), Error> {
        super::call(&self.0, &Message::new(Command::ArmPoll), "events").map(drop)
    }
}

impl EventSource for Events {
    fn wait(&mut self, timeout: Duration) -> Result<bool, Error> {
        let changed = poll_until(&self.0, Deadline::after(timeout))?;
        if changed {
            // Armed again at once, so that no event falls between two calls.
            self.arm()?;
        }
        Ok(changed)
    }
}

/// Waits for an event since the control file was armed; `false` when the time is over.
pub(crate) fn poll_until(control: &File, end: Deadline) -> Result<bool, Error> {
    loop {
        let left = PollTimeout::try_from(end.left()).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(control.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, left) {
            Ok(0) if end.left().is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(Error::command("wait", "events", errno.into())),
        }
    }
}
