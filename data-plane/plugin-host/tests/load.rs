//! Which libraries are loaded, and what the others are told.
#![expect(clippy::unwrap_used, reason = "a test may stop where it fails")]

mod support;

use std::path::Path;
use std::sync::Arc;

use gantry_domain::{FunctionFlag, Hook};
use gantry_plugin_host::Library;
use support::{build_c, fixture, note_of, open, start};

/// Opens `table.c` with some fields overridden; gives code and message of the refusal.
fn refusal(flags: &[&str]) -> (&'static str, String) {
    let library = build_c("tests/fixtures/plugins/table.c", flags);
    let error = Library::open(&library).unwrap_err();
    (error.code(), error.to_string())
}

#[test]
fn library_that_keeps_the_contract_is_described() {
    let path = fixture("instances");
    let library = Library::open(&path).unwrap();
    let descriptor = library.descriptor();
    assert_eq!(
        (descriptor.name.as_str(), descriptor.version.as_str()),
        ("instances", "1.0.0")
    );
    assert_eq!(descriptor.abi.to_string(), "0.3");
    let [function] = descriptor.functions.as_slice() else {
        panic!("one function")
    };
    assert_eq!(function.name.as_str(), "Stateful");
    assert_eq!(function.hooks.to_string(), "pre, response");
    assert_eq!(function.flags, [FunctionFlag::MayBlock]);
    assert_eq!(descriptor.differs_from(&note_of(&path)), None);
}

#[test]
fn fixtures_that_load_have_true_notes() {
    for name in [
        "abuse",
        "bodies",
        "changes",
        "crash",
        "instances",
        "prints",
        "reads",
        "start_fails",
        "verdicts",
    ] {
        let path = fixture(name);
        let library = Library::open(&path).unwrap();
        let difference = library.descriptor().differs_from(&note_of(&path));
        assert_eq!(difference, None, "{name}");
    }
}

#[test]
fn untouched_table_loads() {
    let path = build_c("tests/fixtures/plugins/table.c", &[]);
    let library = Library::open(&path).unwrap();
    assert_eq!(library.descriptor().differs_from(&note_of(&path)), None);
}

#[test]
fn table_may_be_larger_than_this_host_knows() {
    let flags = ["-DPLUGIN_SIZE=4096", "-DFUNCTION_SIZE=4096"];
    assert!(Library::open(&build_c("tests/fixtures/plugins/table.c", &flags)).is_ok());
}

#[test]
fn library_of_the_first_contract_loads_and_what_it_has_not_is_not_read() {
    let flags = [
        "-DMINOR=1",
        "-DPLUGIN_SIZE=64",
        "-DFUNCTION_SIZE=64",
        "-DRELEASE=(void (*)(uint64_t))1",
        "-DEVENT=(void (*)(void *, gantry_call, uint32_t, gantry_str))1",
    ];
    let library = Library::open(&build_c("tests/fixtures/plugins/table.c", &flags)).unwrap();
    assert_eq!(library.descriptor().abi.to_string(), "0.1");
    let pending = [&flags[..], &["-DFLAGS=GANTRY_FLAG_MAY_PEND"]].concat();
    let (code, message) = refusal(&pending);
    assert_eq!(code, "TABLE_POINTER_INVALID");
    assert_eq!(
        message,
        "event of function Plain is null; expected a valid pointer"
    );
}

#[test]
fn other_abi_version_is_refused_with_both_versions() {
    let (code, message) = refusal(&["-DMAJOR=7"]);
    assert_eq!(code, "ABI_MISMATCH");
    assert!(
        message.contains("speaks contract 7.3") && message.contains("speaks 0.3"),
        "{message}"
    );
    assert_eq!(refusal(&["-DMINOR=4"]).0, "ABI_MISMATCH");
    // The version is looked at before anything that could have moved with it.
    assert_eq!(
        refusal(&["-DMAJOR=7", "-DPLUGIN_SIZE=16"]).0,
        "ABI_MISMATCH"
    );
}

#[test]
fn table_that_ends_too_early_is_refused() {
    let (code, message) = refusal(&["-DPLUGIN_SIZE=63"]);
    assert_eq!(code, "TABLE_TOO_SMALL");
    assert_eq!(
        message,
        "the library's table has 63 bytes; expected at least 64"
    );
    assert_eq!(refusal(&["-DFUNCTION_SIZE=0"]).0, "TABLE_TOO_SMALL");
}

#[test]
fn null_pointers_are_refused_by_place() {
    let cases = [
        ("-DTABLE=NULL", "the library's table is null"),
        ("-DFIRST=NULL", "function 0 is null"),
        ("-DSTART=NULL", "start of function Plain is null"),
        ("-DCALL=NULL", "call of function Plain is null"),
        ("-DSTOP=NULL", "stop of function Plain is null"),
        (
            "-DFLAGS=GANTRY_FLAG_MAY_PEND",
            "event of function Plain is null",
        ),
    ];
    for (flag, place) in cases {
        let (code, message) = refusal(&[flag]);
        assert_eq!(code, "TABLE_POINTER_INVALID", "{flag}");
        assert!(message.starts_with(place), "{flag}: {message}");
    }
    let misaligned = "-DFIRST=(const gantry_function *)((const char *)&PLAIN + 1)";
    assert!(
        refusal(&[misaligned])
            .1
            .starts_with("function 0 is misaligned")
    );
}

#[test]
fn body_that_none_of_the_hooks_has_is_refused_by_name() {
    let (code, message) = refusal(&["-DFLAGS=GANTRY_FLAG_WANTS_RESPONSE_BODY"]);
    assert_eq!(code, "FUNCTION_BODY_NOWHERE");
    assert_eq!(
        message,
        "function Plain is for pre and declares wants_response_body; none of these hooks has that body"
    );
    let at_response = "-DHOOKS=1u<<GANTRY_HOOK_RESPONSE";
    let flags = ["-DFLAGS=GANTRY_FLAG_WANTS_REQUEST_BODY", at_response];
    assert_eq!(refusal(&flags).0, "FUNCTION_BODY_NOWHERE");
}

#[test]
fn unknown_and_reserved_bits_are_told_apart() {
    assert_eq!(refusal(&["-DFLAGS=1u<<31"]).0, "FLAG_UNKNOWN");
    assert_eq!(
        refusal(&["-DPARTS=UINT64_C(1)<<GANTRY_PART_REQUEST_BODY"]).0,
        "FLAG_UNSUPPORTED"
    );
    assert_eq!(refusal(&["-DPARTS=UINT64_C(1)<<40"]).0, "FLAG_UNKNOWN");
    assert_eq!(refusal(&["-DHOOKS=1u<<5"]).0, "FLAG_UNKNOWN");
    assert_eq!(refusal(&["-DPLUGIN_FLAGS=1"]).0, "FLAG_UNKNOWN");
    assert_eq!(refusal(&["-DRESERVED=1"]).0, "FLAG_UNKNOWN");
    assert_eq!(refusal(&["-DHOOKS=0"]).0, "FUNCTION_WITHOUT_HOOK");
}

#[test]
fn bad_names_and_counts_are_refused() {
    assert_eq!(refusal(&["-DNAME={NULL,0}"]).0, "NAME_INVALID");
    assert_eq!(refusal(&["-DNAME={NULL,5}"]).0, "NAME_INVALID");
    assert_eq!(
        refusal(&["-DNAME=GANTRY_LIT(\"not-a-name\")"]).0,
        "NAME_INVALID"
    );
    assert_eq!(
        refusal(&["-DPLUGIN_NAME=GANTRY_LIT(\"\\xff\")"]).0,
        "NAME_INVALID"
    );
    assert_eq!(refusal(&["-DCOUNT=0"]).0, "FUNCTION_COUNT");
    assert_eq!(refusal(&["-DCOUNT=100000000"]).0, "FUNCTION_COUNT");
    assert_eq!(refusal(&["-DCOUNT=2"]).0, "FUNCTION_DUPLICATE");
}

#[test]
fn file_that_is_no_plugin_is_refused_with_the_loaders_words() {
    assert_eq!(refusal(&["-DENTRY=something_else"]).0, "ENTRY_MISSING");
    let missing = Library::open(Path::new("/nowhere/at/all.so")).unwrap_err();
    assert_eq!(missing.code(), "LIBRARY_OPEN_FAILED");
    assert!(missing.to_string().contains("No such file"), "{missing}");
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let text = Library::open(&text).unwrap_err().to_string();
    assert!(text.contains("invalid ELF header"), "{text}");
}

#[test]
fn note_that_lies_about_the_table_is_found_out() {
    let path = fixture("lying_note");
    let library = Library::open(&path).unwrap();
    let difference = library.descriptor().differs_from(&note_of(&path)).unwrap();
    assert_eq!(
        difference,
        "function CheckEverything is in the note, not in the table"
    );

    let truth = note_of(&fixture("instances"));
    let difference = library.descriptor().differs_from(&truth).unwrap();
    assert_eq!(
        difference,
        "name is \"lying-note\" in the table, \"instances\" in the note"
    );
}

#[test]
fn function_that_does_not_start_says_why() {
    let library = open("start_fails");
    let error = start(&library, "StartFails", Hook::Pre, "{}").unwrap_err();
    assert_eq!(error.code(), "START_REFUSED");
    assert!(
        error.to_string().contains("this function never starts"),
        "{error}"
    );
    let error = start(&library, "StartFailsSilently", Hook::Pre, "{}").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it gave no reason (it returned 5)"),
        "{error}"
    );
}

#[test]
fn unknown_function_and_other_hook_are_refused_before_the_plugin_is_asked() {
    let library = open("instances");
    let error = start(&library, "Missing", Hook::Pre, "{}").unwrap_err();
    assert_eq!(error.code(), "FUNCTION_UNKNOWN");
    assert!(error.to_string().contains("it offers Stateful"), "{error}");
    let error = start(&library, "Stateful", Hook::Auth, "{}").unwrap_err();
    assert_eq!(error.code(), "HOOK_NOT_OFFERED");
    assert!(
        error.to_string().contains("it is for pre, response"),
        "{error}"
    );
}

#[test]
fn libraries_stay_loaded_and_keep_their_state_when_everything_of_them_is_dropped() {
    let path = fixture("instances");
    let first = Library::open(&path).unwrap();
    let kept = start(&first, "Stateful", Hook::Pre, "{}").unwrap();
    let alive = |instance: &gantry_plugin_host::Instance| {
        let mut exchange = support::request();
        instance.call(Hook::Pre, &mut exchange);
        support::told(&exchange, "x-alive")
    };
    assert_eq!(alive(&kept), [1]);
    drop(first);
    assert_eq!(alive(&kept), [1]);
    std::mem::forget(kept);
    let second = Library::open(&path).unwrap();
    let instance = start(&second, "Stateful", Hook::Pre, "{}").unwrap();
    assert_eq!(alive(&instance), [2]);
    assert_eq!(Arc::strong_count(&second), 2);
}
