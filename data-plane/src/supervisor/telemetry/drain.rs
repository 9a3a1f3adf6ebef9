//! The thread that empties the rings of all slots, some times a second, also those of workers that
//! died, and hands on what it finds. It blocks where the access log does; nothing else waits for it.
//!
//! Invariant: at an orderly end everything that workers wrote is drained before the thread ends,
//! because it is told to end after the last worker has.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use gantry_telemetry::spans::{FinishedSpan, SpanSink};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::access_log::AccessLog;
use super::directory::{Directory, Names};
use super::line::Lines;
use super::spans::{self, When};
use crate::config::AccessLog as AccessLogSettings;
use crate::record::Record;
use crate::sys::clock::{monotonic_nanos, unix_nanos};
use crate::sys::ring::{Consumer, RING_BYTES};
use crate::sys::slot::SlotMemory;

/// Time between two drains. At the highest rates of one worker the ring holds several times as much.
const DRAIN_EVERY: Duration = Duration::from_millis(50);
/// The same while a ring holds more than a quarter of what fits: a machine that is short of time may
/// let this thread wait for several turns.
const DRAIN_SOON: Duration = Duration::from_millis(10);
/// Bytes of lines that are written at once, about.
const WRITE_BYTES: usize = 64 << 10;
/// Time for the last lines to be written at the end. A reader that reads no more must not keep the
/// gateway from ending.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

enum Command {
    Reopen,
    Finish(oneshot::Sender<()>),
}

/// What went wrong with records, counted since the start.
#[derive(Debug, Default)]
pub struct DrainCounts {
    /// Times that a ring held something that is no record.
    pub damaged: AtomicU64,
    /// Access lines that could not be written.
    pub lines_lost: AtomicU64,
}

/// The thread, from outside.
#[derive(Debug)]
pub struct Telemetry {
    commands: Sender<Command>,
    /// What went wrong.
    pub counts: Arc<DrainCounts>,
}

impl Telemetry {
    /// Opens the access log and starts the thread.
    ///
    /// # Errors
    /// The access log cannot be opened, or there is no thread.
    pub fn start(
        settings: &AccessLogSettings,
        memories: Vec<(u32, Arc<SlotMemory>)>,
        directory: Arc<Directory>,
        spans: Option<SpanSink>,
    ) -> io::Result<Self> {
        let access_log = AccessLog::open(&settings.output)?;
        let (commands, queue) = channel();
        let counts = Arc::<DrainCounts>::default();
        let drain = Drain {
            slots: memories
                .into_iter()
                .map(|(slot, memory)| (slot, memory, Consumer::default()))
                .collect(),
            directory,
            writer: Writer {
                lines: Lines::new(settings.format),
                access_log,
                buffer: Vec::new(),
                count: 0,
                counts: Arc::clone(&counts),
                spans,
            },
        };
        std::thread::Builder::new()
            .name("telemetry".into())
            .spawn(move || drain.run(&queue))?;
        Ok(Self { commands, counts })
    }

    /// Opens the access log's file anew.
    pub fn reopen(&self) {
        // The thread ends after this handle only.
        let _ = self.commands.send(Command::Reopen);
    }

    /// Drains what is left and ends the thread. To be called when no worker lives any more.
    pub async fn finish(&self) {
        let (done, finished) = oneshot::channel();
        let _ = self.commands.send(Command::Finish(done));
        if timeout(FINISH_TIMEOUT, finished).await.is_err() {
            tracing::warn!(
                code = "ACCESS_LOG_STUCK",
                "the access log takes no more lines; the last ones are lost"
            );
        }
    }
}

struct Drain {
    slots: Vec<(u32, Arc<SlotMemory>, Consumer)>,
    directory: Arc<Directory>,
    writer: Writer,
}

impl Drain {
    fn run(mut self, queue: &Receiver<Command>) {
        let mut wait = DRAIN_EVERY;
        loop {
            let command = queue.recv_timeout(wait);
            wait = if self.drain() > RING_BYTES / 4 {
                DRAIN_SOON
            } else {
                DRAIN_EVERY
            };
            match command {
                Err(RecvTimeoutError::Timeout) => {}
                // What was drained just now belongs into the file before.
                Ok(Command::Reopen) => self.writer.access_log.reopen(),
                Ok(Command::Finish(done)) => {
                    let _ = done.send(());
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Empties all rings; gives the bytes of the fullest.
    fn drain(&mut self) -> usize {
        let mut fullest = 0;
        let names = self.directory.names();
        let clock = Clock::now();
        let Self { slots, writer, .. } = self;
        for (number, memory, consumer) in slots {
            let (mut damaged, mut filled) = (false, 0);
            let drained = memory.drain(consumer, |bytes| {
                filled += bytes.len();
                match Record::read(bytes) {
                    Some(record) => writer.take(&names, &clock, *number, &record),
                    None => damaged = true,
                }
            });
            fullest = fullest.max(filled);
            if damaged || drained.damaged {
                writer.counts.damaged.fetch_add(1, Relaxed);
            }
        }
        writer.flush();
        fullest
    }
}

/// Both clocks at one moment: workers write the one, people read the other.
struct Clock {
    monotonic: u64,
    unix: u64,
}

impl Clock {
    fn now() -> Self {
        Self {
            monotonic: monotonic_nanos(),
            unix: unix_nanos(),
        }
    }

    /// When something was that began at a monotonic time.
    const fn when(&self, begun: u64, duration_nanos: u64) -> When {
        let start = self.unix_nanos(begun);
        When {
            start,
            end: start.saturating_add(duration_nanos),
        }
    }

    /// Nanoseconds since 1970 of a monotonic time that has passed.
    const fn unix_nanos(&self, monotonic: u64) -> u64 {
        let ago = self.monotonic.saturating_sub(monotonic);
        self.unix.saturating_sub(ago)
    }
}

/// The span that a record is, if it is one.
fn span(names: &Names, clock: &Clock, worker: u32, record: &Record<'_>) -> Option<FinishedSpan> {
    match record {
        Record::Request(record) => {
            let when = clock.when(record.begun, record.duration_nanos);
            spans::request(names, worker, when, record)
        }
        Record::Call(record) => {
            let when = clock.when(record.begun, record.duration_nanos);
            Some(spans::call(names, when, record))
        }
        Record::Upstream(record) => {
            let when = clock.when(record.begun, record.duration_nanos);
            Some(spans::upstream(names, when, record))
        }
    }
}

/// Where records go.
struct Writer {
    lines: Lines,
    access_log: AccessLog,
    buffer: Vec<u8>,
    /// Lines in the buffer.
    count: u64,
    counts: Arc<DrainCounts>,
    /// Where spans go, if anywhere.
    spans: Option<SpanSink>,
}

impl Writer {
    fn take(&mut self, names: &Names, clock: &Clock, worker: u32, record: &Record<'_>) {
        match record {
            Record::Request(record) => {
                if record.logged {
                    let begun = clock.unix_nanos(record.begun);
                    let buffer = &mut self.buffer;
                    self.lines.write(names, worker, begun, record, buffer);
                    self.count += 1;
                    if self.buffer.len() >= WRITE_BYTES {
                        self.flush();
                    }
                }
            }
            Record::Call(_) | Record::Upstream(_) => {}
        }
        if let Some(sink) = &self.spans
            && let Some(span) = span(names, clock, worker, record)
        {
            sink.export(span);
        }
    }

    fn flush(&mut self) {
        let count = std::mem::take(&mut self.count);
        if !self.access_log.write(&self.buffer) {
            self.counts.lines_lost.fetch_add(count, Relaxed);
        }
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::AccessLogFormat;

    fn writer(format: AccessLogFormat, folder: &tempfile::TempDir) -> Writer {
        let path = folder.path().join("access.log");
        let output = crate::config::AccessLogOutput::File(path);
        Writer {
            lines: Lines::new(format),
            access_log: AccessLog::open(&output).unwrap(),
            buffer: Vec::new(),
            count: 0,
            counts: Arc::default(),
            spans: None,
        }
    }

    proptest! {
        /// What native code scribbles over a ring is the worst that can come out of one.
        #[test]
        fn no_bytes_of_a_ring_panic_or_break_a_line(
            mut bytes in proptest::collection::vec(any::<u8>(), 80..200),
            kind in 1_u8..4,
            method_len in 0_u8..33,
        ) {
            let folder = tempfile::tempdir().unwrap();
            (bytes[0], bytes[1], bytes[2], bytes[3]) = (kind, bytes[1] | 1, bytes[2] % 4, method_len);
            let names = Names::default();
            let clock = Clock::now();
            for format in [AccessLogFormat::Text, AccessLogFormat::Json] {
                let mut writer = writer(format, &folder);
                if let Some(record) = Record::read(&bytes) {
                    writer.take(&names, &clock, 0, &record);
                    let _ = span(&names, &clock, 0, &record);
                    let lines = writer.buffer.split(|byte| *byte == b'\n').count() - 1;
                    prop_assert_eq!(lines as u64, writer.count);
                }
            }
        }
    }

    #[test]
    fn monotonic_time_becomes_the_time_of_day() {
        let clock = Clock {
            monotonic: 1_000,
            unix: 50_000,
        };
        let when = clock.when(400, 100);
        assert_eq!((when.start, when.end), (49_400, 49_500));
        // A forged time from the future is now.
        assert_eq!(clock.when(u64::MAX, 0).start, 50_000);
    }
}
