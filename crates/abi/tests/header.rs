//! The committed C header says what this crate says: every number, every size, every offset and
//! every signature is asserted by a C compiler, and the header names nothing that Rust does not know.

#![expect(clippy::unwrap_used, reason = "a test may stop where it fails")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_abi::constants::{code, event, flag, hook, level, op, part, verdict};
use gantry_abi::layout::LAYOUTS;
use gantry_abi::{ABI_MAJOR, ABI_MINOR, SYMBOL, note};

/// Signatures in C of every function that crosses the boundary.
const SIGNATURES: &[(&str, &str)] = &[
    (
        "((gantry_host *)0)->get",
        "int32_t (*)(gantry_call, uint32_t, gantry_str, gantry_str *)",
    ),
    (
        "((gantry_host *)0)->next",
        "int32_t (*)(gantry_call, uint32_t, gantry_str, uint64_t *, gantry_str *, gantry_str *)",
    ),
    (
        "((gantry_host *)0)->mutate",
        "int32_t (*)(gantry_call, uint32_t, gantry_str, gantry_str)",
    ),
    (
        "((gantry_host *)0)->snapshot",
        "int32_t (*)(gantry_call, uint64_t, gantry_str *)",
    ),
    (
        "((gantry_host *)0)->apply",
        "int32_t (*)(gantry_call, gantry_str)",
    ),
    (
        "((gantry_host *)0)->log",
        "int32_t (*)(gantry_call, uint32_t, gantry_str)",
    ),
    (
        "((gantry_host *)0)->resume",
        "int32_t (*)(gantry_call, int32_t, gantry_str)",
    ),
    (
        "((gantry_host *)0)->body",
        "int32_t (*)(gantry_call, uint32_t, uint64_t, gantry_str *)",
    ),
    (
        "((gantry_function *)0)->start",
        "int32_t (*)(const gantry_host *, gantry_start *, void **)",
    ),
    (
        "((gantry_function *)0)->call",
        "int32_t (*)(void *, gantry_frame *)",
    ),
    (
        "((gantry_host *)0)->ask",
        "int32_t (*)(gantry_call, uint32_t)",
    ),
    ("((gantry_function *)0)->stop", "void (*)(void *)"),
    (
        "((gantry_function *)0)->event",
        "void (*)(void *, gantry_call, uint32_t, gantry_str)",
    ),
    ("((gantry_plugin *)0)->release", "void (*)(uint64_t)"),
    ("&gantry_plugin_v0", "const gantry_plugin *(*)(void)"),
    ("(gantry_call)0", "uint64_t"),
];

fn include_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/c/include")
}

fn numbers() -> Vec<(&'static str, i64)> {
    let families = [
        hook::C_NAMES,
        part::C_NAMES,
        op::C_NAMES,
        code::C_NAMES,
        verdict::C_NAMES,
        flag::C_NAMES,
        event::C_NAMES,
        level::C_NAMES,
    ];
    let versions = [
        ("GANTRY_ABI_MAJOR", i64::from(ABI_MAJOR)),
        ("GANTRY_ABI_MINOR", i64::from(ABI_MINOR)),
    ];
    families.concat().into_iter().chain(versions).collect()
}

fn assertions() -> String {
    let mut c = String::from("#include \"gantry_plugin.h\"\n");
    for (name, value) in numbers() {
        writeln!(
            c,
            "_Static_assert({name} == {value}, \"{name} is {value}\");"
        )
        .unwrap();
    }
    for layout in LAYOUTS {
        let (ty, size) = (layout.c_name, layout.size);
        writeln!(
            c,
            "_Static_assert(sizeof({ty}) == {size}, \"size of {ty}\");"
        )
        .unwrap();
        for (field, at) in layout.fields {
            writeln!(
                c,
                "_Static_assert(offsetof({ty}, {field}) == {at}, \"{ty}.{field}\");"
            )
            .unwrap();
        }
    }
    for (expression, ty) in SIGNATURES {
        writeln!(
            c,
            "_Static_assert(_Generic(({expression}), {ty}: 1), \"{expression}\");"
        )
        .unwrap();
    }
    writeln!(
        c,
        "static const char section_name[] = \"{}\";",
        note::SECTION
    )
    .unwrap();
    writeln!(c, "const char *used(void) {{ return section_name; }}").unwrap();
    c
}

fn compile(source: &str, name: &str) -> Result<(), String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, source).unwrap();
    let output = Command::new("cc")
        .args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-fsyntax-only",
            "-I",
        ])
        .arg(include_dir())
        .arg(&file)
        .output()
        .expect("a C compiler named cc");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

#[test]
fn header_agrees_with_every_number_layout_and_signature() {
    compile(&assertions(), "agrees.c").unwrap();
}

#[test]
fn drifted_number_or_layout_is_noticed() {
    let drifted = assertions().replace("GANTRY_OP_SET_PATH == 2", "GANTRY_OP_SET_PATH == 3");
    assert!(
        compile(&drifted, "drifted_number.c")
            .unwrap_err()
            .contains("GANTRY_OP_SET_PATH")
    );
    let drifted = assertions().replace(
        "offsetof(gantry_frame, call) == 16",
        "offsetof(gantry_frame, call) == 24",
    );
    assert!(
        compile(&drifted, "drifted_layout.c")
            .unwrap_err()
            .contains("gantry_frame.call")
    );
}

#[test]
fn header_defines_no_number_that_rust_does_not_know() {
    let header = std::fs::read_to_string(include_dir().join("gantry_plugin.h")).unwrap();
    let known: BTreeSet<&str> = numbers().into_iter().map(|(name, _)| name).collect();
    let defined: BTreeSet<&str> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define "))
        .filter_map(|rest| {
            let (name, value) = rest.split_once(' ')?;
            let value = value.trim_start().trim_start_matches(['(', '-']);
            value
                .starts_with(|c: char| c.is_ascii_digit())
                .then_some(name)
        })
        .collect();
    assert_eq!(defined, known);
    assert!(header.contains(&format!("*{SYMBOL}(void)")));
    assert!(header.contains(&format!("section(\"{}\")", note::SECTION)));
    assert!(header.contains(&format!("\"{}\", json", note::OWNER)));
}

#[test]
fn header_is_plain_c99() {
    let source = "#include \"gantry_plugin.h\"\nint used(void) { return GANTRY_ABI_MINOR; }\n";
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c99.c");
    std::fs::write(&file, source).unwrap();
    let status = Command::new("cc")
        .args([
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-fsyntax-only",
            "-I",
        ])
        .arg(include_dir())
        .arg(&file)
        .status()
        .unwrap();
    assert!(status.success());
}
