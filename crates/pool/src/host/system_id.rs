//! This host's system id, and whether a VG's allows us to use it.  Reference: `man 7 lvmsystemid`.

use std::path::Path;

use super::{Config, Paths, Result, sysfs};
use crate::sha256;

/// LVM's id as an application of systemd, from which `appmachineid` is derived.
const APPLICATION: [u8; 16] = [
    0xf6, 0x44, 0x06, 0x83, 0x2c, 0x21, 0x40, 0xe8, 0xac, 0x54, 0x22, 0xd1, 0x08, 0x9a, 0xae, 0x03,
];
/// Longest system id.
const ID_LIMIT: usize = 128;

/// This host's system id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemId {
    /// The host has none, as configured: it uses VGs that have none either.
    None,
    /// New VGs get this one.
    Known(String),
    /// It should have one, but its source gives none: VGs with an id are not ours.
    Unknown {
        /// `global/system_id_source`.
        source: String,
    },
}

impl SystemId {
    /// Finds the host's id in the configured source.
    ///
    /// # Errors
    /// [`Error::Io`](super::Error::Io) when the source is a file that is there but cannot be read.
    pub fn read(config: &Config, paths: &Paths, host_name: &str) -> Result<Self> {
        let source = config.global.system_id_source.as_str();
        let text = match source.to_ascii_lowercase().as_str() {
            "none" => return Ok(Self::None),
            "uname" => Some(host_name.to_owned()),
            "lvmlocal" => config.local_system_id.clone(),
            "machineid" | "machine-id" => first_line(&paths.etc.join("machine-id"))?,
            "appmachineid" => first_line(&paths.etc.join("machine-id"))?.and_then(|id| application_id(&id)),
            "file" => match &config.global.system_id_file {
                Some(file) => first_line(file)?,
                None => None,
            },
            _ => None,
        };
        Ok(match text.as_deref().and_then(legal) {
            Some(id) => Self::Known(id),
            None => Self::Unknown {
                source: source.to_owned(),
            },
        })
    }

    /// The id that a new VG gets.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Known(id) => Some(id),
            _ => None,
        }
    }

    /// Whether a VG with this id may be changed and activated here: it has none, ours, or one of `extra`
    /// ([`Config::extra_system_ids`]).
    pub fn owns(&self, vg_system_id: Option<&str>, extra: &[String]) -> bool {
        match vg_system_id {
            None | Some("") => true,
            Some(id) => self.as_str() == Some(id) || extra.iter().any(|extra| extra == id),
        }
    }
}

/// Keeps the characters that an id may have; `None` when nothing remains, or what every host could be called.
fn legal(text: &str) -> Option<String> {
    let text = text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let id: String = text
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "._-+".contains(*c))
        .take(ID_LIMIT)
        .collect();
    (!id.is_empty() && !id.starts_with("localhost")).then_some(id)
}

/// The first line of a file that is not empty, without its comment.
fn first_line(path: &Path) -> Result<Option<String>> {
    let text = sysfs::optional_file(path)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines.find(|line| !line.is_empty()).map(str::to_owned))
}

/// The id that systemd derives for LVM: a random-looking UUID that does not give the machine's id away.
fn application_id(machine_id: &str) -> Option<String> {
    let digits: Vec<u8> = machine_id
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    if digits.len() != 32 {
        return None;
    }
    let key: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    let mut id = sha256::hmac(&key, &APPLICATION);
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    Some(id.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::FakeHost;

    fn id(host: &FakeHost, config: &str) -> SystemId {
        host.write(&host.paths.lvm_system_dir.join("lvm.conf"), config);
        let config = Config::read(&host.paths, "node-1.example").unwrap();
        SystemId::read(&config, &host.paths, "node-1.example").unwrap()
    }

    fn source(host: &FakeHost, source: &str) -> SystemId {
        id(
            host,
            &format!("global {{ system_id_source = \"{source}\" }} local {{ system_id = \"loc/al\" }}"),
        )
    }

    #[test]
    fn each_source_gives_its_id_in_legal_characters() {
        let host = FakeHost::new();
        let known = |text: &str| SystemId::Known(text.to_owned());
        host.write(
            &host.paths.etc.join("machine-id"),
            "# c\n\n4c1a7f4a0e6d4b8f9d0f4d8f6f3a2b1c # mine\nmore\n",
        );
        assert_eq!(source(&host, "none"), SystemId::None);
        assert_eq!(source(&host, "uname"), known("node-1.example"));
        assert_eq!(source(&host, "lvmlocal"), known("local"));
        assert_eq!(
            source(&host, "MachineID"),
            known("4c1a7f4a0e6d4b8f9d0f4d8f6f3a2b1c")
        );
        // As `systemd-id128 -a` gives for this machine id.
        assert_eq!(
            source(&host, "appmachineid"),
            known("18ff803a0103462b80a97d60e9127d9b")
        );
        let file = host.root().join("id");
        host.write(&file, "  --the host!\n");
        let config = format!(
            "global {{ system_id_source = \"file\" system_id_file = \"{}\" }}",
            file.display()
        );
        assert_eq!(id(&host, &config), known("thehost"));
    }

    #[test]
    fn a_source_that_gives_nothing_is_not_the_same_as_none() {
        let host = FakeHost::new();
        for source_name in ["machineid", "appmachineid", "file", "somewhere"] {
            assert_eq!(
                source(&host, source_name),
                SystemId::Unknown {
                    source: source_name.into()
                }
            );
        }
        host.write(&host.paths.etc.join("machine-id"), "uninitialized\n");
        assert!(matches!(source(&host, "appmachineid"), SystemId::Unknown { .. }));
        assert_eq!(legal("localhost.localdomain"), None);
        assert_eq!(legal("?!"), None);
    }

    #[test]
    fn vgs_are_ours_without_an_id_with_ours_and_with_an_extra_one() {
        let known = SystemId::Known("a".into());
        let extra = ["b".to_owned()];
        for (vg, expected) in [
            (None, true),
            (Some(""), true),
            (Some("a"), true),
            (Some("b"), true),
            (Some("c"), false),
        ] {
            assert_eq!(known.owns(vg, &extra), expected, "{vg:?}");
        }
        for host in [
            SystemId::None,
            SystemId::Unknown {
                source: "file".into(),
            },
        ] {
            assert!(host.owns(None, &[]));
            assert!(!host.owns(Some("a"), &[]));
        }
    }

    /// As `systemd-id128 machine-id --app-specific` derives it, by HMAC-SHA-256.
    #[test]
    fn the_derived_id_is_the_one_that_systemd_derives() {
        let derived = application_id("0123456789abcdef0123456789abcdef");
        assert_eq!(derived.as_deref(), Some("e04dc1622fd546c992a77a2d2421761f"));
    }
}
