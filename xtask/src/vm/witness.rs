//! What a failure leaves to be understood by: `witness` in a scenario's `/out`, which `no` of `guest/lib.sh` writes.

use std::fs;
use std::path::Path;

use super::report::folders;

/// Lines of a witness that are printed; the rest is in the file.
const LINES: usize = 160;
/// Longest line that is printed, in characters.
const WIDTH: usize = 400;

/// Prints what the failures of a machine left.
pub(super) fn print(out: &Path) {
    let scenarios = folders(out)
        .into_iter()
        .flatten()
        .flat_map(|start| folders(&start).into_iter().flatten());
    for path in scenarios.map(|scenario| scenario.join("witness")) {
        let Ok(bytes) = fs::read(&path) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        for line in text.lines().take(LINES) {
            println!("|   {}", line.chars().take(WIDTH).collect::<String>());
        }
        let left = text.lines().count().saturating_sub(LINES);
        println!("|   {left} more lines in {}", path.display());
    }
}
