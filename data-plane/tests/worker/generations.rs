//! From one generation to the next.

use crate::library::{fixture, steps};
use crate::orders::{TestApi, change, everything};
use crate::upstream::Upstream;
use crate::wire::{get, send};
use crate::worker::{TestWorker, settings};

#[tokio::test]
async fn instance_that_stays_is_shared_and_one_that_goes_is_stopped() {
    let upstream = Upstream::start().await;
    let api = |config: &str| {
        TestApi::new("a", "/a", &upstream.url())
            .config(config)
            .function("pre", "Mark")
    };
    let mut worker = TestWorker::serving(everything(1, [api("{}")])).await;
    assert_eq!(worker.printed().await, "started Mark");
    // The same function in the same place, and one more.
    let more = api("{}").function("post", "TellSession");
    assert_eq!(worker.apply(change(2, [more])).await, []);
    assert_eq!(worker.printed().await, "started TellSession");
    // Another configuration is another instance; it starts before the old one stops.
    assert_eq!(worker.apply(change(3, [api(r#"{"n":1}"#)])).await, []);
    assert_eq!(worker.printed().await, "started Mark");
    assert_eq!(worker.printed().await, "stopped");
    assert_eq!(worker.printed().await, "stopped");
    assert_eq!(get(worker.address, "/a").await.status, 200);
}

#[tokio::test]
async fn api_whose_new_functions_fail_is_held_and_the_others_go_on() {
    let upstream = Upstream::start().await;
    let api = |id: &str, config: &str| {
        TestApi::new(id, &format!("/{id}"), &upstream.url())
            .config(config)
            .function("pre", "Mark")
    };
    let mut worker = TestWorker::serving(everything(1, [api("a", "{}"), api("b", "{}")])).await;
    let refusing = r#"{"refuse":true}"#;
    let failures = worker
        .apply(change(2, [api("a", refusing), api("c", refusing)]))
        .await;
    let told: Vec<_> = failures
        .iter()
        .map(|failure| (failure.api_id.as_str(), failure.held, failure.code.as_str()))
        .collect();
    assert_eq!(
        told,
        [("a", true, "START_REFUSED"), ("c", false, "START_REFUSED")]
    );
    assert_eq!(failures[0].digest, Some(steps().digest));
    assert!(
        failures[0].message.contains("told to refuse"),
        "{}",
        failures[0].message
    );
    assert_eq!(get(worker.address, "/a").await.status, 200);
    assert_eq!(get(worker.address, "/b").await.status, 200);
    let refused = get(worker.address, "/c").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (500, "API_UNAVAILABLE")
    );
    // The failure is told until an order for the API succeeds.
    let failures = worker.apply(change(3, [api("c", "{}")])).await;
    assert_eq!(failures.len(), 1);
    assert_eq!(get(worker.address, "/c").await.status, 200);
}

#[tokio::test]
async fn api_that_fails_at_a_new_address_refuses_there() {
    let upstream = Upstream::start().await;
    let root = TestApi::new("root", "", &upstream.url());
    let api = TestApi::new("a", "/a", &upstream.url()).function("pre", "Mark");
    let mut worker = TestWorker::serving(everything(1, [root, api])).await;
    let moved = TestApi::new("a", "/b", &upstream.url())
        .config(r#"{"refuse":true}"#)
        .function("pre", "Mark");
    let failures = worker.apply(change(2, [moved])).await;
    assert!(!failures[0].held);
    assert_eq!(get(worker.address, "/b").await.code(), "API_UNAVAILABLE");
}

#[tokio::test]
async fn library_that_is_not_what_was_admitted_is_not_opened() {
    let upstream = Upstream::start().await;
    let mut library = fixture("table");
    library.digest = "0".repeat(64);
    let api = TestApi::new("a", "/a", &upstream.url()).function_of(&library, "pre", "Mark");
    let good = TestApi::new("b", "/b", &upstream.url());
    let mut worker = TestWorker::start(settings()).await;
    let failures = worker.apply(everything(1, [api, good])).await;
    assert_eq!(failures[0].code, "LIBRARY_DIGEST_DIFFERS");
    assert_eq!(get(worker.address, "/a").await.code(), "API_UNAVAILABLE");
    assert_eq!(get(worker.address, "/b").await.status, 200);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn order_whose_functions_would_be_skipped_is_refused() {
    let upstream = Upstream::start().await;
    let keyless = TestApi::new("a", "/a", &upstream.url()).function("post_auth", "Mark");
    let token = TestApi::new("b", "/b", &upstream.url())
        .token()
        .function("auth", "SetSession");
    let mut worker = TestWorker::start(settings()).await;
    let failures = worker.apply(everything(1, [keyless, token])).await;
    let codes: Vec<_> = failures
        .iter()
        .map(|failure| failure.code.as_str())
        .collect();
    assert_eq!(codes, ["HOOK_CONTRADICTION", "HOOK_CONTRADICTION"]);
    assert_eq!(get(worker.address, "/a").await.status, 500);
}

#[tokio::test]
async fn differences_add_change_and_remove_apis_and_everything_replaces() {
    let upstream = Upstream::start().await;
    let api = |id: &str| TestApi::new(id, &format!("/{id}"), &upstream.url());
    let mut worker = TestWorker::serving(everything(1, [api("a"), api("b")])).await;
    let mut difference = change(2, [api("c")]);
    difference.removed.push("a".into());
    assert_eq!(worker.apply(difference).await, []);
    let statuses = async |worker: &TestWorker| {
        let mut statuses = Vec::new();
        for path in ["/a", "/b", "/c"] {
            statuses.push(get(worker.address, path).await.status);
        }
        statuses
    };
    assert_eq!(statuses(&worker).await, [404, 200, 200]);
    assert_eq!(
        worker
            .apply(everything(3, [api("a").domain("a.example")]))
            .await,
        []
    );
    assert_eq!(statuses(&worker).await, [404, 404, 404]);
    let answer = send(worker.address, "GET", "/a", &[("host", "A.example:80")], "").await;
    assert_eq!(answer.status, 200);
}
