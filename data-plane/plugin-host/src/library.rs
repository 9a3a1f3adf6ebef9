//! A loaded library: opening it, and starting functions of it.
#![expect(unsafe_code, reason = "opening a library runs its code")]

use std::error::Error as _;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use gantry_abi::types::Entry;
use gantry_abi::{SYMBOL, Start, Str, limits};
use gantry_domain::{ApiId, FunctionName, Hook};
use libloading::os::unix::{Library as Object, RTLD_LOCAL, RTLD_NOW};

use crate::callbacks::HOST;
use crate::descriptor::Descriptor;
use crate::error::{LoadError, StartError};
use crate::instance::Instance;
use crate::table::{self, Functions, Tables};

/// A library that was opened and keeps the contract. It stays in the process for ever.
#[derive(Debug)]
pub struct Library {
    tables: Tables,
}

/// What a function is started for.
#[derive(Debug, Clone, Copy)]
pub struct StartContext<'a> {
    /// The function.
    pub function: &'a FunctionName,
    /// The API definition.
    pub api_id: &'a ApiId,
    /// The hook that the instance will be called at.
    pub hook: Hook,
    /// `config_data` of the definition: JSON, `{}` if it has none.
    pub config: &'a str,
}

impl Library {
    /// Opens a library, one at a time, and holds its tables against the contract. This runs the
    /// library's constructors: a library that was not probed can take the process with it.
    ///
    /// # Errors
    /// What is wrong with it, by name.
    pub fn open(path: &Path) -> Result<Arc<Self>, LoadError> {
        // Runtimes that start in constructors claim address space; two at once have met before.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Self::open_beside_others(path)
    }

    /// As [`Library::open`], without waiting for a turn.
    fn open_beside_others(path: &Path) -> Result<Arc<Self>, LoadError> {
        let entry = Self::entry(path)?;
        // SAFETY: the symbol is the contract's entry; a library that exports another thing under its
        // name is not a plugin by malice, and native code needs no such trick.
        let plugin = unsafe { entry() };
        // SAFETY: returned by the entry.
        let tables = unsafe { table::read(plugin) }?;
        Ok(Arc::new(Self { tables }))
    }

    fn entry(path: &Path) -> Result<Entry, LoadError> {
        // SAFETY: running its constructors is what loading means; admission and probe come before.
        let object =
            unsafe { Object::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| {
                let reason = error
                    .source()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                LoadError::Open {
                    path: path.to_owned(),
                    reason,
                }
            })?;
        // SAFETY: the type is the contract's for this name; a null symbol is `None`.
        let entry = unsafe { object.get::<Option<Entry>>(SYMBOL) }
            .ok()
            .and_then(|symbol| *symbol);
        // Never unloaded, not even when refused: its constructors may have left code running.
        let _ = object.into_raw();
        entry.ok_or_else(|| LoadError::EntryMissing {
            path: path.to_owned(),
        })
    }

    /// What the library says it is.
    pub const fn descriptor(&self) -> &Descriptor {
        &self.tables.descriptor
    }

    /// Starts a function for one place in an API definition.
    ///
    /// # Errors
    /// There is no such function, it is not for this hook, or it refused.
    pub fn start(self: &Arc<Self>, context: &StartContext<'_>) -> Result<Instance, StartError> {
        let function = context.function;
        let position = self
            .tables
            .descriptor
            .functions
            .iter()
            .position(|each| each.name == *function);
        let Some(index) = position else {
            let names: Vec<_> = self
                .tables
                .descriptor
                .functions
                .iter()
                .map(|f| f.name.as_str())
                .collect();
            let offered = names.join(", ");
            return Err(StartError::FunctionUnknown {
                function: function.clone(),
                offered,
            });
        };
        let hooks = self.tables.descriptor.functions[index].hooks;
        if !hooks.contains(context.hook) {
            return Err(StartError::HookNotOffered {
                function: function.clone(),
                hook: context.hook,
                offered: hooks.to_string(),
            });
        }
        self.run_start(index, context)
    }

    fn run_start(
        self: &Arc<Self>,
        index: usize,
        context: &StartContext<'_>,
    ) -> Result<Instance, StartError> {
        let mut error = [0; limits::START_ERROR_BYTES];
        let mut start = Start {
            #[expect(clippy::cast_possible_truncation, reason = "the struct has 80 bytes")]
            size: size_of::<Start>() as u32,
            hook: context.hook as u32,
            api_id: Str::new(context.api_id.as_str().as_bytes()),
            function: Str::new(context.function.as_str().as_bytes()),
            config: Str::new(context.config.as_bytes()),
            error: error.as_mut_ptr(),
            error_cap: error.len(),
            error_len: 0,
        };
        let mut state = ptr::null_mut();
        let functions = self.functions(index);
        // SAFETY: the plugin keeps the contract of `start`; all pointers are valid during it, and the
        // host's table for ever.
        let returned =
            unsafe { (functions.start)(&raw const HOST, &raw mut start, &raw mut state) };
        if returned == gantry_abi::constants::code::OK {
            return Ok(Instance::new(Arc::clone(self), index, context.hook, state));
        }
        let reason = match error.get(..start.error_len) {
            Some([]) | None => "it gave no reason".into(),
            Some(text) => String::from_utf8_lossy(text),
        };
        Err(StartError::Refused {
            function: context.function.clone(),
            reason: reason.into_owned(),
            returned,
        })
    }

    pub(crate) fn functions(&self, index: usize) -> &Functions {
        &self.tables.functions[index]
    }

    /// Gives back what a request carried for the library.
    pub(crate) fn release(&self, carry: u64) {
        if let Some(release) = self.tables.release {
            // SAFETY: the contract: any value that the library itself left in a frame, once.
            unsafe { release(carry) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;
    use std::sync::Barrier;

    use super::*;

    /// Two libraries that meet if they are opened beside each other.
    fn meeting_libraries(folder: &Path) -> [PathBuf; 2] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        ["one.so", "other.so"].map(|name| {
            let library = folder.join(name);
            let status = Command::new("cc")
                .args([
                    "-shared",
                    "-fPIC",
                    "-fvisibility=hidden",
                    "-Wl,-Bsymbolic",
                    "-I",
                ])
                .arg(root.join("sdk/c/include"))
                .arg("-o")
                .arg(&library)
                .arg(root.join("tests/fixtures/plugins/meets.c"))
                .status();
            assert!(status.unwrap().success());
            library
        })
    }

    /// Opens two libraries on two threads at once. Gives whether they met.
    fn met(open: fn(&Path) -> Result<Arc<Library>, LoadError>) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let libraries = meeting_libraries(folder.path());
        let both = Barrier::new(libraries.len());
        std::thread::scope(|threads| {
            for library in &libraries {
                threads.spawn(|| {
                    both.wait();
                    open(library).unwrap();
                });
            }
        });
        folder.path().join("met").exists()
    }

    #[test]
    fn libraries_are_opened_one_at_a_time_and_would_meet_otherwise() {
        assert!(!met(Library::open));
        assert!(met(Library::open_beside_others));
    }
}
