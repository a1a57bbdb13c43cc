//! Pool and replica ids: RFC-4122 outside, 32 characters inside LVM.

use lvm_meta::VgId;
use uuid::Uuid;

use crate::{Error, host};

/// The namespace of the UUIDs of VGs that were made elsewhere: UUIDv5 of the VG id in it.
///
/// A fixed random UUID of this project; it never changes, so a VG keeps its UUID for ever.
const FOREIGN_VGS: Uuid = Uuid::from_u128(0x7d2a_90c4_1f3e_4b86_9c55_e0a7_4d1b_62f8);

/// The UUID that a VG is known by: the one whose digits are its id, or one derived from the id.
///
/// LVM draws its ids from 62 characters: that one of them has only lower-case hexadecimal digits happens once in
/// 10^18 VGs.
pub fn pool_uuid(id: &VgId) -> Uuid {
    id.to_uuid_bytes()
        .map(Uuid::from_bytes)
        .unwrap_or_else(|| Uuid::new_v5(&FOREIGN_VGS, id.as_bytes()))
}

/// Does `wanted` name this id, in any spelling: LVM's with or without dashes, or the UUID's?
pub(crate) fn names_vg(wanted: &str, id: &VgId) -> bool {
    VgId::parse(wanted).is_ok_and(|given| given == *id)
        || Uuid::parse_str(wanted).is_ok_and(|given| given == pool_uuid(id))
}

/// Reads a replica's UUID: an RFC-4122 UUID in its usual spelling, in either case.
///
/// `None` for other texts; the nil UUID is none.
pub(crate) fn replica_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 36 {
        return None;
    }
    Uuid::parse_str(text).ok().filter(|uuid| !uuid.is_nil())
}

/// Reads a UUID in any of RFC 4122's spellings.
///
/// # Errors
/// [`Error::InvalidArgument`] for other texts.
pub fn parse_uuid(text: &str) -> Result<Uuid, Error> {
    let uuid = Uuid::parse_str(text).ok().filter(|uuid| !uuid.is_nil());
    uuid.ok_or_else(|| {
        let why = "an RFC-4122 UUID has 32 hexadecimal digits".into();
        Error::InvalidArgument {
            what: "uuid",
            given: text.chars().take(80).collect(),
            why,
        }
    })
}

/// Returns a random UUID (version 4).
///
/// # Errors
/// [`Error::Io`] when the system gives no random bytes.
pub(crate) fn new_uuid() -> Result<Uuid, Error> {
    Ok(uuid::Builder::from_random_bytes(random()?).into_uuid())
}

/// Returns random bytes for an id.
///
/// # Errors
/// As [`new_uuid`].
pub(crate) fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Error> {
    host::random().map_err(|source| Error::Io {
        what: "draw random bytes from",
        path: "the system".into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_uuid_survives_as_a_vg_id_and_is_found_in_every_spelling() {
        let uuid = Uuid::parse_str("0c3e7a4e-7a3f-4a34-9c56-1f0d2f9be001").unwrap();
        let id = VgId::from_uuid_bytes(*uuid.as_bytes());
        assert_eq!(pool_uuid(&id), uuid);
        for spelling in [
            uuid.to_string(),
            uuid.simple().to_string(),
            id.to_string(),
            uuid.to_string().to_uppercase(),
        ] {
            assert!(names_vg(&spelling, &id), "{spelling}");
        }
        assert!(!names_vg("0c3e7a4e-7a3f-4a34-9c56-1f0d2f9be002", &id));
    }

    #[test]
    fn a_vg_made_elsewhere_has_one_uuid_for_ever() {
        let id = VgId::parse("RtVEoe-BgB0-Loqc-qtE3-0IUU-DUDN-Tn3dMd").unwrap();
        assert_eq!(pool_uuid(&id).to_string(), "1cc304e6-b968-59a4-ac33-fd761c6bdecf");
    }

    #[test]
    fn only_full_spelled_uuids_name_replicas() {
        assert!(replica_uuid("0C3E7A4E-7a3f-4a34-9c56-1f0d2f9be001").is_some());
        for bad in [
            "0c3e7a4e7a3f4a349c561f0d2f9be001",
            "lvol0",
            "00000000-0000-0000-0000-000000000000",
            "{0c3e7a4e-7a3f-4a34-9c56-1f0d2f9be001}",
        ] {
            assert!(replica_uuid(bad).is_none(), "{bad}");
        }
    }
}
