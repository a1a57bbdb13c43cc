//! The volume group.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::lvs::Lvs;
use super::{Lv, LvStatus, Pv, Refusal, Tags, VgFlags, VgStatus, WordOrder};
use crate::hash::Seed;
use crate::text::Node;
use crate::{ExtentSize, Extents, LvId, PvId, Tag, VgId, VgName};

/// A volume group: what one metadata text says.
///
/// In memory only: nothing is on disk until its printed text is committed.  A clone shares the LVs with the
/// original until one of the two changes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vg {
    pub(super) name: Arc<str>,
    pub(super) id: VgId,
    pub(super) seqno: u32,
    pub(super) status: VgStatus,
    pub(super) flags: VgFlags,
    pub(super) unknown_status: Vec<Box<str>>,
    pub(super) unknown_flags: Vec<Box<str>>,
    /// The order in which the words of `status` and `flags` came, where it was not LVM's.
    pub(super) came_status: WordOrder,
    pub(super) came_flags: WordOrder,
    pub(super) tags: Tags,
    pub(super) system_id: Option<Box<str>>,
    pub(super) lock_type: Option<Box<str>>,
    pub(super) lock_args: Option<Box<str>>,
    /// Words about persistent reservations.
    pub(super) pr: Vec<Box<str>>,
    pub(super) extent_size: ExtentSize,
    pub(super) max_lv: u32,
    pub(super) max_pv: u32,
    pub(super) allocation_policy: Option<Box<str>>,
    pub(super) profile: Option<Box<str>>,
    pub(super) metadata_copies: u32,
    pub(super) extras: Vec<Node>,
    pub(super) pvs: Vec<Pv>,
    pub(super) pv_index: PvIndex,
    pub(super) lvs: Lvs,
    pub(super) history: Option<History>,
    /// The text held bytes that are no UTF-8, which stand as [hidden](crate::text::hide) characters here.
    pub(super) has_raw_bytes: bool,
    /// A lasting reason against changes that was found while reading.
    pub(super) blocked: Option<Refusal>,
}

/// PVs that are searched one by one.
const FEW_PVS: usize = 6;

/// Places of PVs by their ids.
pub(super) type PvIndex = HashMap<PvId, usize, Seed>;

/// The records of removed thin LVs, kept as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    /// What stands between the braces.
    pub(super) body: Box<str>,
    /// LVs that it names.
    pub(super) names: HashSet<Box<str>>,
}

/// What a new VG is made of.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct NewVg {
    /// Its name.
    pub name: VgName,
    /// Its id.
    pub id: VgId,
    /// The size of its extents.
    pub extent_size: ExtentSize,
    /// Its tags.
    #[cfg_attr(feature = "serde", serde(default))]
    pub tags: Vec<Tag>,
    /// The host that owns it, if one does.
    #[cfg_attr(
        feature = "serde",
        serde(default, deserialize_with = "crate::serial::optional_line")
    )]
    pub system_id: Option<String>,
}

impl Vg {
    /// Makes a VG without PVs and LVs: sequence number 0, resizeable, readable, writable.
    pub fn new(new: NewVg) -> Self {
        Self {
            name: new.name.as_str().into(),
            id: new.id,
            seqno: 0,
            status: VgStatus::RESIZEABLE | VgStatus::READ | VgStatus::WRITE,
            flags: VgFlags::empty(),
            unknown_status: Vec::new(),
            unknown_flags: Vec::new(),
            came_status: WordOrder::default(),
            came_flags: WordOrder::default(),
            tags: Tags::new(&new.tags),
            system_id: new.system_id.filter(|id| !id.is_empty()).map(Into::into),
            lock_type: None,
            lock_args: None,
            pr: Vec::new(),
            extent_size: new.extent_size,
            max_lv: 0,
            max_pv: 0,
            allocation_policy: None,
            profile: None,
            metadata_copies: 0,
            extras: Vec::new(),
            pvs: Vec::new(),
            pv_index: PvIndex::default(),
            lvs: Lvs::default(),
            history: None,
            has_raw_bytes: false,
            blocked: None,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id.
    pub fn id(&self) -> VgId {
        self.id
    }

    /// The sequence number: one more with every commit.
    pub fn seqno(&self) -> u32 {
        self.seqno
    }

    /// The size of an extent.
    pub fn extent_size(&self) -> ExtentSize {
        self.extent_size
    }

    /// The words of `status`.  `WRITE` is set whether or not it is stored as `WRITE_LOCKED`.
    pub fn status(&self) -> VgStatus {
        self.status
    }

    /// The words of `flags`.
    pub fn flags(&self) -> VgFlags {
        self.flags
    }

    /// The words in `status` that are not known.
    pub fn unknown_status(&self) -> impl Iterator<Item = &str> {
        self.unknown_status.iter().map(AsRef::as_ref)
    }

    /// The tags.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// The host that owns the VG; other hosts leave it alone.
    pub fn system_id(&self) -> Option<&str> {
        self.system_id.as_deref()
    }

    /// The lock type as stored; `None` and `none` mean a local VG.
    pub fn lock_type(&self) -> Option<&str> {
        self.lock_type.as_deref()
    }

    /// What the lock manager of a shared VG needs to know.
    pub(crate) fn lock_args(&self) -> Option<&str> {
        self.lock_args.as_deref()
    }

    /// The records of removed thin LVs as they stand in the text.
    pub(crate) fn history_text(&self) -> Option<&str> {
        self.history.as_ref().map(|history| &*history.body)
    }

    /// Tells whether `vgexport` was run.
    pub fn is_exported(&self) -> bool {
        self.status.contains(VgStatus::EXPORTED)
    }

    /// Tells whether hosts share it through `lvmlockd`.
    pub fn is_shared(&self) -> bool {
        self.has_lock_type() || self.status.contains(VgStatus::SHARED)
    }

    /// Tells whether it belongs to a cluster of the retired `clvmd`.
    pub fn is_clustered(&self) -> bool {
        self.status.contains(VgStatus::CLUSTERED)
    }

    fn has_lock_type(&self) -> bool {
        self.lock_type().is_some_and(|kind| kind != "none")
    }

    /// Tells whether `WRITE` is stored as `WRITE_LOCKED`, which keeps tools older than ownership from writing.
    pub(super) fn is_write_locked(&self) -> bool {
        self.system_id().is_some_and(|id| !id.is_empty()) || self.has_lock_type()
    }

    /// The number of metadata areas that LVM keeps in use; 0 for all.
    pub fn metadata_copies(&self) -> u32 {
        self.metadata_copies
    }

    /// Most LVs and PVs that may be made; 0 for no limit.
    pub fn limits(&self) -> (u32, u32) {
        (self.max_lv, self.max_pv)
    }

    /// The word of its allocation policy; `normal` when none is stored.
    pub fn allocation_policy(&self) -> &str {
        self.allocation_policy.as_deref().unwrap_or("normal")
    }

    /// The PVs in the order of the text.
    pub fn pvs(&self) -> &[Pv] {
        &self.pvs
    }

    /// The PV of an id.
    pub fn pv(&self, id: PvId) -> Option<&Pv> {
        self.pvs.get(self.pv_number(id)?)
    }

    /// Which of [`Vg::pvs`] has an id.
    pub(crate) fn pv_number(&self, id: PvId) -> Option<usize> {
        // A few PVs are looked at as quickly as one is looked up.
        match self.pvs.len() {
            0..=FEW_PVS => self.pvs.iter().position(|pv| pv.id == id),
            _ => self.pv_index.get(&id).copied(),
        }
    }

    /// The LVs in the order of the text, new ones last.
    pub fn lvs(&self) -> impl Iterator<Item = &Lv> {
        self.lvs.iter()
    }

    /// The number of LVs, hidden ones included.
    pub fn lv_count(&self) -> usize {
        self.lvs.len()
    }

    /// The LV of a name.
    pub fn lv(&self, name: &str) -> Option<&Lv> {
        self.lvs.get(name)
    }

    /// The LV of an id.
    pub fn lv_by_id(&self, id: LvId) -> Option<&Lv> {
        self.lvs.get_id(id)
    }

    /// The LVs whose segments name this one, once for each time.
    pub fn users_of(&self, name: &str) -> impl Iterator<Item = &Lv> {
        self.lvs.users_of(name)
    }

    /// The extents of all PVs.
    pub fn extent_count(&self) -> u64 {
        self.pvs.iter().map(|pv| u64::from(pv.pe_count.get())).sum()
    }

    /// The extents of all PVs that no LV holds, on missing and unallocatable PVs, too.
    pub fn free_extents(&self) -> u64 {
        self.pvs.iter().map(|pv| u64::from(pv.free().get())).sum()
    }

    /// The extents of a PV that LVs hold; none for a PV that is not in the VG.
    pub fn pv_used(&self, id: PvId) -> Extents {
        self.pv(id).map(Pv::used).unwrap_or_default()
    }

    /// Tells why the VG must not be changed at all by us, whatever the host; `None` when it may be.
    ///
    /// Whether its owner is this host is for the caller to compare, see [`Vg::system_id`].
    pub fn refusal(&self) -> Option<Refusal> {
        if let Some(word) = self.unknown_status.first() {
            return Some(Refusal::UnknownStatus {
                owner: "VG".to_owned(),
                word: word.to_string(),
            });
        }
        if self.is_clustered() {
            return Some(Refusal::Clustered);
        }
        if self.is_shared() {
            return Some(Refusal::Shared(self.lock_type().unwrap_or("SHARED").to_owned()));
        }
        if self.is_exported() {
            return Some(Refusal::Exported);
        }
        if !self.status.contains(VgStatus::WRITE) {
            return Some(Refusal::ReadOnly);
        }
        if self.pr.iter().any(|word| &**word == "require") {
            return Some(Refusal::PersistentReservation);
        }
        let bad_pv = self.pvs.iter().find_map(|pv| match pv.unknown_status.first() {
            Some(word) => Some(Refusal::UnknownStatus {
                owner: pv.key().to_owned(),
                word: word.to_string(),
            }),
            None if pv.is_missing() => Some(Refusal::MissingPv(pv.id().to_string())),
            None => None,
        });
        bad_pv.or_else(|| self.blocked.clone())
    }

    /// Tells whether this LV of the VG is for users rather than a part of another, as LVM sees it.
    ///
    /// That is its `VISIBLE` status, but a snapshot's store is as visible as its origin, and a snapshot's link never is.
    pub fn is_visible(&self, lv: &Lv) -> bool {
        if lv
            .segments
            .iter()
            .any(|segment| segment.type_name() == "snapshot")
        {
            return false;
        }
        let link = self.lvs.users_of(lv.name()).find_map(|user| {
            let other = match user.segments.first()?.kind() {
                super::SegmentKind::Other(other) if other.type_name() == "snapshot" => other,
                _ => return None,
            };
            let section = other.section();
            let name_at = |key| {
                section
                    .find(key)
                    .and_then(|value| value.as_str().map(str::to_owned))
            };
            (name_at("cow_store").as_deref() == Some(lv.name())).then(|| name_at("origin"))
        });
        match link.flatten().and_then(|origin| self.lv(&origin)) {
            Some(origin) => origin.name.contains("_vorigin") || origin.status.contains(LvStatus::VISIBLE),
            None => lv.is_visible(),
        }
    }
}
