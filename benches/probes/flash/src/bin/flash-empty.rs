//! What any image has: vectors, start-up, a panic handler.

#![no_std]
#![no_main]

use panic_halt as _;

#[cortex_m_rt::entry]
fn main() -> ! {
    loop {
        core::hint::black_box(());
    }
}
