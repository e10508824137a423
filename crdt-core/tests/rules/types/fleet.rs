//! Devices in sessions with one aggregator, over wires that deliver in parts and are cut with frames under way.

use std::collections::VecDeque;

use crdt_core::{Connect, Heap, Memory, Output, Role, SessionId};

use crate::common::Side;

/// Two devices and their aggregator.
pub(crate) struct Fleet<S: Memory> {
    pub(crate) devices: Vec<Side<S>>,
    pub(crate) cloud: Side<Heap>,
    wires: Vec<Wire>,
}

/// What joins one device with the aggregator, and what is under way on it.
#[derive(Default)]
struct Wire {
    /// The aggregator's end.
    session: Option<SessionId>,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
}

impl<S: Memory> Fleet<S> {
    pub(crate) const DEVICES: usize = 2;

    /// Nobody is connected. Frames are short, so that batches span several, and one device's clock is ahead.
    pub(crate) fn new() -> Self {
        let mut devices: Vec<_> =
            (0..Self::DEVICES).map(|at| Side::<S>::new(1 + at as u8, Role::Member)).collect();
        devices[1].now_ms += 40;
        devices.iter_mut().for_each(|side| side.frame_len = 320);
        let mut cloud = Side::new(9, Role::Aggregator);
        cloud.frame_len = 320;
        Self { devices, cloud, wires: (0..Self::DEVICES).map(|_| Wire::default()).collect() }
    }

    /// Time goes by for everyone.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.devices.iter_mut().for_each(|side| side.now_ms += ms);
        self.cloud.now_ms += ms;
    }

    /// A device connects; what was under way on its last connection is lost.
    pub(crate) fn connect(&mut self, device: usize) {
        self.cut(device);
        let side = &mut self.devices[device];
        side.session =
            Some(side.replica.connect(Connect::initiator(self.cloud.peer, Role::Aggregator, 0)).unwrap());
        self.wires[device].session =
            Some(self.cloud.replica.connect(Connect::responder(side.peer, Role::Member, 0)).unwrap());
    }

    /// A connection is gone, and so is what was under way.
    pub(crate) fn cut(&mut self, device: usize) {
        let (side, wire) = (&mut self.devices[device], std::mem::take(&mut self.wires[device]));
        side.session.take().into_iter().for_each(|session| side.replica.disconnect(session));
        wire.session.into_iter().for_each(|session| self.cloud.replica.disconnect(session));
    }

    /// A device and the aggregator send up to so many frames each, and as many of those under way arrive. Tells whether
    /// there were any.
    pub(crate) fn exchange(&mut self, device: usize, up: usize, down: usize) -> bool {
        let side = &mut self.devices[device];
        if side.session.is_none() {
            return false;
        }
        let sent = side.poll_frames(up);
        self.wires[device].up.extend(sent);
        self.poll_cloud(down);
        let mut any = false;
        for _ in 0..up {
            let (Some(frame), Some(session)) =
                (self.wires[device].up.pop_front(), self.wires[device].session)
            else {
                break;
            };
            let moment = self.cloud.moment();
            self.cloud.replica.handle_frame(moment, session, &frame).unwrap();
            any = true;
        }
        for _ in 0..down {
            let Some(frame) = self.wires[device].down.pop_front() else { break };
            self.devices[device].take(&frame).unwrap();
            any = true;
        }
        self.devices[device].replica.document().check_invariants().unwrap();
        self.cloud.replica.document().check_invariants().unwrap();
        any
    }

    /// Everyone connects anew, and everything flows until all are silent.
    pub(crate) fn heal(&mut self) {
        (0..Self::DEVICES).for_each(|device| self.connect(device));
        for _ in 0..1_000 {
            let any: Vec<bool> = (0..Self::DEVICES).map(|device| self.exchange(device, 99, 99)).collect();
            if !any.contains(&true) {
                return;
            }
        }
        panic!("still talking after 1,000 rounds");
    }

    /// All have the same cells, know the same, and say so by equal fingerprints.
    pub(crate) fn check_converged(&self) {
        let cloud = self.cloud.replica.document();
        for side in &self.devices {
            let document = side.replica.document();
            assert!(document == cloud, "{:?}\n{:?}", document.cells().collect::<Vec<_>>(), {
                cloud.cells().collect::<Vec<_>>()
            });
            assert!(document.version_vector().iter().eq(cloud.version_vector().iter()));
            assert_eq!(document.fingerprint(), cloud.fingerprint());
        }
    }

    fn poll_cloud(&mut self, frames: usize) {
        let mut buffer = vec![0; self.cloud.frame_len];
        let mut left = frames;
        while left > 0 {
            let moment = self.cloud.moment();
            match self.cloud.replica.poll_output(moment, &mut buffer) {
                None => break,
                Some(Output::Persist) => {
                    let token = self.cloud.replica.take_unsaved(|_| {});
                    self.cloud.replica.handle_persisted(token);
                }
                Some(Output::Transmit { session, len }) => {
                    let wire = self.wires.iter_mut().find(|wire| wire.session == Some(session)).unwrap();
                    wire.down.push_back(buffer[..len].to_vec());
                    left -= 1;
                }
                Some(Output::Event(event)) => self.cloud.events.push(event),
                Some(Output::Close { session }) => panic!("nobody gave a reason to close {session}"),
            }
        }
    }
}
