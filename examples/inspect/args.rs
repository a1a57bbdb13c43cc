//! The words of the command line.

use std::path::PathBuf;

use clap::Parser;

/// Show what LVM2 metadata says on devices and image files.  Never writes to them.
#[derive(Parser)]
#[command(name = "inspect", version)]
pub(crate) struct Args {
    /// Print JSON: an array of volume groups.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the newest committed metadata text of each volume group, exactly as on disk.
    #[arg(long)]
    pub(crate) text: bool,
    /// Exit with 1 if any problem is an error.
    #[arg(long)]
    pub(crate) check: bool,
    /// Draw each PV's extents, coloured by LV, into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Block devices or image files that hold PVs.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
}
