//! Tests on this machine.
use anyhow::Result;
pub(crate) fn test() -> Result<()> {
    crate::tidy::check()
}
