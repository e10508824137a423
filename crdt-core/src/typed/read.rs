//! Reading a value: cells, as serde's data model.

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::children::{Child, children, first_live, node};
use super::elements::elements;
use super::error::{Found, ReadError, ReadProblem, ReadStop};
use super::float::{holds_f32, holds_f64};
use super::key::{Key, escape, is_escaped};
use super::reserved::{self, SOME_KEY, WIDE_KEY, is_reserved, only_child};
use crate::cell::{Path, Value};
use crate::document::{Document, Node};
use crate::limits::{PATH_LEN_MAX, TYPED_NESTING_MAX};
use crate::storage::{CellStore, Storage, Stored};

/// Reads a `T` from what is at `path` and below, or from the whole document.
#[expect(clippy::result_large_err, reason = "the error owns its path, and there is no heap to put it on")]
pub(super) fn read<'a, S: Storage, T: Deserialize<'a>>(
    document: &'a Document<S>,
    path: Option<Path<'_>>,
) -> Result<T, ReadError> {
    let top = path.map_or("", Path::as_str);
    T::deserialize(Reader::locate(document, path)).map_err(|stop| stop.into_error(top))
}

/// A place in a document, to be read as whatever the type wants.
pub(super) struct Reader<'a, S: Storage> {
    pub(super) document: &'a Document<S>,
    place: Place<'a>,
    /// Options and newtypes around this place.
    nesting: usize,
}

#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    At(&'a str),
    /// Where the document has nothing.
    Default(&'a (&'a str, Value<'a>)),
    Document,
    Nothing,
}

impl<'a, S: Storage> Reader<'a, S> {
    /// The place at `path`, borrowed from the document, so that what is read may be too.
    pub(super) fn locate(document: &'a Document<S>, path: Option<Path<'_>>) -> Self {
        let place = match path.map(Path::as_str) {
            None => Place::Document,
            Some(path) => match first_live(document, path) {
                Some(cell) => Place::At(&cell.path[..path.len()]),
                None => Place::Nothing,
            },
        };
        Self { document, place, nesting: 0 }
    }

    pub(super) fn at(document: &'a Document<S>, path: &'a str) -> Self {
        Self { document, place: Place::At(path), nesting: 0 }
    }

    /// A scalar that does not stand in the document, to be read as if it did.
    pub(super) fn default(document: &'a Document<S>, entry: &'a (&'a str, Value<'a>)) -> Self {
        Self { document, place: Place::Default(entry), nesting: 0 }
    }

    /// What stands here.
    pub(super) fn node(&self) -> Option<Node<'a>> {
        match self.place {
            Place::At(path) => node(self.document, path),
            Place::Default((_, value)) => Some(Node::Value(*value)),
            Place::Document => Some(Node::Map),
            Place::Nothing => None,
        }
    }

    pub(super) fn prefix(&self) -> Option<&'a str> {
        match self.place {
            Place::At(path) => Some(path),
            Place::Default((path, _)) => Some(path),
            Place::Document | Place::Nothing => None,
        }
    }

    /// The keys of the map that stands here.
    pub(super) fn entries(&self) -> impl Iterator<Item = Child<'a>> + 'a {
        let document = self.document;
        children(document, self.prefix()).filter(move |child| !is_reserved(document, child.path))
    }

    /// A key here that is one key of a map with another one, so that one of the two would be lost.
    pub(super) fn check_key(document: &Document<S>, child: Child<'a>) -> Result<(), ReadStop<'a>> {
        if is_escaped(child.key) {
            return Ok(());
        }
        let above = &child.path[..child.path.len() - child.key.len()];
        let mut twin = heapless::String::<PATH_LEN_MAX>::new();
        let fits = twin.push_str(above).is_ok() && escape(child.key, &mut twin).is_ok();
        if fits && first_live(document, &twin).is_some() {
            return Err(ReadStop::new(ReadProblem::SameKey).at(Some(child.path)));
        }
        Ok(())
    }

    /// The integer above `i64::MAX` that stands here instead of a map.
    pub(super) fn wide_integer(&self) -> Option<u64> {
        let only = only_child(self.document, self.prefix()?).filter(|child| child.key == WIDE_KEY)?;
        reserved::wide_integer(self.document, only.path)
    }

    /// What is inside of the `Some` that stands here instead of a map.
    pub(super) fn inside_some(&self) -> Option<Self> {
        let only = only_child(self.document, self.prefix()?).filter(|child| child.key == SOME_KEY)?;
        reserved::is_some(self.document, only.path).then(|| Self::at(self.document, only.path))
    }

    pub(super) fn nested(self) -> Result<Self, ReadStop<'a>> {
        if self.nesting == TYPED_NESTING_MAX {
            return Err(ReadStop::new(ReadProblem::Nesting).at(self.prefix()));
        }
        Ok(Self { nesting: self.nesting + 1, ..self })
    }

    /// Which of the keys here is the variant of an enum.
    ///
    /// Normally there is one. A second one is what somebody wrote to a variant that somebody else had just left: then it is
    /// the one that was written together with the marker here, or else the one with the newest write.
    pub(super) fn variant(&self) -> Option<Child<'a>> {
        let prefix = self.prefix();
        let marker = prefix.and_then(|path| self.document.cells.get(path)).filter(Stored::is_live);
        self.entries().max_by_key(|child| {
            let here = self.document.cells.get(child.path).into_iter();
            let below = self.document.cells.below(Some(child.path));
            let rank =
                |cell: Stored<'_>| (marker.is_some_and(|marker| marker.stamp == cell.stamp), cell.stamp);
            here.chain(below).filter(Stored::is_live).map(rank).max()
        })
    }

    /// What stands here, as it is. `is_closed`: the type takes every key, so that no two of them may be the same.
    fn visit<V: Visitor<'a>>(self, visitor: V, is_closed: bool) -> Result<V::Value, ReadStop<'a>> {
        let prefix = self.prefix();
        let read = match self.node() {
            None => Err(ReadStop::new(ReadProblem::Missing)),
            Some(Node::List) => visitor.visit_seq(Elements {
                document: self.document,
                elements: elements(self.document, prefix.expect("the document is a map")),
            }),
            Some(Node::Map) => match self.wide_integer() {
                Some(value) => visitor.visit_u64(value),
                None => match self.inside_some() {
                    Some(inside) => visitor.visit_some(inside),
                    None => visitor.visit_map(Entries {
                        document: self.document,
                        entries: self.entries(),
                        is_closed,
                        current: None,
                    }),
                },
            },
            Some(Node::Value(value)) => match value {
                Value::Bool(value) => visitor.visit_bool(value),
                Value::Bytes(value) => visitor.visit_borrowed_bytes(value),
                Value::F64(value) => visitor.visit_f64(value),
                Value::I64(value) => visitor.visit_i64(value),
                Value::Null => visitor.visit_unit(),
                Value::Str(value) => visitor.visit_borrowed_str(value),
            },
        };
        read.map_err(|stop| stop.at(prefix))
    }

    /// Refuses a number that a float would hold only as another one.
    fn require(&self, expected: &str, holds: fn(Found) -> bool) -> Result<(), ReadStop<'a>> {
        let found = match self.node() {
            Some(Node::Value(value)) => value.into(),
            Some(Node::Map) => self.wide_integer().map_or(Found::Map, Found::LargeInteger),
            _ => return Ok(()),
        };
        if holds(found) {
            return Ok(());
        }
        let expected = expected.try_into().expect("the text is short");
        Err(ReadStop::new(ReadProblem::OutOfRange { expected, found }).at(self.prefix()))
    }
}

impl<'a, S: Storage> de::Deserializer<'a> for Reader<'a, S> {
    type Error = ReadStop<'a>;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadStop<'a>> {
        self.visit(visitor, true)
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadStop<'a>> {
        self.require("f32", holds_f32)?;
        self.deserialize_any(visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadStop<'a>> {
        self.require("f64", holds_f64)?;
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadStop<'a>> {
        match self.node() {
            None | Some(Node::Value(Value::Null)) => visitor.visit_none(),
            Some(Node::Map) if let Some(inside) = self.inside_some() => visitor.visit_some(inside),
            Some(_) => visitor.visit_some(self.nested()?),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadStop<'a>> {
        let prefix = self.prefix();
        visitor.visit_newtype_struct(self.nested()?).map_err(|stop| stop.at(prefix))
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadStop<'a>> {
        let prefix = self.prefix();
        let wrong = |found| {
            let expected = "an enum".try_into().expect("the text is short");
            Err(ReadStop::new(ReadProblem::WrongType { expected, found }))
        };
        let read = match self.node() {
            None => Err(ReadStop::new(ReadProblem::Missing)),
            Some(Node::Value(Value::Str(variant))) => {
                visitor.visit_enum(de::value::BorrowedStrDeserializer::new(variant))
            }
            Some(Node::Map) => match self.variant() {
                Some(child) => visitor.visit_enum(Variant { document: self.document, child }),
                None => wrong(Found::Map),
            },
            Some(Node::List) => wrong(Found::List),
            Some(Node::Value(value)) => wrong(value.into()),
        };
        read.map_err(|stop| stop.at(prefix))
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadStop<'a>> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char
        str string bytes byte_buf unit seq map identifier unit_struct tuple tuple_struct
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadStop<'a>> {
        self.visit(visitor, false)
    }
}

impl From<Value<'_>> for Found {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Bool(value) => Found::Bool(value),
            Value::Bytes(_) => Found::Bytes,
            Value::F64(value) => Found::Float(value),
            Value::I64(value) => Found::Integer(value),
            Value::Null => Found::Null,
            Value::Str(_) => Found::String,
        }
    }
}

struct Entries<'a, S: Storage, I> {
    document: &'a Document<S>,
    entries: I,
    is_closed: bool,
    current: Option<Child<'a>>,
}

impl<'a, S: Storage, I: Iterator<Item = Child<'a>>> de::MapAccess<'a> for Entries<'a, S, I> {
    type Error = ReadStop<'a>;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadStop<'a>> {
        self.current = self.entries.next();
        let Some(child) = self.current else { return Ok(None) };
        if self.is_closed {
            Reader::check_key(self.document, child)?;
        }
        seed.deserialize(MapKey(child.key)).map(Some).map_err(|stop| stop.at(Some(child.path)))
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, ReadStop<'a>> {
        let child = self.current.expect("serde asks for a value after its key");
        seed.deserialize(Reader::at(self.document, child.path)).map_err(|stop| stop.at(Some(child.path)))
    }
}

struct Elements<'a, S: Storage, I> {
    document: &'a Document<S>,
    elements: I,
}

impl<'a, S: Storage, I: Iterator<Item = &'a str>> de::SeqAccess<'a> for Elements<'a, S, I> {
    type Error = ReadStop<'a>;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadStop<'a>> {
        let Some(path) = self.elements.next() else { return Ok(None) };
        seed.deserialize(Reader::at(self.document, path)).map(Some).map_err(|stop| stop.at(Some(path)))
    }
}

struct Variant<'a, S: Storage> {
    document: &'a Document<S>,
    child: Child<'a>,
}

impl<'a, S: Storage> Variant<'a, S> {
    fn reader(&self) -> Reader<'a, S> {
        Reader::at(self.document, self.child.path)
    }
}

impl<'a, S: Storage> de::EnumAccess<'a> for Variant<'a, S> {
    type Error = ReadStop<'a>;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self), ReadStop<'a>> {
        Ok((seed.deserialize(MapKey(self.child.key))?, self))
    }
}

impl<'a, S: Storage> de::VariantAccess<'a> for Variant<'a, S> {
    type Error = ReadStop<'a>;

    fn unit_variant(self) -> Result<(), ReadStop<'a>> {
        Deserialize::deserialize(self.reader())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, ReadStop<'a>> {
        seed.deserialize(self.reader()).map_err(|stop| stop.at(Some(self.child.path)))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, ReadStop<'a>> {
        de::Deserializer::deserialize_any(self.reader(), visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadStop<'a>> {
        self.reader().visit(visitor, false)
    }
}

/// The key of a map's entry: a string, or what a string stands for.
pub(super) struct MapKey<'a>(pub(super) &'a str);

macro_rules! parsed {
    ($($method:ident $visit:ident: $type:ty),*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadStop<'a>> {
            match self.0.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'a> de::Deserializer<'a> for MapKey<'a> {
    type Error = ReadStop<'a>;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadStop<'a>> {
        match Key::new(self.0) {
            Key::Borrowed(key) => visitor.visit_borrowed_str(key),
            Key::Unescaped(key) => visitor.visit_str(&key),
        }
    }

    parsed!(
        deserialize_bool visit_bool: bool, deserialize_i8 visit_i8: i8, deserialize_i16 visit_i16: i16,
        deserialize_i32 visit_i32: i32, deserialize_i64 visit_i64: i64, deserialize_i128 visit_i128: i128,
        deserialize_u8 visit_u8: u8, deserialize_u16 visit_u16: u16, deserialize_u32 visit_u32: u32,
        deserialize_u64 visit_u64: u64, deserialize_u128 visit_u128: u128
    );

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadStop<'a>> {
        visitor.visit_enum(Key::new(self.0).as_str().into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadStop<'a>> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>>
        f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
