//! One library with a function for each of the five hooks. Together they show what a plugin can do:
//! add headers early, authenticate, use the session, rewrite a request, and stamp the response.
//!
//! `WaitForNews` is apart from them: an asynchronous function, for requests that wait for each other.
//!
//! Every other function leaves its hook's name in the request header `x-gantry-hooks`, so that the upstream
//! and, through `StampResponse`, the client can see who ran in which order.
//!
//! Configuration, all of it optional except what `CheckApiKey` needs, in `config_data`:
//!
//! ```json
//! {
//!   "api_keys": {"key-of-alice": "alice"},
//!   "rewrite": {"from": "/old", "to": "/new"},
//!   "news_patience_ms": 20000
//! }
//! ```

#![forbid(unsafe_code)]

mod auth;
mod news;
mod rewrite;

use gantry_plugin::{Call, Failure, RequestCall, ResponseCall};

use auth::CheckApiKey;
use news::WaitForNews;
use rewrite::RewritePath;

/// Name of the plugin.
const NAME: &str = "example-hooks";

/// Version of the plugin. A build can name another, so that one source makes two versions.
const VERSION: &str = match option_env!("GANTRY_EXAMPLE_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// The gateway version that this build is for.
const GATEWAY: &str = match option_env!("GANTRY_GATEWAY_VERSION") {
    Some(version) => version,
    None => "any",
};

/// Header in which every function leaves its hook's name.
const TRAIL: &str = "x-gantry-hooks";

gantry_plugin::plugin! {
    name: NAME,
    version: VERSION,
    functions: {
        AddTraceHeader: pre => fn add_trace_header,
        CheckApiKey: auth => type CheckApiKey,
        NameCaller: post_auth => fn name_caller,
        RewritePath: post => type RewritePath,
        StampResponse: response => fn stamp_response,
        WaitForNews: pre => async_type WaitForNews,
    }
}

/// `pre`: gives the upstream the trace, and the response a header before there is a response.
fn add_trace_header(call: &mut RequestCall<'_>) -> Result<(), Failure> {
    let trace = call.trace_id().to_owned();
    call.set_header("x-trace-id", trace)?;
    call.set_response_header("x-gantry-first", format!("{NAME} {VERSION}"))?;
    // The first function begins the trail: what a client sent under this name is not ours.
    call.set_header(TRAIL, call.hook().as_str())?;
    Ok(())
}

/// `post_auth`: tells the upstream who calls.
fn name_caller(call: &mut RequestCall<'_>) -> Result<(), Failure> {
    let session = call
        .session()
        .ok_or_else(|| Failure::new("no session after authentication"))?;
    let session: serde_json::Value = serde_json::from_str(session)?;
    let alias = session
        .get("alias")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("unnamed");
    call.set_header("x-caller", alias)?;
    leave_trail(call)
}

/// `response`: says which build of this plugin ran, and who ran before.
fn stamp_response(call: &mut ResponseCall<'_>) -> Result<(), Failure> {
    let trail = trail_with(call, call.hook().as_str());
    call.set_response_header(TRAIL, trail)?;
    call.set_response_header(
        "x-gantry-plugin",
        format!("{NAME} {VERSION} for gateway {GATEWAY}"),
    )?;
    Ok(())
}

fn leave_trail(call: &mut RequestCall<'_>) -> Result<(), Failure> {
    let trail = trail_with(call, call.hook().as_str());
    call.set_header(TRAIL, trail)?;
    Ok(())
}

fn trail_with(call: &Call<'_>, hook: &str) -> String {
    match call.header(TRAIL) {
        Some(trail) => format!("{trail}, {hook}"),
        None => hook.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use gantry_plugin::Hook;
    use gantry_plugin::testing::TestCall;

    use super::*;

    #[test]
    fn pre_adds_the_trace_and_an_early_response_header() {
        let done = TestCall::new(Hook::Pre).run_fn(add_trace_header);
        assert!(done.continued());
        assert_eq!(done.header("x-trace-id").map(str::len), Some(32));
        assert_eq!(
            done.response_header("x-gantry-first"),
            Some(&*format!("{NAME} {VERSION}"))
        );
    }

    #[test]
    fn post_auth_names_the_caller_and_fails_without_a_session() {
        let done = TestCall::new(Hook::PostAuth)
            .session(r#"{"alias":"alice"}"#)
            .header(TRAIL, "pre, auth")
            .run_fn(name_caller);
        assert_eq!(done.header("x-caller"), Some("alice"));
        assert_eq!(done.header(TRAIL), Some("pre, auth, post_auth"));
        let done = TestCall::new(Hook::PostAuth).run_fn(name_caller);
        assert_eq!(done.failure(), Some("no session after authentication"));
    }

    #[test]
    fn response_says_which_build_ran_and_who_ran_before() {
        let done = TestCall::new(Hook::Response)
            .header(TRAIL, "pre, post")
            .run_response_fn(stamp_response);
        assert_eq!(done.response_header(TRAIL), Some("pre, post, response"));
        let stamp = done.response_header("x-gantry-plugin").unwrap();
        assert_eq!(stamp, format!("{NAME} {VERSION} for gateway {GATEWAY}"));
    }
}
