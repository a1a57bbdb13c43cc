//! The ids by which LVM's devices file knows a device, read from sysfs.  Reference: LVM2 `lib/device/device_id.c`,
//! `lib/device/parse_vpd.c`.

use std::fmt;

use super::{BlockDevice, DeviceKind, sysfs};

macro_rules! id_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The kind of an id in the devices file.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum DeviceIdType {
            $($(#[$doc])* $name,)*
            /// A kind that this library does not know: kept, and matched with no device.
            Other(String),
        }

        /// Every kind that can be read from a device.
        const KNOWN_TYPES: &[DeviceIdType] = &[$(DeviceIdType::$name,)*];

        impl DeviceIdType {
            /// Reads the word of the file.
            pub fn parse(text: &str) -> Self {
                match text {
                    $($text => Self::$name,)*
                    _ => Self::Other(text.to_owned()),
                }
            }

            /// The word of the file.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(text) => text,
                }
            }
        }
    };
}

id_types! {
    /// The kernel's world-wide id.
    SysWwid = "sys_wwid",
    /// The drive's serial number.
    SysSerial = "sys_serial",
    /// The node's name, which may change from boot to boot.
    DevName = "devname",
    /// The device-mapper uuid of a multipath map.
    MpathUuid = "mpath_uuid",
    /// The device-mapper uuid of an encrypted volume.
    CryptUuid = "crypt_uuid",
    /// The device-mapper uuid of an LV.
    LvmLvUuid = "lvmlv_uuid",
    /// The uuid of a RAID array.
    MdUuid = "md_uuid",
    /// The file behind a loop device.
    LoopFile = "loop_file",
    /// The NAA name of SCSI page 0x83.
    WwidNaa = "wwid_naa",
    /// The EUI-64 name of SCSI page 0x83.
    WwidEui = "wwid_eui",
    /// The T10 vendor name of SCSI page 0x83.
    WwidT10 = "wwid_t10",
    /// The EUI-64 of an NVMe namespace.
    NvmeEui64 = "nvme_eui64",
    /// The NGUID of an NVMe namespace.
    NvmeNguid = "nvme_nguid",
    /// The UUID of an NVMe namespace.
    NvmeUuid = "nvme_uuid",
}

impl fmt::Display for DeviceIdType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl BlockDevice {
    /// The device's id of one kind as the devices file writes it, or `None` where it has none.
    pub fn id(&self, kind: &DeviceIdType) -> Option<String> {
        if !self.may_have(kind) {
            return None;
        }
        let disk = self.whole_sysfs();
        let id = match kind {
            DeviceIdType::SysWwid => sys_wwid(self),
            DeviceIdType::SysSerial => sys_serial(self),
            DeviceIdType::DevName => Some(self.preferred_name().to_str()?.to_owned()),
            DeviceIdType::MpathUuid => self
                .dm_uuid()
                .filter(|uuid| has_prefix(uuid, "mpath-"))
                .map(plain),
            DeviceIdType::CryptUuid => self
                .dm_uuid()
                .filter(|uuid| has_prefix(uuid, "CRYPT-"))
                .map(plain),
            DeviceIdType::LvmLvUuid => self.dm_uuid().filter(|uuid| has_prefix(uuid, "LVM-")).map(plain),
            DeviceIdType::MdUuid => sysfs::text(&disk.join("md/uuid")).as_deref().map(plain),
            DeviceIdType::LoopFile => match &self.kind {
                DeviceKind::Loop { file: Some(file) } => {
                    file.to_str().filter(|f| !f.contains("(deleted)")).map(plain)
                }
                _ => None,
            },
            DeviceIdType::WwidNaa => vpd_id(self, 3),
            DeviceIdType::WwidEui => vpd_id(self, 2),
            DeviceIdType::WwidT10 => vpd_id(self, 1),
            DeviceIdType::NvmeEui64 => sysfs::text(&disk.join("eui")).and_then(|text| hex("eui.", &text, 16)),
            DeviceIdType::NvmeNguid => {
                sysfs::text(&disk.join("nguid")).and_then(|text| hex("eui.", &text, 32))
            }
            DeviceIdType::NvmeUuid => sysfs::text(&disk.join("uuid")).map(|uuid| format!("uuid.{uuid}")),
            DeviceIdType::Other(_) => None,
        };
        id.filter(|id| !id.is_empty())
    }

    /// The id for a new entry: the most stable one there is that every LVM with a devices file can find again.
    ///
    /// That leaves out the serial number of a virtio disk, which lvm2 2.03.16 does not read: it would not find the disk.
    /// By its name and the id of its PV it does.
    pub fn preferred_id(&self) -> (DeviceIdType, String) {
        use DeviceIdType::*;
        let order: &[DeviceIdType] = match self.kind {
            DeviceKind::Mapped { .. } => &[MpathUuid, CryptUuid, LvmLvUuid],
            DeviceKind::Loop { .. } => &[LoopFile],
            DeviceKind::Md { .. } => &[MdUuid],
            _ if self.kernel_name.starts_with("vd") => &[SysWwid],
            _ => &[SysWwid, WwidNaa, WwidEui, WwidT10, SysSerial],
        };
        let found = order.iter().find_map(|kind| Some((kind.clone(), self.id(kind)?)));
        found.unwrap_or_else(|| (DevName, self.preferred_name().to_string_lossy().into_owned()))
    }

    /// All ids that the device has, read at once: there may be many entries to compare with.
    pub(crate) fn ids(&self) -> DeviceIds<'_> {
        let ids = KNOWN_TYPES
            .iter()
            .filter_map(|kind| Some((kind.clone(), self.id(kind)?)))
            .collect();
        DeviceIds { device: self, ids }
    }

    fn may_have(&self, kind: &DeviceIdType) -> bool {
        use DeviceIdType::*;
        match kind {
            DevName => true,
            MpathUuid | CryptUuid | LvmLvUuid => matches!(self.kind, DeviceKind::Mapped { .. }),
            LoopFile => matches!(self.kind, DeviceKind::Loop { .. }),
            MdUuid => matches!(self.kind, DeviceKind::Md { .. }),
            _ => matches!(self.kind, DeviceKind::Disk | DeviceKind::Partition { .. }),
        }
    }
}

/// The ids of one device at one moment.
pub(crate) struct DeviceIds<'a> {
    device: &'a BlockDevice,
    ids: Vec<(DeviceIdType, String)>,
}

impl DeviceIds<'_> {
    /// The device.
    pub(crate) fn device(&self) -> &BlockDevice {
        self.device
    }

    /// Whether this id, which an entry holds, is the device's.
    pub(crate) fn contain(&self, kind: &DeviceIdType, id: &str) -> bool {
        use DeviceIdType::*;
        let of = |wanted: &DeviceIdType| {
            self.ids
                .iter()
                .find(|(kind, _)| kind == wanted)
                .map(|(_, own)| own.as_str())
        };
        let mapped = matches!(self.device.kind, DeviceKind::Mapped { .. });
        match kind {
            // A mapped device is known by any of its names, others by their node alone.
            DevName if mapped => self.device.names().iter().any(|name| name.as_os_str() == id),
            DevName => self.device.node.as_os_str() == id,
            // A bug of old LVM versions mixed these three up; a device has one of them.
            MpathUuid | CryptUuid | LvmLvUuid => [MpathUuid, CryptUuid, LvmLvUuid]
                .iter()
                .find_map(of)
                .is_some_and(|own| own == id),
            // Older versions of LVM wrote `_` for the white space around an id, and for each inside a T10 one.
            // Drives have several world-wide ids, and kernels changed which of them is the one.
            SysWwid => {
                let id = tidy(kind, id);
                of(&SysWwid) == Some(&id)
                    || [WwidNaa, WwidEui, WwidT10, NvmeUuid, NvmeNguid, NvmeEui64]
                        .iter()
                        .any(|kind| of(kind) == Some(&id))
            }
            SysSerial => of(kind) == Some(&tidy(kind, id)),
            _ => of(kind) == Some(id),
        }
    }
}

/// Whether a device-mapper uuid is of this kind, or a partition (`part1-...`) on one that is.
pub(crate) fn has_prefix(uuid: &str, prefix: &str) -> bool {
    let rest = uuid.strip_prefix("part").and_then(|rest| {
        let (number, rest) = rest.split_once('-')?;
        (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
    });
    rest.unwrap_or(uuid).starts_with(prefix)
}

/// Replaces what would end a value in the file.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '"' || c.is_ascii_whitespace() || c.is_ascii_control() {
                '_'
            } else {
                c
            }
        })
        .collect()
}

fn sys_wwid(device: &BlockDevice) -> Option<String> {
    let disk = device.whole_sysfs();
    let raw = sysfs::bytes(&disk.join("device/wwid")).filter(|raw| !raw.is_empty());
    let raw = raw.or_else(|| sysfs::bytes(&disk.join("wwid")))?;
    let raw = raw.strip_suffix(b"\n").unwrap_or(&raw);
    let spaced = raw.iter().position(|byte| *byte != b' ').unwrap_or(0);
    let t10 = raw.get(spaced..).is_some_and(|rest| rest.starts_with(b"t10"));
    let id = if t10 { squeezed(raw) } else { spaced_out(raw) };
    Some(tidy(&DeviceIdType::SysWwid, &id))
}

fn sys_serial(device: &BlockDevice) -> Option<String> {
    let disk = device.whole_sysfs();
    let own = || sysfs::bytes(&disk.join("device/serial")).map(|raw| spaced_out(raw.trim_ascii_end()));
    let page = || sysfs::bytes(&disk.join("device/vpd_pg80")).and_then(|page| vpd_serial(&page));
    let virtio = || {
        let name = disk.file_name()?.to_str()?;
        if !name.starts_with("vd") {
            return None;
        }
        sysfs::bytes(&disk.join("serial")).map(|raw| spaced_out(raw.trim_ascii_end()))
    };
    let found = own()
        .filter(|id| !id.is_empty())
        .or_else(|| page().filter(|id| !id.is_empty()))
        .or_else(virtio)?;
    Some(tidy(&DeviceIdType::SysSerial, &found))
}

/// SCSI page 0x80: the length in bytes 2 and 3, then the serial number.
fn vpd_serial(page: &[u8]) -> Option<String> {
    let len = u16::from_be_bytes(page.get(2..4)?.try_into().ok()?);
    let serial = page.get(4..)?;
    let serial = serial.get(..usize::from(len).min(serial.len()))?;
    Some(String::from_utf8_lossy(serial.trim_ascii()).into_owned())
}

/// The first designator of one type on SCSI page 0x83: 1 is T10, 2 is EUI-64, 3 is NAA.
fn vpd_id(device: &BlockDevice, wanted: u8) -> Option<String> {
    let page = sysfs::bytes(&device.whole_sysfs().join("device/vpd_pg83"))?;
    let mut rest = page.get(4..)?;
    while let [_, kind, _, len, tail @ ..] = rest {
        let (id, next) = tail.split_at(usize::from(*len).min(tail.len()));
        let text = || id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match (kind & 0xf, id.len()) {
            (1, _) if wanted == 1 => return Some(format!("t10.{}", squeezed(id))),
            (2, 8 | 12 | 16) if wanted == 2 => return Some(format!("eui.{}", text())),
            (3, 8 | 16) if wanted == 3 => return Some(format!("naa.{}", text())),
            // A SCSI name string may hold one of the others as text.
            (8, _) => {
                let name = String::from_utf8_lossy(id)
                    .trim_end_matches('\0')
                    .to_ascii_lowercase();
                if name.starts_with("eui.") && wanted == 2 || name.starts_with("naa.") && wanted == 3 {
                    return Some(name);
                }
            }
            _ => {}
        }
        rest = next;
    }
    None
}

/// A prefix and exactly `digits` hexadecimal digits, not all zero, from text that may group them.
fn hex(prefix: &str, text: &str, digits: usize) -> Option<String> {
    let id: String = text
        .chars()
        .filter(char::is_ascii_hexdigit)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    (id.len() == digits && id.bytes().any(|digit| digit != b'0')).then(|| format!("{prefix}{id}"))
}

fn printable(raw: &[u8]) -> impl Iterator<Item = char> {
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    let shown = |byte: &&u8| (b' '..=b'~').contains(*byte) && **byte != b'"';
    raw.iter().take(end).filter(shown).map(|byte| char::from(*byte))
}

/// Drops white space at the ends and turns each space inside into `_`.
fn spaced_out(raw: &[u8]) -> String {
    printable(raw)
        .collect::<String>()
        .trim_matches(' ')
        .replace(' ', "_")
}

/// Drops white space at the ends and turns each run of spaces inside into one `_`.
fn squeezed(raw: &[u8]) -> String {
    printable(raw)
        .collect::<String>()
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

fn tidy(kind: &DeviceIdType, id: &str) -> String {
    let id = id.trim_matches('_');
    if *kind == DeviceIdType::SysWwid && id.starts_with("t10") {
        return id
            .split('_')
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join("_");
    }
    id.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Devices;
    use crate::host::testing::FakeHost;

    fn device(host: &FakeHost, name: &str) -> BlockDevice {
        Devices::scan(&host.paths, &Default::default())
            .unwrap()
            .by_kernel_name(name)
            .unwrap()
            .clone()
    }

    #[test]
    fn a_disk_prefers_its_world_wide_id_and_falls_back_to_serial_and_name() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", 1 << 30)
            .partition("sda", "sda1", "8:1", 1 << 20);
        let name = host.paths.dev.join("sda").to_str().unwrap().to_owned();
        assert_eq!(device(&host, "sda").preferred_id(), (DeviceIdType::DevName, name));
        host.attribute("sda", "device/serial", "  AB 12  ");
        assert_eq!(
            device(&host, "sda").preferred_id(),
            (DeviceIdType::SysSerial, "AB_12".into())
        );
        host.attribute("sda", "device/wwid", "naa.600140");
        assert_eq!(
            device(&host, "sda").preferred_id(),
            (DeviceIdType::SysWwid, "naa.600140".into())
        );
        assert_eq!(
            device(&host, "sda1").id(&DeviceIdType::SysWwid).as_deref(),
            Some("naa.600140"),
            "of its disk"
        );
    }

    #[test]
    fn nvme_and_virtio_disks_keep_their_ids_elsewhere() {
        let host = FakeHost::new();
        host.disk("nvme0n1", "259:0", 1 << 30)
            .attribute("nvme0n1", "wwid", "eui.0025385");
        host.attribute("nvme0n1", "nguid", "00112233-4455-6677-8899-aabbccddeeff");
        host.disk("vda", "254:0", 1 << 30)
            .attribute("vda", "serial", "disk-7");
        let nvme = device(&host, "nvme0n1");
        assert_eq!(nvme.preferred_id(), (DeviceIdType::SysWwid, "eui.0025385".into()));
        assert!(
            nvme.ids()
                .contain(&DeviceIdType::SysWwid, "eui.00112233445566778899aabbccddeeff"),
            "an id of a younger kernel"
        );
        let vda = device(&host, "vda");
        assert_eq!(vda.id(&DeviceIdType::SysSerial).as_deref(), Some("disk-7"));
        assert_eq!(
            vda.preferred_id().0,
            DeviceIdType::DevName,
            "lvm2 2.03.16 would not find it by its serial"
        );
    }

    #[test]
    fn t10_ids_match_however_their_spaces_were_written() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", 1 << 30)
            .attribute("sda", "device/wwid", "  t10.ATA     QEMU  DISK   7 ");
        let disk = device(&host, "sda");
        assert_eq!(
            disk.id(&DeviceIdType::SysWwid).as_deref(),
            Some("t10.ATA_QEMU_DISK_7")
        );
        assert!(
            disk.ids()
                .contain(&DeviceIdType::SysWwid, "__t10.ATA_____QEMU__DISK___7_")
        );
        assert!(!disk.ids().contain(&DeviceIdType::SysWwid, "t10.ATA_QEMU_DISK_8"));
    }

    #[test]
    fn the_scsi_pages_give_ids_and_broken_ones_do_not_panic() {
        let host = FakeHost::new();
        host.disk("sda", "8:0", 1 << 30);
        let page = |name: &str| host.paths.sys.join("block/sda/device").join(name);
        let mut ids = vec![0, 0x83, 0, 24];
        ids.extend([1, 0x01, 0, 7]);
        ids.extend(b"V  P  1");
        ids.extend([1, 0x03, 0, 8, 0x60, 1, 2, 3, 4, 5, 6, 0xff]);
        host.write(&page("vpd_pg83"), &ids);
        let mut serial = vec![0, 0x80, 0, 6];
        serial.extend(b" S-9  ");
        host.write(&page("vpd_pg80"), &serial);
        let disk = device(&host, "sda");
        assert_eq!(disk.id(&DeviceIdType::WwidT10).as_deref(), Some("t10.V_P_1"));
        assert_eq!(
            disk.id(&DeviceIdType::WwidNaa).as_deref(),
            Some("naa.60010203040506ff")
        );
        assert_eq!(disk.id(&DeviceIdType::WwidEui), None);
        assert_eq!(disk.id(&DeviceIdType::SysSerial).as_deref(), Some("S-9"));
        for len in 0..ids.len() {
            host.write(&page("vpd_pg83"), &ids[..len])
                .write(&page("vpd_pg80"), &serial[..len.min(serial.len())]);
            disk.id(&DeviceIdType::WwidNaa);
            disk.id(&DeviceIdType::SysSerial);
        }
    }

    #[test]
    fn mapped_loop_and_raid_devices_have_ids_of_their_own() {
        let host = FakeHost::new();
        host.mapped("dm-0", "253:0", "mpatha", "mpath-3600").mapped(
            "dm-1",
            "253:1",
            "mpatha1",
            "part1-mpath-3600",
        );
        host.mapped("dm-2", "253:2", "secret", "CRYPT-LUKS2-1")
            .mapped("dm-3", "253:3", "x", "");
        host.disk("loop0", "7:0", 0)
            .attribute("loop0", "loop/backing_file", "/srv/an image");
        host.disk("loop1", "7:1", 0)
            .attribute("loop1", "loop/backing_file", "/srv/gone (deleted)");
        host.disk("md0", "9:0", 0).attribute("md0", "md/uuid", "1234");
        let expect = |name: &str, kind, id: &str| {
            assert_eq!(device(&host, name).preferred_id(), (kind, id.to_owned()))
        };
        expect("dm-0", DeviceIdType::MpathUuid, "mpath-3600");
        expect("dm-1", DeviceIdType::MpathUuid, "part1-mpath-3600");
        expect("dm-2", DeviceIdType::CryptUuid, "CRYPT-LUKS2-1");
        expect(
            "dm-3",
            DeviceIdType::DevName,
            host.paths.dev.join("dm-3").to_str().unwrap(),
        );
        expect("loop0", DeviceIdType::LoopFile, "/srv/an_image");
        expect(
            "loop1",
            DeviceIdType::DevName,
            host.paths.dev.join("loop1").to_str().unwrap(),
        );
        expect("md0", DeviceIdType::MdUuid, "1234");
    }
}
