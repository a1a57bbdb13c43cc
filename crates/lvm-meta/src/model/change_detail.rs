//! Changes to LVs whose one segment has fields of its own: thin pools, thin LVs, snapshots.

use super::change::NewLv;
use super::detail::Detail;
use super::{ChangeError, Lv, Opaque, SegmentKind, SegmentPlan, Vg};
use crate::{Error, Extents};

impl SegmentPlan {
    /// A segment with fields of its own, printed as LVM does; `type_name` with its `+` words, if it has any.
    ///
    /// # Errors
    /// [`ChangeError::BadSegment`] for a type that does not have these fields.
    pub fn of_detail(extents: Extents, type_name: &str, detail: &Detail) -> Result<Self, ChangeError> {
        let body = detail.print();
        let opaque = Opaque::parse(type_name, &body).ok().flatten();
        let opaque = opaque.filter(|opaque| opaque.detail().as_ref() == Ok(&Some(detail.clone())));
        let kind = opaque.ok_or(ChangeError::BadSegment("fields that its type does not have"))?;
        Ok(Self {
            extents,
            kind: SegmentKind::Other(kind),
        })
    }
}

impl Lv {
    /// The fields of an LV of one segment whose type has its own; `None` for other LVs, and for fields that LVM would
    /// not take either.
    pub fn detail(&self) -> Option<Detail> {
        match self.segments() {
            [segment] => match segment.kind() {
                SegmentKind::Other(opaque) => opaque.detail().ok().flatten(),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Vg {
    /// Gives an LV of one segment other fields of its type, and another length.
    ///
    /// # Errors
    /// [`ChangeError::NotResizable`] for an LV of another kind, and as [`Vg::replace_segments`].
    pub fn set_detail(&mut self, name: &str, extents: Extents, detail: &Detail) -> Result<(), Error> {
        let lv = self
            .lv(name)
            .ok_or_else(|| ChangeError::NoSuchLv(name.to_owned()))?;
        let type_name = match lv.segments() {
            [segment] => segment.type_name().to_owned(),
            _ => {
                return Err(ChangeError::NotResizable {
                    lv: name.to_owned(),
                    segment_type: "several".to_owned(),
                }
                .into());
            }
        };
        let plan = SegmentPlan::of_detail(extents, &type_name, detail)?;
        self.replace_segments(name, vec![plan])
    }

    /// Adds an LV of one segment with fields of its own; `new` brings everything but the segments.
    ///
    /// # Errors
    /// As [`Vg::add_lv`].
    pub fn add_detailed(
        &mut self,
        new: NewLv,
        extents: Extents,
        type_name: &str,
        detail: &Detail,
    ) -> Result<(), Error> {
        let segments = vec![SegmentPlan::of_detail(extents, type_name, detail)?];
        self.add_lv(NewLv { segments, ..new })
    }
}
