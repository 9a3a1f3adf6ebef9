//! What libraries carry through a request: a number of each library's own, from one of its calls to the
//! next. It goes back to its library once, when the request has ended and no call of it can still use it:
//! a call that pends holds on to it as the request does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::library::Library;

/// What a request carries; empty for most.
#[derive(Debug, Default)]
pub struct Carries(Vec<Arc<Carry>>);

/// One library's number.
#[derive(Debug)]
pub(crate) struct Carry {
    library: Arc<Library>,
    value: AtomicU64,
}

impl Carries {
    /// What a library left; 0 is nothing.
    pub(crate) fn of(&self, library: &Arc<Library>) -> u64 {
        self.find(library)
            .map_or(0, |carry| carry.value.load(Relaxed))
    }

    /// Keeps what a library left.
    pub(crate) fn keep(&mut self, library: &Arc<Library>, value: u64) {
        match self.find(library) {
            Some(carry) => carry.value.store(value, Relaxed),
            None if value == 0 => {}
            None => self.0.push(Arc::new(Carry {
                library: Arc::clone(library),
                value: AtomicU64::new(value),
            })),
        }
    }

    /// A hold on what a library left, for a call that goes on without the request.
    pub(crate) fn hold(&self, library: &Arc<Library>) -> Option<Arc<Carry>> {
        self.find(library).map(Arc::clone)
    }

    fn find(&self, library: &Arc<Library>) -> Option<&Arc<Carry>> {
        self.0
            .iter()
            .find(|carry| Arc::ptr_eq(&carry.library, library))
    }
}

impl Drop for Carry {
    fn drop(&mut self) {
        let value = *self.value.get_mut();
        if value != 0 {
            self.library.release(value);
        }
    }
}
