//! The machine: its tick, what it keeps over a reset, its log and its end. All `unsafe` that is not the UART is here.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};

use core::convert::Infallible;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;
use cortex_m_semihosting::{debug, hio, syscall};
use crdt_core::rand_core::TryRng;

/// Milliseconds since the start; wraps after 49 days.
pub(crate) fn uptime_ms() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

/// Starts the tick.
pub(crate) fn start_tick(mut timer: SYST) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(TICK_CYCLES - 1);
    timer.clear_current();
    timer.enable_interrupt();
    timer.enable_counter();
}

/// What outlives a reset.
pub(crate) struct Retained {
    magic: u32,
    /// Where random numbers come from.
    pub(crate) random: Random,
    /// A stand-in for two pages of flash: written in the same way, and there after a reset.
    pub(crate) flash: [u8; FLASH_LEN],
}

impl Retained {
    /// What was there before the reset, or, after power-up, erased flash and random numbers from a new seed.
    ///
    /// # Safety
    /// It is called once after each reset.
    pub(crate) unsafe fn take() -> &'static mut Self {
        let retained = RETAINED.0.get();
        // SAFETY: the linker gives the memory and nobody initialises it: it holds what was there before the reset, or
        // noise, and every bit pattern is a value of every field. It is read as volatile because the compiler knows of
        // nobody who wrote it. This is the only reference, by the condition above.
        unsafe {
            if (&raw const (*retained.cast::<Self>()).magic).read_volatile() != MAGIC {
                let fresh = retained.cast::<Self>();
                (&raw mut (*fresh).flash).write_bytes(0xff, 1);
                (&raw mut (*fresh).random).write(Random(seed()));
                (&raw mut (*fresh).magic).write_volatile(MAGIC);
            }
            (*retained).assume_init_mut()
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014) over a seed from outside. A product takes its hardware's random numbers: two
/// devices with one seed would be one replica.
pub(crate) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

/// Resets the machine: memory that is not retained begins anew.
pub(crate) fn restart() -> ! {
    SCB::sys_reset()
}

/// Ends the emulation, with exit code 0 or 1.
pub(crate) fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

/// Writes a piece of text where the host reads it. No formatting: it would be a third of the program.
pub(crate) fn say(text: &str) {
    // If there is nobody to listen, there is nobody to tell.
    if let Ok(mut host) = hio::hstderr() {
        host.write_all(text.as_bytes()).ok();
    }
}

/// 64 random bits that the host gives as the program's argument, in hexadecimal.
fn seed() -> u64 {
    let mut line = [0_u8; 64];
    let block = [line.as_mut_ptr() as usize, line.len()];
    // SAFETY: the call writes at most as many bytes to the buffer as the block says, and both live until it returns.
    let answer = unsafe { syscall!(GET_CMDLINE, block.as_ptr()) };
    let digits = line.iter().filter_map(|byte| char::from(*byte).to_digit(16));
    let seed = digits.fold(0_u64, |seed, digit| seed << 4 | u64::from(digit));
    if answer == 0 { seed } else { 0 }
}

#[exception]
fn SysTick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    say("panic=1\n");
    exit(false)
}

static TICKS: AtomicU32 = AtomicU32::new(0);

struct Kept(UnsafeCell<MaybeUninit<Retained>>);

// SAFETY: `Retained::take` hands out the only reference there is.
unsafe impl Sync for Kept {}

#[unsafe(link_section = ".uninit.retained")]
static RETAINED: Kept = Kept(UnsafeCell::new(MaybeUninit::uninit()));

/// The core runs at 12.5 MHz after a reset.
const TICK_CYCLES: u32 = 12_500;
const MAGIC: u32 = 0x60d7_1742;
/// Two pages of 4 KiB.
const FLASH_LEN: usize = 8192;
