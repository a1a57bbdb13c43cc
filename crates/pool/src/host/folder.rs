//! Makes the folders of locks and backups, and refuses those that other users could play with.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::{Error, Result};

/// Which links in the place of a folder are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// None.
    Never,
    /// Those that this user or root made: an administrator may keep a folder elsewhere.
    Trusted,
}

/// Makes a private folder with those above it, if it is not there.
///
/// On many hosts all users may make files in the folder above (`/tmp`, `/run/lock`), so what is there may have been
/// put there to mislead.
///
/// # Errors
/// [`Error::UnsafeFolder`] for one of another user than this one and root, and for a link that is not to be
/// followed; [`Error::Io`] for the rest.
pub(crate) fn make(dir: &Path, links: Links) -> Result<()> {
    if let Some(found) = look(dir)? {
        return check(dir, &found, links);
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(Error::io("create", dir))?;
    // Something else may have been quicker.
    match look(dir)? {
        Some(found) => check(dir, &found, links),
        None => Err(Error::io("create", dir)(io::ErrorKind::NotFound.into())),
    }
}

fn look(dir: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(dir) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("stat", dir)(error)),
    }
}

fn check(dir: &Path, found: &Metadata, links: Links) -> Result<()> {
    let refuse = |why: String| {
        let path = dir.to_owned();
        Err(Error::UnsafeFolder { path, why })
    };
    if found.is_symlink() {
        return match (links, untrusted(found)) {
            (Links::Never, _) => refuse("it is a symbolic link".into()),
            (Links::Trusted, Some(user)) => refuse(format!("it is a symbolic link of user {user}")),
            (Links::Trusted, None) => {
                let target = fs::metadata(dir).map_err(Error::io("stat", dir))?;
                check(dir, &target, links)
            }
        };
    }
    if !found.is_dir() {
        return Err(Error::io("create", dir)(io::ErrorKind::NotADirectory.into()));
    }
    match untrusted(found) {
        Some(user) => refuse(format!("it is of user {user}")),
        None => Ok(()),
    }
}

/// The owner, if that is neither this user nor root.
fn untrusted(found: &Metadata) -> Option<u32> {
    let owner = found.uid();
    (owner != 0 && owner != nix::unistd::geteuid().as_raw()).then_some(owner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    use super::*;

    /// Is this test run by root, who alone can give files away?
    fn is_root() -> bool {
        nix::unistd::geteuid().is_root()
    }

    #[test]
    fn a_folder_is_made_private_and_found_again() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("a/b");
        for _ in 0..2 {
            make(&dir, Links::Never).unwrap();
        }
        for made in [&*dir, &top.path().join("a")] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
        fs::write(top.path().join("file"), "").unwrap();
        let error = make(&top.path().join("file"), Links::Trusted).unwrap_err();
        assert!(matches!(error, Error::Io { op: "create", .. }), "{error}");
    }

    #[test]
    fn a_planted_link_is_not_followed_and_one_of_an_administrator_is() {
        let top = tempfile::tempdir().unwrap();
        let (dir, link, loose) = (
            top.path().join("dir"),
            top.path().join("link"),
            top.path().join("loose"),
        );
        fs::create_dir(&dir).unwrap();
        symlink(&dir, &link).unwrap();
        symlink(top.path().join("victim"), &loose).unwrap();
        assert!(matches!(
            make(&link, Links::Never),
            Err(Error::UnsafeFolder { .. })
        ));
        make(&link, Links::Trusted).unwrap();
        for links in [Links::Never, Links::Trusted] {
            assert!(make(&loose, links).is_err());
            assert!(!top.path().join("victim").exists());
        }
        if is_root() {
            lchown(&link, Some(12_345), None).unwrap();
            assert!(matches!(
                make(&link, Links::Trusted),
                Err(Error::UnsafeFolder { .. })
            ));
        }
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        if !is_root() {
            return;
        }
        let top = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(top.path(), Some(12_345), None).unwrap();
        for links in [Links::Never, Links::Trusted] {
            let error = make(top.path(), links).unwrap_err();
            assert!(error.to_string().contains("user 12345"), "{error}");
        }
    }
}
