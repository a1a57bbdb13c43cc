//! Fuzz.
use anyhow::Result;
pub(crate) fn run(_seconds: &str) -> Result<()> {
    Ok(())
}
