//! LEB128 and zigzag: small numbers in few bytes.
//!
//! Seven bits a byte, the lowest first, the top bit set on all bytes but the last. Only the shortest form is read.
//! Source: DWARF Debugging Information Format 5, section 7.6 (LEB128); Protocol Buffers encoding (zigzag).

/// Longest encoding of 64 bits, in bytes.
pub(crate) const LEN_MAX: usize = 10;

/// Bytes that `value` takes.
pub(crate) const fn len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes `value` to the front of `out` and tells how many bytes it took.
pub(crate) fn encode(mut value: u64, out: &mut [u8; LEN_MAX]) -> usize {
    let mut i = 0;
    while value >= 0x80 {
        out[i] = value as u8 | 0x80;
        value >>= 7;
        i += 1;
    }
    out[i] = value as u8;
    i + 1
}

/// Value and length of the number at the front of `bytes`; `None` when it is cut, too large or not in its shortest form.
pub(crate) fn decode(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (i, &byte) in bytes.iter().enumerate().take(LEN_MAX) {
        let bits = u64::from(byte & 0x7f);
        if i == LEN_MAX - 1 && bits > 1 {
            return None;
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            return (byte != 0 || i == 0).then_some((value, i + 1));
        }
    }
    None
}

/// Signed to unsigned, small magnitudes to small numbers.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_shortest_form_is_read() {
        assert_eq!(decode(&[0]), Some((0, 1)));
        assert_eq!(decode(&[0x80, 0]), None);
        assert_eq!(decode(&[0xff; 9]), None);
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Some((u64::MAX, 10)));
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
        assert_eq!(decode(&[]), None);
    }

    proptest! {
        #[test]
        fn numbers_come_back(value: u64) {
            let mut out = [0; LEN_MAX];
            let n = encode(value, &mut out);
            prop_assert_eq!(n, len(value));
            prop_assert_eq!(decode(&out), Some((value, n)));
            prop_assert_eq!(zigzag(unzigzag(value)), value);
        }
    }
}
