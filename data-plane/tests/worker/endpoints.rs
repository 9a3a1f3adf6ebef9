//! Functions of endpoints: which requests meet them, in which order, and what happens where one cannot
//! run.

use crate::library::steps;
use crate::orders::{TestApi, change, everything};
use crate::upstream::{Upstream, seen};
use crate::wire::{get, send};
use crate::worker::{TestWorker, settings};

#[tokio::test]
async fn functions_of_an_endpoint_run_after_authentication_and_before_post() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .plugin_auth()
        .function("pre", "Mark")
        .function("auth", "SetSession")
        .function("post_auth", "Mark")
        .function("post", "Mark")
        .endpoint("GET", "/told/{id}", "TellSession")
        .endpoint("GET", "/answered", "Mark")
        .endpoint("GET", "/answered", "Answer")
        .endpoint("GET", "/answered", "Mark");
    let worker = TestWorker::serving(everything(1, [api])).await;
    let told = get(worker.address, "/a/told/1").await.json();
    assert_eq!(seen(&told, "x-session"), r#"{"from":"function"}"#);
    assert_eq!(seen(&told, "x-step"), "pre,post_auth,post");
    let passed = get(worker.address, "/a/other").await.json();
    assert_eq!(seen(&passed, "x-session"), "");
    let requests = upstream.requests();
    let answered = get(worker.address, "/a/answered").await;
    // The first of the endpoint marked, the second answered; neither the third nor `post` ran.
    assert_eq!(
        (answered.status, answered.header("x-early").as_str()),
        (418, "pre,post_auth,post")
    );
    assert_eq!(upstream.requests(), requests);
}

#[tokio::test]
async fn path_is_matched_without_the_listen_path_whether_or_not_it_is_stripped() {
    let upstream = Upstream::start().await;
    let api = |id: &str, prefix: &str| {
        TestApi::new(id, prefix, &upstream.url())
            .endpoint("GET", "/items/{id}", "Mark")
            .endpoint("GET", "^/files/.*\\.pdf$", "Mark")
            .endpoint("GET", "/", "Mark")
    };
    let apis = [api("a", "/a"), api("b", "/b/c").strip(), api("r", "")];
    let worker = TestWorker::serving(everything(1, apis)).await;
    for prefix in ["/a", "/b/c", ""] {
        for (path, marked) in [
            ("/items/42", true),
            ("/items/42/", true),
            ("/it%65ms/%34%32", true),
            ("/items/%C3%A9%ff%0a", true),
            ("/items/a%40b", true),
            ("/items", false),
            ("/items/42/parts", false),
            ("/x/items/42", false),
            ("/files/a/b.pdf", true),
            ("/files/a/b.pdf/", false),
            ("/files/a/b.pdfx", false),
            ("/", true),
        ] {
            let told = get(worker.address, &format!("{prefix}{path}?q=1"))
                .await
                .json();
            let expected = if marked { "post" } else { "" };
            assert_eq!(seen(&told, "x-step"), expected, "{prefix}{path}");
        }
    }
    for root in ["/a", "/b/c"] {
        let told = get(worker.address, root).await.json();
        assert_eq!(seen(&told, "x-step"), "post", "{root}");
    }
}

#[tokio::test]
async fn request_of_another_method_passes_by_and_head_is_get() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .endpoint("GET", "/read", "Answer")
        .endpoint("POST", "/write", "Answer")
        .endpoint("HEAD", "/head", "Answer");
    let worker = TestWorker::serving(everything(1, [api])).await;
    for (method, path, status) in [
        ("GET", "/read", 418),
        ("HEAD", "/read", 418),
        ("POST", "/read", 200),
        ("POST", "/write", 418),
        ("GET", "/write", 200),
        ("PUT", "/write", 200),
        ("HEAD", "/head", 418),
        ("GET", "/head", 200),
    ] {
        let answer = send(worker.address, method, &format!("/a{path}"), &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn path_that_an_earlier_function_changed_is_the_one_that_counts() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .function("pre", "Move")
        .endpoint("GET", "/x", "Answer")
        .endpoint("GET", "/other/place", "Mark");
    let worker = TestWorker::serving(everything(1, [api])).await;
    let told = get(worker.address, "/a/x").await.json();
    assert_eq!(seen(&told, "x-step"), "post");
    assert_eq!(told["target"], "/other/place?moved=1");
}

#[tokio::test]
async fn endpoint_that_cannot_run_answers_500_after_authentication_and_the_rest_is_served() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .token()
        .endpoint("GET", "/missing", "Mark")
        .refused_endpoint("GET", "/missing")
        .endpoint("GET", "/good", "Mark");
    let mut worker = TestWorker::serving(everything(1, [api])).await;
    worker.keys(1, &[("good", "{}")]).await;
    let key = [("authorization", "good")];
    assert_eq!(get(worker.address, "/a/missing").await.status, 401);
    let refused = send(worker.address, "GET", "/a/missing", &key, "").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (500, "ENDPOINT_UNAVAILABLE")
    );
    assert_eq!(
        refused.header("x-early"),
        "",
        "the one before it did not run"
    );
    assert_eq!(upstream.requests(), 0);
    let good = send(worker.address, "GET", "/a/good", &key, "").await;
    assert_eq!(seen(&good.json(), "x-step"), "post");
    let passed = send(worker.address, "POST", "/a/missing", &key, "").await;
    assert_eq!(passed.status, 200);
}

#[tokio::test]
async fn function_that_does_not_start_is_told_and_closes_its_endpoint_only() {
    let upstream = Upstream::start().await;
    let api = |config: &str| {
        TestApi::new("a", "/a", &upstream.url())
            .config(config)
            .endpoint("GET", "/x", "Mark")
    };
    let mut worker = TestWorker::start(settings()).await;
    let failures = worker
        .apply(everything(1, [api(r#"{"refuse":true}"#)]))
        .await;
    assert_eq!(failures.len(), 1);
    assert_eq!(
        (
            failures[0].code.as_str(),
            failures[0].endpoint,
            failures[0].held
        ),
        ("START_REFUSED", true, false)
    );
    assert_eq!(failures[0].digest, Some(steps().digest));
    let refused = get(worker.address, "/a/x").await;
    assert_eq!(refused.code(), "ENDPOINT_UNAVAILABLE");
    assert_eq!(get(worker.address, "/a/y").await.status, 200);
    assert_eq!(upstream.requests(), 1);
    assert_eq!(worker.apply(change(2, [api("{}")])).await, []);
    assert_eq!(get(worker.address, "/a/x").await.status, 200);
}

#[tokio::test]
async fn instance_of_an_endpoint_is_its_own_and_stays_from_generation_to_generation() {
    let upstream = Upstream::start().await;
    let api = |path: &str| {
        TestApi::new("a", "/a", &upstream.url())
            .function("post", "Mark")
            .endpoint("GET", path, "Mark")
    };
    let mut worker = TestWorker::serving(everything(1, [api("/x")])).await;
    assert_eq!(worker.printed().await, "started Mark");
    assert_eq!(worker.printed().await, "started Mark");
    // Another path is the same instance; the next thing that starts is something else.
    let moved = api("/y").function("post", "TellSession");
    assert_eq!(worker.apply(change(2, [moved])).await, []);
    assert_eq!(worker.printed().await, "started TellSession");
    let told = get(worker.address, "/a/y").await.json();
    assert_eq!(seen(&told, "x-step"), "post,post");
}

#[tokio::test]
async fn order_with_a_path_that_is_no_pattern_closes_the_api() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url()).endpoint("GET", "/(", "Mark");
    let mut worker = TestWorker::start(settings()).await;
    let failures = worker.apply(everything(1, [api])).await;
    assert_eq!(failures[0].code, "ORDER_INVALID");
    assert_eq!(get(worker.address, "/a/b").await.code(), "API_UNAVAILABLE");
    assert_eq!(upstream.requests(), 0);
}
