//! The packages that stand for Tyk's hold what Go's own tools and their tests check, under each build tag
//! that `gantry build` may set, with modules fetched as an author's Go fetches them.

use gantry_tests::binaries::workspace;
use gantry_tests::plugins::go_command;

/// Tags and the packages that differ under them.
const TAGS: [(&str, &[&str]); 4] = [
    ("", &["./..."]),
    ("gantry_oas", &["./ctx", "./apidef/oas"]),
    ("gantry_oas,gantry_kin_tyk", &["./ctx", "./apidef/oas"]),
    ("gantry_limit_pointer", &["./ctx", "./user"]),
];

fn go(module: &str, arguments: &[&str]) {
    let mut command = go_command(&workspace().join(module)).unwrap();
    // Unlike the SDK itself, these packages need modules of others: from where this machine gets them.
    match std::env::var_os("GOPROXY") {
        Some(proxy) => command.env("GOPROXY", proxy),
        None => command.env_remove("GOPROXY"),
    };
    command.args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{text}{errors}");
}

#[test]
fn packages_of_tyk_pass_their_tests_and_vet_under_each_tag() {
    for (tags, packages) in TAGS {
        for verb in ["vet", "test"] {
            let tags = format!("-tags={tags}");
            let arguments = [&[verb, tags.as_str()], packages].concat();
            go("sdk/go-tyk/tyk", &arguments);
        }
    }
}

#[test]
fn packages_of_tyks_other_modules_pass_their_tests_and_vet() {
    for module in ["sdk/go-tyk/tyk-pump", "sdk/go-tyk/opentelemetry"] {
        for verb in ["vet", "test"] {
            go(module, &[verb, "./..."]);
        }
    }
}
