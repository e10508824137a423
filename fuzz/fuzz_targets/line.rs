//! A line with two ends, and whatever comes in: raw bytes, packets that are lost, repeated or cut, slow readers, restarts.
//! Nothing panics, an answer is bounded by what asked for it, and what is given out was sent: once, in order.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use transport_serial::{FRAME_LEN_MAX, Input, LINE_LEN_MAX, Link, Timing};

#[derive(Arbitrary, Debug)]
enum Step {
    /// Time passes, at most a minute.
    Pass(u16),
    /// Bytes that nobody has sent come to an end.
    Noise {
        to_device: bool,
        bytes: Vec<u8>,
    },
    /// An end is given a frame.
    Send {
        from_device: bool,
        len: u16,
    },
    /// An end's packets arrive, but for a byte that changes, and a packet that is lost or comes twice.
    Carry {
        from_device: bool,
        at: u16,
        change: u8,
        fault: Fault,
    },
    Capacity {
        of_device: bool,
        frames: u8,
    },
    Restart {
        device: bool,
        random: u16,
    },
    End {
        device: bool,
    },
}

#[derive(Arbitrary, Debug, PartialEq)]
enum Fault {
    None,
    Lost,
    Twice,
}

/// An end of the line, and what it is to hear.
struct End<const S: usize, const R: usize> {
    link: Link<S, R>,
    /// Names this end's present connection.
    label: u16,
    sent: u16,
    heard: Option<(u16, u16)>,
}

impl<const S: usize, const R: usize> End<S, R> {
    fn new(link: Link<S, R>, label: u16) -> Self {
        Self { link, label, sent: 0, heard: None }
    }

    fn send(&mut self, len: u16) {
        let mut frame = vec![1; (4 + usize::from(len) % 520).min(FRAME_LEN_MAX)];
        frame[..2].copy_from_slice(&self.label.to_le_bytes());
        frame[2..4].copy_from_slice(&self.sent.to_le_bytes());
        if self.link.send(&frame).is_ok() {
            self.sent = self.sent.wrapping_add(1);
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(input) = self.link.receive(&mut bytes) {
            match input {
                Input::Begun => (self.label, self.sent, self.heard) = (self.label.wrapping_add(1), 0, None),
                Input::Frame(frame) => {
                    let number = |at: usize| u16::from_le_bytes([frame[at], frame[at + 1]]);
                    let (label, next) = self.heard.unwrap_or((number(0), 0));
                    assert_eq!((number(0), number(2)), (label, next));
                    self.heard = Some((label, next.wrapping_add(1)));
                }
                Input::Over(_) => self.link.begin(),
            }
        }
    }

    fn say(&mut self, now_ms: u32, at: u16, change: u8, fault: &Fault) -> Vec<u8> {
        let (mut line, mut packets) = (Vec::new(), 0);
        while let Some(bytes) = self.link.poll_line(now_ms) {
            assert!(bytes.len() <= LINE_LEN_MAX);
            packets += 1;
            assert!(packets <= S + 4, "a window, and an End, an Accept, a Nak and an Ack");
            line.extend_from_slice(bytes);
            match fault {
                Fault::Twice if usize::from(at) % S == packets % S => line.extend_from_slice(bytes),
                Fault::Lost if usize::from(at) % S == packets % S => line.truncate(line.len() - bytes.len()),
                _ => {}
            }
        }
        let len = line.len().max(1);
        if let Some(byte) = line.get_mut(usize::from(at) % len) {
            *byte ^= change;
        }
        line
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let timing = Timing { repeat_ms: 100, repeats_max: 3 };
    let mut device = End::<1, 0>::new(Link::initiator(timing, 1), 0);
    let mut gateway = End::<4, 3>::new(Link::responder(timing, 2), 0x8000);
    device.link.begin();
    let mut now_ms = 0_u32;
    // New at each start, as the link wants it: otherwise the Begin of a second life is taken for a repeated one.
    let mut life = 0_u32;
    let mut new_random = |random: u16| {
        life += 1;
        life << 16 | u32::from(random & 0x7FFF)
    };
    for step in steps.iter().take(256) {
        match step {
            Step::Pass(ms) => now_ms = now_ms.wrapping_add(u32::from(*ms)),
            Step::Noise { to_device: true, bytes } => device.take(bytes),
            Step::Noise { to_device: false, bytes } => gateway.take(bytes),
            Step::Send { from_device: true, len } => device.send(*len),
            Step::Send { from_device: false, len } => gateway.send(*len),
            Step::Carry { from_device: true, at, change, fault } => {
                let line = device.say(now_ms, *at, *change, fault);
                gateway.take(&line);
            }
            Step::Carry { from_device: false, at, change, fault } => {
                let line = gateway.say(now_ms, *at, *change, fault);
                device.take(&line);
            }
            Step::Capacity { of_device: true, frames } => device.link.set_capacity(*frames),
            Step::Capacity { of_device: false, frames } => gateway.link.set_capacity(*frames),
            Step::Restart { device: true, random } => {
                device = End::new(Link::initiator(timing, new_random(*random)), device.label.wrapping_add(1));
                device.link.begin();
            }
            Step::Restart { device: false, random } => {
                gateway =
                    End::new(Link::responder(timing, new_random(*random)), gateway.label.wrapping_add(1));
            }
            Step::End { device: true } => device.link.end(),
            Step::End { device: false } => gateway.link.end(),
        }
    }
});
