//! Control's Prometheus page: the text that it is, what it counts, and the page of the docs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use mpgate_testbed::tls::Authority;
use serde_json::{Value, json};

use crate::harness::{Answer, Control, Directory, serve};
use crate::rights::ACME;

/// Samples by name and labels, and the type of each family.
struct Page {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

impl Page {
    /// Reads the text format strictly: a family is introduced before its samples, no sample comes twice.
    fn parse(text: &str) -> Self {
        let mut page = Self { samples: BTreeMap::new(), types: BTreeMap::new() };
        let mut family = String::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a help");
                assert!(!help.is_empty() && !page.types.contains_key(name), "{line}");
                name.clone_into(&mut family);
                continue;
            }
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                assert_eq!(name, family, "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                page.types.insert(family.clone(), kind.to_owned());
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let parts: &[&str] = match page.types[&family].as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(parts.iter().any(|part| format!("{family}{part}") == name), "{line}");
            let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
            for label in labels.split("\",").filter(|label| !label.is_empty()) {
                let (name, text) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{line}");
                let plain = text.replace(r"\\", "").replace(r#"\""#, "");
                assert!(!plain.trim_end_matches('"').contains('"'), "{line}");
            }
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(page.samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
        }
        page
    }

    fn value(&self, series: &str) -> f64 {
        let all = || self.samples.keys().cloned().collect::<Vec<_>>().join("\n");
        *self.samples.get(series).unwrap_or_else(|| panic!("no {series} in\n{}", all()))
    }

    /// The names of families that have samples.
    fn names(&self) -> BTreeSet<&str> {
        let has = |name: &str| self.samples.keys().any(|series| series.starts_with(name));
        self.types.keys().map(String::as_str).filter(|name| has(name)).collect()
    }
}

fn start(directory: &Directory) -> (Control, String) {
    start_as(directory, &mut serve(directory))
}

fn start_as(directory: &Directory, command: &mut Command) -> (Control, String) {
    let control = Control::start_as(directory, command.args(["--metrics-listen", "127.0.0.1:0"]));
    let log = fs::read_to_string(directory.join("log")).expect("the log");
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.rfind(|line| line["message"] == "metrics").expect("a line");
    let url = format!("http://{}/metrics", line["address"].as_str().expect("an address"));
    (control, url)
}

async fn read(url: &str) -> (String, Page) {
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.expect("text");
    let page = Page::parse(&text);
    (text, page)
}

async fn poll(control: &Control, token: &str, since: u64, epoch: &str) -> Answer {
    let path = format!("/v1/allowlist/changes?since={since}&epoch={epoch}");
    let request = control.request("GET", &path).header("x-mpgate-gate", "edge");
    let request = request.header("x-mpgate-node", "a \"node\"\\");
    let request = request.header("x-mpgate-instance", "0123456789abcdef");
    let mut request = request.build().expect("a request");
    let bearer = format!("Bearer {token}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    let client = reqwest::Client::new();
    Control::send(reqwest::RequestBuilder::from_parts(client, request)).await.expect("an answer")
}

#[tokio::test]
async fn the_page_says_how_control_and_its_gateways_are() {
    let directory = Directory::new();
    let (control, url) = start(&directory);
    control.two_tenants().await;
    let body =
        json!({"sender": "billing", "dataStreams": ["G-A"], "expireTime": "2099-01-01T00:00:00Z"});
    let key = control.post(&format!("{ACME}/apiKeys"), body).await.done();
    let made = json!({"role": "gateway", "principalId": "edge-1",
        "expireTime": "2099-01-01T00:00:00Z"});
    let token = control.post("/v1/principals", made).await.done()["token"].to_string();
    let token = token.trim_matches('"');
    let page = poll(&control, token, 0, "").await.done();
    let epoch = page["epoch"].as_str().expect("an epoch").to_owned();
    poll(&control, token, 3, &epoch).await.done();
    let yesterday = jiff::Timestamp::now().as_second() / 86_400 * 86_400 - 86_400;
    let day = jiff::Timestamp::from_second(yesterday).expect("a time").to_string()[..10].to_owned();
    let totals = json!({"totals": [{"sender": "billing", "stream": "G-A", "event": "purchase",
        "currency": "EUR", "day": day, "count": 4, "valueMicros": 5_000_000}]});
    control.post(&format!("{ACME}:reconcile"), totals).await.done();
    control.get("/v1/mpg_canary?token=mpg_canary").await;
    control.as_(token, "POST", "/v1/usageReports", json!({})).await;
    control.call("GET", "/v1/principals", Some("mpt_canary"), None).await;
    let (text, page) = read(&url).await;
    let id = key["name"].as_str().and_then(|name| name.rsplit('/').next()).expect("an id");
    let gateway = r#"{gateway="edge-1.0123456789abcdef.edge",gate="edge",node="a \"node\"\\"}"#;
    let event = r#"consumer="acme",sender="billing",stream="G-A",event="purchase""#;
    let http = "mpgate_control_http_request";
    for (series, value) in [
        (format!("mpgate_control_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
        ("mpgate_control_head_revision".to_owned(), 3.0),
        ("mpgate_control_open_polls".to_owned(), 0.0),
        (format!("mpgate_gateway_revision{gateway}"), 3.0),
        (format!("mpgate_gateway_behind_seconds{gateway}"), 0.0),
        (format!("mpgate_gateway_live{gateway}"), 1.0),
        ("mpgate_gateway_unlisted_requests_total".to_owned(), 0.0),
        (
            format!(
                "mpgate_key_expire_timestamp_seconds{{consumer=\"acme\",sender=\"billing\",key=\"{id}\"}}"
            ),
            4_070_908_800.0,
        ),
        (
            r#"mpgate_token_expire_timestamp_seconds{principal="edge-1",role="gateway"}"#
                .to_owned(),
            4_070_908_800.0,
        ),
        (format!("mpgate_reconcile_gap_events{{{event}}}"), 4.0),
        (format!("mpgate_reconcile_completeness_ratio{{{event}}}"), 0.0),
        (format!("mpgate_reconcile_gap_value_micros{{{event},currency=\"EUR\"}}"), 5_000_000.0),
        (r#"mpgate_usage_reports_total{result="refused"}"#.to_owned(), 1.0),
        (
            format!(
                "{http}s_total{{method=\"POST\",route=\"/v1/measurementConsumers/{{mc}}:reconcile\",code=\"200\"}}"
            ),
            1.0,
        ),
        (format!("{http}s_total{{method=\"GET\",route=\"unknown\",code=\"404\"}}"), 1.0),
        (format!("{http}s_total{{method=\"GET\",route=\"/v1/principals\",code=\"401\"}}"), 1.0),
        (
            format!(
                "{http}_duration_seconds_bucket{{method=\"GET\",route=\"unknown\",le=\"+Inf\"}}"
            ),
            1.0,
        ),
        (format!("{http}_duration_seconds_count{{method=\"GET\",route=\"unknown\"}}"), 1.0),
    ] {
        assert!((page.value(&series) - value).abs() < 1e-9, "{series}: {}", page.value(&series));
    }
    for word in ["canary", token, &control.admin] {
        assert!(!text.contains(word), "{word}");
    }
    // A change that the gateway does not have.
    control.key("crm", &["G-A"]).await;
    let name = format!("mpgate_gateway_behind_seconds{gateway}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while read(&url).await.1.value(&name) < 1.0 {
        assert!(std::time::Instant::now() < deadline, "the gateway is not behind");
    }
    // What the page has is in the docs, and what the docs have is on the page.
    let docs = include_str!("../../../docs/metrics.md");
    let (_, own) = docs.split_once("## Control's series").expect("its section");
    let own = own.split("\n## ").next().expect("a section");
    let rows = own.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows = rows.map(|row| row.split('{').next().unwrap_or(row));
    let documented: BTreeSet<&str> = rows.collect();
    let typed: BTreeSet<&str> = page.types.keys().map(String::as_str).collect();
    assert_eq!(documented, typed);
    let unseen: Vec<_> = typed.difference(&page.names()).copied().collect();
    let certificate = "mpgate_control_certificate_expire_timestamp_seconds";
    assert_eq!(unseen, [certificate, "mpgate_control_grpc_requests_total"], "neither TLS nor gRPC");
}

#[tokio::test]
async fn the_page_says_when_the_certificate_ends() {
    let directory = Directory::new();
    let authority = Authority::new(directory.path()).expect("an authority");
    let soon = jiff::Timestamp::now().as_second() / 86_400 * 86_400 + 3 * 86_400;
    let day = jiff::Timestamp::from_second(soon).expect("a time").to_zoned(jiff::tz::TimeZone::UTC);
    let day = [day.year(), day.month().into(), day.day().into()];
    let day = day.map(|part| u16::try_from(part).expect("a date"));
    let soon_over = authority.issue_until("localhost", "soon", day).expect("a certificate");
    let later = authority.issue_until("localhost", "later", [2049, 12, 31]).expect("a certificate");
    let mut command = serve(&directory);
    command.arg("--tls-certificate").arg(&soon_over.certificate);
    command.arg("--tls-private-key").arg(&soon_over.key);
    let (control, url) = start_as(&directory, &mut command);
    let series = "mpgate_control_certificate_expire_timestamp_seconds";
    #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
    let soon = soon as f64;
    assert!((read(&url).await.1.value(series) - soon).abs() < 0.5);
    let warned = || {
        let log = fs::read_to_string(directory.join("log")).expect("the log");
        log.matches("the certificate ends within 14 days").count()
    };
    assert_eq!(warned(), 1);

    fs::copy(&later.key, &soon_over.key).expect("copied");
    fs::copy(&later.certificate, &soon_over.certificate).expect("copied");
    control.signal("-HUP");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while (read(&url).await.1.value(series) - 2_524_521_600.0).abs() > 0.5 {
        assert!(std::time::Instant::now() < deadline, "the new end is not told");
    }
    assert_eq!(warned(), 1, "the new one has time");
}

/// Nothing but the page is there, nobody needs a token for it, and without the flag there is none.
#[tokio::test]
async fn the_page_stands_alone() {
    let directory = Directory::new();
    let (control, url) = start(&directory);
    let root = url.strip_suffix("/metrics").expect("a path");
    for path in ["/", "/v1/principals", "/healthz", "/openapi.json"] {
        let status = reqwest::get(format!("{root}{path}")).await.expect("an answer").status();
        assert_eq!(status, 404, "{path}");
    }
    assert_eq!(control.get("/metrics").await.status, 404);
    drop(control);
    let control = Control::start(&directory);
    assert!(reqwest::get(&url).await.is_err(), "there is a page without the flag");
    drop(control);
}
