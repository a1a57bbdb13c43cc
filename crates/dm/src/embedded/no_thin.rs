//! Thin targets of a mapper that is not for tests: none, so that nothing of this is ever called.  `thin` has them.

use std::io;

use super::State;
use super::map::Map;
use crate::{Error, StatusLine, Table, Thin};

/// A pool, of which there is none.
pub(super) enum Handle {}

/// No pools.
#[derive(Default)]
pub(super) struct Pools;

impl Pools {
    pub(super) fn are_done(&self) -> bool {
        false
    }

    pub(super) fn take_raised(&self) -> bool {
        false
    }
}

/// Bytes of a thin device, of which there is none.
#[allow(dead_code, reason = "there is nobody to read them")]
pub(super) struct Bytes<'a> {
    pub(super) target: &'a Thin,
    pub(super) pool: &'a Handle,
    pub(super) at: u64,
}

impl State {
    pub(super) fn open_pools(&self, _: u32, _: &Table) -> Result<Vec<Option<Handle>>, Error> {
        Ok(Vec::new())
    }

    pub(super) fn resume_pool(&self, _: u32, _: &Map, _: bool) -> Result<(), Error> {
        Ok(())
    }

    pub(super) fn commit_thins(&self, _: &Map) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn commit_pool(&self, _: &Map) {}

    pub(super) fn describe_thin(&self, _: &Map, _: &mut [StatusLine], _: bool) {}

    pub(super) fn pool_message(&self, _: u32, _: u64, _: &str) -> Option<Result<(), Error>> {
        None
    }

    pub(super) fn read_thin(&self, bytes: &Bytes<'_>, _: &mut [u8], _: u32) -> io::Result<()> {
        match *bytes.pool {}
    }

    pub(super) fn write_thin(&self, bytes: &Bytes<'_>, _: &[u8], _: u32) -> io::Result<()> {
        match *bytes.pool {}
    }
}
