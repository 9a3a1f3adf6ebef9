//! Each call as one span and one count: the layer outside of all others, so that refused calls are
//! seen too.
//!
//! Only methods that exist have a name here: what a stranger asks for must not become a label, and
//! health and reflection are asked for by machines all the time. Not here: what the calls do. Invariant: a call that came in is counted once, with the code that its
//! caller got.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use gantry_proto::descriptors;
use gantry_telemetry::rpc::{Call, code_name};
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::metrics::Metrics;

/// Watches calls. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Observer {
    methods: Arc<BTreeSet<String>>,
    metrics: Metrics,
}

impl Observer {
    /// Counts into these.
    pub(crate) fn new(metrics: Metrics) -> Self {
        let pool = descriptors::pool();
        let services = pool.services();
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        Self {
            methods: Arc::new(methods.map(|method| descriptors::path(&method)).collect()),
            metrics,
        }
    }

    fn call(&self, request: &Request<Body>) -> Option<Call> {
        let method = self.methods.get(request.uri().path())?;
        let (metrics, begun) = (self.metrics.clone(), Instant::now());
        let name = method.trim_start_matches('/').to_owned();
        let call = Call::server(method, request.headers());
        Some(call.tell(move |code| metrics.rpc(&name, code_name(code), begun.elapsed())))
    }
}

impl<S> Layer<S> for Observer {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed {
            observer: self.clone(),
            inner,
        }
    }
}

/// A service that is watched.
#[derive(Debug, Clone)]
pub(crate) struct Observed<S> {
    observer: Observer,
    inner: S,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let Some(call) = self.observer.call(&request) else {
            return Box::pin(self.inner.call(request));
        };
        let answer = call.span().in_scope(|| self.inner.call(request));
        let answer = answer.instrument(call.span().clone());
        Box::pin(async move {
            let Ok(answer) = answer.await;
            Ok(call.watch(answer))
        })
    }
}
