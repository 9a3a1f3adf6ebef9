//! Every call as a span, and the trace's context on its way: the layer between the generated clients
//! and the channel.
//!
//! Where nothing is recorded, the context of whoever called us goes on all the same. Invariant: what
//! is called, and what it answers, is the same with and without it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use gantry_telemetry::propagation;
use gantry_telemetry::rpc::Call;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::Service;
use tracing::Instrument as _;

use crate::client::Authorize;

type Inner = InterceptedService<Channel, Authorize>;
type Failure = <Inner as Service<Request<Body>>>::Error;

/// The channel, with a span around each call.
#[derive(Debug, Clone)]
pub struct Traced(Inner);

impl Traced {
    pub(crate) const fn new(inner: Inner) -> Self {
        Self(inner)
    }
}

impl Service<Request<Body>> for Traced {
    type Response = Response<Body>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call = Call::client(request.uri().path());
        let answer = call.span().in_scope(|| {
            propagation::inject(request.headers_mut());
            self.0.call(request)
        });
        let answer = answer.instrument(call.span().clone());
        Box::pin(async move {
            match answer.await {
                Ok(answer) => Ok(call.watch(answer)),
                Err(failure) => {
                    call.fail(code(&failure));
                    Err(failure)
                }
            }
        })
    }
}

/// What a failure of the transport becomes on its way to the caller.
fn code(failure: &(dyn std::error::Error + 'static)) -> Code {
    let status = failure.downcast_ref::<Status>().map(Status::code);
    status.unwrap_or(Code::Unavailable)
}
