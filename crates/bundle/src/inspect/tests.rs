//! Every refusal with a real library that is wrong in one way, and bytes that are wrong in many.

use super::*;
use crate::fixture::{PLUGIN, Workshop};

const E_TYPE: usize = 16;
const E_MACHINE: usize = 18;

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn here(version: &str) -> String {
    format!("hooks_{version}_{}.so", Platform::current())
}

fn elsewhere() -> &'static str {
    match Platform::current().arch {
        Arch::Amd64 => "linux_arm64",
        Arch::Arm64 => "linux_amd64",
    }
}

fn code(bytes: &[u8], file: &str) -> &'static str {
    let refusal = inspect(bytes, &name(file)).unwrap_err();
    assert!(refusal.to_string().starts_with(file), "{refusal}");
    refusal.code()
}

/// The code with which a library of this source and these flags is refused.
fn code_of(source: &str, flags: &[&str]) -> &'static str {
    code(&Workshop::new().cc(source, flags), "hooks.so")
}

#[test]
fn plugin_is_admitted_with_target_and_note_from_its_bytes() {
    let bytes = Workshop::new().plugin();
    let inspection = inspect(&bytes, &name("hooks.so")).unwrap();
    let expected = Target {
        platform: Platform::current(),
        gateway_version: None,
        libc: inspection.target.libc,
        abi: HOST_ABI,
    };
    assert_eq!(inspection.target, expected);
    assert_eq!(inspection.note.name, "fixture");
    assert_eq!(inspection.note.functions[0].name.as_str(), "Add");
    assert_eq!(inspection.warnings, []);
    let file = std::io::Cursor::new(&bytes);
    assert_eq!(inspect_reader(file, &name("hooks.so")).unwrap(), inspection);
}

#[test]
fn stripped_plugin_without_section_headers_is_admitted() {
    let mut bytes = Workshop::new().cc(PLUGIN, &["-s"]);
    bytes[0x28..0x30].fill(0); // e_shoff
    bytes[0x3c..0x40].fill(0); // e_shnum, e_shstrndx
    inspect(&bytes, &name("hooks.so")).unwrap();
}

#[test]
fn unaligned_bytes_are_read_like_aligned_ones() {
    let mut shifted = vec![0];
    shifted.extend(Workshop::new().plugin());
    inspect(&shifted[1..], &name("hooks.so")).unwrap();
}

#[test]
fn libc_is_the_highest_version_needed_and_none_without_libc() {
    let workshop = Workshop::new();
    let libc_of = |source: &str, flags: &[&str]| {
        let bytes = workshop.cc(source, flags);
        inspect(&bytes, &name("hooks.so")).unwrap().target.libc
    };
    assert_eq!(libc_of(PLUGIN, &["-nostdlib"]), None);
    let uses = format!(
        "#include <stdio.h>\n{PLUGIN}\n
         GANTRY_EXPORT int use(const char *s) {{ return puts(s); }}"
    );
    assert!(libc_of(&uses, &[]) >= Some(LibcVersion { major: 2, minor: 2 }));
}

#[test]
fn markers_of_the_loader_have_the_version_that_brought_them() {
    let version = |text: &str| glibc_version(text.as_bytes()).map(|version| version.to_string());
    assert_eq!(version("2.2.5").as_deref(), Some("2.2"));
    assert_eq!(version("2.17").as_deref(), Some("2.17"));
    assert_eq!(version("ABI_DT_RELR").as_deref(), Some("2.36"));
    assert_eq!(version("PRIVATE"), None);
    assert_eq!(version("ABI_LATER"), None);
}

#[test]
fn name_decides_the_gateway_version_when_the_note_has_none() {
    let bytes = Workshop::new().plugin();
    let target = inspect(&bytes, &name(&here("v5.3.0"))).unwrap().target;
    assert_eq!(target.gateway_version, Some(GatewayVersion::new(5, 3, 0)));
}

#[test]
fn note_decides_the_gateway_version_when_the_name_has_none() {
    let bytes = Workshop::new().cc(PLUGIN, &["-DGANTRY_GATEWAY_VERSION=\"5.3.0\""]);
    let version = |file: &str| inspect(&bytes, &name(file)).unwrap().target.gateway_version;
    assert_eq!(version("hooks.so"), Some(GatewayVersion::new(5, 3, 0)));
    assert_eq!(version(&here("5.3.0")), Some(GatewayVersion::new(5, 3, 0)));
    let refusal = inspect(&bytes, &name(&here("v5.4.0"))).unwrap_err();
    assert_eq!(
        refusal.refusal.to_string(),
        "expected one gateway version, found v5.4.0 in its name and v5.3.0 in its note"
    );
    assert_eq!(refusal.code(), "NAME_VERSION_MISMATCH");
}

#[test]
fn name_of_another_platform_is_refused() {
    let bytes = Workshop::new().plugin();
    let lying = format!("hooks_v5.3.0_{}.so", elsewhere());
    assert_eq!(code(&bytes, &lying), "NAME_PLATFORM_MISMATCH");
    let mut other = bytes;
    let machine: u16 = if elsewhere() == "linux_arm64" {
        183
    } else {
        62
    };
    other[E_MACHINE..][..2].copy_from_slice(&machine.to_le_bytes());
    assert_eq!(code(&other, &here("v5.3.0")), "NAME_PLATFORM_MISMATCH");
    let target = inspect(&other, &name(&lying)).unwrap().target;
    assert_eq!(target.platform.to_string(), elsewhere());
}

#[test]
fn other_kinds_of_file_are_refused_and_named() {
    let found = |bytes: &[u8]| {
        let error = inspect(bytes, &name("hooks.so")).unwrap_err();
        (error.code(), error.refusal.to_string())
    };
    for (bytes, kind) in [
        (&b""[..], "an empty file"),
        (b"PK\x03\x04", "a zip archive"),
        (b"#!/bin/sh", "a file that begins with 23 21 2f 62"),
    ] {
        let expected = format!("expected an ELF shared library, found {kind}");
        assert_eq!(found(bytes), ("ELF_MISSING", expected));
    }
    assert_eq!(found(b"\x7fELF").0, "ELF_MISSING");
    assert_eq!(found(b"\x7fELF\x02\x01").0, "ELF_MALFORMED");
}

#[test]
fn header_that_no_gateway_can_load_is_refused() {
    let bytes = Workshop::new().plugin();
    let patched = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        code(&bytes, "hooks.so")
    };
    assert_eq!(patched(4, 1), "ELF_CLASS");
    assert_eq!(patched(5, 2), "ELF_CLASS");
    assert_eq!(patched(E_TYPE, 1), "ELF_TYPE");
    assert_eq!(patched(E_TYPE, 2), "ELF_TYPE");
    assert_eq!(patched(E_MACHINE, 3), "ELF_MACHINE");
    assert_eq!(patched(0x38, 65), "ELF_MALFORMED"); // e_phnum
}

#[test]
fn program_is_refused_although_it_has_the_form_of_a_library() {
    let source = format!("{PLUGIN}\nint main(void) {{ return 0; }}");
    assert_eq!(code_of(&source, &["-pie", "-rdynamic"]), "ELF_TYPE");
}

#[test]
fn library_without_note_or_with_a_broken_one_is_refused() {
    let entry = "const gantry_plugin *gantry_plugin_v0(void) { return 0; }";
    let with = |note: &str| format!("#include \"gantry_plugin.h\"\n{note}\n{entry}");
    assert_eq!(code_of(&with(""), &[]), "NOTE_MISSING");
    assert_eq!(
        code_of(&with(r#"GANTRY_NOTE_JSON("{")"#), &[]),
        "NOTE_INVALID"
    );
    assert_eq!(
        code_of(&with(r#"GANTRY_NOTE("n", "1", "")"#), &[]),
        "NOTE_INVALID"
    );
    let twice = format!(
        "{PLUGIN}\n#define gantry_note_ gantry_note_again\nGANTRY_NOTE(\"n\", \"1\", \"\")"
    );
    assert_eq!(code_of(&twice, &[]), "NOTE_INVALID");
}

#[test]
fn contract_of_another_major_or_a_newer_minor_is_refused() {
    let with = |version: &str| PLUGIN.replace("GANTRY_NOTE(", &format!("{version}\nGANTRY_NOTE("));
    let major = "#undef GANTRY_ABI_MAJOR\n#define GANTRY_ABI_MAJOR 1";
    let minor = "#undef GANTRY_ABI_MINOR\n#define GANTRY_ABI_MINOR 99";
    assert_eq!(code_of(&with(major), &[]), "ABI_MISMATCH");
    assert_eq!(code_of(&with(minor), &[]), "ABI_MISMATCH");
}

#[test]
fn library_without_the_entry_function_is_refused() {
    let note_only = PLUGIN.split("const gantry_plugin").next().unwrap();
    assert_eq!(code_of(note_only, &[]), "ENTRY_MISSING");
    let hidden = format!("{PLUGIN}\n__asm__(\".hidden gantry_plugin_v0\");");
    assert_eq!(code_of(&hidden, &[]), "ENTRY_MISSING");
    let variable = format!(
        "#define gantry_plugin_v0 gantry_other\n{note_only}
         #undef gantry_plugin_v0\nGANTRY_EXPORT int gantry_plugin_v0 = 1;"
    );
    assert_eq!(code_of(&variable, &[]), "ENTRY_MISSING");
}

#[test]
fn library_that_needs_more_than_libc_is_refused() {
    let workshop = Workshop::new();
    let other = workshop.cc(
        "int other(void) { return 0; }",
        &["-Wl,-soname,libother.so.1"],
    );
    let other = workshop.write("libother.so", other);
    let flags = ["-Wl,--no-as-needed", other.to_str().unwrap()];
    let bytes = workshop.cc(PLUGIN, &flags);
    let refusal = inspect(&bytes, &name("hooks.so")).unwrap_err();
    assert_eq!(refusal.code(), "NEEDED_REFUSED");
    assert!(refusal.to_string().contains("libother.so.1"), "{refusal}");
}

#[test]
fn linking_that_weakens_the_gateway_is_refused() {
    assert_eq!(code_of(PLUGIN, &["-Wl,-rpath,/tmp"]), "RUNPATH_REFUSED");
    let old_tag = ["-Wl,--disable-new-dtags,-rpath,/tmp"];
    assert_eq!(code_of(PLUGIN, &old_tag), "RUNPATH_REFUSED");
    assert_eq!(code_of(PLUGIN, &["-Wl,-z,execstack"]), "EXECSTACK_REFUSED");
}

#[test]
fn missing_statement_about_the_stack_is_refused() {
    let mut bytes = Workshop::new().plugin();
    let stack = elf::PT_GNU_STACK.0.to_le_bytes();
    let at = bytes[64..].windows(4).position(|w| w == stack).unwrap() + 64;
    bytes[at..][..4].fill(0); // PT_NULL
    assert_eq!(code(&bytes, "hooks.so"), "EXECSTACK_REFUSED");
}

#[test]
fn text_relocations_are_refused() {
    let workshop = Workshop::new();
    let mut bytes = workshop.cc(PLUGIN, &["-Wl,-z,now"]);
    // DT_FLAGS is there because of -z now: add DF_TEXTREL to it.
    let at = find_dynamic(&bytes, 30);
    bytes[at + 8] |= 4;
    assert_eq!(code(&bytes, "hooks.so"), "TEXTREL_REFUSED");
}

/// The offset of the dynamic entry of a tag.
fn find_dynamic(bytes: &[u8], tag: u64) -> usize {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let mut header = 64;
    while word(header) & 0xffff_ffff != 2 {
        header += 56;
    }
    let mut at = usize::try_from(word(header + 8)).unwrap();
    while word(at) != tag {
        at += 16;
    }
    at
}

#[test]
fn unreadable_file_is_not_blamed_on_its_content() {
    struct Failing(std::io::Cursor<Vec<u8>>);
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    impl Seek for Failing {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let file = Failing(std::io::Cursor::new(Workshop::new().plugin()));
    let refusal = inspect_reader(file, &name("hooks.so")).unwrap_err();
    assert_eq!(refusal.code(), "FILE_UNREADABLE");
    assert!(refusal.to_string().contains("disk on fire"));
}

/// Bytes that an attacker chose never panic, whichever way they are read.
#[test]
fn mutated_libraries_never_panic() {
    let original = Workshop::new().plugin();
    let mut random = Random(0x5eed_cafe);
    let file = name("hooks.so");
    for round in 0..6000 {
        let mut bytes = original.clone();
        for _ in 0..=random.below(6) {
            // Headers, notes and tables are dense at the beginning; the rest is code and padding.
            let range = if random.below(3) == 0 {
                bytes.len()
            } else {
                4096.min(bytes.len())
            };
            let at = random.below(range);
            match random.below(3) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = 0xff,
                _ => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
            }
        }
        if round % 3 == 0 {
            bytes.truncate(random.below(original.len()));
        }
        let direct = inspect(&bytes, &file);
        let streamed = inspect_reader(std::io::Cursor::new(&bytes), &file);
        assert_eq!(direct, streamed, "round {round}");
    }
    for length in 0..original.len().min(4096) {
        let _ = inspect(&original[..length], &file);
    }
}

/// Xorshift: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}
