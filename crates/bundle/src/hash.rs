//! Counts and hashes bytes as they pass, within a limit.
//!
//! The digest is known when the last byte has gone by, so nothing is read twice and nothing needs to
//! be held. A stream longer than its limit is refused at the byte that crosses it.

use std::fmt::Write as _;
use std::io::{self, Read};

use gantry_domain::Digest;
use md5::Md5;
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// More bytes came than were allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected at most {bytes_max} bytes, found more")]
pub struct TooLong {
    /// The limit, inclusive.
    pub bytes_max: u64,
}

/// A state that cannot be gone on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the saved state of a hash is not one that this program wrote")]
pub struct StateInvalid;

/// What passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// SHA-256 of all bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size_bytes: u64,
}

/// Hashes chunks as they come.
#[derive(Debug, Clone)]
pub struct StreamHasher {
    sha256: Sha256,
    size_bytes: u64,
    bytes_max: u64,
}

impl StreamHasher {
    /// A hasher that takes up to `bytes_max` bytes; exactly as many are allowed.
    pub fn new(bytes_max: u64) -> Self {
        Self {
            sha256: Sha256::new(),
            size_bytes: 0,
            bytes_max,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// They cross the limit; none of them has been taken then.
    pub fn update(&mut self, chunk: &[u8]) -> Result<(), TooLong> {
        let bytes_max = self.bytes_max;
        let size_bytes = self
            .size_bytes
            .checked_add(chunk.len() as u64)
            .filter(|size_bytes| *size_bytes <= bytes_max)
            .ok_or(TooLong { bytes_max })?;
        self.sha256.update(chunk);
        self.size_bytes = size_bytes;
        Ok(())
    }

    /// Bytes taken so far.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The digest of everything taken.
    pub fn finish(self) -> Hashed {
        Hashed {
            digest: Digest::from_bytes(self.sha256.finalize().into()),
            size_bytes: self.size_bytes,
        }
    }

    /// The state, so that another process can go on from here.
    pub fn save(&self) -> Vec<u8> {
        let mut state = self.size_bytes.to_le_bytes().to_vec();
        state.extend_from_slice(&self.sha256.serialize());
        state
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// `state` did not come from [`StreamHasher::save`], or holds more bytes than are allowed.
    pub fn restore(state: &[u8], bytes_max: u64) -> Result<Self, StateInvalid> {
        let (size, hash) = state.split_first_chunk().ok_or(StateInvalid)?;
        let size_bytes = u64::from_le_bytes(*size);
        let hash = hash.try_into().map_err(|_| StateInvalid)?;
        let sha256 = Sha256::deserialize(hash).map_err(|_| StateInvalid)?;
        if size_bytes > bytes_max {
            return Err(StateInvalid);
        }
        Ok(Self {
            sha256,
            size_bytes,
            bytes_max,
        })
    }
}

/// Hashes what is read through it.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: StreamHasher,
}

impl<R: Read> HashingReader<R> {
    /// Reads from `inner`, up to `bytes_max` bytes; exactly as many are allowed. Beyond that, reading
    /// fails with [`io::ErrorKind::FileTooLarge`] and [`TooLong`] inside.
    pub fn new(inner: R, bytes_max: u64) -> Self {
        let hasher = StreamHasher::new(bytes_max);
        Self { inner, hasher }
    }

    /// The digest of what was read so far, which is the whole only after the end was reached.
    pub fn finish(self) -> Hashed {
        self.hasher.finish()
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher
            .update(&buffer[..count])
            .map_err(|e| io::Error::new(io::ErrorKind::FileTooLarge, e))?;
        Ok(count)
    }
}

/// Reads to the end and hashes.
///
/// # Errors
/// The reader's, or [`io::ErrorKind::FileTooLarge`] when there is more than `bytes_max`.
pub fn hash_reader(reader: impl Read, bytes_max: u64) -> io::Result<Hashed> {
    let mut reader = HashingReader::new(reader, bytes_max);
    io::copy(&mut reader, &mut io::sink())?;
    Ok(reader.finish())
}

/// MD5 over several files one after the other, as older manifests carry it. It proves nothing.
#[derive(Debug, Clone, Default)]
pub struct Md5Sum(Md5);

impl Md5Sum {
    /// The sum of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, chunk: &[u8]) {
        self.0.update(chunk);
    }

    /// 32 lower-case hexadecimal characters.
    pub fn finish(self) -> String {
        let sum = self.0.finalize();
        sum.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String does not fail");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_of_exactly_the_limit_passes_and_one_byte_more_is_refused() {
        let hashed = hash_reader(&b"abc"[..], 3).unwrap();
        assert_eq!((hashed.digest, hashed.size_bytes), (Digest::of("abc"), 3));
        let refusal = hash_reader(&b"abc"[..], 2).unwrap_err();
        assert_eq!(refusal.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(refusal.to_string(), "expected at most 2 bytes, found more");
    }

    #[test]
    fn saved_hasher_goes_on_where_it_stopped() {
        let text = "x".repeat(1000);
        for cut in [0, 1, 63, 64, 65, 1000] {
            let mut first = StreamHasher::new(1000);
            first.update(&text.as_bytes()[..cut]).unwrap();
            let mut second = StreamHasher::restore(&first.save(), 1000).unwrap();
            second.update(&text.as_bytes()[cut..]).unwrap();
            let hashed = second.finish();
            assert_eq!(
                (hashed.digest, hashed.size_bytes),
                (Digest::of(&text), 1000)
            );
        }
    }

    #[test]
    fn foreign_state_is_refused() {
        let saved = StreamHasher::new(10).save();
        for foreign in [&b""[..], b"1234567", &saved[1..]] {
            assert_eq!(StreamHasher::restore(foreign, 10).err(), Some(StateInvalid));
        }
        let mut hasher = StreamHasher::new(10);
        hasher.update(b"0123456789").unwrap();
        assert_eq!(
            StreamHasher::restore(&hasher.save(), 9).err(),
            Some(StateInvalid)
        );
    }

    #[test]
    fn md5_is_that_of_the_standard() {
        let mut sum = Md5Sum::new();
        sum.update(b"a");
        sum.update(b"bc");
        assert_eq!(sum.finish(), "900150983cd24fb0d6963f7d28e17f72");
    }
}
