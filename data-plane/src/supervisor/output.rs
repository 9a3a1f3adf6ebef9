//! What plugins print: lines on the standard output and error of workers and probes become log lines,
//! bounded in length and rate, since nothing stops a plugin from printing for every request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gantry_domain::TenantId;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::protocol::NEXT_LIBRARY;

/// Bytes of a line, at most; the rest of a longer one becomes further lines.
const LINE_BYTES_MAX: u64 = 4096;
/// Lines of one stream in a second, at most.
const LINES_PER_SECOND_MAX: u32 = 200;
/// Time for the last lines to arrive after their process is gone. A process that a plugin started may
/// hold the stream open for ever.
const LAST_LINES_TIMEOUT: Duration = Duration::from_millis(500);

/// Lines that are kept of what a process said last, and characters of each.
const LAST_WORDS_LINES: usize = 3;
const LAST_WORDS_CHARS: usize = 200;
/// Lines that are kept of what came before it told why it ends: authors say there what they were about.
const LINES_BEFORE: usize = 2;

/// The streams of one process.
pub struct Printed {
    readers: JoinSet<()>,
    last_words: Arc<Mutex<LastWords>>,
}

/// Logs what a child prints from now on, which runs plugins of a tenant.
pub fn follow(
    child: &mut Child,
    tenant: &TenantId,
    role: &'static str,
    slot: Option<u32>,
) -> Printed {
    let mut readers = JoinSet::new();
    let last_words = Arc::new(Mutex::new(LastWords::default()));
    if let Some(stdout) = child.stdout.take() {
        readers.spawn(read(stdout, "stdout", tenant.clone(), role, slot, None));
    }
    if let Some(stderr) = child.stderr.take() {
        let heard = Some(Arc::clone(&last_words));
        readers.spawn(read(stderr, "stderr", tenant.clone(), role, slot, heard));
    }
    Printed {
        readers,
        last_words,
    }
}

impl Printed {
    /// Waits a little for the last lines of a process that is gone, and gives what it said last on its
    /// standard error; empty if it said nothing. Of a probe it is what came with its last library.
    pub async fn finish(mut self) -> String {
        let all = async { while self.readers.join_next().await.is_some() {} };
        // What is late is lost: dropping the set ends the readers.
        let _ = timeout(LAST_LINES_TIMEOUT, all).await;
        lock(&self.last_words).told()
    }
}

fn lock(last_words: &Mutex<LastWords>) -> std::sync::MutexGuard<'_, LastWords> {
    last_words.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a process said last: its last lines, or from the line on with which Go begins to tell why it ends.
#[derive(Debug, Default)]
struct LastWords {
    lines: VecDeque<String>,
    why: Why,
    /// Lines since it began to tell why.
    told: usize,
}

/// How far a process has told why it ends.
#[derive(Debug, Default, PartialEq, Eq)]
enum Why {
    #[default]
    Untold,
    Telling,
    /// What follows says where.
    Told,
}

impl LastWords {
    fn hear(&mut self, line: &str) {
        if line.starts_with("panic: ") || line.starts_with("fatal error: ") {
            let earlier = self.lines.len().saturating_sub(LINES_BEFORE);
            self.lines.drain(..earlier);
            (self.why, self.told) = (Why::Telling, 0);
        }
        if self.why == Why::Telling
            && (line.starts_with("goroutine ") || self.told == LAST_WORDS_LINES)
        {
            self.why = Why::Told;
        }
        if self.why == Why::Told || line.trim().is_empty() {
            return;
        }
        if self.why == Why::Telling {
            self.told += 1;
        } else if self.lines.len() == LAST_WORDS_LINES {
            self.lines.pop_front();
        }
        let cut = line.trim().chars().take(LAST_WORDS_CHARS);
        self.lines.push_back(cut.collect());
    }

    fn told(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(String::as_str).collect();
        lines.join(" | ")
    }
}

async fn read(
    source: impl AsyncRead + Unpin,
    stream: &'static str,
    tenant: TenantId,
    role: &'static str,
    slot: Option<u32>,
    last_words: Option<Arc<Mutex<LastWords>>>,
) {
    let mut source = BufReader::new(source);
    let mut rate = Rate::new(LINES_PER_SECOND_MAX);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut source)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // The line before it may have no end.
        let ended = last_words
            .as_deref()
            .zip(line.strip_suffix(NEXT_LIBRARY).map(<[u8]>::len));
        if let Some((last_words, unended)) = ended {
            *lock(last_words) = LastWords::default();
            if unended == 0 {
                continue;
            }
            line.truncate(unended);
        }
        let (admitted, dropped) = rate.admit(Instant::now());
        if dropped > 0 {
            tracing::warn!(
                code = "OUTPUT_DROPPED",
                tenant.id = %tenant,
                worker.slot = slot,
                role,
                stream,
                "dropped {dropped} lines that plugins printed"
            );
        }
        let text = printable(&line);
        if let Some(last_words) = &last_words
            && ended.is_none()
        {
            lock(last_words).hear(&text);
        }
        if admitted {
            tracing::info!(
                code = "PLUGIN_OUTPUT",
                tenant.id = %tenant,
                worker.slot = slot,
                role,
                stream,
                "{text}"
            );
        }
    }
}

/// Text without control characters: what a plugin prints must not move an operator's cursor or forge
/// another line.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end()
        .chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Admits so many things in a second.
#[derive(Debug)]
pub struct Rate {
    max: u32,
    admitted: u32,
    dropped: u64,
    since: Option<Instant>,
}

impl Rate {
    /// At most `max` in a second.
    pub const fn new(max: u32) -> Self {
        Self {
            max,
            admitted: 0,
            dropped: 0,
            since: None,
        }
    }

    /// Whether one more is admitted, and how many were not in the second that has just ended.
    pub fn admit(&mut self, now: Instant) -> (bool, u64) {
        let mut dropped = 0;
        if self
            .since
            .is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1))
        {
            dropped = std::mem::take(&mut self.dropped);
            (self.since, self.admitted) = (Some(now), 0);
        }
        if self.admitted < self.max {
            self.admitted += 1;
            return (true, dropped);
        }
        self.dropped += 1;
        (false, dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_rate_are_dropped_and_counted() {
        let mut rate = Rate::new(2);
        let start = Instant::now();
        let admitted: Vec<_> = (0..5).map(|_| rate.admit(start).0).collect();
        assert_eq!(admitted, [true, true, false, false, false]);
        assert_eq!(rate.admit(start + Duration::from_secs(1)), (true, 3));
        assert_eq!(rate.admit(start + Duration::from_secs(2)), (true, 0));
    }

    fn told(lines: &[&str]) -> String {
        let mut last_words = LastWords::default();
        for line in lines {
            last_words.hear(line);
        }
        last_words.told()
    }

    #[test]
    fn last_words_are_the_last_lines_and_why_go_ends() {
        assert_eq!(told(&[]), "");
        assert_eq!(told(&["1", "2", "3", "", "4"]), "2 | 3 | 4");
        let panic = [
            "starting",
            "dialling 10.0.0.1",
            "no route to 10.0.0.1",
            "panic: first [recovered]",
            "\tpanic: second",
            "",
            "goroutine 1 [running]:",
            "main.init.0()",
        ];
        assert_eq!(
            told(&panic),
            "dialling 10.0.0.1 | no route to 10.0.0.1 | panic: first [recovered] | panic: second"
        );
        assert_eq!(
            told(&["a", "fatal error: all asleep", "b", "c", "d", "e"]),
            "a | fatal error: all asleep | b | c"
        );
        assert_eq!(told(&["x".repeat(999).as_str()]).len(), LAST_WORDS_CHARS);
    }

    #[tokio::test]
    async fn last_words_of_a_probe_are_those_that_came_with_its_last_library() {
        let mark = std::str::from_utf8(NEXT_LIBRARY).unwrap();
        let cases = [
            (
                format!("{mark}a: loaded\n{mark}b: no such luck\n"),
                "b: no such luck",
            ),
            (format!("{mark}a: unended{mark}b\n"), "b"),
            (
                format!("{mark}panic: a\n\ngoroutine 1:\n{mark}b: 1\nb: 2\n"),
                "b: 1 | b: 2",
            ),
            (format!("{mark}a\n{mark}"), ""),
            ("a\n".to_owned(), "a"),
        ];
        for (printed, expected) in cases {
            let heard = Arc::new(Mutex::new(LastWords::default()));
            let tenant = "acme".parse().unwrap();
            let source = printed.as_bytes();
            read(source, "stderr", tenant, "probe", None, Some(heard.clone())).await;
            assert_eq!(lock(&heard).told(), expected, "{printed}");
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_log() {
        assert_eq!(printable(b"a\x1b[2Jb\tc\r\n"), "a\u{fffd}[2Jb\tc");
        assert_eq!(printable(b"\xff\n"), "\u{fffd}");
    }
}
