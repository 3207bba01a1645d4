//! What is done about a verdict is the stream's mode, else the gate's: enforced, only counted, or not
//! looked at. None of them gives the upstream's secret to who has no key of the stream, and none sends a key's
//! there instead.

use std::time::Duration;

use mpgate_testbed::collector::Event;
use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{CLUB, SHOP, Stack, UPSTREAM_SECRET, purchase};
use mpgate_testbed::{Answer, EnvoyConfig, Request, Upstream, poll};

use crate::accounts::{Words, assert_told, counted};

const SOON: Duration = Duration::from_secs(20);

/// Not judged; its upstream would need a secret.
const IDLE: &str = "G-IDLE000001";

const BODY: &str = r#"{"client_id":"1.2","events":[{"name":"login"}]}"#;

/// Answers in a row before a change counts as in force: several connections for each worker.
const IN_A_ROW: usize = 12;

pub(crate) fn gate_in(mode: &'static str) -> impl FnOnce(&mut EnvoyConfig) -> anyhow::Result<()> {
    move |config| {
        config.gate()?["mode"] = mode.into();
        Ok(())
    }
}

/// The one event since the last look, or none.
fn event(name: &str, stack: &Stack) -> Option<Event> {
    let mut events = stack.collector.events().expect("events");
    stack.collector.forget().expect("forgotten");
    assert!(events.len() < 2, "{name}: {events:?}");
    events.pop()
}

/// A request, and the path that the upstream gets for it, if it gets any.
struct Row {
    name: &'static str,
    target: String,
    status: u16,
    forwarded: Option<String>,
    words: Words,
}

fn refused(name: &'static str, target: String, status: u16, words: Words) -> Row {
    Row { name, target, status, forwarded: None, words }
}

fn passed(name: &'static str, target: String, words: Words) -> Row {
    Row { name, forwarded: Some(target.clone()), target, status: 204, words }
}

/// No key's secret goes to an upstream that has its own.
fn without_secret(name: &'static str, target: String, words: Words, stream: &str) -> Row {
    let forwarded = Some(format!("/mp/collect?measurement_id={stream}"));
    Row { forwarded, ..passed(name, target, words) }
}

fn rows(stack: &Stack) -> Vec<Row> {
    let (billing, crm) = (&stack.billing.secret, &stack.crm.secret);
    let to = |stream: &str, secret: &str| {
        format!("/mp/collect?x=%41&api_secret={secret}&measurement_id={stream}&&y=+/~")
    };
    let dry = |reason: &str| Words::dry_run("spoofed", reason);
    let spoofed = |reason: &str| Words::refused("spoofed", reason);
    let off = || Words::unjudged("off").on(IDLE);
    let (of_billing, of_crm) = (stack.billing.id(), stack.crm.id());
    let both = format!("{}&measurement_id={SHOP}", to(CLUB, "guessed"));
    let club = format!("/mp/collect?measurement_id={CLUB}&api_secret={UPSTREAM_SECRET}");
    let genuine = Words::genuine("crm", of_crm, CLUB);
    vec![
        refused("unknown on A", to(SHOP, "guessed"), 401, spoofed("unknown_secret").on(SHOP)),
        passed("unknown on B", to(CLUB, "guessed"), dry("unknown_secret").on(CLUB)),
        without_secret(
            "somebody else's key on B",
            to(CLUB, billing),
            dry("stream_not_granted").of("billing", of_billing).on(CLUB),
            CLUB,
        ),
        refused(
            "B's key on A",
            to(SHOP, crm),
            403,
            spoofed("stream_not_granted").of("crm", of_crm).on(SHOP),
        ),
        passed(
            "no secret on B",
            format!("/mp/collect?measurement_id={CLUB}"),
            dry("missing_secret").on(CLUB),
        ),
        passed(
            "a stream nobody has, by the gate's mode",
            to("G-NOBODY0001", "guessed"),
            dry("unknown_secret"),
        ),
        passed(
            "no stream, by the gate's mode",
            format!("/mp/collect?api_secret={crm}"),
            dry("stream_missing"),
        ),
        refused("both at once, by the stricter mode", both, 400, spoofed("stream_repeated")),
        refused(
            "unreadable, by the strictest mode",
            format!("{}&%zz", to(CLUB, crm)),
            400,
            Words::refused("malformed", "bad_query"),
        ),
        Row { forwarded: Some(club), ..passed("genuine on B", to(CLUB, crm), genuine) },
        passed("unknown on an idle stream", to(IDLE, "guessed"), off()),
        without_secret("another's key on an idle stream", to(IDLE, billing), off(), IDLE),
        passed("nothing on an idle stream", format!("/mp/collect?measurement_id={IDLE}"), off()),
    ]
}

#[test]
fn each_stream_has_its_mode_and_the_gate_one_for_the_rest() {
    let stack = Stack::builder().edit(gate_in("dry_run")).start().expect("a stack");
    stack.set_mode(SHOP, Some("enforce")).expect("a mode");
    stack.add_stream(IDLE, Some("off"), "replace(GA4_API_SECRET)").expect("a stream");
    // From here on every worker knows: what follows counts each request once.
    in_a_row("both modes", || {
        let shop = stack.send(&purchase(SHOP, "warm-up"))?.status;
        Ok(shop == 401 && stack.send(&purchase(IDLE, "warm-up"))?.status == 204)
    });
    let before = counted(&stack).values().sum::<u64>();
    stack.collector.forget().expect("forgotten");

    let mut told = Vec::new();
    for row in rows(&stack) {
        let request = Request::post(&row.target)
            .header("x-mpgate-sender", "forged")
            .header("X-MpGate-Verdict", "forged")
            .body(BODY);
        let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
        for protocol in ["HTTP/1.1", "HTTP/2"] {
            let name = format!("{} over {protocol}", row.name);
            let answer =
                if protocol == "HTTP/2" { http2.send(&request) } else { stack.send(&request) };
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!(answer.status, row.status, "{name}: {}", answer.text());
            let event = event(&name, &stack);
            assert_eq!(event.as_ref().map(Event::path), row.forwarded.as_deref(), "{name}");
            let Some(event) = event else { continue };
            let genuine = row.words.verdict == "genuine";
            assert_eq!(event.body(), BODY, "{name}");
            assert_eq!(event.header("x-mpgate-sender"), genuine.then_some("crm"), "{name}");
            assert!(!event.contains("forged"), "{name}: {event:?}");
            assert_eq!(event.contains(UPSTREAM_SECRET), genuine, "{name}: the upstream's secret");
        }
        told.extend([row.words.clone(), row.words]);
    }
    let after = counted(&stack).values().sum::<u64>();
    assert_eq!(after - before, told.len() as u64, "each request is counted once");
    poll::until_ok("the access log", SOON, || {
        let log = stack.envoy.access_log()?;
        let missing = told.iter().find(|words| !log.iter().any(|line| words.are_in(line)));
        Ok(missing.is_none().then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}: {:?}", stack.envoy.access_log()));
}

#[test]
fn a_sender_of_the_stream_loses_no_event_where_nothing_is_refused() {
    let stack = Stack::start().expect("a stack");
    let written_anew = format!("/mp/collect?measurement_id={CLUB}&api_secret={UPSTREAM_SECRET}");
    for (mode, outcome) in [("enforce", "refused"), ("dry_run", "dry_run"), ("off", "off")] {
        stack.set_mode(CLUB, Some(mode)).expect("a mode");
        in_a_row(mode, || {
            let lines = stack.envoy.access_log()?.len();
            stack.send(&purchase(CLUB, "guessed"))?;
            let log = stack.envoy.wait_for_access_log(lines + 1)?;
            Ok(log.last().is_some_and(|line| line["outcome"] == outcome))
        });
        stack.collector.forget().expect("forgotten");
        let good = purchase(CLUB, &stack.crm.secret);
        let exposed = good.clone().header("origin", "https://shop.example");
        for (name, request, is_refused) in
            [("good", good, false), ("exposed", exposed, mode == "enforce")]
        {
            let name = format!("{mode}, {name}");
            let answer = stack.send(&request).expect("an answer");
            assert_eq!(answer.status, if is_refused { 403 } else { 204 }, "{name}");
            let event = event(&name, &stack);
            let forwarded = (!is_refused).then_some(&*written_anew);
            assert_eq!(event.as_ref().map(Event::path), forwarded, "{name}");
        }
    }
}

#[test]
fn dry_run_counts_under_the_labels_of_the_refusal() {
    let stack = Stack::builder().edit(gate_in("dry_run")).start().expect("a stack");
    let mut told = Vec::new();
    for (request, words) in [
        (purchase(SHOP, "guessed"), Words::dry_run("spoofed", "unknown_secret").on(SHOP)),
        (
            purchase(CLUB, &stack.billing.secret),
            Words::dry_run("spoofed", "stream_not_granted")
                .of("billing", stack.billing.id())
                .on(CLUB),
        ),
        (
            Request::get(format!("/mp/collect?measurement_id={SHOP}")),
            Words::dry_run("malformed", "method_not_allowed").on(SHOP),
        ),
        (Request::post("/mp/collect?%"), Words::dry_run("malformed", "bad_query")),
        (
            purchase(SHOP, &stack.billing.secret),
            Words::genuine("billing", stack.billing.id(), SHOP),
        ),
        // A path outside the protocol is no matter of modes.
        (Request::post("/elsewhere"), Words::refused("malformed", "unknown_path")),
    ] {
        stack.send(&request).expect("an answer");
        told.push(words);
    }
    assert_told(&stack, &told);
    assert_eq!(stack.collector.events().expect("events").len(), told.len() - 1);
}

#[test]
fn a_mode_changed_at_control_takes_effect() {
    let stack = Stack::start().expect("a stack");
    let unknown = purchase(SHOP, "guessed");
    for (mode, status) in [
        (Some("dry_run"), 204),
        (Some("enforce"), 401),
        (Some("off"), 204),
        (None, 401),
        (Some("dry_run"), 204),
        (None, 401),
    ] {
        stack.set_mode(SHOP, mode).expect("a mode");
        in_a_row(&format!("{mode:?}"), || Ok(stack.send(&unknown)?.status == status));
        // The other stream keeps the gate's.
        assert_eq!(stack.send(&purchase(CLUB, "guessed")).expect("an answer").status, 401);
        let genuine = stack.send(&purchase(SHOP, &stack.billing.secret)).expect("an answer");
        assert_eq!(genuine.status, 204, "genuine in {mode:?}");
    }
}

#[test]
fn off_looks_at_nothing_and_changes_nothing() {
    let upstream = Upstream::start(|_| Answer::no_content()).expect("an upstream");
    let stack = Stack::builder().edit(gate_in("off")).upstream(upstream.address()).start();
    let stack = stack.expect("a stack");
    let long = format!("/mp/collect?x={}", "y".repeat(8_000));
    let targets = [
        "/mp/collect",
        "/mp/collect?",
        "/mp/collect?measurement_id=G-NOBODY0001&api_secret=a&api_secret=b&measurement_id=c",
        "/mp/collect?api_secret=%&measurement_id=%zz&&==&;",
        "/mp/collect?a=\"quoted\"&b=<c>&d={e}|`^\\&%e9%00%0d%0a",
        "/mp/collect??/../x//y/%2e%2e?",
        "/debug/mp/collect?api_secret=x",
        &long,
    ];
    let mut sent = 0;
    for target in targets {
        for method in ["POST", "GET", "PUT"] {
            let name = format!("{method} {}", &target[..target.len().min(60)]);
            let request = Request::new(method, target).header("x-mpgate-sender", "forged");
            let body = if method == "GET" { &b""[..] } else { b"\0\xff\xfebody" };
            let answer = stack.send(&request.body(body)).expect("an answer");
            assert_eq!(answer.status, 204, "{name}");
            sent += 1;
            let received = upstream.received();
            assert_eq!(received.len(), sent, "{name}");
            let got = &received[sent - 1];
            assert!(got.head.starts_with(method.as_bytes()), "{name}");
            assert_eq!((got.path().as_str(), &*got.body), (target, body), "{name}");
            assert!(!got.contains("forged") && !got.contains(UPSTREAM_SECRET), "{name}: {got:?}");
        }
    }
}

/// Waits until the answer is yes so often in a row that every worker has given it.
fn in_a_row(what: &str, mut ask: impl FnMut() -> anyhow::Result<bool>) {
    let mut run = 0;
    let waited = poll::until_ok(what, SOON, || {
        run = if ask()? { run + 1 } else { 0 };
        Ok((run == IN_A_ROW).then_some(()))
    });
    waited.unwrap_or_else(|error| panic!("{what}: {error:#}"));
}
