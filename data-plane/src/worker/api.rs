//! An API as a worker runs it: immutable, shared by the generations that contain it and the requests
//! that are on it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::Sender;
use std::time::Duration;

use gantry_domain::Hook;
use gantry_plugin_host::{ApiContext, Instance};
use http::HeaderName;

use super::endpoints::Endpoints;
use super::loader::Job;
use super::seldom::Seldom;
use super::upstream::{Target, Upstream};

/// An API.
#[derive(Debug)]
pub struct Api {
    /// Its number in records and tables.
    pub number: u32,
    /// The host it answers to; any when absent.
    pub domain: Option<String>,
    /// Its path prefix, without a slash at its end.
    pub prefix: String,
    /// What happens to its requests.
    pub service: Service,
}

/// What happens to an API's requests.
#[derive(Debug)]
pub enum Service {
    /// They are served.
    Serve(Box<Serving>),
    /// They are refused: nothing may slip past functions that do not run.
    Refuse,
}

/// How an API's requests are served.
#[derive(Debug)]
pub struct Serving {
    /// What functions see of the definition.
    pub context: Arc<ApiContext>,
    /// Where requests go.
    pub upstream: Arc<Upstream>,
    /// The target, for the path before every request's.
    pub target: Target,
    /// Whether the prefix is taken off before a request goes upstream.
    pub strip_listen_path: bool,
    /// How requests are authenticated.
    pub authentication: Authentication,
    /// Its functions.
    pub functions: Functions,
}

/// How requests are authenticated. The order is: auth functions, then the consumer key; where both are
/// asked for, both must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all.
    Keyless,
    /// As the fields say; at least one of them does.
    Required {
        /// Auth functions must set a session.
        plugin: bool,
        /// The header that must hold a consumer key.
        token_header: Option<HeaderName>,
    },
}

/// An API's functions by hook, each list in order.
#[derive(Debug, Default)]
pub struct Functions {
    by_hook: [Vec<Arc<Function>>; Hook::ALL.len()],
    /// Those of its endpoints.
    pub endpoints: Endpoints,
}

impl Functions {
    /// Puts a function at the end of its hook.
    pub fn push(&mut self, function: Arc<Function>) {
        self.by_hook[function.hook() as usize].push(function);
    }

    /// The functions of a hook.
    pub fn at(&self, hook: Hook) -> &[Arc<Function>] {
        &self.by_hook[hook as usize]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_hook.iter().all(Vec::is_empty) && self.endpoints.is_empty()
    }
}

/// A function in its place.
#[derive(Debug)]
pub struct Function {
    /// What stands in the slot's memory while it runs.
    pub number: u32,
    /// Whether it may block, so that it must not run on the runtime's thread.
    pub may_block: bool,
    /// Time for a call that pends or blocks, where it has one of its own.
    pub deadline: Option<Duration>,
    /// The instance, shared with other generations.
    pub instance: Arc<Running>,
}

impl Function {
    /// The hook.
    pub fn hook(&self) -> Hook {
        self.instance.get().hook()
    }

    /// Whether it wants the body of the message that its hook is about.
    pub fn wants_body(&self) -> bool {
        self.instance.get().wants_body()
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.instance.get().function().name.as_str()
    }
}

/// An instance that is stopped on the loader's thread when its last user is gone: stopping runs plugin
/// code, and the last user may be a request.
#[derive(Debug)]
pub struct Running {
    /// Present until it is dropped.
    instance: Option<Instance>,
    loader: Sender<Job>,
    /// Calls of it that pend or were given up and are still to be resumed.
    pub in_flight: AtomicUsize,
    /// Says that calls were not made, or did not end.
    pub unended: Seldom,
}

impl Running {
    /// Keeps an instance until its last user is gone.
    pub fn new(instance: Instance, loader: Sender<Job>) -> Self {
        Self {
            instance: Some(instance),
            loader,
            in_flight: AtomicUsize::new(0),
            unended: Seldom::default(),
        }
    }

    /// The instance.
    #[expect(clippy::missing_panics_doc, reason = "only drop takes the instance")]
    pub fn get(&self) -> &Instance {
        self.instance.as_ref().expect("taken only by drop")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            // Without a loader the worker is ending, and the instance is stopped here.
            let _ = self.loader.send(Job::Stop(instance));
        }
    }
}
