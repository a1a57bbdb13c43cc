//! Writing an initramfs: a cpio archive in the form that the kernel calls `newc`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Files are padded to this.
const ALIGN: usize = 4;
const FOLDER: u32 = 0o040_755;
const SYMLINK: u32 = 0o120_777;

/// An archive being written.  Everything in it belongs to root and has no date, so equal content is equal bytes.
pub(crate) struct Archive<W: Write> {
    out: W,
    inode: u32,
    folders: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// Starts an archive.
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            inode: 0,
            folders: BTreeSet::new(),
        }
    }

    /// Adds a file with its permission bits; `path` has no leading slash.
    pub(crate) fn file(&mut self, path: &str, permissions: u32, content: &[u8]) -> io::Result<()> {
        self.folders_above(path)?;
        self.entry(path, 0o100_000 | permissions & 0o7777, content)
    }

    /// Adds a folder.
    pub(crate) fn folder(&mut self, path: &str) -> io::Result<()> {
        self.folders_above(path)?;
        if self.folders.insert(path.to_owned()) {
            self.entry(path, FOLDER, &[])
        } else {
            Ok(())
        }
    }

    /// Adds everything below `root` whose path passes `keep`; a folder that does not is left out with its content.
    pub(crate) fn tree(&mut self, root: &Path, keep: &dyn Fn(&str) -> bool) -> io::Result<()> {
        self.below(root, "", keep)
    }

    /// Ends the archive, padded so that another may follow.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.write_all(&[0; 512])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn below(&mut self, root: &Path, folder: &str, keep: &dyn Fn(&str) -> bool) -> io::Result<()> {
        let mut names: Vec<_> = fs::read_dir(root.join(folder))?.collect::<io::Result<_>>()?;
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            let name = entry.file_name();
            let name = name
                .to_str()
                .ok_or_else(|| io::Error::other(format!("file name {name:?} is not text")))?;
            let path = if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            };
            if !keep(&path) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.folder(&path)?;
                self.below(root, &path, keep)?;
            } else if kind.is_symlink() {
                let to = fs::read_link(entry.path())?;
                self.folders_above(&path)?;
                self.entry(&path, SYMLINK, to.as_os_str().as_bytes())?;
            } else if kind.is_file() {
                self.file(
                    &path,
                    entry.metadata()?.permissions().mode(),
                    &fs::read(entry.path())?,
                )?;
            }
        }
        Ok(())
    }

    fn folders_above(&mut self, path: &str) -> io::Result<()> {
        for (end, _) in path.match_indices('/') {
            let folder = &path[..end];
            if self.folders.insert(folder.to_owned()) {
                self.entry(folder, FOLDER, &[])?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let too_long = |_| io::Error::other(format!("{path} is too long for an initramfs"));
        let size = u32::try_from(content.len()).map_err(too_long)?;
        let name_size = u32::try_from(path.len() + 1).map_err(too_long)?;
        // inode, mode, owner, group, links, date, size, four device numbers, length of the name, checksum (unused)
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut head = String::from("070701");
        fields.iter().for_each(|field| head += &format!("{field:08x}"));
        head += path;
        head.push('\0');
        self.padded(head.as_bytes())?;
        self.padded(content)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out
            .write_all(&[0; ALIGN][..bytes.len().next_multiple_of(ALIGN) - bytes.len()])
    }
}
