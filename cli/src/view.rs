//! How data looks for people, beside its JSON: a table, a record or a document.

use jiff::Timestamp;
use serde::Serialize;

/// What a command shows. The JSON shape is the type's own, and stable.
pub(crate) trait View: Serialize {
    /// The same for people.
    fn shown(&self) -> Shown;
}

/// A form for people.
pub(crate) enum Shown {
    /// Rows under a head.
    Table {
        head: Vec<&'static str>,
        rows: Vec<Vec<String>>,
    },
    /// One thing: names and values.
    Record(Vec<(&'static str, String)>),
    /// Text as it is.
    Text(String),
}

/// A moment as RFC 3339; none for 0, which the wire uses for "never".
pub(crate) fn moment(ms: i64) -> Option<String> {
    (ms != 0)
        .then(|| Timestamp::from_millisecond(ms).ok())
        .flatten()
        .map(|moment| moment.to_string())
}

/// The same for people: seconds are enough, `-` is never.
pub(crate) fn moment_shown(moment: Option<&String>) -> String {
    match moment {
        Some(moment) => match (moment.split_once('.'), moment.ends_with('Z')) {
            (Some((seconds, _)), true) => format!("{seconds}Z"),
            _ => moment.clone(),
        },
        None => "-".to_owned(),
    }
}

/// Text that the wire leaves empty when there is none.
pub(crate) fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The beginning of a digest: enough for people to tell two apart.
pub(crate) fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// `-` for what is not there.
pub(crate) fn or_dash(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| "-".to_owned())
}

/// A message with its code behind it, unless it holds the code already.
pub(crate) fn coded(message: &str, code: &str) -> String {
    match (message, code) {
        ("", code) => code.to_owned(),
        (message, code) if message.contains(code) => message.to_owned(),
        (message, code) => format!("{message} ({code})"),
    }
}

/// Bytes in the unit that a person would choose.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Something accepted that is worth knowing, in JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Warning {
    pub(crate) path: String,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl From<gantry_proto::v1::Warning> for Warning {
    fn from(warning: gantry_proto::v1::Warning) -> Self {
        Self {
            path: warning.path,
            code: warning.code,
            message: warning.message,
        }
    }
}

impl From<&gantry_domain::FieldWarning> for Warning {
    fn from(warning: &gantry_domain::FieldWarning) -> Self {
        Self {
            path: warning.path.clone(),
            code: warning.code.to_owned(),
            message: warning.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stands_behind_its_message_once() {
        assert_eq!(
            coded("no build fits", "TARGET_UNRESOLVED"),
            "no build fits (TARGET_UNRESOLVED)"
        );
        assert_eq!(coded("no build (X)", "X"), "no build (X)");
        assert_eq!([coded("", "X"), coded("words", "")], ["X", "words"]);
    }

    #[test]
    fn moments_and_sizes_are_shown_as_people_write_them() {
        assert_eq!(moment(0), None);
        let at = moment(1_700_000_000_123);
        assert_eq!(at.as_deref(), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!(moment_shown(at.as_ref()), "2023-11-14T22:13:20Z");
        assert_eq!(moment_shown(None), "-");
        assert_eq!(
            [size(5), size(1536), size(3 << 20)],
            ["5 B", "1.5 KiB", "3.0 MiB"]
        );
    }
}
