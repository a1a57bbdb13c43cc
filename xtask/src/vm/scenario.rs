//! The scenarios: `tests/vm/NAME.sh`, and `tests/vm/cluster/NAME.sh` for a cluster, each with what it needs said in comment lines at its top.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::sh;

/// The folder of those that a cluster runs.
const CLUSTER: &str = "cluster";

/// What a VM runs.
pub(crate) struct Scenario {
    /// File name without the extension.
    pub(crate) name: String,
    /// Is it run by a cluster of VMs?
    pub(crate) is_of_cluster: bool,
    /// The script.
    pub(crate) text: String,
}

impl Scenario {
    /// All scenarios of `tests/vm`, by name.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let dir = sh::workspace().join("tests/vm");
        let mut all = Vec::new();
        for dir in [dir.join(CLUSTER), dir] {
            for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
                let path = entry?.path();
                if path.extension().is_some_and(|kind| kind == "sh") {
                    all.push(Self::read(&path)?);
                }
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
            is_of_cluster: path.parent().is_some_and(|dir| dir.ends_with(CLUSTER)),
            text,
        })
    }

    /// `# on: MACHINE...`: it can run on these machines alone, such as `bookworm-noudev`; without, on all.
    pub(crate) fn runs_on(&self, machine: &str) -> bool {
        let machines = self.word("# on: ");
        machines.is_none_or(|machines| machines.split(' ').any(|name| name == machine))
    }

    /// `# gate: MACHINE...`: of the machines that it can run on those that the seed draws from; `# gate: no` for none, as it takes too
    /// long for every commit.  It runs on the others when it is named, or with all others.
    pub(crate) fn is_drawn_on(&self, machine: &str) -> bool {
        let machines = self.word("# gate: ");
        self.runs_on(machine)
            && machines.is_none_or(|machines| machines.split(' ').any(|name| name == machine))
    }

    /// `# boots: N`: it needs a VM of its own that is started N times.
    pub(crate) fn boots(&self) -> Option<u32> {
        self.number("# boots: ")
    }

    /// `# memory: MIB`: it needs a VM with more memory than most.
    pub(crate) fn memory_mib(&self) -> Option<u32> {
        self.number("# memory: ")
    }

    /// `# disks: MIB`: it needs larger disks than most; what is not written takes no space here.
    pub(crate) fn disk_mib(&self) -> Option<u32> {
        self.number("# disks: ")
    }

    fn word(&self, word: &str) -> Option<&str> {
        let mut head = self.text.lines().take(10);
        head.find_map(|line| Some(line.strip_prefix(word)?.trim()))
    }

    fn number(&self, word: &str) -> Option<u32> {
        self.word(word)?.parse().ok()
    }
}
