//! The exports of a contract module.

/// Emits the exports that make a contract a module for the ledger: `memory` (by the linker), the buffer `IO`,
/// `v1_quote`, `v1_settle` and `v1_admit`, with an allocator and a panic handler, and the custom section `sdk.meta`. Expands to nothing natively, so that the same
/// crate is an ordinary library there.
#[macro_export]
macro_rules! export {
    ($contract:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)] // Exported names and the one buffer that host and guest share are `unsafe` to declare.
        const _: () = {
            /// The buffer that the host writes input to and reads output from.
            #[unsafe(no_mangle)]
            static mut IO: [u8; $crate::limits::IO_BYTES_MAX] = [0; $crate::limits::IO_BYTES_MAX];

            const META: $crate::Meta = <$contract as $crate::Contract>::META;

            /// What the contract says about itself, beside the code: no call can read it.
            #[used]
            #[unsafe(link_section = "sdk.meta")]
            static SDK_META: [u8; META.encoded_len()] = META.encode();

            #[global_allocator]
            static ALLOCATOR: $crate::guest::Bump = $crate::guest::Bump::new();

            #[panic_handler]
            fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
                core::arch::wasm32::unreachable()
            }

            #[unsafe(no_mangle)]
            extern "C" fn v1_quote(length: u32) -> u64 {
                // Sound: a guest has one thread, and the host calls it once per instance.
                let io = unsafe { &mut *(&raw mut IO) };
                $crate::wire::serve_quote::<$contract>(io, length)
            }

            #[unsafe(no_mangle)]
            extern "C" fn v1_settle(length: u32) -> u64 {
                // Sound: a guest has one thread, and the host calls it once per instance.
                let io = unsafe { &mut *(&raw mut IO) };
                $crate::wire::serve_settle::<$contract>(io, length)
            }

            #[unsafe(no_mangle)]
            extern "C" fn v1_admit(length: u32) -> u64 {
                // Sound: a guest has one thread, and the host calls it once per instance.
                let io = unsafe { &mut *(&raw mut IO) };
                $crate::wire::serve_admit::<$contract>(io, length)
            }
        };
    };
}
