//! Ports for servers that must be told one: they cannot be given port 0 and asked where they listen.

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Result, bail};

/// Below those that the kernel gives to outgoing connections (from 32768 on), any of which could take a
/// port before the server does.
const RANGE: RangeInclusive<u16> = 20_000..=31_999;

/// Ports that nobody listens at. No two callers in a process get the same.
///
/// # Errors
/// Every port of the range is taken.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    for port in &mut ports {
        *port = next()?;
    }
    Ok(ports)
}

fn next() -> Result<u16> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let (first, last) = (*RANGE.start(), *RANGE.end());
    let count = u32::from(last - first) + 1;
    // Other test programs that run at this time begin elsewhere.
    let begin = std::process::id().wrapping_mul(101);
    for _ in 0..count {
        let offset = begin.wrapping_add(TAKEN.fetch_add(1, Relaxed)) % count;
        let port = first + u16::try_from(offset)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {first} to {last} is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_listened_at() {
        let mut ports = [free::<4>().unwrap(), free::<4>().unwrap()].concat();
        let listeners: Vec<_> = ports
            .iter()
            .map(|port| TcpListener::bind(("127.0.0.1", *port)).unwrap())
            .collect();
        assert!(
            free::<1>()
                .unwrap()
                .iter()
                .all(|port| !ports.contains(port))
        );
        drop(listeners);
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
