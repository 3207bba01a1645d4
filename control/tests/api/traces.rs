//! Spans to a collector: whose trace they are part of, what they hold, and what becomes of control without one.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::grpc;
use crate::harness::{Control, Directory, serve};
use crate::rights::ACME;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "00f067aa0ba902b7";

/// A collector, as small as one can be.
struct Collector {
    url: String,
    sent: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    async fn start() -> Self {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = sent.clone();
        let take = move |body: Bytes| async move {
            kept.lock().expect("no test panics with it").push(body);
        };
        let app = Router::new().route("/v1/traces", post(take));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { url, sent }
    }

    fn bytes(&self) -> Vec<Bytes> {
        self.sent.lock().expect("no test panics with it").clone()
    }

    fn spans(&self) -> Vec<Span> {
        let sent = self.bytes();
        let requests = sent
            .iter()
            .map(|body| ExportTraceServiceRequest::decode(body.clone()).expect("what OTLP says"));
        let scopes =
            requests.flat_map(|request| request.resource_spans).flat_map(|it| it.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

fn attribute(span: &Span, name: &str) -> Value {
    let found = span.attributes.iter().find(|it| it.key == name);
    match found.and_then(|it| it.value.as_ref()).and_then(|it| it.value.as_ref()) {
        Some(Attribute::StringValue(text)) => json!(text),
        Some(Attribute::IntValue(number)) => json!(number),
        _ => Value::Null,
    }
}

fn with_collector(directory: &Directory, variable: &str, url: &str) -> Command {
    let mut command = serve(directory);
    // Nothing is sent before the end: what comes then was kept for it.
    command.env(variable, url).env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    command
}

async fn create_key(control: &Control, parent: Option<&str>) -> Value {
    let mut request = control.request("POST", &format!("{ACME}/apiKeys"));
    if let Some(parent) = parent {
        request = request.header("traceparent", parent);
    }
    let body = json!({"sender": "billing", "dataStreams": ["G-A"]});
    Control::send(request.json(&body)).await.expect("an answer").done()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_part_of_the_callers_trace_and_hold_no_secret() {
    let directory = Directory::new();
    let collector = Collector::start().await;
    let mut command = with_collector(&directory, "OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
    let control = Control::start_as(&directory, &mut command);
    control.acme().await;
    control.stream("G-A").await;
    let mut secrets = vec![control.admin.clone(), "canary".to_owned()];
    for parent in
        [Some(format!("00-{TRACE}-{SPAN}-01")), Some(format!("00-{OTHER}-{SPAN}-00")), None]
    {
        let key = create_key(&control, parent.as_deref()).await;
        secrets.push(key["authenticationKey"].as_str().expect("a secret").to_owned());
    }
    control.get("/v1/mpg_canarysecret:rotate?token=mpg_canarysecret").await;
    control.call("GET", "/v1/gateways", Some("mpt_canarytoken"), None).await;
    assert!(collector.bytes().is_empty());
    assert!(control.terminate().success());

    let spans = collector.spans();
    let of = |trace: &str| -> Vec<&Span> {
        spans.iter().filter(|span| hex::encode(&span.trace_id) == trace).collect()
    };
    let [span] = of(TRACE)[..] else { panic!("{spans:?}") };
    assert_eq!(hex::encode(&span.parent_span_id), SPAN);
    assert_eq!(span.name, "POST /v1/measurementConsumers/{mc}/apiKeys");
    for (name, value) in [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/v1/measurementConsumers/{mc}/apiKeys")),
        ("http.response.status_code", json!(200)),
        ("mpgate.principal", json!("admin")),
        ("mpgate.request_id", json!(TRACE)),
    ] {
        assert_eq!(attribute(span, name), value, "{span:?}");
    }
    assert!(of(OTHER).is_empty(), "a caller that does not want spans gets none: {spans:?}");
    let unknown = spans.iter().find(|span| attribute(span, "http.route") == "unknown");
    assert_eq!(unknown.map(|span| attribute(span, "http.response.status_code")), Some(json!(404)));
    for body in collector.bytes() {
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("mpgate-control"), "{text}");
        for secret in &secrets {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }

    // Where no trace is given, the log names that of the span; and it is as it is without a collector.
    let log = std::fs::read_to_string(directory.join("log")).expect("the log");
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let requests: Vec<_> = lines.filter(|line| line["message"] == "request").collect();
    assert!(!requests.is_empty());
    for line in requests {
        let trace = line["trace_id"].as_str().expect("a trace");
        assert!(trace == OTHER || !of(trace).is_empty(), "{line}");
        assert!(line.get("span").is_none() && line.get("spans").is_none(), "{line}");
    }
}

/// Rows: whose call, what came of it, and whom log and span name.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_grpc_has_its_span_and_its_line() {
    let directory = Directory::new();
    let collector = Collector::start().await;
    let mut command = with_collector(&directory, "OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
    let control = Control::start_as(&directory, &mut command);
    control.acme().await;
    control.stream("G-A").await;
    let viewer = control.token("looker", "viewer", &["acme"]).await;
    let stranger = format!("mpt_{}", "0".repeat(64));
    let traces: Vec<String> = (1..=4).map(|number| format!("{number:032x}")).collect();
    let asks = |token: &str, trace: &str, consumer: &str| {
        let mut metadata = grpc::with(token);
        let parent = json!(["traceparent", format!("00-{trace}-{SPAN}-01")]);
        metadata.as_array_mut().expect("a list").push(parent);
        let parent = format!("measurementConsumers/{consumer}");
        grpc::create(&metadata, &parent, &json!({"nickname": "billing"}))
    };
    let calls = [
        asks(&control.admin, &traces[0], "acme"),
        asks(&viewer, &traces[1], "acme"),
        asks(&stranger, &traces[2], "acme"),
        asks(&control.admin, &traces[3], "mpg_canarysecret"),
    ];
    let answers = grpc::ask(&control, None, &calls);
    let secret = answers[0]["response"]["authentication_key"].as_str().expect("a secret");
    let admin = control.admin.clone();
    assert!(control.terminate().success());

    let spans = collector.spans();
    let log = std::fs::read_to_string(directory.join("log")).expect("the log");
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for ((trace, answer), (code, number, principal)) in traces.iter().zip(&answers).zip([
        ("OK", 0, Some("admin")),
        ("PERMISSION_DENIED", 7, Some("looker")),
        ("UNAUTHENTICATED", 16, None),
        ("NOT_FOUND", 5, Some("admin")),
    ]) {
        assert_eq!(answer["code"], code, "{answer}");
        let mut of_call = spans.iter().filter(|span| hex::encode(&span.trace_id) == *trace);
        let (Some(span), None) = (of_call.next(), of_call.next()) else { panic!("{spans:?}") };
        assert_eq!(hex::encode(&span.parent_span_id), SPAN);
        assert_eq!(span.name, "wfa.measurement.api.v2alpha.ApiKeys/CreateApiKey");
        for (name, value) in [
            ("rpc.system", json!("grpc")),
            ("rpc.method", json!("CreateApiKey")),
            ("rpc.grpc.status_code", json!(number)),
            ("mpgate.principal", json!(principal)),
            ("mpgate.request_id", json!(trace)),
        ] {
            assert_eq!(attribute(span, name), value, "{code}: {span:?}");
        }
        // A failed authentication has the one line that its limit gives it.
        let line =
            lines.iter().find(|line| line["message"] == "rpc" && line["trace_id"] == **trace);
        assert_eq!(line.is_some(), principal.is_some(), "{code}: {log}");
        if let Some(line) = line {
            assert_eq!(line["principal"], json!(principal), "{line}");
            assert_eq!(line["request_id"], **trace, "{line}");
        }
    }
    let told = collector.bytes().concat();
    let told = String::from_utf8_lossy(&told);
    for secret in [secret, &viewer, &stranger, &admin, "canary"] {
        assert!(!told.contains(secret) && !log.contains(secret), "{secret}: {told} {log}");
    }
}

/// Rows: a collector that refuses connections, and one that takes them and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let silent = (silent.local_addr().expect("an address"), Some(silent));
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let closed = (closed.local_addr().expect("an address"), None);
    for (address, _open) in [silent, closed] {
        let directory = Directory::new();
        let url = format!("http://{address}/v1/traces");
        let mut command = serve(&directory);
        command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url);
        // Every span is sent at once, and more come than the queue holds.
        command.env("OTEL_BSP_SCHEDULE_DELAY", "1").env("OTEL_BSP_MAX_QUEUE_SIZE", "4");
        command.env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1");
        let control = Control::start_as(&directory, &mut command);
        control.acme().await;
        control.stream("G-A").await;
        for _ in 0..20 {
            let begun = Instant::now();
            create_key(&control, Some(&format!("00-{TRACE}-{SPAN}-01"))).await;
            // One that waited for the collector would take the five seconds of an export.
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
        let ends = Instant::now();
        assert!(control.terminate().success());
        assert!(ends.elapsed() < Duration::from_secs(15), "{:?}", ends.elapsed());
    }
}

#[test]
fn an_endpoint_that_is_none_is_said_at_start() {
    let directory = Directory::new();
    for url in ["nonsense", "ftp://collector", "http://"] {
        let ran = with_collector(&directory, "OTEL_EXPORTER_OTLP_ENDPOINT", url).output();
        let ran = ran.expect("control runs");
        let error = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{url}: {error}");
        assert!(error.contains("OTEL_EXPORTER_OTLP_ENDPOINT is a URL like"), "{url}: {error}");
    }
}
