//! Load: `wrk` for as much as goes, the generator for a fixed rate.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::peers;
use super::subject::Subject;
use crate::gateway::TOKEN;
use crate::generator::Seen;
use crate::measure::{self, OTHER_CORE, on_core};

/// Connections of every load.
pub(super) const CONNECTIONS: usize = 64;
/// Bytes that are posted.
const POSTED_BYTES: usize = 16 << 10;
/// When memory is looked at, in the middle of a warm-up.
const INTO_WARM_UP: Duration = Duration::from_millis(600);

/// What is sent again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    SmallGet,
    LargeResponse,
    Post,
}

impl Message {
    pub(super) const ALL: [Self; 3] = [Self::SmallGet, Self::LargeResponse, Self::Post];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SmallGet => "small GET",
            Self::LargeResponse => "64 KiB response",
            Self::Post => "16 KiB POST",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::SmallGet => "/s",
            Self::LargeResponse => "/b",
            Self::Post => "/p",
        }
    }
}

/// What a saturated proxy did.
pub(super) struct Saturated {
    pub(super) cpu_microseconds: f64,
    pub(super) per_second: f64,
}

/// Headers that every request brings beside `Host`.
fn headers() -> [(&'static str, String); 4] {
    [
        ("User-Agent", "wrk/4.1.0".into()),
        ("Accept", "application/json".into()),
        ("Authorization", format!("Bearer {TOKEN}")),
        (
            "X-Request-Id",
            "6f1ed002-ab5b-4a2e-9b1c-0a6f3f0f6f7a".into(),
        ),
    ]
}

/// Drives proxies.
pub(super) struct Driver {
    post: PathBuf,
}

impl Driver {
    /// Writes what `wrk` needs into a folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let post = folder.join("post.lua");
        let text = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {POSTED_BYTES})\n");
        fs::write(&post, text)?;
        Ok(Self { post })
    }

    fn wrk(
        &self,
        subject: &Subject,
        message: Message,
        seconds: u64,
    ) -> Result<std::process::Command> {
        let mut command = peers::program("usr/bin/wrk", OTHER_CORE)?;
        command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")]);
        for (name, value) in headers() {
            command.args(["-H", &format!("{name}: {value}")]);
        }
        if message == Message::Post {
            command.arg("-s").arg(&self.post);
        }
        command.arg(format!(
            "http://{}{}{}",
            subject.address,
            subject.prefix,
            message.path()
        ));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    /// Warms a proxy up; gives the memory that its server takes meanwhile, MiB.
    ///
    /// # Errors
    /// Requests fail.
    pub(super) fn warm_up(&self, subject: &Subject) -> Result<f64> {
        let load = self
            .wrk(subject, Message::SmallGet, 1)?
            .spawn()
            .context("start wrk")?;
        std::thread::sleep(INTO_WARM_UP);
        let memory = measure::pss_mebibytes(subject.server)?;
        let output = load.wait_with_output()?;
        requests(&String::from_utf8_lossy(&output.stdout))?;
        Ok(memory)
    }

    /// Sends as much as goes.
    ///
    /// # Errors
    /// Requests fail.
    pub(super) fn saturate(
        &self,
        subject: &Subject,
        message: Message,
        seconds: u64,
    ) -> Result<Saturated> {
        let before = measure::cpu_nanoseconds(&subject.pids);
        let output = self
            .wrk(subject, message, seconds)?
            .output()
            .context("start wrk")?;
        let after = measure::cpu_nanoseconds(&subject.pids);
        let (count, per_second) = requests(&String::from_utf8_lossy(&output.stdout))?;
        #[expect(clippy::cast_precision_loss, reason = "seconds of nanoseconds")]
        let cpu = (after - before) as f64 / 1e3;
        Ok(Saturated {
            cpu_microseconds: cpu / count,
            per_second,
        })
    }
}

/// Sends small requests at a fixed rate; gives what was seen and the CPU time per request.
///
/// # Errors
/// Requests fail, or the rate is beyond reach.
pub(super) fn at_rate(subject: &Subject, rate: f64, seconds: f64) -> Result<(Seen, f64)> {
    let before = measure::cpu_nanoseconds(&subject.pids);
    let seen = small_gets(subject.address, &subject.prefix, rate, seconds)?;
    let after = measure::cpu_nanoseconds(&subject.pids);
    #[expect(clippy::cast_precision_loss, reason = "seconds of nanoseconds")]
    let cpu = (after - before) as f64 / 1e3 / seen.requests as f64;
    Ok((seen, cpu))
}

/// Sends small requests at a fixed rate to paths below a prefix.
///
/// # Errors
/// Requests fail, or the rate is beyond reach.
pub(crate) fn small_gets(to: SocketAddr, prefix: &str, rate: f64, seconds: f64) -> Result<Seen> {
    let mut request = format!(
        "GET {prefix}{} HTTP/1.1\r\nHost: {to}\r\n",
        Message::SmallGet.path()
    );
    for (name, value) in headers() {
        request.extend([name, ": ", &value, "\r\n"]);
    }
    request.push_str("\r\n");
    let output = on_core(OTHER_CORE, &std::env::current_exe()?)
        .args(["generate", &to.to_string(), &request])
        .args([&rate.to_string(), &seconds.to_string()])
        .output()
        .context("start the generator")?;
    ensure!(
        output.status.success(),
        "load at {rate} a second: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Requests and requests per second, as `wrk` tells them; anything that failed is an error.
fn requests(output: &str) -> Result<(f64, f64)> {
    if output.contains("Non-2xx") || output.contains("Socket errors") {
        bail!("requests failed:\n{output}");
    }
    let word = |marker: &str| {
        output
            .lines()
            .find(|line| line.contains(marker))?
            .split_whitespace()
            .find_map(|word| word.parse::<f64>().ok())
    };
    let found = word(" requests in ").zip(word("Requests/sec:"));
    found
        .filter(|(count, _)| *count > 0.0)
        .with_context(|| format!("wrk told no requests:\n{output}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "Running 1s test @ http://127.0.0.1:1/s\n  1 threads and 64 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.06ms  149.05us   5.01ms\n  \
        60347 requests in 1.00s, 8.40MB read\nRequests/sec:  60301.55\nTransfer/sec:      8.40MB\n";

    #[test]
    fn requests_are_read_and_failures_are_errors() {
        let (count, per_second) = requests(TOLD).unwrap();
        assert!((count - 60_347.0).abs() < 1e-9 && (per_second - 60_301.55).abs() < 1e-9);
        assert!(requests(&format!("{TOLD}  Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(requests("").is_err());
    }
}
