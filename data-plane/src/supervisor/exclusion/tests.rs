//! Tests of what a slot's workers are told when some of it cannot be loaded.

use std::collections::HashMap;
use std::path::PathBuf;

use gantry_domain::Digest;
use serde_json::json;

use super::*;
use crate::supervisor::generation::{Admission, Numbers, compose};
use crate::supervisor::plan::plan;
use crate::supervisor::plan::tests::{definition, profile, release, snapshot, tenant};

/// A revision with a plain API and one with a function whose library has these bytes.
fn revision(number: u64, bytes: &str, path: &str) -> Arc<Effective> {
    let hooked = json!({"custom_middleware_bundle": "hooks"});
    let apis = [
        ("hooked", definition("hooked", path, &hooked)),
        ("plain", definition("plain", "/plain", &json!({}))),
    ];
    let bundles = [("hooks", release("hooks", "hooks.so", bytes))];
    let wanted = plan(&snapshot(number, &apis, &bundles), &profile(), &tenant());
    let digest = Digest::of(bytes);
    let admission = Admission {
        libraries: HashMap::from([(digest, PathBuf::from(format!("/s/{digest}.so")))]),
        ..Admission::default()
    };
    let mut numbers = Numbers::default();
    Arc::new(compose(
        &wanted,
        &admission,
        &Effective::default(),
        &mut numbers,
    ))
}

fn library(bytes: &str) -> Load {
    Load::Library(Digest::of(bytes).to_string())
}

fn failure() -> Failure {
    Failure::new("LOAD_CRASHED", "exit code 3")
}

fn excluding(load: Load) -> Exclusions {
    let mut exclusions = Exclusions::default();
    exclusions.exclude(load, failure());
    exclusions
}

#[test]
fn library_is_blamed_for_two_deaths_in_a_row_only() {
    let mut exclusions = Exclusions::default();
    assert!(!exclusions.died(library("a"), failure()));
    assert!(!exclusions.died(library("b"), failure()));
    assert!(!exclusions.died(library("a"), failure()));
    exclusions.survived();
    assert!(!exclusions.died(library("a"), failure()));
    assert!(exclusions.died(library("a"), failure()));
}

#[test]
fn api_keeps_what_ran_before_and_others_move_on() {
    let (one, two) = (revision(1, "one", "/h"), revision(2, "two", "/h"));
    let (told, failures) = excluding(library("two")).apply(&two, Some(&one));
    assert!(told.apis["hooked"].is_held());
    assert_eq!(told.apis["hooked"].order, one.apis["hooked"].order);
    assert_eq!(told.apis["plain"], two.apis["plain"]);
    assert_eq!(told.revision, 2);
    let [failure] = &failures[..] else {
        panic!("{failures:?}");
    };
    let digest = Digest::of("two").to_string();
    assert_eq!(
        (
            failure.api_id.as_str(),
            failure.held,
            failure.digest.as_ref()
        ),
        ("hooked", true, Some(&digest))
    );
}

#[test]
fn api_is_refused_where_nothing_that_can_be_loaded_ran_at_its_place() {
    let (one, two) = (revision(1, "one", "/h"), revision(2, "two", "/h"));
    let moved = revision(1, "one", "/elsewhere");
    let refused = |exclusions: &Exclusions, good: Option<&Effective>| {
        let (told, failures) = exclusions.apply(&two, good);
        !told.apis["hooked"].serves() && !failures[0].held
    };
    let exclusions = excluding(library("two"));
    assert!(refused(&exclusions, None));
    assert!(refused(&exclusions, Some(&moved)));
    assert!(refused(&exclusions, Some(&two)), "the same again");
    assert!(!refused(&exclusions, Some(&one)));
    let start = Load::Start {
        digest: Digest::of("two").to_string(),
        api_id: "hooked".to_owned(),
    };
    assert!(refused(&excluding(start), None));
    let of_another = Load::Start {
        digest: Digest::of("two").to_string(),
        api_id: "plain".to_owned(),
    };
    let (told, failures) = excluding(of_another).apply(&two, None);
    assert_eq!((told, failures), (two.clone(), Vec::new()));
}

#[test]
fn what_is_not_wanted_any_more_is_forgotten_and_another_try_comes_later() {
    let mut exclusions = excluding(library("two"));
    let now = Instant::now();
    assert!(!exclusions.due(now));
    assert!(exclusions.due(now + RETRY_LONGEST));
    exclusions.forget_unwanted(&revision(2, "two", "/h"));
    assert!(exclusions.due(now + RETRY_LONGEST));
    exclusions.forget_unwanted(&revision(3, "three", "/h"));
    assert!(!exclusions.due(now + RETRY_LONGEST), "nothing to try");
}
