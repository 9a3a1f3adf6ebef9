//! What is published, as people with the command line see it.

use std::fs;

use gantry_tests::plugins;

use crate::lab::{Lab, assert_code};

#[test]
fn pulled_version_is_the_pushed_one_and_an_interrupted_pull_goes_on() {
    let lab = Lab::start();
    let library = plugins::faulty().unwrap();
    let bundle = lab
        .bundle("faulty", "1.0.0")
        .file("faulty.so", &library)
        .unwrap()
        .hook("pre", "Echo", "faulty.so");
    let pushed = lab.publish(bundle);
    let gantry = &lab.project.admin;
    let folder = lab.stage.folder().join("pulled");
    let out = folder.to_string_lossy().into_owned();
    let bytes = fs::read(&library).unwrap();

    // What an earlier pull left: good bytes are kept, and only the rest is asked for.
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("faulty.so.partial"), &bytes[..1000]).unwrap();
    let pulled = gantry
        .json(&["pull", "faulty@1.0.0", "--out", &out])
        .unwrap();
    assert_eq!(pulled["received_bytes"], bytes.len() - 1000);
    assert_eq!(fs::read(folder.join("faulty.so")).unwrap(), bytes);
    let again = gantry
        .json(&["pull", "faulty@1.0.0", "--out", &out])
        .unwrap();
    assert_eq!(again["received_bytes"], 0);

    // Bytes that rotted are found: nothing gets the file's name.
    fs::remove_file(folder.join("faulty.so")).unwrap();
    fs::write(folder.join("faulty.so.partial"), [0; 1000]).unwrap();
    let rotten = gantry
        .run(&["pull", "faulty@1.0.0", "--out", &out])
        .unwrap();
    assert_eq!(rotten.code, 3, "{}", rotten.stderr);
    assert!(!folder.join("faulty.so").exists());

    // A zip can be pushed as it is, and is the same version.
    let zip = format!("{out}.zip");
    gantry
        .json(&["pull", "faulty@1.0.0", "--out", &zip])
        .unwrap();
    let back = gantry.json(&["push", &zip]).unwrap();
    assert_eq!(back["already_published"], true);
    assert_eq!(back["release"], pushed["release"]);
}

#[test]
fn yanked_version_is_shown_as_such_and_deployed_nowhere_until_it_is_unyanked() {
    let lab = Lab::start();
    let library = plugins::faulty().unwrap();
    let bundle = lab
        .bundle("faulty", "1.0.0")
        .file("faulty.so", &library)
        .unwrap()
        .hook("pre", "Echo", "faulty.so");
    lab.publish(bundle);
    let gantry = &lab.project.admin;
    gantry
        .json(&["yank", "faulty@1.0.0", "--reason", "drops headers"])
        .unwrap();
    let listed = gantry.json(&["list"]).unwrap();
    assert_eq!(listed[0]["yanked_versions"], 1);
    let versions = gantry.json(&["versions", "faulty"]).unwrap();
    assert_eq!(versions[0]["yanked"]["reason"], "drops headers");
    let refused = gantry.run(&["deploy", "faulty@1.0.0"]).unwrap();
    assert_code(&refused, "VERSION_YANKED");
    assert_eq!(refused.code, 7, "{}", refused.stderr);
    gantry.json(&["unyank", "faulty@1.0.0"]).unwrap();
    gantry.deploy("faulty@1.0.0").unwrap();
    let got = gantry.json(&["get", "faulty@1.0.0"]).unwrap();
    assert_eq!(
        (&got["yanked"], &got["manifest"]["name"]),
        (&().into(), &"faulty".into())
    );
}
