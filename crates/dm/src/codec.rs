//! `struct dm_ioctl` and its payloads as bytes.  All of it is checked: the kernel's answers are not trusted either.
//!
//! | byte | size | field | | byte | size | field |
//! | ---: | ---: | --- | --- | ---: | ---: | --- |
//! | 0 | 12 | version | | 32 | 4 | event_nr |
//! | 12 | 4 | data_size | | 40 | 8 | dev |
//! | 16 | 4 | data_start | | 48 | 128 | name |
//! | 20 | 4 | target_count | | 176 | 129 | uuid |
//! | 24 | 4 | open_count | | 305 | 7 | padding |
//! | 28 | 4 | flags | | 312 | | payload |
//!
//! Native byte order.  Reference: Linux `include/uapi/linux/dm-ioctl.h`.

use std::iter;

use crate::command::Command;
use crate::sys::HEADER;
use crate::{
    DeviceId, DeviceInfo, DeviceNumber, DmName, DmUuid, Error, ListedDevice, StatusLine, Table,
    TargetVersion, Version,
};

pub(crate) mod flag {
    pub(crate) const READONLY: u32 = 1;
    pub(crate) const SUSPEND: u32 = 1 << 1;
    /// The device's minor number is the one in the request.
    pub(crate) const PERSISTENT_DEV: u32 = 1 << 3;
    pub(crate) const STATUS_TABLE: u32 = 1 << 4;
    pub(crate) const ACTIVE_PRESENT: u32 = 1 << 5;
    pub(crate) const INACTIVE_PRESENT: u32 = 1 << 6;
    pub(crate) const BUFFER_FULL: u32 = 1 << 8;
    pub(crate) const NOFLUSH: u32 = 1 << 11;
    pub(crate) const QUERY_INACTIVE: u32 = 1 << 12;
    pub(crate) const UEVENT_GENERATED: u32 = 1 << 13;
    pub(crate) const UUID: u32 = 1 << 14;
    pub(crate) const DATA_OUT: u32 = 1 << 16;
    pub(crate) const DEFERRED_REMOVE: u32 = 1 << 17;
}

/// Flags of a list's record.
const HAS_UUID: u32 = 1;
const HAS_NO_UUID: u32 = 2;

/// Bytes of the header's name and uuid, NUL included.
const NAME_FIELD: usize = 128;
const UUID_FIELD: usize = 129;

/// A request, and after the call its reply.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) command: Command,
    bytes: Vec<u8>,
}

/// A device of a list reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed<'a> {
    pub(crate) device: ListedDevice<'a>,
    /// The reply tells the uuid, or that there is none.  Older kernels are silent.
    pub(crate) tells_uuid: bool,
}

impl Message {
    /// A request about nothing in particular.
    pub(crate) fn new(command: Command) -> Self {
        let mut message = Self {
            command,
            bytes: vec![0; HEADER],
        };
        message.put_u32(0, 4);
        message.put_u32(4, command.least_minor());
        message.put_u32(16, 312);
        message
    }

    /// A request about a device.
    pub(crate) fn about(command: Command, id: DeviceId<'_>) -> Self {
        let mut message = Self::new(command);
        match id {
            DeviceId::Name(name) => message.name(name),
            DeviceId::Uuid(uuid) => message.uuid(uuid),
            DeviceId::Number(number) => {
                message.put(40, &number.to_huge().to_ne_bytes());
                message.needs_minor(3)
            }
        }
    }

    /// Raises the interface version asked for to one that has what the request uses; older kernels then refuse it
    /// where they would ignore a flag.
    fn needs_minor(mut self, minor: u32) -> Self {
        self.put_u32(4, self.u32(4).unwrap_or(0).max(minor));
        self
    }

    pub(crate) fn name(mut self, name: &DmName) -> Self {
        self.put(48, name.as_str().as_bytes());
        self
    }

    pub(crate) fn uuid(mut self, uuid: &DmUuid) -> Self {
        self.put(176, uuid.as_str().as_bytes());
        self
    }

    pub(crate) fn flags(mut self, flags: u32) -> Self {
        self.put_u32(28, self.u32(28).unwrap_or(0) | flags);
        let since = [
            (flag::NOFLUSH, 12),
            (flag::QUERY_INACTIVE, 16),
            (flag::UUID, 19),
            (flag::DEFERRED_REMOVE, 27),
        ];
        let used = since.iter().filter(|(flag, _)| flags & flag != 0);
        self.needs_minor(used.map(|(_, minor)| *minor).max().unwrap_or(0))
    }

    /// The minor number of a device to be made.
    pub(crate) fn at_minor(mut self, minor: u32) -> Self {
        // The kernel takes its own major number whatever stands here, and reads no minor number past 20 bits.
        let number = DeviceNumber { major: 0, minor };
        self.put(40, &number.to_huge().to_ne_bytes());
        self.flags(flag::PERSISTENT_DEV)
    }

    /// The event number to wait behind.
    pub(crate) fn event_nr(mut self, number: u32) -> Self {
        self.put_u32(32, number);
        self
    }

    /// udev's cookie, in the same place.
    pub(crate) fn cookie(self, cookie: u32) -> Self {
        self.event_nr(cookie).needs_minor(15)
    }

    /// A payload of one string.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self
    }

    /// A payload of a sector and a string.
    pub(crate) fn target_message(mut self, sector: u64, text: &str) -> Self {
        self.bytes.extend_from_slice(&sector.to_ne_bytes());
        self.text(text)
    }

    /// A payload of targets.
    pub(crate) fn table(mut self, table: &Table) -> Self {
        self.put_u32(20, u32::try_from(table.lines().len()).unwrap_or(u32::MAX));
        for line in table.lines() {
            let start = self.bytes.len();
            let kind = line.target.kind().as_bytes();
            let mut name = [0; 16];
            for (place, byte) in name.iter_mut().zip(kind.iter().take(15)) {
                *place = *byte;
            }
            self.bytes.extend_from_slice(&line.start.to_ne_bytes());
            self.bytes.extend_from_slice(&line.length.to_ne_bytes());
            self.bytes.extend_from_slice(&[0; 8]);
            self.bytes.extend_from_slice(&name);
            // The kernel's splitter takes a backslash for an escape.
            self.bytes
                .extend_from_slice(line.target.params().replace('\\', "\\\\").as_bytes());
            self.bytes.push(0);
            let end = self.bytes.len().next_multiple_of(8);
            self.bytes.resize(end, 0);
            self.put_u32(
                start.saturating_add(20),
                u32::try_from(end.saturating_sub(start)).unwrap_or(0),
            );
        }
        self
    }

    /// The bytes for the kernel, with room for a reply of `room` bytes.
    pub(crate) fn to_words(&self, room: usize) -> Vec<u64> {
        let length = self.bytes.len().max(room).next_multiple_of(8);
        let mut words = Vec::with_capacity(length / 8);
        for chunk in self.bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut()
                .zip(chunk)
                .for_each(|(place, byte)| *place = *byte);
            words.push(u64::from_ne_bytes(word));
        }
        words.resize(length / 8, 0);
        words
    }

    /// The kernel's reply.
    pub(crate) fn reply(command: Command, words: &[u64]) -> Self {
        let mut message = Self {
            command,
            bytes: words
                .iter()
                .take(HEADER / 8)
                .flat_map(|word| word.to_ne_bytes())
                .collect(),
        };
        // The kernel gives 305 for a header alone.
        let size = usize::try_from(message.u32(12).unwrap_or(0)).unwrap_or(usize::MAX);
        let rest = words.iter().take(size.div_ceil(8)).skip(HEADER / 8);
        message.bytes.extend(rest.flat_map(|word| word.to_ne_bytes()));
        message.bytes.truncate(size.max(HEADER));
        message
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = at
            .checked_add(value.len())
            .and_then(|end| self.bytes.get_mut(at..end))
        {
            place.copy_from_slice(value);
        }
    }

    fn put_u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_ne_bytes());
    }

    fn bad(&self, at: usize) -> Error {
        Error::Reply {
            command: self.command.name(),
            at,
        }
    }

    fn slice(&self, at: usize, length: usize) -> Result<&[u8], Error> {
        at.checked_add(length)
            .and_then(|end| self.bytes.get(at..end))
            .ok_or_else(|| self.bad(at))
    }

    fn u32(&self, at: usize) -> Result<u32, Error> {
        Ok(u32::from_ne_bytes(
            self.slice(at, 4)?.try_into().map_err(|_| self.bad(at))?,
        ))
    }

    fn u64(&self, at: usize) -> Result<u64, Error> {
        Ok(u64::from_ne_bytes(
            self.slice(at, 8)?.try_into().map_err(|_| self.bad(at))?,
        ))
    }

    /// The string at a place, up to its NUL, which must come before `end` and the end of the reply.
    fn string(&self, at: usize, end: usize) -> Result<&[u8], Error> {
        let bytes = self.bytes.get(at..end.min(self.bytes.len()));
        let bytes = bytes.ok_or_else(|| self.bad(at))?;
        let length = bytes.iter().position(|byte| *byte == 0);
        length
            .and_then(|length| bytes.get(..length))
            .ok_or_else(|| self.bad(at))
    }

    /// The same as text; bytes that are none are replaced, since a foreign device may have any.
    fn text_at(&self, at: usize, end: usize) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(self.string(at, end)?).into_owned())
    }

    /// Its bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn has(&self, flag: u32) -> bool {
        self.u32(28).is_ok_and(|flags| flags & flag != 0)
    }

    pub(crate) fn version(&self) -> Result<Version, Error> {
        Ok(Version {
            major: self.u32(0)?,
            minor: self.u32(4)?,
            patch: self.u32(8)?,
        })
    }

    /// Where the payload starts, if there is one.
    fn payload(&self) -> Result<Option<usize>, Error> {
        let start = usize::try_from(self.u32(16)?).map_err(|_| self.bad(16))?;
        Ok((start >= HEADER && start < self.bytes.len()).then_some(start))
    }

    pub(crate) fn info(&self) -> Result<DeviceInfo, Error> {
        let uuid = self.string(176, 176 + UUID_FIELD)?;
        Ok(DeviceInfo {
            name: DmName::of_kernel(self.string(48, 48 + NAME_FIELD)?),
            uuid: (!uuid.is_empty()).then(|| DmUuid::of_kernel(uuid)),
            number: DeviceNumber::of_huge(self.u64(40)?),
            open_count: self.u32(24)?,
            event_nr: self.u32(32)?,
            target_count: self.u32(20)?,
            suspended: self.has(flag::SUSPEND),
            read_only: self.has(flag::READONLY),
            live_table: self.has(flag::ACTIVE_PRESENT),
            inactive_table: self.has(flag::INACTIVE_PRESENT),
            deferred_remove: self.has(flag::DEFERRED_REMOVE),
        })
    }

    /// Start and end of each record of a list, by `next` offsets that count from the record's own start.
    fn records(
        &self,
        next_at: usize,
        least_size: usize,
    ) -> Result<impl Iterator<Item = Result<(usize, usize), Error>>, Error> {
        let mut start = self.payload()?;
        Ok(iter::from_fn(move || {
            // Nothing comes after the last record, nor after an error.
            let at = start.take()?;
            let record = self.record(at, next_at, least_size);
            start = record.as_ref().ok().and_then(|(_, next)| *next);
            Some(record.map(|(end, _)| (at, end)))
        }))
    }

    /// The end of the record that starts at `at`, and where the next one starts.
    fn record(&self, at: usize, next_at: usize, least_size: usize) -> Result<(usize, Option<usize>), Error> {
        let next = usize::try_from(self.u32(at.saturating_add(next_at))?).map_err(|_| self.bad(at))?;
        if next == 0 {
            return Ok((self.bytes.len(), None));
        }
        // Each record is longer than nothing and inside the reply, so this ends.
        let end = at
            .checked_add(next)
            .filter(|end| next >= least_size && *end < self.bytes.len());
        let end = end.ok_or_else(|| self.bad(at))?;
        Ok((end, Some(end)))
    }

    /// Shows each device of a list reply to `visit`.
    pub(crate) fn each_device<'a>(
        &'a self,
        mut visit: impl FnMut(Listed<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let version = self.version()?;
        let has_events = (version.major, version.minor) >= (4, 37);
        for record in self.records(8, 16)? {
            let (at, end) = record?;
            let dev = self.u64(at)?;
            if dev == 0 {
                break;
            }
            let name_at = at.saturating_add(12);
            let name = self.string(name_at, end.min(name_at.saturating_add(NAME_FIELD)))?;
            let more = name_at.saturating_add(name.len()).saturating_add(1);
            let more = more.saturating_sub(at).next_multiple_of(8).saturating_add(at);
            let mut device = ListedDevice {
                name,
                uuid: None,
                number: DeviceNumber::of_huge(dev),
                event_nr: None,
            };
            let mut told = 0;
            if has_events {
                device.event_nr = Some(self.u32(more)?);
                // The last record of an older kernel ends here.
                told = self.u32(more.saturating_add(4)).unwrap_or(0);
            }
            if told & HAS_UUID != 0 {
                let uuid_at = more.saturating_add(8);
                device.uuid = Some(self.string(uuid_at, end.min(uuid_at.saturating_add(UUID_FIELD)))?);
            }
            let tells_uuid = told & (HAS_UUID | HAS_NO_UUID) != 0;
            visit(Listed { device, tells_uuid })?;
        }
        Ok(())
    }

    pub(crate) fn target_versions(&self) -> Result<Vec<TargetVersion>, Error> {
        let read = |record: Result<(usize, usize), Error>| {
            let (at, end) = record?;
            let number = |offset: usize| self.u32(at.saturating_add(offset));
            let version = Version {
                major: number(4)?,
                minor: number(8)?,
                patch: number(12)?,
            };
            let name_at = at.saturating_add(16);
            let name = self.text_at(name_at, end.min(name_at.saturating_add(NAME_FIELD)))?;
            Ok(TargetVersion { name, version })
        };
        self.records(0, 17)?.map(read).collect()
    }

    /// The targets of a status reply, whose `next` counts from the first one's start.
    pub(crate) fn status_lines(&self) -> Result<Vec<StatusLine>, Error> {
        let mut lines = Vec::new();
        let Some(first) = self.payload()? else {
            return Ok(lines);
        };
        let mut at = first;
        for _ in 0..self.u32(20)? {
            let next = usize::try_from(self.u32(at.saturating_add(20))?).map_err(|_| self.bad(at))?;
            let params = at.saturating_add(40);
            // Each target comes behind the one before, so a reply has no more of them than it has room for.
            let end = first.checked_add(next).filter(|end| *end > params);
            let end = end.ok_or_else(|| self.bad(at))?;
            lines.push(StatusLine {
                start: self.u64(at)?,
                length: self.u64(at.saturating_add(8))?,
                kind: self.text_at(at.saturating_add(24), params)?,
                status: self.text_at(params, end)?,
            });
            at = end;
        }
        Ok(lines)
    }

    pub(crate) fn dependencies(&self) -> Result<Vec<DeviceNumber>, Error> {
        let Some(at) = self.payload()? else {
            return Ok(Vec::new());
        };
        let count = usize::try_from(self.u32(at)?).map_err(|_| self.bad(at))?;
        let read = |index: usize| {
            let place = index
                .checked_mul(8)
                .and_then(|offset| at.checked_add(8)?.checked_add(offset));
            Ok(DeviceNumber::of_huge(
                self.u64(place.ok_or_else(|| self.bad(at))?)?,
            ))
        };
        if count > self.bytes.len() / 8 {
            return Err(self.bad(at));
        }
        (0..count).map(read).collect()
    }

    /// The answer to a message, if there is one.
    pub(crate) fn answer(&self) -> Result<Option<String>, Error> {
        match self.payload()? {
            Some(at) if self.has(flag::DATA_OUT) => Ok(Some(self.text_at(at, usize::MAX)?)),
            _ => Ok(None),
        }
    }
}

/// Reads bytes as the reply to each command.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn decode_everything(bytes: &[u8]) {
    let mut message = Message::new(Command::Status);
    message.bytes = bytes.to_vec();
    let reply = Message::reply(Command::Status, &message.to_words(HEADER));
    let _ = (
        reply.version(),
        reply.info(),
        reply.each_device(|_| Ok(())),
        reply.target_versions(),
    );
    let _ = (reply.dependencies(), reply.answer());
    for line in reply.status_lines().unwrap_or_default() {
        let _ = crate::Target::parse(&line.kind, &line.status);
    }
}

#[cfg(test)]
mod tests;
