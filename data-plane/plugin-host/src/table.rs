//! Reading a library's tables: copies them out, field by field as far as their sizes reach, and holds
//! every field against the contract. After that nobody looks at the plugin's memory again, except to
//! call its functions.
#![expect(unsafe_code, reason = "tables lie in the plugin's memory")]

use std::ffi::c_void;
use std::mem::{MaybeUninit, offset_of};

use gantry_abi::{
    ABI_MAJOR, ABI_MINOR, Call, Frame, Function, Host, Plugin, Start, Str, flag, limits,
};
use gantry_domain::{AbiVersion, FunctionFlag, FunctionName, Hook, HookSet, NotedFunction};

use crate::descriptor::Descriptor;
use crate::error::LoadError;
use crate::{foreign, snapshot};

type StartFn = unsafe extern "C" fn(*const Host, *mut Start, *mut *mut c_void) -> i32;
type CallFn = unsafe extern "C" fn(*mut c_void, *mut Frame) -> i32;
type StopFn = unsafe extern "C" fn(*mut c_void);
type EventFn = unsafe extern "C" fn(*mut c_void, Call, u32, Str);
pub(crate) type ReleaseFn = unsafe extern "C" fn(u64);

/// The contract that this host speaks.
pub(crate) const HOST_ABI: AbiVersion = AbiVersion {
    major: ABI_MAJOR,
    minor: ABI_MINOR,
};

const RESERVED_FLAGS: u32 = 0;

/// The flags that this host knows, in the order of a descriptor.
const FLAGS: [(u32, FunctionFlag); 4] = [
    (flag::MAY_BLOCK, FunctionFlag::MayBlock),
    (flag::WANTS_REQUEST_BODY, FunctionFlag::WantsRequestBody),
    (flag::WANTS_RESPONSE_BODY, FunctionFlag::WantsResponseBody),
    (flag::MAY_PEND, FunctionFlag::MayPend),
];

/// The functions behind one name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Functions {
    pub(crate) start: StartFn,
    pub(crate) call: CallFn,
    pub(crate) stop: StopFn,
    /// There exactly if the function may pend.
    pub(crate) event: Option<EventFn>,
    /// Parts of the snapshot that each call gets; 0 is none.
    pub(crate) want_parts: u64,
}

/// What a library's tables say.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) descriptor: Descriptor,
    /// In the descriptor's order.
    pub(crate) functions: Vec<Functions>,
    pub(crate) release: Option<ReleaseFn>,
}

/// Bytes of the library's table in the first version of the contract.
const PLUGIN_BYTES_MIN: usize = offset_of!(Plugin, release);
/// Bytes of a function's table in the first version of the contract.
const FUNCTION_BYTES_MIN: usize = offset_of!(Function, event);

/// Size, version and flags: the head that every version of the library's table has.
#[derive(Clone, Copy)]
#[repr(C)]
struct Head {
    size: u32,
    abi_major: u32,
    abi_minor: u32,
    flags: u32,
}

/// Reads and checks a library's tables.
///
/// # Safety
/// `plugin` is what a library's entry returned: null, or a table that is as large as it says and
/// lives as long as the process, with pointers of which the same is true.
pub(crate) unsafe fn read(plugin: *const Plugin) -> Result<Tables, LoadError> {
    check_pointer(plugin, || "the library's table".into())?;
    // SAFETY: checked above; every version of the table begins with this head.
    let head = unsafe { plugin.cast::<Head>().read() };
    let abi = AbiVersion {
        major: head.abi_major,
        minor: head.abi_minor,
    };
    if !HOST_ABI.runs(abi) {
        return Err(LoadError::AbiMismatch {
            found: abi,
            host: HOST_ABI,
        });
    }
    check_size(head.size, PLUGIN_BYTES_MIN, || "the library's table".into())?;
    check_zero(head.flags, || "the library's flags".into())?;
    // SAFETY: as large as its size says; all its fields may be zero.
    let table: Plugin = unsafe { grown(plugin, head.size) };
    // SAFETY: the table's strings live as long as the process.
    let name = unsafe { text(table.name, || "the library's name".into()) }?;
    // SAFETY: the table's strings live as long as the process.
    let version = unsafe { text(table.version, || "the library's version".into()) }?;
    if table.n_functions == 0 || table.n_functions > limits::FUNCTIONS_MAX {
        return Err(LoadError::FunctionCount {
            found: table.n_functions,
        });
    }
    check_pointer(table.functions, || "the list of functions".into())?;
    // SAFETY: the list holds as many pointers as the table says.
    let pointers = unsafe { std::slice::from_raw_parts(table.functions, table.n_functions) };
    let mut functions = Vec::with_capacity(pointers.len());
    for (index, &pointer) in pointers.iter().enumerate() {
        // SAFETY: by the caller's promise.
        functions.push(unsafe { read_function(index, pointer) }?);
    }
    functions.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = functions
        .windows(2)
        .find(|pair| pair[0].0.name == pair[1].0.name)
    {
        return Err(LoadError::FunctionDuplicate(pair[0].0.name.clone()));
    }
    let (noted, functions) = functions.into_iter().unzip();
    Ok(Tables {
        descriptor: Descriptor {
            name,
            version,
            abi,
            functions: noted,
        },
        functions,
        release: table.release,
    })
}

/// # Safety
/// As [`read`], for one function's table.
unsafe fn read_function(
    index: usize,
    pointer: *const Function,
) -> Result<(NotedFunction, Functions), LoadError> {
    let place = || format!("function {index}");
    check_pointer(pointer, place)?;
    // SAFETY: checked above; every version of the table begins with its size.
    let size = unsafe { pointer.cast::<u32>().read() };
    check_size(size, FUNCTION_BYTES_MIN, place)?;
    // SAFETY: as large as its size says; all its fields may be zero.
    let table: Function = unsafe { grown(pointer, size) };
    // SAFETY: the table's strings live as long as the process.
    let name = unsafe { text(table.name, || format!("name of function {index}")) }?;
    let name: FunctionName = name.parse().map_err(|error| LoadError::NameInvalid {
        what: format!("name of function {index}"),
        reason: format!("{error}"),
    })?;
    let of = |what: &str| format!("{what} of function {name}");
    check_zero(table.reserved, || of("reserved field"))?;
    let hooks = read_hooks(table.hooks, &name)?;
    let flags = read_flags(table.flags, || of("flags"))?;
    check_bodies(&name, hooks, &flags)?;
    check_parts(table.want_parts, || of("want_parts"))?;
    let null = |what| LoadError::BadPointer {
        what: of(what),
        found: "null",
    };
    let may_pend = flags.contains(&FunctionFlag::MayPend);
    let event = table.event.filter(|_| may_pend);
    if may_pend && event.is_none() {
        return Err(null("event"));
    }
    let functions = Functions {
        start: table.start.ok_or_else(|| null("start"))?,
        call: table.call.ok_or_else(|| null("call"))?,
        stop: table.stop.ok_or_else(|| null("stop"))?,
        event,
        want_parts: table.want_parts,
    };
    let noted = NotedFunction {
        name,
        hooks,
        flags,
        inline: false,
    };
    Ok((noted, functions))
}

fn read_hooks(bits: u32, function: &FunctionName) -> Result<HookSet, LoadError> {
    let what = || format!("hooks of function {function}");
    let hooks = HookSet::from_bits(bits).ok_or_else(|| LoadError::BitsUnknown {
        what: what(),
        bits: bits.into(),
    })?;
    if hooks.is_empty() {
        Err(LoadError::NoHook(function.clone()))
    } else {
        Ok(hooks)
    }
}

fn read_flags(bits: u32, what: impl Fn() -> String) -> Result<Vec<FunctionFlag>, LoadError> {
    let known = FLAGS.iter().fold(0, |known, (bit, _)| known | bit);
    check_zero(bits & !(known | RESERVED_FLAGS), &what)?;
    match bits & RESERVED_FLAGS {
        0 => Ok(FLAGS
            .into_iter()
            .filter_map(|(bit, flag)| (bits & bit != 0).then_some(flag))
            .collect()),
        bits => Err(LoadError::BitsUnsupported {
            what: what(),
            bits: bits.into(),
        }),
    }
}

/// A body that is wanted where it never is would be waited for in vain: the author means something
/// else.
fn check_bodies(
    function: &FunctionName,
    hooks: HookSet,
    flags: &[FunctionFlag],
) -> Result<(), LoadError> {
    let at_response = hooks.contains(Hook::Response);
    let at_request = Hook::ALL
        .into_iter()
        .any(|hook| hook != Hook::Response && hooks.contains(hook));
    let misplaced = flags.iter().find(|flag| match flag {
        FunctionFlag::MayBlock | FunctionFlag::MayPend => false,
        FunctionFlag::WantsRequestBody => !at_request,
        FunctionFlag::WantsResponseBody => !at_response,
    });
    match misplaced {
        None => Ok(()),
        Some(&flag) => Err(LoadError::BodyNowhere {
            function: function.clone(),
            flag,
            hooks,
        }),
    }
}

fn check_parts(bits: u64, what: impl Fn() -> String) -> Result<(), LoadError> {
    match snapshot::check_parts(bits) {
        Ok(()) => Ok(()),
        Err(gantry_abi::Fault::Unsupported) => {
            Err(LoadError::BitsUnsupported { what: what(), bits })
        }
        Err(_) => Err(LoadError::BitsUnknown { what: what(), bits }),
    }
}

fn check_pointer<T>(pointer: *const T, what: impl Fn() -> String) -> Result<(), LoadError> {
    let found = match foreign::check_place(pointer) {
        Ok(()) => return Ok(()),
        Err(_) if pointer.is_null() => "null",
        Err(_) => "misaligned",
    };
    Err(LoadError::BadPointer {
        what: what(),
        found,
    })
}

fn check_size(found: u32, expected: usize, what: impl Fn() -> String) -> Result<(), LoadError> {
    if (found as usize) < expected {
        return Err(LoadError::TableTooSmall {
            what: what(),
            found,
            expected,
        });
    }
    Ok(())
}

/// A table of this or an earlier version; fields that it does not reach are zero.
///
/// # Safety
/// `table` has `size` bytes, and a `T` may consist of zeros.
unsafe fn grown<T>(table: *const T, size: u32) -> T {
    let mut whole = MaybeUninit::<T>::zeroed();
    let bytes = (size as usize).min(size_of::<T>());
    let place = whole.as_mut_ptr().cast::<u8>();
    // SAFETY: as many bytes are readable, by the caller's promise, and fit; `whole` is our own.
    unsafe { place.copy_from_nonoverlapping(table.cast(), bytes) };
    // SAFETY: zeros or the plugin's fields, both of which a `T` may be by the caller's promise.
    unsafe { whole.assume_init() }
}

fn check_zero(bits: u32, what: impl Fn() -> String) -> Result<(), LoadError> {
    if bits == 0 {
        Ok(())
    } else {
        Err(LoadError::BitsUnknown {
            what: what(),
            bits: bits.into(),
        })
    }
}

/// # Safety
/// A string that is neither null nor over-long is valid.
unsafe fn text(text: Str, what: impl Fn() -> String) -> Result<String, LoadError> {
    // SAFETY: by the caller's promise.
    let bytes = unsafe { foreign::bytes(text, limits::NAME_BYTES_MAX) };
    let invalid = |reason: &str| LoadError::NameInvalid {
        what: what(),
        reason: reason.to_owned(),
    };
    let bytes = bytes.map_err(|_| invalid("null, or longer than 128 bytes"))?;
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("not UTF-8"))?;
    if text.is_empty() {
        Err(invalid("empty"))
    } else {
        Ok(text.to_owned())
    }
}
