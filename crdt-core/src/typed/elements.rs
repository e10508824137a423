//! placeholder until lists
use core::marker::PhantomData;
use serde::Serialize;
use serde::ser;
use super::error::{WriteProblem, WriteStop};
use super::write::{Place, Writer};
use crate::document::Document;
use crate::storage::Storage;
pub(super) fn elements<'a, S: Storage>(_document: &'a Document<S>, _path: &'a str) -> impl Iterator<Item = &'a str> + 'a {
    core::iter::empty()
}
pub(super) struct Elements<'w, 'd, S: Storage>(PhantomData<&'w mut Writer<'d, S>>);
impl<'w, 'd, S: Storage> Elements<'w, 'd, S> {
    pub(super) fn new(_: &'w mut Writer<'d, S>, _: Option<usize>, _: Option<Place>) -> Result<Self, WriteStop> {
        Err(WriteProblem::Key.into())
    }
    fn element<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), WriteStop> { Ok(()) }
    fn finish(self) -> Result<bool, WriteStop> { Ok(true) }
}
macro_rules! sequences {
    ($($trait:ident $method:ident),*) => {
        $(impl<S: Storage> ser::$trait for Elements<'_, '_, S> {
            type Ok = bool;
            type Error = WriteStop;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteStop> {
                self.element(value)
            }

            fn end(self) -> Result<bool, WriteStop> {
                self.finish()
            }
        })*
    };
}

sequences!(
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);
