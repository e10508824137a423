//! Which numbers a float holds as they are.

use super::error::Found;

/// Whether a float has the value that was found. What is no number is the visitor's affair.
pub(super) fn holds_f64(found: Found) -> bool {
    match found {
        // The first integer that is too large is a float; so it must not be compared as an integer.
        Found::Integer(value) => (value as f64) < I64_END && value as f64 as i64 == value,
        Found::LargeInteger(value) => (value as f64) < 2.0 * I64_END && value as f64 as u64 == value,
        _ => true,
    }
}

/// The same. A fraction is rounded, as it was when somebody wrote it in decimal digits.
pub(super) fn holds_f32(found: Found) -> bool {
    match found {
        Found::Float(value) => {
            let near = value as f32;
            near.is_finite() == value.is_finite() && (near == 0.0) == (value == 0.0)
        }
        Found::Integer(value) => (value as f32) < I64_END as f32 && value as f32 as i64 == value,
        Found::LargeInteger(value) => (value as f32) < 2.0 * I64_END as f32 && value as f32 as u64 == value,
        _ => true,
    }
}

/// 2^63.
const I64_END: f64 = 9_223_372_036_854_775_808.0;
