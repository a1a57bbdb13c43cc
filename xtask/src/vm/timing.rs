//! What time each scenario took: on the clock, and of this machine's processors.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Ticks of a second in `/proc/PID/stat`, the same on every Linux.
const TICKS: u64 = 100;

/// The time of one scenario, or of a start of a VM.
#[derive(Clone)]
pub(crate) struct Timing {
    /// Which it was.
    pub(crate) name: String,
    /// Time on the clock.
    pub(crate) wall: Duration,
    /// Time of this machine's processors.
    pub(crate) cpu: Duration,
}

/// Follows what a VM says, and notes when a scenario begins and ends.
pub(crate) struct Watch {
    lines: PathBuf,
    /// Bytes of the lines that were read.
    read: usize,
    /// What goes on, since when and at which processor time.
    now: (String, Instant, Duration),
    done: Vec<Timing>,
}

/// What a VM does before its first scenario.
const BOOT: &str = "boot";
/// What it does between scenarios and at its end.
const BETWEEN: &str = "between";

impl Watch {
    /// Begins with the start of the VM, whose lines go to this file.
    pub(crate) fn new(lines: &Path) -> Self {
        Self {
            lines: lines.to_owned(),
            read: 0,
            now: (BOOT.into(), Instant::now(), Duration::ZERO),
            done: Vec::new(),
        }
    }

    /// Reads what was said since; `cpu` is the processor time that the VM has taken so far.
    pub(crate) fn look(&mut self, cpu: Duration) {
        let bytes = fs::read(&self.lines).unwrap_or_default();
        let new = bytes.get(self.read..).unwrap_or_default();
        let Some(end) = new.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        self.read += end + 1;
        let text = String::from_utf8_lossy(&new[..end]).into_owned();
        for line in text.lines().map(str::trim_end) {
            if let Some(name) = line.strip_prefix("begin ") {
                self.turn(name, cpu);
            } else if line.starts_with("end ") {
                self.turn(BETWEEN, cpu);
            }
        }
    }

    /// Ends with the VM.
    pub(crate) fn finish(mut self, cpu: Duration) -> Vec<Timing> {
        self.look(cpu);
        self.turn("", cpu);
        self.done
    }

    fn turn(&mut self, next: &str, cpu: Duration) {
        let (name, since, before) = std::mem::replace(&mut self.now, (next.to_owned(), Instant::now(), cpu));
        self.done.push(Timing {
            name,
            wall: since.elapsed(),
            cpu: cpu.saturating_sub(before),
        });
    }
}

/// Returns the processor time that a process has taken so far; zero if it is gone.
pub(crate) fn cpu_of(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold blanks.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let of = |at| {
        fields
            .split_whitespace()
            .nth(at)
            .and_then(|field| field.parse::<u64>().ok())
    };
    let ticks = of(11).unwrap_or(0) + of(12).unwrap_or(0);
    Duration::from_millis(ticks * 1000 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scenario_gets_the_time_between_its_begin_and_its_end() {
        let dir = std::env::temp_dir().join(format!("timing-{}", std::process::id()));
        let mut watch = Watch::new(&dir);
        fs::write(&dir, "begin one\r\nok it\r\n").unwrap();
        watch.look(Duration::from_secs(2));
        fs::write(&dir, "begin one\r\nok it\r\nend one 0\r\nbegin tw").unwrap();
        watch.look(Duration::from_secs(5));
        let done = watch.finish(Duration::from_secs(6));
        fs::remove_file(&dir).unwrap();
        let cpu: Vec<_> = done
            .iter()
            .map(|timing| (timing.name.as_str(), timing.cpu.as_secs()))
            .collect();
        assert_eq!(cpu, [("boot", 2), ("one", 3), ("between", 1)]);
    }
}
