//! What the allocator does with memory that is given back to it.

/// Lets large buffers go back to the system when they are freed.
///
/// glibc maps a buffer from 128 KiB on by itself, but raises that bound to the largest one it saw freed, up to 32 MiB. From then on
/// blocks and messages of a megabyte come from its heaps, which small things that live longer keep from shrinking: a node that
/// was flooded took 512 MB after 75 seconds, and takes 400 with a bound that stays (`bench overload`). The bound it begins with would
/// save 20 MB more and cost a tenth of what nodes make final, since the system clears each page of each buffer; this one costs a hundredth.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "no safe wrapper offers `mallopt`")]
pub(crate) fn give_back_large_buffers() {
    const LARGE_BYTES_MIN: i32 = 512 << 10;
    // SAFETY: it takes two numbers and changes how later calls of the allocator work, not what was allocated.
    let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES_MIN) };
    if done != 1 {
        tracing::warn!("the allocator keeps its own bound: the node may take more memory than it needs");
    }
}

/// Lets large buffers go back to the system when they are freed: other allocators than glibc's do.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_large_buffers() {}
