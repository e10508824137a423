//! Lengths of time as people write them: `90s`, `15m`, `6h`, `1d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time in whole milliseconds, with its text: a number and `ms`, `s`, `m`, `h` or `d`; `0` needs no unit.
///
/// ```
/// use runtime_linux::Period;
/// assert_eq!("90s".parse::<Period>()?.to_string(), "90s");
/// assert_eq!("120m".parse::<Period>()?.to_string(), "2h");
/// assert!("-5m".parse::<Period>().is_err());
/// # Ok::<(), runtime_linux::PeriodError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    ms: u64,
}

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no length of time: write it as 500ms, 90s, 15m, 6h or 1d")]
pub struct PeriodError {
    /// What was given, cut after some characters.
    pub text: String,
}

impl Period {
    /// So many milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// Its length in milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.ms
    }

    /// The same as the standard library has it.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.ms)
    }

    /// Whether it is no time at all.
    pub const fn is_zero(self) -> bool {
        self.ms == 0
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let error = || PeriodError { text: text.chars().take(SHOWN_CHARS).collect() };
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| error())?;
        let unit_ms = match unit {
            "" if number == 0 => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?.1,
        };
        Ok(Self { ms: number.checked_mul(unit_ms).ok_or_else(error)? })
    }
}

/// In the largest unit that leaves no fraction.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, unit_ms)| self.ms.is_multiple_of(*unit_ms)) {
            Some((unit, unit_ms)) if self.ms > 0 => write!(f, "{}{unit}", self.ms / unit_ms),
            _ => f.write_str("0s"),
        }
    }
}

/// Units and their lengths in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Characters of a bad text that an error shows.
const SHOWN_CHARS: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_length_of_time_says_how_to_write_one() {
        for text in ["", "m", "-5m", "1.5h", "5 m", "5w", "7", "99999999999999999999d", "\u{664}s"] {
            let error = text.parse::<Period>().unwrap_err();
            assert!(error.to_string().contains("15m"), "{text}: {error}");
        }
        assert_eq!("0".parse(), Ok(Period::default()));
        assert_eq!("90s".parse(), Ok(Period::from_ms(90_000)));
    }

    proptest! {
        #[test]
        fn its_text_says_the_same(ms in prop_oneof![any::<u64>(), (0..200_u64).prop_map(|n| n * 60_000)]) {
            let period = Period::from_ms(ms);
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
    }
}
