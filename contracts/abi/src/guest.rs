//! What a contract needs from a system when there is none.
#![allow(unsafe_code)] // An allocator is `unsafe` by nature; this one lives for one call in a memory of its own.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;

/// Hands out memory from the end of the static data to the end of the memory, and takes nothing back: an instance
/// lives for one call. Only the block at the top can grow in place, which is what a list does while it is decoded.
#[derive(Debug)]
pub struct Bump {
    top: Cell<usize>,
}

// A guest has one thread.
unsafe impl Sync for Bump {}

unsafe extern "C" {
    /// Set by the linker: its address is the first free byte.
    static __heap_base: u8;
}

const PAGE_BYTES: usize = 64 * 1024;

impl Bump {
    /// An allocator that has handed out nothing.
    #[must_use]
    pub const fn new() -> Self {
        Bump { top: Cell::new(0) }
    }

    /// Moves the top to `end` if that is inside the memory. The memory never grows: its size is part of the module.
    fn take(&self, end: usize) -> Option<()> {
        let pages = core::arch::wasm32::memory_size(0);
        if end > pages.checked_mul(PAGE_BYTES)? {
            return None;
        }
        self.top.set(end);
        Some(())
    }

    fn reserve(&self, layout: Layout) -> Option<usize> {
        let free = match self.top.get() {
            0 => (&raw const __heap_base).expose_provenance(),
            top => top,
        };
        // An alignment is a power of two: rounding up is adding and masking, where a division costs more.
        let mask = layout.align().wrapping_sub(1);
        let start = free.checked_add(mask)? & !mask;
        self.take(start.checked_add(layout.size())?)?;
        Some(start)
    }
}

impl Default for Bump {
    fn default() -> Self {
        Bump::new()
    }
}

unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.reserve(layout).map_or(core::ptr::null_mut(), core::ptr::with_exposed_provenance_mut)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let end = block.addr().checked_add(layout.size());
        if size <= layout.size() {
            return block;
        }
        if end == Some(self.top.get()) {
            return match block.addr().checked_add(size).and_then(|end| self.take(end)) {
                Some(()) => block,
                None => core::ptr::null_mut(),
            };
        }
        let Some(start) =
            Layout::from_size_align(size, layout.align()).ok().and_then(|layout| self.reserve(layout))
        else {
            return core::ptr::null_mut();
        };
        let moved: *mut u8 = core::ptr::with_exposed_provenance_mut(start);
        // Sound: the new block is fresh, hence disjoint, and larger than the old one.
        unsafe { core::ptr::copy_nonoverlapping(block, moved, layout.size()) };
        moved
    }
}
