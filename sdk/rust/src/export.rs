//! What a library shows to the world: the static tables, the note, the symbol, and [`plugin!`](crate::plugin!), which
//! makes them.
#![expect(
    unsafe_code,
    reason = "static tables hold raw pointers, which are not Sync by themselves"
)]

use gantry_abi::note::is_plain;
use gantry_abi::{ABI_MAJOR, ABI_MINOR, Function, Plugin, Str, flag, rules};

use crate::asynchronous::{self, Later};
use crate::entry::{self, AtOnce, Entry};
use crate::function::{AsyncFunctionOn, FunctionOn};
use crate::{
    AsyncRequestFunction, AsyncResponseFunction, RequestFunction, ResponseFunction, ToClient,
    ToUpstream,
};

/// The note up to the plugin's name.
pub const NOTE_HEAD: &str = concat!(
    "{\"abi\":{\"major\":0,\"minor\":3},\"language\":\"rust\",\"sdk\":\"",
    env!("CARGO_PKG_VERSION"),
    "\",\"name\":\""
);
const _: () = assert!(
    ABI_MAJOR == 0 && ABI_MINOR == 3,
    "NOTE_HEAD spells the version out"
);

/// A `gantry_function` in a static.
#[derive(Debug)]
#[repr(transparent)]
pub struct StaticFunction(Function);

// SAFETY: nobody writes to it, and its pointers point at statics.
unsafe impl Sync for StaticFunction {}

impl StaticFunction {
    /// The table of a request function.
    ///
    /// # Panics
    /// At compile time, if it wants the response body.
    pub const fn request<F: RequestFunction>(name: &'static str, hooks: u32, flags: u32) -> Self {
        assert!(
            flags & flag::WANTS_RESPONSE_BODY == 0,
            "wants_response_body is for functions at the response hook"
        );
        Self::at_once::<ToUpstream, F>(name, hooks, flags)
    }

    /// The table of a response function.
    ///
    /// # Panics
    /// At compile time, if it wants the request body.
    pub const fn response<F: ResponseFunction>(name: &'static str, hooks: u32, flags: u32) -> Self {
        assert!(
            flags & flag::WANTS_REQUEST_BODY == 0,
            "wants_request_body is for functions at request hooks"
        );
        Self::at_once::<ToClient, F>(name, hooks, flags)
    }

    /// The table of an asynchronous request function.
    ///
    /// # Panics
    /// At compile time, if it has flags.
    pub const fn async_request<F: AsyncRequestFunction>(
        name: &'static str,
        hooks: u32,
        flags: u32,
    ) -> Self {
        Self::later::<ToUpstream, F>(name, hooks, flags)
    }

    /// The table of an asynchronous response function.
    ///
    /// # Panics
    /// At compile time, if it has flags.
    pub const fn async_response<F: AsyncResponseFunction>(
        name: &'static str,
        hooks: u32,
        flags: u32,
    ) -> Self {
        Self::later::<ToClient, F>(name, hooks, flags)
    }

    const fn at_once<W, F: FunctionOn<W>>(name: &'static str, hooks: u32, flags: u32) -> Self {
        Self(table::<AtOnce<W, F>>(name, hooks, flags))
    }

    const fn later<W: 'static, F: AsyncFunctionOn<W>>(
        name: &'static str,
        hooks: u32,
        flags: u32,
    ) -> Self {
        assert!(
            flags == 0,
            "an asynchronous function has no flags: it awaits the body, and never blocks"
        );
        Self(Function {
            event: Some(asynchronous::event::<F>),
            ..table::<Later<W, F>>(name, hooks, flag::MAY_PEND)
        })
    }
}

const fn table<E: Entry>(name: &'static str, hooks: u32, flags: u32) -> Function {
    assert!(
        rules::is_function_name(name),
        "a function's name is an ASCII identifier"
    );
    Function {
        size: size_of_u32::<Function>(),
        hooks,
        flags,
        reserved: 0,
        want_parts: 0,
        name: Str::new(name.as_bytes()),
        start: Some(entry::start::<E>),
        call: Some(entry::call::<E>),
        stop: Some(entry::stop::<E>),
        event: None,
    }
}

/// The functions of a plugin, in a static.
#[derive(Debug)]
#[repr(transparent)]
pub struct FunctionTable<const N: usize>(pub [&'static StaticFunction; N]);

/// A `gantry_plugin` in a static.
#[derive(Debug)]
#[repr(transparent)]
pub struct PluginTable(Plugin);

// SAFETY: nobody writes to it, and its pointers point at statics.
unsafe impl Sync for PluginTable {}

impl PluginTable {
    /// The table of a library.
    ///
    /// # Panics
    /// At compile time, if it has more functions than a library may have.
    pub const fn new<const N: usize>(
        name: &'static str,
        version: &'static str,
        functions: &'static FunctionTable<N>,
    ) -> Self {
        assert!(
            N <= gantry_abi::limits::FUNCTIONS_MAX,
            "a library has at most 256 functions"
        );
        Self(Plugin {
            size: size_of_u32::<Plugin>(),
            abi_major: ABI_MAJOR,
            abi_minor: ABI_MINOR,
            flags: 0,
            name: Str::new(name.as_bytes()),
            version: Str::new(version.as_bytes()),
            n_functions: N,
            functions: functions.0.as_ptr().cast(),
            release: None,
        })
    }

    /// What the exported symbol returns.
    pub const fn as_ptr(&'static self) -> *const Plugin {
        &raw const self.0
    }
}

/// A name or version that can stand in table and note.
///
/// # Panics
/// At compile time, if it cannot.
pub const fn checked_name(text: &'static str) -> &'static str {
    assert!(!text.is_empty(), "name and version must not be empty");
    assert!(
        text.len() <= gantry_abi::limits::NAME_BYTES_MAX,
        "at most 128 bytes"
    );
    assert!(
        is_plain(text),
        "no quotes, backslashes or control characters"
    );
    text
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the tables are below 100 bytes"
)]
const fn size_of_u32<T>() -> u32 {
    size_of::<T>() as u32
}

/// Makes a library a plugin: names its functions, the hooks they may run at, and what runs.
///
/// ```text
/// gantry_plugin::plugin! {
///     name: "my-plugin",               // constants
///     version: "1.0.0",
///     functions: {
///         Name: hook | hook => fn path,              // fn(&mut RequestCall<'_>) -> impl IntoOutcome
///         Name: hook => type Type,                   // Type: RequestFunction
///         Name: hook [may_block] => type Type,       // it may wait for network, disk or locks
///         Name: post [wants_request_body] => type Type,      // it reads or replaces the body
///         Name: response [wants_response_body] => fn path,   // likewise
///         Name: response => fn path,                 // fn(&mut ResponseCall<'_>) -> impl IntoOutcome
///         Name: response => type Type,               // Type: ResponseFunction
///         Name: auth => async_fn path,               // async fn(&mut AsyncRequestCall) -> impl IntoOutcome
///         Name: response => async_type Type,         // Type: AsyncResponseFunction
///     }
/// }
/// ```
///
/// Hooks are `pre`, `auth`, `post_auth`, `post` and `response`; names are what API definitions and
/// manifests say. If the environment variable `GANTRY_GATEWAY_VERSION` is set while the plugin is
/// built, the library declares that it is for that gateway version only.
#[macro_export]
macro_rules! plugin {
    (
        name: $plugin_name:expr,
        version: $plugin_version:expr,
        functions: {
            $( $name:ident : $hook:ident $(| $more:ident)* $([$($flag:ident),* $(,)?])?
                => $kind:ident $what:path ),+ $(,)?
        } $(,)?
    ) => {
        // Items have no hygiene: none of these names may be one that the author's own expressions use.
        const _: () = {
            const __GANTRY_NAME: &str = $crate::__private::checked_name($plugin_name);
            const __GANTRY_VERSION: &str = $crate::__private::checked_name($plugin_version);
            const __GANTRY_GATEWAY: (&str, &str, &str) = match ::core::option_env!("GANTRY_GATEWAY_VERSION") {
                Some(version) if !version.is_empty() => {
                    (",\"gateway_version\":\"", $crate::__private::checked_name(version), "\"")
                }
                _ => ("", "", ""),
            };
            const __GANTRY_FUNCTIONS_JSON: &[&str] = &[$(
                ::core::concat!(
                    "{\"name\":\"", ::core::stringify!($name),
                    "\",\"hooks\":[\"", ::core::stringify!($hook), "\"",
                    $( ",\"", ::core::stringify!($more), "\"", )*
                    "],\"flags\":[", $crate::plugin!(@note_flags $kind $($($flag)*)?), "]}"
                ),
                ","
            ),+];
            const __GANTRY_NOTE: &[&[&str]] = &[
                &[$crate::__private::NOTE_HEAD, __GANTRY_NAME, "\",\"version\":\"", __GANTRY_VERSION, "\""],
                &[__GANTRY_GATEWAY.0, __GANTRY_GATEWAY.1, __GANTRY_GATEWAY.2, ",\"functions\":["],
                match __GANTRY_FUNCTIONS_JSON { [functions @ .., _] => functions, [] => &[] },
                &["]}"],
            ];

            #[used]
            #[cfg_attr(target_os = "linux", unsafe(link_section = ".note.gantry"))]
            static __GANTRY_LIBRARY_NOTE: $crate::__private::Note<{ $crate::__private::padded_len(__GANTRY_NOTE) }> =
                $crate::__private::Note::new(__GANTRY_NOTE);

            const __GANTRY_N: usize = [$(::core::stringify!($name)),+].len();
            static __GANTRY_FUNCTIONS: $crate::__private::FunctionTable<__GANTRY_N> =
                $crate::__private::FunctionTable([$({
                    static __GANTRY_FUNCTION: $crate::__private::StaticFunction =
                        $crate::plugin!(@function $hook, $kind, $what, ::core::stringify!($name),
                            $crate::plugin!(@hook $hook) $(| $crate::plugin!(@hook $more))*,
                            0 $($(| $crate::plugin!(@flag $flag))*)?);
                    &__GANTRY_FUNCTION
                }),+]);
            static __GANTRY_PLUGIN: $crate::__private::PluginTable =
                $crate::__private::PluginTable::new(__GANTRY_NAME, __GANTRY_VERSION, &__GANTRY_FUNCTIONS);

            #[unsafe(no_mangle)]
            extern "C" fn gantry_plugin_v0() -> *const $crate::__private::Plugin {
                __GANTRY_PLUGIN.as_ptr()
            }
        };
    };

    (@function response, $($rest:tt)*) => {
        $crate::plugin!(@kind [
            ResponseFunction, ResponseCall, response, AsyncResponseFunction, AsyncResponseCall, async_response
        ] $($rest)*)
    };
    (@function $hook:ident, $($rest:tt)*) => {
        $crate::plugin!(@kind [
            RequestFunction, RequestCall, request, AsyncRequestFunction, AsyncRequestCall, async_request
        ] $($rest)*)
    };

    (@kind [$trait:ident, $call:ident, $table:ident, $($async:ident),*] fn, $what:path, $($rest:tt)*) => {{
        struct __GantryPlain;
        impl $crate::$trait for __GantryPlain {
            fn start(_: &str) -> ::core::result::Result<Self, ::std::string::String> {
                ::core::result::Result::Ok(Self)
            }
            fn call(
                &self,
                call: &mut $crate::$call<'_>,
            ) -> ::core::result::Result<$crate::Outcome, $crate::Failure> {
                $crate::IntoOutcome::into_outcome($what(call))
            }
        }
        $crate::__private::StaticFunction::$table::<__GantryPlain>($($rest)*)
    }};
    (@kind [$trait:ident, $call:ident, $table:ident, $($async:ident),*] type, $what:path, $($rest:tt)*) => {
        $crate::__private::StaticFunction::$table::<$what>($($rest)*)
    };
    (@kind [$_t:ident, $_c:ident, $_f:ident, $trait:ident, $call:ident, $table:ident] async_fn, $what:path, $($rest:tt)*) => {{
        struct __GantryPlain;
        impl $crate::$trait for __GantryPlain {
            fn start(_: &str) -> ::core::result::Result<Self, ::std::string::String> {
                ::core::result::Result::Ok(Self)
            }
            async fn call(
                &self,
                call: &mut $crate::$call,
            ) -> ::core::result::Result<$crate::Outcome, $crate::Failure> {
                $crate::IntoOutcome::into_outcome($what(call).await)
            }
        }
        $crate::__private::StaticFunction::$table::<__GantryPlain>($($rest)*)
    }};
    (@kind [$_t:ident, $_c:ident, $_f:ident, $trait:ident, $call:ident, $table:ident] async_type, $what:path, $($rest:tt)*) => {
        $crate::__private::StaticFunction::$table::<$what>($($rest)*)
    };
    (@kind $names:tt $($other:tt)*) => {
        ::core::compile_error!(
            "write `=> fn path` or `=> async_fn path` for a function, `=> type Type` or `=> async_type Type` for a type"
        )
    };

    (@hook pre) => { (1 << $crate::__private::hook::PRE) };
    (@hook auth) => { (1 << $crate::__private::hook::AUTH) };
    (@hook post_auth) => { (1 << $crate::__private::hook::POST_AUTH) };
    (@hook post) => { (1 << $crate::__private::hook::POST) };
    (@hook response) => { (1 << $crate::__private::hook::RESPONSE) };
    (@hook $other:ident) => {
        ::core::compile_error!("hooks are pre, auth, post_auth, post and response")
    };

    (@flag may_block) => { $crate::__private::flag::MAY_BLOCK };
    (@flag wants_request_body) => { $crate::__private::flag::WANTS_REQUEST_BODY };
    (@flag wants_response_body) => { $crate::__private::flag::WANTS_RESPONSE_BODY };
    (@flag $other:ident) => {
        ::core::compile_error!("flags are may_block, wants_request_body and wants_response_body")
    };

    (@note_flags async_fn $($flag:ident)*) => { $crate::plugin!(@flags_json may_pend $($flag)*) };
    (@note_flags async_type $($flag:ident)*) => { $crate::plugin!(@flags_json may_pend $($flag)*) };
    (@note_flags $kind:ident $($flag:ident)*) => { $crate::plugin!(@flags_json $($flag)*) };

    (@flags_json) => { "" };
    (@flags_json $first:ident $($more:ident)*) => {
        ::core::concat!(
            "\"", ::core::stringify!($first), "\"",
            $( ",\"", ::core::stringify!($more), "\"", )*
        )
    };
}
