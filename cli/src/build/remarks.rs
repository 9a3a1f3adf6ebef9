//! What is to be said about a plugin's source: places with a code, and functions that no hook can name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something about a place in the source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Finding {
    /// The file, below the plugin's folder where it lies there.
    pub(crate) file: String,
    /// The line, from 1; 0 where the message names a field instead.
    pub(crate) line: u32,
    /// The column in bytes, from 1.
    pub(crate) column: u32,
    /// A stable code.
    pub(crate) code: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do instead.
    #[serde(default)]
    pub(crate) advice: String,
}

impl Finding {
    /// The place, as compilers write it.
    pub(crate) fn place(&self) -> String {
        match self.line {
            0 => self.file.clone(),
            line => format!("{}:{line}:{}", self.file, self.column),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place(), self.message, self.code)
    }
}

/// A function that no hook can name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Skipped {
    /// What it is called.
    pub(crate) name: String,
    /// Its file.
    pub(crate) file: String,
    /// Its line, from 1.
    pub(crate) line: u32,
    /// Why.
    pub(crate) reason: String,
}

/// Everything to be said about a source that was built all the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remarks {
    pub(crate) warnings: Vec<Finding>,
    pub(crate) skipped: Vec<Skipped>,
}
