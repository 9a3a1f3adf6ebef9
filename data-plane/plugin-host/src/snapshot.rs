//! Encodes a snapshot of a call; the layout is described in `gantry_abi::flat`.

use gantry_abi::Fault;
use gantry_abi::constants::{SNAPSHOT_PARTS, is_body, is_reserved_part, part};
use gantry_abi::flat::{PAIR, SLOTS, SNAPSHOT_HEAD};
use http::HeaderMap;

use crate::active::ActiveCall;

/// Refuses bits of parts that a snapshot cannot hold.
pub(crate) fn check_parts(parts: u64) -> Result<(), Fault> {
    let beyond = parts & !SNAPSHOT_PARTS;
    let reserved = (0..u64::BITS)
        .filter(|&bit| is_reserved_part(bit) || is_body(bit))
        .fold(0, |set, bit| set | 1 << bit);
    match beyond {
        0 => Ok(()),
        _ if beyond & !reserved == 0 => Err(Fault::Unsupported),
        _ => Err(Fault::Unknown),
    }
}

/// Encodes the wanted parts into `buffer`, whose content it replaces.
pub(crate) fn encode(call: &ActiveCall<'_>, parts: u64, buffer: &mut Vec<u8>) -> Result<(), Fault> {
    check_parts(parts)?;
    let wanted = |part: u32| parts & 1 << part != 0;
    let headers_of = |part| call.headers(part).filter(|_| wanted(part));
    let (request, response) = (
        headers_of(part::REQUEST_HEADER),
        headers_of(part::RESPONSE_HEADER),
    );
    let (requests, responses) = (
        request.map_or(0, HeaderMap::len),
        response.map_or(0, HeaderMap::len),
    );

    buffer.clear();
    buffer.resize(
        SNAPSHOT_HEAD + PAIR * (SLOTS + 2 * (requests + responses)),
        0,
    );
    let mut encoder = Encoder {
        buffer,
        pair: SNAPSHOT_HEAD,
    };
    for part in (0..).take(SLOTS) {
        let value = if wanted(part) && call.headers(part).is_none() {
            call.value(part)?
        } else {
            None
        };
        match value {
            Some(value) => encoder.push(value)?,
            None => encoder.skip(),
        }
    }
    for (name, value) in [request, response].into_iter().flatten().flatten() {
        encoder.push(name.as_str().as_bytes())?;
        encoder.push(value.as_bytes())?;
    }
    let head = [buffer.len(), SLOTS, requests, responses];
    for (place, number) in buffer.chunks_exact_mut(4).zip(head) {
        place.copy_from_slice(&number32(number)?.to_le_bytes());
    }
    Ok(())
}

struct Encoder<'a> {
    buffer: &'a mut Vec<u8>,
    /// Where the next pair goes.
    pair: usize,
}

impl Encoder<'_> {
    fn push(&mut self, value: &[u8]) -> Result<(), Fault> {
        let offset = number32(self.buffer.len())?.to_le_bytes();
        let length = number32(value.len())?.to_le_bytes();
        self.buffer[self.pair..self.pair + 4].copy_from_slice(&offset);
        self.buffer[self.pair + 4..self.pair + PAIR].copy_from_slice(&length);
        self.buffer.extend_from_slice(value);
        self.skip();
        Ok(())
    }

    const fn skip(&mut self) {
        self.pair += PAIR;
    }
}

fn number32(number: usize) -> Result<u32, Fault> {
    u32::try_from(number).map_err(|_| Fault::TooLarge)
}
