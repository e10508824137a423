//! Which write is no change, and so no reason to send.

use control::Scalar;

/// How small a change of a number is none. Both zero: each change is one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeadBand {
    /// In the number's unit.
    pub absolute: f64,
    /// In percent of the value sent last.
    pub percent: f64,
}

impl DeadBand {
    /// Whether a number is so near to the one that was sent last that this is no change. NaN is near to nothing.
    pub fn contains(self, sent: f64, new: f64) -> bool {
        let width = self.absolute.max(self.percent / 100.0 * sent.abs());
        (new - sent).abs() < width
    }

    /// Whether no change is too small.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Whether two values are the same one: of one type, and equal. NaN is equal to NaN, which says the same.
pub(crate) fn is_same(before: &Scalar, new: &Scalar) -> bool {
    match (before, new) {
        (Scalar::F64(before), Scalar::F64(new)) => before == new || before.is_nan() && new.is_nan(),
        _ => before == new,
    }
}

/// The number that a scalar is.
pub(crate) fn number(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::F64(number) => Some(*number),
        Scalar::I64(number) => Some(*number as f64),
        Scalar::Bool(_) | Scalar::Bytes(_) | Scalar::Null | Scalar::Str(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;

    #[test]
    fn the_wider_dead_band_counts() {
        let band = "t=dead-band:0.5,dead-band:2%".parse::<Rule>().unwrap().terms.dead_band;
        assert!(band.contains(10.0, 10.49) && !band.contains(10.0, 10.5));
        assert!(band.contains(-100.0, -101.9) && !band.contains(-100.0, -102.0));
        assert!(!band.contains(10.0, f64::NAN) && !band.contains(f64::NAN, f64::NAN));
        assert!(!band.contains(f64::INFINITY, f64::INFINITY), "only what can be compared is near");
        assert!(!DeadBand::default().contains(1.0, 1.0), "a dead band of nothing has nothing in it");
    }

    #[test]
    fn the_same_value_has_the_same_type() {
        let values = || {
            let text = |text: &str| Scalar::Str(text.to_owned());
            let numbers = [0.0, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(Scalar::F64);
            let others =
                [Scalar::Null, Scalar::Bool(true), Scalar::I64(0), Scalar::I64(1), Scalar::I64(i64::MAX)];
            let long = [text("1"), text("x"), Scalar::Bytes(vec![]), Scalar::Bytes(b"x".to_vec())];
            numbers.into_iter().chain(others).chain(long).collect::<Vec<_>>()
        };
        for (i, before) in values().iter().enumerate() {
            for (j, new) in values().iter().enumerate() {
                assert_eq!(is_same(before, new), i == j, "{before:?} {new:?}");
            }
        }
        let large = |number: i64| Scalar::I64((1 << 53) + number);
        assert!(!is_same(&large(0), &large(1)), "whole numbers are compared as such");
    }
}
