//! Tests of composing: what keeps its place, what is refused, what counts as another revision.

use gantry_domain::{Artifact, PluginNote, Target};
use serde_json::{Value, json};

use super::super::definitions::{BadDefinition, Definition};
use super::super::look::Print;
use super::*;

fn folder() -> Folder {
    Folder {
        path: "/folder".into(),
        tenant: "local".parse().unwrap(),
        environment: "local".parse().unwrap(),
        lookup: Lookup::default(),
        poll_interval_ms: 500,
    }
}

fn api(id: &str, path: &str, more: &Value) -> (Item, Content) {
    let mut document = json!({"api_id": id, "name": id, "use_keyless": true,
        "proxy": {"listen_path": path, "target_url": "http://127.0.0.1:1"}});
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    let (read, warnings) =
        ApiDefinition::parse(document.to_string().as_bytes(), &Limits::default()).unwrap();
    let text = read.canonical().into_bytes().into();
    let found = Definition {
        read,
        text,
        warnings,
    };
    (Item::Api(format!("{id}.json")), Content::Api(Ok(found)))
}

fn broken_api(id: &str, raw: &str) -> (Item, Content) {
    let bad = BadDefinition {
        id: id.parse().ok(),
        raw: Some(raw.as_bytes().into()),
        refused: Refused::new("DEFINITION_REFUSED", "no"),
    };
    (Item::Api(format!("{id}.json")), Content::Api(Err(bad)))
}

fn library(name: &str, bytes: &str) -> (Item, Content) {
    let note = json!({"abi": {"major": 0, "minor": 1}, "language": "c", "sdk": "", "name": "x",
        "version": "1.0.0", "functions": [{"name": "Pre", "hooks": ["pre"], "flags": []}]});
    let note = PluginNote::parse(note.to_string().as_bytes()).unwrap();
    let artifact = Artifact {
        file: name.parse().unwrap(),
        digest: Digest::of(bytes),
        size_bytes: bytes.len() as u64,
        target: Target {
            platform: "linux_amd64".parse().unwrap(),
            gateway_version: None,
            libc: None,
            abi: note.abi,
        },
        note,
        key: format!("libraries/{name}"),
    };
    (
        Item::Library(name.to_owned()),
        Content::Library(Ok(artifact)),
    )
}

fn broken_library(name: &str) -> (Item, Content) {
    let refused = Refused::new("LIBRARY_REFUSED", "no");
    (
        Item::Library(name.to_owned()),
        Content::Library(Err(refused)),
    )
}

fn composed(items: Vec<(Item, Content)>, before: Option<&Composed>) -> Composed {
    let contents: Contents = items
        .into_iter()
        .map(|(item, content)| (item, (Print::none(), Arc::new(content))))
        .collect();
    compose(&contents, before.map(|before| &before.snapshot), &folder())
}

fn text_of<'c>(composed: &'c Composed, id: &str) -> Option<&'c str> {
    let digest = composed.snapshot.revision.apis.get(&id.parse().unwrap())?;
    std::str::from_utf8(&composed.snapshot.documents[digest]).ok()
}

fn inline(path: &str) -> Value {
    json!({"custom_middleware": {"driver": "native", "pre": [{"name": "Pre", "path": path}]}})
}

#[test]
fn same_contents_are_the_same_revision_and_others_the_next() {
    let first = composed(vec![api("a", "/a", &json!({}))], None);
    assert_eq!(first.snapshot.revision.number, 1);
    let again = composed(vec![api("a", "/a", &json!({}))], Some(&first));
    assert_eq!(again.snapshot, first.snapshot);
    let other = composed(vec![api("a", "/b", &json!({}))], Some(&again));
    let revision = &other.snapshot.revision;
    assert_eq!(
        (revision.number, revision.parent),
        (2, Some(first.snapshot.revision.digest()))
    );
}

#[test]
fn refused_definition_keeps_what_was_there_and_else_stands_as_it_is() {
    let first = composed(vec![api("a", "/a", &json!({}))], None);
    let items = vec![broken_api("a", "{"), broken_api("b", r#"{"surprise": 1}"#)];
    let second = composed(items, Some(&first));
    assert_eq!(text_of(&second, "a"), text_of(&first, "a"));
    assert_eq!(text_of(&second, "b"), Some(r#"{"surprise": 1}"#));
    let files: Vec<_> = second
        .complaints
        .iter()
        .map(|complaint| complaint.file.as_str())
        .collect();
    assert_eq!(files, ["apis/a.json", "apis/b.json"]);
}

#[test]
fn newcomer_at_a_taken_route_is_refused_and_two_newcomers_are_left_to_the_plan() {
    let first = composed(vec![api("z", "/x", &json!({}))], None);
    let items = || vec![api("z", "/x", &json!({})), api("a", "/x/", &json!({}))];
    let second = composed(items(), Some(&first));
    assert_eq!(second.snapshot, first.snapshot);
    assert_eq!(second.complaints[0].code, "ROUTE_CONFLICT");
    let anew = composed(items(), None);
    assert_eq!(
        (anew.snapshot.revision.apis.len(), anew.complaints.len()),
        (2, 0)
    );
}

#[test]
fn refused_library_keeps_the_one_before_and_concerns_those_that_name_it() {
    let apis = || {
        vec![
            api("a", "/a", &inline("hooks.so")),
            api("b", "/b", &inline("other.so")),
        ]
    };
    let with = |libraries: Vec<(Item, Content)>| apis().into_iter().chain(libraries).collect();
    let file = "hooks_v5.3.0_linux_amd64.so";
    let first = composed(
        with(vec![library(file, "one"), library("other.so", "o")]),
        None,
    );
    assert_eq!(first.complaints, []);
    let second = composed(
        with(vec![broken_library(file), library("other.so", "o")]),
        Some(&first),
    );
    assert_eq!(second.snapshot, first.snapshot);
    assert_eq!(
        second.complaints[0].apis,
        BTreeSet::from(["a".parse().unwrap()])
    );
    let gone = composed(with(vec![library("other.so", "o")]), Some(&second));
    assert_eq!(gone.snapshot.revision.pins.len(), 1, "what is removed goes");
}
