//! Reading a value where defaults fill in what the document lacks.
//!
//! Only maps are filled. Everything else, and every place that no default touches, is read as the document alone is.

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Visitor};

use super::children::{Child, first_live, node};
use super::error::{Found, ReadError, ReadProblem, ReadStop};
use super::read::{MapKey, Reader};
use crate::cell::Path;
use crate::defaults::{Defaults, WithDefaults};
use crate::document::{Document, Node};
use crate::storage::Storage;

impl<'a, S: Storage> WithDefaults<'a, S> {
    /// Reads a `T` from what is at `path` and below (from the whole document for `None`), with the defaults where the document
    /// has nothing. See [`Document::read`].
    ///
    /// Do not [write](Document::write) back a whole struct that was read so: its defaults would be set, with the stamp of
    /// today. Set the fields that change.
    ///
    /// # Errors
    /// As [`Document::read`].
    ///
    /// ```
    /// use crdt_core::{Defaults, Document, DocumentName, Heap, Limits, Moment, ReplicaId, Value, path};
    /// #[derive(serde::Deserialize, PartialEq, Debug)]
    /// struct Pump<'a> {
    ///     mode: &'a str,
    ///     setpoint: f64,
    /// }
    /// const DEFAULTS: Defaults =
    ///     Defaults::new(&[("pump/3/mode", Value::Str("auto")), ("pump/3/setpoint", Value::F64(4.5))]);
    /// let name = DocumentName::new("pump-42")?;
    /// let mut document = Document::<Heap>::new(&name, ReplicaId::new(1), Limits::default());
    /// document.set(Moment::new(1), path!("pump/3/setpoint"), 6.0)?;
    /// let pump: Pump = DEFAULTS.over(&document).read(path!("pump/3"))?;
    /// assert_eq!(pump, Pump { mode: "auto", setpoint: 6.0 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::result_large_err, reason = "the error owns its path, and there is no heap to put it on")]
    pub fn read<'p, T: Deserialize<'a>>(&self, path: impl Into<Option<Path<'p>>>) -> Result<T, ReadError> {
        let path = path.into();
        let top = path.map_or("", Path::as_str);
        T::deserialize(Filled::locate(*self, path)).map_err(|stop| stop.into_error(top))
    }
}

/// A place to be read as whatever the type wants.
enum Filled<'a, S: Storage> {
    /// No default plays a part in it, or nothing else does.
    Alone(Reader<'a, S>),
    /// A map with keys of both.
    Map(Map<'a, S>),
}

/// A map with keys of the document, if it has some, and keys of defaults.
struct Map<'a, S: Storage> {
    defaults: Defaults<'a>,
    /// The document, there.
    reader: Reader<'a, S>,
    prefix: Option<&'a str>,
}

impl<'a, S: Storage> Filled<'a, S> {
    fn locate(view: WithDefaults<'a, S>, path: Option<Path<'_>>) -> Self {
        let WithDefaults { defaults, document } = view;
        let alone = Reader::locate(document, path);
        let Some(path) = path else {
            return match defaults.below(None).next() {
                Some(_) => Filled::Map(Map { defaults, reader: alone, prefix: None }),
                None => Filled::Alone(alone),
            };
        };
        // Borrowed from a default, so that what is read may be, too.
        let here = defaults.at(path).map(|(here, _)| *here);
        let first = here.or_else(|| Some(defaults.below(Some(path.as_str())).next()?.0.as_str()));
        match first {
            Some(first) if !view.is_closed_above(path) => {
                Self::at(defaults, document, &first[..path.as_str().len()])
            }
            _ => Filled::Alone(alone),
        }
    }

    /// The place at `path`; above it are maps.
    fn at(defaults: Defaults<'a>, document: &'a Document<S>, path: &'a str) -> Self {
        let reader = Reader::at(document, path);
        let is_map = match node(document, path) {
            None => match defaults.at(Path::from_checked(path)) {
                Some(entry) => return Filled::Alone(Reader::default(document, entry)),
                None => true,
            },
            // An integer, or a `Some`, that takes a map to store is no map.
            Some(Node::Map) => reader.wide_integer().is_none() && reader.inside_some().is_none(),
            Some(Node::List | Node::Value(_)) => false,
        };
        match defaults.below(Some(path)).next() {
            Some(_) if is_map => Filled::Map(Map { defaults, reader, prefix: Some(path) }),
            _ => Filled::Alone(reader),
        }
    }
}

impl<'a, S: Storage> Map<'a, S> {
    fn child(&self, child: Child<'a>) -> Filled<'a, S> {
        Filled::at(self.defaults, self.reader.document, child.path)
    }

    /// The keys that only defaults have.
    fn lacking(&self) -> impl Iterator<Item = Child<'a>> + use<'a, S> {
        let (document, start) = (self.reader.document, self.prefix.map_or(0, |prefix| prefix.len() + 1));
        let mut last = "";
        self.defaults.below(self.prefix).filter_map(move |(path, _)| {
            let path = path.as_str();
            let end = path[start..].find('/').map_or(path.len(), |len| start + len);
            let path = &path[..end];
            // Those of one key follow one another: no default lies below another.
            if core::mem::replace(&mut last, path) == path || first_live(document, path).is_some() {
                return None;
            }
            Some(Child { path, key: &path[start..], seq: 0 })
        })
    }

    fn visit<V: Visitor<'a>>(self, visitor: V, is_closed: bool) -> Result<V::Value, ReadStop<'a>> {
        let prefix = self.prefix;
        // What the document has comes last: should a key be there in two spellings, a map keeps that one.
        let keys = self.lacking().map(|child| (child, false));
        let keys = keys.chain(self.reader.entries().map(|child| (child, true)));
        visitor.visit_map(Keys { map: self, keys, is_closed, current: None }).map_err(|stop| stop.at(prefix))
    }

    fn variant(self) -> Option<Variant<'a, S>> {
        let child = self.reader.variant().or_else(|| self.lacking().next())?;
        Some(Variant { map: self, child })
    }
}

macro_rules! as_stored {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadStop<'a>> {
            match self {
                Filled::Alone(reader) => reader.$method(visitor),
                Filled::Map(map) => map.visit(visitor, true),
            }
        })*
    };
}

impl<'a, S: Storage> de::Deserializer<'a> for Filled<'a, S> {
    type Error = ReadStop<'a>;

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadStop<'a>> {
        match self {
            Filled::Alone(reader) => reader.deserialize_option(visitor),
            Filled::Map(map) => visitor.visit_some(Filled::Map(map.nested()?)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadStop<'a>> {
        match self {
            Filled::Alone(reader) => reader.deserialize_newtype_struct(name, visitor),
            Filled::Map(map) => visitor.visit_newtype_struct(Filled::Map(map.nested()?)),
        }
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadStop<'a>> {
        let map = match self {
            Filled::Alone(reader) => return reader.deserialize_enum(name, variants, visitor),
            Filled::Map(map) => map,
        };
        let prefix = map.prefix;
        match map.variant() {
            Some(variant) => visitor.visit_enum(variant),
            None => {
                let expected = "an enum".try_into().expect("the text is short");
                Err(ReadStop::new(ReadProblem::WrongType { expected, found: Found::Map }))
            }
        }
        .map_err(|stop| stop.at(prefix))
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadStop<'a>> {
        visitor.visit_unit()
    }

    as_stored!(
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_seq deserialize_map deserialize_identifier
    );

    serde::forward_to_deserialize_any! { <V: Visitor<'a>> unit_struct tuple tuple_struct }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadStop<'a>> {
        match self {
            Filled::Alone(reader) => reader.deserialize_struct(name, fields, visitor),
            Filled::Map(map) => map.visit(visitor, false),
        }
    }
}

impl<'a, S: Storage> Map<'a, S> {
    fn nested(self) -> Result<Self, ReadStop<'a>> {
        Ok(Self { reader: self.reader.nested()?, ..self })
    }
}

/// Keys of both, each with whether it is the document's.
struct Keys<'a, S: Storage, I> {
    map: Map<'a, S>,
    keys: I,
    is_closed: bool,
    current: Option<Child<'a>>,
}

impl<'a, S: Storage, I: Iterator<Item = (Child<'a>, bool)>> de::MapAccess<'a> for Keys<'a, S, I> {
    type Error = ReadStop<'a>;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadStop<'a>> {
        let Some((child, is_stored)) = self.keys.next() else { return Ok(None) };
        self.current = Some(child);
        if self.is_closed && is_stored {
            Reader::check_key(self.map.reader.document, child)?;
        }
        seed.deserialize(MapKey(child.key)).map(Some).map_err(|stop| stop.at(Some(child.path)))
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, ReadStop<'a>> {
        let child = self.current.expect("serde asks for a value after its key");
        seed.deserialize(self.map.child(child)).map_err(|stop| stop.at(Some(child.path)))
    }
}

struct Variant<'a, S: Storage> {
    map: Map<'a, S>,
    child: Child<'a>,
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
        Deserialize::deserialize(self.map.child(self.child))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, ReadStop<'a>> {
        seed.deserialize(self.map.child(self.child)).map_err(|stop| stop.at(Some(self.child.path)))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, ReadStop<'a>> {
        de::Deserializer::deserialize_any(self.map.child(self.child), visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        name: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadStop<'a>> {
        de::Deserializer::deserialize_struct(self.map.child(self.child), "", name, visitor)
    }
}
