//! A worker under callgrind: how many instructions it ran and how often it allocated, from its start to
//! its end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gantry_gateway::sys::spawn::RoleCommand;

/// Functions of the C library that every allocator of a worker ends in.
const ALLOCATES: [&str; 6] = [
    "malloc",
    "calloc",
    "realloc",
    "aligned_alloc",
    "posix_memalign",
    "memalign",
];

/// What callgrind counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) instructions: u64,
    pub(crate) allocations: u64,
}

/// The worker role of a binary under callgrind, which writes its counts to `out` in the end.
pub(crate) fn worker(binary: &Path, out: &Path) -> RoleCommand {
    let (valgrind, library) = valgrind();
    let command = RoleCommand::new("--tool=callgrind")
        .program(valgrind)
        .argument(format!("--callgrind-out-file={}", out.display()))
        .argument(binary)
        .argument("worker");
    match library {
        Some(library) => command.environment("VALGRIND_LIB", library),
        None => command,
    }
}

/// The machine's own, or the one that the test command unpacked, which has to be told where the rest of
/// it lies.
fn valgrind() -> (PathBuf, Option<PathBuf>) {
    let own = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("valgrind"))
        .find(|program| program.is_file());
    if let Some(own) = own {
        return (own, None);
    }
    let root = super::guards::target_dir().join("tools/debian/usr");
    let unpacked = root.join("bin/valgrind");
    assert!(
        unpacked.is_file(),
        "valgrind is missing: `cargo xtask test` provides it"
    );
    (unpacked, Some(root.join("libexec/valgrind")))
}

/// Reads what callgrind wrote.
pub(crate) fn read(out: &Path) -> Counted {
    let text = std::fs::read_to_string(out).expect("callgrind wrote its counts");
    counted(&text).unwrap_or_else(|| panic!("{} holds no counts", out.display()))
}

fn counted(text: &str) -> Option<Counted> {
    let mut instructions = None;
    let mut allocations = 0;
    let mut names = HashMap::new();
    let mut called = "";
    for line in text.lines() {
        let function = line
            .strip_prefix("fn=")
            .or_else(|| line.strip_prefix("cfn="));
        if let Some(function) = function {
            // `(7) malloc` the first time, `(7)` from then on.
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            if line.starts_with('c') {
                called = names.get(number).copied()?;
            }
        } else if let Some(calls) = line.strip_prefix("calls=")
            && ALLOCATES.contains(&called)
        {
            allocations += calls.split(' ').next()?.parse::<u64>().ok()?;
        } else if let Some(total) = line.strip_prefix("totals: ") {
            instructions = total.trim().parse().ok();
        }
    }
    Some(Counted {
        instructions: instructions?,
        allocations,
    })
}

#[test]
fn calls_of_allocating_functions_are_counted_by_name_and_number() {
    let text = "events: Ir\n\nfn=(1) main\n1 5\ncfn=(2) malloc\ncalls=3 0\n1 90\ncfn=(3) free\n\
                calls=3 0\n1 60\n\nfn=(2)\n1 90\n\nfn=(4) other\ncfn=(2)\ncalls=2 0\n1 60\n\ntotals: 305\n";
    let expected = Counted {
        instructions: 305,
        allocations: 5,
    };
    assert_eq!(counted(text), Some(expected));
    assert_eq!(counted("events: Ir\n"), None);
}
