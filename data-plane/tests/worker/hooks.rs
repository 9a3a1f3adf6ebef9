//! The order of a request, and what ends it.

use gantry_gateway::sys::slot::Counter;

use crate::orders::{TestApi, everything};
use crate::upstream::{Upstream, seen};
use crate::wire::{get, send};
use crate::worker::{TestWorker, settings};

#[tokio::test]
async fn functions_run_in_the_order_of_the_hooks_and_their_headers_go_both_ways() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .plugin_auth()
        .function("response", "MarkResponse")
        .function("post", "Mark")
        .function("post", "TellSession")
        .function("post_auth", "Mark")
        .function("auth", "Mark")
        .function("auth", "SetSession")
        .function("pre", "Mark");
    let worker = TestWorker::serving(everything(1, [api])).await;
    let answer = get(worker.address, "/a/b?q=1").await;
    assert_eq!(answer.status, 203);
    let told = answer.json();
    assert_eq!(seen(&told, "x-step"), "pre,auth,post_auth,post");
    assert_eq!(seen(&told, "x-session"), r#"{"from":"function"}"#);
    assert_eq!(told["target"], "/a/b?q=1");
    assert_eq!(answer.header("x-early"), "pre,auth,post_auth,post");
    assert_eq!(answer.header("x-upstream"), "1");
    assert_eq!(answer.header("x-seen-status"), "200");
}

#[tokio::test]
async fn auth_function_that_sets_no_session_lets_nobody_pass() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .plugin_auth()
        .function("auth", "Mark");
    let worker = TestWorker::serving(everything(1, [api])).await;
    let answer = get(worker.address, "/a").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "SESSION_MISSING")
    );
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn consumer_key_decides_and_its_document_is_the_session() {
    let upstream = Upstream::start().await;
    let with = TestApi::new("with", "/with", &upstream.url())
        .token()
        .function("post", "TellSession");
    let without = TestApi::new("without", "/without", &upstream.url()).token();
    let mut worker = TestWorker::serving(everything(1, [with, without])).await;
    let address = worker.address;
    let ask = async |path: &str, key: Option<&str>| {
        let headers: Vec<_> = key.into_iter().map(|key| ("authorization", key)).collect();
        send(address, "GET", path, &headers, "").await
    };
    for path in ["/with", "/without"] {
        assert_eq!(ask(path, Some("good")).await.code(), "KEYS_UNAVAILABLE");
    }
    worker.keys(1, &[("good", r#"{"tier":"gold"}"#)]).await;
    for path in ["/with", "/without"] {
        let missing = ask(path, None).await;
        assert_eq!(
            (missing.status, missing.code().as_str()),
            (401, "AUTH_FIELD_MISSING")
        );
        let unknown = ask(path, Some("Bearer bad")).await;
        assert_eq!(
            (unknown.status, unknown.code().as_str()),
            (403, "ACCESS_DISALLOWED")
        );
    }
    assert_eq!(upstream.requests(), 0);
    assert_eq!(ask("/without", Some("good")).await.status, 200);
    let answer = ask("/with", Some("Bearer good")).await;
    assert_eq!(seen(&answer.json(), "x-session"), r#"{"tier":"gold"}"#);
    worker.keys(2, &[]).await;
    assert_eq!(ask("/with", Some("good")).await.code(), "ACCESS_DISALLOWED");
}

#[tokio::test]
async fn auth_function_and_consumer_key_must_agree_and_the_functions_session_stays() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .plugin_auth()
        .token()
        .function("auth", "SetSession")
        .function("post", "TellSession");
    let mut worker = TestWorker::serving(everything(1, [api])).await;
    worker.keys(1, &[("good", r#"{"tier":"gold"}"#)]).await;
    assert_eq!(get(worker.address, "/a").await.code(), "AUTH_FIELD_MISSING");
    let answer = send(
        worker.address,
        "GET",
        "/a",
        &[("authorization", "good")],
        "",
    )
    .await;
    assert_eq!(seen(&answer.json(), "x-session"), r#"{"from":"function"}"#);
}

#[tokio::test]
async fn answer_ends_the_chain_and_keeps_earlier_headers() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .function("pre", "Mark")
        .function("pre", "Answer")
        .function("post", "Fail")
        .function("response", "MarkResponse");
    let worker = TestWorker::serving(everything(1, [api])).await;
    let answer = get(worker.address, "/a").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (418, "short and stout")
    );
    assert_eq!(answer.header("x-early"), "pre");
    assert_eq!(answer.header("x-seen-path"), "");
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn function_that_fails_ends_the_request_with_500_and_is_reported() {
    let upstream = Upstream::start().await;
    let hooks = ["pre", "auth", "post_auth", "post"];
    let apis = hooks.map(|hook| {
        let api = TestApi::new(hook, &format!("/{hook}"), &upstream.url()).plugin_auth();
        api.function(hook, "Fail").function("auth", "SetSession")
    });
    let mut worker = TestWorker::serving(everything(1, apis)).await;
    for hook in hooks {
        let answer = get(worker.address, &format!("/{hook}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (500, "PLUGIN_FAILED"),
            "{hook}"
        );
        let reported = worker
            .report(|report| match report {
                gantry_gateway::protocol::Report::PluginLog {
                    level,
                    hook,
                    function,
                    ..
                } => (level == "error").then(|| (hook.clone(), function.clone())),
                _ => None,
            })
            .await;
        assert_eq!(reported, (Some(hook.to_owned()), Some("Fail".to_owned())));
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn response_function_that_fails_lets_nothing_of_the_upstream_out() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .function("pre", "Mark")
        .function("response", "MarkResponse")
        .function("response", "FailResponse");
    let worker = TestWorker::serving(everything(1, [api])).await;
    let answer = get(worker.address, "/a").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (500, "PLUGIN_FAILED")
    );
    assert_eq!(answer.header("x-upstream"), "");
    assert!(!answer.body.contains("target"), "{answer:?}");
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn response_function_that_answers_replaces_the_upstreams_body() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url()).function("response", "AnswerResponse");
    let worker = TestWorker::serving(everything(1, [api])).await;
    let answer = get(worker.address, "/a").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (418, "short and stout")
    );
}

#[tokio::test]
async fn path_that_a_function_changed_goes_upstream_and_does_not_route_again() {
    let upstream = Upstream::start().await;
    let moving = TestApi::new("a", "/a", &upstream.url())
        .strip()
        .function("pre", "Move")
        .function("post", "Mark")
        .function("response", "MarkResponse");
    let other = TestApi::new("b", "/other", "http://127.0.0.1:9").function("pre", "Fail");
    let worker = TestWorker::serving(everything(1, [moving, other])).await;
    let answer = get(worker.address, "/a/b").await;
    assert_eq!(answer.json()["target"], "/other/place?moved=1");
    assert_eq!(answer.header("x-seen-path"), "/other/place");
}

#[tokio::test]
async fn listen_path_is_stripped_after_the_request_hooks() {
    let upstream = Upstream::start().await;
    let with = TestApi::new("with", "/v1/with", &format!("{}/base", upstream.url()))
        .strip()
        .function("response", "MarkResponse");
    let without = TestApi::new("without", "/without", &upstream.url()).strip();
    let worker = TestWorker::serving(everything(1, [with, without])).await;
    let answer = get(worker.address, "/v1/with/x%20y?q").await;
    assert_eq!(answer.json()["target"], "/base/x%20y?q");
    assert_eq!(answer.header("x-seen-path"), "/x%20y");
    assert_eq!(get(worker.address, "/without").await.json()["target"], "/");
    assert_eq!(
        get(worker.address, "/%77ithout/a").await.json()["target"],
        "/a"
    );
}

#[tokio::test]
async fn function_that_may_block_runs_in_the_pool_in_its_place() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .function("pre", "Mark")
        .function("pre", "MarkInPool")
        .function("post", "Mark");
    let worker = TestWorker::serving(everything(1, [api])).await;
    let answer = get(worker.address, "/a").await;
    assert_eq!(seen(&answer.json(), "x-step"), "pre,pre,post");
    assert_eq!(worker.memory.activities(), []);
}

#[tokio::test]
async fn function_that_fills_its_part_of_the_pool_is_refused_at_once_and_others_have_a_thread() {
    const THREADS: u64 = 32 - 8;
    const THREADS_AND_QUEUE: u64 = THREADS + 192;
    let upstream = Upstream::start().await;
    let waiting = TestApi::new("a", "/a", &upstream.url()).function("pre", "WaitInPool");
    let inline = TestApi::new("b", "/b", &upstream.url()).function("pre", "Mark");
    let blocking = TestApi::new("c", "/c", &upstream.url()).function("pre", "MarkInPool");
    let mut large = settings();
    large.connections_max = 512;
    let mut worker = TestWorker::start(large).await;
    assert_eq!(
        worker
            .apply(everything(1, [waiting, inline, blocking]))
            .await,
        []
    );
    let folder = tempfile::tempdir().unwrap();
    let signal = folder.path().join("go").to_str().unwrap().to_owned();
    let ask = |address, signal: String| async move {
        let headers = [("x-wait-for", signal.as_str())];
        send(address, "GET", "/a", &headers, "").await
    };
    let ask = |_: u64| tokio::spawn(ask(worker.address, signal.clone()));
    let (address, memory) = (worker.address, &worker.memory);
    // The threads take their calls first, so that the queue has room for the others.
    let mut asked: Vec<_> = (0..THREADS).map(ask).collect();
    until(|| memory.activities().len() == 24).await;
    asked.extend((THREADS..THREADS_AND_QUEUE).map(ask));
    until(|| memory.read(Counter::PluginCalls) == THREADS_AND_QUEUE).await;
    let refused = ask(0).await.unwrap();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "PLUGIN_BUSY")
    );
    assert_eq!(memory.read(Counter::PluginPoolFull), 1);
    assert_eq!(get(address, "/b").await.status, 200);
    for _ in 0..20 {
        assert_eq!(get(address, "/c").await.status, 200);
    }
    assert_eq!(
        memory.activities().len(),
        24,
        "no call of the first has ended"
    );
    std::fs::write(&signal, b"").unwrap();
    for answer in asked {
        assert_eq!(answer.await.unwrap().status, 200);
    }
}

/// Polls until something holds, for a while.
async fn until(holds: impl Fn() -> bool) {
    let polling = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, polling)
        .await
        .expect("it holds in time");
}

#[tokio::test]
async fn log_line_carries_the_trace_that_the_request_names() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url()).function("pre", "Mark");
    let mut worker = TestWorker::serving(everything(1, [api])).await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = send(
        worker.address,
        "GET",
        "/a",
        &[("traceparent", traceparent)],
        "",
    )
    .await;
    assert_eq!(seen(&answer.json(), "traceparent"), traceparent);
    let line = worker
        .report(|report| match report {
            gantry_gateway::protocol::Report::PluginLog {
                message,
                api_id,
                trace_id,
                ..
            } => Some((message.clone(), api_id.clone(), trace_id.clone())),
            _ => None,
        })
        .await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736".to_owned();
    assert_eq!(
        line,
        ("marked".to_owned(), Some("a".to_owned()), Some(trace))
    );
    assert_eq!(
        seen(&get(worker.address, "/a").await.json(), "traceparent"),
        ""
    );
}
