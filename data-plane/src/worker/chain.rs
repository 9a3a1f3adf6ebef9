//! One request from its head to its answer:
//!
//! `route -> pre* -> auth* -> consumer key -> post_auth* -> session -> endpoint* -> post* -> strip -> upstream ->
//! response*`
//!
//! A function continues, answers (which ends the chain, and response functions do not run), or fails
//! (which ends it with 500). What fails in a response function lets no byte of the upstream's answer
//! out. Headers that request functions put on the response are on it in the end, whoever answers: a
//! browser could not even read a refusal whose cross-origin headers got lost. A path that a function changed goes upstream and does not route again.
//!
//! Where an auth function and a consumer key are both asked for, the function comes first and both must
//! agree. The function's session stays; the key's document is the session where no function set one.

use std::sync::Arc;

use gantry_domain::Hook;
use gantry_plugin_host::{Carries, Exchange, added};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, Request, Response, response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::account::Account;
use super::api::{Api, Authentication, Service, Serving};
use super::body::{AnswerBody, RequestBody};
use super::connection::Client;
use super::context::Worker;
use super::headers;
use super::inbound::Inbound;
use super::keys::Authenticated;
use super::path::strip;
use super::respond::Refusal;
use super::run::{End, Run};
use super::sessions;
use super::whole::{self, Held};
use crate::sys::slot::Counter;

/// Answers a request.
///
/// # Errors
/// The gateway answers itself, as the refusal says.
pub async fn answer(
    worker: &'static Worker,
    client: &Client<'_>,
    request: Request<Incoming>,
    account: &mut Account,
) -> Result<Response<AnswerBody>, Refusal> {
    let (head, body) = request.into_parts();
    let inbound = Inbound::check(&head)?;
    let (api, revision) = worker.route(&inbound)?;
    account.routed(&api, revision);
    let Service::Serve(serving) = &api.service else {
        return Err(Refusal::ApiUnavailable);
    };
    if serving.functions.is_empty() {
        let path = direct_path(&api, serving, &inbound, &head)?;
        return pass(worker, serving, client, path, head, body, account).await;
    }
    let (host, path) = (inbound.host.into_owned(), inbound.path.normal().to_owned());
    let exchange = exchange_of(serving, client, host, path, head, account);
    hooked(worker, &api, serving, client, exchange, body, account).await
}

/// A request to an API without functions.
async fn pass(
    worker: &'static Worker,
    serving: &Serving,
    client: &Client<'_>,
    path: PathAndQuery,
    mut head: Parts,
    body: Incoming,
    account: &mut Account,
) -> Result<Response<AnswerBody>, Refusal> {
    headers::remove_hop_by_hop(&mut head.headers);
    if let Authentication::Required {
        plugin,
        token_header,
    } = &serving.authentication
    {
        let key = check_key(worker, token_header.as_ref(), &head.headers)?;
        let Some(key) = key.filter(|_| !*plugin) else {
            return Err(refuse_access(worker, Refusal::SessionMissing));
        };
        sessions::check(
            worker,
            &serving.context.api_id,
            Some(&key.known),
            None,
            false,
        )
        .map_err(|refusal| refuse_access(worker, refusal))?;
    }
    let asked = head.method.clone();
    let (body, through) = RequestBody::of(body, account);
    let outgoing = Outgoing {
        method: head.method,
        path,
        headers: head.headers,
        kept: None,
        body,
        through,
    };
    let (head, body) = forward(serving, client, outgoing, account).await?;
    Ok(finish(&asked, head, body))
}

/// A request to an API with functions.
async fn hooked(
    worker: &'static Worker,
    api: &Api,
    serving: &Serving,
    client: &Client<'_>,
    exchange: Box<Exchange>,
    body: Incoming,
    account: &mut Account,
) -> Result<Response<AnswerBody>, Refusal> {
    let asked = exchange.method.clone();
    let (body, through) = RequestBody::of(body, account);
    let mut body = Held::new(body);
    let mut run = Run {
        worker,
        client,
        account,
    };
    let mut exchange = match request_hooks(&mut run, serving, exchange, &mut body).await {
        Ok(exchange) => exchange,
        Err(end) => return Ok(end.response(run.account)),
    };
    let (body, through) = outgoing_body(&mut exchange, body, through);
    if serving.strip_listen_path {
        exchange.path = stripped(&exchange.path, &api.prefix);
    }
    let early = std::mem::take(&mut exchange.response_headers);
    let Some(path) = serving
        .target
        .path_and_query(&exchange.path, exchange.query.as_deref())
    else {
        return Ok(End::Refused(Refusal::TargetTooLong, early).response(run.account));
    };
    let watched = !serving.functions.at(Hook::Response).is_empty();
    let headers = if watched {
        exchange.headers.clone()
    } else {
        std::mem::take(&mut exchange.headers)
    };
    let outgoing = Outgoing {
        method: exchange.method.clone(),
        path,
        headers,
        kept: watched.then_some(&exchange.headers),
        body,
        through,
    };
    let (mut head, body) = match forward(serving, client, outgoing, run.account).await {
        Ok(answer) => answer,
        Err(refusal) => return Ok(End::Refused(refusal, early).response(run.account)),
    };
    if !watched {
        added::join(&mut head.headers, early);
        return Ok(finish(&asked, head, body));
    }
    exchange.added_headers.clone_from(&early);
    exchange.status = Some(head.status);
    exchange.response_headers = std::mem::take(&mut head.headers);
    let mut body = Held::new(body);
    let functions = serving.functions.at(Hook::Response);
    let ended = run.all(functions, exchange, &mut body).await;
    Ok(match ended {
        Ok(exchange) => finish_watched(&asked, head, *exchange, body),
        // By now the exchange holds headers of the upstream's, which must not get out.
        Err(End::Refused(refusal, _)) => End::Refused(refusal, early).response(run.account),
        Err(answered) => answered.response(run.account),
    })
}

fn exchange_of(
    serving: &Serving,
    client: &Client<'_>,
    host: String,
    path: String,
    mut head: Parts,
    account: &mut Account,
) -> Box<Exchange> {
    headers::remove_hop_by_hop(&mut head.headers);
    Box::new(Exchange {
        method: head.method,
        path,
        query: head.uri.query().map(str::to_owned),
        remote_addr: Arc::clone(&client.name),
        host,
        session: None,
        token: None,
        stored_sessions: Vec::new(),
        api: Arc::clone(&serving.context),
        trace: account.trace().for_functions(&head.headers),
        headers: head.headers,
        target: head.uri.into(),
        response_headers: HeaderMap::new(),
        added_headers: HeaderMap::new(),
        body: None,
        status: None,
        answer: None,
        carries: Carries::default(),
    })
}

async fn request_hooks(
    run: &mut Run<'_>,
    serving: &Serving,
    exchange: Box<Exchange>,
    body: &mut Held<RequestBody>,
) -> Result<Box<Exchange>, End> {
    let (worker, functions) = (run.worker, &serving.functions);
    let mut exchange = run.all(functions.at(Hook::Pre), exchange, body).await?;
    if let Authentication::Required {
        plugin,
        token_header,
    } = &serving.authentication
    {
        exchange = run.all(functions.at(Hook::Auth), exchange, body).await?;
        if *plugin && exchange.session.is_none() {
            let refusal = refuse_access(worker, Refusal::SessionMissing);
            return Err(End::refused(refusal, exchange));
        }
        let key = match check_key(worker, token_header.as_ref(), &exchange.headers) {
            Ok(key) => key,
            Err(refusal) => return Err(End::refused(refusal, exchange)),
        };
        let key = key.map(|key| {
            exchange.token = Some(String::from_utf8_lossy(key.token).into_owned());
            key.known
        });
        let session = key.as_ref().map(|key| key.session.clone());
        exchange.session = exchange.session.take().or(session);
        if exchange.session.is_none() {
            let refusal = refuse_access(worker, Refusal::SessionMissing);
            return Err(End::refused(refusal, exchange));
        }
        exchange = run
            .all(functions.at(Hook::PostAuth), exchange, body)
            .await?;
        let (api, session) = (&exchange.api.api_id, exchange.session.as_ref());
        if let Err(refusal) = sessions::check(worker, api, key.as_ref(), session, *plugin) {
            return Err(End::refused(refuse_access(worker, refusal), exchange));
        }
    }
    if !functions.endpoints.is_empty() {
        exchange = match functions.endpoints.of(&exchange.method, &exchange.path) {
            Ok(met) => run.all(&met, exchange, body).await?,
            Err(refusal) => return Err(End::refused(refusal, exchange)),
        };
    }
    run.all(functions.at(Hook::Post), exchange, body).await
}

/// The consumer key and its session, where one is asked for.
fn check_key<'h>(
    worker: &Worker,
    header: Option<&HeaderName>,
    headers: &'h HeaderMap,
) -> Result<Option<Authenticated<'h>>, Refusal> {
    let checked = header
        .map(|header| worker.keys.authenticate(headers, header))
        .transpose();
    checked.map_err(|refusal| refuse_access(worker, refusal))
}

fn refuse_access(worker: &Worker, refusal: Refusal) -> Refusal {
    worker.memory.add(Counter::AuthRefusals, 1);
    refusal
}

/// A request as it goes upstream.
struct Outgoing<'k> {
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    /// The same headers, where somebody else reads them later.
    kept: Option<&'k HeaderMap>,
    body: RequestBody,
    /// Resolves when the body is out; a whole one is out at once.
    through: Option<oneshot::Receiver<()>>,
}

/// Asks the upstream. The head of its answer is without what belongs to its connection.
async fn forward(
    serving: &Serving,
    client: &Client<'_>,
    outgoing: Outgoing<'_>,
    account: &mut Account,
) -> Result<(response::Parts, AnswerBody), Refusal> {
    let asked = account.asks_upstream(&outgoing.method);
    let addressed = |mut headers| {
        headers::address_upstream(&mut headers, &serving.target.authority, &client.ip);
        asked.tell(&mut headers);
        headers
    };
    let mut request = Request::new(outgoing.body);
    *request.method_mut() = outgoing.method;
    *request.uri_mut() = outgoing.path.into();
    *request.headers_mut() = addressed(outgoing.headers);
    let made_again = outgoing.kept.map(|kept| || addressed(kept.clone()));
    let again = made_again.as_ref().map(|make| make as _);
    let (upstream, through) = (&serving.upstream, outgoing.through);
    let answered = upstream.send(request, through, again).await;
    account.upstream_answered(&asked, &answered);
    let (response, lease) = answered?;
    let (mut head, body) = response.into_parts();
    headers::remove_hop_by_hop(&mut head.headers);
    Ok((head, AnswerBody::upstream(body, lease)))
}

/// A request's body after its functions: as it streams, or whole with its length.
fn outgoing_body(
    exchange: &mut Exchange,
    body: Held<RequestBody>,
    through: Option<oneshot::Receiver<()>>,
) -> (RequestBody, Option<oneshot::Receiver<()>>) {
    if let Some(body) = body.untouched() {
        return (body, through);
    }
    let whole = exchange.body.take().unwrap_or_default();
    let body = whole::request_body(&exchange.method, &mut exchange.headers, whole);
    (body, None)
}

/// The upstream's answer after its functions.
fn finish_watched(
    asked: &Method,
    mut head: response::Parts,
    mut exchange: Exchange,
    body: Held<AnswerBody>,
) -> Response<AnswerBody> {
    head.status = exchange.status.unwrap_or(head.status);
    exchange.join_added();
    head.headers = exchange.response_headers;
    let body = body.untouched().unwrap_or_else(|| {
        let whole = exchange.body.take().unwrap_or_default();
        whole::answer_body(asked, head.status, &mut head.headers, whole)
    });
    finish(asked, head, body)
}

fn finish(asked: &Method, mut head: response::Parts, body: AnswerBody) -> Response<AnswerBody> {
    headers::settle_length(&mut head.headers, asked, head.status, body.is_end_stream());
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// A path without its listen path; never empty.
fn stripped(path: &str, listen_path: &str) -> String {
    match strip(path, listen_path) {
        "" => "/".to_owned(),
        rest => rest.to_owned(),
    }
}

/// Where a request goes that no function can change.
fn direct_path(
    api: &Api,
    serving: &Serving,
    inbound: &Inbound<'_>,
    head: &Parts,
) -> Result<PathAndQuery, Refusal> {
    let path = inbound.path.normal();
    let rest = if serving.strip_listen_path {
        strip(path, &api.prefix)
    } else {
        path
    };
    if serving.target.base_path.is_empty()
        && rest == head.uri.path()
        && let Some(as_it_came) = head.uri.path_and_query()
    {
        return Ok(as_it_came.clone());
    }
    let rest = if rest.is_empty() { "/" } else { rest };
    serving
        .target
        .path_and_query(rest, head.uri.query())
        .ok_or(Refusal::TargetTooLong)
}
