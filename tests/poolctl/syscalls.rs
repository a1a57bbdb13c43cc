//! Operations while a system call of theirs fails: a typed error or success, never a panic, a signal or a hang, and the
//! pool is the old one or the new one, of which the repeated call makes the new one.
//!
//! strace lets one call fail at a time.  `LVM_NATIVE_ALL_SYSCALLS=1` tries each; without it some of each operation.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common;
use crate::host::{Host, MIB, copy};
use crate::operations::{CREATE, CREATE_POOL, OPERATIONS, prepared, state};

/// How many failures are tried of each operation by default.
const SAMPLE: usize = 7;

/// What the dynamic loader and the language's runtime call, on whose failure a program has no say.  The kernel's `getrandom`
/// fails for want of the call alone, which the runtime knows.
const NOT_OURS: [&str; 20] = [
    "arch_prctl",
    "brk",
    "execve",
    "exit_group",
    "futex",
    "getrandom",
    "gettid",
    "mmap",
    "mprotect",
    "munmap",
    "poll",
    "prlimit64",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_getaffinity",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "madvise",
];

/// A failure: the call's name, what comes of it in strace's words, and the which of this name it is.
type Failure = (String, &'static str, u32);

/// What comes of a call that fails.
const ERRORS: [&str; 2] = ["error=EIO", "error=EINTR"];
/// What comes of one that moves bytes: none are left to read, or none were written.
const SHORT: &str = "retval=0";
const MOVES_BYTES: [&str; 4] = ["read", "pread64", "write", "pwrite64"];

/// How the message begins of what failed after a commit that stays.
const PARTLY: &str = "ended half way, after this: ";

fn traced(host: &Host, options: &[&str], args: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "60", "strace", "-f", "-o"]);
    command
        .arg(host.path("trace"))
        .args(options)
        .arg(common::example("poolctl"));
    if args != ["--version"] {
        host.arguments(&mut command, args);
    }
    command.args(args.iter().filter(|_| args == ["--version"]));
    command.output().unwrap()
}

/// How often a call of the program makes each system call.
fn counts(host: &Host, args: &[&str]) -> BTreeMap<String, u32> {
    counts_with(host, &[], args)
}

/// The same under more options of strace.
pub(crate) fn counts_with(host: &Host, options: &[&str], args: &[&str]) -> BTreeMap<String, u32> {
    let output = traced(host, &[&["-c"], options].concat(), args);
    let told = fs::read_to_string(host.path("trace")).unwrap_or_default();
    assert!(
        output.status.success() && told.contains("total"),
        "strace, which these tests need, does not work here: {output:?}"
    );
    let count = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, calls) = (words.last()?, words.get(3)?.parse().ok()?);
        Some(((*name).to_owned(), calls)).filter(|(name, _)| name != "total")
    };
    told.lines().filter_map(count).collect()
}

/// All failures of an operation that are worth a try.
fn failures(host: &Host, args: &[&str]) -> Vec<Failure> {
    let at_start = counts(host, &["--version"]);
    let mut all = Vec::new();
    for (name, calls) in counts(host, args) {
        // What it tells is told by a call that all programs make.
        let first = match name.as_str() {
            "write" => 1,
            _ => at_start.get(&name).map_or(1, |calls| calls + 1),
        };
        if !NOT_OURS.contains(&name.as_str()) {
            for number in first..=calls {
                let short = MOVES_BYTES.contains(&name.as_str()).then_some(SHORT);
                let outcomes = ERRORS.into_iter().chain(short);
                all.extend(outcomes.map(|outcome| (name.clone(), outcome, number)));
            }
        }
    }
    all
}

/// Runs the operation once more with one failure; what is wrong about what came of it.
fn run(
    host: &Host,
    args: &[&str],
    (call, outcome, number): &Failure,
    states: [&Value; 2],
) -> Result<(), String> {
    let inject = format!("inject={call}:{outcome}:when={number}");
    let output = traced(host, &["-e", &format!("trace={call}"), "-e", &inject], args);
    let told = String::from_utf8_lossy(&output.stdout);
    let is_typed = || {
        let error = serde_json::from_str::<Value>(&told);
        error.is_ok_and(|told| told["error"]["kind"].is_string())
    };
    let is_new = match output.status.code() {
        Some(0) => true,
        // It cannot say what is wrong where it can say nothing.
        Some(1) if call == "write" || is_typed() => false,
        _ => return Err(format!("{output:?}")),
    };
    let now = state(host);
    // One of several commits says what was done before it failed.
    let is_known = states.contains(&&now) || !is_new && told.contains(PARTLY);
    if !is_known || is_new && now != *states[1] {
        return Err(format!("{told} and then {now}"));
    }
    if now == *states[1] {
        return Ok(());
    }
    let again = host.run(args);
    match again.status.success() && state(host) == *states[1] {
        true => Ok(()),
        false => Err(format!("{told} and again {again:?} and then {}", state(host))),
    }
}

#[test]
fn the_system_calls_of_a_list_and_a_creation_grow_with_the_disks_and_no_faster() {
    let all = |disks: u32| {
        let mut host = Host::new(&[]);
        for number in 0..disks {
            host.add_image(&format!("disk{number}"), 16 * MIB);
        }
        host.ok(CREATE_POOL);
        [&["pool", "list"], CREATE].map(|args| counts(&host, args).values().sum::<u32>())
    };
    for (few, many) in all(50).into_iter().zip(all(200)) {
        assert!(many < 5 * few, "{few} calls with 50 disks, and {many} with 200");
    }
}

#[test]
fn a_list_of_this_host_is_the_same_where_the_close_of_a_folder_fails() {
    let host = Host::new(&[]);
    let list = |options: &[&str]| {
        let mut command = Command::new("timeout");
        command.args([
            "--signal=KILL",
            "60",
            "strace",
            "-f",
            "-y",
            "-P",
            "/sys/block",
            "-o",
        ]);
        command
            .arg(host.path("trace"))
            .args(["-e", "trace=close"])
            .args(options)
            .arg(common::example("poolctl"))
            .args(["--json", "pool", "list"]);
        command.output().unwrap()
    };
    let usual = list(&[]);
    let told = list(&["-e", "inject=close:error=EIO"]);
    let trace = fs::read_to_string(host.path("trace")).unwrap();
    let is_folder = |line: &str| line.contains("</sys/block>)") && line.ends_with("(INJECTED)");
    assert!(trace.lines().any(is_folder), "no folder was closed: {trace}");
    assert_eq!(told, usual);
}

#[test]
fn whatever_system_call_fails_the_error_is_typed_and_the_pool_whole() {
    let every = std::env::var_os("LVM_NATIVE_ALL_SYSCALLS").is_some();
    let mut wrong = Vec::new();
    for operation in OPERATIONS {
        let host = prepared(&operation);
        let (what, _, args) = operation;
        let images = ["disk0", "disk1"].map(|image| (host.path(image), host.path(&format!("{image}.old"))));
        images.iter().for_each(|(image, saved)| copy(image, saved));
        let old = state(&host);
        let failures = failures(&host, args);
        let new = state(&host);
        let stride = if every {
            1
        } else {
            failures.len().div_ceil(SAMPLE).max(1)
        };
        for failure in failures.iter().step_by(stride) {
            images.iter().for_each(|(image, saved)| copy(saved, image));
            if let Err(why) = run(&host, args, failure, [&old, &new]) {
                wrong.push(format!("{what}, {failure:?}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
