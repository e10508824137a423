//! Amounts as people write them: a number and its unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Bytes, written as `50MB`. kB, MB and GB are powers of 1,000, as operators count; KiB, MiB and GiB powers of 1,024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A time between reports, written as `15m`: s, m, h or d. From 1 second to 1 day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(pub Duration);

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// No number at its beginning.
    #[error("{text:?} does not begin with a number: write {example}")]
    NoNumber {
        /// What was given.
        text: String,
        /// How it is written.
        example: &'static str,
    },
    /// A number alone.
    #[error("{text:?} has no unit: write {text}{unit}, for instance")]
    NoUnit {
        /// What was given.
        text: String,
        /// One that is meant often.
        unit: &'static str,
    },
    /// Too small or too large.
    #[error("{text:?} is out of range: from {least} to {most}")]
    OutOfRange {
        /// What was given.
        text: String,
        /// The smallest amount.
        least: &'static str,
        /// The largest amount.
        most: &'static str,
    },
    /// Letters that are no unit.
    #[error("{unit:?} is no unit: use one of {known}")]
    UnknownUnit {
        /// What was given.
        unit: String,
        /// What there is.
        known: &'static str,
    },
}

impl FromStr for Bytes {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let bytes = parse(text, &BYTE_UNITS, "MB", "50MB", "B, kB, MB, GB, KiB, MiB, GiB")?;
        let is_in_range = (1e3..=1e12).contains(&bytes);
        is_in_range.then_some(Self(bytes.round() as u64)).ok_or_else(|| QuantityError::OutOfRange {
            text: text.into(),
            least: "1kB",
            most: "1000GB",
        })
    }
}

impl FromStr for Interval {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let seconds = parse(text, &TIME_UNITS, "m", "15m", "s, m, h, d")?;
        let is_in_range = (1.0..=86_400.0).contains(&seconds);
        is_in_range.then(|| Self(Duration::from_secs_f64(seconds))).ok_or_else(|| QuantityError::OutOfRange {
            text: text.into(),
            least: "1s",
            most: "1d",
        })
    }
}

/// In the largest unit below it, with three digits: `0.41 MB`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        let (amount, unit) = match self.0 {
            0..1_000 => return f.pad(&format!("{} B", self.0)),
            1_000..100_000 => (bytes / 1e3, "kB"),
            100_000..1_000_000_000 => (bytes / 1e6, "MB"),
            _ => (bytes / 1e9, "GB"),
        };
        let digits = match amount {
            100.0.. => 0,
            10.0..100.0 => 1,
            _ => 2,
        };
        f.pad(&format!("{amount:.digits$} {unit}"))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let (amount, unit) = match seconds {
            86_400.0.. => (seconds / 86_400.0, "d"),
            3_600.0.. => (seconds / 3_600.0, "h"),
            120.0.. => (seconds / 60.0, "min"),
            _ => (seconds, "s"),
        };
        f.pad(&format!("{} {unit}", (amount * 100.0).round() / 100.0))
    }
}

fn parse(
    text: &str,
    units: &[(&str, f64)],
    unit: &'static str,
    example: &'static str,
    known: &'static str,
) -> Result<f64, QuantityError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, given) = (&text[..end], text[end..].trim_start());
    let number: f64 = number.parse().map_err(|_| QuantityError::NoNumber { text: text.into(), example })?;
    if given.is_empty() {
        return Err(QuantityError::NoUnit { text: text.into(), unit });
    }
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(given));
    let factor = factor.ok_or_else(|| QuantityError::UnknownUnit { unit: given.into(), known })?;
    Ok(number * factor.1)
}

const BYTE_UNITS: [(&str, f64); 7] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1_024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];
const TIME_UNITS: [(&str, f64); 5] =
    [("s", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3_600.0), ("d", 86_400.0)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_their_unit() {
        for (text, bytes) in [
            ("50MB", 50_000_000),
            ("1.5 GB", 1_500_000_000),
            ("512KiB", 524_288),
            (" 2mb ", 2_000_000),
            ("2.01MB", 2_010_000),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for (text, seconds) in [("15m", 900), ("1s", 1), ("90 s", 90), ("0.5h", 1_800), ("1d", 86_400)] {
            assert_eq!(text.parse(), Ok(Interval(Duration::from_secs(seconds))), "{text}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let error = |text: &str| text.parse::<Bytes>().unwrap_err().to_string();
        assert_eq!(error("3"), "\"3\" has no unit: write 3MB, for instance");
        assert_eq!(error("MB"), "\"MB\" does not begin with a number: write 50MB");
        assert_eq!(error("-3MB"), "\"-3MB\" does not begin with a number: write 50MB");
        assert_eq!(error("1.2.3MB"), "\"1.2.3MB\" does not begin with a number: write 50MB");
        assert_eq!(error("3m"), "\"m\" is no unit: use one of B, kB, MB, GB, KiB, MiB, GiB");
        assert_eq!(error("5B"), "\"5B\" is out of range: from 1kB to 1000GB");
        let error = |text: &str| text.parse::<Interval>().unwrap_err().to_string();
        assert_eq!(error("15"), "\"15\" has no unit: write 15m, for instance");
        assert_eq!(error("0s"), "\"0s\" is out of range: from 1s to 1d");
        assert_eq!(error("2d"), "\"2d\" is out of range: from 1s to 1d");
        assert_eq!(error("1w"), "\"w\" is no unit: use one of s, m, h, d");
    }

    #[test]
    fn amounts_are_shown_with_three_digits() {
        let shown = [12, 3_789, 41_234, 407_000, 12_345_678, 594_000_000, 2_345_678_901]
            .map(|n| Bytes(n).to_string());
        assert_eq!(shown, ["12 B", "3.79 kB", "41.2 kB", "0.41 MB", "12.3 MB", "594 MB", "2.35 GB"]);
        let shown = [1, 90, 900, 5_400, 86_400].map(|s| Interval(Duration::from_secs(s)).to_string());
        assert_eq!(shown, ["1 s", "90 s", "15 min", "1.5 h", "1 d"]);
    }
}
