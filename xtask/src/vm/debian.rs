//! Debian packages: those that this machine needs, and those that a VM is made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::sh;

/// Programs with the Debian package that brings each.
pub(crate) type Tools = [(&'static str, &'static str)];

/// Makes sure that the programs are there: installs their packages as root, otherwise names them.
pub(crate) fn install(tools: &Tools) -> Result<()> {
    let missing = || tools.iter().filter(|(program, _)| !sh::is_installed(program));
    let mut packages: Vec<&str> = missing().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    install_packages(&packages)?;
    match missing().next() {
        Some((program, package)) => {
            bail!("the Debian package {package} is installed, but there is no {program}")
        }
        None => Ok(()),
    }
}

/// As [`install`], for packages that bring no program.
pub(crate) fn install_libraries(packages: &[&str]) -> Result<()> {
    let is_installed = |package: &&str| {
        let status =
            sh::output(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]));
        status.is_ok_and(|status| status == "installed")
    };
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    install_packages(&missing)
}

fn install_packages(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let root = sh::output(Command::new("id").arg("-u"))?.trim() == "0";
    if !root || !sh::is_installed("apt-get") {
        bail!("these Debian packages are missing: {}", packages.join(" "));
    }
    eprintln!("installing {}", packages.join(" "));
    sh::output(Command::new("apt-get").args(["-qq", "update"]))?;
    let options = ["-qq", "-y", "--no-install-recommends", "install"];
    sh::output(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(options)
            .args(packages),
    )?;
    Ok(())
}

/// A package manager's state of its own for one Debian suite: this machine's is neither used nor changed.
pub(crate) struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// Makes the state in `dir` and loads the lists of packages, from the mirrors that this machine uses.
    pub(crate) fn open(dir: &Path, suite: &str) -> Result<Self> {
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        fs::write(dir.join("status"), "")?;
        fs::write(dir.join("sources.list"), sources(suite)?)?;
        let apt = Self { dir: dir.to_owned() };
        sh::output(apt.command().arg("update"))?;
        Ok(apt)
    }

    /// Downloads the packages with all that they depend on; gives the package files.
    pub(crate) fn download(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        sh::output(
            self.command()
                .args(["-y", "--download-only", "install"])
                .args(packages),
        )?;
        let files = fs::read_dir(self.dir.join("cache/archives"))?;
        let files: Vec<PathBuf> = files.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        Ok(files
            .into_iter()
            .filter(|path| path.extension().is_some_and(|kind| kind == "deb"))
            .collect())
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("-qq");
        for (option, path) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State", "state"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            command
                .arg("-o")
                .arg(format!("{option}={}", self.dir.join(path).display()));
        }
        for option in [
            "Dir::Etc::sourceparts=-",
            "Debug::NoLocking=1",
            "APT::Sandbox::User=",
            "APT::Architecture=amd64",
            "APT::Architectures=amd64",
            "APT::Install-Recommends=0",
            "Acquire::Retries=3",
        ] {
            command.args(["-o", option]);
        }
        command
    }
}

/// This machine's own Debian mirrors, with the suite's name in place of its own.
fn sources(suite: &str) -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let own = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or("stable");
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
    let targets = sh::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        format,
        "Created-By: Packages",
    ]))?;
    let mut lines: Vec<String> = Vec::new();
    for target in targets.lines() {
        let [uri, release, component] = target.split(' ').collect::<Vec<_>>()[..] else {
            continue;
        };
        let base = release.split(['-', '/']).next().unwrap_or(release);
        if base == own || ["stable", "oldstable", "testing"].contains(&base) {
            lines.push(format!(
                "deb {uri} {suite}{} {component}\n",
                &release[base.len()..]
            ));
        }
    }
    lines.sort();
    lines.dedup();
    if lines.is_empty() {
        bail!("this machine's package manager knows no Debian mirror: a VM's kernel and tools come from one");
    }
    Ok(lines.concat())
}

/// Unpacks a package file below `root`.
pub(crate) fn unpack(package: &Path, root: &Path) -> Result<()> {
    let mut unpacker = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()?;
    let archive = unpacker.stdout.take().context("no output of dpkg-deb")?;
    let mut tar = Command::new("tar");
    tar.arg("-x")
        .arg("-C")
        .arg(root)
        .args(["--keep-directory-symlink", "--no-same-owner"])
        .stdin(archive);
    sh::run(&mut tar)?;
    if !unpacker.wait()?.success() {
        bail!("dpkg-deb cannot unpack {}", package.display());
    }
    Ok(())
}
