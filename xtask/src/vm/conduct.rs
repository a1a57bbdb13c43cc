//! How VMs are run, beside what they run.

use super::accel::Accel;
use super::draw::{Moments, Seed};

/// What every VM of a run is told.
#[derive(Clone, Copy)]
pub(crate) struct Conduct {
    /// Who computes.
    pub(crate) accel: Accel,
    /// What is drawn depends on it.
    pub(crate) seed: Seed,
    /// Which of many moments are tried.
    pub(crate) moments: Moments,
    /// Are its times worth something?  Then the kernel is the stock one in all its settings.
    pub(crate) is_measured: bool,
    /// Are all processes accounted for?
    pub(crate) is_profiled: bool,
}

impl Conduct {
    /// Of a scenario that measures.
    pub(crate) fn measured(accel: Accel, seed: Seed) -> Self {
        Self {
            accel,
            seed,
            moments: Moments::All,
            is_measured: true,
            is_profiled: false,
        }
    }

    /// The words of the kernel's command line that the VM's init reads.
    pub(crate) fn words(&self, udev: bool) -> String {
        let udev = if udev { "udev" } else { "noudev" };
        let moments = match self.moments {
            Moments::Some => "some",
            Moments::All => "all",
        };
        let profile = if self.is_profiled { " vm.profile=1" } else { "" };
        format!(
            "vm.udev={udev} vm.seed={} vm.moments={moments}{profile}",
            self.seed
        )
    }
}
