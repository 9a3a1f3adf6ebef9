//! What a plugin and its module are called where their author does not say: after their folder.

use std::path::Path;

/// What a folder is called; one that is called after a major version is called as the one above it.
pub(super) fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let above = folder.parent().and_then(Path::file_name);
    match above {
        Some(above) if is_major(&name) => plain(&above.to_string_lossy()),
        _ => plain(&name),
    }
}

/// Whether the last part of a path says a major version, as in `example.com/plugin/v2`.
pub(super) fn is_major(part: &str) -> bool {
    let digits = part.strip_prefix('v').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A name that fits file names and module paths.
pub(super) fn plain(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    match name.trim_matches(['.', '-']) {
        "" => "plugin".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_to_fit() {
        for (name, expected) in [
            ("my plugin", "my-plugin"),
            ("..", "plugin"),
            ("a_b-1.c", "a_b-1.c"),
        ] {
            assert_eq!(plain(name), expected);
        }
    }
}
