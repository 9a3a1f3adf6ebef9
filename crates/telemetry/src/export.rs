//! The way of spans out of the process: OTLP by gRPC or HTTP, on a thread of its own.
//!
//! Work that is traced only puts a span into a bounded queue; batches leave from a thread and a
//! runtime that belong to this module, so that it makes no difference which runtime the process has,
//! or whether it has one. Not here: which spans there are. Invariants: a collector that is away
//! costs spans, never time; one outage is said once; the exporter's own calls are not traced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, RetryPolicy, SpanExporter as Otlp, WithExportConfig as _,
    WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter, SpanProcessor,
};
use thiserror::Error;
use tokio::runtime::{Builder, Handle, Runtime};
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::Process;
use crate::queue::{Queue, Word};
use crate::spans::SpanSink;
use crate::variables::{Export, Protocol, Variables};

/// Why no exporter can be built from the variables.
#[derive(Debug, Error)]
pub(crate) enum ExportError {
    #[error("read the collector's authorities from {path}: {source}")]
    Ca {
        path: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Otlp(#[from] ExporterBuildError),
    #[error("start the exporter's thread: {0}")]
    Runtime(std::io::Error),
}

/// A running exporter.
#[derive(Debug)]
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
    sink: SpanSink,
    runtime: Option<Runtime>,
}

impl Exporter {
    /// Builds what the variables ask for. Sends nothing yet.
    pub(crate) fn start(
        process: &Process,
        variables: &Variables,
        export: &Export,
    ) -> Result<Self, ExportError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("telemetry")
            .enable_all()
            .build()
            .map_err(ExportError::Runtime)?;
        let otlp = {
            let _within = runtime.enter();
            otlp(process, export)?
        };
        let queue = Queue::new(export.batches.queue_max);
        let courier = Courier {
            queue: queue.clone(),
            otlp: Arc::new(otlp),
            runtime: runtime.handle().clone(),
            endpoint: export.endpoint.clone(),
            timeout: export.timeout,
            down: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(export.batches.queue_max)
            .with_max_export_batch_size(export.batches.spans_max)
            .with_scheduled_delay(export.batches.delay)
            .build();
        let resource = resource(process, variables);
        let mut processor = BatchSpanProcessor::builder(courier)
            .with_batch_config(batches)
            .build();
        processor.set_resource(&resource);
        let entrance = Entrance(Arc::new(processor), queue);
        let provider = SdkTracerProvider::builder()
            .with_sampler(variables.sampler.to_sdk())
            .with_resource(resource)
            .with_span_processor(entrance.clone())
            .build();
        let scope = InstrumentationScope::builder(process.service)
            .with_version(process.version)
            .build();
        Ok(Self {
            provider,
            sink: SpanSink::new(Arc::new(entrance), scope),
            runtime: Some(runtime),
        })
    }

    pub(crate) fn tracer(&self, process: &Process) -> SdkTracer {
        let scope = InstrumentationScope::builder(process.service)
            .with_version(process.version)
            .build();
        self.provider.tracer_with_scope(scope)
    }

    pub(crate) fn sink(&self) -> &SpanSink {
        &self.sink
    }

    /// Sends what waits, at most that long, and ends. The thread that calls this waits.
    pub(crate) fn finish(&mut self, within: Duration) {
        // An exporter that cannot deliver has said so itself, and a second call has nothing to do.
        let _ = self.provider.shutdown_with_timeout(within);
        if let Some(runtime) = self.runtime.take() {
            // Not dropped: that would wait for a collector that does not answer.
            runtime.shutdown_background();
        }
    }
}

fn otlp(process: &Process, export: &Export) -> Result<Otlp, ExportError> {
    // A command that ends soon must not spend its last second on a collector that is away.
    let retries = if process.is_command {
        RetryPolicy::disabled()
    } else {
        RetryPolicy::recommended()
    };
    Ok(match export.protocol {
        Protocol::Http => Otlp::builder()
            .with_http()
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(&export.endpoint)
            .with_timeout(export.timeout)
            .with_retry_policy(retries)
            .build()?,
        Protocol::Grpc => {
            let builder = Otlp::builder()
                .with_tonic()
                .with_endpoint(&export.endpoint)
                .with_timeout(export.timeout)
                .with_retry_policy(retries);
            if export.endpoint.starts_with("https:") {
                builder.with_tls_config(tls(export)?).build()?
            } else {
                builder.build()?
            }
        }
    })
}

fn tls(export: &Export) -> Result<ClientTlsConfig, ExportError> {
    let tls = ClientTlsConfig::new();
    let Some(path) = &export.ca_file else {
        return Ok(tls.with_native_roots());
    };
    let pem = std::fs::read(path).map_err(|source| ExportError::Ca {
        path: path.display().to_string(),
        source,
    })?;
    Ok(tls.ca_certificate(Certificate::from_pem(pem)))
}

/// Who this process is: what we know, then what the variables say, which wins.
fn resource(process: &Process, variables: &Variables) -> Resource {
    let builder = Resource::builder_empty()
        .with_service_name(process.service)
        .with_attributes([
            KeyValue::new("service.version", process.version),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match &variables.service {
        Some(service) => builder.with_service_name(service.clone()).build(),
        None => builder.build(),
    }
}

/// The exporter with what the SDK leaves to it: a runtime to run on, a bound, and words.
#[derive(Debug)]
struct Courier {
    queue: Queue,
    otlp: Arc<Otlp>,
    runtime: Handle,
    endpoint: String,
    timeout: Duration,
    down: AtomicBool,
    /// Spans that were given up since the outage began.
    lost: AtomicU64,
}

impl SpanExporter for Courier {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (otlp, count) = (self.otlp.clone(), batch.len());
        // The timeout is for one attempt; with its repetitions a batch may take twice of it.
        let bound = self.timeout.saturating_mul(2);
        let sending = async move { tokio::time::timeout(bound, otlp.export(batch)).await };
        // The caller is a plain thread: sockets and timers need the runtime.
        let sent = match self.runtime.spawn(sending).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(_)) => Err(OTelSdkError::Timeout(bound)),
            Err(stopped) => Err(OTelSdkError::InternalFailure(stopped.to_string())),
        };
        self.tell(&sent, count as u64);
        self.tell_of_queue(self.queue.leave(count).as_ref());
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Alone: a batch that is being sent holds the other reference, and this comes between them.
        if let Some(otlp) = Arc::get_mut(&mut self.otlp) {
            otlp.set_resource(resource);
        }
    }
}

impl Courier {
    fn tell_of_queue(&self, word: Option<&Word>) {
        match word {
            None => {}
            Some(Word::Overflows) => tracing::warn!(
                code = "TRACES_DROPPED",
                "more spans come than leave for {}: those beyond OTEL_BSP_MAX_QUEUE_SIZE are dropped",
                self.endpoint
            ),
            Some(Word::Recovered(dropped)) => tracing::info!(
                dropped,
                "all spans leave for {} again; {dropped} were dropped",
                self.endpoint
            ),
        }
    }

    fn tell(&self, sent: &OTelSdkResult, count: u64) {
        let endpoint = &self.endpoint;
        match sent {
            Ok(()) => {
                if self.down.swap(false, Ordering::Relaxed) {
                    let lost = self.lost.swap(0, Ordering::Relaxed);
                    tracing::info!(
                        lost,
                        "traces reach {endpoint} again; {lost} spans were lost"
                    );
                }
            }
            Err(error) => {
                self.lost.fetch_add(count, Ordering::Relaxed);
                if !self.down.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        code = "TRACES_NOT_DELIVERED", %error,
                        "traces do not reach {endpoint}: {error}; nothing else is disturbed, and \
                         this is said once until they do"
                    );
                }
            }
        }
    }
}

/// One way in for the spans of this process and for those that come from others.
#[derive(Debug, Clone)]
struct Entrance(Arc<BatchSpanProcessor>, Queue);

impl SpanProcessor for Entrance {
    fn on_start(&self, span: &mut Span, context: &opentelemetry::Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        // The processor passes over others, which then never leave.
        if span.span_context.is_sampled() && self.1.enter() {
            self.0.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
}
