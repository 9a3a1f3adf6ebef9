//! Where `gantry build` has the modules of a plugin written for Tyk from: a module proxy is asked for
//! what the author's `go.mod` names, and for nothing of Tyk's.

use std::fs;
use std::path::{Path, PathBuf};

use gantry_tests::plugins::go_command;
use gantry_tests::{Module, ModuleProxy, Outcome};
use serde_json::Value;

use crate::workbench::Workbench;

const SYSTEM: &str = "--system-toolchain";
const TALLY: Module<'_> = Module {
    path: "example.com/acme/tally",
    version: "v1.0.0",
    files: &[
        ("go.mod", "module example.com/acme/tally\n\ngo 1.12\n"),
        (
            "tally.go",
            "package tally\n\nfunc Name() string { return \"the tally of acme\" }\n",
        ),
    ],
};
/// What stands for the first where `go.mod` says so.
const FORK: Module<'_> = Module {
    path: "example.com/fork/tally",
    version: "v1.1.0",
    files: &[
        ("go.mod", "module example.com/acme/tally\n\ngo 1.12\n"),
        (
            "tally.go",
            "package tally\n\nfunc Name() string { return \"the tally of a fork\" }\n",
        ),
    ],
};
/// Written for Tyk 3 and later.
const LATER: &str = r#"package main

import (
	"net/http"

	"github.com/TykTechnologies/tyk/ctx"
	"github.com/TykTechnologies/tyk/user"

	"example.com/acme/tally"
)

func Count(rw http.ResponseWriter, r *http.Request) {
	ctx.SetSession(r, &user.SessionState{Alias: tally.Name()}, true)
}
"#;
/// Written for Tyk 2.9.
const EARLIER: &str = r#"package main

import (
	"net/http"

	"example.com/acme/tally"
	"github.com/TykTechnologies/tyk/ctx"
	"github.com/TykTechnologies/tyk/headers"
	"github.com/TykTechnologies/tyk/user"
)

func Count(rw http.ResponseWriter, r *http.Request) {
	token := r.Header.Get(headers.Authorization)
	ctx.SetSession(r, &user.SessionState{Alias: tally.Name()}, token, true)
}
"#;

/// A machine whose Go has fetched no module yet, and whose modules all come from one place.
struct Shop {
    proxy: ModuleProxy,
    bench: Workbench,
}

impl Shop {
    fn open() -> Self {
        let proxy = ModuleProxy::start(&[TALLY, FORK]).unwrap();
        let bench = Workbench::new();
        let fetched = bench.room().join("modules");
        let bench = bench
            .with("GOPROXY", proxy.url())
            .with("GONOSUMDB", "example.com")
            .with("GOFLAGS", "-modcacherw")
            .with("GOMODCACHE", fetched);
        Self { proxy, bench }
    }

    /// A plugin's folder; what was fetched for others is forgotten.
    fn folder(&self, place: &str, files: &[(&str, &str)]) -> PathBuf {
        let _ = fs::remove_dir_all(self.bench.room().join("modules"));
        let folder = self.bench.room().join(place);
        fs::create_dir(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        folder
    }

    /// What Go tells by itself in a folder, and what it asked for.
    fn go(&self, folder: &Path, arguments: &[&str]) -> (Vec<u8>, Vec<String>) {
        let fetched = tempfile::tempdir().unwrap();
        let mut command = go_command(folder).unwrap();
        command
            .args(arguments)
            .env("GOPROXY", self.proxy.url())
            .env("GONOSUMDB", "example.com")
            .env("GOFLAGS", "-mod=mod -modcacherw")
            .env("GOMODCACHE", fetched.path());
        let output = command.output().unwrap();
        (output.stdout, self.proxy.take_asked())
    }

    /// The lines that an author's Go writes into `go.sum` for a module.
    fn sums(&self, Module { path, version, .. }: Module<'_>) -> String {
        let module = format!("{path}@{version}");
        let download = ["mod", "download", "-json", &module];
        let (told, _) = self.go(self.bench.room(), &download);
        let told: Value = serde_json::from_slice(&told).unwrap();
        let (sum, file) = (told["Sum"].as_str(), told["GoModSum"].as_str());
        let (sum, file) = (sum.unwrap(), file.unwrap());
        format!("{path} {version} {sum}\n{path} {version}/go.mod {file}\n")
    }

    /// Builds a folder; the library has a text in it.
    fn built(&self, folder: &Path, text: &str) {
        let built = self.bench.build(folder, &[SYSTEM]);
        assert_eq!(built[0]["functions"][0]["name"], "Count");
        let library = fs::read(built[0]["path"].as_str().unwrap()).unwrap();
        let mut windows = library.windows(text.len());
        assert!(
            windows.any(|window| window == text.as_bytes()),
            "no {text:?} in {built}"
        );
    }

    fn refused(&self, folder: &Path) -> Outcome {
        let outcome = self.bench.try_build(folder, &[SYSTEM]);
        assert_eq!(outcome.code, 1, "{}", outcome.stderr);
        outcome
    }

    /// What the proxy was asked for, none of which is Tyk's.
    fn asked(&self) -> Vec<String> {
        let asked = self.proxy.take_asked();
        let of_tyk = asked.iter().find(|path| path.contains("tyk"));
        assert_eq!(of_tyk, None, "in {asked:#?}");
        asked
    }
}

/// That the proxy gave a module whole, and was asked for no other.
fn assert_only(asked: &[String], module: &Module<'_>) {
    let versions = format!("/{}/@v/", module.path);
    let zip = format!("{versions}{}.zip", module.version);
    assert!(asked.contains(&zip), "no {zip} in {asked:#?}");
    let other = asked.iter().find(|path| !path.starts_with(&versions));
    assert_eq!(other, None, "in {asked:#?}");
}

#[test]
fn modules_come_from_where_the_author_says_and_nothing_of_tyk_is_asked_for() {
    let shop = Shop::open();
    let sums = shop.sums(TALLY);
    let module = "module example.com/shop\n\ngo 1.21\n\n\
                  require (\n\
                  \tgithub.com/TykTechnologies/tyk v1.9.2-0.20240527100000-370295d796b5\n\
                  \texample.com/acme/tally v1.0.0\n\
                  \tgithub.com/TykTechnologies/gorpc v0.0.0-20210624160652-fe65bda0ccb9 // indirect\n\
                  )\n";
    let files = [("main.go", LATER), ("go.mod", module), ("go.sum", &sums)];
    let folder = shop.folder("later", &files);
    shop.built(&folder, "the tally of acme");
    assert_only(&shop.asked(), &TALLY);
    shop.built(&folder, "the tally of acme");
    assert_eq!(shop.asked(), [] as [&str; 0], "again, nothing is fetched");

    // A fork of Tyk is Tyk's module, wherever it lies; what else is replaced comes from there.
    let module = "module example.com/shop\n\ngo 1.21\n\n\
                  require (\n\
                  \tgithub.com/TykTechnologies/tyk v1.9.2-0.20240527100000-370295d796b5\n\
                  \texample.com/acme/tally v1.0.0\n\
                  )\n\n\
                  replace (\n\
                  \tgithub.com/TykTechnologies/tyk => example.com/fork/tyk v1.9.9\n\
                  \texample.com/acme/tally => example.com/fork/tally v1.1.0\n\
                  )\n";
    let folder = shop.folder("forked", &[("main.go", LATER), ("go.mod", module)]);
    shop.built(&folder, "the tally of a fork");
    assert_only(&shop.asked(), &FORK);

    let module = "module shop\n\ngo 1.12\n\n\
                  require (\n\
                  \tgithub.com/TykTechnologies/tyk v2.9.5+incompatible\n\
                  \texample.com/acme/tally v1.0.0\n\
                  )\n";
    let folder = shop.folder("earlier", &[("main.go", EARLIER), ("go.mod", module)]);
    shop.built(&folder, "the tally of acme");
    assert_only(&shop.asked(), &TALLY);

    // Where Go is left alone with that module file, Tyk's module is asked for, and that is seen.
    let (_, asked) = shop.go(&folder, &["list", "-deps", "."]);
    let tyk = "technologies/tyk/@v/v2.9.5+incompatible.mod";
    assert!(asked.iter().any(|path| path.ends_with(tyk)), "{asked:#?}");
}

#[test]
fn plugin_without_a_module_file_gets_latest_versions_and_nothing_of_tyk_is_asked_for() {
    let shop = Shop::open();
    let folder = shop.folder("bare", &[("main.go", LATER)]);
    shop.built(&folder, "the tally of acme");
    let asked = shop.asked();
    let zip = "/example.com/acme/tally/@v/v1.0.0.zip";
    assert!(asked.iter().any(|path| path == zip), "{asked:#?}");
}

#[test]
fn module_that_the_proxy_has_not_or_has_with_other_bytes_is_named() {
    let shop = Shop::open();
    let sums = shop.sums(TALLY).replace("h1:", "h1:AAAA");
    let require = |required: &str| {
        format!(
            "module example.com/shop\n\ngo 1.21\n\nrequire (\n\
             \tgithub.com/TykTechnologies/tyk v1.9.2-0.20240527100000-370295d796b5\n\t{required}\n)\n"
        )
    };
    let absent = LATER.replace("acme/tally", "acme/absent");
    let cases = [
        (
            "absent",
            absent.as_str(),
            "example.com/acme/absent v1.2.3",
            "",
        ),
        ("version", LATER, "example.com/acme/tally v1.2.3", ""),
        ("sums", LATER, "example.com/acme/tally v1.0.0", &sums),
    ];
    for (place, main, required, sums) in cases {
        let module = require(required);
        let files = [("main.go", main), ("go.mod", &module), ("go.sum", sums)];
        let outcome = shop.refused(&shop.folder(place, &files));
        let named = format!("module {}:", required.replace(' ', "@"));
        for word in ["(MODULE_MISSING)", &named] {
            let said = &outcome.stderr;
            assert!(said.contains(word), "{place}: {word} is in\n{said}");
        }
        let asked = shop.asked();
        let (path, _) = required.split_once(' ').unwrap();
        assert!(asked.iter().any(|asked| asked.contains(path)), "{asked:#?}");
    }
    assert_eq!(fs::read_dir(shop.bench.out()).unwrap().count(), 0);
}

/// Imports a package that is the author's own, below the module's path, if there is one.
fn hook(own: &str) -> String {
    format!(
        "package main\n\nimport (\n\t_ \"log\"\n\t\"net/http\"\n{own})\n\n\
         func Count(rw http.ResponseWriter, r *http.Request) {{}}\n"
    )
}

#[test]
fn module_that_is_called_like_a_package_of_go_is_built() {
    let bench = Workbench::new();
    let own = "\t_ \"plugin/helper\"\n\t_ \"plugin/internal/kept\"\n";
    let require = "\ngo 1.20\n\nrequire github.com/TykTechnologies/tyk v1.9.9\n";
    let cases = [("plugin", own), ("plugin", ""), ("log", ""), ("std", "")];
    for (place, (module, own)) in cases.into_iter().enumerate() {
        let folder = bench.room().join(place.to_string()).join("mine");
        let files = [
            ("go.mod", format!("module {module}\n{require}")),
            ("main.go", hook(own)),
            ("helper/helper.go", "package helper\n".to_owned()),
            ("internal/kept/kept.go", "package kept\n".to_owned()),
        ];
        for (name, text) in &files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let built = bench.build(&folder, &[SYSTEM]);
        assert_eq!(built[0]["name"], module);
        assert_eq!(built[0]["functions"][0]["name"], "Count");
        for (name, text) in &files {
            assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), *text);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
    }
}

#[test]
fn module_that_go_cannot_tell_from_its_own_library_is_named() {
    let bench = Workbench::new();
    let sdk = "\t_ \"gantry.example/sdk/go\"\n";
    let cases = [("log", "\t_ \"log/helper\"\n"), ("plugin", sdk)];
    for (place, (module, own)) in cases.into_iter().enumerate() {
        let folder = bench.room().join(place.to_string());
        fs::create_dir_all(folder.join("helper")).unwrap();
        fs::write(folder.join("main.go"), hook(own)).unwrap();
        fs::write(folder.join("helper/helper.go"), "package helper\n").unwrap();
        let file = format!("module {module}\n\ngo 1.21\n");
        fs::write(folder.join("go.mod"), file).unwrap();
        let outcome = bench.try_build(&folder, &[SYSTEM]);
        assert_eq!(outcome.code, 64, "{}", outcome.stderr);
        let named = format!("module {module}: expected a path of its own");
        for word in [named.as_str(), "(MODULE_NAME)", "hint: go mod edit -module"] {
            let said = &outcome.stderr;
            assert!(said.contains(word), "{word} is in\n{said}");
        }
    }
}
