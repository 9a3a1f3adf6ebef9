//! Steady load from a few keep-alive clients, counting every request that was not answered as it
//! should be. It runs until it is stopped, so that a test decides by events and not by time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::Result;

use crate::process::eventually;
use crate::web::{Answer, Request, agent};

/// Load that is running.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What load saw.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// Requests that were answered as they should be.
    pub good: u64,
    /// What the others saw, the first ten.
    pub failures: Vec<String>,
    /// How many others there were.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    good: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Starts `clients` threads that send `request` again and again. `accept` says whether an answer
    /// is as it should be.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        to: SocketAddr,
        request: &Request,
        clients: usize,
        accept: impl Fn(&Answer) -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        let request = request.clone();
        Self::of(clients, move |agent| match request.send_with(agent, to) {
            Ok(answer) if accept(&answer) => Ok(()),
            Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
            Err(error) => Err(format!("{error:#}")),
        })
    }

    /// Starts `clients` threads that ask again and again, each with connections of its own. `ask` sends
    /// one request and says what is wrong with the answer, if anything is.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn of(
        clients: usize,
        ask: impl Fn(&ureq::Agent) -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let ask = Arc::new(ask);
        let mut threads = Vec::new();
        for n in 0..clients {
            let (shared, ask) = (shared.clone(), ask.clone());
            let client = std::thread::Builder::new().name(format!("client-{n}"));
            threads.push(client.spawn(move || shared.run(ask.as_ref()))?);
        }
        Ok(Self { shared, threads })
    }

    /// Waits until `more` further requests were answered.
    ///
    /// # Errors
    /// They were not, within patience.
    pub fn wait_for(&self, more: u64) -> Result<()> {
        let goal = self.shared.total() + more;
        eventually("further requests under load", || {
            (self.shared.total() >= goal).then_some(())
        })
    }

    /// Stops and tells.
    pub fn stop(mut self) -> LoadReport {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let failures = self
            .shared
            .failures
            .lock()
            .map(|failures| failures.clone())
            .unwrap_or_default();
        LoadReport {
            good: self.shared.good.load(Ordering::SeqCst),
            failed: self.shared.failed.load(Ordering::SeqCst),
            failures,
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn total(&self) -> u64 {
        self.good.load(Ordering::SeqCst) + self.failed.load(Ordering::SeqCst)
    }

    fn run(&self, ask: &dyn Fn(&ureq::Agent) -> Result<(), String>) {
        let agent = agent();
        while !self.stop.load(Ordering::SeqCst) {
            let Err(failure) = ask(&agent) else {
                self.good.fetch_add(1, Ordering::SeqCst);
                continue;
            };
            self.failed.fetch_add(1, Ordering::SeqCst);
            if let Ok(mut failures) = self.failures.lock()
                && failures.len() < 10
            {
                failures.push(failure);
            }
        }
    }
}
