//! What the allocator does with memory that is given back to it.

/// Lets large buffers go back to the system when they are freed, and has threads share heaps.
///
/// glibc maps a buffer from 128 KiB on by itself, but raises that bound to the largest one it saw freed, up to 32 MiB. From then on
/// blocks and messages of a megabyte come from its heaps, which small things that live longer keep from shrinking: a node that
/// was flooded took 512 MB after 75 seconds, and takes 400 with a bound that stays (`bench overload`). The bound it begins with would
/// save 20 MB more and cost a tenth of what nodes make final, since the system clears each page of each buffer; this one costs a hundredth.
///
/// It also makes up to eight heaps for each processor, and each of them keeps its own holes: of 305 MB in sixteen heaps 178 MB were in
/// use after five minutes of a flood, and the holes grew. With as many heaps as processors nodes make as much final.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn bound_memory() {
    const LARGE_BYTES_MIN: i32 = 512 << 10;
    const HEAPS_MIN: usize = 2;
    let processors = std::thread::available_parallelism().map_or(HEAPS_MIN, usize::from);
    let heaps = i32::try_from(processors.max(HEAPS_MIN)).unwrap_or(i32::MAX);
    for (what, setting, value) in [
        ("bound for large buffers", libc::M_MMAP_THRESHOLD, LARGE_BYTES_MIN),
        ("number of heaps", libc::M_ARENA_MAX, heaps),
    ] {
        if !set(setting, value) {
            tracing::warn!("the allocator keeps its own {what}: the node may take more memory than it needs");
        }
    }
}

/// Whether the allocator took the setting.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "no safe wrapper offers `mallopt`")]
fn set(setting: libc::c_int, value: libc::c_int) -> bool {
    // SAFETY: it takes two numbers and changes how later calls of the allocator work, not what was allocated.
    unsafe { libc::mallopt(setting, value) == 1 }
}

/// Lets large buffers go back to the system when they are freed: other allocators than glibc's do.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn bound_memory() {}
