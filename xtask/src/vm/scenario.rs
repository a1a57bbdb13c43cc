//! The scenarios: `tests/vm/NAME.sh`, each with what it needs said in comment lines at its top.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::sh;

/// What a VM runs.
pub(crate) struct Scenario {
    /// File name without the extension.
    pub(crate) name: String,
    /// The script.
    pub(crate) text: String,
}

impl Scenario {
    /// All scenarios of `tests/vm`, by name.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let dir = sh::workspace().join("tests/vm");
        let mut all = Vec::new();
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "sh") {
                all.push(Self::read(&path)?);
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The scenario in a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self {
            name: name.unwrap_or_default(),
            text,
        })
    }

    /// `# on: WORD...`: it need not run on machines of another suite, or with or without udevd, than these words say.
    pub(crate) fn is_for(&self, suite: &str, udev: &str) -> bool {
        let words = self
            .text
            .lines()
            .take(10)
            .find_map(|line| line.strip_prefix("# on: "));
        words.is_none_or(|words| words.split(' ').all(|word| word == suite || word == udev))
    }

    /// `# boots: N`: it needs a VM of its own that is started N times.
    pub(crate) fn boots(&self) -> Option<u32> {
        self.text
            .lines()
            .take(10)
            .find_map(|line| line.strip_prefix("# boots: ")?.trim().parse().ok())
    }
}
