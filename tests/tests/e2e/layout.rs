//! The layout of the object store, as a raw listing shows it.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use gantry_tests::plugins::example;

use crate::lab::{Lab, arch};

/// The same library for the other architecture: admission reads `e_machine` (ELF header, offset 18).
fn for_other_machine(lab: &Lab, library: &Path) -> PathBuf {
    let copy = lab.stage.folder().join("other-machine.so");
    fs::copy(library, &copy).unwrap();
    let machine: u16 = if arch() == "amd64" { 183 } else { 62 };
    let file = fs::File::options().write(true).open(&copy).unwrap();
    file.write_all_at(&machine.to_le_bytes(), 18).unwrap();
    copy
}

#[test]
fn two_versions_and_two_architectures_lie_where_the_layout_says() {
    let lab = Lab::start();
    let other = if arch() == "amd64" { "arm64" } else { "amd64" };
    for version in ["1.0.0", "1.1.0"] {
        let native = example(version, Some("v5.3.0")).unwrap();
        let foreign = for_other_machine(&lab, &native);
        let bundle = lab
            .bundle("hooks", version)
            .file(&format!("hooks_v5.3.0_linux_{}.so", arch()), &native)
            .and_then(|bundle| bundle.file(&format!("hooks_v5.3.0_linux_{other}.so"), &foreign))
            .and_then(|bundle| bundle.file("always.so", &gantry_tests::plugins::faulty()?))
            .unwrap();
        lab.publish(bundle.hook("pre", "AddTraceHeader", "hooks.so").hook(
            "pre",
            "Echo",
            "always.so",
        ));
    }
    let objects = lab.stage.control_plane.objects().unwrap();
    let bundle_files: Vec<_> = objects
        .iter()
        .filter(|key| key.contains("/hooks/") && !key.contains("/published/"))
        .collect();
    for version in ["1.0.0", "1.1.0"] {
        for machine in [arch(), other] {
            let prefix = format!("t/acme/v5.3.0/linux_{machine}/hooks/{version}/");
            let suffix = format!("/hooks_v5.3.0_linux_{machine}.so");
            let key = bundle_files
                .iter()
                .find(|key| key.starts_with(&prefix) && key.ends_with(&suffix));
            let key = key.unwrap_or_else(|| panic!("no {prefix}…{suffix} in {objects:#?}"));
            let digest = &key[prefix.len()..key.len() - suffix.len()];
            assert!(
                digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()),
                "{key}"
            );
        }
        assert!(
            objects.contains(&format!("t/acme/published/hooks/{version}.json")),
            "{objects:#?}"
        );
    }
    let always: Vec<_> = bundle_files
        .iter()
        .filter(|key| key.ends_with("/always.so"))
        .collect();
    assert_eq!(
        always.len(),
        1,
        "an unchanged file of a later version points at the first key: {always:?}"
    );
    assert!(
        always[0].starts_with(&format!("t/acme/any/linux_{}/hooks/1.0.0/", arch())),
        "{always:?}"
    );
    assert!(
        objects.iter().all(|key| key.starts_with("t/acme/")),
        "the tenant comes first: {objects:#?}"
    );
}
