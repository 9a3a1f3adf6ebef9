//! File descriptors that a parent process left at agreed numbers, and listening sockets to leave there.
#![expect(
    unsafe_code,
    reason = "taking over a descriptor by number cannot be checked"
)]

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted, at most; the system may lower it.
const BACKLOG: i32 = 1024;

/// Takes over the descriptor that the parent left at a number from 3 to 63. To be called at the start
/// of a role, before anything else opens descriptors: what is there then is the parent's.
///
/// # Errors
/// There is none, or it was taken already.
pub fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let error = |text: String| Err(io::Error::new(io::ErrorKind::NotFound, text));
    if !(3..64).contains(&number) || TAKEN.fetch_or(1 << number, Relaxed) & 1 << number != 0 {
        return error(format!(
            "descriptor {number} was taken already or cannot be inherited"
        ));
    }
    // SAFETY: a call by number; it changes a flag of the descriptor, if there is one.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return error(format!(
            "nothing was left at descriptor {number}; this role is started by the supervisor"
        ));
    }
    // SAFETY: it is open, and `TAKEN` proves that it has no owner from an earlier call; the caller sees
    // to it that nothing else of this process opened it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether somebody listens at an address. Slots share theirs, and the system would let the sockets of
/// another gateway share it, too: its clients would meet one gateway or the other.
///
/// # Errors
/// The address cannot be bound for another reason.
pub fn is_taken(address: SocketAddr) -> io::Result<bool> {
    let socket = tcp_socket(address)?;
    match socket.bind(&address.into()) {
        Ok(()) => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Ok(true),
        Err(e) => Err(e),
    }
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// A listening socket for one worker slot. Each slot has its own at the same address, so that a slot's
/// waiting connections survive its worker.
///
/// # Errors
/// The address cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tcp_socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_slots_listen_at_one_address() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        assert!(is_taken(address).unwrap());
        let second = listen(address).unwrap();
        assert_eq!(second.local_addr().unwrap(), address);
        drop(first);
        assert!(is_taken(address).unwrap());
        drop(second);
        assert!(!is_taken(address).unwrap());
    }

    #[test]
    fn descriptor_that_nobody_left_is_refused() {
        assert_eq!(
            take_inherited(63).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(
            take_inherited(1).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
