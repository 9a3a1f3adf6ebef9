//! Who killed a worker, as far as the slot's memory and the kernel tell. Native code can write anything
//! into that memory, so it is a hint: numbers that mean nothing are ignored, and where two hints
//! disagree nobody is named.
//!
//! Invariant: a culprit is named only when the faulting thread was in a known function, or its
//! instruction in a known library; everything else is `unattributed`, with the suspects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::generation::{Effective, functions};
use crate::sys::slot::{Activity, Fault};

/// Functions whose numbers a slot remembers, at most.
const FUNCTIONS_MAX: usize = 65_536;

/// A function as an operator knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionName {
    /// The API.
    pub api_id: String,
    /// The hook.
    pub hook: String,
    /// The function.
    pub function: String,
    /// The library's digest.
    pub digest: String,
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest: String = self.digest.chars().take(12).collect();
        write!(
            f,
            "{} at {} of API {} (library {digest})",
            self.function, self.hook, self.api_id
        )
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Culprit {
    /// A function.
    Function(FunctionName),
    /// A library, in a thread of its own.
    Library(String),
    /// Nobody can be named; these were running.
    Unattributed(BTreeSet<FunctionName>),
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(name) => write!(f, "in {name}"),
            Self::Library(digest) => {
                let digest: String = digest.chars().take(12).collect();
                write!(f, "in a thread of library {digest}")
            }
            Self::Unattributed(suspects) if suspects.is_empty() => f.write_str("unattributed"),
            Self::Unattributed(suspects) => {
                let names: Vec<_> = suspects.iter().map(ToString::to_string).collect();
                write!(f, "unattributed; running were {}", names.join(", "))
            }
        }
    }
}

/// What one worker's numbers and addresses mean.
#[derive(Debug, Default)]
pub struct Meanings {
    functions: HashMap<u32, FunctionName>,
    code: BTreeMap<u64, (u64, String)>,
}

impl Meanings {
    /// Learns the functions of a generation; those of earlier ones are still in use by requests that
    /// began on them.
    pub fn learn(&mut self, effective: &Effective) {
        if self.functions.len() > FUNCTIONS_MAX {
            self.functions.clear();
        }
        for (api_id, api) in &effective.apis {
            for function in functions(&api.order) {
                let name = FunctionName {
                    api_id: api_id.clone(),
                    hook: function.hook.clone(),
                    function: function.function.clone(),
                    digest: function.digest.clone(),
                };
                self.functions.insert(function.number, name);
            }
        }
    }

    /// Learns where a library's code lies.
    pub fn learn_code(&mut self, digest: &str, ranges: &[(u64, u64)]) {
        if self.code.len() <= FUNCTIONS_MAX {
            self.code.extend(
                ranges
                    .iter()
                    .map(|(begin, end)| (*begin, (*end, digest.to_owned()))),
            );
        }
    }

    /// The digest of the library whose code is there.
    pub fn library_at(&self, instruction: u64) -> Option<&str> {
        let (_, (end, digest)) = self.code.range(..=instruction).next_back()?;
        (instruction < *end).then_some(digest)
    }

    /// The function of a number.
    pub fn function(&self, number: u32) -> Option<&FunctionName> {
        self.functions.get(&number)
    }

    /// Names the culprit of a death.
    pub fn culprit(&self, fault: Option<&Fault>, running: &[Activity]) -> Culprit {
        let known = |number: u32| self.functions.get(&number).cloned();
        let suspects = || {
            running
                .iter()
                .filter_map(|activity| known(activity.function))
                .collect()
        };
        let Some(fault) = fault else {
            return Culprit::Unattributed(suspects());
        };
        let function = fault.function.and_then(known);
        match (function, self.library_at(fault.instruction)) {
            // The instruction may be in the C library or in the host, called by the function.
            (Some(function), None) => Culprit::Function(function),
            (Some(function), Some(library)) if function.digest == library => {
                Culprit::Function(function)
            }
            (None, Some(library)) => Culprit::Library(library.to_owned()),
            // Contradiction, or nothing at all.
            (Some(_), Some(_)) | (None, None) => Culprit::Unattributed(suspects()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(function: &str, digest: &str) -> FunctionName {
        FunctionName {
            api_id: "a".into(),
            hook: "pre".into(),
            function: function.into(),
            digest: digest.into(),
        }
    }

    fn meanings() -> Meanings {
        let mut meanings = Meanings {
            functions: HashMap::from([(1, name("One", "x")), (2, name("Two", "y"))]),
            ..Meanings::default()
        };
        meanings.learn_code("x", &[(0x1000, 0x2000)]);
        meanings.learn_code("y", &[(0x3000, 0x4000)]);
        meanings
    }

    fn fault(function: Option<u32>, instruction: u64) -> Fault {
        Fault {
            signal: libc::SIGSEGV,
            instruction,
            thread: 1,
            function,
        }
    }

    fn running(numbers: &[u32]) -> Vec<Activity> {
        numbers
            .iter()
            .map(|n| Activity {
                function: *n,
                thread: 1,
                sequence: 1,
            })
            .collect()
    }

    #[test]
    fn function_of_the_faulting_thread_is_the_culprit() {
        let meanings = meanings();
        let culprit = meanings.culprit(Some(&fault(Some(1), 0x1234)), &running(&[1, 2]));
        assert_eq!(culprit, Culprit::Function(name("One", "x")));
        let in_libc = meanings.culprit(Some(&fault(Some(1), 0x9000)), &running(&[1]));
        assert_eq!(in_libc, Culprit::Function(name("One", "x")));
    }

    #[test]
    fn thread_of_a_library_is_told_by_its_code() {
        assert_eq!(
            meanings().culprit(Some(&fault(None, 0x3fff)), &[]),
            Culprit::Library("y".into())
        );
        assert_eq!(
            meanings().culprit(Some(&fault(None, 0x4000)), &[]),
            Culprit::Unattributed(BTreeSet::new())
        );
    }

    #[test]
    fn contradicting_hints_and_unknown_numbers_name_nobody() {
        let meanings = meanings();
        let both = meanings.culprit(Some(&fault(Some(1), 0x3500)), &running(&[1, 2]));
        assert_eq!(
            both,
            Culprit::Unattributed([name("One", "x"), name("Two", "y")].into())
        );
        let forged = meanings.culprit(Some(&fault(Some(99), 0)), &running(&[99]));
        assert_eq!(forged, Culprit::Unattributed(BTreeSet::new()));
    }

    #[test]
    fn death_without_a_fault_has_suspects_only() {
        let killed = meanings().culprit(None, &running(&[2]));
        assert_eq!(
            killed.to_string(),
            "unattributed; running were Two at pre of API a (library y)"
        );
    }
}
