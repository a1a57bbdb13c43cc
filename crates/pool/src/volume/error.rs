//! What goes wrong with volumes.

use uuid::Uuid;

use crate::Class;

/// Why an operation on a volume failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The volume is not published on this host.
    #[error("volume {0} is not published here")]
    NotPublished(Uuid),
    /// None of the replicas that could be asked has a record of the volume.
    #[error("no replica that can be reached knows volume {volume}{}", told(.why))]
    NotFound {
        /// The volume.
        volume: Uuid,
        /// What was wrong with those that could not be reached.
        why: Vec<String>,
    },
    /// The replicas hold the volume already, or it is published with others.
    #[error("volume {0} exists already")]
    Exists(Uuid),
    /// A replica holds another volume, has another set of replicas in its record, or something that is no record.
    #[error("replica {replica} {why}")]
    Replica {
        /// The replica.
        replica: Uuid,
        /// What is wrong with it.
        why: String,
    },
    /// A replica cannot be reached.
    #[error("{uri} cannot be reached: {why}")]
    Unreachable {
        /// Its URI.
        uri: String,
        /// The kernel's answer.
        why: String,
    },
    /// Replicas that were not asked may have newer writes: `--degraded` is the caller's word that they do not count.
    #[error("volume {volume} is not complete: {} may have newer writes{}", listed(.may_be_newer), told(.why))]
    NeedsDegraded {
        /// The volume.
        volume: Uuid,
        /// The replicas that are not there, or know nothing.
        may_be_newer: Vec<Uuid>,
        /// What was wrong with those that could not be reached.
        why: Vec<String>,
    },
    /// Replicas have acknowledged writes that others lack, each way.
    #[error("volume {volume} was written on several sides alone: {}; publish it with the replicas alone whose writes count", listed(.replicas))]
    SplitBrain {
        /// The volume.
        volume: Uuid,
        /// The replicas on the sides.
        replicas: Vec<Uuid>,
    },
    /// No replica that can be reached has every write.
    #[error("no replica of volume {volume} that can be reached is in sync{}", told(.why))]
    NoneInSync {
        /// The volume.
        volume: Uuid,
        /// What was wrong with those that could not be reached.
        why: Vec<String>,
    },
    /// Another host published the volume and could still write to this replica.
    #[error(
        "volume {volume} is published by {publisher}, which {uri} still admits: it must be cut off first"
    )]
    NotFenced {
        /// The volume.
        volume: Uuid,
        /// The host that publishes it.
        publisher: String,
        /// The replica that admits it.
        uri: String,
    },
    /// Another host published the volume meanwhile: this one serves it no more.
    #[error("volume {volume} was published by {publisher} meanwhile: it is served here no more")]
    Superseded {
        /// The volume.
        volume: Uuid,
        /// The host that publishes it now.
        publisher: String,
    },
    /// The volume's device is open.
    #[error("volume {volume} is in use: its device is open {open_count} times")]
    Busy {
        /// The volume.
        volume: Uuid,
        /// How often.
        open_count: u32,
    },
    /// The kernel has no initiator for NVMe over TCP.
    #[error("this kernel has no NVMe/TCP initiator: its module nvme-tcp is not loaded")]
    NoInitiator,
}

fn listed(uuids: &[Uuid]) -> String {
    let texts: Vec<String> = uuids.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn told(why: &[String]) -> String {
    match why {
        [] => String::new(),
        why => format!(" ({})", why.join("; ")),
    }
}

impl VolumeError {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::NotPublished(_) => "NotPublished",
            Self::NotFound { .. } => "VolumeNotFound",
            Self::Exists(_) => "AlreadyExists",
            Self::Replica { .. } => "ReplicaMismatch",
            Self::Unreachable { .. } => "Unreachable",
            Self::NeedsDegraded { .. } => "NeedsDegraded",
            Self::SplitBrain { .. } => "SplitBrain",
            Self::NoneInSync { .. } => "NoneInSync",
            Self::NotFenced { .. } => "NotFenced",
            Self::Superseded { .. } => "Superseded",
            Self::Busy { .. } => "Busy",
            Self::NoInitiator => "NoInitiator",
        }
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Self::NotPublished(_) | Self::NotFound { .. } => Class::NotFound,
            Self::Exists(_) => Class::AlreadyExists,
            Self::Busy { .. } => Class::Busy,
            Self::SplitBrain { .. } => Class::Corrupt,
            _ => Class::Precondition,
        }
    }

    pub(crate) fn errno(&self) -> i32 {
        match self {
            Self::NotPublished(_) | Self::NotFound { .. } => libc::ENOENT,
            Self::Exists(_) => libc::EEXIST,
            Self::Replica { .. } => libc::EINVAL,
            Self::Unreachable { .. } => libc::EHOSTUNREACH,
            Self::NeedsDegraded { .. } | Self::NotFenced { .. } | Self::Busy { .. } => libc::EBUSY,
            Self::SplitBrain { .. } => libc::EILSEQ,
            Self::NoneInSync { .. } => libc::EIO,
            Self::Superseded { .. } => libc::ESTALE,
            Self::NoInitiator => libc::ENOTSUP,
        }
    }
}
