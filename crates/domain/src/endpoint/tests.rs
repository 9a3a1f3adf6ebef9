//! What endpoint entries say, which paths they mean, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::{ApiDefinition, FieldError};

fn definition(entries: &Value) -> Value {
    json!({
        "api_id": "a", "name": "A", "use_keyless": true,
        "proxy": {"listen_path": "/a/", "target_url": "http://127.0.0.1:1"},
        "extended_paths": {"go_plugin": entries},
    })
}

fn parse(document: &Value, limits: &Limits) -> Result<ApiDefinition, Vec<FieldError>> {
    let parsed = ApiDefinition::parse(document.to_string().as_bytes(), limits);
    parsed.map(|(definition, _)| definition)
}

fn entry(path: &str) -> Value {
    json!({"method": "GET", "path": path, "plugin_path": "f.so", "func_name": "F"})
}

fn refused(entries: &Value, path: &str, code: &str) -> FieldError {
    let errors = parse(&definition(entries), &Limits::default()).expect_err(&entries.to_string());
    let found = errors.iter().find(|e| e.path == path && e.code == code);
    found
        .unwrap_or_else(|| panic!("{entries} gave {errors:?}"))
        .clone()
}

fn means(pattern: &str, path: &str) -> bool {
    let pattern: PathPattern = pattern.parse().unwrap();
    pattern.compile().unwrap().matches(path.as_bytes())
}

#[test]
fn canonical_text_of_endpoints_round_trips_in_order() {
    let entries = json!([
        {"method": "get", "path": "/items/{id}", "plugin_path": "f.so", "func_name": "First"},
        {"method": "POST", "path": "^/files/.*\\.pdf$", "plugin_path": "g.so", "func_name": "Second",
         "disabled": true, "deadline_ms": 250},
    ]);
    let read = parse(&definition(&entries), &Limits::default()).unwrap();
    assert_eq!(read.endpoints[0].method, "GET");
    assert!(read.endpoints[1].entry.disabled);
    let deadlines = read.endpoints.iter().map(|each| each.entry.deadline_ms);
    assert_eq!(deadlines.collect::<Vec<_>>(), [None, Some(250)]);
    let again = parse(&read.to_json(), &Limits::default()).unwrap();
    assert_eq!(again, read);
    assert_eq!(again.canonical(), read.canonical());
    let without = parse(&definition(&json!([])), &Limits::default()).unwrap();
    assert_eq!(without.to_json().get("extended_paths"), None);
}

#[test]
fn deadline_of_no_time_or_of_more_than_an_hour_is_refused_by_its_place() {
    for deadline_ms in [0, 3_600_001] {
        let mut entry = entry("/a");
        entry["deadline_ms"] = json!(deadline_ms);
        let place = "extended_paths.go_plugin[0].deadline_ms";
        refused(&json!([entry]), place, "FIELD_INVALID");
        let mut document = definition(&json!([]));
        let hook = json!({"name": "F", "path": "f.so", "deadline_ms": deadline_ms});
        document["custom_middleware"] = json!({"driver": "goplugin", "pre": [hook]});
        let errors = parse(&document, &Limits::default()).unwrap_err();
        assert_eq!(errors[0].path, "custom_middleware.pre[0].deadline_ms");
    }
}

#[test]
fn example_in_the_documentation_is_a_definition() {
    let page = include_str!("../../../../docs/ENDPOINTS.md");
    let example = page.split("```json").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let (read, _) = ApiDefinition::parse(example.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(read.endpoints.len(), 2);
    assert!(read.endpoints[1].entry.disabled);
}

#[test]
fn named_segment_is_exactly_one_segment() {
    assert!(means("/items/{id}", "/items/42"));
    assert!(means("/items/{id}/parts/{part}", "/items/42/parts/a.b"));
    for path in ["/items", "/items/", "/items/42/parts", "/x/items/42"] {
        assert!(!means("/items/{id}", path), "{path}");
    }
    assert!(means("/{a}-{b_2}", "/x-y"));
    assert!(!means("/{a}-{b_2}", "/x"));
}

#[test]
fn pattern_means_the_whole_path_with_and_without_a_final_slash() {
    for (pattern, path) in [
        ("/a", "/a"),
        ("/a", "/a/"),
        ("/a/", "/a"),
        ("/a/", "/a/"),
        ("^/a/", "/a"),
        ("/", ""),
        ("/", "/"),
        ("^/", "/"),
        ("/files/.*", "/files/a/b"),
        ("^/(a|b)$", "/b"),
        ("^(?i)/Items$", "/ITEMS"),
        ("/v[0-9]{1,2}/x", "/v10/x"),
    ] {
        assert!(means(pattern, path), "{pattern} {path}");
    }
    for (pattern, path) in [
        ("/a", "/a/b"),
        ("/a", "/ab"),
        ("/a", "/A"),
        ("^/a$", "/a/"),
        ("/a|/b", "/b/c"),
        ("/v[0-9]{1,2}/x", "/v100/x"),
        ("/", "/a"),
    ] {
        assert!(!means(pattern, path), "{pattern} {path}");
    }
}

#[test]
fn bytes_that_are_no_text_and_line_ends_do_not_slip_past() {
    for pattern in ["/x/{id}", "/x/.*", "/x/[^/]+", "^(?u)/x/{id}"] {
        let matcher = pattern.parse::<PathPattern>().unwrap().compile().unwrap();
        for path in [&b"/x/\xff"[..], b"/x/a\nb", "/x/é".as_bytes()] {
            assert!(matcher.matches(path), "{pattern} {path:?}");
        }
    }
    assert!(means("/caf\u{e9}", "/caf\u{e9}"));
}

#[test]
fn escapes_classes_and_repetitions_are_not_segments() {
    assert!(means(r"/\{id\}", "/{id}"));
    assert!(means(r"/[{}a]+", "/{a}"));
    assert!(means(r"/\x{61}b", "/ab"));
    assert!(means("/a{2}", "/aa"));
    assert!(!means("/a{2}", "/ab"));
    assert!(means("^(?u)/\\p{Greek}+", "/λ"));
}

#[test]
fn text_that_is_no_pattern_is_refused_with_its_path() {
    let at = "extended_paths.go_plugin[0].path";
    for path in [
        "",
        "items",
        ".*",
        "(/a)",
        "/(",
        "/a)|(b",
        "/[",
        "/a{id:[0-9]+}",
        "/\\",
        r"/(a)\1",
        "/(?=a)",
        "^(?x)/a # b",
        "/(((((((((((((((((((a)))))))))))))))))))",
        r"/\w{9000}",
        "/(a{99}){99}",
    ] {
        refused(&json!([entry(path)]), at, "FIELD_INVALID");
    }
    let longest = format!("/{}", "a".repeat(PATH_BYTES_MAX - 1));
    assert!(means(&longest, &longest));
    refused(&json!([entry(&format!("{longest}a"))]), at, "FIELD_INVALID");
    let found = refused(&json!([entry("/(")]), at, "FIELD_INVALID");
    assert!(found.expected.contains("unclosed group"), "{found}");
}

#[test]
fn unknown_missing_and_mistyped_fields_are_refused_with_their_paths() {
    let mut unknown = entry("/a");
    unknown["timeout"] = json!(1);
    refused(
        &json!([unknown]),
        "extended_paths.go_plugin[0].timeout",
        "FIELD_UNKNOWN",
    );
    for field in ["method", "path", "plugin_path", "func_name"] {
        let mut missing = entry("/a");
        missing.as_object_mut().unwrap().remove(field);
        let at = format!("extended_paths.go_plugin[1].{field}");
        refused(&json!([entry("/a"), missing]), &at, "FIELD_MISSING");
    }
    refused(&json!([1]), "extended_paths.go_plugin[0]", "FIELD_TYPE");
    refused(&json!({}), "extended_paths.go_plugin", "FIELD_TYPE");
    for method in ["", "GET POST", "*"] {
        let mut odd = entry("/a");
        odd["method"] = json!(method);
        refused(
            &json!([odd]),
            "extended_paths.go_plugin[0].method",
            "FIELD_INVALID",
        );
    }
    let mut document = definition(&json!([]));
    document["extended_paths"] = json!({"white_list": []});
    let errors = parse(&document, &Limits::default()).unwrap_err();
    assert_eq!(
        (errors[0].path.as_str(), errors[0].code),
        ("extended_paths.white_list", "FIELD_UNKNOWN")
    );
}

#[test]
fn exactly_the_limit_of_entries_is_allowed() {
    let limits = Limits {
        endpoint_entries_max: 2,
        ..Limits::default()
    };
    let entries = |count| definition(&Value::Array(vec![entry("/a"); count]));
    assert_eq!(parse(&entries(2), &limits).unwrap().endpoints.len(), 2);
    let errors = parse(&entries(3), &limits).unwrap_err();
    assert_eq!(
        (errors[0].path.as_str(), errors[0].code),
        ("extended_paths.go_plugin", "TOO_MANY")
    );
}

#[test]
fn get_holds_for_head_and_nothing_else_for_anything_else() {
    assert!(method_matches("GET", "GET"));
    assert!(method_matches("GET", "HEAD"));
    assert!(!method_matches("HEAD", "GET"));
    assert!(!method_matches("POST", "PUT"));
    assert!(!method_matches("GET", "OPTIONS"));
}

proptest! {
    #[test]
    fn no_pattern_panics_and_a_literal_one_means_itself(
        odd in "[/^](\\{[a-z]*\\}?|[\\[\\]()\\\\{}*+?|.$]|\\PC){0,12}", plain in "(/[a-z0-9_-]{1,8}){1,5}",
    ) {
        if let Ok(pattern) = odd.parse::<PathPattern>() {
            pattern.compile().unwrap().matches(odd.as_bytes());
        }
        prop_assert!(means(&plain, &plain));
    }
}
