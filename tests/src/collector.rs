//! A collector of traces: takes OTLP over gRPC or HTTP as a vendor's would, and shows what came.
//!
//! Not here: what a trace should look like. Invariant: a span is seen once it was acknowledged, and
//! only then.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::process::eventually;

/// A span as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// `service.name` of the process that sent it.
    pub service: String,
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The span that caused it; `None` for the first of a trace.
    pub parent_id: Option<String>,
    /// Its name.
    pub name: String,
    /// `server`, `client`, `internal`, or another by number.
    pub kind: String,
    /// Nanoseconds since 1970.
    pub start_nanos: u64,
    /// Nanoseconds since 1970.
    pub end_nanos: u64,
    /// Texts, numbers and truths by key.
    pub attributes: BTreeMap<String, Value>,
    /// What failed; `None` where nothing is said to have.
    pub error: Option<String>,
    /// Names of the events in it.
    pub events: Vec<String>,
}

#[derive(Debug, Default)]
struct Received {
    spans: Vec<Span>,
    /// Of each request that came, whatever the protocol.
    headers: Vec<BTreeMap<String, String>>,
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    scheme: &'static str,
    protocol: &'static str,
    received: Arc<Mutex<Received>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Collector {
    /// Starts one that takes OTLP over gRPC, on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port or thread is to be had.
    pub fn start() -> Result<Self> {
        Self::listen("127.0.0.1:0".parse()?, "grpc", None)
    }

    /// Starts one that takes OTLP as protobuf over HTTP.
    ///
    /// # Errors
    /// No port or thread is to be had.
    pub fn start_http() -> Result<Self> {
        Self::listen("127.0.0.1:0".parse()?, "http/protobuf", None)
    }

    /// Starts one that takes OTLP over gRPC and TLS, and writes its certificate to a file.
    ///
    /// # Errors
    /// No port or thread is to be had, or the file cannot be written.
    pub fn start_tls(certificate_file: &Path) -> Result<Self> {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(certificate_file, issued.cert.pem())?;
        let identity = Identity::from_pem(issued.cert.pem(), issued.signing_key.serialize_pem());
        Self::listen("127.0.0.1:0".parse()?, "grpc", Some(identity))
    }

    /// Starts one over gRPC where an earlier one was.
    ///
    /// # Errors
    /// The address is in use.
    pub fn start_at(address: SocketAddr) -> Result<Self> {
        Self::listen(address, "grpc", None)
    }

    fn listen(
        address: SocketAddr,
        protocol: &'static str,
        identity: Option<Identity>,
    ) -> Result<Self> {
        let scheme = if identity.is_some() { "https" } else { "http" };
        let listener = std::net::TcpListener::bind(address).context("bind the collector")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let received = Arc::new(Mutex::new(Received::default()));
        let taking = Taking(received.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("collector".into())
            .spawn(move || {
                runtime.block_on(async {
                    let serving = async {
                        match protocol {
                            "grpc" => serve_grpc(listener, taking, identity).await,
                            _ => serve_http(listener, taking).await,
                        }
                    };
                    tokio::select! {
                        () = serving => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            scheme,
            protocol,
            received,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The variables that make a process send its traces here, without delay.
    pub fn variables(&self) -> Vec<(String, String)> {
        // By name, since a certificate is of a name.
        let endpoint = match self.scheme {
            "https" => format!("https://localhost:{}", self.address.port()),
            _ => format!("http://{}", self.address),
        };
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", self.protocol),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Every span so far, in the order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.lock().spans.clone()
    }

    /// Every span of a trace so far, earliest start first.
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id == trace_id);
        spans.sort_by_key(|span| (span.start_nanos, span.end_nanos));
        spans
    }

    /// Waits until the spans of a trace are what a condition wants, and gives them.
    ///
    /// # Errors
    /// Patience ran out; the message names the spans that came.
    pub fn wait_for(
        &self,
        trace_id: &str,
        condition: impl Fn(&[Span]) -> bool,
    ) -> Result<Vec<Span>> {
        let whole = || Some(self.trace(trace_id)).filter(|spans| condition(spans));
        eventually("the trace", whole).with_context(|| {
            let spans = self.spans();
            let line = |span: &Span| {
                format!(
                    "{} {} {} ({:?}) {} {}",
                    span.trace_id,
                    span.parent_id.as_deref().unwrap_or("-"),
                    span.span_id,
                    span.service,
                    span.kind,
                    span.name
                )
            };
            spans.iter().map(line).collect::<Vec<_>>().join("\n")
        })
    }

    /// The headers of each request that brought spans.
    pub fn headers(&self) -> Vec<BTreeMap<String, String>> {
        self.lock().headers.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Clone)]
struct Taking(Arc<Mutex<Received>>);

impl Taking {
    fn take(&self, headers: &hyper::HeaderMap, request: ExportTraceServiceRequest) {
        let texts = headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), value.into_owned())
        });
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        received.headers.push(texts.collect());
        for resource in request.resource_spans {
            let about = resource.resource.map(|resource| resource.attributes);
            let about = attributes(about.unwrap_or_default());
            let service = about.get("service.name").and_then(Value::as_str);
            let service = service.unwrap_or_default().to_owned();
            let spans = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            received
                .spans
                .extend(spans.map(|span| read(&service, span)));
        }
    }
}

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.take(&metadata.into_headers(), message);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn serve_grpc(listener: std::net::TcpListener, taking: Taking, identity: Option<Identity>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut server = Server::builder();
    if let Some(identity) = identity {
        let tls = ServerTlsConfig::new().identity(identity);
        let Ok(with_tls) = server.tls_config(tls) else {
            return;
        };
        server = with_tls;
    }
    let _ = server
        .add_service(TraceServiceServer::new(taking))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await;
}

async fn serve_http(listener: std::net::TcpListener, taking: Taking) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    while let Ok((stream, _)) = listener.accept().await {
        let taking = taking.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(taking.clone(), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    taking: Taking,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let message = body
        .ok()
        .filter(|_| head.uri.path() == "/v1/traces")
        .and_then(|body| ExportTraceServiceRequest::decode(body).ok());
    let Some(message) = message else {
        return Ok(hyper::Response::builder()
            .status(400)
            .body(Full::default())
            .unwrap_or_default());
    };
    taking.take(&head.headers, message);
    let body = ExportTraceServiceResponse::default().encode_to_vec();
    Ok(hyper::Response::new(Full::new(body.into())))
}

fn read(service: &str, span: otlp::Span) -> Span {
    let failed = span
        .status
        .filter(|status| status.code == otlp::status::StatusCode::Error as i32);
    Span {
        service: service.to_owned(),
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
        name: span.name,
        kind: match otlp::span::SpanKind::try_from(span.kind) {
            Ok(otlp::span::SpanKind::Server) => "server".into(),
            Ok(otlp::span::SpanKind::Client) => "client".into(),
            Ok(otlp::span::SpanKind::Internal) => "internal".into(),
            _ => span.kind.to_string(),
        },
        start_nanos: span.start_time_unix_nano,
        end_nanos: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        error: failed.map(|status| status.message),
        events: span.events.into_iter().map(|event| event.name).collect(),
    }
}

fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, Value> {
    attributes
        .into_iter()
        .map(|attribute| (attribute.key, attribute.value.map_or(Value::Null, plain)))
        .collect()
}

fn plain(value: AnyValue) -> Value {
    match value.value {
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::BoolValue(truth)) => truth.into(),
        Some(Any::ArrayValue(list)) => list.values.into_iter().map(plain).collect(),
        other => format!("{other:?}").into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
