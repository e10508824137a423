//! What a cell holds, and its one encoding: the same bytes in memory, on disk and on the wire.
//!
//! A content is a 4-bit kind and a payload. On the wire the payload of a string or of bytes is preceded by its
//! length (LEB128); every other payload delimits itself.
//!
//! | kind | name | payload | size |
//! |---:|---|---|---|
//! | 0 | tombstone | none | 0 |
//! | 1 | map marker | none | 0 |
//! | 2 | list marker | none | 0 |
//! | 3 | null | none | 0 |
//! | 4 | false | none | 0 |
//! | 5 | true | none | 0 |
//! | 6 | integer | zigzag, LEB128 | 1 to 10 |
//! | 7 | f64 | IEEE 754, little endian | 8 |
//! | 8 | f32 | IEEE 754, little endian, where it equals the f64 | 4 |
//! | 9, 10, 11 | decimal with 1, 2, 3 digits | mantissa: zigzag, LEB128 | 1 to 4 |
//! | 12 | string | UTF-8 | 0 to 4096 |
//! | 13 | bytes | as they are | 0 to 4096 |
//! | 14 | decimal with 6 digits | mantissa: zigzag, LEB128 | 1 to 5 |
//!
//! Every content has exactly one encoding: a float takes the shortest kind that gives back the same bits (on a tie the
//! lower number of digits), and any other form is refused. Thus two replicas that hold the same cell hold the same bytes.

use core::num::TryFromIntError;

use super::float;
use crate::limits::VALUE_LEN_MAX;
use crate::varint;

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Content<'a> {
    /// An empty list stands here.
    List,
    /// An empty map stands here.
    Map,
    /// What was here and below was deleted.
    Tombstone,
    /// A scalar.
    Value(Value<'a>),
}

/// A scalar value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// Any bytes, at most 4096.
    Bytes(&'a [u8]),
    /// A float; kept bit for bit, NaN payloads too.
    F64(f64),
    /// An integer.
    I64(i64),
    /// Nothing, but said explicitly.
    Null,
    /// UTF-8, at most 4096 bytes.
    Str(&'a str),
}

/// Equal when the bits are: NaN equals itself, and zero does not equal minus zero.
impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
            (Value::I64(a), Value::I64(b)) => a == b,
            (Value::Null, Value::Null) => true,
            (Value::Str(a), Value::Str(b)) => a == b,
            _ => false,
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

macro_rules! numbers {
    ($($from:ty => $variant:ident),*) => {
        $(impl From<$from> for Value<'_> {
            fn from(value: $from) -> Self {
                Value::$variant(value.into())
            }
        })*
    };
}

numbers!(i8 => I64, i16 => I64, i32 => I64, i64 => I64, u8 => I64, u16 => I64, u32 => I64, f32 => F64, f64 => F64);

/// The widths that hold more than a cell does. What does not fit is an error: nothing is cut, and nothing becomes a float.
macro_rules! wide_integers {
    ($($from:ty),*) => {
        $(impl TryFrom<$from> for Value<'_> {
            type Error = TryFromIntError;

            fn try_from(value: $from) -> Result<Self, TryFromIntError> {
                i64::try_from(value).map(Value::I64)
            }
        })*
    };
}

wide_integers!(i128, isize, u64, u128, usize);

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Str(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Value::Bytes(value)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Value::Bytes(value)
    }
}

impl<'a> From<Value<'a>> for Content<'a> {
    fn from(value: Value<'a>) -> Self {
        Content::Value(value)
    }
}

/// A string or a byte value that is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value has at most {VALUE_LEN_MAX} bytes, this one has {len}: split it over several paths")]
pub struct ValueError {
    /// Length of what was given, in bytes.
    pub len: usize,
}

/// How a payload is to be read. See the table of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the table of the module documents each")]
pub enum Kind {
    Tombstone = 0,
    Map = 1,
    List = 2,
    Null = 3,
    False = 4,
    True = 5,
    Int = 6,
    F64 = 7,
    F32 = 8,
    Decimal1 = 9,
    Decimal2 = 10,
    Decimal3 = 11,
    Str = 12,
    Bytes = 13,
    Decimal6 = 14,
}

impl Kind {
    /// The kind with that number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Kind::Tombstone,
            1 => Kind::Map,
            2 => Kind::List,
            3 => Kind::Null,
            4 => Kind::False,
            5 => Kind::True,
            6 => Kind::Int,
            7 => Kind::F64,
            8 => Kind::F32,
            9 => Kind::Decimal1,
            10 => Kind::Decimal2,
            11 => Kind::Decimal3,
            12 => Kind::Str,
            13 => Kind::Bytes,
            14 => Kind::Decimal6,
            _ => return None,
        })
    }

    /// Whether `payload` stands for something, in the one form that it has.
    pub(crate) fn is_one_form(self, payload: &[u8]) -> bool {
        let number = || varint::decode(payload).filter(|(_, len)| *len == payload.len());
        match self {
            Kind::Tombstone | Kind::Map | Kind::List | Kind::Null | Kind::False | Kind::True => {
                payload.is_empty()
            }
            Kind::Int => number().is_some(),
            Kind::F32 => payload.len() == 4 && is_float_form(self, payload),
            Kind::F64 => payload.len() == 8 && is_float_form(self, payload),
            Kind::Decimal1 | Kind::Decimal2 | Kind::Decimal3 | Kind::Decimal6 => {
                let Some((mantissa, len)) = number() else { return false };
                let mantissa = varint::unzigzag(mantissa).unsigned_abs();
                // Different decimals are different floats up to this mantissa: what must not be is a shorter one of the
                // same number, or where this takes five bytes, four of an f32.
                let shorter = match self {
                    Kind::Decimal1 => false,
                    Kind::Decimal6 => float::rest(mantissa, 1000) == 0,
                    _ => float::rest(mantissa, 10) == 0,
                };
                mantissa <= MANTISSA_MAX && !shorter && (len < 5 || is_float_form(self, payload))
            }
            Kind::Str => payload.len() <= VALUE_LEN_MAX && core::str::from_utf8(payload).is_ok(),
            Kind::Bytes => payload.len() <= VALUE_LEN_MAX,
        }
    }

    /// What divides the mantissa of a decimal.
    const fn power(self) -> Option<u32> {
        match self {
            Kind::Decimal1 => Some(10),
            Kind::Decimal2 => Some(100),
            Kind::Decimal3 => Some(1000),
            Kind::Decimal6 => Some(1_000_000),
            _ => None,
        }
    }

    /// Whether it is a scalar's.
    pub(crate) const fn is_value(self) -> bool {
        !matches!(self, Kind::Tombstone | Kind::Map | Kind::List)
    }

    /// Whether a length must precede the payload on the wire.
    pub const fn has_length(self) -> bool {
        matches!(self, Kind::Str | Kind::Bytes)
    }
}

/// Buffer for the payload of any content that is not a string or bytes.
pub(crate) type Scratch = [u8; varint::LEN_MAX];

/// Decimal kinds by their number of digits; six are those of a position on the earth.
const DECIMALS: [Kind; 4] = [Kind::Decimal1, Kind::Decimal2, Kind::Decimal3, Kind::Decimal6];
/// The mantissas that five bytes hold. More are hardly shorter than the float itself.
const MANTISSA_MAX: u64 = (1 << 34) - 1;

impl<'a> Content<'a> {
    /// The scalar, if it is one.
    pub const fn value(self) -> Option<Value<'a>> {
        match self {
            Content::Value(value) => Some(value),
            Content::List | Content::Map | Content::Tombstone => None,
        }
    }

    /// Whether it is a tombstone.
    pub const fn is_tombstone(self) -> bool {
        matches!(self, Content::Tombstone)
    }

    /// Checks the length of strings and bytes.
    ///
    /// # Errors
    /// [`ValueError`] above 4096 bytes.
    pub const fn check(self) -> Result<(), ValueError> {
        let len = match self {
            Content::Value(Value::Str(text)) => text.len(),
            Content::Value(Value::Bytes(bytes)) => bytes.len(),
            _ => 0,
        };
        if len > VALUE_LEN_MAX { Err(ValueError { len }) } else { Ok(()) }
    }

    /// Kind and payload. The payload borrows from `self` or lies in `scratch`.
    pub(crate) fn encode<'b>(self, scratch: &'b mut Scratch) -> (Kind, &'b [u8])
    where
        'a: 'b,
    {
        let value = match self {
            Content::List => return (Kind::List, &[]),
            Content::Map => return (Kind::Map, &[]),
            Content::Tombstone => return (Kind::Tombstone, &[]),
            Content::Value(value) => value,
        };
        match value {
            Value::Null => (Kind::Null, &[]),
            Value::Bool(false) => (Kind::False, &[]),
            Value::Bool(true) => (Kind::True, &[]),
            Value::Str(text) => (Kind::Str, text.as_bytes()),
            Value::Bytes(bytes) => (Kind::Bytes, bytes),
            Value::I64(number) => {
                let len = varint::encode(varint::zigzag(number), scratch);
                (Kind::Int, &scratch[..len])
            }
            Value::F64(number) => encode_float(number.to_bits(), scratch),
        }
    }

    /// The content that `kind` and `payload` stand for.
    ///
    /// `None` when they stand for nothing, or are not the one form of what they stand for.
    pub(crate) fn decode(kind: Kind, payload: &'a [u8]) -> Option<Self> {
        if kind.is_one_form(payload) { Self::of(kind, payload) } else { None }
    }

    /// The same, of a payload that was found to be the [one form](Kind::is_one_form) of its content before.
    pub(crate) fn of(kind: Kind, payload: &'a [u8]) -> Option<Self> {
        Some(Content::Value(match kind {
            Kind::Tombstone => return Some(Content::Tombstone),
            Kind::Map => return Some(Content::Map),
            Kind::List => return Some(Content::List),
            Kind::Null => Value::Null,
            Kind::False => Value::Bool(false),
            Kind::True => Value::Bool(true),
            Kind::Int => Value::I64(varint::unzigzag(varint::decode(payload)?.0)),
            Kind::F64 | Kind::F32 | Kind::Decimal1 | Kind::Decimal2 | Kind::Decimal3 | Kind::Decimal6 => {
                Value::F64(f64::from_bits(float_bits(kind, payload)?))
            }
            Kind::Str => Value::Str(core::str::from_utf8(payload).ok()?),
            Kind::Bytes => Value::Bytes(payload),
        }))
    }
}

/// The bits of the float that `payload` is a form of.
fn float_bits(kind: Kind, payload: &[u8]) -> Option<u64> {
    let Some(power) = kind.power() else {
        return match payload.len() {
            4 => Some(float::widen(u32::from_le_bytes(payload.try_into().ok()?))),
            _ => Some(u64::from_le_bytes(payload.try_into().ok()?)),
        };
    };
    let mantissa = varint::unzigzag(varint::decode(payload)?.0);
    let sign = if mantissa < 0 { float::SIGN } else { 0 };
    Some(sign | float::quotient(mantissa.unsigned_abs(), power))
}

/// Whether `payload` is what its float is written as.
fn is_float_form(kind: Kind, payload: &[u8]) -> bool {
    float_bits(kind, payload)
        .is_some_and(|bits| encode_float(bits, &mut Scratch::default()) == (kind, payload))
}

/// The shortest form that gives back the same bits; on a tie the fewest digits.
fn encode_float(bits: u64, scratch: &mut Scratch) -> (Kind, &[u8]) {
    let (magnitude, is_negative) = (bits & !float::SIGN, bits & float::SIGN != 0);
    let narrow = float::narrow(bits);
    let len_max = if narrow.is_some() { 4 } else { 5 };
    // With more digits the mantissa is larger: the first is the shortest. Minus zero is none of them.
    let decimal = DECIMALS.into_iter().filter(|_| bits != float::SIGN).find_map(|kind| {
        let power = kind.power()?;
        let mantissa = float::dividend(magnitude, power)?;
        (float::quotient(mantissa, power) == magnitude).then_some((kind, mantissa as i64))
    });
    if let Some((kind, mantissa)) = decimal {
        let mantissa = varint::zigzag(if is_negative { -mantissa } else { mantissa });
        if varint::len(mantissa) <= len_max {
            let len = varint::encode(mantissa, scratch);
            return (kind, &scratch[..len]);
        }
    }
    if let Some(narrow) = narrow {
        scratch[..4].copy_from_slice(&narrow.to_le_bytes());
        return (Kind::F32, &scratch[..4]);
    }
    scratch[..8].copy_from_slice(&bits.to_le_bytes());
    (Kind::F64, &scratch[..8])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(content: Content<'_>) -> (Kind, usize) {
        let mut scratch = Scratch::default();
        let (kind, payload) = content.encode(&mut scratch);
        assert_eq!(Content::decode(kind, payload), Some(content), "{content:?}");
        (kind, payload.len())
    }

    fn float(number: f64) -> (Kind, usize) {
        round_trip(Content::Value(Value::F64(number)))
    }

    #[test]
    fn sensor_readings_are_short() {
        assert_eq!(float(4.1), (Kind::Decimal1, 1));
        assert_eq!(float(-12.5), (Kind::Decimal1, 2));
        assert_eq!(float(1016.6), (Kind::Decimal1, 3));
        assert_eq!(float(21.57), (Kind::Decimal2, 2));
        assert_eq!(float(0.825), (Kind::Decimal3, 2));
        assert_eq!(float(51.924_42), (Kind::Decimal6, 4));
        assert_eq!(float(-179.999_999), (Kind::Decimal6, 5));
        assert_eq!(float(0.0), (Kind::Decimal1, 1));
        assert_eq!(float(1.0 / 3.0), (Kind::F64, 8));
        assert_eq!(float(f64::from(1.0_f32 / 3.0)), (Kind::F32, 4));
    }

    #[test]
    fn odd_floats_keep_their_bits() {
        for number in [
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            f64::MAX,
            5e-324,
            134_217_727.0,
        ] {
            float(number);
        }
        float(f64::from_bits(0x7ff8_0000_0000_1234));
        float(f64::from_bits(0x7ff0_0000_0000_0001));
    }

    #[test]
    fn a_second_form_of_the_same_content_is_refused() {
        assert_eq!(Content::decode(Kind::F64, &4.1_f64.to_le_bytes()), None);
        assert_eq!(Content::decode(Kind::Decimal2, &[0xb4, 0x06]), None, "4.10 is 4.1");
        assert_eq!(Content::decode(Kind::Int, &[0x80, 0x00]), None, "overlong zero");
        assert_eq!(Content::decode(Kind::Int, &[]), None);
        let lowest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(
            Content::decode(Kind::Decimal1, &lowest),
            None,
            "the lowest mantissa has no magnitude in 64 bits"
        );
        assert_eq!(Content::decode(Kind::Null, &[0]), None);
        assert_eq!(Content::decode(Kind::Str, &[0xff]), None);
        assert_eq!(Content::decode(Kind::Bytes, &[0; VALUE_LEN_MAX + 1]), None);
    }

    #[test]
    fn too_long_values_name_the_limit() {
        let bytes = [0; VALUE_LEN_MAX + 1];
        assert_eq!(Content::Value(Value::Bytes(&bytes)).check(), Err(ValueError { len: 4097 }));
        assert_eq!(Content::Value(Value::Bytes(&bytes[..VALUE_LEN_MAX])).check(), Ok(()));
    }

    proptest! {
        #[test]
        fn every_float_comes_back(bits: u64) {
            float(f64::from_bits(bits));
        }

        #[test]
        fn every_decimal_comes_back(mantissa in -200_000_000_i64..200_000_000, digits in 0_i32..5) {
            float(mantissa as f64 / 10_f64.powi(digits));
        }

        #[test]
        fn a_decimal_has_the_form_that_its_float_has(mantissa: i64, bits in 0_u32..40, zeros in 0_u32..7, digits in 0_usize..4) {
            let magnitude = (mantissa.unsigned_abs() & ((1 << bits) - 1)) / 10_u64.pow(zeros) * 10_u64.pow(zeros);
            let mantissa = if mantissa < 0 { -(magnitude as i64) } else { magnitude as i64 };
            let (kind, mut payload) = (DECIMALS[digits], Scratch::default());
            let len = varint::encode(varint::zigzag(mantissa), &mut payload);
            let is_small = magnitude <= MANTISSA_MAX;
            prop_assert_eq!(kind.is_one_form(&payload[..len]), is_small && is_float_form(kind, &payload[..len]));
        }

        #[test]
        fn every_integer_comes_back(number: i64) {
            round_trip(Content::Value(Value::I64(number)));
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(number in 0_u8..15, payload in proptest::collection::vec(any::<u8>(), 0..12)) {
            let kind = Kind::from_number(number).expect("0 to 14");
            if let Some(content) = Content::decode(kind, &payload) {
                let mut scratch = Scratch::default();
                prop_assert_eq!(content.encode(&mut scratch), (kind, &payload[..]));
            }
        }
    }
}
