//! Random bytes, whose want is an error and no panic: a process may be out of file descriptors, by which some systems give them.

use std::io;

/// Returns random bytes.
pub(crate) fn random<const LENGTH: usize>() -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
