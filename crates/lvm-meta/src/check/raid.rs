//! RAID of all levels.
//!
//! How long an image is beside its array is not asked: LVM does not, and a reshape adds to both.

use super::context::{Context, Kept};
use super::finding::Findings;
use crate::detail::{Detail, Raid, RaidLayout};
use crate::{Extents, Lv, LvFlags, Sectors, Segment};

/// The array of a segment, if it is one.
fn raid<'a>(kept: &'a Kept<'_>) -> Option<&'a Raid> {
    match &kept.detail {
        Ok(Detail::Raid(raid)) => Some(raid),
        _ => None,
    }
}

fn is_level_1(layout: RaidLayout) -> bool {
    layout == RaidLayout::Raid1
}

fn is_level_10(layout: RaidLayout) -> bool {
    matches!(layout, RaidLayout::Raid10 | RaidLayout::Raid10Near)
}

/// An array of stripes is whole extents on each of its images of data; LVM does not ask that of level 10.
pub(super) fn length(_: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(raid) = raid(kept) else { return };
    let layout = raid.layout;
    if is_level_1(layout) || is_level_10(layout) {
        return;
    }
    let data_images = raid.legs.len().saturating_sub(layout.parity_images());
    let extents = kept.segment.extent_count();
    let fits = u32::try_from(data_images).is_ok_and(|images| extents.get().is_multiple_of(images));
    // Too few images are told by their own rule.
    if data_images > 0 && !fits {
        findings.segment(
            kept.lv,
            kept.segment,
            format!("{extents} over {data_images} images of data"),
        );
    }
}

/// A level has the images that LVM asks for at least; none has more than 64, which reading its fields sees to.
pub(super) fn count(_: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(raid) = raid(kept) else { return };
    let least = match raid.layout.parity_images() {
        // Level 1 becomes 4 or 5, and back, with two.
        1 => 2,
        2 => 5,
        _ if is_level_10(raid.layout) => 4,
        _ => 1,
    };
    let found = raid.legs.len();
    if found < least {
        findings.segment(
            kept.lv,
            kept.segment,
            format!("{found} images, at least {least} are needed"),
        );
    }
}

/// Every leg has metadata, but none of level 0 without it.
///
/// Levels 4 and 5 with parity on the last image lose theirs while one becomes the other.
pub(super) fn metadata(_: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(raid) = raid(kept) else { return };
    let odd = match raid.layout {
        RaidLayout::Raid4 | RaidLayout::Raid5N => return,
        RaidLayout::Raid0 => raid.legs.iter().find(|leg| leg.meta.is_some()),
        _ => raid.legs.iter().find(|leg| leg.meta.is_none()),
    };
    if let Some(leg) = odd {
        let what = if leg.meta.is_some() {
            "metadata"
        } else {
            "no metadata"
        };
        findings.segment(kept.lv, kept.segment, format!("image {:?} has {what}", leg.image));
    }
}

/// Images are of one size, and so is the metadata of all legs.
pub(super) fn sizes(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(raid) = raid(kept) else { return };
    let images: Vec<&str> = raid.legs.iter().map(|leg| &*leg.image).collect();
    let metas: Vec<&str> = raid.legs.iter().filter_map(|leg| leg.meta.as_deref()).collect();
    let size = |name: &str| context.vg.lv(name).map_or(Extents::new(0), Lv::extent_count);
    for parts in [images, metas] {
        let Some((first, rest)) = parts.split_first() else {
            continue;
        };
        let expected = size(first);
        if let Some(odd) = rest.iter().find(|name| size(name) != expected) {
            let what = format!("{odd:?} has {}, {first:?} has {expected}", size(odd));
            findings.segment(kept.lv, kept.segment, what);
        }
    }
}

/// Users do not see images and metadata, unless an image is split off and tracked, or the array is not activated.
pub(super) fn hidden(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(raid) = raid(kept) else { return };
    if kept.lv.flags().contains(LvFlags::ACTIVATION_SKIP) {
        return;
    }
    let image = |name: &str| context.vg.lv(name).filter(|image| image.is_writable());
    for leg in &raid.legs {
        let meta = leg.meta.as_ref().and_then(|meta| context.vg.lv(meta));
        for part in image(&leg.image).into_iter().chain(meta) {
            if context.is_visible(part) {
                findings.segment(
                    kept.lv,
                    kept.segment,
                    format!("its part {:?} is visible", part.name()),
                );
            }
        }
    }
}

/// A level has only its own settings.
pub(super) fn fields(_: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(raid) = raid(kept) else { return };
    let level_0 = raid.layout.is_striped_only();
    let region = raid.region_size.map(Sectors::get);
    for (key, value, is_foreign) in [
        ("region_size", region, level_0),
        (
            "writebehind",
            raid.write_behind,
            level_0 || is_level_10(raid.layout),
        ),
        ("min_recovery_rate", raid.min_recovery_rate, level_0),
        ("max_recovery_rate", raid.max_recovery_rate, level_0),
    ] {
        if is_foreign && value.is_some_and(|value| value > 0) {
            let what = format!("{key} is not for type {:?}", raid.layout.as_str());
            findings.segment(kept.lv, kept.segment, what);
        }
    }
}

/// Data begins elsewhere only during a reshape that says so, and then at an extent.
pub(super) fn data_offset(context: &Context<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Some(raid) = raid(kept) else { return };
    let is_moving = kept
        .segment
        .type_words()
        .any(|word| word == "RESHAPE_DATA_OFFSET");
    let extent = u64::from(context.vg.extent_size().sectors());
    // LVM reads 0 as 1, which it then takes for no offset.
    let offset = raid.data_offset.map_or(0, Sectors::get);
    let what = if raid.layout.is_striped_only() || is_level_1(raid.layout) {
        let wrong = is_moving || offset > 1;
        wrong.then(|| format!("type {:?} is not moved on its images", raid.layout.as_str()))
    } else if is_moving {
        // LVM's own test is one for extents of a power of two.
        let wrong = offset > 1 && extent.is_power_of_two() && !offset.is_multiple_of(extent);
        wrong.then(|| format!("data_offset {offset} is not at an extent"))
    } else {
        (offset > 1).then(|| format!("data_offset {offset} without a reshape"))
    };
    if let Some(what) = what {
        findings.segment(kept.lv, kept.segment, what);
    }
}

/// Words of a type about a reshape that LVM takes for arrays of levels 4 to 10 and their parts alone.
const WORDS: [&str; 3] = ["RESHAPE", "RESHAPE_DELTA_DISKS_PLUS", "RESHAPE_DELTA_DISKS_MINUS"];

/// Only arrays of stripes with copies or parity, and their parts, are reshaped.
pub(super) fn reshape(context: &Context<'_>, lv: &Lv, segment: &Segment, findings: &mut Findings) {
    let Some(word) = segment.type_words().find(|word| WORDS.contains(word)) else {
        return;
    };
    let may_be = match RaidLayout::parse(segment.base_type()) {
        Some(layout) => !layout.is_striped_only() && !is_level_1(layout),
        None => context.is_in_raid(lv),
    };
    if !may_be {
        findings.segment(lv, segment, format!("{word} on what is not reshaped"));
    }
}
