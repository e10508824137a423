//! A device with a document, from power-up to power-off: all that it takes. The README quotes it.

use crdt_core::capacity::{Bytes, Cells, Peers, Replicas};
use crdt_core::{Config, DocumentName, Fixed, Moment, Output, Replica, Role};
use device_io::FlashLog;
use static_cell::StaticCell;
use transport_serial::FRAME_LEN_MAX;

use crate::application::{Application, Order};
use crate::board::Random;
use crate::error::Failure;
use crate::line::Line;

/// What is to be done next, and the document as it is now.
type Done = (Order, &'static Pump);

// README: from here
/// 48 cells, 2 KiB of paths and values, 4 replicas, 1 peer: a fixed piece of memory, no heap.
pub type Pump = Replica<Fixed<Cells<48>, Bytes<2048>, Replicas<4>, Peers<1>>, &'static mut Random>;

pub fn run(random: &'static mut Random, flash: &mut FlashLog, line: &mut Line) -> Result<Done, Failure> {
    static PUMP: StaticCell<Pump> = StaticCell::new();
    let pump = new_pump(&PUMP, random)?;
    flash.restore(pump, NOW)?; // As it was when the power went, if it ever was.
    let (mut application, mut frame) = (Application::default(), [0; FRAME_LEN_MAX]);
    loop {
        line.receive(pump)?; // `pump.connect` when the line is new, `pump.handle_frame` for what comes.
        let order = application.work(pump)?; // `pump.document().get(..)`, `pump.update(..)`
        // `pump.poll_output`, while the line has capacity.
        while let Some(output) = line.poll(pump, &mut frame) {
            match output {
                Output::Persist => {
                    let token = flash.commit(pump)?; // Nothing of it is sent before it is in flash.
                    pump.handle_persisted(token);
                }
                Output::Transmit { len, .. } => line.send(&frame[..len])?,
                Output::Close { session } => line.close(session),
                Output::Event(event) => application.note(event),
            }
        }
        line.transmit(); // New frames, acknowledgements, and once more what got lost.
        let is_safe_to_power_off = !pump.has_unsaved(); // All is in flash; the next start sends the rest.
        if is_safe_to_power_off && order.is_done(pump) {
            return Ok((order, pump));
        }
    }
}
// README: to here

/// This board has no clock: stamps follow those that were seen.
pub(crate) const NOW: Moment = Moment::UNKNOWN;

/// A document that nobody has written to. Not inlined: the stack is to forget the copy that this leaves there.
#[inline(never)]
fn new_pump(
    place: &'static StaticCell<Pump>,
    random: &'static mut Random,
) -> Result<&'static mut Pump, Failure> {
    let name = DocumentName::new("pump-42")?;
    let config = Config { frame_len_max: FRAME_LEN_MAX, ..Config::new(Role::Member) };
    Ok(place.init_with(|| Pump::new(&name, config, random)))
}
