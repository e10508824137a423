//! A stream of messages of one field each, merged by the cloud as fast as it can. Making them is not measured.

use std::time::{Duration, Instant};

use super::documents::{agreed, day, in_session};
use super::{Figure, Measured};
use crate::systems::{Contender, Side};

const MESSAGES: usize = 100_000;
/// Between two looks at the clock.
const CHUNK: usize = 1_000;
/// Longer than this nobody waits: then the rate is that of the messages merged so far.
const TIME_MAX: Duration = Duration::from_secs(10);

pub(super) fn run(who: Contender) -> Measured {
    let mut system = in_session(who);
    let (mut written, mut merged) = (0, 0);
    let mut spent = Duration::ZERO;
    let mut fields = day(10).chain(day(10));
    while written < MESSAGES && spent < TIME_MAX {
        let mut messages = Vec::new();
        for field in fields.by_ref().take(CHUNK) {
            system.wait(1000);
            system.write(Side::Device, &[field]);
            messages.extend(system.send_change());
            written += 1;
        }
        let start = Instant::now();
        for message in &messages {
            system.receive_change(message);
        }
        spent += start.elapsed();
        // A system may see that a field is what it was, and say nothing.
        merged += messages.len();
        // What the cloud answers is not a message of the stream.
        for answer in system.send(Side::Cloud) {
            system.receive(Side::Device, &answer);
        }
    }
    let per_second = (merged as f64 / spent.as_secs_f64()) as u64;
    let mut measured = agreed(who, &mut *system, Figure::PerSecond(per_second));
    if written < MESSAGES {
        measured.json = None;
        measured.note = Some(format!("{}: only the first {merged} messages, its rate falls", who.name));
    }
    measured
}
