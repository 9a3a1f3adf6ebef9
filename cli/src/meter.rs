//! One bar for several files that travel at once.

use std::collections::BTreeMap;
use std::sync::Mutex;

use indicatif::ProgressBar;

/// Adds up how far several files are.
pub(crate) struct Meter<'a> {
    bar: &'a ProgressBar,
    offsets: Mutex<BTreeMap<String, u64>>,
}

impl<'a> Meter<'a> {
    /// One that moves a bar.
    pub(crate) const fn new(bar: &'a ProgressBar) -> Self {
        Self {
            bar,
            offsets: Mutex::new(BTreeMap::new()),
        }
    }

    /// A file is so far, bytes. After an interruption that may be less than before.
    pub(crate) fn reach(&self, file: &str, offset: u64) {
        // A poisoned lock would mean that drawing a bar panicked: then there is none.
        if let Ok(mut offsets) = self.offsets.lock() {
            offsets.insert(file.to_owned(), offset);
            self.bar.set_position(offsets.values().sum());
        }
    }
}
