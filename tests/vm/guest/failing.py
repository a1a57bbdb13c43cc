"""Runs poolctl while one system call of its fails (strace), and says what is wrong about what comes of it.

A failure is CALL:ERROR:NUMBER: with `ioctl:EIO:3` the third call of this name fails with this error.
"""
import json
import os
import random
import signal
import subprocess

# What the language's runtime calls at its start and for its memory, on whose failure a program has no say.
NOT_OURS = set(
    "arch_prctl brk clock_gettime execve exit exit_group futex getrandom gettid madvise mmap mprotect mremap munmap poll prlimit64 "
    "rseq rt_sigaction rt_sigprocmask sched_getaffinity set_robust_list set_tid_address sigaltstack".split()
)
# By how a call's name begins; the first that fits.
ERRORS = {
    "ioctl": ("EIO", "EINTR", "ENXIO", "EBUSY", "ENOMEM"),
    "open": ("EMFILE", "EACCES", "EINTR"),
    "flock": ("EINTR", "EIO", "ENOLCK"),
    "sem": ("EINTR", "EIO", "ENOSPC"),
    "mk": ("EACCES", "ENOSPC"),
    "symlink": ("EACCES", "ENOSPC"),
    "unlink": ("EACCES", "EIO"),
    "rename": ("EACCES", "EIO"),
    "pwrite": ("EIO", "EINTR", "ENOSPC"),
    "": ("EIO", "EINTR"),
}
# What a sample has at least one of each kind of: what changes the kernel, disks and nodes.
CHANGES = ("ioctl", "pwrite", "fdatasync", "fsync", "flock", "sem", "close", "mk", "symlink", "unlink", "rename", "write")
# Seconds after which a poolctl counts as hung.
LIMIT = 120


class Failing:
    def __init__(self, folder):
        self.out, self.err, self.trace = (os.path.join(folder, name) for name in ("out", "err", "trace"))
        self.at_start = None

    def run(self, options, args):
        """The exit status, negative for a signal, or `hung`."""
        command = ["strace", "-f", "-qq", "-o", self.trace, *options, "poolctl", *args]
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            # With strace alone killed, the program would go on.
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
            try:
                return child.wait(LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return "hung"

    def counts(self, *args):
        status = self.run(["-c"], args)
        if status != 0:
            raise ValueError(f"exit {status} without a failure: {self.said()}")
        with open(self.trace) as file:
            rows = [line.split() for line in file]
        # Columns: time, seconds, microseconds a call, calls, perhaps errors, name.
        return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"}

    def failures(self, most, *args):
        """Does it; gives how many failures are worth a try, and about `most` of them as $SEED draws."""
        if self.at_start is None:
            self.at_start = self.counts("--version")
        every, some = [], []
        for name, calls in sorted(self.counts("--json", *args).items()):
            # What is told is told by a call that the bare start makes, too.
            first = 1 if name == "write" else self.at_start.get(name, 0) + 1
            errors = next(errors for start, errors in ERRORS.items() if name.startswith(start))
            if name in NOT_OURS:
                continue
            own = [f"{name}:{error}:{number}" for number in range(first, calls + 1) for error in errors]
            every += own
            if name.startswith(CHANGES):
                some += own
        most = int(most)
        if most < len(every):
            # Half of the sample is of the calls that change something, which are few among those that look.
            draw = random.Random(f"{os.environ['SEED']} {args}")
            some = draw.sample(some, min(most // 2, len(some)))
            return " ".join([str(len(every)), *dict.fromkeys(some + draw.sample(every, most - len(some)))])
        return " ".join([str(len(every)), *every])

    def failing(self, failure, *args):
        """`done`, `typed KIND`, or what is wrong about the answer."""
        call, error, number = failure.split(":")
        inject = ["--seccomp-bpf", "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}"]
        status = self.run(inject, ("--json", *args))
        if status == 0:
            return "done"
        if status == 1:
            try:
                with open(self.out) as file:
                    told = json.load(file)["error"]
                if told["message"] and told["errno"]:
                    return f"typed {told['kind']}"
            except (ValueError, KeyError, TypeError):
                # It cannot say what is wrong where it can say nothing.
                if call == "write":
                    return "typed nothing"
        return f"wrong: exit {status}: {self.said()}"

    def said(self):
        with open(self.out, errors="replace") as out, open(self.err, errors="replace") as err:
            return f"stdout '{out.read(400).strip()}', stderr '{err.read(400).strip()}'"
