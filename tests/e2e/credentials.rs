//! Where a secret may come from, and that the gate takes it off again, wherever it was.

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{CLUB, SHOP, Stack, UPSTREAM_SECRET};
use mpgate_testbed::{EnvoyConfig, Request, Response};
use serde_json::json;

use crate::terms::{self, counted};

/// The sender's own secret goes on to the upstream.
const KEPT: &str = "G-KEPT000001";
const BODY: &str = r#"{"client_id":"1.2","events":[{"name":"login"}]}"#;

/// What is sent: a stream, a query, headers; `{secret}` and `{other}` stand for secrets of billing.
struct Row {
    name: &'static str,
    stream: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    /// Status and reason.
    answer: (u16, &'static str),
}

const fn row(
    name: &'static str,
    stream: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    answer: (u16, &'static str),
) -> Row {
    Row { name, stream, query, headers, answer }
}

const GENUINE: (u16, &str) = (204, "");
const CONFLICT: (u16, &str) = (400, "conflicting_secrets");
const REPEATED: (u16, &str) = (400, "repeated_secret");
const MISSING: (u16, &str) = (401, "missing_secret");

const ROWS: &[Row] = &[
    row("x-api-secret", SHOP, "", &[("x-api-secret", "{secret}")], GENUINE),
    row("bearer", SHOP, "", &[("authorization", "Bearer {secret}")], GENUINE),
    row("bearer, its scheme odd", SHOP, "", &[("authorization", "bEARER   {secret}")], GENUINE),
    row("the query", SHOP, "&api_secret={secret}", &[], GENUINE),
    row(
        "the same in three places",
        SHOP,
        "&api_secret={secret}",
        &[("x-api-secret", "{secret}"), ("authorization", "Bearer {secret}")],
        GENUINE,
    ),
    row(
        "the same, percent-encoded in the query",
        SHOP,
        "&api_secret=%6dpg_{secret}",
        &[("x-api-secret", "{secret}")],
        GENUINE,
    ),
    row("replaced", CLUB, "", &[("x-api-secret", "{secret}")], GENUINE),
    row(
        "kept, from a header into the query",
        KEPT,
        "",
        &[("authorization", "Bearer {secret}")],
        GENUINE,
    ),
    row("kept, from both", KEPT, "&api_secret={secret}", &[("x-api-secret", "{secret}")], GENUINE),
    row(
        "another scheme beside it",
        SHOP,
        "&api_secret={secret}",
        &[("authorization", "Basic dXNlcjpwYXNz")],
        GENUINE,
    ),
    row("query and header", SHOP, "&api_secret={other}", &[("x-api-secret", "{secret}")], CONFLICT),
    row(
        "query and bearer",
        SHOP,
        "&api_secret=x",
        &[("authorization", "Bearer {secret}")],
        CONFLICT,
    ),
    row(
        "two headers",
        SHOP,
        "",
        &[("x-api-secret", "{secret}"), ("authorization", "Bearer {other}")],
        CONFLICT,
    ),
    row(
        "one header twice",
        SHOP,
        "",
        &[("x-api-secret", "{secret}"), ("x-api-secret", "{secret}")],
        REPEATED,
    ),
    // Envoy joins the two to one value, with a comma.
    row(
        "bearer twice",
        SHOP,
        "",
        &[("authorization", "Bearer {secret}"), ("authorization", "Bearer {other}")],
        (401, "malformed_secret"),
    ),
    row("an empty header", SHOP, "", &[("x-api-secret", "")], MISSING),
    row("a bearer without a token", SHOP, "", &[("authorization", "Bearer ")], MISSING),
    row("only another scheme", SHOP, "", &[("authorization", "Basic {secret}")], MISSING),
    row("unknown, in a header", SHOP, "", &[("x-api-secret", "guessed")], (401, "unknown_secret")),
    row(
        "of bytes that are no text",
        SHOP,
        "",
        &[("x-api-secret", "\u{e9}")],
        (401, "unknown_secret"),
    ),
    row("cut", SHOP, "", &[("x-api-secret", "mpg_{secret}")], (401, "malformed_secret")),
];

fn places(config: &mut EnvoyConfig, places: &serde_json::Value) -> anyhow::Result<()> {
    config.gate()?["credentials"] = places.clone();
    Ok(())
}

#[test]
fn secrets_in_headers_where_they_are_configured() {
    let everywhere = json!(["query", "x-api-secret", "authorization"]);
    let stack = Stack::builder().edit(move |config| places(config, &everywhere)).start();
    let stack = stack.expect("a stack");
    terms::stream(&stack, KEPT, &json!({"upstreamSecret": "keep"}));
    let key = terms::key(&stack, "mobile", &[SHOP, CLUB, KEPT], &json!({}));
    let fill = |text: &str| match text.strip_prefix("&api_secret=%6dpg_") {
        Some(_) => format!("&api_secret=%6d{}", &key.secret[1..]),
        None => text.replace("{secret}", &key.secret).replace("{other}", &stack.billing.secret),
    };
    let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
    for row in ROWS {
        let mut request =
            Request::post(format!("/mp/collect?measurement_id={}{}", row.stream, fill(row.query)))
                .header("referer", format!("https://backend.example/{}", key.secret))
                .body(BODY);
        for (name, value) in row.headers {
            request = request.header(name, fill(value));
        }
        for protocol in ["HTTP/1.1", "HTTP/2"] {
            let name = format!("{}, {protocol}", row.name);
            let answer = match protocol {
                "HTTP/2" => http2.send(&request),
                _ => stack.send(&request),
            };
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!((answer.status, &*answer.reason()), row.answer, "{name}");
            check_forwarded(&stack, &name, row, &key.secret, &answer);
        }
    }
    let told = stack.envoy.log() + &stack.envoy.access_log_text();
    for secret in [&key.secret, &stack.billing.secret, UPSTREAM_SECRET] {
        assert!(!told.contains(secret), "a secret in a log");
    }
}

/// Looks at what came of one request at the collector.
fn check_forwarded(stack: &Stack, name: &str, row: &Row, secret: &str, answer: &Response) {
    if answer.status != 204 {
        assert!(stack.collector.events().expect("events").is_empty(), "{name}");
        return;
    }
    let events = stack.collector.wait_for_events(1);
    let events = events.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    stack.collector.forget().expect("forgotten");
    let event = &events[0];
    let sent = match row.stream {
        CLUB => format!("&api_secret={UPSTREAM_SECRET}"),
        KEPT => format!("&api_secret={secret}"),
        _ => String::new(),
    };
    assert_eq!(event.path(), format!("/mp/collect?measurement_id={}{sent}", row.stream), "{name}");
    assert_eq!(event.header("x-api-secret"), None, "{name}");
    let basic = row.headers.iter().find(|(_, value)| value.starts_with("Basic"));
    assert_eq!(event.header("authorization"), basic.map(|(_, value)| *value), "{name}");
    let elsewhere = event.contains(secret) && row.stream != KEPT;
    assert!(!elsewhere, "{name}: {event:?}");
    assert_eq!(event.body(), BODY, "{name}");
}

#[test]
fn a_place_that_is_not_configured_is_not_looked_at() {
    let header_only = json!(["x-api-secret"]);
    let stack = Stack::builder().edit(move |config| places(config, &header_only)).start();
    let stack = stack.expect("a stack");
    terms::stream(&stack, "G-REHEARSAL1", &json!({"mode": "dry_run"}));
    let secret = &stack.billing.secret;
    let target = |stream: &str, query: &str| format!("/mp/collect?measurement_id={stream}{query}");

    let in_the_query = Request::post(target(SHOP, &format!("&api_secret={secret}"))).body(BODY);
    let answer = stack.send(&in_the_query).expect("an answer");
    assert_eq!((answer.status, &*answer.reason()), MISSING);
    let bearer =
        Request::post(target(SHOP, "")).header("authorization", format!("Bearer {secret}"));
    assert_eq!(stack.send(&bearer).expect("an answer").reason(), "missing_secret");
    assert!(stack.collector.events().expect("events").is_empty());

    // What is not looked at is no conflict, and does not get through either.
    let both = Request::post(target(SHOP, "&api_secret=other&api_secret=another"))
        .header("x-api-secret", secret)
        .body(BODY);
    assert_eq!(stack.send(&both).expect("an answer").status, 204);
    let events = stack.collector.wait_for_events(1).expect("an event");
    assert_eq!(events[0].path(), target(SHOP, ""));
    stack.collector.forget().expect("forgotten");

    // In dry run a request goes on with what it brought.
    let rehearsed = Request::post(target("G-REHEARSAL1", "&api_secret=brought"))
        .header("x-api-secret", "guessed")
        .body(BODY);
    assert_eq!(stack.send(&rehearsed).expect("an answer").status, 204);
    let events = stack.collector.wait_for_events(1).expect("an event");
    assert_eq!(events[0].path(), target("G-REHEARSAL1", "&api_secret=brought"));
    assert_eq!(events[0].header("x-api-secret"), Some("guessed"));
    assert_eq!(counted(&stack, &[("outcome", "dry_run"), ("reason", "unknown_secret")]), 1);
}
