//! Bundles as people make them, and archives as attackers do.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::fixture::Workshop;
use crate::pack;

const DRAFT: &str = r#"{"name":"hooks","version":"1.0.0","file_list":["b.so","a.so"],
    "custom_middleware":{"driver":"goplugin","pre":[{"name":"Add","path":"a.so"}]}}"#;

fn limits() -> Limits {
    Limits {
        bundle_files_max: 3,
        file_bytes_max: 4 << 20,
        bundle_bytes_max: 5 << 20,
        manifest_bytes_max: 4096,
        ..Limits::default()
    }
}

/// A folder with a bundle of two files.
fn folder() -> Workshop {
    let workshop = Workshop::new();
    workshop.write(MANIFEST, DRAFT);
    workshop.write("a.so", "first");
    workshop.write("b.so", "second");
    workshop
}

fn zip_with(entries: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(entries, SimpleFileOptions::default())
}

fn good_entries() -> [(&'static str, &'static [u8]); 3] {
    [
        (MANIFEST, DRAFT.as_bytes()),
        ("a.so", b"first"),
        ("b.so", b"second"),
    ]
}

fn open_zip(bytes: &[u8]) -> Result<BundleSource, BundleError> {
    let workshop = Workshop::new();
    let path = workshop.write("bundle.zip", bytes);
    BundleSource::open(&path, &limits())
}

fn refusal(bytes: &[u8]) -> &'static str {
    open_zip(bytes).unwrap_err().code()
}

#[test]
fn folder_and_archive_of_one_bundle_are_the_same() {
    let folder = folder();
    let from_folder = BundleSource::open(folder.path(), &limits()).unwrap();
    let mut packed = Cursor::new(Vec::new());
    pack(&from_folder, &mut packed).unwrap();
    let from_zip = open_zip(packed.get_ref()).unwrap();
    assert_eq!(from_zip.manifest(), from_folder.manifest());
    assert_eq!(from_zip.files(), from_folder.files());
    assert_eq!(from_zip.files()[0].name.as_str(), "b.so");
    assert_eq!(from_zip.files()[0].digest, Digest::of("second"));
    let path = from_zip.path_of(&"a.so".parse().unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"first");
    drop(from_zip);
    assert!(!path.exists(), "an unpacked archive stays after its use");
}

#[test]
fn packing_twice_gives_the_same_bytes() {
    let bytes = |workshop: &Workshop| {
        let source = BundleSource::open(&workshop.path().join(MANIFEST), &limits()).unwrap();
        let mut packed = Cursor::new(Vec::new());
        pack(&source, &mut packed).unwrap();
        packed.into_inner()
    };
    assert_eq!(bytes(&folder()), bytes(&folder()));
}

#[test]
fn folder_warns_of_a_library_that_the_manifest_forgot() {
    let folder = folder();
    folder.write("c.so", "third");
    folder.write("README.md", "text");
    let source = BundleSource::open(folder.path(), &limits()).unwrap();
    let warnings: Vec<_> = source.warnings().iter().map(|w| w.code).collect();
    assert_eq!(warnings, ["FILE_UNLISTED"]);
    assert_eq!(source.files().len(), 2);
}

#[test]
fn manifest_without_its_file_is_refused() {
    let folder = folder();
    fs::remove_file(folder.path().join("a.so")).unwrap();
    let error = BundleSource::open(folder.path(), &limits()).unwrap_err();
    assert_eq!(error.fields()[0].code, "FILE_MISSING");
    assert!(error.to_string().contains("a.so"), "{error}");
    fs::remove_file(folder.path().join(MANIFEST)).unwrap();
    let error = BundleSource::open(folder.path(), &limits()).unwrap_err();
    assert_eq!(error.code(), "MANIFEST_MISSING");
}

#[test]
fn digest_and_checksum_that_do_not_hold_are_refused() {
    let other = Digest::of("other").to_string();
    for (field, code) in [
        (
            format!(r#""sha256":{{"a.so":"{other}"}}"#),
            "DIGEST_MISMATCH",
        ),
        (
            r#""checksum":"900150983cd24fb0d6963f7d28e17f72""#.into(),
            "CHECKSUM_MISMATCH",
        ),
    ] {
        let folder = folder();
        folder.write(MANIFEST, DRAFT.replacen('{', &format!("{{{field},"), 1));
        let error = BundleSource::open(folder.path(), &limits()).unwrap_err();
        assert_eq!(error.fields()[0].code, code);
    }
}

#[test]
fn right_checksum_is_accepted_over_the_order_of_file_list() {
    let mut md5 = Md5Sum::new();
    md5.update(b"secondfirst");
    let folder = folder();
    let field = format!("{{\"checksum\":\"{}\",", md5.finish());
    folder.write(MANIFEST, DRAFT.replacen('{', &field, 1));
    let source = BundleSource::open(folder.path(), &limits()).unwrap();
    assert_eq!(source.warnings()[0].code, "FIELD_IGNORED");
}

#[test]
fn files_beyond_the_limits_are_refused_and_exactly_the_limit_is_not() {
    let folder = folder();
    let check = |a: u64, b: u64| {
        File::create(folder.path().join("a.so"))
            .unwrap()
            .set_len(a)
            .unwrap();
        File::create(folder.path().join("b.so"))
            .unwrap()
            .set_len(b)
            .unwrap();
        BundleSource::open(folder.path(), &limits())
            .map(drop)
            .map_err(|e| e.code())
    };
    assert_eq!(check(4 << 20, 1 << 20), Ok(()));
    assert_eq!(check((4 << 20) + 1, 1), Err("TOO_LARGE"));
    assert_eq!(check(4 << 20, (1 << 20) + 1), Err("TOO_LARGE"));
}

#[test]
fn archive_without_manifest_or_with_a_stranger_is_refused() {
    assert_eq!(refusal(&zip_of(&[("a.so", b"first")])), "MANIFEST_MISSING");
    let mut entries = good_entries().to_vec();
    entries.push(("c.so", b"third"));
    assert_eq!(refusal(&zip_of(&entries)), "FILE_UNLISTED");
    entries.push(("d.so", b"fourth"));
    assert_eq!(refusal(&zip_of(&entries)), "TOO_LARGE");
    assert_eq!(refusal(b"no archive at all"), "ARCHIVE_MALFORMED");
    assert_eq!(refusal(b""), "ARCHIVE_MALFORMED");
}

#[test]
fn directory_of_entries_beyond_any_bundle_is_refused_before_it_is_read() {
    let options = SimpleFileOptions::default();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for i in 0..30_000 {
        zip.start_file(format!("{i}.so"), options).unwrap();
    }
    let error = open_zip(&zip.finish().unwrap().into_inner()).unwrap_err();
    assert_eq!(error.code(), "TOO_LARGE");
    assert!(error.to_string().contains("headers"), "{error}");
}

#[test]
fn names_that_leave_the_folder_are_refused_and_nothing_is_written() {
    let outside = Workshop::new();
    let absolute = outside.path().join("evil.so");
    for name in [
        "../evil.so",
        "a/../../evil.so",
        absolute.to_str().unwrap(),
        "a\\b.so",
        ".hidden",
    ] {
        let mut entries = good_entries().to_vec();
        entries[1].0 = name;
        let error = open_zip(&zip_of(&entries)).unwrap_err();
        assert_eq!(error.code(), "ENTRY_NAME", "{name}");
    }
    assert!(!absolute.exists());
}

#[test]
fn folders_and_symbolic_links_are_refused() {
    let options = SimpleFileOptions::default();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(MANIFEST, options).unwrap();
    zip.add_symlink("a.so", "/etc/passwd", options).unwrap();
    assert_eq!(
        refusal(&zip.finish().unwrap().into_inner()),
        "ENTRY_NOT_A_FILE"
    );
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_directory("lib", options).unwrap();
    assert_eq!(refusal(&zip.finish().unwrap().into_inner()), "ENTRY_NAME");
}

#[test]
fn one_name_twice_is_refused() {
    let mut bytes = zip_of(&[(MANIFEST, b"{}"), ("a.so", b"1"), ("b.so", b"2")]);
    let renamed: Vec<_> = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, w)| *w == b"b.so")
        .map(|(i, _)| i)
        .collect();
    for at in renamed {
        bytes[at] = b'a';
    }
    assert_eq!(refusal(&bytes), "ENTRY_DUPLICATE");
}

#[test]
fn bomb_is_refused_by_its_ratio() {
    let zeros = vec![0; 3 << 20];
    let mut entries = good_entries().to_vec();
    entries[1].1 = &zeros;
    assert_eq!(refusal(&zip_of(&entries)), "ENTRY_RATIO");
    // The same bytes without compression are just a file.
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    open_zip(&zip_with(&entries, stored)).unwrap();
}

#[test]
fn damaged_content_is_refused() {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut bytes = zip_with(&good_entries(), stored);
    let at = bytes.windows(5).position(|w| w == b"first").unwrap();
    bytes[at] ^= 1;
    assert_eq!(refusal(&bytes), "ENTRY_DAMAGED");
}

#[test]
fn mutated_archives_never_panic() {
    let folder = folder();
    let source = BundleSource::open(folder.path(), &limits()).unwrap();
    let mut packed = Cursor::new(Vec::new());
    pack(&source, &mut packed).unwrap();
    let original = packed.into_inner();
    let path = folder.path().join("bundle.zip");
    let mut seed = 0x5eed_u64;
    let mut below = |bound: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % bound
    };
    for round in 0..1500 {
        let mut bytes = original.clone();
        for _ in 0..=below(4) {
            let at = below(bytes.len());
            bytes[at] ^= 1 << below(8);
        }
        if round % 4 == 0 {
            bytes.truncate(below(original.len()));
        }
        fs::write(&path, &bytes).unwrap();
        if let Ok(opened) = BundleSource::open(&path, &limits()) {
            assert_eq!(opened.files().len(), 2);
        }
    }
}
