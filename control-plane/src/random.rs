//! Unguessable values from the kernel's random source.

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("getrandom(2) does not fail once the system has started");
    bytes
}

/// `N` random bytes as lower-case hexadecimal characters.
pub(crate) fn hex<const N: usize>() -> String {
    bytes::<N>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
