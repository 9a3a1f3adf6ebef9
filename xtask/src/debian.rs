//! Programs from Debian's packages, unpacked under `target/tools/debian`: the machine itself stays as it
//! is. What a program needs beyond a Debian system with Rust, a C compiler and Python comes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use gantry_tests::binaries::target_dir;

use crate::run::{quietly, say};

/// A program, and the packages that hold it and its libraries.
struct Needed {
    program: &'static str,
    packages: &'static [&'static str],
}

/// What requests are measured beside, and by.
const PEERS: [Needed; 3] = [
    Needed {
        program: "usr/sbin/nginx",
        packages: &[
            "nginx",
            "libnginx-mod-http-lua",
            "libnginx-mod-http-ndk",
            "lua-resty-core",
            "lua-resty-lrucache",
            "libluajit2-5.1-2",
            "libluajit2-5.1-common",
            "libpcre3",
        ],
    },
    Needed {
        program: "usr/sbin/haproxy",
        packages: &[
            "haproxy",
            "liblua5.3-0",
            "libopentracing-c-wrapper0",
            "libopentracing1",
        ],
    },
    Needed {
        program: "usr/bin/wrk",
        packages: &["wrk", "libluajit2-5.1-2", "libssl3"],
    },
];

/// What tests count with, where the machine does not have it.
const COUNTERS: [Needed; 2] = [
    Needed {
        program: "usr/bin/strace",
        packages: &["strace", "libunwind8"],
    },
    Needed {
        program: "usr/bin/valgrind",
        packages: &["valgrind"],
    },
];

/// What runs libraries for arm64 on another machine: an emulator of one program, and what such a program
/// is linked with.
const EMULATOR: [Needed; 2] = [
    Needed {
        program: "usr/bin/qemu-aarch64-static",
        packages: &["qemu-user-static"],
    },
    Needed {
        program: "usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1",
        packages: &["libc6-arm64-cross", "libgcc-s1-arm64-cross"],
    },
];

/// Provides what runs libraries for arm64.
///
/// # Errors
/// A package cannot be had: the message names it.
pub(crate) fn provide_emulator() -> Result<()> {
    EMULATOR.iter().try_for_each(unpack)
}

/// Provides what `cargo xtask bench request-path` runs beside the gateway.
///
/// # Errors
/// A package cannot be had: the message names it.
pub(crate) fn provide_peers() -> Result<()> {
    PEERS.iter().try_for_each(unpack)
}

/// Provides what counts system calls and instructions: the machine's own, or an unpacked one.
///
/// # Errors
/// A package cannot be had: the message names it.
pub(crate) fn provide_counters() -> Result<()> {
    let missing = COUNTERS.iter().filter(|needed| !on_machine(needed));
    missing.into_iter().try_for_each(unpack)
}

fn on_machine(needed: &Needed) -> bool {
    let program = Path::new(needed.program).file_name().unwrap_or_default();
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

fn root() -> PathBuf {
    target_dir().join("tools/debian")
}

fn unpack(needed: &Needed) -> Result<()> {
    let root = root();
    if root.join(needed.program).is_file() {
        return Ok(());
    }
    say(&format!(
        "unpacking {} under target/tools",
        needed.packages[0]
    ));
    let archives = root.join("archives");
    fs::create_dir_all(&archives)?;
    for package in needed.packages {
        let folder = archives.join(package);
        fs::create_dir_all(&folder)?;
        quietly(
            Command::new("apt-get")
                .current_dir(&folder)
                .args(["download", "-qq", package]),
        )
        .with_context(|| {
            format!("download the package {package} (apt-get update, if its lists are old)")
        })?;
        let archive = fs::read_dir(&folder)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
        let Some(archive) = archive else {
            bail!("apt-get downloaded no archive of {package}");
        };
        quietly(Command::new("dpkg").arg("-x").arg(&archive).arg(&root))
            .with_context(|| format!("unpack {package}"))?;
    }
    Ok(())
}
