//! The rules of the source tree that no compiler checks.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{sh, vm};

/// Lines of a Rust file, without its tests.
const LONGEST: usize = 600;
/// The files with unsafe code: the ioctls, and what stands in for the C library in a test.
const UNSAFE: [&str; 2] = ["crates/dm/src/sys.rs", "tests/short/lib.rs"];
/// What is left only while a change is being made.
const UNFINISHED: [&str; 3] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
];
/// Words of a crate's sources or manifest that say that it reaches where it must not.
const BORDERS: [(&str, &[&str], &str); 3] = [
    (
        "crates/lvm-meta/",
        &[
            "lvm_dm",
            "lvm-dm",
            "lvm_pool",
            "lvm-pool",
            "std::process",
            "SystemTime",
        ],
        "knows nothing above it",
    ),
    (
        "crates/dm/",
        &["lvm_meta", "lvm-meta", "lvm_pool", "lvm-pool", "process::Command"],
        "knows nothing above it",
    ),
    (
        "crates/pool/",
        &["DM_VERSION", "ioctl!", "ioctl_"],
        "knows no ioctl",
    ),
];
/// Paths of somebody's machine.
const FOREIGN: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
];

/// Checks all rules; the error names every place that breaks one.
pub(crate) fn check() -> Result<()> {
    let listed = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let paths = sh::output(Command::new("git").args(listed).current_dir(sh::workspace()))?;
    let mut findings = Vec::new();
    for path in paths.lines().collect::<BTreeSet<_>>() {
        // Binary files, and files that are deleted but not yet committed, are no text to judge.
        let Ok(text) = fs::read_to_string(sh::workspace().join(path)) else {
            continue;
        };
        check_file(path, &text, &mut |line, what| {
            findings.push(format!("{path}:{line}: {what}"))
        });
    }
    let readme = fs::read_to_string(sh::workspace().join("README.md"))?;
    for example in vm::example_names()? {
        if !readme.contains(&format!("`{example}")) {
            findings.push(format!("README.md: the example `{example}` is not named"));
        }
    }
    if !findings.is_empty() {
        bail!("the source tree is not tidy:\n{}", findings.join("\n"));
    }
    Ok(())
}

fn check_file(path: &str, text: &str, report: &mut dyn FnMut(usize, &str)) {
    let rust = path.ends_with(".rs");
    let source = rust || path.ends_with(".toml");
    for (line, number) in text.lines().zip(1..) {
        if source && !line.is_ascii() {
            report(number, "not ASCII");
        }
        if FOREIGN.iter().any(|word| line.contains(word)) && !path.ends_with(".lock") {
            report(number, "a path of somebody's machine");
        }
        if !rust {
            continue;
        }
        if UNFINISHED.iter().any(|word| line.contains(word)) {
            report(number, "unfinished");
        }
        if !UNSAFE.contains(&path)
            && line
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == "unsafe")
            && is_code(line)
        {
            report(number, "unsafe code outside its file");
        }
    }
    for (folder, words, why) in BORDERS {
        if let Some(word) = path
            .strip_prefix(folder)
            .filter(|rest| rest.starts_with("src/") || *rest == "Cargo.toml")
            .filter(|_| source)
            .and(words.iter().find(|word| text.contains(**word)))
        {
            report(1, &format!("{word}: this crate {why}"));
        }
    }
    let length = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .count();
    if rust && length > LONGEST {
        report(length, &format!("{length} lines; {LONGEST} are the most"));
    }
}

fn is_code(line: &str) -> bool {
    !line.trim_start().starts_with("//") && !line.contains('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        let mut count = 0;
        check_file(path, text, &mut |_, _| count += 1);
        count
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        assert_eq!(findings("a.rs", "fn main() {}\n"), 0);
        assert_eq!(findings("a.rs", "// \u{fc}ber\n"), 1);
        assert_eq!(findings("a.rs", concat!("fn a() { todo", "!() }\n")), 1);
        assert_eq!(findings("a.rs", "fn a() { unsafe { b() } }\n"), 1);
        assert_eq!(findings(UNSAFE[0], "fn a() { unsafe { b() } }\n"), 0);
        assert_eq!(findings("crates/dm/src/a.rs", "use lvm_meta::Vg;\n"), 1);
        assert_eq!(
            findings("crates/lvm-meta/Cargo.toml", "lvm-dm.workspace = true\n"),
            1
        );
        assert_eq!(
            findings("crates/pool/src/a.rs", "const DM_VERSION: u32 = 0;\n"),
            1
        );
        assert_eq!(findings("a.md", concat!("see /wo", "rk/x\n")), 1);
        assert_eq!(findings("a.rs", &"\n".repeat(LONGEST + 1)), 1);
        assert_eq!(
            findings("a.rs", &format!("#[cfg(test)]\n{}", "\n".repeat(LONGEST))),
            0
        );
    }
}
