//! `gantry build`: from an author's folder to libraries for each gateway version and platform, that a
//! push takes and a gateway runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gantry_tests::binaries::workspace;
use gantry_tests::process::eventually;
use serde_json::{Value, json};

use crate::documents;
use crate::lab::{Lab, VERSION, arch, get, middleware};
use crate::workbench::{Workbench, small_crate};

const VERSIONS: [&str; 2] = ["v5.3.0", "v5.4.0"];
const PLATFORMS: [&str; 2] = ["amd64", "arm64"];

/// Everything in a folder, by name.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.is_file());
    files
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

/// What was built is named and noted for each version and platform, needs no newer glibc than 2.17, has
/// the digest that is told, and is nothing that a push would refuse.
fn assert_matrix(
    bench: &Workbench,
    built: &Value,
    name: &str,
    versions: &[&str],
    functions: &[&str],
) {
    let built = built.as_array().unwrap();
    let targets = versions
        .iter()
        .flat_map(|version| PLATFORMS.map(|arch| (*version, arch)));
    for (library, (version, arch)) in built.iter().zip(targets.clone()) {
        let path = bench
            .out()
            .join(format!("{name}_{version}_linux_{arch}.so"));
        assert_eq!(library["path"], path.to_str().unwrap());
        assert_eq!(library["target"], format!("linux_{arch}"));
        assert_eq!(library["gateway_version"], version);
        let glibc = library["glibc"].as_str().unwrap();
        let minor: u32 = glibc.strip_prefix("2.").unwrap().parse().unwrap();
        assert!(minor <= 17, "{library} needs glibc {glibc}");
        let named = library["functions"].as_array().unwrap().iter();
        let named: Vec<_> = named
            .map(|function| function["name"].as_str().unwrap())
            .collect();
        assert_eq!(named, functions);
        let inspected = bench.json(&["bundle", "inspect", path.to_str().unwrap()]);
        let inspected = &inspected["files"][0];
        assert_eq!(inspected["accepted"], true, "{inspected}");
        assert_eq!(inspected["sha256"], library["sha256"]);
        assert_eq!(inspected["size_bytes"], library["size_bytes"]);
    }
    assert_eq!(built.len(), targets.count());
    assert_eq!(
        contents(bench.out()).len(),
        built.len(),
        "nothing else is left in the folder"
    );
}

/// Builds for versions and both platforms.
fn build(bench: &Workbench, folder: &Path, versions: &[&str]) -> Value {
    let versions = versions
        .iter()
        .flat_map(|version| ["--gateway-version", *version]);
    let platforms = ["--target", "linux/amd64", "--target", "linux/arm64"];
    let arguments: Vec<_> = versions.chain(platforms).collect();
    bench.build(folder, &arguments)
}

#[test]
fn c_sources_become_a_library_for_each_version_and_platform() {
    let bench = Workbench::new();
    let folder = workspace().join("examples/c-headers");
    let before = contents(&folder);
    let built = build(&bench, &folder, &VERSIONS);
    assert_matrix(
        &bench,
        &built,
        "c-headers",
        &VERSIONS,
        &["BlockPath", "TagRequest"],
    );
    let written = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let times = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().map(written).collect::<Vec<_>>();
    let first = times(&contents(bench.out()));
    assert_eq!(build(&bench, &folder, &VERSIONS), built, "again, the same");
    assert_eq!(
        times(&contents(bench.out())),
        first,
        "and files that are right stay as they are"
    );
    assert_eq!(
        contents(&folder),
        before,
        "the author's folder stays as it is"
    );
}

#[test]
fn go_package_becomes_a_library_for_each_version_and_platform() {
    let bench = Workbench::new();
    let folder = workspace().join("examples/go-hooks");
    let before = contents(&folder);
    let built = build(&bench, &folder, &VERSIONS);
    let functions = ["Correlate", "Maintenance", "MaskFields"];
    assert_matrix(&bench, &built, "go-hooks", &VERSIONS, &functions);
    assert_eq!(
        contents(&folder),
        before,
        "the author's folder stays as it is"
    );
}

#[test]
fn rust_package_becomes_a_library_for_each_version_and_platform() {
    let bench = Workbench::new().with_rust_for_arm64();
    let folder = small_crate(bench.room(), "versions");
    let built = build(&bench, &folder, &VERSIONS);
    assert_matrix(&bench, &built, "small", &VERSIONS, &["Greet"]);
}

#[test]
fn two_folders_with_one_source_give_the_same_bytes() {
    let bench = Workbench::new();
    let go = |place: &str| {
        let folder = bench.room().join(place).join("go");
        fs::create_dir_all(&folder).unwrap();
        for (path, bytes) in contents(&workspace().join("examples/go-hooks")) {
            fs::write(folder.join(path.file_name().unwrap()), bytes).unwrap();
        }
        let module = fs::read_to_string(folder.join("go.mod")).unwrap();
        let sdk = workspace().join("sdk/go");
        let module = module.replace("../../sdk/go", sdk.to_str().unwrap());
        fs::write(folder.join("go.mod"), module).unwrap();
        folder
    };
    let c = |place: &str| {
        let folder = bench.room().join(place).join("c");
        fs::create_dir_all(&folder).unwrap();
        let source = fs::read_to_string(workspace().join("examples/c-headers/plugin.c")).unwrap();
        // What compilers put into a library that differs by place and time.
        let told = "const char *told(void) { return __FILE__ __DATE__ __TIME__; }\n";
        fs::write(folder.join("plugin.c"), source + told).unwrap();
        folder
    };
    let digests = |place: &str| {
        let folders = [c(place), go(place), small_crate(bench.room(), place)];
        folders.map(|folder| {
            let built = bench.build(&folder, &[]);
            let path = built[0]["path"].as_str().unwrap().to_owned();
            let bytes = fs::read(path).unwrap();
            let room = bench.room().to_str().unwrap().as_bytes();
            let tells = bytes.windows(room.len()).any(|window| window == room);
            assert!(!tells, "{built} tells where it was built");
            built[0]["sha256"].clone()
        })
    };
    assert_eq!(digests("here"), digests("elsewhere/and/deeper"));
}

#[test]
fn libraries_that_were_built_are_pushed_and_run_by_the_gateway_of_their_version() {
    let lab = Lab::start();
    let bench = Workbench::new();
    let files = ["example-hooks", "c-headers", "go-hooks"];
    let folders = [
        "examples/rust-hooks",
        "examples/c-headers",
        "examples/go-hooks",
    ];
    for folder in folders {
        bench.build(&workspace().join(folder), &["--gateway-version", VERSION]);
    }
    let names: Vec<_> = files
        .map(|name| format!("{name}_{VERSION}_linux_{}.so", arch()))
        .into();
    let pre = [
        ("TagRequest", "c-headers.so"),
        ("AddTraceHeader", "example-hooks.so"),
        ("Correlate", "go-hooks.so"),
    ];
    let response = [("StampResponse", "example-hooks.so")];
    let manifest = json!({
        "name": "built", "version": "1.0.0", "file_list": names,
        "custom_middleware": middleware(&[("pre", &pre), ("response", &response)]),
    });
    fs::write(bench.out().join("manifest.json"), manifest.to_string()).unwrap();
    lab.project.admin.push(bench.out()).unwrap();
    lab.project.admin.deploy("built@1.0.0").unwrap();
    let gateway = lab.gateway();
    let fields = json!({
        "use_keyless": true, "custom_middleware_bundle": "built", "config_data": {"tag": "blue"},
    });
    lab.put(&gateway, &fields);
    let answer = eventually("the functions run", || {
        Some(get(&gateway, "/api/x")).filter(|answer| answer.status == 200)
    })
    .unwrap();
    let seen = &answer.json()["headers"];
    assert_eq!(seen["x-tag"], "blue");
    let correlated = seen["x-correlation-id"].as_str().unwrap();
    assert!(correlated.starts_with("blue/"), "{correlated}");
    let stamp = answer.header("x-gantry-plugin");
    assert!(stamp.ends_with("for gateway 5.3.0"), "{stamp}");
}

#[test]
fn commands_of_the_page_on_building_work() {
    let out = documents::run(&["docs/BUILDING.md"], &[]);
    assert!(out.contains("c-headers_v5.4.0_linux_arm64.so"), "{out}");
    assert!(out.contains("hooks-1.0.0.zip"), "{out}");
}
