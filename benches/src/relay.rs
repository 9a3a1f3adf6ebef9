//! The floor: a relay that copies bytes between a client and the upstream and looks at none of them.
//! What a proxy costs above it is the proxy's own.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::upstream::publish;

const LISTENER: Token = Token(usize::MAX);

/// Relays until it is killed. The address goes to a file, whole.
///
/// # Errors
/// The system has no sockets for it.
pub(crate) fn run(upstream: SocketAddr, address_file: &Path) -> Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    publish(listener.local_addr()?, address_file)?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(256);
    let mut relay = Relay {
        upstream,
        ends: Vec::new(),
        buffer: vec![0; 64 << 10],
    };
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                relay.accept(&listener, &poll)?;
            } else {
                relay.copy(event.token().0);
            }
        }
    }
}

/// Ends of connections: an even place and the odd one behind it belong together.
struct Relay {
    upstream: SocketAddr,
    ends: Vec<Option<End>>,
    buffer: Vec<u8>,
}

struct End {
    stream: TcpStream,
    /// What is still to be written here.
    pending: Vec<u8>,
}

impl Relay {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> Result<()> {
        loop {
            let client = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let free = (0..self.ends.len())
                .step_by(2)
                .find(|at| self.ends[*at].is_none());
            let at = free.unwrap_or(self.ends.len());
            self.ends.resize_with(self.ends.len().max(at + 2), || None);
            for (stream, at) in [(client, at), (TcpStream::connect(self.upstream)?, at + 1)] {
                let mut stream = stream;
                let both = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut stream, Token(at), both)?;
                // Not yet connected it cannot be set on some systems; here it can.
                stream.set_nodelay(true)?;
                self.ends[at] = Some(End {
                    stream,
                    pending: Vec::new(),
                });
            }
        }
    }

    /// Moves what can be moved from and to an end; if one of the two is gone, so is the other.
    fn copy(&mut self, at: usize) {
        let pair = at & !1;
        let Some([first, second]) = self
            .ends
            .get_mut(pair..pair + 2)
            .and_then(|pair| pair.as_chunks_mut().0.first_mut())
        else {
            return;
        };
        let (Some(first), Some(second)) = (first, second) else {
            return;
        };
        let (here, there) = if at == pair {
            (first, second)
        } else {
            (second, first)
        };
        if !matches!(move_bytes(here, there, &mut self.buffer), Ok(true)) {
            self.ends[pair] = None;
            self.ends[pair + 1] = None;
        }
    }
}

/// Does what an event at `here` allows; gives whether both are open.
fn move_bytes(here: &mut End, there: &mut End, buffer: &mut [u8]) -> io::Result<bool> {
    let was_full = !here.pending.is_empty();
    drain(here)?;
    let open = pump(here, there, buffer)?;
    // What rested because this end was full goes on.
    Ok(open && (!was_full || pump(there, here, buffer)?))
}

/// Reads one end and writes the other; gives whether both are open. Reading rests while what was read
/// cannot be written.
fn pump(from: &mut End, to: &mut End, buffer: &mut [u8]) -> io::Result<bool> {
    while to.pending.is_empty() {
        let read = match from.stream.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) if is_not_now(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        to.pending.extend_from_slice(&buffer[..read]);
        drain(to)?;
        // A read that did not fill the buffer emptied the socket (epoll(7)).
        if read < buffer.len() {
            return Ok(true);
        }
    }
    Ok(true)
}

fn drain(end: &mut End) -> io::Result<()> {
    let mut written = 0;
    while written < end.pending.len() {
        match end.stream.write(&end.pending[written..]) {
            Ok(more) => written += more,
            Err(error) if is_not_now(&error) => break,
            Err(error) => return Err(error),
        }
    }
    end.pending.drain(..written);
    Ok(())
}

/// The other end has nothing, takes nothing, or is still being connected.
fn is_not_now(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}
