//! Amounts of bytes as people write them: `50MB`, `1.5 GB`, `20MiB`.

use byte_unit::{Byte, ParseError, ValueParseError};

/// A text that is no amount of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SizeError {
    /// More than 64 bits can count.
    #[error("{text:?} is too much: {} bytes are the most", u64::MAX)]
    TooLarge {
        /// What was given, cut after some characters.
        text: String,
    },
    /// No number at its beginning.
    #[error("{text:?} does not begin with a number: write it as 50MB, 800kB, 1.5GB or 20MiB")]
    NoNumber {
        /// What was given, cut after some characters.
        text: String,
    },
    /// What follows the number is no unit of bytes.
    #[error(
        "what follows the number in {text:?} is no unit here: use B, kB, MB, GB or TB, which count in thousands, or KiB, MiB, \
         GiB or TiB, such as 50MB"
    )]
    Unit {
        /// What was given, cut after some characters.
        text: String,
    },
}

/// Reads an amount of bytes: a decimal number, and a unit in any case of its letters. `MB` and `M` are a million bytes,
/// `MiB` is 1,048,576; a number alone is bytes. What is less than a byte counts as one.
///
/// ```
/// use runtime_linux::parse_size;
/// assert_eq!(parse_size("1.5 GB")?, 1_500_000_000);
/// assert_eq!(parse_size("20MiB")?, 20_971_520);
/// assert!(parse_size("-5MB").is_err());
/// # Ok::<(), runtime_linux::SizeError>(())
/// ```
///
/// # Errors
/// [`SizeError`].
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let shown = || text.chars().take(SHOWN_CHARS).collect();
    let is_in_bits = text.to_ascii_lowercase().contains("bit");
    match Byte::parse_str(text, true) {
        Ok(_) if is_in_bits => Err(SizeError::Unit { text: shown() }),
        Ok(size) => Ok(size.as_u64()),
        Err(ParseError::Value(ValueParseError::ExceededBounds(_) | ValueParseError::NumberTooLong)) => {
            Err(SizeError::TooLarge { text: shown() })
        }
        Err(ParseError::Value(_)) => Err(SizeError::NoNumber { text: shown() }),
        Err(ParseError::Unit(_)) => Err(SizeError::Unit { text: shown() }),
    }
}

/// Characters of a bad text that an error shows.
const SHOWN_CHARS: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, bytes) in [
            ("0", 0),
            ("50", 50),
            ("50MB", 50_000_000),
            ("800kB", 800_000),
            ("800 KB", 800_000),
            ("1.5 GB", 1_500_000_000),
            ("0.57kB", 570),
            ("1.1MB", 1_100_000),
            ("20MiB", 20_971_520),
            (" 2mb ", 2_000_000),
            ("3M", 3_000_000),
            ("0.1B", 1),
            ("9007199254740993B", 9_007_199_254_740_993),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", " ", "MB", "-5MB", "+5MB", "NaN", "inf", ".5MB", "\u{664}MB"] {
            assert!(matches!(parse_size(text), Err(SizeError::NoNumber { .. })), "{text}");
        }
        for text in ["50m3", "50MB/week", "50Mbit", "5 0MB", "1.2.3MB", "1e6", "1,5GB", "50\u{3bc}B", "50MBs"]
        {
            assert!(matches!(parse_size(text), Err(SizeError::Unit { .. })), "{text}");
        }
        let long = "9".repeat(1_000);
        for text in ["18446744073709551616", "184467440737095516159", "99999999EB", "20EB", &long] {
            assert!(matches!(parse_size(text), Err(SizeError::TooLarge { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn thousandths_of_a_unit_are_exact(thousandths in 0..1_000_000_000_u64) {
            let (whole, part) = (thousandths / 1_000, thousandths % 1_000);
            for (unit, factor) in [("kB", 1), ("MB", 1_000), ("gb", 1_000_000)] {
                prop_assert_eq!(parse_size(&format!("{whole}.{part:03} {unit}")), Ok(thousandths * factor));
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "[0-9]{0,30}[. ]?[0-9]{0,30}[ a-zA-Z/\\.]{0,6}\\PC{0,6}") {
            let _ = parse_size(&text);
        }
    }
}
