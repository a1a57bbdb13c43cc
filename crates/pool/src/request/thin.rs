//! Thin pools, snapshots and clones to make.

use std::time::SystemTime;

use lvm_meta::{LvName, Tag};
use uuid::Uuid;

use super::checked_value;
use crate::host::CivilTime;
use crate::tags::{self, key, snap};
use crate::{Error, Layout, identity};

/// What becomes of discards to a thin replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discards {
    /// The chunks are free again, and the disks are told.
    #[default]
    Passdown,
    /// The chunks are free again.
    NoPassdown,
    /// Nothing.
    Ignore,
}

impl Discards {
    /// The word in the metadata: `passdown`, `nopassdown` or `ignore`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passdown => "passdown",
            Self::NoPassdown => "nopassdown",
            Self::Ignore => "ignore",
        }
    }
}

/// A thin pool to make in a storage pool.  Sizes are bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CreateThinPool {
    /// The space for the data of all its volumes, rounded up to whole extents and chunks.
    pub data_size: u64,
    /// How large the data may ever become: the chunks and the metadata are made for that.  The data size if `None`.
    pub max_data_size: Option<u64>,
    /// How many snapshots and clones the metadata is made for.
    pub max_snapshots: u32,
    /// What is mapped at a time, a multiple of 64 KiB; by the largest data size if `None`.
    pub chunk_size: Option<u64>,
    /// The space for the kernel's metadata; by the chunks and snapshots if `None`.
    pub metadata_size: Option<u64>,
    /// A chunk is zeroed before its first use: nobody reads what was there before.
    pub zeroing: bool,
    /// What becomes of discards.
    pub discards: Discards,
    /// Writes that find no space fail at once; else they wait for up to a minute that the pool is extended.
    pub error_if_no_space: bool,
    /// How the data lie: linear, `raid1` or `raid10`.  Of an array's pool the metadata have copies, too: as many as `raid1` has,
    /// and two for `raid10`.
    ///
    /// Linear asks for nothing: a thin pool that exists as an array is success.
    pub layout: Layout,
}

impl CreateThinPool {
    /// A thin pool that zeroes its chunks, passes discards down, and holds writes for a while when it is full.
    pub fn new(data_size: u64) -> Self {
        Self {
            data_size,
            max_data_size: None,
            max_snapshots: 64,
            chunk_size: None,
            metadata_size: None,
            zeroing: true,
            discards: Discards::default(),
            error_if_no_space: false,
            layout: Layout::Linear,
        }
    }
}

/// A snapshot to take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CreateSnapshot {
    /// The replica.
    pub source: Uuid,
    /// The snapshot's UUID: the LV's name.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// The volume that it belongs to.
    pub entity_id: String,
    /// The transaction of the volume's snapshot.
    pub txn_id: String,
    /// The time that it is to carry; now if `None`.
    pub create_time: Option<SystemTime>,
    /// Of a thick replica, and of no other: bytes for what is overwritten of it, rounded up to whole extents, and cut to what
    /// can ever be used.
    pub size: Option<u64>,
}

impl CreateSnapshot {
    /// A snapshot of a thin replica that carries the time at which it is taken.
    pub fn new(source: Uuid, uuid: Uuid, name: &str, entity_id: &str, txn_id: &str) -> Self {
        Self {
            source,
            uuid,
            name: name.into(),
            entity_id: entity_id.into(),
            txn_id: txn_id.into(),
            create_time: None,
            size: None,
        }
    }

    /// Checks all that needs no pool, and gives the tags of the new LV.
    pub(crate) fn tags(&self) -> Result<Vec<Tag>, Error> {
        let time = match self.create_time {
            None => CivilTime::now(),
            Some(time) => CivilTime::from_unix(
                time.duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default()
                    .as_secs(),
            ),
        };
        let property =
            |key, what, value| tags::property(key, checked_value(what, value)?).map_err(Error::from);
        Ok(vec![
            Tag::parse(tags::OWNER)?,
            property(snap::NAME, "snapshot name", &self.name)?,
            property(snap::ENTITY_ID, "entity id", &self.entity_id)?,
            property(snap::PARENT_ID, "source", &self.source.to_string())?,
            property(snap::TXN_ID, "transaction id", &self.txn_id)?,
            property(snap::CREATE_TIME, "time", &time.rfc3339())?,
        ])
    }

    pub(crate) fn lv_name(&self) -> Result<LvName, Error> {
        lv_name("snapshot uuid", self.uuid)
    }
}

/// A clone to make: a thin replica that begins as a snapshot is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CreateClone {
    /// The snapshot.
    pub snapshot: Uuid,
    /// The clone's UUID: the LV's name.
    pub uuid: Uuid,
    /// Its display name.
    pub name: String,
    /// The volume that it belongs to.
    pub entity_id: Option<String>,
}

impl CreateClone {
    /// A clone that belongs to no volume yet.
    pub fn new(snapshot: Uuid, uuid: Uuid, name: &str) -> Self {
        Self {
            snapshot,
            uuid,
            name: name.into(),
            entity_id: None,
        }
    }

    /// Checks all that needs no pool, and gives the tags of the new LV.
    pub(crate) fn tags(&self) -> Result<Vec<Tag>, Error> {
        let mut tags = vec![
            Tag::parse(tags::OWNER)?,
            tags::property(key::NAME, checked_value("clone name", &self.name)?)?,
            tags::property(key::SHARE, "off")?,
            tags::property(key::SNAPSHOT_UUID, &self.snapshot.to_string())?,
        ];
        if let Some(id) = &self.entity_id {
            tags.push(tags::property(key::ENTITY_ID, checked_value("entity id", id)?)?);
        }
        Ok(tags)
    }

    pub(crate) fn lv_name(&self) -> Result<LvName, Error> {
        lv_name("clone uuid", self.uuid)
    }
}

/// The LV's name for a UUID, if it may be one.
pub(super) fn lv_name(what: &'static str, uuid: Uuid) -> Result<LvName, Error> {
    let text = uuid.to_string();
    if identity::replica_uuid(&text).is_none() {
        return Err(Error::InvalidArgument {
            what,
            given: text,
            why: "the nil UUID names nothing".into(),
        });
    }
    Ok(LvName::for_user(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_and_times_are_carried_in_tags() {
        let mut request =
            CreateSnapshot::new(Uuid::from_u128(1), Uuid::from_u128(2), "b0a1/3", "volume", "3");
        request.create_time = Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000));
        let tags: Vec<String> = request.tags().unwrap().iter().map(Tag::to_string).collect();
        assert_eq!(
            tags,
            [
                "mayastor",
                "mayastor.snap.name=b0a1/3",
                "mayastor.snap.entity_id=volume",
                "mayastor.snap.parent_id=00000000-0000-0000-0000-000000000001",
                "mayastor.snap.txn_id=3",
                "mayastor.snap.create_time=2023-11-14T22:13:20Z",
            ]
        );
        request.name = "a b".into();
        assert_eq!(request.tags().unwrap_err().kind(), "InvalidName");
        request.name = String::new();
        assert_eq!(request.tags().unwrap_err().kind(), "InvalidArgument");
    }
}
