//! The structs that cross the boundary, field by field as in the C header.
//!
//! Fields that hold functions are `Option`s: a null function pointer is then a value that can be
//! looked at, not undefined behaviour.

use core::ffi::c_void;

/// A call in progress, as a plugin names it to the host: slot and generation, never a pointer.
/// 0 is no call.
pub type Call = u64;

/// Bytes that somebody else owns. `ptr` may be null when `len` is 0.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Str {
    /// First byte.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
}

impl Str {
    /// No bytes.
    pub const EMPTY: Self = Self {
        ptr: core::ptr::null(),
        len: 0,
    };

    /// The bytes of a slice. Valid for as long as the slice is: nothing checks that.
    pub const fn new(bytes: &[u8]) -> Self {
        Self {
            ptr: bytes.as_ptr(),
            len: bytes.len(),
        }
    }
}

/// `gantry_host`: what the host does for a plugin. One table per process, valid for ever.
///
/// All functions may be called from any thread; a handle works only where the header says so.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Host {
    /// Bytes of this table as the host was built; a field beyond it does not exist.
    pub size: u32,
    /// Major version of the contract that the host speaks.
    pub abi_major: u32,
    /// Minor version of the contract that the host speaks.
    pub abi_minor: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// Reads a part. `key` is the header's name for header parts, otherwise empty.
    pub get: Option<unsafe extern "C" fn(call: Call, part: u32, key: Str, out: *mut Str) -> i32>,
    /// Steps through headers: all of a side (`key` empty) or all values of one name.
    pub next: Option<
        unsafe extern "C" fn(
            call: Call,
            part: u32,
            key: Str,
            cursor: *mut u64,
            name: *mut Str,
            value: *mut Str,
        ) -> i32,
    >,
    /// Changes one thing.
    pub mutate: Option<unsafe extern "C" fn(call: Call, op: u32, key: Str, value: Str) -> i32>,
    /// Encodes the wanted parts as a flat snapshot.
    pub snapshot: Option<unsafe extern "C" fn(call: Call, parts: u64, out: *mut Str) -> i32>,
    /// Applies flat mutations: all of them or none.
    pub apply: Option<unsafe extern "C" fn(call: Call, mutations: Str) -> i32>,
    /// Writes a log line, with the origin of `call`, or without one if it is 0.
    pub log: Option<unsafe extern "C" fn(call: Call, level: u32, message: Str) -> i32>,
    /// Ends a pending call, from any thread: `verdict` and flat mutations as if `call` had returned them.
    pub resume: Option<unsafe extern "C" fn(call: Call, verdict: i32, mutations: Str) -> i32>,
    /// Reads a body from `offset` on: as much as lies there in one piece.
    pub body:
        Option<unsafe extern "C" fn(call: Call, part: u32, offset: u64, chunk: *mut Str) -> i32>,
    /// Asks for a body, from any thread: once it is there whole, [`crate::event::BODY`] brings it. For
    /// calls that pend, or are about to.
    pub ask: Option<unsafe extern "C" fn(call: Call, part: u32) -> i32>,
}

/// `gantry_start`: what a function is started with. Valid during `start` only.
#[derive(Debug)]
#[repr(C)]
pub struct Start {
    /// Bytes of this struct as the host was built.
    pub size: u32,
    /// The hook that the instance will be called at: one of [`crate::hook`].
    pub hook: u32,
    /// Identifier of the API definition.
    pub api_id: Str,
    /// Name of the function.
    pub function: Str,
    /// `config_data` of the API definition: JSON, `{}` if it has none.
    pub config: Str,
    /// Where the plugin may write why it refused to start: UTF-8.
    pub error: *mut u8,
    /// Bytes at `error`.
    pub error_cap: usize,
    /// Bytes that the plugin wrote.
    pub error_len: usize,
}

/// `gantry_frame`: one call. Lives on the host's stack until the call returns.
#[derive(Debug)]
#[repr(C)]
pub struct Frame {
    /// Bytes of this struct as the host was built.
    pub size: u32,
    /// The hook: one of [`crate::hook`].
    pub hook: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// How long the call may pend, milliseconds from now; waiting for a body that it asked for does not
    /// count. 0 where it may not pend.
    pub deadline_ms: u32,
    /// The handle of this call.
    pub call: Call,
    /// The host's table, the same as at `start`.
    pub host: *const Host,
    /// The snapshot, if the function wants parts; otherwise empty.
    pub snapshot: Str,
    /// Where the plugin may write flat mutations.
    pub out: *mut u8,
    /// Bytes at `out`.
    pub out_cap: usize,
    /// Bytes that the plugin wrote.
    pub out_len: usize,
    /// Something of the library's own that goes with the request, from each call of the library to the
    /// next: 0 in the first, then what the call before left here. Not 0 at the end of the request, it
    /// goes to [`Plugin::release`].
    pub carry: u64,
    /// Changes whenever the API definition, its `config_data` or its `OpenAPI` document may have changed;
    /// never the same for two of them in one process. What was read under one number can be kept.
    pub definition: u64,
}

/// `gantry_function`: something that a library offers to hooks. Static in the plugin.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Function {
    /// Bytes of this struct as the plugin was built.
    pub size: u32,
    /// Hooks it may run at: bit `1 << hook`.
    pub hooks: u32,
    /// [`crate::flag`] bits; one that the host does not know is refused at load.
    pub flags: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// Parts wanted as a snapshot with each call: bit `1 << part`; 0 is none.
    pub want_parts: u64,
    /// Its name: letters, digits and underscores, not beginning with a digit.
    pub name: Str,
    /// Makes an instance for one place in one API definition.
    pub start: Option<
        unsafe extern "C" fn(
            host: *const Host,
            start: *mut Start,
            instance: *mut *mut c_void,
        ) -> i32,
    >,
    /// Runs one request or response through an instance; from any thread, several at once.
    pub call: Option<unsafe extern "C" fn(instance: *mut c_void, frame: *mut Frame) -> i32>,
    /// Ends an instance; no call of it runs, pends or will run.
    pub stop: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// Tells something about a call of the instance that pends or is about to: one of
    /// [`crate::event`]. `detail` is good during this call. From any thread; it must not wait. Null
    /// unless the function declares [`crate::flag::MAY_PEND`].
    pub event:
        Option<unsafe extern "C" fn(instance: *mut c_void, call: Call, event: u32, detail: Str)>,
}

/// `gantry_plugin`: a library's table. Static in the plugin.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Plugin {
    /// Bytes of this struct as the plugin was built.
    pub size: u32,
    /// Major version of the contract that it was built for.
    pub abi_major: u32,
    /// Minor version of the contract that it was built for.
    pub abi_minor: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// The plugin's name.
    pub name: Str,
    /// The plugin's own version.
    pub version: Str,
    /// Pointers at `functions`.
    pub n_functions: usize,
    /// Pointers, not structs, so that a function's struct can grow.
    pub functions: *const *const Function,
    /// Takes back what a request carried for the library ([`Frame::carry`]), once, when the request has
    /// ended and none of its calls runs or pends. From any thread; it must not wait. May be null.
    pub release: Option<unsafe extern "C" fn(carry: u64)>,
}

/// The type of the exported symbol [`crate::SYMBOL`].
pub type Entry = unsafe extern "C" fn() -> *const Plugin;
