//! What is to be restored, as far as it can be judged without a look at the disks.

use std::path::{Path, PathBuf};

use lvm_meta::{FoundVg, Pv, PvId, TextHead, Vg, VgName};

use crate::error::Refusal;
use crate::new_disks::check_given_once;
use crate::system::Inner;
use crate::{Error, RestorePool};

/// The text to restore and the disks that the caller gives, checked as far as that needs no look at the disks.
pub(crate) struct Wanted<'a> {
    pub(super) request: &'a RestorePool,
    pub(crate) vg: Vg,
    /// Which disk is to be labelled as which PV.
    pub(super) given: Vec<(PvId, &'a Path)>,
}

impl<'a> Wanted<'a> {
    /// Reads the text and checks all that it says by itself.
    ///
    /// # Errors
    /// [`Error::BadBackup`], [`Error::InvalidArgument`], [`Error::Refused`], [`Error::NeedsForce`], [`Error::Disk`].
    pub(crate) fn read(inner: &Inner, request: &'a RestorePool) -> Result<Self, Error> {
        let name = VgName::parse(&request.name)?;
        let bad = |why: String| Error::BadBackup {
            vg: request.name.clone(),
            why,
        };
        let vg = Vg::parse(&request.text).map_err(|error| bad(error.to_string()))?;
        if vg.name() != name.as_str() {
            return Err(Error::InvalidArgument {
                what: "pool name",
                given: request.name.clone(),
                why: format!("the file is of volume group {:?}", vg.name()),
            });
        }
        check_allowed(inner, &vg, vg.refusal().as_ref())?;
        if let Some(finding) = lvm_meta::check(&vg).into_iter().next() {
            return Err(bad(finding.to_string()));
        }
        let is_thin = |lv: &&lvm_meta::Lv| {
            let mut types = lv.segments().iter().map(|segment| segment.type_name());
            types.any(|name| matches!(name.split('+').next(), Some("thin-pool" | "thin")))
        };
        if let Some(lv) = vg.lvs().find(is_thin).filter(|_| !request.force) {
            return Err(Error::NeedsForce {
                vg: vg.name().into(),
                what: format!(
                    "the file may be older than the thin pool's own metadata: {:?}",
                    lv.name()
                ),
            });
        }
        let given = given(request, &vg)?;
        Ok(Self { request, vg, given })
    }

    /// The disks to be labelled.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.given.iter().map(|(_, path)| path.to_path_buf()).collect()
    }

    pub(super) fn refused(&self, why: Refusal) -> Error {
        Error::Refused {
            vg: self.vg.name().into(),
            why,
        }
    }

    /// Is it this VG, as far as its newest text tells?
    pub(super) fn is_it(&self, found: &FoundVg) -> bool {
        let is_same = |id| id == self.vg.id();
        let id = found.id.or_else(|| TextHead::read(&found.text).ok()?.id);
        found.name == self.vg.name() && id.is_none_or(is_same)
    }
}

/// Refuses a VG that this host must not write.
pub(super) fn check_allowed(
    inner: &Inner,
    vg: &Vg,
    refusal: Option<&lvm_meta::Refusal>,
) -> Result<(), Error> {
    let why = match refusal {
        Some(refusal) => Refusal::of_metadata(refusal),
        None => match inner.host_refusal(vg) {
            Some(why) => why,
            None => return Ok(()),
        },
    };
    Err(Error::Refused {
        vg: vg.name().into(),
        why,
    })
}

/// Finds the PVs that the caller gives disks for.
fn given<'a>(request: &'a RestorePool, vg: &Vg) -> Result<Vec<(PvId, &'a Path)>, Error> {
    let paths: Vec<PathBuf> = request.disks.iter().map(|(_, path)| path.clone()).collect();
    check_given_once(&paths)?;
    let mut given: Vec<(PvId, &Path)> = Vec::new();
    for (wanted, path) in &request.disks {
        let refuse = |why: &str| Error::InvalidArgument {
            what: "PV",
            given: wanted.clone(),
            why: why.into(),
        };
        let id = PvId::parse(wanted).ok();
        let is_it = |pv: &&Pv| Some(pv.id()) == id || pv.key() == wanted;
        let pv = vg.pvs().iter().find(is_it);
        let pv = pv.ok_or_else(|| refuse("the file has no PV of this id or key"))?;
        if given.iter().any(|(id, _)| *id == pv.id()) {
            return Err(refuse("it was given twice"));
        }
        given.push((pv.id(), path));
    }
    Ok(given)
}
