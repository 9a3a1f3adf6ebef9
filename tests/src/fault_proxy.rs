//! A proxy between a client and a server that does what networks and overloaded servers do: nothing,
//! refuse, fall silent, dribble, break off in the middle, change a byte, or say 503 in the server's
//! place. What passes is counted.
//!
//! It knows no more of HTTP than where a request's body ends, so that it can answer one.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use socket2::SockRef;

/// Bytes that are passed on at once.
const CHUNK_BYTES: usize = 16 << 10;
/// What an overloaded S3 server says.
const SLOW_DOWN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code>\
                         <Message>Please reduce your request rate.</Message></Error>";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// A connection is reset as soon as it is there.
    Refuse,
    /// A request is read and never answered.
    Silence,
    /// A request is read, and answered 503 `SlowDown`.
    SlowDown,
    /// An answer comes in pieces of so many bytes, ten in a second.
    Dribble(usize),
    /// A connection is reset once so many bytes went to the server.
    ResetRequest(u64),
    /// What goes to the server stops after so many bytes, until another fault is set.
    HoldRequest(u64),
    /// A connection is reset once so many bytes came from the server.
    ResetAnswer(u64),
    /// The byte at this place of what the server says is another one.
    Change(u64),
}

/// A proxy until it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    to_server: AtomicU64,
    from_server: AtomicU64,
    struck: AtomicU64,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    fault: Fault,
    times: u64,
    /// Not owned: a reset takes the last owner to let go.
    open: Vec<Weak<TcpStream>>,
}

impl FaultProxy {
    /// Stands in front of a server.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            state: Mutex::default(),
            to_server: AtomicU64::new(0),
            from_server: AtomicU64::new(0),
            struck: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = accepting.clone();
                if let Ok(client) = client {
                    thread::spawn(move || shared.serve(&Arc::new(client)));
                }
            }
        });
        Ok(Self { address, shared })
    }

    /// Where clients reach it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this goes wrong, so many times. Open connections are closed, so that it meets every
    /// request that follows.
    pub fn fault(&self, fault: Fault, times: u64) {
        let mut state = self.shared.lock();
        state.fault = fault;
        state.times = times;
        for stream in state.open.drain(..).filter_map(|open| open.upgrade()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.struck.store(0, Ordering::SeqCst);
    }

    /// From now on nothing goes wrong.
    pub fn heal(&self) {
        self.fault(Fault::None, 0);
    }

    /// How often something went wrong since the last fault was set.
    pub fn struck(&self) -> u64 {
        self.shared.struck.load(Ordering::SeqCst)
    }

    /// Bytes that went to the server.
    pub fn to_server(&self) -> u64 {
        self.shared.to_server.load(Ordering::SeqCst)
    }

    /// Bytes that came from the server.
    pub fn from_server(&self) -> u64 {
        self.shared.from_server.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.heal();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fault of this kind strikes now; if so, it has.
    fn strikes(&self, kind: impl Fn(Fault) -> bool) -> Option<Fault> {
        let mut state = self.lock();
        if state.times == 0 || !kind(state.fault) {
            return None;
        }
        state.times -= 1;
        self.struck.fetch_add(1, Ordering::SeqCst);
        Some(state.fault)
    }

    /// Serves one connection to its end. Whatever fails on the way ends it, which is all that either
    /// side can notice.
    fn serve(&self, client: &Arc<TcpStream>) {
        let at_once = |fault| matches!(fault, Fault::Refuse | Fault::Silence | Fault::SlowDown);
        match self.strikes(at_once) {
            Some(Fault::Refuse) => return will_reset(client),
            Some(Fault::Silence) => {
                self.remember(client);
                let _ = io::copy(&mut &**client, &mut io::sink());
                return;
            }
            Some(_) => {
                let _ = read_request(client).and_then(|()| slow_down(client));
                return;
            }
            None => {}
        }
        let Ok(server) = TcpStream::connect(self.target).map(Arc::new) else {
            return will_reset(client);
        };
        self.remember(client);
        self.remember(&server);
        let cut = AtomicBool::new(false);
        let end = |stream: &TcpStream, how| {
            // A stream that will be reset must not say goodbye before.
            if !cut.load(Ordering::SeqCst) {
                let _ = stream.shutdown(how);
            }
        };
        let reset_both = || {
            cut.store(true, Ordering::SeqCst);
            will_reset(client);
            will_reset(&server);
        };
        thread::scope(|scope| {
            scope.spawn(|| match self.pass_requests(client, &server) {
                Ok(End::Struck) => reset_both(),
                _ => end(&server, Shutdown::Write),
            });
            if let Ok(End::Struck) = self.pass_answers(&server, client) {
                reset_both();
            } else {
                end(client, Shutdown::Both);
                end(&server, Shutdown::Both);
            }
        });
    }

    fn remember(&self, stream: &Arc<TcpStream>) {
        let mut state = self.lock();
        state.open.retain(|open| open.strong_count() > 0);
        state.open.push(Arc::downgrade(stream));
    }

    fn pass_requests(&self, mut client: &TcpStream, mut server: &TcpStream) -> io::Result<End> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut passed = 0;
        loop {
            let count = client.read(&mut buffer)?;
            if count == 0 {
                return Ok(End::Closed);
            }
            passed += count as u64;
            let due = |fault| match fault {
                Fault::ResetRequest(after) | Fault::HoldRequest(after) => passed > after,
                _ => false,
            };
            match self.strikes(due) {
                Some(Fault::ResetRequest(_)) => return Ok(End::Struck),
                Some(held) => {
                    while self.lock().fault == held {
                        thread::sleep(Duration::from_millis(5));
                    }
                    return Ok(End::Closed);
                }
                None => {}
            }
            server.write_all(&buffer[..count])?;
            self.to_server.fetch_add(count as u64, Ordering::SeqCst);
        }
    }

    fn pass_answers(&self, mut server: &TcpStream, mut client: &TcpStream) -> io::Result<End> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut passed = 0;
        loop {
            let count = server.read(&mut buffer)?;
            if count == 0 {
                return Ok(End::Closed);
            }
            let (from, to) = (passed, passed + count as u64);
            passed = to;
            let due = |fault| match fault {
                Fault::Dribble(_) => true,
                Fault::ResetAnswer(after) => to > after,
                Fault::Change(at) => (from..to).contains(&at),
                _ => false,
            };
            let mut piece = count;
            match self.strikes(due) {
                Some(Fault::ResetAnswer(_)) => return Ok(End::Struck),
                Some(Fault::Dribble(bytes)) => piece = bytes.max(1),
                Some(Fault::Change(at)) => {
                    // Within the buffer, as it is within what was read.
                    buffer[usize::try_from(at - from).unwrap_or(0)] ^= 0xff;
                }
                _ => {}
            }
            for part in buffer[..count].chunks(piece) {
                if piece < count {
                    thread::sleep(Duration::from_millis(100));
                }
                client.write_all(part)?;
                self.from_server
                    .fetch_add(part.len() as u64, Ordering::SeqCst);
            }
        }
    }
}

/// How one direction of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Struck,
}

/// Lets a connection end as that to a machine does which has crashed: with RST, not FIN, when its last
/// owner lets go. Wakes who reads from it.
fn will_reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Read);
}

/// Reads a request with its body, which has a length.
fn read_request(mut client: &TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    io::copy(&mut client.take(length.unwrap_or(0)), &mut io::sink()).map(drop)
}

fn slow_down(mut client: &TcpStream) -> io::Result<()> {
    let length = SLOW_DOWN.len();
    let answer = format!(
        "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{SLOW_DOWN}"
    );
    client.write_all(answer.as_bytes())?;
    client.shutdown(Shutdown::Write)
}
