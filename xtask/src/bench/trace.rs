//! Counts of what strace saw.

/// What a run of system calls did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// System calls.
    pub(super) calls: u64,
    /// Those that are ioctls.
    pub(super) ioctls: u64,
    /// Those that make data durable.
    pub(super) syncs: u64,
    /// Bytes written at a place of a file or device.
    pub(super) bytes: u64,
}

impl Counts {
    /// Of a whole trace.
    pub(super) fn of(trace: &str) -> Self {
        let mut counts = Self::default();
        for line in trace.lines() {
            counts.add(line);
        }
        counts
    }

    /// Of the part between the marks that begin and end an operation.
    pub(super) fn between(trace: &str, operation: &str) -> Self {
        let mut counts = Self::default();
        let mut inside = false;
        for line in trace.lines() {
            // The marks are written by the traced process to its standard error, "set-tag" for "settag".
            let plain = line.replace('-', "");
            if plain.contains(&format!("\"end {operation}")) {
                inside = false;
            }
            if inside {
                counts.add(line);
            }
            if plain.contains(&format!("\"begin {operation}")) {
                inside = true;
            }
        }
        counts
    }

    /// A line is `PID CALL(ARGS) = RESULT`; the second half of a call that was interrupted counts for nothing.
    fn add(&mut self, line: &str) {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let Some((name, rest)) = call.split_once('(') else {
            return;
        };
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return;
        }
        self.calls += 1;
        match name {
            "ioctl" => self.ioctls += 1,
            "fsync" | "fdatasync" | "sync" | "syncfs" => self.syncs += 1,
            "pwrite64" | "pwritev" => {
                let result = rest
                    .rsplit_once("= ")
                    .and_then(|(_, result)| result.trim().parse().ok());
                self.bytes += result.unwrap_or(0);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
10 openat(AT_FDCWD, \"/dev/vda\", O_RDONLY) = 3
10 write(2, \"begin set-tag\\n\", 14) = 14
10 pread64(3, \"...\", 512, 4096) = 512
10 pwrite64(3, \"...\", 1024, 8192) = 1024
10 fdatasync(3 <unfinished ...>
11 ioctl(4, DM_DEV_STATUS, {...}) = 0
10 <... fdatasync resumed>) = 0
10 +++ exited with 0 +++
10 write(2, \"end set-tag\\n\", 12) = 12
10 ioctl(4, DM_VERSION, {...}) = 0
";

    #[test]
    fn calls_between_the_marks_are_counted_once_each() {
        let found = Counts::between(TRACE, "settag");
        assert_eq!(
            found,
            Counts {
                calls: 4,
                ioctls: 1,
                syncs: 1,
                bytes: 1024
            }
        );
    }

    #[test]
    fn a_whole_trace_counts_every_call() {
        assert_eq!(Counts::of(TRACE).calls, 8);
    }
}
