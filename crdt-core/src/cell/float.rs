//! Floats by their bits: what the shortest form of a float needs, in whole numbers.
//!
//! A microcontroller without a floating-point unit multiplies, divides and converts floats by routines that take 3 KiB
//! of flash. These take a few hundred bytes, and give the same on every machine, NaN too. In what follows a magnitude is a
//! float's bits without the sign.

/// The sign of a float.
pub(super) const SIGN: u64 = 1 << 63;

const FRACTION_BITS: u32 = 52;
const FRACTION: u64 = (1 << FRACTION_BITS) - 1;
const BIAS: u64 = 1023;
/// Bits of the fraction that an f32 does not have.
const NARROWED: u32 = 29;
/// What the exponent of an f64 has more than that of an f32 of the same value.
const BIAS_DISTANCE: u64 = 896;

/// The magnitude that is nearest to `mantissa / power`, on a tie the even one: as the division of two floats.
///
/// Long division, ten bits at a time: the rest is below `power`, which has at most 20 bits. The mantissa has at most 40.
pub(super) fn quotient(mantissa: u64, power: u32) -> u64 {
    if mantissa == 0 {
        return 0;
    }
    // quotient = mantissa * 2^scale / power, without `rest`.
    let (mut quotient, mut rest, mut scale) = (0_u64, 0_u32, -40_i32);
    while quotient >> (FRACTION_BITS + 1) == 0 {
        scale += 10;
        let next = if scale <= 0 { (mantissa >> -scale) as u32 & 0x3ff } else { 0 };
        let dividend = rest << 10 | next;
        quotient = quotient << 10 | u64::from(dividend / power);
        rest = dividend % power;
    }
    let extra = u64::BITS - quotient.leading_zeros() - (FRACTION_BITS + 1);
    let (kept, cut, half) = (quotient >> extra, quotient & ((1 << extra) - 1), 1 << (extra - 1));
    let up = cut > half || (cut == half && (rest > 0 || kept & 1 == 1));
    // The top bit of `kept` adds one to the exponent, and so does one that is carried.
    let exponent = (BIAS as i32 + FRACTION_BITS as i32 - 1 + extra as i32 - scale) as u64;
    (exponent << FRACTION_BITS) + kept + u64::from(up)
}

/// The rest of `mantissa / divisor`, for a divisor of at most 10 bits: a division of 64 bits takes 900 bytes of flash.
pub(super) fn rest(mantissa: u64, divisor: u32) -> u32 {
    let high = (mantissa >> 20) as u32 % divisor;
    (high << 20 | mantissa as u32 & 0xf_ffff) % divisor
}

/// The only whole number whose [`quotient`] by `power` can be `magnitude`, if that is below 2^34.
///
/// That quotient is off by at most 2^-53 of itself, so the product with `power` is next to a whole number, by less than
/// 2^-19; leaving out ten bits here makes it less by at most 2^-8. What is further off is no such quotient.
pub(super) fn dividend(magnitude: u64, power: u32) -> Option<u64> {
    if magnitude == 0 {
        return Some(0);
    }
    let fraction = (magnitude & FRACTION | 1 << FRACTION_BITS) >> 10;
    let product = fraction * u64::from(power);
    let shift = (BIAS + u64::from(FRACTION_BITS) - 10).checked_sub(magnitude >> FRACTION_BITS)?;
    if !(8..u64::from(u64::BITS)).contains(&shift) {
        return None;
    }
    let nearest = (product + (1 << (shift - 1))) >> shift;
    let distance = (nearest << shift).abs_diff(product);
    (nearest < 1 << 34 && distance >> (shift - 7) == 0).then_some(nearest)
}

/// The bits of the f32 with the same value, or of the same quiet NaN, if there is one.
pub(super) fn narrow(bits: u64) -> Option<u32> {
    let sign = (bits >> 32) as u32 & 1 << 31;
    let (exponent, fraction) = ((bits & !SIGN) >> FRACTION_BITS, bits & FRACTION);
    let (exponent, fraction, cut) = match exponent {
        0 if fraction == 0 => (0, 0, NARROWED),
        874..=896 => (0, fraction | 1 << FRACTION_BITS, 926 - exponent as u32),
        897..=1150 => (exponent - BIAS_DISTANCE, fraction, NARROWED),
        0x7ff if fraction == 0 || fraction >> (FRACTION_BITS - 1) == 1 => (0xff, fraction, NARROWED),
        _ => return None,
    };
    let is_exact = fraction & ((1 << cut) - 1) == 0;
    is_exact.then_some(sign | (exponent as u32) << 23 | (fraction >> cut) as u32)
}

/// The bits of the f64 with the same value, or of the same NaN.
pub(super) fn widen(bits: u32) -> u64 {
    let sign = u64::from(bits >> 31) << 63;
    let (exponent, fraction) = (u64::from(bits >> 23 & 0xff), u64::from(bits & 0x7f_ffff));
    let (exponent, fraction) = match exponent {
        0 if fraction == 0 => (0, 0),
        0 => {
            let shift = fraction.leading_zeros() - (u64::BITS - 24);
            (BIAS_DISTANCE + 1 - u64::from(shift), fraction << shift & 0x7f_ffff)
        }
        0xff => (0x7ff, fraction),
        _ => (exponent + BIAS_DISTANCE, fraction),
    };
    sign | exponent << FRACTION_BITS | fraction << NARROWED
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POWERS: [u32; 4] = [10, 100, 1000, 1_000_000];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn quotients_are_those_of_floats(bits in 0_u32..=34, low: u64, power in 0_usize..4) {
            let (mantissa, power) = (low & ((1 << bits) - 1), POWERS[power]);
            let expected = mantissa as f64 / f64::from(power);
            prop_assert_eq!(quotient(mantissa, power), expected.to_bits());
            prop_assert_eq!(dividend(expected.to_bits(), power), Some(mantissa));
        }

        #[test]
        fn rests_are_those_of_a_division(mantissa in 0_u64..1 << 52, divisor in 1_u32..1024) {
            prop_assert_eq!(u64::from(rest(mantissa, divisor)), mantissa % u64::from(divisor));
        }

        #[test]
        fn a_neighbour_of_a_quotient_is_none(mantissa in 1_u64..1 << 34, power in 0_usize..4, up: bool) {
            let power = POWERS[power];
            let exact = (mantissa as f64 / f64::from(power)).to_bits();
            let neighbour = if up { exact + 1 } else { exact - 1 };
            let found = dividend(neighbour, power).is_some_and(|m| quotient(m, power) == neighbour);
            prop_assert!(!found);
        }

        #[test]
        fn any_magnitude_has_a_dividend_or_none(bits: u64, power in 0_usize..4) {
            if let Some(mantissa) = dividend(bits & !SIGN, POWERS[power]) {
                prop_assert!(mantissa < 1 << 34);
            }
        }

        #[test]
        fn narrow_floats_widen_to_the_same_value(bits: u32) {
            let float = f32::from_bits(bits);
            if float.is_nan() {
                prop_assert_eq!(narrow(widen(bits)), (bits & 1 << 22 != 0).then_some(bits), "quiet or not at all");
            } else {
                prop_assert_eq!(widen(bits), f64::from(float).to_bits());
                prop_assert_eq!(narrow(widen(bits)), Some(bits));
            }
        }

        #[test]
        fn wide_floats_narrow_when_nothing_is_lost(bits: u64, zeros in 0_u32..53, exponent in 860_u64..1160) {
            let bits = bits & !((1 << zeros) - 1) & !(0x7ff << 52) | exponent << 52;
            let (wide, short) = (f64::from_bits(bits), f64::from_bits(bits) as f32);
            let expected = (f64::from(short).to_bits() == wide.to_bits()).then_some(short.to_bits());
            prop_assert_eq!(narrow(bits), expected);
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        for power in POWERS {
            for mantissa in [1, 2, (1 << 34) - 2, (1 << 34) - 1] {
                let float = mantissa as f64 / f64::from(power);
                assert_eq!(quotient(mantissa, power), float.to_bits());
                assert_eq!(dividend(float.to_bits(), power), Some(mantissa));
            }
            for float in [f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324] {
                assert_eq!(dividend(float.to_bits(), power).filter(|m| *m > 0), None, "{float}");
            }
        }
        for float in [f32::MIN_POSITIVE, f32::MAX, f32::from_bits(1), f32::INFINITY, 0.0, -0.0] {
            assert_eq!(narrow(f64::from(float).to_bits()), Some(float.to_bits()));
        }
        assert_eq!(narrow(f64::MAX.to_bits()), None);
        assert_eq!(narrow(5e-324_f64.to_bits()), None);
    }
}
