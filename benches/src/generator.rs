//! Load at a fixed rate: requests arrive when a clock says so, whether earlier ones were answered or not
//! (an open loop), so that waiting counts. Latency runs from the arrival that was due to the last byte.
//!
//! Arrivals are a Poisson process with a fixed seed. A timer of the kernel wakes the generator: those of
//! asynchronous runtimes are a millisecond wide, ten times what is measured.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use serde::{Deserialize, Serialize};

use crate::record::Random;
use crate::upstream::{content_length, end_of_head};

const TIMER: Token = Token(usize::MAX);
/// Connections kept alive.
const CONNECTIONS: usize = 64;
/// Arrivals that may wait for a connection before the rate counts as beyond reach.
const WAITING_MAX: usize = 100_000;

/// What is sent, how often and for how long.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where to.
    pub(crate) to: SocketAddr,
    /// The whole request.
    pub(crate) request: Vec<u8>,
    /// Requests per second.
    pub(crate) rate: f64,
    /// How long requests arrive.
    pub(crate) duration: Duration,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Requests answered with 200.
    pub(crate) requests: usize,
    /// Latency that half of them stayed below, microseconds.
    pub(crate) p50: f64,
    /// Latency that nine of ten stayed below, microseconds.
    pub(crate) p90: f64,
    /// Latency that 99 of 100 stayed below, microseconds.
    pub(crate) p99: f64,
}

/// Runs a plan to its end.
///
/// # Errors
/// A connection fails, an answer is not 200, or the rate is beyond reach.
pub(crate) fn run(plan: &Plan) -> Result<Seen> {
    let mut generator = Generator::connect(plan)?;
    let mut random = Random(4711);
    let begin = Instant::now();
    let mut due = begin;
    let mut arrived = 0;
    loop {
        let now = Instant::now();
        while due <= now && due < begin + plan.duration {
            generator.waiting.push_back(due);
            arrived += 1;
            due += gap(&mut random, plan.rate);
        }
        ensure!(
            generator.waiting.len() < WAITING_MAX,
            "{} requests a second are beyond reach",
            plan.rate
        );
        generator.send_waiting(&plan.request)?;
        if due >= begin + plan.duration && generator.latencies.len() == arrived {
            return Ok(generator.seen());
        }
        ensure!(
            now < begin + plan.duration + Duration::from_secs(10),
            "{} requests were not answered",
            arrived - generator.latencies.len()
        );
        generator.await_events(due)?;
    }
}

/// The time to the next arrival: exponential, so that arrivals know nothing of each other.
fn gap(random: &mut Random, rate: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are left")]
    let uniform = ((random.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
    Duration::from_secs_f64(-uniform.ln() / rate)
}

struct Generator {
    poll: Poll,
    events: Events,
    timer: OwnedFd,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// When requests that have no connection yet were due.
    waiting: VecDeque<Instant>,
    latencies: Vec<Duration>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    due: Option<Instant>,
    input: Vec<u8>,
}

impl Generator {
    fn connect(plan: &Plan) -> Result<Self> {
        let poll = Poll::new()?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        let raw = timer.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&raw), TIMER, Interest::READABLE)?;
        let mut connections = Vec::new();
        for index in 0..CONNECTIONS {
            let stream = std::net::TcpStream::connect(plan.to)
                .with_context(|| format!("connect to {}", plan.to))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(index), Interest::READABLE)?;
            connections.push(Connection {
                stream,
                due: None,
                input: Vec::new(),
            });
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(256),
            timer,
            connections,
            idle: (0..CONNECTIONS).rev().collect(),
            waiting: VecDeque::new(),
            latencies: Vec::new(),
            buffer: vec![0; 128 << 10],
        })
    }

    fn send_waiting(&mut self, request: &[u8]) -> Result<()> {
        while let (Some(due), Some(index)) = (self.waiting.front(), self.idle.last()) {
            let connection = &mut self.connections[*index];
            let written = connection.stream.write(request).context("send request")?;
            ensure!(written == request.len(), "a request did not go out at once");
            connection.due = Some(*due);
            self.waiting.pop_front();
            self.idle.pop();
        }
        Ok(())
    }

    /// Waits until an answer comes or the time is there, and takes what came.
    fn await_events(&mut self, due: Instant) -> Result<()> {
        let rest = due.saturating_duration_since(Instant::now());
        let timespec = Timespec::try_from(rest.max(Duration::from_nanos(1)))?;
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: timespec,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        match self
            .poll
            .poll(&mut self.events, Some(Duration::from_secs(1)))
        {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for index in ready.into_iter().filter(|index| *index != TIMER.0) {
            self.receive(index)?;
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        loop {
            match connection.stream.read(&mut self.buffer) {
                Ok(0) => bail!("a connection was closed"),
                Ok(read) => {
                    connection.input.extend_from_slice(&self.buffer[..read]);
                    // A read that did not fill the buffer emptied the socket (epoll(7)).
                    if read < self.buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let Some(head) = end_of_head(&connection.input) else {
            return Ok(());
        };
        let length = head + content_length(&connection.input[..head]);
        if connection.input.len() < length {
            return Ok(());
        }
        ensure!(
            connection.input.starts_with(b"HTTP/1.1 200 ") && connection.input.len() == length,
            "an answer is not 200: {:?}",
            String::from_utf8_lossy(&connection.input[..head])
        );
        connection.input.clear();
        let due = connection
            .due
            .take()
            .context("an answer nobody asked for")?;
        self.latencies.push(due.elapsed());
        self.idle.push(index);
        Ok(())
    }

    fn seen(mut self) -> Seen {
        self.latencies.sort_unstable();
        let below = |share: usize| {
            let at = self.latencies.len() * share / 100;
            let latency = self.latencies.get(at).copied().unwrap_or_default();
            latency.as_secs_f64() * 1e6
        };
        Seen {
            requests: self.latencies.len(),
            p50: below(50),
            p90: below(90),
            p99: below(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_at_the_rate_on_average_and_the_same_in_every_run() {
        let arrivals = || {
            let mut random = Random(4711);
            (0..20_000)
                .map(|_| gap(&mut random, 1000.0))
                .sum::<Duration>()
        };
        let total = arrivals();
        assert!((19.5..20.5).contains(&total.as_secs_f64()), "{total:?}");
        assert_eq!(total, arrivals());
    }
}
