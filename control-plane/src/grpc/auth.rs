//! Who are you, may you: decided for every call before its body is read.
//!
//! The table comes from the descriptor set, so a method that says nothing about access is refused to
//! everybody, and no handler can forget to ask. Reflection and health are open: they show what the
//! `.proto` files show. Invariants: a handler runs with a [`Principal`] or not at all; when a token
//! ends, its streams end, in both directions.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use gantry_domain::{Right, RightSet};
use gantry_proto::descriptors::{self, Access};
use http::{HeaderMap, Request, Response, header};
use thiserror::Error;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use super::revocable::RevocableBody;
use super::status::status;
use crate::access_token::{AccessToken, AccessTokenError};
use crate::metadata::{Metadata, MetadataError};
use crate::principal::Principal;
use crate::refusal::{Kind, Refuse};
use crate::signals::{Revocations, Revoked};

/// Services that ask for no token.
const OPEN: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Why a call is not let in.
#[derive(Debug, Error)]
pub(crate) enum AuthError {
    /// Call a method that exists.
    #[error("method {0} does not exist")]
    NoMethod(String),
    /// Present a token.
    #[error("expected the header `authorization: Bearer <access token>`, found {0}")]
    Missing(&'static str),
    /// Present a whole token.
    #[error("the access token is malformed: {0}")]
    Malformed(#[from] AccessTokenError),
    /// Present a token that exists.
    #[error("the access token is not known")]
    Unknown,
    /// Present a token that has not ended.
    #[error("the access token has been revoked")]
    Revoked,
    /// Use a token that has the right.
    #[error("expected a token with one of these rights: {expected}; found: {found}")]
    Right {
        /// Any of these would do.
        expected: RightSet,
        /// What the token has.
        found: RightSet,
    },
    /// Leave it to the operators.
    #[error("only a token of the operators' tenant may do this")]
    NotOperator,
    /// Repeat.
    #[error("the call took longer than {0} s")]
    Timeout(u64),
    /// Nothing; the operators must look.
    #[error("a call ended abnormally")]
    Panicked(#[source] tokio::task::JoinError),
    /// See the store.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

impl Refuse for AuthError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoMethod(_) => Kind::NoMethod,
            Self::Missing(_) | Self::Malformed(_) | Self::Unknown | Self::Revoked => {
                Kind::Unauthenticated
            }
            Self::Right { .. } | Self::NotOperator => Kind::Denied,
            Self::Timeout(_) => Kind::Unavailable,
            Self::Panicked(_) => Kind::Internal,
            Self::Metadata(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoMethod(_) => "METHOD_NOT_FOUND",
            Self::Missing(_) => "TOKEN_MISSING",
            Self::Malformed(_) => "TOKEN_MALFORMED",
            Self::Unknown => "TOKEN_UNKNOWN",
            Self::Revoked => "TOKEN_REVOKED",
            Self::Right { .. } => "RIGHT_MISSING",
            Self::NotOperator => "OPERATOR_ONLY",
            Self::Timeout(_) => "CALL_TIMEOUT",
            Self::Panicked(_) => "INTERNAL",
            Self::Metadata(error) => error.code(),
        }
    }
}

/// What is needed to decide. Clones share everything.
#[derive(Debug, Clone)]
pub struct Authority(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    methods: BTreeMap<String, Method>,
    metadata: Metadata,
    revocations: Revocations,
    tasks: TaskTracker,
    call_timeout: Duration,
}

#[derive(Debug)]
struct Method {
    access: Access,
    /// The caller decides how long it sends; the handler bounds each pause instead.
    client_streaming: bool,
}

impl Authority {
    /// Decides by the descriptor set and a store's tokens. A call that the caller does not stream
    /// must begin to be answered within `call_timeout`.
    pub fn new(
        metadata: Metadata,
        revocations: Revocations,
        tasks: TaskTracker,
        call_timeout: Duration,
    ) -> Self {
        let mut access = descriptors::access_table();
        let pool = descriptors::pool();
        let methods = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>());
        let methods = methods.filter_map(|method| {
            let path = descriptors::path(&method);
            let method = Method {
                access: access.remove(&path)?,
                client_streaming: method.is_client_streaming(),
            };
            Some((path, method))
        });
        Self(Arc::new(Inner {
            methods: methods.collect(),
            metadata,
            revocations,
            tasks,
            call_timeout,
        }))
    }

    /// Decides for a request through another door, by the right that a method needs. The caller must
    /// stop when the token ends meanwhile.
    pub(crate) async fn admit(
        &self,
        headers: &HeaderMap,
        method: &str,
    ) -> Result<(Principal, Revoked), AuthError> {
        let known = self.0.methods.get(method);
        let known = known.ok_or_else(|| AuthError::NoMethod(method.to_owned()))?;
        // Listen first, as for a call.
        let revoked = self.0.revocations.subscribe();
        let principal = self.principal(headers, &known.access).await?;
        Ok((principal, revoked))
    }

    async fn principal(
        &self,
        headers: &HeaderMap,
        access: &Access,
    ) -> Result<Principal, AuthError> {
        let token = bearer(headers)?;
        let row = self.0.metadata.token(token.id()).await?;
        // Unknown id and wrong secret look the same from outside.
        let row = row
            .filter(|row| token.proves(&row.secret_sha256))
            .ok_or(AuthError::Unknown)?;
        if row.revoked_at.is_some() {
            return Err(AuthError::Revoked);
        }
        let principal = Principal::from(row);
        check_rights(&principal, access)?;
        Ok(principal)
    }
}

fn bearer(headers: &HeaderMap) -> Result<AccessToken, AuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::Missing("none"))?;
    if values.next().is_some() {
        return Err(AuthError::Missing("several"));
    }
    let text = value
        .to_str()
        .map_err(|_| AuthError::Missing("other characters"))?;
    let (scheme, token) = text
        .split_once(' ')
        .ok_or(AuthError::Missing("another form"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Missing("another scheme"));
    }
    Ok(AccessToken::parse(token.trim())?)
}

fn check_rights(principal: &Principal, access: &Access) -> Result<(), AuthError> {
    if access.operator && !principal.tenant.is_operator() {
        return Err(AuthError::NotOperator);
    }
    let needed = |right: &Right| principal.rights.allows(*right);
    if access.any_of.is_empty() || access.any_of.iter().any(needed) {
        return Ok(());
    }
    Err(AuthError::Right {
        expected: access.any_of.iter().copied().collect(),
        found: principal.rights,
    })
}

impl<S> Layer<S> for Authority {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            authority: self.clone(),
            inner,
        }
    }
}

/// A service behind the decision.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    authority: Authority,
    inner: S,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        // The clone has not been polled ready; the one that has must serve the call.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        if OPEN
            .iter()
            .any(|open| request.uri().path().starts_with(open))
        {
            let mut inner = inner;
            return Box::pin(async move { inner.call(request).await });
        }
        let authority = self.authority.clone();
        Box::pin(async move { Ok(guard(authority, inner, request).await) })
    }
}

async fn guard<S>(authority: Authority, mut inner: S, mut request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let refuse = |error: AuthError| status(&error).into_http();
    let path = request.uri().path();
    let Some(method) = authority.0.methods.get(path) else {
        return refuse(AuthError::NoMethod(path.chars().take(120).collect()));
    };
    // Listen first: a token that ends after it was looked up is then heard of.
    let revoked = authority.0.revocations.subscribe();
    let principal = match authority.principal(request.headers(), &method.access).await {
        Ok(principal) => principal,
        Err(error) => return refuse(error),
    };
    let mut revoked = Box::pin(revoked.wait(principal.token.clone()));
    Span::current().record("tenant.id", principal.tenant.as_str());
    request.extensions_mut().insert(principal);
    let call = inner.call(request);
    let answer = if method.client_streaming {
        tokio::select! {
            () = &mut revoked => return refuse(AuthError::Revoked),
            answer = call => answer,
        }
    } else {
        // What a caller has sent whole is done whole, also when the caller goes away or its token
        // ends meanwhile: a change that is committed must also be told to those who wait for it.
        let task = authority.0.tasks.spawn(call.in_current_span());
        let timeout = authority.0.call_timeout;
        match tokio::time::timeout(timeout, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return refuse(AuthError::Panicked(error)),
            Err(_) => return refuse(AuthError::Timeout(timeout.as_secs())),
        }
    };
    let Ok(answer) = answer;
    answer.map(|body| {
        let ended = status(&AuthError::Revoked);
        Body::new(RevocableBody::new(body, revoked, ended))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_in_any_other_form_is_refused() {
        for (value, code) in [
            ("", "TOKEN_MISSING"),
            ("gantry_x_y", "TOKEN_MISSING"),
            ("Basic gantry_x_y", "TOKEN_MISSING"),
            ("Bearer gantry_x_y", "TOKEN_MALFORMED"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers).unwrap_err().code(), code, "{value:?}");
        }
        let token = AccessToken::generate().reveal();
        let mut headers = HeaderMap::new();
        let value: http::HeaderValue = format!("bearer {token}").parse().unwrap();
        headers.append(header::AUTHORIZATION, value.clone());
        assert!(bearer(&headers).is_ok());
        headers.append(header::AUTHORIZATION, value);
        assert_eq!(bearer(&headers).unwrap_err().code(), "TOKEN_MISSING");
    }
}
