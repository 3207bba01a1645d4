//! Spans, by OTLP to a collector, where `OTEL_EXPORTER_OTLP_ENDPOINT` names one; elsewhere there are none, and
//! they cost nothing. A span is of a request: its route and never its path, and whose it was.
//!
//! The exporter has a thread of its own and a queue that drops what it cannot hold: no request waits for it.

use core::time::Duration;
use std::{env, thread};

use opentelemetry::Context;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tonic::Code;
use tracing::{Span, Subscriber, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::api::trace::TraceParent;

/// The collector; the first goes before the second.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// One sending of spans may take so long.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is still to be sent at the end may take so long.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// What sends spans.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends spans from now on, if a collector is named.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub(crate) fn start() -> Result<Option<Self>, String> {
        let value = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let Some((name, endpoint)) =
            ENDPOINTS.iter().find_map(|name| value(name).map(|value| (name, value)))
        else {
            return Ok(None);
        };
        let wrong = |error: String| {
            format!("spans cannot be exported: {error}; {name} is a URL like http://127.0.0.1:4318")
        };
        let url = reqwest::Url::parse(&endpoint).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("it is neither http nor https".to_owned()));
        }
        let client = client(url.scheme() == "http").map_err(wrong)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        let mut resource = Resource::builder();
        let attributes = value("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        if value("OTEL_SERVICE_NAME").is_none() && !attributes.contains("service.name=") {
            resource = resource.with_service_name("mpgate-control");
        }
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self(provider)))
    }

    /// What makes our spans theirs. Events are the log's, and other crates' spans are nobody's.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let ours =
            filter_fn(|it| it.is_span() && it.target().starts_with(env!("CARGO_CRATE_NAME")));
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(ours)
    }

    /// Sends what is still to be sent.
    pub(crate) async fn end(self) {
        let end = move || self.0.shutdown_with_timeout(END_TIMEOUT);
        if !tokio::task::spawn_blocking(end).await.is_ok_and(|ended| ended.is_ok()) {
            tracing::warn!("the last spans did not reach the collector");
        }
    }
}

/// A client for the exporter's thread, made where no runtime is: one that blocks cannot be made elsewhere.
fn client(is_clear: bool) -> Result<reqwest::blocking::Client, String> {
    let make = move || {
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = reqwest::blocking::Client::builder()
            .timeout(EXPORT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if is_clear {
            // A small container has no certificates, and here none are needed.
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|error| error.to_string())
    };
    thread::spawn(make).join().unwrap_or_else(|_| Err("no HTTP client".to_owned()))
}

/// The span of a request over HTTP.
pub(crate) fn http_span(
    method: &'static str,
    route: &str,
    request_id: &str,
    parent: Option<&TraceParent>,
) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
        mpgate.request_id = request_id,
        mpgate.principal = field::Empty,
    );
    join(&span, parent);
    span
}

/// It was answered.
pub(crate) fn answered(span: &Span, status: u16, principal: Option<&str>) {
    span.record("http.response.status_code", i64::from(status));
    if let Some(principal) = principal {
        span.record("mpgate.principal", principal);
    }
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of a call over gRPC.
pub(crate) fn rpc_span(
    method: &'static str,
    request_id: &str,
    parent: Option<&TraceParent>,
) -> Span {
    let span = tracing::info_span!(
        "rpc",
        otel.name = format!("wfa.measurement.api.v2alpha.ApiKeys/{method}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.service = "wfa.measurement.api.v2alpha.ApiKeys",
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
        mpgate.request_id = request_id,
        mpgate.principal = field::Empty,
    );
    join(&span, parent);
    span
}

/// It was answered.
pub(crate) fn called(span: &Span, code: Code, principal: Option<&str>) {
    span.record("rpc.grpc.status_code", i32::from(code));
    if let Some(principal) = principal {
        span.record("mpgate.principal", principal);
    }
    if matches!(code, Code::Internal | Code::Unavailable) {
        span.record("otel.status_code", "ERROR");
    }
}

fn join(span: &Span, parent: Option<&TraceParent>) {
    if let Some(parent) = parent {
        let caller = Context::new().with_remote_span_context(parent.context().clone());
        // There is no such span where none are exported.
        span.set_parent(caller).ok();
    }
}

/// The trace of a request: its caller's, else its own span's.
pub(crate) fn id(span: &Span, parent: Option<&TraceParent>) -> Option<String> {
    if let Some(parent) = parent {
        return Some(parent.trace_id().to_owned());
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| context.trace_id().to_string())
}
