//! Connection ids from a seeded generator, so that a simulation repeats.
//!
//! The generator is ChaCha with the caller's seed: ids are as hard to guess as the seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Of a client link: none. Its packets are told apart by the address they come from, which saves bytes on each.
pub(crate) const CLIENT_CID_LEN: usize = 0;
/// Of a server link: enough for three billion connections. Without ids a server could not follow a client that moves.
pub(crate) const SERVER_CID_LEN: usize = 4;
/// The id that a client invents for a server before it knows the server's own. These packets are padded anyway.
pub(crate) const INITIAL_CID_LEN: usize = 20;

/// All randomness of a link that QUIC lets us choose.
#[derive(Debug, Clone)]
pub(crate) struct SeededIds {
    rng: Arc<Mutex<ChaCha12Rng>>,
    cid_len: usize,
}

impl SeededIds {
    pub(crate) fn new(seed: [u8; 32], cid_len: usize) -> Self {
        Self { rng: Arc::new(Mutex::new(ChaCha12Rng::from_seed(seed))), cid_len }
    }

    /// 32 random bytes: a key, or a seed for another generator.
    pub(crate) fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        // A generator is in a valid state after every call, also where another thread panicked.
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn id(&self, len: usize) -> ConnectionId {
        ConnectionId::new(&self.bytes()[..len])
    }
}

impl ConnectionIdGenerator for SeededIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.id(self.cid_len)
    }

    fn cid_len(&self) -> usize {
        self.cid_len
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
