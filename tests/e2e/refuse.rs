//! What is not genuine bounces: the status, the problem document, the headers of the status, and
//! nothing at the collector. Each reason that a head can bring about; bodies, grants and browsers have
//! rooms of their own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{CLUB, CONSUMER, SHOP, Stack, purchase};
use mpgate_testbed::{Answer, Request, Response, Upstream, poll};
use serde_json::{Value, json};

use crate::accounts::{Words, assert_told};

const SOON: Duration = Duration::from_secs(20);

/// Its upstream needs a secret that Envoy's environment does not have.
const POOR: &str = "G-POOR000001";

/// A request, and what is to become of it.
struct Row {
    name: &'static str,
    request: Request,
    status: u16,
    words: Words,
}

fn row(name: &'static str, request: Request, status: u16, words: Words) -> Row {
    Row { name, request, status, words }
}

fn spoofed(reason: &str) -> Words {
    Words::refused("spoofed", reason)
}

fn malformed(reason: &str) -> Words {
    Words::refused("malformed", reason)
}

/// Without any key, or with a damaged one.
fn rows_of_strangers(secret: &str) -> Vec<Row> {
    let post = |target: &str| {
        let body = json!({"client_id": "1.2", "events": [{"name": "login"}]});
        Request::post(target.replace("{secret}", secret)).json(&body)
    };
    let shop = |query: &str| post(&format!("/mp/collect?measurement_id={SHOP}{query}"));
    let missing = || spoofed("missing_secret");
    let repeated = || spoofed("repeated_secret").on(SHOP);
    let unknown = || spoofed("unknown_secret");
    let cut = &secret[..secret.len() - 1];
    let swapped = format!("{cut}{}", if secret.ends_with('a') { 'b' } else { 'a' });
    vec![
        row("no secret", shop(""), 401, missing().on(SHOP)),
        row("an empty secret", shop("&api_secret="), 401, missing().on(SHOP)),
        row("no query at all", post("/mp/collect"), 401, missing()),
        row("no secret at the debug endpoint", post("/debug/mp/collect"), 401, missing()),
        row(
            "a secret in a header",
            shop("").header("x-api-secret", secret),
            401,
            missing().on(SHOP),
        ),
        row(
            "the same secret twice",
            shop("&api_secret={secret}&api_secret={secret}"),
            400,
            repeated(),
        ),
        row("a secret and an empty one", shop("&api_secret={secret}&api_secret="), 400, repeated()),
        row(
            "a second one, its name encoded",
            shop("&api_secret={secret}&api%5Fsecret=x"),
            400,
            repeated(),
        ),
        row("a cut secret", purchase(SHOP, cut), 401, spoofed("malformed_secret").on(SHOP)),
        row("a typing error", purchase(SHOP, &swapped), 401, spoofed("malformed_secret").on(SHOP)),
        row(
            "more than a secret",
            purchase(SHOP, &"x".repeat(257)),
            401,
            spoofed("malformed_secret").on(SHOP),
        ),
        row("a guessed secret", purchase(SHOP, "guessed"), 401, unknown().on(SHOP)),
        row("another stranger's stream", purchase("G-NOBODY0001", "guessed"), 401, unknown()),
        row(
            "a secret in capitals",
            purchase(SHOP, &secret.to_uppercase()),
            401,
            unknown().on(SHOP),
        ),
        row("a secret of odd bytes", purchase(SHOP, "%00%ff%0d%0a"), 401, unknown().on(SHOP)),
        row(
            "a stranger at the debug endpoint",
            post(&format!("/debug/mp/collect?measurement_id={SHOP}&api_secret=guessed")),
            401,
            unknown().on(SHOP),
        ),
        row("a broken escape", shop("&api_secret={secret}&x=%zz"), 400, malformed("bad_query")),
        row(
            "more than a hundred parameters",
            shop(&format!("&api_secret={{secret}}{}", "&x=1".repeat(99))),
            400,
            malformed("bad_query"),
        ),
        row(
            "another path",
            post("/g/collect?measurement_id=G-1&api_secret={secret}"),
            404,
            malformed("unknown_path"),
        ),
        row("the root", Request::get("/"), 404, malformed("unknown_path")),
    ]
}

/// With a good secret in the wrong place.
fn rows_of_billing(key: &mpgate_testbed::IssuedKey) -> Vec<Row> {
    let secret = &key.secret;
    let with = |method: &str, query: &str| {
        Request::new(method, format!("/mp/collect?api_secret={secret}{query}"))
    };
    let shop = &format!("&measurement_id={SHOP}");
    let club = &format!("&measurement_id={CLUB}");
    let not_granted = || spoofed("stream_not_granted").of("billing", key.id());
    let method = || malformed("method_not_allowed").on(SHOP);
    vec![
        row("no stream", with("POST", ""), 400, spoofed("stream_missing")),
        row("an empty stream", with("POST", "&measurement_id="), 400, spoofed("stream_missing")),
        row("a stream twice", with("POST", &shop.repeat(2)), 400, spoofed("stream_repeated")),
        row("two streams", with("POST", &format!("{shop}{club}")), 400, spoofed("stream_repeated")),
        row(
            "a web and an app stream",
            with("POST", &format!("{shop}&firebase_app_id=1:2:web:a")),
            400,
            spoofed("stream_repeated"),
        ),
        row(
            "a stream and an empty one",
            with("POST", &format!("{shop}&measurement_id=")),
            400,
            spoofed("stream_repeated"),
        ),
        row("somebody else's stream", with("POST", club), 403, not_granted().on(CLUB)),
        row(
            "a stream that nobody has",
            with("POST", "&measurement_id=G-NOBODY0001"),
            403,
            not_granted(),
        ),
        row(
            "its stream as an app",
            with("POST", &format!("&firebase_app_id={SHOP}")),
            403,
            not_granted(),
        ),
        row(
            "its stream in lower case",
            with("POST", "&measurement_id=g-shop000001"),
            403,
            not_granted(),
        ),
        row("GET", with("GET", shop), 405, method()),
        row("PUT", with("PUT", shop), 405, method()),
        row("DELETE", with("DELETE", shop), 405, method()),
        row("OPTIONS", with("OPTIONS", shop), 405, method()),
        row("PATCH", with("PATCH", shop), 405, method()),
    ]
}

#[test]
fn each_reason_has_its_answer_its_counter_and_its_line() {
    let stack = Stack::start().expect("a stack");
    let revoked = stack.issue("till", &[SHOP]).expect("a key");
    stack.revoke(&revoked).expect("revoked");
    let early =
        json!({"sender": "early", "dataStreams": [SHOP], "notBefore": "2099-01-01T00:00:00Z"});
    let early = stack.control.create_key_with(CONSUMER, &early).expect("a key");
    stack.add_stream(POOR, None, "replace(NOT_IN_THE_ENVIRONMENT)").expect("a stream");
    let poor = stack.issue("poor", &[POOR]).expect("a key");

    let mut rows = rows_of_strangers(&stack.billing.secret);
    rows.extend(rows_of_billing(&stack.billing));
    let until_later = Words::refused("unverified", "upstream_secret_missing").of("poor", poor.id());
    rows.extend([
        row(
            "a revoked key",
            purchase(SHOP, &revoked.secret),
            403,
            spoofed("revoked").of("till", revoked.id()).on(SHOP),
        ),
        row(
            "a revoked key on a foreign stream",
            purchase(CLUB, &revoked.secret),
            403,
            spoofed("revoked").of("till", revoked.id()).on(CLUB),
        ),
        row(
            "before its time",
            purchase(SHOP, &early.secret),
            403,
            spoofed("not_yet_valid").of("early", early.id()).on(SHOP),
        ),
        row(
            "an upstream without its secret",
            purchase(POOR, &poor.secret),
            503,
            until_later.on(POOR),
        ),
    ]);

    let mut told = Vec::new();
    for Row { name, request, status, words } in &rows {
        let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
        for (protocol, answer) in
            [("HTTP/1.1", stack.send(request)), ("HTTP/2", http2.send(request))]
        {
            let name = format!("{name} over {protocol}");
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            check(&name, &answer, *status, &words.reason);
            told.push(words.clone());
        }
    }
    let secrets = [&stack.billing, &revoked, &early, &poor].map(|key| &key.secret);
    let lines = assert_told(&stack, &told);
    assert_eq!(stack.collector.events().expect("events").len(), 0, "nothing was forwarded");
    let all = format!("{lines:?}{}", stack.envoy.log());
    assert!(!secrets.iter().any(|secret| all.contains(*secret)), "a secret was logged");
}

/// The document of RFC 9457 and the headers that the status asks for.
fn check(name: &str, answer: &Response, status: u16, reason: &str) {
    assert_eq!((answer.status, &*answer.reason()), (status, reason), "{name}: {}", answer.text());
    let problem = answer.json().expect("a problem document");
    let members: Vec<&String> = problem.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["detail", "reason", "status", "title", "type"], "{name}");
    assert_eq!(problem["type"], format!("urn:x-mpgate:reason:{reason}"), "{name}");
    assert_eq!(problem["status"], status, "{name}");
    for text in ["title", "detail"] {
        assert!(problem[text].as_str().is_some_and(|text| text.len() > 4), "{name}: {problem}");
    }
    let header = |wanted: &str| answer.header(wanted);
    assert_eq!(header("content-type").as_deref(), Some("application/problem+json"), "{name}");
    assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{name}");
    let challenge = (status == 401).then_some("ApiSecret realm=\"mpgate\"");
    assert_eq!(header("www-authenticate").as_deref(), challenge, "{name}");
    assert_eq!(header("allow").as_deref(), (status == 405).then_some("POST"), "{name}");
    assert_eq!(header("retry-after").as_deref(), (status == 503).then_some("1"), "{name}");
    assert_eq!(header("server").as_deref(), Some("mpgate"), "{name}");
}

#[test]
fn a_key_expires_by_itself() {
    let stack = Stack::start().expect("a stack");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
    let body = json!({"sender": "guest", "dataStreams": [SHOP], "expireTime": rfc3339(now + 3)});
    let guest = stack.control.create_key_with(CONSUMER, &body).expect("a key");
    stack.envoy.wait_for_revision(guest.revision).expect("the key");
    let request = purchase(SHOP, &guest.secret);
    assert_eq!(stack.send(&request).expect("an answer").status, 204, "before its end");
    // No revision tells the gate: it has the time in the grant.
    let refused = poll::until_ok("the key's end", SOON, || {
        let answer = stack.send(&request)?;
        Ok((answer.status != 204).then_some(answer))
    });
    check("an expired key", &refused.expect("refused"), 403, "expired");
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
    assert!(clock >= now + 3, "refused {} s too early", now + 3 - clock);
}

/// Seconds since 1970 as control writes them, by Howard Hinnant's `civil_from_days`.
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second % 3_600 / 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

#[test]
fn what_this_gateway_is_too_old_for_is_refused_alone() {
    // The real control's list, with demands that no gateway of today can meet.
    let real = Stack::start().expect("a stack");
    let changes = "/v1/allowlist/changes?epoch=&since=0&limit=500&wait=0";
    let mut page =
        real.control.call("GET", changes, None).expect("an answer").json().expect("JSON");
    let demand = json!(["time-travel"]);
    let crm = real.crm.id().to_owned();
    for key in page["keys"].as_array_mut().expect("keys") {
        if key["grant"]["key_id"] == crm {
            key["grant"]["requires"] = demand.clone();
        }
    }
    let control = control_with(page.clone());
    let stack =
        Stack::builder().control(control.address()).without_list().start().expect("a stack");
    stack.envoy.wait_for_list().expect("the list");
    let send = |stack: &Stack, stream: &str, secret: &str| -> Response {
        stack.send(&purchase(stream, secret)).expect("an answer")
    };
    check("a grant", &send(&stack, CLUB, &real.crm.secret), 403, "unsupported_grant");
    assert_eq!(send(&stack, SHOP, &real.billing.secret).status, 204, "the others are served");

    for stream in page["streams"].as_array_mut().expect("streams") {
        if stream["stream"]["id"] == SHOP {
            stream["stream"]["requires"] = demand.clone();
        }
    }
    let control = control_with(page);
    let stack =
        Stack::builder().control(control.address()).without_list().start().expect("a stack");
    stack.envoy.wait_for_list().expect("the list");
    check("a stream", &send(&stack, SHOP, &real.billing.secret), 503, "unsupported_stream");
}

/// A control that has this page and then no news.
fn control_with(page: Value) -> Upstream {
    let mut news = page.clone();
    (news["reset"], news["from"], news["to"]) =
        (false.into(), page["head"].clone(), page["head"].clone());
    (news["keys"], news["streams"]) = (json!([]), json!([]));
    let script = move |request: &mpgate_testbed::upstream::Received| {
        let all = request.path().contains("since=0&");
        Answer::json(200, if all { &page } else { &news })
    };
    Upstream::start(script).expect("a control")
}
