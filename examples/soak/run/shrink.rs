//! The shortest list of steps that still fails.

use std::time::Instant;

/// Leaves out of a list what is not needed for it to fail: the halves, then smaller pieces, and at last each step by
/// itself, until none can be left out alone or the time is over.
///
/// `still_fails` gives the steps that were done when a list fails as the first one did, `None` otherwise.
pub(crate) fn shrink(
    mut steps: Vec<usize>,
    end: Instant,
    still_fails: &mut dyn FnMut(&[usize]) -> Option<Vec<usize>>,
) -> Vec<usize> {
    let mut piece = steps.len().div_ceil(2);
    loop {
        let (mut at, before) = (0, steps.len());
        while at < steps.len() {
            if Instant::now() >= end {
                return steps;
            }
            let is_in_piece = |place: usize| (at..at + piece).contains(&place);
            let others = steps.iter().enumerate().filter(|(place, _)| !is_in_piece(*place));
            let fewer: Vec<usize> = others.map(|(_, step)| *step).collect();
            match still_fails(&fewer) {
                Some(done) => steps = done,
                None => at += piece,
            }
        }
        if piece > 1 {
            piece = piece.div_ceil(2);
        } else if steps.len() == before {
            return steps;
        }
    }
}

/// What a reason has in common with the same one after other steps: the words of its first line that hold no number,
/// up to what is shown in brackets.
pub(crate) fn essence(why: &str) -> String {
    let line = why.lines().next().unwrap_or_default();
    let line = line.split(['(', '[', '{']).next().unwrap_or_default();
    let is_stable = |word: &&str| !word.contains(|letter: char| letter.is_ascii_digit());
    let words: Vec<&str> = line.split_whitespace().filter(is_stable).collect();
    words.join(" ")
}
