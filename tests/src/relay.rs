//! A wire that can be watched and cut: relays connections byte by byte, shows every byte to a watch
//! before it goes on, and springs a trap at the very byte that the watch names.
//!
//! Invariant: when the trap springs, no byte behind the named one has gone on yet.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

/// Bytes that are relayed at once.
const CHUNK_BYTES: usize = 16 << 10;

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// From who connected.
    Client,
    /// From who was connected to.
    Server,
}

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They go on.
    Pass,
    /// So many go on, then the trap springs.
    Spring {
        /// Bytes that go on before.
        after: usize,
        /// Whether the connection ends then; else the rest goes on.
        cut: bool,
    },
}

/// Looks at bytes: the number of the connection, whence they come, and they.
pub type Watch = Box<dyn FnMut(u64, Side, &[u8]) -> Verdict + Send>;
/// What happens at the named byte.
pub type Trap = Box<dyn FnOnce() + Send>;

/// A relay in front of a server. It runs as long as the process.
#[derive(Clone)]
pub struct Relay {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    target: SocketAddr,
    armed: Option<(Watch, Trap)>,
}

impl Relay {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// There is none.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let relay = Self {
            address: listener.local_addr()?,
            state: Arc::new(Mutex::new(State {
                target,
                armed: None,
            })),
        };
        let accepting = relay.clone();
        std::thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming()) {
                if let Ok(client) = client {
                    accepting.connect(number, client);
                }
            }
        });
        Ok(relay)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections go from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state().target = target;
    }

    /// Watches until the trap has sprung.
    pub fn arm(&self, watch: Watch, trap: Trap) {
        self.state().armed = Some((watch, trap));
    }

    /// Watches no longer.
    pub fn disarm(&self) {
        self.state().armed = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, number: u64, client: TcpStream) {
        let target = self.state().target;
        // Where nobody listens, the client finds its connection closed.
        let Ok(server) = TcpStream::connect(target) else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        let (there, back) = (self.clone(), self.clone());
        std::thread::spawn(move || there.pump(number, Side::Client, client, server));
        std::thread::spawn(move || back.pump(number, Side::Server, server_too, client_too));
    }

    fn pump(&self, number: u64, side: Side, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(count) = from.read(&mut buffer) {
            let bytes = &buffer[..count];
            if count == 0 || !self.relay(number, side, bytes, &mut to) {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// Hands bytes on; `false` where the connection ends.
    fn relay(&self, number: u64, side: Side, bytes: &[u8], to: &mut TcpStream) -> bool {
        let mut state = self.state();
        let verdict = match &mut state.armed {
            Some((watch, _)) => watch(number, side, bytes),
            None => Verdict::Pass,
        };
        let Verdict::Spring { after, cut } = verdict else {
            drop(state);
            return to.write_all(bytes).is_ok();
        };
        let trap = state.armed.take();
        // Nothing else goes on either until the trap has done its work.
        let (before, behind) = bytes.split_at(after.min(bytes.len()));
        let written = to.write_all(before);
        if let Some((_, trap)) = trap {
            trap();
        }
        drop(state);
        written.is_ok() && !cut && to.write_all(behind).is_ok()
    }
}
