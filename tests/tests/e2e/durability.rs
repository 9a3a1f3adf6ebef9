//! What is acknowledged survives: whoever is killed, whenever, and without a byte that was only in memory.

mod cuts;
mod fsync;
mod full;
mod memory;
mod plan;
mod pull;
mod rounds;
mod scene;
mod traps;

use gantry_tests::plugins;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Numbers that follow from a seed.
#[derive(Debug, Clone)]
struct Numbers(u64);

impl Numbers {
    /// The next one (`SplitMix64`).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of several.
    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        let index = self.below(values.len() as u64);
        values[usize::try_from(index).unwrap()]
    }

    /// Bytes.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// Tells the log, also that of a test that passes: seeds and figures.
fn say(words: impl Display) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "{words}");
}

/// A small library that is admitted, and that stays admitted with whatever bytes behind it.
fn library(folder: &Path) -> Vec<u8> {
    let built = plugins::c("examples/c-headers/plugin.c", folder, None).unwrap();
    fs::read(built).unwrap()
}

/// Writes a library that is `size_bytes` long: the small one, and noise behind it.
fn write_padded(path: &Path, library: &[u8], size_bytes: u64, numbers: &mut Numbers) {
    let mut file = File::create(path).unwrap();
    file.write_all(library).unwrap();
    let mut left = size_bytes - library.len() as u64;
    // Long files repeat a block, each time with its place in it, so that no two blocks are the same.
    let mut block = numbers.bytes(usize::try_from(left.min(1 << 20)).unwrap());
    while left > 0 {
        let length = usize::try_from(left.min(block.len() as u64)).unwrap();
        if length >= 8 {
            block[..8].copy_from_slice(&left.to_le_bytes());
        }
        file.write_all(&block[..length]).unwrap();
        left -= length as u64;
    }
}
