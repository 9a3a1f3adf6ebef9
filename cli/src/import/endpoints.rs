//! Paths of endpoints. Tyk looks for them anywhere in a path, ours mean the whole; so that the same
//! requests run the same functions, a path is widened unless its reader asks for less.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{Outcome, Report};

/// Which requests an imported endpoint means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reach {
    /// Those that it meant in Tyk: the path anywhere in a request's.
    Anywhere,
    /// The path and what is below it.
    Below,
    /// The path alone.
    Whole,
}

/// The path in our form.
pub(super) fn map(path: &str, pattern: &str, reach: Reach, report: &mut Report) -> String {
    let bare = pattern.trim_start_matches('^').trim_end_matches('$');
    let bare = match bare.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => shorter,
        _ => bare,
    };
    let (begins, ends) = (pattern.starts_with('^'), pattern.ends_with('$'));
    let anywhere = match (begins, ends) {
        (true, true) => format!("^{bare}"),
        (true, false) => format!("^{bare}.*"),
        (false, true) => format!("^.*{bare}"),
        (false, false) => format!("^.*{bare}.*"),
    };
    let rooted = if bare.starts_with('/') {
        bare.to_owned()
    } else {
        format!("^{bare}")
    };
    let chosen = match reach {
        Reach::Anywhere => anywhere,
        Reach::Below => format!("{rooted}(/.*)?"),
        Reach::Whole => rooted.clone(),
    };
    let words = match reach {
        Reach::Anywhere => format!(
            "{chosen}: the same requests as in Tyk, which looks for it anywhere; --endpoints below \
             makes it {rooted}(/.*)? and --endpoints whole {rooted}"
        ),
        Reach::Below | Reach::Whole => {
            format!("{chosen}: fewer requests than in Tyk, which looks for it anywhere in a path")
        }
    };
    if chosen != pattern {
        report.note(
            path,
            &json!(pattern),
            Outcome::Replaced,
            "PATH_REPLACED",
            words,
        );
    }
    chosen
}

/// One entry of `extended_paths.go_plugin`.
pub(super) fn entry(method: &str, path: &str, library: &str, function: &str) -> Value {
    json!({"method": method, "path": path, "plugin_path": library, "func_name": function})
}

#[cfg(test)]
mod tests {
    use gantry_domain::PathPattern;

    use super::*;

    #[test]
    fn path_means_the_requests_that_were_asked_for() {
        let hits = |pattern: &str, reach| {
            let mapped = map("p", pattern, reach, &mut Report::default());
            let matcher = mapped.parse::<PathPattern>().unwrap().compile().unwrap();
            ["/x", "/x/", "/x/y", "/v1/x", "/xy", "/z"].map(|path| matcher.matches(path.as_bytes()))
        };
        assert_eq!(
            hits("/x", Reach::Anywhere),
            [true, true, true, true, true, false]
        );
        assert_eq!(
            hits("/x", Reach::Below),
            [true, true, true, false, false, false]
        );
        assert_eq!(
            hits("/x", Reach::Whole),
            [true, true, false, false, false, false]
        );
        assert_eq!(
            hits("^/x$", Reach::Anywhere),
            [true, true, false, false, false, false]
        );
        assert_eq!(
            hits("^/x", Reach::Anywhere),
            [true, true, true, false, true, false]
        );
        assert_eq!(
            hits("x", Reach::Anywhere),
            [true, true, true, true, true, false]
        );
        assert_eq!(
            hits("/{id}/y", Reach::Whole),
            [false, false, true, false, false, false]
        );
    }
}
