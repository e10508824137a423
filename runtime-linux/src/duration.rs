//! Lengths of time as people write them: `90s`, `15m`, `1h30m`, `1d`.

use std::time::Duration;

use jiff::fmt::friendly::{Designator, Spacing, SpanParser, SpanPrinter};
use jiff::{Span, SpanRelativeTo};

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no length of time: write it as 500ms, 90s, 15m, 1h30m or 1d")]
pub struct DurationError {
    /// What was given, cut after some characters.
    pub text: String,
}

/// Reads a length of time: numbers with the units `ms`, `s`, `m`, `h`, `d` (24 hours) and `w`, the largest first; `0` needs
/// none. What is less than a millisecond counts as one.
///
/// ```
/// use std::time::Duration;
/// use runtime_linux::parse_duration;
/// assert_eq!(parse_duration("1h 30m")?, Duration::from_secs(5_400));
/// assert_eq!(parse_duration("1.5h")?, Duration::from_secs(5_400));
/// assert!(parse_duration("-5m").is_err());
/// # Ok::<(), runtime_linux::DurationError>(())
/// ```
///
/// # Errors
/// [`DurationError`]; months and years too, which have no length of their own.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError { text: text.chars().take(SHOWN_CHARS).collect() };
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    let span = SpanParser::new().parse_span(text.trim()).map_err(|_| error())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| error())?;
    let length = Duration::try_from(length).map_err(|_| error())?;
    Ok(Duration::from_millis(as_ms(length) + u64::from(!length.subsec_nanos().is_multiple_of(1_000_000))))
}

/// The text of a length of time, to the millisecond: [`parse_duration`] reads the same again.
#[must_use]
pub fn show_duration(length: Duration) -> String {
    let ms = as_ms(length).min(SHOWN_MAX_MS);
    let part = |unit_ms: u64, of: u64| i64::try_from(ms / unit_ms % of).unwrap_or(i64::MAX);
    let span = Span::new()
        .days(part(86_400_000, u64::MAX))
        .hours(part(3_600_000, 24))
        .minutes(part(60_000, 60))
        .seconds(part(1_000, 60))
        .milliseconds(part(1, 1_000));
    SpanPrinter::new().designator(Designator::Compact).spacing(Spacing::None).span_to_string(&span)
}

/// A length of time in whole milliseconds.
pub(crate) fn as_ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Characters of a bad text that an error shows.
const SHOWN_CHARS: usize = 40;
/// The longest length that has a text: what a span of days can hold.
const SHOWN_MAX_MS: u64 = 7_304_484 * 86_400_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_length_of_time_says_how_to_write_one() {
        let bad =
            ["", "m", "-5m", "5m ago", "7", "1mo", "1y", "5 apples", "99999999999999999999d", "\u{664}s"];
        for text in bad {
            let error = parse_duration(text).unwrap_err();
            assert!(error.to_string().contains("15m"), "{text}: {error}");
        }
    }

    #[test]
    fn each_unit_has_its_length() {
        let ms = |text: &str| parse_duration(text).unwrap().as_millis();
        assert_eq!((ms("0"), ms("0s"), ms("1us"), ms("1.5ms")), (0, 0, 1, 2));
        assert_eq!((ms("500ms"), ms("90s"), ms("15m")), (500, 90_000, 900_000));
        assert_eq!((ms("1h30m"), ms("1.5h"), ms("6 hours")), (5_400_000, 5_400_000, 21_600_000));
        assert_eq!((ms("1d"), ms("1d 12h"), ms("2w")), (86_400_000, 129_600_000, 1_209_600_000));
    }

    #[test]
    fn a_text_is_short() {
        let shown = |ms| show_duration(Duration::from_millis(ms));
        assert_eq!((shown(0), shown(90_000), shown(900_000)), ("0s".into(), "1m30s".into(), "15m".into()));
        assert_eq!((shown(86_400_000), shown(7_200_500)), ("1d".into(), "2h500ms".into()));
        assert_eq!(show_duration(Duration::MAX), "7304484d");
    }

    proptest! {
        #[test]
        fn its_text_says_the_same(ms in prop_oneof![0..=SHOWN_MAX_MS, (0..200_u64).prop_map(|n| n * 60_000)]) {
            let length = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&show_duration(length)), Ok(length));
        }
    }
}
