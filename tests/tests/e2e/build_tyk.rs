//! `gantry build` on plugins as they were written for Tyk: built as they are, with nothing of Tyk's
//! fetched and nothing written beside them, or refused at the place that cannot work.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gantry_tests::binaries::workspace;
use serde_json::Value;

use crate::workbench::Workbench;

const SYSTEM: &str = "--system-toolchain";

/// Everything below a folder, by its path from there.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(each) = folders.pop() {
        for entry in fs::read_dir(each).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(folder).unwrap().to_owned();
                files.insert(below, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// A copy of one of the plugins that the Go SDK keeps, as an author's own folder.
fn authors(bench: &Workbench, place: &str, plugin: &str) -> PathBuf {
    let folder = bench.room().join(place);
    let kept = workspace().join("sdk/go-tyk/testdata").join(plugin);
    for (path, bytes) in tree(&kept) {
        write(&folder.join(path), &bytes);
    }
    folder
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A plugin with these files.
fn sources(bench: &Workbench, place: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = bench.room().join(place);
    for (name, text) in files {
        write(&folder.join(name), text);
    }
    folder
}

fn names(library: &Value, list: &str) -> Vec<String> {
    let list = library[list].as_array().unwrap().iter();
    list.map(|each| each["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The library that an earlier build keeps, with the time at which it was made.
fn kept_library(bench: &Workbench) -> (PathBuf, std::time::SystemTime) {
    let cache = bench.room().join("cache");
    let files = tree(&cache).into_keys();
    let mut found = files.filter(|path| path.ends_with("plugin.so"));
    let path = cache.join(found.next().unwrap());
    assert_eq!(found.next(), None);
    let made = fs::metadata(&path).unwrap().modified().unwrap();
    (path, made)
}

#[test]
fn tyk_source_without_a_module_file_is_built_once_and_stays_as_it_is() {
    let bench = Workbench::new();
    let folder = authors(&bench, "odd-shapes", "plugins/odd-shapes");
    let before = tree(&folder);
    let built = bench.build(&folder, &[SYSTEM]);
    let library = &built[0];
    assert_eq!(library["name"], "odd-shapes");
    assert_eq!(library["version"], "0.0.0");
    assert_eq!(
        names(library, "functions"),
        ["Blank", "Grouped", "Plain", "Quick"]
    );
    assert_eq!(
        names(library, "skipped"),
        ["WithResult", "Swapped", "Version"]
    );
    assert_eq!(library["skipped"][0]["line"], 29);
    assert_eq!(
        library["functions"][1]["hooks"],
        serde_json::json!(["response"])
    );
    let first = kept_library(&bench);
    assert_eq!(bench.build(&folder, &[SYSTEM]), built, "again, the same");
    assert_eq!(kept_library(&bench), first, "and nothing was compiled");

    let named = ["--name", "mine", "--plugin-version", "1.2.0", SYSTEM];
    let built = bench.build(&folder, &named);
    assert_eq!(built[0]["name"], "mine");
    assert_eq!(built[0]["version"], "1.2.0");
    assert!(bench.out().join("mine.so").is_file());
    assert_eq!(tree(&folder), before, "the author's folder stays as it is");
}

#[test]
fn vendored_plugin_is_built_with_the_network_off_and_without_the_tyk_in_it() {
    let bench = Workbench::new();
    let folder = authors(&bench, "vendored", "plugins/vendored");
    // What lies there under Tyk's name would not even compile.
    write(
        &folder.join("vendor/github.com/TykTechnologies/tyk/ctx/ctx.go"),
        "package ctx\n\nfunc broken( {\n",
    );
    let before = tree(&folder);
    let built = bench.build(&folder, &[SYSTEM]);
    assert_eq!(names(&built[0], "functions"), ["Greet"]);
    assert_eq!(tree(&folder), before, "the author's folder stays as it is");
}

#[test]
fn two_folders_with_one_tyk_source_give_the_same_bytes() {
    let digest = |place: &str| {
        let bench = Workbench::new();
        let folder = authors(&bench, place, "plugins/ctx-values");
        let built = bench.build(&folder, &["--gateway-version", "v5.3.0", SYSTEM]);
        let library = &built[0];
        assert_eq!(library["gateway_version"], "v5.3.0");
        let bytes = fs::read(library["path"].as_str().unwrap()).unwrap();
        let room = bench.room().to_str().unwrap().as_bytes();
        let tells = bytes.windows(room.len()).any(|window| window == room);
        assert!(!tells, "{library} tells where it was built");
        library["sha256"].clone()
    };
    assert_eq!(digest("ctx-values"), digest("elsewhere/and/deeper"));

    let without_module = |place: &str| {
        let bench = Workbench::new();
        let folder = bench.room().join(place);
        let main = "package main\n\nimport \"net/http\"\n\nfunc Greet(http.ResponseWriter, *http.Request) {}\n";
        write(&folder.join("main.go"), main);
        let built = bench.build(&folder, &["--name", "greet", SYSTEM]);
        built[0]["sha256"].clone()
    };
    assert_eq!(without_module("one"), without_module("another/one"));
}

#[test]
fn authors_module_file_decides_the_language_and_where_modules_are() {
    let bench = Workbench::new();
    let module = "module example.com/shop/v2\n\ngo 1.17\n\n\
                  require (\n\tgithub.com/TykTechnologies/tyk v1.9.2-0.20240527100000-370295d796b5\n\texample.com/inner v1.0.0\n\
                  \texample.com/never/asked/for v1.0.0 // indirect\n)\n\n\
                  replace github.com/TykTechnologies/tyk => ../my-tyk\n\n\
                  replace example.com/inner => ./inner\n";
    let main = r#"package main

// static int teapot(void) { return 418; }
import "C"

import (
    web "net/http"

    "example.com/inner"
    tyk "github.com/TykTechnologies/tyk/ctx"
)

// Count says what closures see of a loop's variable, which differs from Go 1.22 on.
func Count(rw web.ResponseWriter, r *web.Request) {
    var each []func() int
    for i := 0; i < 3; i++ {
        each = append(each, func() int { return i })
    }
    _ = tyk.GetSession(r)
    rw.WriteHeader(int(C.teapot()) + each[0]() + inner.Zero)
}
"#;
    let folder = sources(
        &bench,
        "shop",
        &[
            ("go.mod", module),
            ("main.go", main),
            ("inner/go.mod", "module example.com/inner\n"),
            ("inner/inner.go", "package inner\n\nconst Zero = 0\n"),
            // A copy of Tyk, which is not looked at.
            (
                "../my-tyk/ctx/ctx.go",
                "package ctx\n\nimport _ \"github.com/TykTechnologies/tyk/storage\"\n",
            ),
        ],
    );
    let before = tree(&folder);
    let built = bench.build(&folder, &[SYSTEM]);
    assert_eq!(built[0]["name"], "shop");
    assert_eq!(names(&built[0], "functions"), ["Count"]);
    assert_eq!(tree(&folder), before, "the author's folder stays as it is");
    let used = tree(&bench.room().join("cache")).into_iter();
    let modules = used.filter(|(path, _)| {
        path.ends_with("go.mod") && path.to_string_lossy().contains("modules-")
    });
    let modules: Vec<_> = modules
        .map(|(_, text)| String::from_utf8(text).unwrap())
        .collect();
    assert_eq!(modules.len(), 1);
    assert!(modules[0].contains("\ngo 1.17\n"), "{}", modules[0]);
}

#[test]
fn files_that_tyks_compiler_takes_and_those_that_it_leaves_out_may_lie_side_by_side() {
    // As in shells of authors who have had Go for long, or whose modules are all private.
    let bench = Workbench::new()
        .with("GO111MODULE", "off")
        .with("GOPRIVATE", "*");
    let folder = sources(
        &bench,
        "tagged",
        &[
            ("go.mod", "module example.com/tagged\n\ngo 1.17\n"),
            (
                "hook.go",
                "// +build goplugin\n\npackage main\n\nimport (\n\t\"net/http\"\n\n\
                 \t\"github.com/TykTechnologies/tyk/analytics\"\n)\n\n\
                 func Hook(w http.ResponseWriter, r *http.Request) { r.Header.Set(\"X-Name\", name()) }\n\n\
                 func Mask(record *analytics.Record) { record.RawRequest = \"\" }\n",
            ),
            (
                "alone.go",
                "//go:build !goplugin\n\npackage main\n\nfunc name() string { return 1 }\n",
            ),
            (
                "name.go",
                "/*\npackage names are kept here\n*/\npackage main\n\nfunc name() string { return \"plugin\" }\n",
            ),
            (
                "tools.go",
                "//go:build tools\n\npackage tools\n\nimport _ \"example.com/never/asked/for\"\n",
            ),
        ],
    );
    let built = bench.build(&folder, &[SYSTEM]);
    assert_eq!(names(&built[0], "functions"), ["Hook"]);
    assert_eq!(names(&built[0], "skipped"), ["Mask"]);
}

#[test]
fn plugin_in_a_copy_of_tyk_is_built_with_our_packages_and_not_with_those_beside_it() {
    let bench = Workbench::new();
    let main = "package main\n\nimport (\n\t\"net/http\"\n\n\t\"github.com/TykTechnologies/tyk/ctx\"\n)\n\n\
                func Hook(w http.ResponseWriter, r *http.Request) { _ = ctx.GetSession(r) }\n";
    let folder = sources(
        &bench,
        "tyk",
        &[
            (
                "go.mod",
                "module github.com/TykTechnologies/tyk\n\ngo 1.21\n\nrequire example.com/never/asked/for v1.0.0\n",
            ),
            ("ctx/ctx.go", "package ctx\n\nfunc broken( {\n"),
            ("plugins/mine/main.go", main),
        ],
    );
    let before = tree(&folder);
    let built = bench.build(&folder.join("plugins/mine"), &[SYSTEM]);
    assert_eq!(built[0]["name"], "mine");
    assert_eq!(names(&built[0], "functions"), ["Hook"]);
    assert_eq!(tree(&folder), before, "the author's folder stays as it is");
}

#[test]
fn modules_of_a_workspace_are_taken_from_their_folders() {
    let bench = Workbench::new().with("GOWORK", "");
    let main = "package main\n\nimport (\n\t\"net/http\"\n\n\t\"example.com/acme/names\"\n\
                \t\"github.com/TykTechnologies/tyk/ctx\"\n)\n\n\
                func Hook(w http.ResponseWriter, r *http.Request) {\n\
                \t_ = ctx.GetSession(r)\n\tr.Header.Set(\"X-Name\", names.Of())\n}\n";
    let folder = sources(
        &bench,
        "work",
        &[
            (
                "go.work",
                "go 1.21\n\nuse (\n\t./plugin\n\t./names\n\t./tyk\n\t./absent\n)\n",
            ),
            (
                "plugin/go.mod",
                "module example.com/acme/plugin\n\ngo 1.21\n",
            ),
            ("plugin/main.go", main),
            ("names/go.mod", "module example.com/acme/names\n\ngo 1.21\n"),
            (
                "names/names.go",
                "package names\n\nfunc Of() string { return \"plugin\" }\n",
            ),
            (
                "tyk/go.mod",
                "module github.com/TykTechnologies/tyk\n\ngo 1.21\n",
            ),
            ("tyk/ctx/ctx.go", "package ctx\n\nfunc broken( {\n"),
        ],
    );
    let before = tree(&folder);
    let built = bench.build(&folder.join("plugin"), &[SYSTEM]);
    assert_eq!(names(&built[0], "functions"), ["Hook"]);
    assert_eq!(tree(&folder), before, "the author's folder stays as it is");
}

#[test]
fn source_that_cannot_work_is_refused_at_its_place_with_what_to_do_instead() {
    let bench = Workbench::new();
    let cases = [
        (
            "gateway",
            "TYK_INTERNAL",
            "main.go:6:2",
            "ctx, user, apidef",
        ),
        (
            "internal",
            "TYK_INTERNAL",
            "main.go:6:2",
            "ctx, user, apidef",
        ),
        ("storage", "TYK_STORAGE", "main.go:6:2", "your own client"),
        ("config", "TYK_CONFIG", "main.go:6:2", "config_data"),
        ("context-keys", "TYK_CONTEXT_KEY", "main.go:14:53", "r.URL"),
        (
            "not-a-function",
            "NOT_A_FUNCTION",
            "main.go:11:5",
            "func Hook",
        ),
    ];
    for (plugin, code, place, advice) in cases {
        let folder = authors(&bench, plugin, &format!("refused/{plugin}"));
        let before = tree(&folder);
        let outcome = bench.try_build(&folder, &[SYSTEM]);
        assert_eq!(outcome.code, 3, "{plugin}: {}", outcome.stderr);
        for word in [code, place, advice] {
            assert!(
                outcome.stderr.contains(word),
                "{word} is in\n{}",
                outcome.stderr
            );
        }
        assert_eq!(tree(&folder), before, "the author's folder stays as it is");
    }
    assert_eq!(fs::read_dir(bench.out()).unwrap().count(), 0);
}

#[test]
fn refusals_come_in_order_and_each_with_its_hint() {
    let bench = Workbench::new();
    let main = "package main\n\nimport (\n\t\"net/http\"\n\n\
                \t_ \"github.com/TykTechnologies/tyk/storage\"\n\
                \t_ \"github.com/TykTechnologies/tyk/config\"\n)\n\n\
                func Hook(w http.ResponseWriter, r *http.Request) {}\n";
    let other = "package main\n\nimport _ \"github.com/TykTechnologies/tyk/config\"\n";
    let files = [("main.go", main), ("a.go", other)];
    let folder = sources(&bench, "two", &files);
    for output in ["table", "json"] {
        let outcome = bench.try_build(&folder, &[SYSTEM, "--output", output]);
        assert_eq!(outcome.code, 3, "{}", outcome.stderr);
        let told = outcome.stderr.lines().filter_map(|line| {
            let told = line.starts_with("error: ") || line.starts_with("hint: ");
            told.then(|| {
                line.split_whitespace()
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        });
        let told: Vec<_> = told.collect();
        let places = [
            "error: a.go:3:8:",
            "error: main.go:6:2:",
            "error: main.go:7:2:",
        ];
        assert_eq!(told.len(), 6, "{}", outcome.stderr);
        for (pair, place) in told.chunks(2).zip(places) {
            assert_eq!(pair[0], place, "{}", outcome.stderr);
            assert!(pair[1].starts_with("hint: "), "{}", outcome.stderr);
        }
    }
}

#[test]
fn module_that_cannot_be_had_is_named() {
    let bench = Workbench::new();
    let main = "package main\n\nimport (\n\t\"net/http\"\n\n\t\"example.com/acme/absent\"\n)\n\n\
                func Hook(w http.ResponseWriter, r *http.Request) { absent.Do() }\n";
    let listed = "module shop\n\ngo 1.21\n\nrequire example.com/acme/absent v1.2.3\n";
    let cases = [
        (Some(listed), "example.com/acme/absent@v1.2.3"),
        (None, "example.com/acme/absent"),
    ];
    for (i, (module, named)) in cases.into_iter().enumerate() {
        let mut files = vec![("main.go", main)];
        files.extend(module.map(|module| ("go.mod", module)));
        let folder = sources(&bench, &format!("case-{i}"), &files);
        let outcome = bench.try_build(&folder, &[SYSTEM]);
        assert_eq!(outcome.code, 1, "{}", outcome.stderr);
        for word in [
            "(MODULE_MISSING)",
            &format!("module {named}:"),
            "GOPROXY=off",
        ] {
            assert!(
                outcome.stderr.contains(word),
                "{word} is in\n{}",
                outcome.stderr
            );
        }
    }
}

#[test]
fn fork_of_tyk_that_cannot_be_had_is_told_the_path_that_is_there() {
    let bench = Workbench::new();
    let main = "package main\n\nimport (\n\t\"net/http\"\n\n\t\"github.com/someone/tyk/ctx\"\n)\n\n\
                func Hook(w http.ResponseWriter, r *http.Request) { ctx.GetSession(r) }\n";
    let listed = "module shop\n\ngo 1.21\n\nrequire github.com/someone/tyk v1.2.3\n";
    for (i, module) in [None, Some(listed)].into_iter().enumerate() {
        let mut files = vec![("main.go", main)];
        files.extend(module.map(|module| ("go.mod", module)));
        let folder = sources(&bench, &format!("fork-{i}"), &files);
        let outcome = bench.try_build(&folder, &[SYSTEM]);
        assert_eq!(outcome.code, 1, "{}", outcome.stderr);
        for word in [
            "(MODULE_MISSING)",
            "hint: import github.com/TykTechnologies/tyk/ctx",
        ] {
            assert!(
                outcome.stderr.contains(word),
                "{word} is in\n{}",
                outcome.stderr
            );
        }
    }
}

#[test]
fn code_that_can_end_a_worker_is_warned_about_and_built() {
    let bench = Workbench::new();
    let main = "package main\n\nimport (\n\t\"net/http\"\n\t\"os\"\n)\n\n\
                func Hook(w http.ResponseWriter, r *http.Request) {\n\tgo os.Exit(1)\n\tos.Open(\"rules.json\")\n}\n";
    let folder = sources(&bench, "careless", &[("main.go", main)]);
    let built = bench.build(&folder, &[SYSTEM]);
    let warnings = built[0]["warnings"].as_array().unwrap().iter();
    let warnings: Vec<_> = warnings
        .map(|warning| {
            let text = |key: &str| warning[key].as_str().unwrap().to_owned();
            (text("path"), text("code"))
        })
        .filter(|(_, code)| code != "GLIBC_ABOVE_FLOOR")
        .collect();
    let expected = [
        ("main.go:9:2", "GOROUTINE_UNGUARDED"),
        ("main.go:9:5", "PROCESS_EXIT"),
        ("main.go:10:2", "PATH_RELATIVE"),
    ];
    assert_eq!(
        warnings,
        expected.map(|(place, code)| (place.to_owned(), code.to_owned()))
    );
}

#[test]
fn plugin_on_the_go_sdk_gets_it_from_the_command_unless_it_says_where_it_is() {
    let bench = Workbench::new();
    let folder = bench.room().join("hooks");
    for (path, bytes) in tree(&workspace().join("examples/go-hooks")) {
        write(&folder.join(path), &bytes);
    }
    let module = "module example.com/hooks\n\ngo 1.21\n\nrequire gantry.example/sdk/go v0.0.0\n";
    write(&folder.join("go.mod"), module);
    let before = tree(&folder);
    let built = bench.build(&folder, &[SYSTEM]);
    assert_eq!(built[0]["name"], "go-hooks");
    assert_eq!(
        names(&built[0], "functions"),
        ["Correlate", "Maintenance", "MaskFields"]
    );
    assert_eq!(tree(&folder), before, "the author's folder stays as it is");
}
