//! How much memory the program takes: from the linker's symbols, and from the paint on the stack.

use core::ptr::addr_of;

use cortex_m_rt::STACK_PAINT_VALUE;

/// In bytes.
pub(crate) struct Figures {
    /// Code, constants and the initial values of variables.
    pub(crate) flash: usize,
    /// Variables, what is retained over a reset included.
    pub(crate) static_ram: usize,
    /// The most that the stack had since the start.
    pub(crate) stack_used: usize,
    /// What it may have.
    pub(crate) stack_room: usize,
}

impl Figures {
    /// Measures. The stack was painted before `main`; the deepest word that is no paint any more is its high-water mark.
    pub(crate) fn measure() -> Self {
        let (bottom, top) = (addr_of!(_stack_end), addr_of!(_stack_start));
        let capacity = top as usize - bottom as usize;
        let words = capacity / size_of::<u32>();
        // SAFETY: from `_stack_end` to `_stack_start` is RAM that the linker reserves for the stack, aligned to words.
        // It is read as volatile because the part below the stack pointer belongs to nobody.
        let is_paint = |word: &usize| unsafe { bottom.add(*word).read_volatile() } == STACK_PAINT_VALUE;
        let untouched = (0..words).take_while(is_paint).count();
        let data = addr_of!(__edata) as usize - addr_of!(__sdata) as usize;
        Self {
            flash: addr_of!(__sidata) as usize + data,
            static_ram: addr_of!(__euninit) as usize - addr_of!(__sdata) as usize,
            stack_used: capacity - untouched * size_of::<u32>(),
            stack_room: capacity,
        }
    }
}

// SAFETY: cortex-m-rt's linker script defines these; only their addresses are taken.
unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
    static __sidata: u32;
    static __sdata: u32;
    static __edata: u32;
    static __euninit: u32;
}
