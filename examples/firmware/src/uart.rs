//! UART0, a PL011, by its registers: the few that sending and receiving by polling need.
//!
//! A product takes the crate of its chip, and an interrupt that empties the receiver: 16 bytes are 1.4 ms at 115,200
//! baud. Clock gates, pins and baud rate are left at what the emulator starts with; a board sets them here.

use core::ptr;

/// The only user of UART0.
pub(crate) struct Uart(());

impl Uart {
    /// Switches the port on, 8 bits, no parity.
    ///
    /// # Safety
    /// Nothing else uses UART0, and this is called once.
    pub(crate) unsafe fn enable() -> Self {
        write(LINE_CONTROL, EIGHT_BITS | WITH_FIFO);
        write(CONTROL, ENABLE | TRANSMIT_ENABLE | RECEIVE_ENABLE);
        Self(())
    }

    /// The next byte that came, if one did.
    pub(crate) fn receive(&mut self) -> Option<u8> {
        (read(FLAGS) & RECEIVER_EMPTY == 0).then(|| read(DATA) as u8)
    }

    /// Sends, waiting while the transmitter is full.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        for byte in bytes {
            while read(FLAGS) & TRANSMITTER_FULL != 0 {}
            write(DATA, u32::from(*byte));
        }
    }
}

fn read(offset: usize) -> u32 {
    // SAFETY: the offsets below are registers of UART0, 4 bytes each and aligned, on the chip this is linked for; only
    // `Uart` comes here, and it exists once.
    unsafe { ptr::read_volatile((UART0 + offset) as *const u32) }
}

fn write(offset: usize, value: u32) {
    // SAFETY: as for `read`; these registers control the port and reach no memory.
    unsafe { ptr::write_volatile((UART0 + offset) as *mut u32, value) }
}

const UART0: usize = 0x4000_c000;
const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const LINE_CONTROL: usize = 0x2c;
const CONTROL: usize = 0x30;

const RECEIVER_EMPTY: u32 = 1 << 4;
const TRANSMITTER_FULL: u32 = 1 << 5;
const WITH_FIFO: u32 = 1 << 4;
const EIGHT_BITS: u32 = 3 << 5;
const ENABLE: u32 = 1;
const TRANSMIT_ENABLE: u32 = 1 << 8;
const RECEIVE_ENABLE: u32 = 1 << 9;
