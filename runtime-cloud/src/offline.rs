//! Requests while no server runs: the same engine, without a network.

use serde_json::Value as Json;
use storage_redb::Store;

use crate::disk;
use crate::engine::{Engine, Output, Reply, Request, RequestError, RequestId, Setup};
use crate::error::ServeError;
use crate::place::Place;
use crate::server::{moment, now, random_seed, rng};

/// A store that no server has open.
#[derive(Debug)]
pub struct Offline {
    store: Store,
    engine: Engine,
}

impl Offline {
    /// Opens the store; makes it, with its key, if there is none and `create`.
    ///
    /// # Errors
    /// [`ServeError`], which says whether a server has it open.
    pub fn open(place: &Place, create: bool) -> Result<Self, ServeError> {
        let opened = place.open(create)?;
        let setup = Setup {
            key: opened.identity.public_key(),
            access: opened.access,
            documents: opened.documents,
            window_bytes: 0,
            seed: random_seed()?,
        };
        let engine = Engine::new(now(), setup);
        Ok(Self { store: opened.store, engine })
    }

    /// Does one request; what it changed is durable then. Not for a watch, which would see nothing.
    ///
    /// # Errors
    /// The outer one when the store fails, the inner one when the request is not done.
    pub fn request(&mut self, request: Request) -> Result<Result<Json, RequestError>, ServeError> {
        let id = RequestId(0);
        self.engine.handle_request(now(), id, request);
        while let Some(output) = self.engine.poll_output(now()) {
            match output {
                Output::Commit(batch) => {
                    self.store.commit(&batch)?;
                    self.engine.handle_committed(now());
                }
                Output::Load { document } => {
                    let loaded = disk::load(&self.store, &document, rng()?, moment())?;
                    self.engine.handle_loaded(&document, loaded);
                }
                Output::Reply { reply: Reply::Done(answer), .. } => return Ok(Ok(answer)),
                Output::Reply { reply: Reply::Failed(error), .. } => return Ok(Err(error)),
                Output::Reply { reply: Reply::Changes(_), .. }
                | Output::Abandon { .. }
                | Output::Close { .. }
                | Output::Release { .. }
                | Output::Send { .. } => {}
            }
        }
        Ok(Err(RequestError::Stopping))
    }

    /// The engine, for its status.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Closes the store.
    ///
    /// # Errors
    /// [`ServeError::Store`]; what was done is durable in any case.
    pub fn close(self) -> Result<(), ServeError> {
        Ok(self.store.close()?)
    }
}

#[cfg(test)]
mod tests {
    use control::{Get, Scalar, Set};
    use crdt_core::Time;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_done_offline_is_there_later() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(directory.path());
        let get = || Request::Get(Get { document: Some("site".into()), path: Some("pump/speed".into()) });
        let mut offline = Offline::open(&place, true).unwrap();
        let unknown = RequestError::UnknownDocument { document: "site".into() };
        assert_eq!(offline.request(get()).unwrap(), Err(unknown));
        let set = Set { document: Some("site".into()), path: "pump/speed".into(), value: Scalar::I64(7) };
        assert_eq!(offline.request(Request::Set(set)).unwrap(), Ok(json!({"changed": true})));
        offline.close().unwrap();

        let mut offline = Offline::open(&place, false).unwrap();
        assert_eq!(offline.request(get()).unwrap(), Ok(json!(7)));
        assert_eq!(offline.engine().status(Time::ZERO).documents_stored, 1);
    }
}
