//! A stream of messages of one field each, merged by the cloud as fast as it can. Making them is not measured.

use std::time::{Duration, Instant};

use super::documents::{agreed, day, in_session};
use super::{Figure, Measured};
use crate::systems::{Name, Side};

const MESSAGES: usize = 100_000;
/// Between two looks at the clock.
const CHUNK: usize = 1_000;
/// Longer than this nobody waits: then the rate is that of the messages merged so far.
const TIME_MAX: Duration = Duration::from_secs(5);

pub(super) fn run(name: Name) -> Measured {
    let mut system = in_session(name);
    let mut merged = 0;
    let mut spent = Duration::ZERO;
    let mut fields = day(10).chain(day(10));
    while merged < MESSAGES && spent < TIME_MAX {
        let messages: Vec<Vec<u8>> = fields.by_ref().take(CHUNK.min(MESSAGES - merged)).flat_map(|field| {
            system.wait(1000);
            system.write(Side::Device, &[field]);
            system.send_change()
        }).collect();
        let start = Instant::now();
        for message in &messages {
            system.receive_change(message);
        }
        spent += start.elapsed();
        merged += messages.len();
        // What it answers is not a message of the stream.
        for answer in system.send(Side::Cloud) {
            system.receive(Side::Device, &answer);
        }
    }
    let per_second = (merged as f64 / spent.as_secs_f64()) as u64;
    let mut measured = agreed(name, &mut *system, Figure::PerSecond(per_second));
    if merged < MESSAGES {
        measured.json = None;
        measured.note = Some(format!("{}: only the first {merged} messages, its rate falls", name.as_str()));
    }
    measured
}
