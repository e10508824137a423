//! A pump's controller on a Cortex-M3 (QEMU's `lm3s6965evb`): a document in a fixed piece of memory, its session over a
//! serial line, its records in flash. No heap, no clock, no operating system.
//!
//! `firmware_host` plays the gateway. What is to be done comes as state, in the document: a set-point, a restart, the end.
//!
//! | path | who writes | what |
//! |---|---|---|
//! | `pump/setpoint` | host | what the pump is to do |
//! | `pump/applied` | device | the set-point that it follows |
//! | `pump/temperature` | device | thousandths of a degree, ten times a second |
//! | `pump/measurements` | device | how many there were since it started |
//! | `pump/state` | device | `running`, `stopped` |
//! | `pump/restarts` | device | how often it has been restarted on demand |
//! | `command/restart` | host | how often it is to have been |
//! | `command/stop` | host | when true, it stops |

#![no_std]
#![no_main]

mod application;
mod board;
mod device;
mod error;
mod figures;
mod line;
mod report;
mod uart;

use application::Order;
use board::Retained;
use cortex_m_rt::entry;
use crdt_core::PeerId;
use crdt_core::rand_core::Rng;
use device_io::FlashLog;
use line::Line;
// Its vector table: of a chip that is not named, there would be 240 interrupts.
use lm3s6965 as _;
use uart::Uart;

/// A wire has no keys: who is at its other end is known by construction.
pub(crate) const GATEWAY: PeerId = PeerId([1; 32]);

#[entry]
fn main() -> ! {
    let core = cortex_m::Peripherals::take().expect("once after each reset");
    board::start_tick(core.SYST);
    // SAFETY: `main` runs once after a reset, and nothing else uses the port.
    let uart = unsafe { Uart::enable() };
    // SAFETY: `main` runs once after a reset.
    let Retained { random, flash, .. } = unsafe { Retained::take() };
    let mut flash = FlashLog::open(flash);
    let line = Line::open(uart, random.next_u32());
    board::say("started\n");
    match device::run(random, &mut flash, line) {
        Ok((order, pump)) => {
            report::print(pump, line, &flash);
            match order {
                Order::Restart => board::restart(),
                Order::Run | Order::Stop => board::exit(true),
            }
        }
        Err(failure) => {
            board::say(failure.what());
            board::exit(false)
        }
    }
}
