//! Asynchronous functions of a plugin under test, as their author would test them.
#![forbid(unsafe_code)]
#![cfg(feature = "testing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gantry_plugin::testing::TestCall;
use gantry_plugin::{
    Answer, AsyncRequestCall, AsyncRequestFunction, AsyncResponseCall, Failure, Fault, Hook, Level,
    Outcome, sleep, timeout,
};

struct LookUp {
    key: String,
}

impl AsyncRequestFunction for LookUp {
    fn start(config: &str) -> Result<Self, String> {
        Ok(Self {
            key: config.to_owned(),
        })
    }

    async fn call(&self, call: &mut AsyncRequestCall) -> Result<Outcome, Failure> {
        sleep(Duration::from_millis(1)).await;
        if call.header("x-key") != Some(&self.key) {
            call.log(Level::Info, "no such key");
            return Ok(Outcome::Answer(
                Answer::json(401, "{}").header("x-why", "key"),
            ));
        }
        call.store_session(&self.key, r#"{"alias":"ada"}"#)?;
        Ok(Outcome::Continue)
    }
}

#[test]
fn asynchronous_type_answers_or_stores_a_session() {
    let function = LookUp::start("secret").unwrap();
    let refused = TestCall::new(Hook::Auth).run_async(&function);
    assert_eq!(refused.answer(), Some((401, "{}")));
    assert_eq!(refused.response_header("x-why"), Some("key"));
    assert_eq!(refused.log(), [(Level::Info, "no such key".to_owned())]);
    assert_eq!(refused.stored_session(), None);

    let accepted = TestCall::new(Hook::Auth)
        .header("X-Key", "secret")
        .run_async(&function);
    assert!(accepted.continued(), "{:?}", accepted.failure());
    assert_eq!(accepted.auth_token(), Some("secret"));
    assert_eq!(
        accepted.stored_session(),
        Some(("secret", r#"{"alias":"ada"}"#))
    );
}

#[test]
fn changes_are_read_back_at_once_and_seen_after_the_end() {
    let done = TestCall::new(Hook::Post)
        .header("x-a", "1")
        .header("x-a", "2")
        .header("content-encoding", "gzip")
        .body("old")
        .auth_token("key-1")
        .openapi(r#"{"openapi":"3.0.3"}"#)
        .run_async_fn(async |call: &mut AsyncRequestCall| -> Result<(), Failure> {
            assert_eq!(call.auth_token(), Some("key-1"));
            assert_eq!(call.openapi(), Some(r#"{"openapi":"3.0.3"}"#));
            call.set_header("X-A", "3")?;
            call.add_header("x-a", "4")?;
            let values: Vec<_> = call.header_values("x-a").map(<[u8]>::to_vec).collect();
            assert_eq!(values, [b"3", b"4"]);
            assert_eq!(call.body().await?, b"old");
            call.set_body("newer")?;
            assert_eq!(call.body().await?, b"newer");
            assert_eq!(call.header("content-encoding"), None);
            call.set_path("/moved")?;
            call.set_query("")?;
            Ok(())
        });
    assert!(done.continued(), "{:?}", done.failure());
    assert_eq!(done.header_values("x-a"), ["3", "4"]);
    assert_eq!(done.body(), Some(&b"newer"[..]));
    assert_eq!((done.path(), done.query()), ("/moved", None));
    assert_eq!(done.header("content-encoding"), None);
}

#[test]
fn refused_changes_name_why_and_a_failed_call_changes_nothing() {
    let done = TestCall::new(Hook::Pre).run_async_fn(
        async |call: &mut AsyncRequestCall| -> Result<(), Failure> {
            let refused = call.set_header("content-length", "5").unwrap_err();
            assert_eq!(refused.fault(), Fault::Refused);
            assert_eq!(call.set_session("{}").unwrap_err().fault(), Fault::Refused);
            assert_eq!(
                call.set_path("nowhere").unwrap_err().fault(),
                Fault::Invalid
            );
            call.set_header("x-half", "done")?;
            Err(Failure::new("half way"))
        },
    );
    assert_eq!(done.failure(), Some("half way"));
    assert_eq!(done.header("x-half"), None);
    assert_eq!(done.path(), "/");
}

#[test]
fn response_is_changed_after_its_body_was_awaited() {
    let done = TestCall::new(Hook::Response)
        .status(200)
        .body("upstream")
        .run_async_response_fn(
            async |call: &mut AsyncResponseCall| -> Result<(), Failure> {
                let upper = call.body().await?.to_ascii_uppercase();
                call.set_status(203)?;
                call.set_body(upper)?;
                call.set_response_header("x-read", "yes")?;
                Ok(())
            },
        );
    assert_eq!(done.status(), Some(203));
    assert_eq!(done.body(), Some(&b"UPSTREAM"[..]));
    assert_eq!(done.response_header("x-read"), Some("yes"));
}

#[test]
fn client_that_leaves_drops_the_future_where_it_waits() {
    struct SayDropped(Arc<AtomicBool>);
    impl Drop for SayDropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let mut cancellation = None;
    let done = TestCall::new(Hook::Pre).client_leaves().run_async_fn(
        async |call: &mut AsyncRequestCall| {
            let _guard = SayDropped(Arc::clone(&dropped));
            cancellation = Some(call.cancellation());
            std::future::pending::<()>().await;
        },
    );
    assert_eq!(done.failure(), Some("cancelled"));
    assert!(dropped.load(Ordering::SeqCst));
    assert!(cancellation.expect("it ran").is_cancelled());
}

#[test]
fn timeout_gives_up_on_what_never_comes_and_keeps_what_does() {
    let done = TestCall::new(Hook::Pre).run_async_fn(
        async |call: &mut AsyncRequestCall| -> Result<(), Failure> {
            let never = timeout(Duration::from_millis(2), std::future::pending::<()>()).await;
            assert!(never.is_none());
            let body = timeout(Duration::from_mins(1), call.body()).await;
            assert_eq!(body.expect("it is there")?, b"");
            Ok(())
        },
    );
    assert!(done.continued(), "{:?}", done.failure());
}
