//! What Go says of modules that it does not get and of files that it does not take, told as what is
//! missing or refused.

use super::super::toolchain::Missing;
use super::super::{BuildError, Finding};
use super::name::is_major;
use super::program::INSTALL;

/// Names what is missing, if that is what Go says.
pub(super) fn explained(error: BuildError) -> BuildError {
    let BuildError::Failed {
        doing,
        status,
        said,
    } = error
    else {
        return error;
    };
    let refused: Vec<_> = said.lines().filter_map(not_of_tyk).collect();
    if !refused.is_empty() {
        return BuildError::source_refused(refused);
    }
    if let Some(wanted) = language_wanted(&said) {
        let what = format!("Go {wanted} or newer, which go.mod asks for");
        return BuildError::ToolchainMissing(vec![Missing::new(what, INSTALL)]);
    }
    if let Some(module) = ambiguous(&said) {
        return BuildError::ModuleName(module.to_owned());
    }
    match module_named(&said) {
        Some(module) => BuildError::ModuleMissing { module, said },
        None => BuildError::Failed {
            doing,
            status,
            said,
        },
    }
}

/// The version of Go that a module file wants and this one is not.
fn language_wanted(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("go.mod requires go >= ")?;
    rest.split([' ', '\n']).next()
}

/// Names an assembly file that a compiler refused, if this is what it says.
pub(super) fn assembly_with_c(error: BuildError) -> BuildError {
    let BuildError::Failed { said, .. } = &error else {
        return error;
    };
    let refused = said.lines().filter_map(|line| {
        let (package, file) = line.split_once(": package using cgo has Go assembly file ")?;
        Some(Finding {
            file: file.trim().to_owned(),
            line: 1,
            column: 1,
            code: "ASSEMBLY_WITH_C".to_owned(),
            message: format!("assembly of Go in package {package}, which imports \"C\""),
            advice:
                "move the assembly, or what imports \"C\", into a package of its own; what a C \
                     compiler assembles is called *.S"
                    .to_owned(),
        })
    });
    match refused.collect::<Vec<_>>() {
        refused if refused.is_empty() => error,
        refused => BuildError::source_refused(refused),
    }
}

/// The path by which Go finds a package both in a module and in its own library, which has no module.
fn ambiguous(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("ambiguous import: found package ")?;
    let (package, places) = rest.split_once(" in multiple modules:")?;
    let mut places = places.lines().map(str::trim_start);
    places
        .any(|place| place.starts_with('('))
        .then_some(package)
}

/// A package of Tyk's that a module of others imports and that plugins do not have: the generator looks
/// through the plugin's own source only.
fn not_of_tyk(line: &str) -> Option<Finding> {
    let (before, package) = line.split_once("but does not contain package ")?;
    let below = package
        .trim()
        .strip_prefix("github.com/TykTechnologies/tyk/")?;
    let (place, _) = before.split_once(": ")?;
    let mut parts = place.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    let (code, advice) = match below.split('/').next()? {
        "storage" => ("TYK_STORAGE", "the gateway has no Redis"),
        "config" => (
            "TYK_CONFIG",
            "the gateway's configuration is not for plugins",
        ),
        _ => (
            "TYK_INTERNAL",
            "plugins have what the request, its context and the session offer",
        ),
    };
    Some(Finding {
        file: parts.next()?.to_owned(),
        line,
        column,
        code: code.to_owned(),
        message: format!(
            "import of \"{}\", which gateways do not have",
            package.trim()
        ),
        advice: advice.to_owned(),
    })
}

/// What to do about a fork of Tyk, if that is what a module or a package is of.
pub(in crate::build) fn of_a_fork(module: &str) -> Option<String> {
    let path = module.split('@').next()?;
    let mut parts = path.split('/').skip(1);
    let (_owner, "tyk") = (parts.next()?, parts.next()?) else {
        return None;
    };
    let mut own = "github.com/TykTechnologies/tyk".to_owned();
    let package: Vec<_> = parts.collect();
    let package = match package.split_first() {
        Some((first, rest)) if is_major(first) => rest,
        _ => &package,
    };
    for part in package {
        own = format!("{own}/{part}");
    }
    if package.is_empty() {
        own += "/ctx and the like";
    }
    Some(format!(
        "import {own}: packages of Tyk's own path are there without any module, those of a fork are not"
    ))
}

/// What Go says of modules that it does not get.
const NOT_HAD: [&str; 9] = [
    "module lookup disabled",
    "reading ",
    "invalid version",
    "unknown revision",
    "verifying ",
    "unrecognized import path",
    "does not contain package",
    "no matching versions",
    "dial tcp",
];

/// The module, or else the package, that Go says it could not get.
fn module_named(said: &str) -> Option<String> {
    let mut downloading = None;
    for line in said.lines() {
        if let Some(module) = line.strip_prefix("go: downloading ") {
            downloading = Some(module.replacen(' ', "@", 1));
        }
        for marker in [
            "no required module provides package ",
            "cannot find module providing package ",
        ] {
            if let Some((_, rest)) = line.split_once(marker) {
                let end = rest.find([':', ';', ' ']).unwrap_or(rest.len());
                return Some(rest[..end].to_owned());
            }
        }
        if let Some((_, rest)) = line.split_once(": package ")
            && let Some((package, _)) = rest.split_once(" is not in std")
        {
            return Some(package.to_owned());
        }
        if let Some((_, rest)) = line.split_once(": module ")
            && let Some((module, _)) = rest.split_once(": reading ")
        {
            return Some(module.to_owned());
        }
        if !NOT_HAD.iter().any(|words| line.contains(words)) {
            continue;
        }
        let is_module = |word: &&str| {
            word.contains('@')
                && word.contains('.')
                && !word.starts_with('/')
                && !word.contains("://")
        };
        let named = line.split([' ', '\t']).find(is_module);
        let named = named.map(|word| word.trim_matches([':', '(', ')', ',', ';']).to_owned());
        if let Some(module) = named.or_else(|| downloading.take()) {
            return Some(module);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_that_go_could_not_get_is_named() {
        let cases = [
            (
                "main.go:5:2: example.com/x@v1.2.3: module lookup disabled by GOPROXY=off",
                Some("example.com/x@v1.2.3"),
            ),
            (
                "go: example.com/x@v1.2.3: reading https://proxy/x: 404 Not Found",
                Some("example.com/x@v1.2.3"),
            ),
            (
                "main.go:6:2: cannot find module providing package example.com/y/z: module lookup disabled",
                Some("example.com/y/z"),
            ),
            (
                "go: downloading example.com/x v1.2.3\nmain.go:6:2: module lookup disabled by GOPROXY=off",
                Some("example.com/x@v1.2.3"),
            ),
            (
                "main.go:7:2: module example.com/x/y: reading https://proxy/x/@v/list: 403 Forbidden",
                Some("example.com/x/y"),
            ),
            (
                "main.go:6:2: package mylib is not in std (/usr/local/go/src/mylib)",
                Some("mylib"),
            ),
            ("main.go:5:2: undefined: x", None),
        ];
        for (said, expected) in cases {
            assert_eq!(module_named(said).as_deref(), expected, "{said}");
        }
    }

    #[test]
    fn fork_of_tyk_is_told_what_stands_in_for_it() {
        let told =
            |module: &str| of_a_fork(module).map(|hint| hint.split(':').next().unwrap().to_owned());
        let cases = [
            (
                "github.com/someone/tyk/ctx",
                Some("import github.com/TykTechnologies/tyk/ctx"),
            ),
            (
                "github.com/someone/tyk/v5/apidef/oas",
                Some("import github.com/TykTechnologies/tyk/apidef/oas"),
            ),
            (
                "github.com/someone/tyk@v1.2.3",
                Some("import github.com/TykTechnologies/tyk/ctx and the like"),
            ),
            ("github.com/someone/tyk-pump/ctx", None),
            ("example.com/tyk", None),
            ("mylib", None),
        ];
        for (module, expected) in cases {
            assert_eq!(told(module).as_deref(), expected, "{module}");
        }
    }

    #[test]
    fn language_that_this_go_does_not_know_is_named() {
        let said = "go: ../go.mod requires go >= 1.99 (running go 1.26.8; GOTOOLCHAIN=local)";
        assert_eq!(language_wanted(said), Some("1.99"));
        assert_eq!(language_wanted("go: no such module"), None);
    }

    #[test]
    fn packages_of_tyk_that_modules_of_others_import_are_refused_at_their_place() {
        let said = "../go/mod/example.com/x@v1.0.0/x.go:6:2: module github.com/TykTechnologies/tyk@latest \
                    found (v0.0.0, replaced by gantry.example/stand-in/tyk@v0.0.0), but does not contain \
                    package github.com/TykTechnologies/tyk/storage";
        let found = not_of_tyk(said).unwrap();
        assert_eq!(found.place(), "../go/mod/example.com/x@v1.0.0/x.go:6:2");
        assert_eq!(found.code, "TYK_STORAGE");
        assert_eq!(not_of_tyk("x.go:6:2: undefined: x"), None);
    }
}
