//! Size and offsets of every struct, pinned at compile time, and as a table that the header is
//! checked against. A change here is a change of the contract.

use core::mem::offset_of;

use crate::types::{Frame, Function, Host, Plugin, Start, Str};

const _: () = assert!(
    size_of::<usize>() == 8,
    "the contract is defined for 64-bit platforms"
);

/// A struct of the contract: its name in the header, size, and the offset of each field.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Name in the C header.
    pub c_name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Fields and their offsets in bytes.
    pub fields: &'static [(&'static str, usize)],
}

macro_rules! layouts {
    ($( $ty:ident as $c_name:literal, $size:literal { $($field:ident: $offset:literal),* $(,)? } )*) => {
        $(
            const _: () = {
                assert!(size_of::<$ty>() == $size);
                assert!(align_of::<$ty>() == 8);
                $( assert!(offset_of!($ty, $field) == $offset); )*
            };
        )*

        /// All structs of the contract.
        pub const LAYOUTS: &[Layout] = &[$(
            Layout { c_name: $c_name, size: $size, fields: &[$((stringify!($field), $offset)),*] }
        ),*];
    };
}

layouts! {
    Str as "gantry_str", 16 { ptr: 0, len: 8 }
    Host as "gantry_host", 88 {
        size: 0, abi_major: 4, abi_minor: 8, flags: 12,
        get: 16, next: 24, mutate: 32, snapshot: 40, apply: 48, log: 56, resume: 64, body: 72, ask: 80,
    }
    Start as "gantry_start", 80 {
        size: 0, hook: 4, api_id: 8, function: 24, config: 40, error: 56, error_cap: 64, error_len: 72,
    }
    Frame as "gantry_frame", 88 {
        size: 0, hook: 4, flags: 8, deadline_ms: 12, call: 16, host: 24, snapshot: 32,
        out: 48, out_cap: 56, out_len: 64, carry: 72, definition: 80,
    }
    Function as "gantry_function", 72 {
        size: 0, hooks: 4, flags: 8, reserved: 12, want_parts: 16, name: 24,
        start: 40, call: 48, stop: 56, event: 64,
    }
    Plugin as "gantry_plugin", 72 {
        size: 0, abi_major: 4, abi_minor: 8, flags: 12, name: 16, version: 32,
        n_functions: 48, functions: 56, release: 64,
    }
}
