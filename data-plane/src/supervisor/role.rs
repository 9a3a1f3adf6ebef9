//! What every child of the supervisor is started with: an empty environment but for what configuration
//! names and what the loader and Go's runtimes need.

use crate::config::Settings;
use crate::sys::spawn::RoleCommand;

/// Room for the thread-local storage of many Go libraries in one process: each takes a word of the
/// static block, whose default reserve ends after about two hundred of them. Read by the loader at
/// exec only.
pub const GLIBC_TUNABLES: &str = "glibc.rtld.optional_static_tls=4096";

/// How to start a role.
pub fn command(role: &str, settings: &Settings) -> RoleCommand {
    let mut command = RoleCommand::new(role);
    for (name, value) in &settings.worker.env {
        command = command.environment(name, value);
    }
    let go = [
        ("GOMAXPROCS", settings.worker.go_max_procs),
        ("GOMEMLIMIT", settings.worker.go_memory_limit_bytes),
    ];
    for (name, value) in go {
        if let Some(value) = value {
            command = command.environment(name, value.to_string());
        }
    }
    // A panic with backtraces costs tens of milliseconds and megabytes for each library, for ever.
    command
        .environment("RUST_BACKTRACE", "0")
        .environment("GLIBC_TUNABLES", GLIBC_TUNABLES)
}
