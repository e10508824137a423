//! Two replicas joined by a wire that counts.

use crdt_core::{
    CellRecord, Config, Connect, CountingRng, DocumentName, Event, Memory, Moment, Output, Path, PeerError,
    PeerId, Replica, ReplicaId, Role, SessionId, Value, Write,
};

pub(crate) fn path(text: &str) -> Path<'_> {
    Path::new(text).unwrap()
}

/// A replica with what a driver keeps for it.
pub(crate) struct Side<S: Memory> {
    pub(crate) replica: Replica<S, CountingRng>,
    pub(crate) session: Option<SessionId>,
    pub(crate) peer: PeerId,
    pub(crate) now_ms: u64,
    pub(crate) random: u64,
    pub(crate) events: Vec<Event>,
    /// Frames sent in this session.
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) frame_len: usize,
}

impl<S: Memory> Side<S> {
    pub(crate) fn new(key: u8, role: Role) -> Self {
        Self::with_id(key, role, ReplicaId::new(0x1111_1111_1111_1111 * u64::from(key)))
    }

    pub(crate) fn with_id(key: u8, role: Role, id: ReplicaId) -> Self {
        let name = DocumentName::new("w1").unwrap();
        Self {
            replica: Replica::new(&name, Config::new(role), CountingRng::new(id.get())),
            session: None,
            peer: PeerId([key; 32]),
            now_ms: 1_770_000_000_000,
            random: u64::from(key) << 32,
            events: Vec::new(),
            frames: Vec::new(),
            frame_len: 16_384,
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment::new(self.now_ms)
    }

    /// A number that this side has not used.
    pub(crate) fn number(&mut self) -> i64 {
        self.random += 1;
        self.random as i64
    }

    /// Numbers that no other copy of this side has drawn.
    pub(crate) fn rng(&mut self) -> CountingRng {
        self.random += 1;
        CountingRng::new(self.random)
    }

    pub(crate) fn set<'a>(&mut self, at: &'a str, value: impl Into<Value<'a>>) {
        let moment = self.moment();
        self.replica.update(moment, &[Write::set(path(at), value)]).unwrap();
    }

    pub(crate) fn delete(&mut self, at: &str) {
        let moment = self.moment();
        self.replica.update(moment, &[Write::delete(path(at))]).unwrap();
    }

    /// Forgets what every member has.
    pub(crate) fn forget_stable(&mut self) -> usize {
        let moment = self.moment();
        self.replica.forget_stable(moment)
    }

    /// Everything that comes out; persists at once. Frames are returned.
    pub(crate) fn poll(&mut self) -> Vec<Vec<u8>> {
        self.poll_frames(usize::MAX)
    }

    /// The same, until `most` frames have come.
    pub(crate) fn poll_frames(&mut self, most: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut buffer = vec![0; self.frame_len];
        while out.len() < most {
            let moment = self.moment();
            match self.replica.poll_output(moment, &mut buffer) {
                None => break,
                Some(Output::Persist) => {
                    let token = self.replica.take_unsaved(|_| {});
                    self.replica.handle_persisted(token);
                }
                Some(Output::Transmit { len, .. }) => out.push(buffer[..len].to_vec()),
                Some(Output::Event(event)) => self.events.push(event),
                Some(Output::Close { .. }) => self.session = None,
            }
        }
        self.frames.extend(out.iter().cloned());
        out
    }

    pub(crate) fn take(&mut self, frame: &[u8]) -> Result<(), PeerError> {
        let moment = self.moment();
        match self.session {
            Some(session) => self.replica.handle_frame(moment, session, frame),
            None => Ok(()),
        }
    }
}

/// Opens a session: `a` is the device, `b` the aggregator.
pub(crate) fn connect<A: Memory, B: Memory>(a: &mut Side<A>, b: &mut Side<B>) {
    a.session = Some(a.replica.connect(Connect::initiator(b.peer, Role::Aggregator, 0)).unwrap());
    b.session = Some(b.replica.connect(Connect::responder(a.peer, Role::Member, 0)).unwrap());
    a.frames.clear();
    b.frames.clear();
}

pub(crate) fn disconnect<A: Memory, B: Memory>(a: &mut Side<A>, b: &mut Side<B>) {
    a.session.take().into_iter().for_each(|s| a.replica.disconnect(s));
    b.session.take().into_iter().for_each(|s| b.replica.disconnect(s));
}

/// Frames to and fro until both are silent. Gives the payload bytes of both directions.
pub(crate) fn settle<A: Memory, B: Memory>(a: &mut Side<A>, b: &mut Side<B>) -> usize {
    let mut bytes = 0;
    for _ in 0..1_000 {
        let (up, down) = (a.poll(), b.poll());
        if up.is_empty() && down.is_empty() {
            a.replica.document().check_invariants().unwrap();
            b.replica.document().check_invariants().unwrap();
            return bytes;
        }
        for frame in up {
            bytes += frame.len();
            b.take(&frame).unwrap();
        }
        for frame in down {
            bytes += frame.len();
            a.take(&frame).unwrap();
        }
    }
    panic!("still talking after 1,000 rounds");
}

/// The configuration document of the tables in the docs: four maps of ten scalars, 855 bytes as minified JSON.
pub(crate) fn w1() -> Vec<(&'static str, Value<'static>)> {
    use Value::{Bool, F64, I64, Str};
    vec![
        ("net/apn", Str("iot.1nce.net")),
        ("net/server_host", Str("ingest-eu-1.example.com")),
        ("net/region", Str("eu-west")),
        ("net/keepalive_s", I64(300)),
        ("net/retry_max", I64(5)),
        ("net/port", I64(8883)),
        ("net/backoff_factor", F64(1.5)),
        ("net/rssi_floor_dbm", F64(-110.5)),
        ("net/tls_enabled", Bool(true)),
        ("net/roaming_allowed", Bool(false)),
        ("sense/unit", Str("celsius")),
        ("sense/sensor_model", Str("SHT45-AD1B")),
        ("sense/calib_id", Str("cal-2025-11-03")),
        ("sense/sample_period_ms", I64(1000)),
        ("sense/report_period_s", I64(60)),
        ("sense/avg_window", I64(16)),
        ("sense/alarm_high", F64(78.25)),
        ("sense/alarm_low", F64(-12.5)),
        ("sense/alarm_enabled", Bool(true)),
        ("sense/burst_mode", Bool(false)),
        ("power/battery_type", Str("LiSOCl2-ER34615")),
        ("power/mode", Str("balanced")),
        ("power/profile", Str("winter-v2")),
        ("power/sleep_s", I64(55)),
        ("power/wake_gpio", I64(17)),
        ("power/min_mv", I64(3100)),
        ("power/solar_gain", F64(0.825)),
        ("power/capacity_ah", F64(19.0)),
        ("power/solar_enabled", Bool(true)),
        ("power/deep_sleep", Bool(true)),
        ("meta/device_name", Str("pump-station-0042")),
        ("meta/site", Str("rotterdam-east")),
        ("meta/fw_version", Str("4.12.7")),
        ("meta/hw_rev", I64(3)),
        ("meta/install_epoch", I64(1_764_000_000)),
        ("meta/owner_id", I64(100_234)),
        ("meta/lat", F64(51.92442)),
        ("meta/lon", F64(4.47773)),
        ("meta/maintenance", Bool(false)),
        ("meta/provisioned", Bool(true)),
    ]
}

pub(crate) fn write_w1<S: Memory>(side: &mut Side<S>) {
    let document = w1();
    let writes: Vec<Write<'_>> = document.iter().map(|(at, value)| Write::set(path(at), *value)).collect();
    let moment = side.moment();
    side.replica.update(moment, &writes).unwrap();
}

/// What a disk holds of a replica.
pub(crate) struct Image {
    pub(crate) state: Vec<u8>,
    pub(crate) cells: Vec<(String, Vec<u8>)>,
}

impl Image {
    pub(crate) fn of<S: Memory>(side: &Side<S>) -> Self {
        let mut buffer = vec![0; 1 << 16];
        let len = side.replica.state_record().encode(&mut buffer).unwrap();
        let state = buffer[..len].to_vec();
        let mut cells = Vec::new();
        for cell in side.replica.document().changes_since(0) {
            let len = CellRecord::encode(&cell, &mut buffer).unwrap();
            cells.push((cell.path.to_owned(), buffer[..len].to_vec()));
        }
        Self { state, cells }
    }

    /// A replica that starts from this image.
    pub(crate) fn load<S: Memory>(&self, like: &mut Side<S>, role: Role) -> Replica<S, CountingRng> {
        let (moment, rng) = (like.moment(), like.rng());
        let cells = self.cells.iter().map(|(at, record)| CellRecord::decode(path(at), record).unwrap());
        Replica::load(moment, Config::new(role), rng, &self.state, cells).unwrap()
    }

    /// A side with the same key and clock that starts from this image.
    pub(crate) fn restore<S: Memory>(&self, like: &Side<S>) -> Side<S> {
        self.restore_as(Role::Member, like)
    }

    pub(crate) fn restore_as<S: Memory>(&self, role: Role, like: &Side<S>) -> Side<S> {
        let mut side = Side::new(like.peer.0[0], role);
        side.random = like.random + 1_000_000;
        side.now_ms = like.now_ms;
        side.replica = self.load(&mut side, role);
        side
    }

    /// Makes the sum fit the cells, as a bug would that changes both.
    pub(crate) fn forge_fingerprint<S: Memory>(&mut self, like: &Side<S>) {
        let old = like.replica.document().fingerprint().to_le_bytes();
        let at = self.state.windows(8).rposition(|w| w == old).unwrap();
        let mut others = Side::<S>::new(9, Role::Member);
        others.replica = Replica::new(
            like.replica.name(),
            Config::new(Role::Member),
            CountingRng::new(like.replica.id().get()),
        );
        let writes: Vec<Write<'_>> = self
            .cells
            .iter()
            .map(|(at, record)| {
                Write::set(path(at), CellRecord::decode(path(at), record).unwrap().content.value().unwrap())
            })
            .collect();
        let stamp = CellRecord::decode(path(&self.cells[0].0), &self.cells[0].1).unwrap().stamp;
        others.replica.update(Moment::new(stamp.time.as_ms()), &writes).unwrap();
        self.state[at..at + 8].copy_from_slice(&others.replica.document().fingerprint().to_le_bytes());
    }
}
