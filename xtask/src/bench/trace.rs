//! Counts of what strace saw.

use std::collections::BTreeMap;

/// What a run of system calls did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// System calls.
    pub(super) calls: u64,
    /// Those that are ioctls, by the name of their request.
    pub(super) ioctls: BTreeMap<String, u64>,
    /// Those that make data durable.
    pub(super) syncs: u64,
    /// Waits for a semaphore: for udevd's answer.
    pub(super) waits: u64,
    /// Sizes of what was read at a place of a file or device.
    pub(super) reads: Vec<u64>,
    /// Sizes of what was written at a place of a file or device.
    pub(super) writes: Vec<u64>,
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

    /// Of the part between the marks that begin and end an operation, the first time.
    pub(super) fn between(trace: &str, operation: &str) -> Self {
        let mut counts = Self::default();
        // The marks are written by the traced process to its standard error.
        let is_mark = |line: &str, edge: &str| line.contains(&format!("\"{edge} {operation}\\n\""));
        let from = trace.lines().skip_while(|line| !is_mark(line, "begin")).skip(1);
        for line in from.take_while(|line| !is_mark(line, "end")) {
            counts.add(line);
        }
        counts
    }

    /// All ioctls.
    pub(super) fn ioctl_count(&self) -> u64 {
        self.ioctls.values().sum()
    }

    /// The ioctls as `3 DM_TABLE_LOAD, ...`.
    pub(super) fn named_ioctls(&self) -> String {
        let named = self
            .ioctls
            .iter()
            .map(|(name, count)| format!("{count} `{name}`"));
        named.collect::<Vec<_>>().join(", ")
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
        let result = || {
            let (_, result) = rest.rsplit_once("= ")?;
            result.trim().parse::<u64>().ok()
        };
        match name {
            "ioctl" => {
                let request = rest.split([',', ')']).nth(1).unwrap_or_default().trim();
                *self.ioctls.entry(request.to_owned()).or_default() += 1;
            }
            "fsync" | "fdatasync" | "sync" | "syncfs" => self.syncs += 1,
            // A change of nothing is a wait; each strace prints it in its own way.
            "semtimedop" | "semop" if rest.contains("{0, 0, 0") || rest.contains("sem_op=0,") => {
                self.waits += 1
            }
            "pread64" | "preadv" => self.reads.extend(result()),
            "pwrite64" | "pwritev" => self.writes.extend(result()),
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
10 semtimedop(1, [{sem_num=0, sem_op=1, sem_flg=IPC_NOWAIT}], 1, {tv_sec=0, tv_nsec=0}) = 0
10 semtimedop(1, [{sem_num=0, sem_op=0, sem_flg=0}], 1, {tv_sec=30, tv_nsec=0}) = 0
10 +++ exited with 0 +++
10 write(2, \"end set-tag\\n\", 12) = 12
10 ioctl(4, DM_VERSION, {...}) = 0
";

    #[test]
    fn calls_between_the_marks_are_counted_once_each() {
        let found = Counts::between(TRACE, "set-tag");
        let expected = Counts {
            calls: 6,
            ioctls: BTreeMap::from([("DM_DEV_STATUS".to_owned(), 1)]),
            syncs: 1,
            waits: 1,
            reads: vec![512],
            writes: vec![1024],
        };
        assert_eq!(found, expected);
        assert_eq!(Counts::between(TRACE, "set"), Counts::default());
    }

    #[test]
    fn a_whole_trace_counts_every_call() {
        let found = Counts::of(TRACE);
        assert_eq!((found.calls, found.ioctl_count()), (10, 2));
        assert_eq!(found.named_ioctls(), "1 `DM_DEV_STATUS`, 1 `DM_VERSION`");
    }
}
