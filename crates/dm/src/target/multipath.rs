//! `multipath #FEATURES [FEATURE ...] #HANDLER_ARGS [...] #GROUPS GROUP (SELECTOR #SELECTOR_ARGS [...] #PATHS #PATH_ARGS (PATH [...])...)...`

use super::Words;
use crate::DeviceNumber;

/// Passes I/O on to one of several devices that are all ways to the same data, and can hold what none of them takes.
///
/// Of the forms that the kernel knows this is the one with a single group of paths that are used in turn, without a hardware handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipath {
    /// Words such as `queue_if_no_path`, and `queue_mode bio`, which is two.
    pub features: Vec<String>,
    /// The devices.
    pub paths: Vec<DeviceNumber>,
}

/// What the kernel says of such a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultipathStatus {
    /// Paths that did not fail.
    pub usable: usize,
}

impl Multipath {
    /// The message after which I/O that no path takes waits.
    pub const HOLD: &str = "queue_if_no_path";
    /// The message after which it fails, also what waits.
    pub const LET_GO: &str = "fail_if_no_path";

    /// Does I/O that no path takes wait?
    pub fn is_holding(&self) -> bool {
        self.features.iter().any(|word| word == Self::HOLD)
    }

    pub(super) fn params(&self) -> String {
        let mut params = self.features.len().to_string();
        for word in &self.features {
            params += &format!(" {word}");
        }
        params += &format!(" 0 1 1 round-robin 0 {} 1", self.paths.len());
        for path in &self.paths {
            params += &format!(" {path} 1");
        }
        params
    }

    /// `None` for another form.
    pub(super) fn parse(params: &str) -> Option<Self> {
        let mut words = Words(params.split_ascii_whitespace());
        let mut features = Vec::new();
        for _ in 0..words.number::<usize>()? {
            features.push(words.word()?.to_string());
        }
        for wanted in ["0", "1", "1", "round-robin", "0"] {
            words.word().filter(|word| *word == wanted)?;
        }
        let count = words.number::<usize>()?;
        words.word().filter(|word| *word == "1")?;
        let mut paths = Vec::new();
        for _ in 0..count {
            paths.push(words.device()?);
            words.word().filter(|word| *word == "1")?;
        }
        (count > 0 && words.word().is_none()).then_some(Self { features, paths })
    }
}

impl MultipathStatus {
    /// Reads the words of a status; `None` for what is none.
    pub fn parse(status: &str) -> Option<Self> {
        let mut words = Words(status.split_ascii_whitespace());
        // Of the features, then of the hardware handler.
        for _ in 0..2 {
            skip_counted(&mut words)?;
        }
        let groups = words.number::<usize>()?;
        words.word()?;
        let mut usable = 0;
        for _ in 0..groups {
            words.word()?;
            skip_counted(&mut words)?;
            let (paths, args) = (words.number::<usize>()?, words.number::<usize>()?);
            for _ in 0..paths {
                words.device()?;
                match words.word()? {
                    "A" => usable += 1,
                    "F" => {}
                    _ => return None,
                }
                words.number::<u64>()?;
                for _ in 0..args {
                    words.word()?;
                }
            }
        }
        words.word().is_none().then_some(Self { usable })
    }
}

/// A number and as many words.
fn skip_counted(words: &mut Words<'_>) -> Option<()> {
    for _ in 0..words.number::<usize>()? {
        words.word()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_how_many_paths_are_usable() {
        let usable = |text| MultipathStatus::parse(text).map(|status| status.usable);
        assert_eq!(usable("2 0 0 0 1 1 A 0 1 0 253:0 A 0 "), Some(1));
        assert_eq!(usable("2 1 0 0 1 1 E 0 1 0 253:0 F 17 "), Some(0));
        assert_eq!(
            usable("2 0 0 1 alua 2 1 A 0 2 2 8:0 A 0 0 1 8:16 F 1 0 1 E 0 1 0 8:32 A 0"),
            Some(2)
        );
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for bad in [
            "",
            "2 0",
            "2 0 0 0 1 1 A 0 1 0 253:0 X 0",
            "2 0 0 0 1 1 A 0 1 0 253:0 A",
            "2 0 0 0 1 1 A 0 1 0 253:0 A 0 9",
            "18446744073709551615 0",
            "2 0 0 0 18446744073709551615 1 A 0",
        ] {
            assert_eq!(MultipathStatus::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_the_kernel_prints_tells_whether_it_holds() {
        let words =
            "4 queue_if_no_path retain_attached_hw_handler queue_mode bio 0 1 1 round-robin 0 1 1 253:0 1 ";
        let found = Multipath::parse(words).unwrap();
        assert!(found.is_holding());
        let number = DeviceNumber { major: 253, minor: 0 };
        assert_eq!(found.paths, [number]);
    }
}
