//! Progress on a terminal; silence in a pipe.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lvm_native::pool::{Error, MoveProgress};

/// A bar over `total` steps on standard error, or nothing if that is no terminal.
pub(crate) fn bar(total: u64, what: &'static str, bytes: bool) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(what);
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let template = if bytes {
        "{msg} {wide_bar} {bytes}/{total_bytes} {eta}"
    } else {
        "{msg} {wide_bar} {pos}/{len} {eta}"
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Runs what moves extents, with its progress on standard error.
pub(crate) fn moving<T>(
    run: impl FnOnce(&mut dyn FnMut(MoveProgress)) -> Result<T, Error>,
) -> Result<T, Error> {
    followed("moving", run)
}

/// Runs what writes a cache back, with its progress on standard error.
pub(crate) fn written_back<T>(
    run: impl FnOnce(&mut dyn FnMut(MoveProgress)) -> Result<T, Error>,
) -> Result<T, Error> {
    followed("writing back", run)
}

fn followed<T>(
    what: &'static str,
    run: impl FnOnce(&mut dyn FnMut(MoveProgress)) -> Result<T, Error>,
) -> Result<T, Error> {
    let bar = bar(0, what, true);
    let result = run(&mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.moved);
    });
    bar.finish_and_clear();
    result
}
