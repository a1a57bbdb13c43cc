use proptest::prelude::*;

use super::*;
use crate::{Target, TargetLine};

const MIB: usize = 1 << 20;

/// Builds a reply field by field, in the kernel's order of things.
struct Reply(Vec<u8>);

impl Reply {
    /// A header of interface 4.`minor`.
    fn new(minor: u32, target_count: u32, flags: u32) -> Self {
        let mut bytes = Vec::new();
        // version, data_size, data_start, target_count, open_count, flags, event_nr, padding
        for field in [4, minor, 0, 305, 312, target_count, 2, flags, 7, 0] {
            bytes.extend_from_slice(&u32::to_ne_bytes(field));
        }
        bytes.extend_from_slice(&u64::to_ne_bytes(0xfd05));
        bytes.resize(HEADER, 0);
        Self(bytes)
    }

    fn at(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The message with its true size in the header, as the kernel leaves the rest of a larger buffer behind it.
    fn decode(self) -> Message {
        let size = u32::try_from(self.0.len()).unwrap();
        self.decode_with_size(size)
    }

    fn decode_with_size(self, size: u32) -> Message {
        let raw = Message {
            command: Command::Status,
            bytes: self.at(12, &size.to_ne_bytes()).0,
        };
        Message::reply(Command::Status, &raw.to_words(4096))
    }
}

fn name_list(flags: u32) -> Reply {
    let first = Reply::new(47, 0, 0)
        .u64(0xfd00)
        .u32(56)
        .bytes(b"vg-lv\0\0\0\0\0\0\0");
    let first = first
        .u32(3)
        .u32(flags)
        .bytes(b"LVM-abcdefg\0\0\0\0\0\0\0\0\0\0\0\0\0");
    first.u64(0xfd01).u32(0).bytes(b"x\0\0\0").u32(9).u32(HAS_NO_UUID)
}

#[test]
fn a_request_has_the_kernels_layout() {
    let name = DmName::new("vg-lv").unwrap();
    let message = Message::about(Command::Rename, DeviceId::Name(&name)).text("vg-new");
    let mut expected = vec![0; HEADER];
    for (at, value) in [(0, 4u32), (16, 312)] {
        expected[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    expected[48..53].copy_from_slice(b"vg-lv");
    expected.extend_from_slice(b"vg-new\0");
    assert_eq!(message.bytes, expected);
    let words = message.to_words(0);
    assert_eq!((words.len(), words[6]), (40, u64::from_ne_bytes(*b"vg-lv\0\0\0")));

    let uuid = DmUuid::new("LVM-u").unwrap();
    let number = DeviceNumber {
        major: 253,
        minor: 256,
    };
    assert_eq!(
        Message::about(Command::Status, DeviceId::Uuid(&uuid)).bytes[176..182],
        *b"LVM-u\0"
    );
    assert_eq!(
        Message::about(Command::Status, DeviceId::Number(number))
            .u64(40)
            .unwrap(),
        0x10_fd00
    );
    let message = Message::new(Command::TargetMessage).target_message(5, "create_thin 0");
    assert_eq!(
        (message.u64(312).unwrap(), &message.bytes[320..]),
        (5, &b"create_thin 0\0"[..])
    );
}

#[test]
fn each_request_asks_for_the_lowest_version_that_has_what_it_uses() {
    let minor = |message: Message| message.u32(4).unwrap();
    let number = DeviceNumber { major: 253, minor: 0 };
    let about = |command| Message::about(command, DeviceId::Name(&DmName::new("a").unwrap()));
    assert_eq!(minor(about(Command::Status)), 0);
    assert_eq!(
        minor(Message::about(Command::Status, DeviceId::Number(number))),
        3
    );
    assert_eq!(minor(about(Command::TargetMessage)), 2);
    assert_eq!(minor(about(Command::Suspend).flags(flag::SUSPEND)), 0);
    assert_eq!(
        minor(about(Command::Suspend).flags(flag::SUSPEND | flag::NOFLUSH)),
        12
    );
    assert_eq!(minor(about(Command::Suspend).cookie(1)), 15);
    assert_eq!(
        minor(about(Command::TableStatus).flags(flag::QUERY_INACTIVE | flag::NOFLUSH)),
        16
    );
    assert_eq!(minor(about(Command::Rename).flags(flag::UUID)), 19);
    assert_eq!(
        minor(about(Command::Remove).flags(flag::DEFERRED_REMOVE).cookie(1)),
        27
    );
    assert_eq!(minor(Message::new(Command::ArmPoll)), 37);
    assert_eq!(minor(Message::new(Command::GetTargetVersion)), 41);
}

#[test]
fn a_table_is_laid_out_as_the_kernel_wants_it() {
    let line = |start, length, params: &str| TargetLine {
        start,
        length,
        target: Target::parse("linear", params).unwrap(),
    };
    let table = Table::new(vec![line(0, 8, "8:16 2048"), line(8, 8, "8:16 4096")]);
    let message = Message::new(Command::TableLoad).table(&table);
    assert_eq!((message.u32(16).unwrap(), message.u32(20).unwrap()), (312, 2));
    let second = 312 + message.u32(312 + 20).unwrap() as usize;
    assert_eq!(second % 8, 0);
    assert_eq!(message.u64(second).unwrap(), 8);
    assert_eq!(message.text_at(second + 24, second + 40).unwrap(), "linear");
    assert_eq!(message.text_at(second + 40, usize::MAX).unwrap(), "8:16 4096");
    assert_eq!(message.bytes.len() % 8, 0);
}

#[test]
fn a_backslash_in_parameters_is_doubled_for_the_kernels_splitter() {
    let target = Target::parse("crypt", "a\\b").unwrap();
    let table = Table::new(vec![TargetLine {
        start: 0,
        length: 8,
        target,
    }]);
    let message = Message::new(Command::TableLoad).table(&table);
    assert_eq!(message.text_at(352, usize::MAX).unwrap(), "a\\\\b");
}

#[test]
fn a_header_alone_tells_the_device() {
    let flags = flag::SUSPEND | flag::ACTIVE_PRESENT | flag::DEFERRED_REMOVE;
    let reply = Reply::new(47, 3, flags).at(48, b"vg-lv").at(176, b"LVM-x");
    let info = reply.decode_with_size(305).info().unwrap();
    let expected = DeviceInfo {
        name: DmName::new("vg-lv").unwrap(),
        uuid: Some(DmUuid::new("LVM-x").unwrap()),
        number: DeviceNumber { major: 253, minor: 5 },
        open_count: 2,
        event_nr: 7,
        target_count: 3,
        suspended: true,
        read_only: false,
        live_table: true,
        inactive_table: false,
        deferred_remove: true,
    };
    assert_eq!(info, expected);
    let bare = Reply::new(47, 0, flag::READONLY | flag::INACTIVE_PRESENT).decode_with_size(305);
    let info = bare.info().unwrap();
    assert_eq!(
        (info.uuid, info.read_only, info.inactive_table),
        (None, true, true)
    );
    assert_eq!(devices(&bare).unwrap(), []);
    assert_eq!(bare.status_lines().unwrap(), []);
    assert_eq!(bare.dependencies().unwrap(), []);
    assert_eq!(bare.answer().unwrap(), None);
}

/// The devices of a list, and whether it tells their uuids.
fn devices(reply: &Message) -> Result<Vec<(crate::DeviceEntry, bool)>, Error> {
    let mut found = Vec::new();
    reply.each_device(|Listed { device, tells_uuid }| {
        found.push((device.into(), tells_uuid));
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn a_name_list_of_a_new_kernel_has_uuids_and_event_numbers() {
    let devices = devices(&name_list(HAS_UUID).decode()).unwrap();
    let found = |at: usize| {
        let (entry, tells_uuid) = &devices[at];
        let uuid = entry.uuid.as_ref().map(DmUuid::as_str);
        (
            entry.name.as_str(),
            uuid,
            entry.number.minor,
            entry.event_nr,
            *tells_uuid,
        )
    };
    assert_eq!(devices.len(), 2);
    assert_eq!(found(0), ("vg-lv", Some("LVM-abcdefg"), 0, Some(3), true));
    assert_eq!(found(1), ("x", None, 1, Some(9), true));
}

#[test]
fn a_name_list_of_an_older_kernel_is_silent_about_uuids() {
    // 4.37: an event number in 4 bytes, then padding.  Before: the name alone.
    let events = Reply::new(37, 0, 0).u64(0xfd01).u32(0).bytes(b"x\0\0\0").u32(9);
    let devices = devices(&events.decode()).unwrap();
    assert_eq!((devices[0].0.event_nr, devices[0].1), (Some(9), false));
    let names = Reply::new(23, 0, 0).u64(0xfd01).u32(0).bytes(b"x\0");
    let devices = self::devices(&names.decode()).unwrap();
    assert_eq!((devices[0].0.event_nr, devices[0].1), (None, false));
}

#[test]
fn no_devices_are_a_record_of_device_zero() {
    let reply = Reply::new(47, 0, 0).u64(0).u32(0).u32(0);
    assert_eq!(devices(&reply.decode()).unwrap(), []);
}

#[test]
fn a_foreign_device_whose_name_is_not_text_does_not_spoil_the_list() {
    let reply = Reply::new(23, 0, 0)
        .u64(0xfd00)
        .u32(24)
        .bytes(b"\xff\xfe\0\0\0\0\0\0\0\0\0\0");
    let reply = reply.u64(0xfd01).u32(0).bytes(b"good\0");
    let names: Vec<String> = devices(&reply.decode())
        .unwrap()
        .iter()
        .map(|(device, _)| device.name.to_string())
        .collect();
    assert_eq!(names, ["\\xff\\xfe", "good"]);
}

fn spec(reply: Reply, start: u64, length: u64, next: u32, kind: &[u8; 16], params: &[u8]) -> Reply {
    reply
        .u64(start)
        .u64(length)
        .u32(0)
        .u32(next)
        .bytes(kind)
        .bytes(params)
}

#[test]
fn status_offsets_count_from_the_first_target() {
    let linear = b"linear\0\0\0\0\0\0\0\0\0\0";
    let reply = spec(Reply::new(47, 3, 0), 0, 8, 56, linear, b"8:16 2048\0\0\0\0\0\0\0");
    let reply = spec(
        reply,
        8,
        4,
        104,
        b"zero\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\0\0\0\0\0",
    );
    let reply = spec(reply, 12, 4, 160, linear, b"8:32 0\0\0\0\0\0\0\0\0\0\0");
    let lines = reply.decode().status_lines().unwrap();
    let shown: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {} {} {}", line.start, line.length, line.kind, line.status))
        .collect();
    assert_eq!(shown, ["0 8 linear 8:16 2048", "8 4 zero ", "12 4 linear 8:32 0"]);
}

#[test]
fn dependencies_versions_and_answers_are_read() {
    let deps = Reply::new(47, 0, 0).u32(2).u32(0).u64(0x810).u64(0x10_fd00);
    let numbers: Vec<String> = deps
        .decode()
        .dependencies()
        .unwrap()
        .iter()
        .map(DeviceNumber::to_string)
        .collect();
    assert_eq!(numbers, ["8:16", "253:256"]);
    let versions = Reply::new(47, 0, 0)
        .u32(24)
        .u32(1)
        .u32(9)
        .u32(0)
        .bytes(b"striped\0");
    let versions = versions.u32(0).u32(1).u32(4).u32(2).bytes(b"linear\0\0");
    let shown: Vec<String> = versions
        .decode()
        .target_versions()
        .unwrap()
        .iter()
        .map(|target| format!("{} {}", target.name, target.version))
        .collect();
    assert_eq!(shown, ["striped 1.9.0", "linear 1.4.2"]);
    let answer = Reply::new(47, 0, flag::DATA_OUT).bytes(b"0\n\0");
    assert_eq!(answer.decode().answer().unwrap().as_deref(), Some("0\n"));
}

#[test]
fn an_unterminated_name_is_an_error_and_not_its_neighbour() {
    let reply = Reply::new(47, 0, 0).at(48, &[b'n'; 128]).at(176, b"uuid");
    assert!(matches!(
        reply.decode_with_size(305).info(),
        Err(Error::Reply { at: 48, .. })
    ));
    let reply = Reply::new(47, 0, 0).at(176, &[b'u'; 129]);
    assert!(matches!(
        reply.decode_with_size(305).info(),
        Err(Error::Reply { at: 176, .. })
    ));
}

#[test]
fn lists_that_point_outside_or_at_themselves_are_errors() {
    for next in [1, 15, 4000, u32::MAX] {
        let list = name_list(HAS_UUID).at(320, &next.to_ne_bytes());
        assert!(devices(&list.decode()).is_err(), "{next}");
    }
    // Cut anywhere, a list is an error or shorter, and never a wrong name.
    let whole = name_list(HAS_UUID).0;
    for length in HEADER..whole.len() {
        let cut = Reply(whole[..length].to_vec()).decode();
        let devices = self::devices(&cut).unwrap_or_default();
        assert!(
            devices
                .iter()
                .all(|(device, _)| matches!(device.name.as_str(), "vg-lv" | "x")),
            "{length}"
        );
    }
}

#[test]
fn a_target_count_that_lies_ends_with_the_reply() {
    let zero = b"zero\0\0\0\0\0\0\0\0\0\0\0\0";
    // All targets at the same place, for ever; or behind each other, past the end.
    for next in [0, 40, 48] {
        let reply = spec(Reply::new(47, u32::MAX, 0), 0, 8, next, zero, b"\0\0\0\0\0\0\0\0");
        assert!(reply.decode().status_lines().is_err(), "{next}");
    }
    let reply = Reply::new(47, 0, 0).u32(u32::MAX).u32(0).u64(1);
    assert!(reply.decode().dependencies().is_err());
}

#[test]
fn a_size_that_lies_is_cut_to_the_buffer() {
    for size in [0, 304, 4097, 1 << 30, u32::MAX] {
        let reply = name_list(HAS_UUID).decode_with_size(size);
        assert!(reply.bytes.len() <= 4096 && reply.bytes.len() >= HEADER, "{size}");
        assert!(reply.info().is_ok(), "{size}");
    }
}

#[test]
fn strings_of_a_large_reply_are_not_read_once_for_each_record() {
    // Records without a NUL, each a little longer than its fields: reading each to the end would take terabytes.
    let mut bytes = Reply::new(47, u32::MAX, 0).0;
    bytes.resize(MIB, b'x');
    for record in bytes[HEADER..].chunks_exact_mut(48) {
        record[8..12].copy_from_slice(&48u32.to_ne_bytes());
    }
    let reply = Reply(bytes).decode();
    assert!(devices(&reply).is_err());
    assert!(reply.status_lines().is_err());
}

proptest! {
    #[test]
    fn no_reply_panics(bytes in prop::collection::vec(any::<u8>(), 0..900), start in 0u32..1000) {
        decode_everything(&bytes);
        // And with a header that makes sense, so that more of the payload is looked at.
        let mut reply = Reply::new(47, 3, flag::DATA_OUT).bytes(&bytes);
        reply = reply.at(16, &start.max(312).to_ne_bytes());
        let size = u32::try_from(reply.0.len()).unwrap();
        decode_everything(&reply.at(12, &size.to_ne_bytes()).0);
    }

    #[test]
    fn a_list_with_any_byte_changed_is_read_or_refused(at in 0usize..450, byte: u8) {
        let mut reply = name_list(HAS_UUID);
        let length = reply.0.len();
        reply.0[at % length] = byte;
        let size = u32::try_from(length).unwrap();
        decode_everything(&reply.at(12, &size.to_ne_bytes()).0);
    }
}

#[test]
fn the_seeds_and_old_finds_of_the_fuzz_target_are_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/dm_reply");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert!(files.len() > 4, "{}", folder.display());
    for file in files {
        decode_everything(&std::fs::read(file.unwrap().path()).unwrap());
    }
}
