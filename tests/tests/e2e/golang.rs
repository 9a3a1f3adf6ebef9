//! Handlers of `net/http`, as written for Tyk, through a whole gateway: what the client and the upstream
//! see where Tyk is right, and where it is not. What the shim under them does call by call is tested in
//! `sdk/go-tyk`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gantry_tests::binaries::{binary, outside_cargo, target_dir, tool, workspace};
use gantry_tests::process::eventually;
use gantry_tests::{Answer, Gateway, Request, Scrape, plugins};
use serde_json::{Value, json};

use crate::lab::{Lab, get, middleware, revision};

const FILE: &str = "go-tyk.so";

/// A gateway to which the handlers of `tests/fixtures/go-tyk` are deployed.
fn lab() -> (Lab, Gateway) {
    let lab = deployed();
    let gateway = lab.gateway();
    (lab, gateway)
}

fn deployed() -> Lab {
    let lab = Lab::start();
    let library = plugins::go("tests/fixtures/go-tyk", "1.0.0", None).unwrap();
    let bundle = lab.bundle("go-tyk", "1.0.0").file(FILE, &library).unwrap();
    lab.publish(bundle.hook("pre", "Number", FILE));
    lab.project.admin.deploy("go-tyk@1.0.0").unwrap();
    lab
}

/// One worker, which gives handlers more time than usual: a thousand clients take theirs on a busy machine.
fn patient_gateway(lab: &Lab) -> Gateway {
    lab.gateway_with("[gateway]\nworkers = 1\n[worker]\nplugin_deadline_ms = 300000\n")
}

fn keyless(hooks: &[(&str, &str)]) -> Value {
    let entries: Vec<_> = hooks
        .iter()
        .map(|(hook, function)| (*hook, [(*function, FILE)]))
        .collect();
    let entries: Vec<(&str, &[(&str, &str)])> = entries
        .iter()
        .map(|(hook, entries)| (*hook, entries.as_slice()))
        .collect();
    json!({"use_keyless": true, "custom_middleware": middleware(&entries)})
}

fn with_token(gateway: &Gateway, token: &str) -> Answer {
    let request = Request::get("/api/books?by=client").header("authorization", token);
    gateway.send(&request).unwrap()
}

#[test]
fn handlers_at_every_hook_hand_session_and_context_on() {
    let (lab, gateway) = lab();
    let mut fields = keyless(&[
        ("pre", "Number"),
        ("auth_check", "CheckToken"),
        ("post_key_auth", "TellSession"),
        ("post", "Conclude"),
        ("response", "Shout"),
    ]);
    fields["use_keyless"] = json!(false);
    fields["use_go_plugin_auth"] = json!(true);
    fields["config_data"] = json!({"tokens": {"t-1": "ada"}});
    lab.put(&gateway, &fields);

    let refused = get(&gateway, "/api/books");
    assert_eq!((refused.status, refused.body.as_str()), (401, "no token\n"));
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    assert_eq!(refused.header("x-early"), "kept");
    let unknown = with_token(&gateway, "Bearer other");
    assert_eq!(
        (unknown.status, unknown.body.as_str()),
        (403, "token not known\n")
    );
    assert_eq!(lab.upstream.requests(), 0, "what is written ends the chain");

    let passed = with_token(&gateway, "Bearer t-1");
    assert_eq!(passed.status, 202, "{passed:?}");
    assert_eq!(passed.header("x-early"), "kept");
    assert_eq!(passed.header("content-type"), "text/plain");
    let length = passed.body.len().to_string();
    assert_eq!(passed.header("content-length"), length);
    let seen = passed
        .body
        .strip_prefix("SHOUTED: ")
        .expect("it is shouted");
    for left in [
        r#""X-NUMBERED":"YES""#,
        r#""X-ALIAS":"ADA""#,
        r#""X-LEFT":"7/POST_AUTH""#,
        "BY=PLUGIN",
    ] {
        assert!(seen.contains(left), "no {left} in {seen}");
    }
    assert!(!seen.contains("T-1"), "the token goes no further: {seen}");
    let line = eventually("the handler's line", || {
        let log = gateway.log();
        let line = log
            .lines()
            .find(|line| line.contains("a request is numbered"))?;
        Some(line.to_owned())
    });
    let line = line.unwrap();
    assert!(
        line.contains("Number") && line.contains("test"),
        "function and API are named: {line}"
    );
}

#[test]
fn handlers_answer_and_read_bodies_as_in_a_go_server() {
    let (lab, gateway) = lab();
    lab.put(&gateway, &keyless(&[("pre", "Greet")]));
    let greeted = get(&gateway, "/api/x?name=ada");
    assert_eq!((greeted.status, greeted.body.as_str()), (200, "hello ada"));
    assert_eq!(greeted.header("set-cookie"), "greeted=1");
    assert_eq!(greeted.header("content-type"), "text/plain; charset=utf-8");

    let mut fields = keyless(&[("pre", "Stamp"), ("post", "Peek")]);
    fields["extended_paths"] = json!({"go_plugin": [
        {"method": "POST", "path": "/orders", "plugin_path": FILE, "func_name": "CheckOrder"},
    ]});
    lab.put(&gateway, &fields);
    let before = lab.upstream.requests();
    let post = |body: &str| gateway.send(&Request::post("/api/orders", body)).unwrap();
    let refused = post("{}");
    assert_eq!(
        (refused.status, refused.json()),
        (400, json!({"error": "an order names a book"}))
    );
    assert_eq!(lab.upstream.requests(), before);
    let order = r#"{"book":"Emma"}"#;
    let passed = post(order);
    assert_eq!(passed.header("x-stamp"), "inline");
    let body = r#"{"book":"Emma","checked":true}"#;
    let told = passed.json();
    assert_eq!(
        (&told["body"], &told["headers"]["content-length"]),
        (&json!(body), &json!(body.len().to_string()))
    );
    assert_eq!(passed.header("x-peek"), "{\"", "two bytes of the new body");
    let empty = get(&gateway, "/api/other");
    assert_eq!((empty.status, empty.header("x-peek")), (200, ""));
}

#[test]
fn handlers_that_fail_are_a_clean_500_and_response_hooks_let_nothing_out() {
    let (lab, gateway) = lab();
    let workers = gateway.worker_pids().unwrap();
    for function in ["Panic", "Exit"] {
        lab.put(&gateway, &keyless(&[("pre", function)]));
        let failed = get(&gateway, "/api/x");
        assert_eq!(
            (failed.status, &failed.json()["code"]),
            (500, &json!("PLUGIN_FAILED"))
        );
    }
    assert_eq!(lab.upstream.requests(), 0);
    lab.put(&gateway, &keyless(&[("response", "PanicResponse")]));
    let failed = get(&gateway, "/api/secret");
    assert_eq!(
        (failed.status, &failed.json()["code"]),
        (500, &json!("PLUGIN_FAILED"))
    );
    assert!(!failed.body.contains("secret"), "{failed:?}");
    lab.put(&gateway, &keyless(&[("response", "Censor")]));
    let censored = get(&gateway, "/api/secret");
    assert_eq!((censored.status, censored.body.as_str()), (451, "not here"));
    assert_eq!(censored.header("content-length"), "8");
    assert_eq!(gateway.worker_pids().unwrap(), workers);
    let line = "this handler always panics at ";
    eventually(line, || gateway.log().contains(line).then_some(())).unwrap();
}

/// Requests that wait in a handler at once.
const WAITING: u32 = 1_000;
/// Threads that a worker has fewer than, however many wait.
const THREADS: usize = 100;

/// Calls that pend in the gateway.
fn pending(gateway: &Gateway) -> f64 {
    let scrape = Scrape::read(&format!("http://{}/metrics", gateway.admin())).unwrap();
    let calls = scrape.samples("gantry_plugin_pending_calls");
    assert_eq!(calls.len(), 1, "the gateway counts calls that pend");
    calls[0].value
}

fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

/// Answers requests of one kept connection, until there are no more.
fn release(held: &TcpListener) {
    let (mut connection, _) = held.accept().unwrap();
    let mut request = Vec::new();
    let mut answered = 0;
    let mut room = [0; 4096];
    while answered < WAITING {
        let count = connection.read(&mut room).unwrap();
        assert_ne!(count, 0, "the handlers' connection closed");
        request.extend_from_slice(&room[..count]);
        while let Some(end) = request.windows(4).position(|end| end == b"\r\n\r\n") {
            request.drain(..end + 4);
            connection
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            answered += 1;
        }
    }
}

#[test]
fn a_thousand_requests_that_wait_in_a_handler_hold_up_no_neighbour() {
    let lab = deployed();
    let gateway = patient_gateway(&lab);
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut fields = keyless(&[("pre", "Hold")]);
    fields["config_data"] = json!({"hold": format!("http://{}/", held.local_addr().unwrap())});
    lab.put(&gateway, &fields);
    let mut neighbour = lab.definition(&keyless(&[("pre", "Stamp"), ("post", "Number")]));
    neighbour["api_id"] = json!("neighbour");
    neighbour["proxy"]["listen_path"] = json!("/neighbour/");
    let put = lab
        .project
        .admin
        .put_api(lab.stage.folder(), &neighbour)
        .unwrap();
    gateway.wait_revision(revision(&put)).unwrap();

    let mut waiting: Vec<TcpStream> = (0..WAITING)
        .map(|_| {
            let mut client = TcpStream::connect(gateway.address()).unwrap();
            client
                .write_all(b"GET /api/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                .unwrap();
            client
        })
        .collect();
    eventually("all of them wait", || {
        (pending(&gateway) >= f64::from(WAITING)).then_some(())
    })
    .unwrap();
    assert_eq!(lab.upstream.requests(), 0, "all of them wait");
    for _ in 0..20 {
        let answer = get(&gateway, "/neighbour/x");
        assert_eq!((answer.status, answer.header("x-stamp")), (200, "inline"));
    }
    assert_eq!(lab.upstream.requests(), 20, "none was let go");
    for pid in gateway.worker_pids().unwrap() {
        let threads = threads(pid);
        assert!(threads < THREADS, "worker {pid} has {threads} threads");
    }

    let releasing = std::thread::spawn(move || release(&held));
    for client in &mut waiting {
        client
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    releasing.join().unwrap();
}

/// A plugin's source, given from the root of the repository, built by `gantry build` as it lies there.
fn built(source: &str, name: &str) -> PathBuf {
    let out = target_dir().join("stage/go-sources");
    let go = tool("go").unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = go.parent().map(Path::to_owned).into_iter();
    let path = std::env::join_paths(tools.chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new(binary("gantry").unwrap());
    outside_cargo(&mut command);
    let output = command
        .current_dir(workspace().join(source))
        .args(["build", ".", "--name", name, "--system-toolchain", "--out"])
        .arg(&out)
        .env("PATH", path)
        .env("GOCACHE", target_dir().join("go/cache"))
        .env("GOPATH", target_dir().join("go/path"))
        .env(
            "GANTRY_CACHE_DIR",
            target_dir().join("stage/go-sources-cache"),
        )
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{source}: {errors}");
    out.join(format!("{name}.so"))
}

/// What lies beside the example, on the lab's upstream, with another service to audit orders.
fn example_definition(lab: &Lab, audit: &str) -> Value {
    let file = workspace().join("examples/go-tyk-hooks/api.json");
    let mut definition: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    definition["proxy"]["target_url"] = json!(lab.upstream.url());
    definition["config_data"]["audit"] = json!(audit);
    definition
}

#[test]
fn example_written_for_tyk_is_built_unmodified_and_runs() {
    let lab = Lab::start();
    let bundle = lab.bundle("go-tyk-hooks", "1.0.0");
    let bundle = bundle
        .file(
            "go-tyk-hooks.so",
            &built("examples/go-tyk-hooks", "go-tyk-hooks"),
        )
        .unwrap();
    lab.publish(bundle.hook("pre", "NumberRequest", "go-tyk-hooks.so"));
    lab.project.admin.deploy("go-tyk-hooks@1.0.0").unwrap();
    let gateway = lab.gateway();
    let put = |audit: &str| {
        let definition = example_definition(&lab, audit);
        let admin = &lab.project.admin;
        let put = admin.put_api(lab.stage.folder(), &definition).unwrap();
        gateway.wait_revision(revision(&put)).unwrap();
    };
    let with = |request: Request| {
        let request = request.header("authorization", "Bearer open-sesame");
        gateway.send(&request).unwrap()
    };
    put(&format!("{}/status/204", lab.upstream.url()));

    let refused = get(&gateway, "/books/1");
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (401, "a reader's token is needed\n")
    );
    assert_eq!(lab.upstream.requests(), 0);
    let read = with(Request::get("/books/1"));
    let (id, told) = (read.header("x-request-id"), read.json());
    assert_eq!((read.status, &told["request"]), (200, &json!(id)));
    let seen = &told["data"];
    assert_eq!(seen["headers"]["x-reader"], "ada");
    assert_eq!(seen["headers"]["x-request-id"], id);
    assert_eq!(seen["headers"]["authorization"], Value::Null);

    let order = "x".repeat(100_000);
    let taken = with(Request::post("/books/orders", order.clone()));
    assert_eq!(taken.json()["data"]["body"], order, "{}", taken.status);
    put(&format!("{}/status/403", lab.upstream.url()));
    let before = lab.upstream.requests();
    let refused = with(Request::post("/books/orders", order.clone()));
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!(lab.upstream.requests(), before + 1, "the audit alone");
    put("http://127.0.0.1:1/");
    assert_eq!(with(Request::post("/books/orders", order)).status, 503);
    let line = eventually("the plugin's logger is heard", || {
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains("ask the audit"))?;
        Some(line.to_owned())
    });
    assert!(line.unwrap().contains("AuditOrder"));
}

/// An API whose functions are those of one library.
fn hooked(file: &str, hooks: &[(&str, &str)]) -> Value {
    let mut fields = keyless(hooks);
    let text = fields.to_string().replace(FILE, file);
    fields = serde_json::from_str(&text).unwrap();
    if hooks.iter().any(|(hook, _)| *hook == "auth_check") {
        fields["use_keyless"] = json!(false);
        fields["use_go_plugin_auth"] = json!(true);
    }
    fields
}

#[test]
fn spans_of_tyks_telemetry_belong_to_the_trace_of_the_request() {
    let lab = Lab::start();
    let library = built("sdk/go-tyk/testdata/plugins/spans", "spans");
    let bundle = lab.bundle("spans", "1.0.0").file("spans.so", &library);
    lab.publish(bundle.unwrap().hook("post", "Measure", "spans.so"));
    lab.project.admin.deploy("spans@1.0.0").unwrap();
    let gateway = lab.gateway();
    lab.put(&gateway, &hooked("spans.so", &[("post", "Measure")]));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for request in [
        Request::get("/api/books"),
        Request::get("/api/books").header("x-look", "shelf"),
    ] {
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        let answer = gateway.send(&request.header("traceparent", &parent));
        let seen = answer.unwrap().json();
        assert_eq!(seen["headers"]["x-trace"], trace);
        assert_eq!(seen["headers"]["x-trace-too"], trace);
    }
}

#[test]
fn plugins_written_for_each_generation_of_tyk_run_as_they_lie_there() {
    let lab = Lab::start();
    let mut bundle = lab.bundle("sources", "1.0.0");
    for name in [
        "legacy-29",
        "legacy-30",
        "ctx-values",
        "structured-log",
        "response-hooks",
    ] {
        let library = built(&format!("sdk/go-tyk/testdata/plugins/{name}"), name);
        bundle = bundle.file(&format!("{name}.so"), &library).unwrap();
    }
    lab.publish(bundle.hook("pre", "First", "ctx-values.so"));
    lab.project.admin.deploy("sources@1.0.0").unwrap();
    let gateway = lab.gateway();

    let hooks = [
        ("auth_check", "MyPluginAuthCheck"),
        ("post", "MyPluginPost"),
    ];
    lab.put(&gateway, &hooked("legacy-29.so", &hooks));
    let refused = with_token(&gateway, "another");
    assert_eq!(refused.status, 403);
    assert_eq!(refused.json(), json!({"error": "wrong key"}));
    let seen = with_token(&gateway, "valid-key").json();
    assert_eq!(seen["headers"]["x-alias"], "old-friend");
    assert_eq!(seen["headers"]["x-key"], "valid-key");

    // The key is the header as it stands, and the session with its limits is stored under it.
    let mut fields = hooked(
        "legacy-30.so",
        &[("auth_check", "Limits"), ("post", "Describe")],
    );
    fields["config_data"] = json!({"region": "north"});
    lab.put(&gateway, &fields);
    assert_eq!(get(&gateway, "/api/books").status, 401);
    let seen = with_token(&gateway, "Bearer a-key").json();
    assert_eq!(seen["headers"]["x-region"], "north");
    assert_eq!(seen["headers"]["x-client"], "127.0.0.1");

    let hooks = [("pre", "First"), ("post", "Second"), ("response", "Last")];
    lab.put(&gateway, &hooked("ctx-values.so", &hooks));
    let answer = get(&gateway, "/api/books");
    assert_eq!(answer.header("x-last-step"), "second");
    let seen = answer.json();
    assert_eq!(seen["headers"]["x-colour"], "green");
    assert_eq!(seen["headers"]["x-steps"], "first,second");

    let mut fields = hooked("response-hooks.so", &[("response", "Peek")]);
    let second = json!({"name": "Headers", "path": "response-hooks.so"});
    let entries = fields["custom_middleware"]["response"].as_array_mut();
    entries.unwrap().push(second);
    lab.put(&gateway, &fields);
    let answer = get(&gateway, "/api/books");
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("x-writer"), "set");
    assert!(!answer.header("x-first").is_empty(), "{answer:?}");
    assert!(
        answer.json()["headers"].is_object(),
        "the whole body is there"
    );

    let workers = gateway.worker_pids().unwrap();
    let fatal = [
        (
            "LogFatal",
            "this call cannot go on",
            "the function logged a fatal line",
        ),
        ("OwnFatal", "nor can this one", "os.Exit(1) was called at"),
        (
            "StandardFatal",
            "and this one neither",
            "os.Exit(1) was called at",
        ),
    ];
    for (function, words, reason) in fatal {
        let hooks = [("pre", "LogEverywhere"), ("post", function)];
        lab.put(&gateway, &hooked("structured-log.so", &hooks));
        let answer = get(&gateway, "/api/books");
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (500, &json!("PLUGIN_FAILED"))
        );
        let line = eventually("the fatal line", || {
            let log = gateway.log();
            let mut lines = log.lines().skip_while(|line| !line.contains(words));
            lines.find(|line| line.contains(reason)).map(str::to_owned)
        });
        let line = line.unwrap();
        assert!(line.contains(function), "{line}");
    }
    assert_eq!(
        gateway.worker_pids().unwrap(),
        workers,
        "a fatal line ends no worker"
    );
    let standard = || -> Vec<_> {
        let of = |worker: u32| (0..3).map(move |n| format!("/proc/{worker}/fd/{n}"));
        let files = workers.iter().copied().flat_map(of).map(fs::read_link);
        files.map(Result::ok).collect()
    };
    let before = standard();
    lab.put(
        &gateway,
        &hooked("structured-log.so", &[("pre", "CloseAll")]),
    );
    for _ in 0..8 {
        assert_eq!(get(&gateway, "/api/books").status, 200);
    }
    assert_eq!(standard(), before, "standard files are the worker's");
    let log = gateway.log();
    for words in [
        "line with fields",
        "line of a logger of its own",
        "line of the standard log",
        "line on standard output",
        "line on standard error",
    ] {
        let line = log.lines().find(|line| line.contains(words)).unwrap();
        for part in [
            "PLUGIN_LOG",
            "LogEverywhere",
            "api.id=\"test\"",
            "trace_id=",
        ] {
            assert!(line.contains(part), "{part} is in {line}");
        }
    }
}

#[test]
fn plugin_on_the_go_sdk_that_ends_the_process_fails_its_call_and_the_worker_goes_on() {
    let lab = Lab::start();
    let library = built("tests/fixtures/go-exits", "exits");
    let bundle = lab.bundle("exits", "1.0.0");
    let bundle = bundle.file("exits.so", &library).unwrap();
    lab.publish(bundle.hook("pre", "Within", "exits.so"));
    lab.project.admin.deploy("exits@1.0.0").unwrap();
    let gateway = lab.gateway();
    let workers = gateway.worker_pids().unwrap();
    let functions = [
        ("Within", 500, "os.Exit(3) was called at "),
        ("Quiet", 500, "os.Exit was called meanwhile"),
        ("Detached", 500, "os.Exit(1) was called at "),
        ("Beside", 200, "os.Exit(4) was called at "),
    ];
    for (function, status, words) in functions {
        lab.put(&gateway, &hooked("exits.so", &[("pre", function)]));
        let answer = get(&gateway, "/api/books");
        assert_eq!(answer.status, status, "{function}: {answer:?}");
        eventually(&format!("{words:?} of {function}"), || {
            gateway.log().contains(words).then_some(())
        })
        .unwrap();
    }
    assert_eq!(gateway.worker_pids().unwrap(), workers, "no worker ended");
}
