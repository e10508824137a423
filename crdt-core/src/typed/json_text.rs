//! JSON text, without numbers that would come back as others.
//!
//! `serde_json` reads an integer beyond 64 bits as the nearest float, `-0` as the float `-0.0`, and `1e-400` as 0. Here the
//! text of a number says what it is: an integer has neither fraction nor exponent, a float has one of them.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use core::ops::Range;

use serde::de::{DeserializeOwned, IgnoredAny};

/// Why a text was not read as JSON.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonTextError {
    /// A number that would become another.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// It is not JSON, or not of the type that is wanted.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
}

/// A number that neither a 64-bit integer nor a float holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// An integer outside of 64 bits.
    #[error(
        "the integer {} is outside of {} to {}: write .0 behind it to store the nearest float, or quotes around it to store text",
        shortened(number),
        i64::MIN,
        u64::MAX
    )]
    Integer {
        /// Its text.
        number: String,
    },
    /// A float that is too large.
    #[error(
        "{} is beyond {:e}, the largest float: write quotes around it to store text",
        shortened(number),
        f64::MAX
    )]
    Overflow {
        /// Its text.
        number: String,
    },
    /// A float that is not 0 and would become 0.
    #[error(
        "{} is nearer to 0 than {:e}, the smallest float: write 0.0, or quotes around it to store text",
        shortened(number),
        f64::from_bits(1)
    )]
    Underflow {
        /// Its text.
        number: String,
    },
}

/// Reads JSON text as a `T`, such as a `serde_json::Value` for [`write_json`](crate::Document::write_json).
///
/// Each number is read exactly, or as the nearest float if its text has a fraction or an exponent, as all readers of JSON
/// do. O(length), in three passes.
///
/// # Errors
/// [`JsonTextError`]: also where `serde_json` alone would read another number than the text has.
///
/// ```
/// use crdt_core::typed::{JsonTextError, NumberError, parse_json};
/// use serde_json::Value;
/// assert_eq!(parse_json::<Value>("[7, 7.0, 18446744073709551615]")?.to_string(), "[7,7.0,18446744073709551615]");
/// let number = "18446744073709551616".to_owned();
/// let error = parse_json::<Value>(&format!(r#"{{"total":{number}}}"#)).unwrap_err();
/// assert!(matches!(error, JsonTextError::Number(of) if of == NumberError::Integer { number }));
/// # Ok::<(), JsonTextError>(())
/// ```
pub fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, JsonTextError> {
    // Where a number begins and ends is plain only in well-formed text.
    serde_json::from_str::<IgnoredAny>(text)?;
    let mut exact = Cow::Borrowed(text);
    for number in numbers(text) {
        check(&text[number.clone()])?;
        if text[number.clone()] == *"-0" {
            exact.to_mut().replace_range(number.start..=number.start, " ");
        }
    }
    Ok(serde_json::from_str(&exact)?)
}

/// Where the numbers of a well-formed text are.
fn numbers(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    core::iter::from_fn(move || {
        loop {
            match bytes.get(at)? {
                b'"' => at = end_of_string(bytes, at),
                b'-' | b'0'..=b'9' => {
                    let is_of_it =
                        |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    let start = at;
                    at += bytes[at..].iter().take_while(is_of_it).count();
                    return Some(start..at);
                }
                _ => at += 1,
            }
        }
    })
}

/// Behind the quote that ends the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => return bytes.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

fn check(number: &str) -> Result<(), NumberError> {
    let text = || number.to_owned();
    if !number.contains(['.', 'e', 'E']) {
        let is_held = number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
        return if is_held { Ok(()) } else { Err(NumberError::Integer { number: text() }) };
    }
    let digits = number.split(['e', 'E']).next().unwrap_or_default();
    match number.parse::<f64>() {
        Ok(float) if float.is_infinite() => Err(NumberError::Overflow { number: text() }),
        Ok(0.0) if digits.contains(|digit| matches!(digit, '1'..='9')) => {
            Err(NumberError::Underflow { number: text() })
        }
        _ => Ok(()),
    }
}

/// The start of a number that may be long.
fn shortened(number: &str) -> Cow<'_, str> {
    match number.get(..SHOWN_CHARS) {
        Some(start) if start.len() < number.len() => Cow::Owned(alloc::format!("{start}...")),
        _ => Cow::Borrowed(number),
    }
}

/// Characters of a bad number that an error shows.
const SHOWN_CHARS: usize = 40;
