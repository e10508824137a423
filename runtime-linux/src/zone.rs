//! Time zones by their IANA names.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase, db};
use serde::{Deserialize, Serialize};

/// The time zone in which a carrier counts days and months, by its IANA name, in any case of its letters.
///
/// Its rules are those of the system's database (`/usr/share/zoneinfo`), or those that came with this program where the
/// system has none for the name.
///
/// ```
/// use runtime_linux::Zone;
/// assert_eq!("america/los_angeles".parse::<Zone>()?.name(), "America/Los_Angeles");
/// assert_eq!(Zone::default().name(), "UTC");
/// assert!("PST".parse::<Zone>().is_err());
/// # Ok::<(), runtime_linux::ZoneError>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

/// A text that names no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no time zone that is known here{}; write the carrier's zone by its IANA name, such as Europe/Berlin, \
     America/Sao_Paulo or UTC, and not as an abbreviation or an offset: timedatectl list-timezones lists the names",
    suggestion(nearest)
)]
pub struct ZoneError {
    /// What was given, cut after some characters.
    pub name: String,
    /// Names that are written nearly like it.
    pub nearest: Vec<String>,
}

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Its IANA name, as the database writes it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().expect("it was found by its name, or is UTC")
    }

    pub(crate) fn rules(&self) -> &TimeZone {
        &self.0
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        let found = db().get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).ok();
        let zone = found.filter(|zone| zone.iana_name().is_some_and(|name| !NO_PLACES.contains(&name)));
        zone.map(Self).ok_or_else(|| ZoneError {
            name: name.chars().take(SHOWN_CHARS).collect(),
            nearest: nearest(name),
        })
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneError;

    fn try_from(name: String) -> Result<Self, ZoneError> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

/// Two zones with one name are the same.
impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn suggestion(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        nearest => format!(" (did you mean {}?)", nearest.join(" or ")),
    }
}

/// Names that are written nearly like this one, with or without their region.
fn nearest(name: &str) -> Vec<String> {
    if name.chars().count() > SHOWN_CHARS {
        return Vec::new();
    }
    let wanted = plain(name);
    // Abbreviations are near to others that mean something else.
    let most = if wanted.len() <= ABBREVIATION_LEN { 0 } else { wanted.len() / 4 };
    let bundled = TimeZoneDatabase::bundled();
    let mut near: Vec<(usize, String)> = Vec::new();
    for known in bundled.available() {
        let full = plain(known.as_str());
        let place = full.rsplit('/').next().unwrap_or(&full);
        let distance = edits(&wanted, &full).min(edits(&wanted, place));
        if distance <= most {
            near.push((distance, known.as_str().to_owned()));
        }
    }
    let least = near.iter().map(|(distance, _)| *distance).min();
    near.retain(|(distance, _)| Some(*distance) == least);
    near.into_iter().map(|(_, name)| name).take(SUGGESTIONS_MAX).collect()
}

/// Small letters, and one character between words.
fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

/// Characters to insert, delete or change (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

/// Files of a database that are no places: what the system itself uses, and what stands for "not set".
const NO_PLACES: [&str; 3] = ["Factory", "localtime", "posixrules"];
/// Characters of a bad name that an error shows.
const SHOWN_CHARS: usize = 40;
/// Longest abbreviation of a zone, in characters.
const ABBREVIATION_LEN: usize = 4;
/// Most names that an error suggests.
const SUGGESTIONS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_with_their_old_spelling() {
        for (given, name) in [
            ("utc", "UTC"),
            ("Europe/Berlin", "Europe/Berlin"),
            ("america/SAO_PAULO", "America/Sao_Paulo"),
            ("US/Pacific", "US/Pacific"),
            ("Etc/GMT-5", "Etc/GMT-5"),
        ] {
            assert_eq!(given.parse::<Zone>().unwrap().name(), name);
        }
    }

    #[test]
    fn what_is_no_zone_is_refused_with_what_is_like_it() {
        for (given, nearest) in [
            ("Berlin", "Europe/Berlin"),
            ("Europe/Berln", "Europe/Berlin"),
            ("new york", "America/New_York"),
            ("America/NewYork", "America/New_York"),
        ] {
            let error = given.parse::<Zone>().unwrap_err();
            assert_eq!(error.nearest.first().map(String::as_str), Some(nearest), "{error}");
        }
        let long = "x".repeat(10_000);
        for given in
            ["", " ", "PST", "CEST", "+02:00", "UTC+2", "Etc/Unknown", "localtime", "../UTC", "\u{0}", &long]
        {
            let error = given.parse::<Zone>().unwrap_err();
            assert!(error.nearest.is_empty() && error.to_string().contains("Europe/Berlin"), "{error}");
        }
    }

    #[test]
    fn edits_are_counted() {
        for (from, to, count) in [("", "", 0), ("a", "", 1), ("", "abc", 3), ("kitten", "sitting", 3)] {
            assert_eq!((edits(from, to), edits(to, from)), (count, count));
        }
    }
}
