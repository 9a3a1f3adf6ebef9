//! The flat encodings, for plugins to which each crossing is dear: a snapshot of what a call can see,
//! and a run of mutations. Both are little-endian and unaligned: read and write them bytewise.
//!
//! **Snapshot**: `u32 total, u32 slots, u32 request_headers, u32 response_headers`, then one pair
//! `(u32 offset, u32 length)` per slot, then two pairs per header, name and value, request headers
//! first; then the bytes. Offsets count from the start. Slot *n* is part *n*; offset 0 is absent.
//! Slots of the request's and response's headers are always absent: headers have their own pairs. The slot
//! of added headers says where theirs begin, and how many headers there are.
//!
//! **Mutations**: repeated `u8 op, u8 flags, u16 key length, u32 value length, key, value`; flags
//! are 0.

use crate::{Fault, part};

/// Bytes before the first pair of a snapshot.
pub const SNAPSHOT_HEAD: usize = 16;
/// Bytes of one pair.
pub const PAIR: usize = 8;
/// Slots in a snapshot of this version. A reader takes the number that the snapshot names.
pub const SLOTS: usize = part::TARGET as usize + 1;
/// Bytes of a mutation before its key.
pub const MUTATION_HEAD: usize = 8;

/// One record of flat mutations, not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The operation.
    pub op: u32,
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// Reads flat mutations one by one. After a malformed record it ends.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// Reads from the start.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn read(&mut self) -> Result<Record<'a>, Fault> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<MUTATION_HEAD>()
            .ok_or(Fault::Invalid)?;
        let [op, flags, k0, k1, v0, v1, v2, v3] = *head;
        if flags != 0 {
            return Err(Fault::Unsupported);
        }
        let key_len = usize::from(u16::from_le_bytes([k0, k1]));
        let value_len = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
        let (key, rest) = rest.split_at_checked(key_len).ok_or(Fault::Invalid)?;
        let (value, rest) = rest.split_at_checked(value_len).ok_or(Fault::Invalid)?;
        self.rest = rest;
        Ok(Record {
            op: u32::from(op),
            key,
            value,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

/// Reads a snapshot in place.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    bytes: &'a [u8],
    slots: usize,
    request_headers: usize,
    response_headers: usize,
}

impl<'a> Snapshot<'a> {
    /// Checks the head; values are checked when they are asked for.
    ///
    /// # Errors
    /// [`Fault::Invalid`] if the bytes cannot hold what the head names.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        let number = |at: usize| number(bytes, at).ok_or(Fault::Invalid);
        let (total, slots) = (number(0)?, number(4)?);
        let (request_headers, response_headers) = (number(8)?, number(12)?);
        // Each count is below 2^32, so on 64 bits no sum here can overflow.
        let pairs = slots + 2 * (request_headers + response_headers);
        if total != bytes.len() || SNAPSHOT_HEAD + PAIR * pairs > total {
            return Err(Fault::Invalid);
        }
        Ok(Self {
            bytes,
            slots,
            request_headers,
            response_headers,
        })
    }

    /// The value of a part that has no key.
    pub fn get(&self, part: u32) -> Option<&'a [u8]> {
        let slot = part as usize;
        if slot < self.slots {
            self.pair(slot)
        } else {
            None
        }
    }

    /// Names (lower case) and values of the request headers.
    pub fn request_headers(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.headers(self.slots, self.request_headers)
    }

    /// Names (lower case) and values of the response headers.
    pub fn response_headers(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.headers(self.slots + 2 * self.request_headers, self.response_headers)
    }

    /// Names (lower case) and values of the added headers.
    pub fn added_headers(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let (offset, count) = self.place(part::ADDED_HEADER as usize).unwrap_or_default();
        let end = SNAPSHOT_HEAD + PAIR * self.slots;
        let first = offset.checked_sub(end).map(|behind| behind / PAIR);
        let fits = count <= self.bytes.len() / (2 * PAIR);
        let (first, count) = first
            .filter(|_| fits)
            .map_or((0, 0), |first| (first, count));
        self.headers(self.slots + first, count)
    }

    fn headers(self, first: usize, count: usize) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        (0..count)
            .filter_map(move |i| Some((self.pair(first + 2 * i)?, self.pair(first + 2 * i + 1)?)))
    }

    fn pair(&self, index: usize) -> Option<&'a [u8]> {
        let (offset, len) = self.place(index)?;
        self.bytes.get(offset..offset + len)
    }

    fn place(&self, index: usize) -> Option<(usize, usize)> {
        let at = SNAPSHOT_HEAD + PAIR * index;
        let (offset, len) = (number(self.bytes, at)?, number(self.bytes, at + 4)?);
        (offset != 0).then_some((offset, len))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let raw = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*raw) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_until_the_end() {
        let bytes = [
            4, 0, 1, 0, 2, 0, 0, 0, b'k', b'v', b'w', 6, 0, 1, 0, 0, 0, 0, 0, b'k',
        ];
        let mut records = Records::new(&bytes);
        assert_eq!(
            records.next(),
            Some(Ok(Record {
                op: 4,
                key: b"k",
                value: b"vw"
            }))
        );
        assert_eq!(
            records.next(),
            Some(Ok(Record {
                op: 6,
                key: b"k",
                value: b""
            }))
        );
        assert_eq!(records.next(), None);
    }

    #[test]
    fn torn_record_is_invalid_and_ends_the_run() {
        let bytes = [4, 0, 1, 0, 200, 0, 0, 0, b'k', b'v'];
        for end in 1..=bytes.len() {
            let mut records = Records::new(&bytes[..end]);
            assert_eq!(records.next(), Some(Err(Fault::Invalid)));
            assert_eq!(records.next(), None);
        }
        assert_eq!(
            Records::new(&[4, 1, 0, 0, 0, 0, 0, 0]).next(),
            Some(Err(Fault::Unsupported))
        );
    }

    #[test]
    fn snapshot_with_a_lying_head_is_invalid() {
        let mut bytes = [0; SNAPSHOT_HEAD + PAIR];
        assert!(Snapshot::new(&bytes).is_err());
        bytes[0] = 24;
        bytes[4] = 1;
        assert!(Snapshot::new(&bytes).unwrap().get(0).is_none());
        bytes[4..8].fill(0xff);
        assert!(Snapshot::new(&bytes).is_err());
        bytes[4..8].copy_from_slice(&1u32.to_le_bytes());
        bytes[16] = 20;
        bytes[20..24].fill(0xff);
        assert!(Snapshot::new(&bytes).unwrap().get(0).is_none());
    }
}
