//! A host made of plain files, for the tests of this layer.

use std::fs;
use std::path::Path;

use super::Paths;

/// A host whose sysfs, procfs and devices are files in a temporary folder.
pub(crate) struct FakeHost {
    dir: tempfile::TempDir,
    pub(crate) paths: Paths,
}

impl FakeHost {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let paths = Paths::under(&root);
        fs::create_dir_all(paths.sys.join("block")).unwrap();
        fs::create_dir_all(&paths.dev).unwrap();
        Self { dir, paths }
    }

    /// The folder of everything.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file with its folders.
    pub(crate) fn write(&self, path: &Path, text: impl AsRef<[u8]>) -> &Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Writes a sysfs attribute of a device (`sda` or `sda/sda1`).
    pub(crate) fn attribute(&self, device: &str, name: &str, value: &str) -> &Self {
        self.write(
            &self.paths.sys.join("block").join(device).join(name),
            format!("{value}\n"),
        )
    }

    pub(crate) fn disk(&self, name: &str, number: &str, size: u64) -> &Self {
        self.attribute(name, "dev", number).attribute(name, "ro", "0");
        self.attribute(name, "size", &(size / 512).to_string());
        self.attribute(name, "queue/logical_block_size", "512");
        self.write(&self.paths.dev.join(name), "")
    }

    pub(crate) fn partition(&self, disk: &str, name: &str, number: &str, size: u64) -> &Self {
        let device = format!("{disk}/{name}");
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        self.attribute(&device, "dev", number)
            .attribute(&device, "partition", digits);
        self.attribute(&device, "size", &(size / 512).to_string());
        self.write(&self.paths.dev.join(name), "")
    }

    pub(crate) fn mapped(&self, kernel: &str, number: &str, name: &str, uuid: &str) -> &Self {
        self.disk(kernel, number, 1 << 30);
        self.attribute(kernel, "dm/name", name)
            .attribute(kernel, "dm/uuid", uuid);
        self.attribute(kernel, "dm/suspended", "0")
    }

    /// Says that `holder` is built on `device`.
    pub(crate) fn holder(&self, device: &str, holder: &str) -> &Self {
        self.attribute(device, &format!("holders/{holder}"), "")
    }

    /// Makes `name` below the devices folder a link to the node of `device`.
    pub(crate) fn link(&self, name: &str, device: &str) -> &Self {
        let link = self.paths.dev.join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(self.paths.dev.join(device), link).unwrap();
        self
    }
}
