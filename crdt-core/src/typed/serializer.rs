//! serde's data model, as cells. `Ok` tells whether something live stands at the place now.

use core::fmt::{self, Write as _};

use serde::ser::{self, Serialize};

use super::elements::Elements;
use super::error::{WriteProblem, WriteStop};
use super::write::{Frame, Place, Writer};
use crate::cell::{Value, ValueError};
use crate::document::UpdateError;
use crate::limits::{PATH_LEN_MAX, VALUE_LEN_MAX};
use crate::storage::Storage;

type Result<T> = core::result::Result<T, WriteStop>;

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<bool> {
            self.scalar(Value::I64(value.into()))
        })*
    };
}

impl<'w, 'd, S: Storage> ser::Serializer for &'w mut Writer<'d, S> {
    type Ok = bool;
    type Error = WriteStop;
    type SerializeSeq = Elements<'w, 'd, S>;
    type SerializeTuple = Elements<'w, 'd, S>;
    type SerializeTupleStruct = Elements<'w, 'd, S>;
    type SerializeTupleVariant = Elements<'w, 'd, S>;
    type SerializeMap = Entries<'w, 'd, S>;
    type SerializeStruct = Entries<'w, 'd, S>;
    type SerializeStructVariant = Entries<'w, 'd, S>;

    integers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32
    );

    fn serialize_u64(self, value: u64) -> Result<bool> {
        match i64::try_from(value) {
            Ok(value) => self.scalar(Value::I64(value)),
            Err(_) => self.wide_integer(value),
        }
    }

    fn serialize_i128(self, value: i128) -> Result<bool> {
        match i64::try_from(value) {
            Ok(value) => self.scalar(Value::I64(value)),
            Err(_) => Err(WriteProblem::Integer { value }.into()),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<bool> {
        self.serialize_i128(i128::try_from(value).unwrap_or(i128::MAX))
    }

    fn serialize_bool(self, value: bool) -> Result<bool> {
        self.scalar(Value::Bool(value))
    }

    fn serialize_f32(self, value: f32) -> Result<bool> {
        self.scalar(Value::F64(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<bool> {
        self.scalar(Value::F64(value))
    }

    fn serialize_char(self, value: char) -> Result<bool> {
        self.scalar(Value::Str(value.encode_utf8(&mut [0; 4])))
    }

    fn serialize_str(self, value: &str) -> Result<bool> {
        self.scalar(Value::Str(value))
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<bool> {
        let mut text = heapless::String::<VALUE_LEN_MAX>::new();
        write!(text, "{value}")
            .map_err(|_| WriteProblem::Update(UpdateError::Value(ValueError { len: VALUE_LEN_MAX + 1 })))?;
        self.scalar(Value::Str(&text))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<bool> {
        self.scalar(Value::Bytes(value))
    }

    fn serialize_none(self) -> Result<bool> {
        self.nothing()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<bool> {
        self.some(value)
    }

    fn serialize_unit(self) -> Result<bool> {
        self.null()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<bool> {
        self.null()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<bool> {
        self.scalar(Value::Str(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<bool> {
        self.newtype(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<bool> {
        let place = self.enter_variant(variant)?;
        self.value(value, true)?;
        self.leave(place);
        Ok(true)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq> {
        Elements::new(self, len, None)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple> {
        Elements::new(self, Some(len), None)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Self::SerializeTupleStruct> {
        Elements::new(self, Some(len), None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        let place = self.enter_variant(variant)?;
        Elements::new(self, Some(len), Some(place))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap> {
        let frame = self.begin_map(true, len == Some(0))?;
        Ok(Entries { writer: self, frame, variant: None })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct> {
        let frame = self.begin_map(false, false)?;
        Ok(Entries { writer: self, frame, variant: None })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant> {
        let place = self.enter_variant(variant)?;
        let frame = self.begin_map(false, false)?;
        Ok(Entries { writer: self, frame, variant: Some(place) })
    }
}

/// The entries of a map, or the fields of a struct.
pub(super) struct Entries<'w, 'd, S: Storage> {
    writer: &'w mut Writer<'d, S>,
    frame: Frame,
    /// Where the enum stands whose variant this is.
    variant: Option<Place>,
}

impl<S: Storage> Entries<'_, '_, S> {
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        self.writer.field_key(&mut self.frame, key)?;
        self.writer.entry(&mut self.frame, value)
    }

    fn finish(self) -> Result<bool> {
        self.writer.end_map(self.frame)?;
        if let Some(place) = self.variant {
            self.writer.leave(place);
        }
        Ok(true)
    }
}

impl<S: Storage> ser::SerializeMap for Entries<'_, '_, S> {
    type Ok = bool;
    type Error = WriteStop;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        key.serialize(MapKey { writer: self.writer })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.entry(&mut self.frame, value)
    }

    fn end(self) -> Result<bool> {
        self.finish()
    }
}

impl<S: Storage> ser::SerializeStruct for Entries<'_, '_, S> {
    type Ok = bool;
    type Error = WriteStop;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        self.field(key, value)
    }

    fn skip_field(&mut self, key: &'static str) -> Result<()> {
        self.writer.skip(&mut self.frame, key)
    }

    fn end(self) -> Result<bool> {
        self.finish()
    }
}

impl<S: Storage> ser::SerializeStructVariant for Entries<'_, '_, S> {
    type Ok = bool;
    type Error = WriteStop;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        self.field(key, value)
    }

    fn skip_field(&mut self, key: &'static str) -> Result<()> {
        self.writer.skip(&mut self.frame, key)
    }

    fn end(self) -> Result<bool> {
        self.finish()
    }
}

/// Takes the key of a map's entry, and goes there.
struct MapKey<'k, 'd, S: Storage> {
    writer: &'k mut Writer<'d, S>,
}

macro_rules! keys {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<()> {
            self.collect_str(&value)
        })*
    };
}

impl<S: Storage> ser::Serializer for MapKey<'_, '_, S> {
    type Ok = ();
    type Error = WriteStop;
    type SerializeSeq = ser::Impossible<(), WriteStop>;
    type SerializeTuple = ser::Impossible<(), WriteStop>;
    type SerializeTupleStruct = ser::Impossible<(), WriteStop>;
    type SerializeTupleVariant = ser::Impossible<(), WriteStop>;
    type SerializeMap = ser::Impossible<(), WriteStop>;
    type SerializeStruct = ser::Impossible<(), WriteStop>;
    type SerializeStructVariant = ser::Impossible<(), WriteStop>;

    keys!(
        serialize_bool: bool, serialize_char: char, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_u128: u128
    );

    fn serialize_str(self, value: &str) -> Result<()> {
        self.writer.entry_key(value)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<()> {
        let mut text = heapless::String::<PATH_LEN_MAX>::new();
        let too_long = crate::cell::PathError::TooLong { len: PATH_LEN_MAX + 1 };
        write!(text, "{value}").map_err(|_| WriteProblem::Path(too_long))?;
        self.writer.entry_key(&text)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_f32(self, _: f32) -> Result<()> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_f64(self, _: f64) -> Result<()> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<()> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_none(self) -> Result<()> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<()> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_unit(self) -> Result<()> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<()> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct> {
        Err(WriteProblem::Key.into())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant> {
        Err(WriteProblem::Key.into())
    }
}
