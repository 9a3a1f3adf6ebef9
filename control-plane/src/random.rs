//! Unguessable values from the kernel's random source.

use std::fmt::Write as _;
use std::str::FromStr;

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("getrandom(2) does not fail once the system has started");
    bytes
}

/// A new identifier: 64 random bits, which no tenant will see twice.
pub(crate) fn id<T: FromStr>() -> T {
    let Ok(id) = hex::<8>().parse() else {
        unreachable!("hexadecimal characters are an identifier of every kind");
    };
    id
}

/// `N` random bytes as lower-case hexadecimal characters.
pub(crate) fn hex<const N: usize>() -> String {
    bytes::<N>()
        .iter()
        .fold(String::with_capacity(2 * N), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String does not fail");
            text
        })
}
