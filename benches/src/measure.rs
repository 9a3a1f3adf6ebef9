//! What the operating system says about processes: CPU time, memory, and where they run.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

/// The core of the proxy under test.
pub(crate) const PROXY_CORE: &str = "1";
/// The core of everything else.
pub(crate) const OTHER_CORE: &str = "0";

/// A process and all its descendants.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        next += 1;
        let tasks = fs::read_dir(format!("/proc/{parent}/task"))
            .into_iter()
            .flatten();
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let pids = children
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok());
            for pid in pids {
                if !family.contains(&pid) {
                    family.push(pid);
                }
            }
        }
    }
    family
}

/// Nanoseconds that processes were on a CPU, all threads together. Work that the kernel does for a
/// socket inside of a call is the caller's here, also if the other end caused it.
pub(crate) fn cpu_nanoseconds(pids: &[u32]) -> u64 {
    pids.iter()
        .flat_map(|pid| {
            fs::read_dir(format!("/proc/{pid}/task"))
                .into_iter()
                .flatten()
        })
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

/// MiB of a process, what is shared divided among those who share it.
///
/// # Errors
/// The kernel does not say.
pub(crate) fn pss_mebibytes(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let kibibytes = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"))
        .with_context(|| format!("no Pss in {path}"))?;
    Ok(kibibytes.trim().parse::<f64>()? / 1024.0)
}

/// Threads of a process.
///
/// # Errors
/// The kernel does not say.
pub(crate) fn threads(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/task");
    let count = fs::read_dir(&path).with_context(|| format!("read {path}"))?;
    Ok(f64::from(u32::try_from(count.count())?))
}

/// Lets this process, and those that it starts from now on, open this many files.
///
/// # Errors
/// `prlimit` is missing, or the system allows fewer.
pub(crate) fn allow_files(count: usize) -> Result<()> {
    let output = Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string()])
        .arg(format!("--nofile={count}:"))
        .output()
        .context("start prlimit: apt-get install util-linux")?;
    ensure!(
        output.status.success(),
        "prlimit --nofile={count}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The name of a process's program, and its first argument.
pub(crate) fn command_line(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

/// Whether this machine has a core for the proxy and one for the rest. Asked first before anything is
/// moved: it is this process's own cores that the system counts.
pub(crate) fn has_two_cores() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= 2))
}

/// Moves all threads of processes to one core; threads that they start later stay there.
///
/// # Errors
/// `taskset` is missing or a process is gone.
pub(crate) fn pin(pids: &[u32], core: &str) -> Result<()> {
    if !has_two_cores() {
        return Ok(());
    }
    for pid in pids {
        let output = Command::new("taskset")
            .args(["-acp", core, &pid.to_string()])
            .output()
            .context("start taskset: apt-get install util-linux")?;
        ensure!(
            output.status.success(),
            "taskset -acp {core} {pid}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// A command that runs on one core from its beginning.
pub(crate) fn on_core(core: &str, program: &std::path::Path) -> Command {
    if !has_two_cores() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

/// How busy the machine is: the mean number of threads that wanted a core in the last minute.
pub(crate) fn load_average() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// The machine in a few words.
pub(crate) fn machine() -> String {
    let first = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or_else(String::new, |line| {
            line.trim_start_matches([' ', '\t', ':', '='])
                .trim_matches('"')
                .to_owned()
        })
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores of {}, {}, Linux {}",
        first("/proc/cpuinfo", "model name"),
        first("/etc/os-release", "PRETTY_NAME"),
        kernel.trim(),
    )
}
