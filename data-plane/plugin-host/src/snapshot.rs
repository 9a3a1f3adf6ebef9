//! Encodes a snapshot of a call; the layout is described in `gantry_abi::flat`.

use gantry_abi::Fault;
use gantry_abi::constants::{SNAPSHOT_PARTS, is_body, is_reserved_part, part};
use gantry_abi::flat::{PAIR, SLOTS, SNAPSHOT_HEAD};
use http::HeaderMap;

use crate::active::ActiveCall;

/// Refuses bits of parts that a snapshot cannot hold.
pub(crate) fn check_parts(parts: u64) -> Result<(), Fault> {
    let beyond = parts & !SNAPSHOT_PARTS;
    if beyond == 0 {
        return Ok(());
    }
    let reserved = (0..u64::BITS)
        .filter(|&bit| is_reserved_part(bit) || is_body(bit))
        .fold(0, |set, bit| set | 1 << bit);
    if beyond & !reserved == 0 {
        Err(Fault::Unsupported)
    } else {
        Err(Fault::Unknown)
    }
}

const HEADER_PARTS: u64 =
    1 << part::REQUEST_HEADER | 1 << part::RESPONSE_HEADER | 1 << part::ADDED_HEADER;

/// Encodes the wanted parts at the start of `buffer` and gives the length. What lies behind them is of
/// earlier snapshots: the buffer only grows, so that it need not be cleared for each.
pub(crate) fn encode(
    call: &ActiveCall<'_>,
    parts: u64,
    buffer: &mut Vec<u8>,
) -> Result<usize, Fault> {
    check_parts(parts)?;
    let headers_of = |part: u32| call.headers(part).filter(|_| parts & 1 << part != 0);
    let sides = [
        headers_of(part::REQUEST_HEADER),
        headers_of(part::RESPONSE_HEADER),
        headers_of(part::ADDED_HEADER),
    ];
    let [requests, responses, added] = sides.map(|side| side.map_or(0, HeaderMap::len));

    let slots_end = SNAPSHOT_HEAD + PAIR * SLOTS;
    let added_begin = slots_end + 2 * PAIR * (requests + responses);
    let mut encoder = Encoder {
        end: added_begin + 2 * PAIR * added,
        buffer,
    };
    encoder.make_room(encoder.end);
    encoder.buffer[..slots_end].fill(0);
    let mut rest = parts & !HEADER_PARTS;
    while rest != 0 {
        let part = rest.trailing_zeros();
        rest &= rest - 1;
        if let Some(value) = call.value(part)? {
            encoder.push(SNAPSHOT_HEAD + PAIR * part as usize, value)?;
        }
    }
    if added > 0 {
        let slot = SNAPSHOT_HEAD + PAIR * part::ADDED_HEADER as usize;
        encoder.put(slot, added_begin, added)?;
    }
    let mut pair = slots_end;
    for headers in sides.into_iter().flatten() {
        for (name, value) in headers {
            encoder.push(pair, name.as_str().as_bytes())?;
            encoder.push(pair + PAIR, value.as_bytes())?;
            pair += 2 * PAIR;
        }
    }
    let Encoder { buffer, end } = encoder;
    let head = [end, SLOTS, requests, responses];
    for (place, number) in buffer.chunks_exact_mut(4).zip(head) {
        place.copy_from_slice(&number32(number)?.to_le_bytes());
    }
    Ok(end)
}

struct Encoder<'a> {
    buffer: &'a mut Vec<u8>,
    /// Where the next value goes.
    end: usize,
}

impl Encoder<'_> {
    /// Puts a value behind the others, and where it lies into its pair.
    #[inline]
    fn push(&mut self, pair: usize, value: &[u8]) -> Result<(), Fault> {
        let (begin, end) = (self.end, self.end + value.len());
        if end > self.buffer.len() {
            self.make_room(end);
        }
        self.put(pair, begin, value.len())?;
        copy(&mut self.buffer[begin..end], value);
        self.end = end;
        Ok(())
    }

    /// Puts two numbers into a pair.
    #[inline]
    fn put(&mut self, pair: usize, first: usize, second: usize) -> Result<(), Fault> {
        let both = u64::from(number32(first)?) | u64::from(number32(second)?) << u32::BITS;
        let place = self.buffer[pair..].first_chunk_mut::<PAIR>();
        *place.ok_or(Fault::Internal)? = both.to_le_bytes();
        Ok(())
    }

    #[cold]
    fn make_room(&mut self, end: usize) {
        if end > self.buffer.len() {
            self.buffer.resize(end.next_power_of_two(), 0);
        }
    }
}

/// Copies between slices of one length. Names and values of headers are short, and as many as they are a
/// call of the C library for each would cost more than its bytes.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    let done = match from.len() {
        32..=64 => copy_ends::<32>(to, from),
        16..=31 => copy_ends::<16>(to, from),
        8..=15 => copy_ends::<8>(to, from),
        4..=7 => copy_ends::<4>(to, from),
        _ => None,
    };
    if done.is_none() {
        to.copy_from_slice(from);
    }
}

/// Copies `N` bytes from the start and `N` up to the end; they may overlap.
#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) -> Option<()> {
    *to.first_chunk_mut::<N>()? = *from.first_chunk::<N>()?;
    *to.last_chunk_mut::<N>()? = *from.last_chunk::<N>()?;
    Some(())
}

fn number32(number: usize) -> Result<u32, Fault> {
    u32::try_from(number).map_err(|_| Fault::TooLarge)
}
