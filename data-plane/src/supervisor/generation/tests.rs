//! Tests of composing generations: what is held, what is refused, what is told.

use serde_json::json;

use super::*;
use crate::supervisor::plan::plan;
use crate::supervisor::plan::tests::{definition, profile, release, snapshot, tenant};

/// Revision with a plain API and one with a function whose library has these bytes.
fn wanted(number: u64, bytes: &str, path: &str) -> Wanted {
    let apis = [
        (
            "hooked",
            definition(
                "hooked",
                path,
                &json!({"custom_middleware_bundle": "hooks"}),
            ),
        ),
        ("plain", definition("plain", "/plain", &json!({}))),
    ];
    let bundles = [("hooks", release("hooks", "hooks.so", bytes))];
    plan(&snapshot(number, &apis, &bundles), &profile(), &tenant())
}

fn admit(bytes: &str) -> Admission {
    let digest = Digest::of(bytes);
    let libraries = HashMap::from([(digest, PathBuf::from(format!("/s/{digest}.so")))]);
    Admission {
        libraries,
        ..Admission::default()
    }
}

fn refuse(bytes: &str) -> Admission {
    let failure = Failure::new("PROBE_CRASHED", "signal 11");
    Admission {
        failed_libraries: HashMap::from([(Digest::of(bytes), failure)]),
        ..admit(bytes)
    }
}

#[test]
fn api_whose_library_fails_is_held_and_others_move_on() {
    let mut numbers = Numbers::default();
    let first = compose(
        &wanted(1, "one", "/h"),
        &admit("one"),
        &Effective::default(),
        &mut numbers,
    );
    let second = compose(
        &wanted(2, "two", "/h"),
        &refuse("two"),
        &first,
        &mut numbers,
    );
    let hooked = &second.apis["hooked"];
    assert!(hooked.is_held());
    assert_eq!(hooked.order, first.apis["hooked"].order);
    assert_eq!(hooked.trouble.as_ref().unwrap().code, "PROBE_CRASHED");
    assert_eq!(second.apis["plain"].trouble, None);
    let difference = second.difference(Some(&first), &BTreeSet::new());
    assert_eq!(
        (
            difference.revision,
            difference.apis.len(),
            difference.removed.len()
        ),
        (2, 0, 0)
    );
}

#[test]
fn api_without_an_earlier_order_is_refused() {
    let effective = compose(
        &wanted(1, "one", "/h"),
        &refuse("one"),
        &Effective::default(),
        &mut Numbers::default(),
    );
    let hooked = &effective.apis["hooked"];
    assert!(!hooked.serves());
    assert!(
        matches!(&hooked.order.service, Service::Refuse { code, .. } if code == "PROBE_CRASHED")
    );
    assert_eq!(hooked.order.prefix, "/h");
}

#[test]
fn use_that_does_not_start_fails_its_api_only() {
    let wanted = wanted(1, "one", "/h");
    let WantedApi::Run(plan) = &wanted.apis[&"hooked".parse().unwrap()] else {
        panic!("{wanted:?}")
    };
    let failed = FunctionUse::of(plan, &plan.functions[0], Digest::of("{}"));
    let failed_uses = HashMap::from([(failed, Failure::new("START_FAILED", "no such file"))]);
    let admission = Admission {
        failed_uses,
        ..admit("one")
    };
    let effective = compose(
        &wanted,
        &admission,
        &Effective::default(),
        &mut Numbers::default(),
    );
    assert!(!effective.apis["hooked"].serves());
    assert!(effective.apis["plain"].serves());
}

#[test]
fn held_api_gives_way_when_its_route_belongs_to_another() {
    let mut numbers = Numbers::default();
    let first = compose(
        &wanted(1, "one", "/h"),
        &admit("one"),
        &Effective::default(),
        &mut numbers,
    );
    let apis = [
        (
            "hooked",
            definition(
                "hooked",
                "/elsewhere",
                &json!({"custom_middleware_bundle": "hooks"}),
            ),
        ),
        ("heir", definition("heir", "/h", &json!({}))),
    ];
    let bundles = [("hooks", release("hooks", "hooks.so", "two"))];
    let wanted = plan(&snapshot(2, &apis, &bundles), &profile(), &tenant());
    let second = compose(&wanted, &refuse("two"), &first, &mut numbers);
    assert!(!second.apis["hooked"].serves());
    assert_eq!(second.apis["hooked"].order.prefix, "/elsewhere");
    assert!(second.apis["heir"].serves());
}

#[test]
fn numbers_stay_with_their_function_and_are_never_zero() {
    let mut numbers = Numbers::default();
    let number = |effective: &Effective| functions(&effective.apis["hooked"].order)[0].number;
    let first = compose(
        &wanted(1, "one", "/h"),
        &admit("one"),
        &Effective::default(),
        &mut numbers,
    );
    let other = compose(&wanted(2, "two", "/h"), &admit("two"), &first, &mut numbers);
    let again = compose(&wanted(3, "one", "/h"), &admit("one"), &other, &mut numbers);
    assert_ne!(number(&first), 0);
    assert_ne!(number(&first), number(&other));
    assert_eq!(number(&first), number(&again));
}

#[test]
fn difference_holds_what_changed_and_everything_for_a_new_worker() {
    let mut numbers = Numbers::default();
    let first = compose(
        &wanted(1, "one", "/h"),
        &admit("one"),
        &Effective::default(),
        &mut numbers,
    );
    let second = compose(&wanted(2, "two", "/h"), &admit("two"), &first, &mut numbers);
    let changed = second.difference(Some(&first), &BTreeSet::new());
    let names: Vec<_> = changed.apis.iter().map(|api| api.api_id.as_str()).collect();
    assert_eq!((changed.replace, names), (false, vec!["hooked"]));
    let whole = second.difference(None, &BTreeSet::new());
    assert_eq!((whole.replace, whole.apis.len()), (true, 2));
    let emptied = Effective {
        revision: 3,
        apis: BTreeMap::new(),
    };
    assert_eq!(
        emptied.difference(Some(&second), &BTreeSet::new()).removed,
        ["hooked", "plain"]
    );
}

#[test]
fn api_that_a_worker_could_not_bring_there_is_told_again_and_taken_away_when_it_goes() {
    let mut numbers = Numbers::default();
    let first = compose(
        &wanted(1, "one", "/h"),
        &admit("one"),
        &Effective::default(),
        &mut numbers,
    );
    let failed = BTreeSet::from(["hooked".to_owned()]);
    let again = first.difference(Some(&first), &failed);
    assert_eq!(
        (again.apis.len(), again.apis[0].api_id.as_str()),
        (1, "hooked")
    );
    let emptied = Effective {
        revision: 3,
        apis: BTreeMap::new(),
    };
    assert!(
        emptied
            .difference(Some(&first), &failed)
            .removed
            .contains(&"hooked".to_owned())
    );
}

/// An API with an endpoint that uses the library, and one whose file is missing.
fn with_endpoints(bytes: &str) -> Wanted {
    let entry = |path: &str, file: &str| json!({"method": "GET", "path": path, "plugin_path": file, "func_name": "Pre"});
    let entries = [entry("/good", "hooks.so"), entry("/missing", "gone.so")];
    let fields = json!({"extended_paths": {"go_plugin": entries}});
    let apis = [("ends", definition("ends", "/e", &fields))];
    let hooks = release("hooks", "hooks.so", bytes).replace(r#"["pre"]"#, r#"["post","pre"]"#);
    plan(
        &snapshot(1, &apis, &[("hooks", hooks)]),
        &profile(),
        &tenant(),
    )
}

fn codes(effective: &Effective) -> Vec<String> {
    let Service::Serve(runtime) = &effective.apis["ends"].order.service else {
        panic!("{effective:?}");
    };
    let code = |endpoint: &EndpointOrder| match &endpoint.function {
        EndpointFunction::Run(_) => "RUN".to_owned(),
        EndpointFunction::Refuse { code, .. } => code.clone(),
    };
    runtime.endpoints.iter().map(code).collect()
}

#[test]
fn endpoint_that_cannot_be_had_is_refused_and_the_api_serves() {
    let mut numbers = Numbers::default();
    let none = Effective::default();
    let first = compose(&with_endpoints("one"), &admit("one"), &none, &mut numbers);
    let api = &first.apis["ends"];
    assert_eq!(codes(&first), ["RUN", "FILE_NOT_FOUND"]);
    assert!(api.serves() && !api.is_held());
    assert_eq!(api.artifacts.len(), 1);
    assert_ne!(functions(&api.order)[0].number, 0);
    let trouble = api.endpoint_trouble().unwrap();
    assert_eq!(trouble.code, "FILE_NOT_FOUND");
    let place = "GET /missing: extended_paths.go_plugin[1] Pre: ";
    assert!(trouble.message.starts_with(place), "{}", trouble.message);

    let second = compose(&with_endpoints("two"), &refuse("two"), &first, &mut numbers);
    assert_eq!(codes(&second), ["PROBE_CRASHED", "FILE_NOT_FOUND"]);
    let api = &second.apis["ends"];
    assert!(api.serves() && !api.is_held());
    assert!(
        api.artifacts.is_empty(),
        "what does not run serves nobody: {api:?}"
    );
}
