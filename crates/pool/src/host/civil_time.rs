//! Calendar time in UTC, without the C library's global time zone.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment as a calendar shows it, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilTime {
    year: u64,
    month: u64,
    day: u64,
    weekday: u64,
    second_of_day: u64,
}

impl CivilTime {
    /// The moment `seconds` after the begin of 1970.  Moments after the year 9999 become its last second.
    pub fn from_unix(seconds: u64) -> Self {
        let seconds = seconds.min(253_402_300_799);
        let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March end with the leap day, so that months have a fixed pattern of lengths.
        let from_march = days + 719_468;
        let (era, day_of_era) = (from_march / 146_097, from_march % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            weekday: (days + 4) % 7,
            second_of_day,
        }
    }

    /// The moment that the system's clock shows.
    pub fn now() -> Self {
        Self::from_unix(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }

    /// As a part of file names: `20261123.083505`.
    pub fn compact(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!(
            "{:04}{:02}{:02}.{hour:02}{minute:02}{second:02}",
            self.year, self.month, self.day
        )
    }

    /// As RFC 3339 has it: `2026-11-23T08:35:05Z`.
    pub fn rfc3339(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!(
            "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
            self.year, self.month, self.day
        )
    }

    /// As LVM's comments have it: `2026-11-23 08:35:05 +0000`.
    pub fn stamp(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!(
            "{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02} +0000",
            self.year, self.month, self.day
        )
    }

    fn clock(&self) -> (u64, u64, u64) {
        (
            self.second_of_day / 3600,
            self.second_of_day / 60 % 60,
            self.second_of_day % 60,
        )
    }
}

/// As ctime(3) without the line end: `Mon Nov 23 08:35:05 2026`.
impl fmt::Display for CivilTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let name =
            |names: &[&'static str], at: u64| usize::try_from(at).ok().and_then(|at| names.get(at).copied());
        let weekday = name(&WEEKDAYS, self.weekday).unwrap_or("???");
        let month = name(&MONTHS, self.month - 1).unwrap_or("???");
        let (hour, minute, second) = self.clock();
        write!(
            f,
            "{weekday} {month} {:2} {hour:02}:{minute:02}:{second:02} {}",
            self.day, self.year
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_shown_as_ctime_shows_them() {
        for (seconds, text, compact) in [
            (0, "Thu Jan  1 00:00:00 1970", "19700101.000000"),
            (951_782_400, "Tue Feb 29 00:00:00 2000", "20000229.000000"),
            (1_709_251_199, "Thu Feb 29 23:59:59 2024", "20240229.235959"),
            (1_795_422_905, "Mon Nov 23 08:35:05 2026", "20261123.083505"),
            (4_107_542_400, "Mon Mar  1 00:00:00 2100", "21000301.000000"),
            (u64::MAX, "Fri Dec 31 23:59:59 9999", "99991231.235959"),
        ] {
            let time = CivilTime::from_unix(seconds);
            assert_eq!(
                (time.to_string().as_str(), time.compact().as_str()),
                (text, compact)
            );
        }
    }
}
