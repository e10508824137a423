//! What the device is for: it measures, and follows what others have set. All of it goes through the document.

use crdt_core::{Event, Path, UpdateError, Value, Write};

use crate::GATEWAY;
use crate::board::uptime_ms;
use crate::device::{NOW, Pump};

/// What is to be done, by the document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Restart,
    Run,
    Stop,
}

impl Order {
    /// Whether it has come to its end, with all that was written before in flash. A restart does not wait for the line.
    pub(crate) fn is_done(self, pump: &Pump) -> bool {
        match self {
            Self::Restart => true,
            Self::Run => false,
            Self::Stop => is_delivered(pump),
        }
    }
}

/// What the application remembers besides its document.
#[derive(Default)]
pub(crate) struct Application {
    measured_at_ms: u32,
    measurements: i64,
}

impl Application {
    /// Follows what others have set, and says so in the document; measures when it is time.
    pub(crate) fn work(&mut self, pump: &mut Pump) -> Result<Order, UpdateError> {
        // What is no number differs from itself: it would be written for ever.
        if let Some(Value::F64(setpoint)) = pump.document().get(SETPOINT)
            && setpoint.is_finite()
        {
            set(pump, APPLIED, Value::F64(setpoint))?;
        }
        let stop = pump.document().get(STOP) == Some(Value::Bool(true));
        set(pump, STATE, Value::Str(if stop { "stopped" } else { "running" }))?;
        if stop {
            return Ok(Order::Stop);
        }
        if let Some(Value::I64(wanted)) = pump.document().get(RESTART)
            && pump.document().get(RESTARTS) != Some(Value::I64(wanted))
        {
            set(pump, RESTARTS, Value::I64(wanted))?;
            return Ok(Order::Restart);
        }
        if uptime_ms().wrapping_sub(self.measured_at_ms) >= MEASURE_MS {
            self.measured_at_ms = uptime_ms();
            self.measurements += 1;
            set(pump, MEASUREMENTS, Value::I64(self.measurements))?;
            set(pump, TEMPERATURE, Value::I64(temperature(self.measured_at_ms)))?;
        }
        Ok(Order::Run)
    }

    /// Takes an event. A product shows some to somebody.
    pub(crate) fn note(&mut self, _event: Event) {}
}

/// Whether the gateway has told that all that was written here is on its disk.
pub(crate) fn is_delivered(pump: &Pump) -> bool {
    pump.acknowledged_through(GATEWAY) >= pump.document().version_vector().time_of(pump.id())
}

/// Writes what is not there yet, and asks the gateway to tell when it has it.
fn set(pump: &mut Pump, path: Path<'_>, value: Value<'_>) -> Result<(), UpdateError> {
    if pump.document().get(path) != Some(value) {
        pump.update(NOW, &[Write::set(path, value)])?;
        pump.request_acknowledgement();
    }
    Ok(())
}

/// A sensor would be read here: up and down between 20 and 25 degrees within 10 s.
fn temperature(uptime_ms: u32) -> i64 {
    let phase = i64::from(uptime_ms % 10_000);
    20_000 + phase.min(10_000 - phase)
}

const SETPOINT: Path<'_> = path("pump/setpoint");
const APPLIED: Path<'_> = path("pump/applied");
const TEMPERATURE: Path<'_> = path("pump/temperature");
const MEASUREMENTS: Path<'_> = path("pump/measurements");
const STATE: Path<'_> = path("pump/state");
const RESTARTS: Path<'_> = path("pump/restarts");
const RESTART: Path<'_> = path("command/restart");
const STOP: Path<'_> = path("command/stop");

/// A path that is known to be one when this is compiled.
const fn path(text: &str) -> Path<'_> {
    match Path::new(text) {
        Ok(path) => path,
        Err(_) => panic!("this is no path"),
    }
}

const MEASURE_MS: u32 = 100;
