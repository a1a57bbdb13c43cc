//! Why a VG must be left alone.

/// Why a VG must not be changed by us, whatever the change and the host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A word in `status` that must be understood and is not.
    #[error("{owner} has the unknown status {word:?}")]
    UnknownStatus {
        /// `VG`, a PV's key or an LV's name.
        owner: String,
        /// The word.
        word: String,
    },
    /// A segment type whose use of PVs is unknown.
    #[error("LV {lv:?} has a segment of unknown type {segment_type:?}")]
    UnknownSegmentType {
        /// The LV.
        lv: String,
        /// The type.
        segment_type: String,
    },
    /// Belongs to a cluster of the retired `clvmd`.
    #[error("the VG is clustered")]
    Clustered,
    /// Shared through `lvmlockd`, which we do not speak.
    #[error("the VG is shared with lock type {0:?}")]
    Shared(String),
    /// `vgexport` was run.
    #[error("the VG is exported")]
    Exported,
    /// No `WRITE`.
    #[error("the VG is read-only")]
    ReadOnly,
    /// A PV was missing at the last change.
    #[error("PV {0} is marked missing")]
    MissingPv(String),
    /// Changes need a persistent reservation.
    #[error("the VG requires persistent reservations")]
    PersistentReservation,
    /// Bytes that are no UTF-8, beside characters of the private plane that stands for such bytes here.
    #[error("the metadata holds bytes that are no UTF-8")]
    NotText,
    /// Segments kept as text name PVs by keys that LVM would number anew.
    #[error("LV {lv:?} refers to PVs by keys that are not numbered in order")]
    UnusualPvKeys {
        /// The LV.
        lv: String,
    },
}
