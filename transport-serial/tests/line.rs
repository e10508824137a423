//! Two ends over a line that flips, loses, inserts and repeats bytes, stalls, and whose ends restart: what arrives is what
//! was sent, once and in order, or the connection is reported over; and when the line is good again, all arrives and then
//! it is silent. `LINE_SEED=` plays one run again.

use std::collections::VecDeque;

use transport_serial::{Input, LINE_LEN_MAX, Link, Over, Timing};

#[test]
fn a_device_with_one_frame_and_a_gateway_with_four_survive_a_bad_line() {
    play::<1, 0, 4, 3>(1..400);
}

#[test]
fn two_ends_with_a_window_of_four_survive_a_bad_line() {
    play::<4, 3, 4, 3>(1_000..1_300);
}

#[test]
fn the_widest_window_survives_a_bad_line() {
    play::<8, 7, 8, 7>(2_000..2_200);
}

/// An end that keeps nothing early beside one that sends eight: all but one frame of each hole come again.
#[test]
fn unequal_windows_survive_a_bad_line() {
    play::<8, 0, 3, 7>(3_000..3_200);
}

fn play<const S: usize, const R: usize, const T: usize, const Q: usize>(seeds: core::ops::Range<u64>) {
    let replayed = std::env::var("LINE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = replayed.map_or(seeds, |seed: u64| seed..seed + 1);
    let mut seen = Seen::default();
    for seed in seeds {
        let run = std::panic::catch_unwind(|| World::<S, R, T, Q>::new(seed).play());
        match run {
            Ok(of_run) => seen.add(&of_run),
            Err(panic) => {
                eprintln!("LINE_SEED={seed} plays this again");
                std::panic::resume_unwind(panic);
            }
        }
    }
    // The runs are worth something.
    assert!(seen.frames > 5_000, "{seen:?}");
    assert!(seen.damaged > 100 && seen.repeated > 100 && seen.duplicate > 100, "{seen:?}");
    assert!(seen.over > 10 && seen.restarts > 10, "{seen:?}");
}

/// What happened, over all runs.
#[derive(Debug, Default)]
struct Seen {
    frames: u64,
    damaged: u64,
    repeated: u64,
    duplicate: u64,
    over: u64,
    restarts: u64,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.damaged += other.damaged;
        self.repeated += other.repeated;
        self.duplicate += other.duplicate;
        self.over += other.over;
        self.restarts += other.restarts;
    }
}

/// One end with its reader and its writer.
struct End<const S: usize, const R: usize> {
    link: Link<S, R>,
    /// Names what this end sends in the connection that is open: its own count of connections.
    label: u32,
    sent: u32,
    /// The peer's label in the connection that is open, and how many of its frames came.
    heard: Option<(u32, u32)>,
    /// Frames that the reader will take, beyond those that it has; none for all.
    capacity: Option<u8>,
    seen: Seen,
}

impl<const S: usize, const R: usize> End<S, R> {
    fn new(link: Link<S, R>, label: u32) -> Self {
        Self { link, label, sent: 0, heard: None, capacity: None, seen: Seen::default() }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        loop {
            match self.link.receive(&mut bytes) {
                Some(Input::Begun) => {
                    self.label += 1;
                    self.sent = 0;
                    self.heard = None;
                }
                Some(Input::Frame(frame)) => {
                    let number =
                        |at: usize| u32::from_le_bytes(frame[at..at + 4].try_into().expect("four bytes"));
                    let (label, expected) = self.heard.unwrap_or((number(0), 0));
                    assert_eq!(
                        (number(0), number(4)),
                        (label, expected),
                        "once, in order, of one connection"
                    );
                    let fill = (number(4) % 251) as u8;
                    assert!(frame[8..].iter().all(|byte| *byte == fill), "as it was sent");
                    self.heard = Some((label, expected + 1));
                    self.seen.frames += 1;
                    if let Some(capacity) = &mut self.capacity {
                        assert!(*capacity > 0, "nothing is given to a reader that has no capacity");
                        *capacity -= 1;
                    }
                }
                Some(Input::Over(over)) => {
                    self.seen.over += 1;
                    if let Over::Silent { repeats } = over {
                        assert!(repeats > 0);
                    }
                    self.link.begin();
                }
                None => return,
            }
        }
    }

    fn send(&mut self, len: usize) {
        let mut frame = vec![(self.sent % 251) as u8; len + 8];
        frame[..4].copy_from_slice(&self.label.to_le_bytes());
        frame[4..8].copy_from_slice(&self.sent.to_le_bytes());
        if self.link.is_open() && self.link.has_capacity() {
            self.link.send(&frame).expect("there is capacity, and a connection");
            self.sent += 1;
        }
    }

    fn close(&mut self) -> Seen {
        let counters = self.link.counters();
        self.seen.damaged += u64::from(counters.damaged);
        self.seen.repeated += u64::from(counters.repeated);
        self.seen.duplicate += u64::from(counters.duplicate);
        std::mem::take(&mut self.seen)
    }
}

/// The two ends and the line between them.
struct World<const S: usize, const R: usize, const T: usize, const Q: usize> {
    device: End<S, R>,
    gateway: End<T, Q>,
    up: VecDeque<u8>,
    down: VecDeque<u8>,
    dice: Dice,
    now_ms: u32,
    is_bad: bool,
    /// Nothing passes until then.
    stalled_until_ms: u32,
    seen: Seen,
}

impl<const S: usize, const R: usize, const T: usize, const Q: usize> World<S, R, T, Q> {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut link = Link::initiator(TIMING, dice.next() as u32);
        link.begin();
        Self {
            device: End::new(link, 0),
            gateway: End::new(Link::responder(TIMING, dice.next() as u32), 1_000_000),
            up: VecDeque::new(),
            down: VecDeque::new(),
            // Close to the end of its range, so that it wraps.
            now_ms: u32::MAX - 5_000,
            dice,
            is_bad: true,
            stalled_until_ms: u32::MAX - 5_000,
            seen: Seen::default(),
        }
    }

    fn play(mut self) -> Seen {
        for _ in 0..BAD_STEPS {
            self.disturb();
            self.write();
            self.step();
        }
        // The line is good again, and both readers read: what was said last arrives, and then nobody says anything.
        self.is_bad = false;
        self.stalled_until_ms = self.now_ms;
        self.device.capacity = None;
        self.gateway.capacity = None;
        self.device.link.set_capacity(u8::MAX);
        self.gateway.link.set_capacity(u8::MAX);
        let mut silent = 0;
        for _ in 0..GOOD_STEPS {
            let before = self.said();
            self.step();
            silent = if self.said() == before { silent + 1 } else { 0 };
        }
        assert!(self.device.link.is_open() && self.gateway.link.is_open(), "they have found each other");
        assert!(self.device.link.is_acknowledged() && self.gateway.link.is_acknowledged());
        assert!(silent > 100, "the line is silent");
        for _ in 0..20 {
            self.write();
            self.step();
        }
        for _ in 0..100 {
            self.step();
        }
        let heard = |sent: u32, label: u32| (sent > 0).then_some((label, sent));
        assert_eq!(self.gateway.heard, heard(self.device.sent, self.device.label), "all from the device");
        assert_eq!(self.device.heard, heard(self.gateway.sent, self.gateway.label), "all from the gateway");
        for seen in [self.device.close(), self.gateway.close()] {
            self.seen.add(&seen);
        }
        self.seen
    }

    fn said(&self) -> (u32, u32) {
        (self.device.link.counters().line_bytes_out, self.gateway.link.counters().line_bytes_out)
    }

    /// What happens to the ends, once in a while.
    fn disturb(&mut self) {
        if self.dice.one_in(400) {
            self.stalled_until_ms = self.now_ms.wrapping_add(self.dice.below(3_000) as u32);
        }
        if self.dice.one_in(500) {
            let label = self.device.label + 1;
            let seen = self.device.close();
            self.seen.add(&seen);
            let mut link = Link::initiator(TIMING, self.dice.next() as u32);
            link.begin();
            self.device = End::new(link, label);
            self.seen.restarts += 1;
        }
        if self.dice.one_in(500) {
            let label = self.gateway.label + 1;
            let seen = self.gateway.close();
            self.seen.add(&seen);
            self.gateway = End::new(Link::responder(TIMING, self.dice.next() as u32), label);
            self.seen.restarts += 1;
        }
        if self.dice.one_in(20) {
            let capacity = self.dice.below(4) as u8;
            self.device.capacity = Some(capacity);
            self.device.link.set_capacity(capacity);
        }
        if self.dice.one_in(20) {
            let capacity = self.dice.below(6) as u8;
            self.gateway.capacity = Some(capacity);
            self.gateway.link.set_capacity(capacity);
        }
    }

    fn write(&mut self) {
        if self.dice.one_in(2) {
            let longest = if self.dice.one_in(5) { 505 } else { 30 };
            self.device.send(self.dice.below(longest));
        }
        if self.dice.one_in(2) {
            let longest = if self.dice.one_in(5) { 505 } else { 30 };
            self.gateway.send(self.dice.below(longest));
        }
    }

    fn step(&mut self) {
        while let Some(bytes) = self.device.link.poll_line(self.now_ms) {
            carry(&mut self.up, bytes, self.is_bad, &mut self.dice);
        }
        while let Some(bytes) = self.gateway.link.poll_line(self.now_ms) {
            carry(&mut self.down, bytes, self.is_bad, &mut self.dice);
        }
        let is_stalled = (self.stalled_until_ms.wrapping_sub(self.now_ms) as i32) > 0;
        let up = if is_stalled { 0 } else { self.dice.below(600).min(self.up.len()) };
        let down = if is_stalled { 0 } else { self.dice.below(600).min(self.down.len()) };
        let bytes: Vec<u8> = self.up.drain(..up).collect();
        self.gateway.take(&bytes);
        let bytes: Vec<u8> = self.down.drain(..down).collect();
        self.device.take(&bytes);
        self.now_ms = self.now_ms.wrapping_add(1 + self.dice.below(20) as u32);
    }
}

/// Puts bytes on a line that changes some.
fn carry(line: &mut VecDeque<u8>, bytes: &[u8], is_bad: bool, dice: &mut Dice) {
    assert!(bytes.len() <= LINE_LEN_MAX);
    for byte in bytes {
        match dice.below(if is_bad { 2_000 } else { usize::MAX }) {
            0 => line.push_back(byte ^ 1 << dice.below(8)),
            1 => {}
            2 => line.extend([*byte, *byte]),
            3 => line.extend([dice.next() as u8, *byte]),
            _ => line.push_back(*byte),
        }
    }
    if is_bad && dice.one_in(50) {
        // A packet that comes twice, and one that is lost without a trace.
        line.extend(bytes);
    } else if is_bad && dice.one_in(50) {
        line.truncate(line.len().saturating_sub(bytes.len()));
    }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

const TIMING: Timing = Timing { repeat_ms: 100, repeats_max: 4 };
const BAD_STEPS: usize = 1_500;
const GOOD_STEPS: usize = 2_000;
