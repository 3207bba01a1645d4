//! Pages of another control service than today's: of a newer one, whose members this gate does not
//! know, and of the first, which had few. And the times of a grant, by the gate's own clock.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mpgate_testbed::stack::{CONSUMER, SHOP, Stack, purchase};
use mpgate_testbed::{Answer, IssuedKey, Upstream, poll};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// Members of the first format; all others came later.
const FIRST_GRANT: [&str; 3] = ["key_id", "sender", "streams"];
const FIRST_STREAM: [&str; 4] = ["id", "consumer", "environment", "upstream_secret"];

/// A control that serves one page, once a test has set it.
struct Scripted {
    upstream: Upstream,
    page: Arc<OnceLock<Value>>,
}

impl Scripted {
    fn start() -> Self {
        let page = Arc::<OnceLock<Value>>::default();
        let script = Arc::clone(&page);
        let upstream = Upstream::start(move |request| match script.get() {
            None => Answer::json(503, &json!({})),
            Some(page) => Answer::json(200, &answer(page, &request.path())),
        })
        .expect("a control");
        Self { upstream, page }
    }

    fn serve(&self, page: Value) {
        self.page.set(page).expect("set once");
    }
}

/// The page to who starts, nothing new to who has it.
fn answer(page: &Value, path: &str) -> Value {
    let head = page["head"].clone();
    if !path.contains(&format!("since={head}")) {
        return page.clone();
    }
    let mut level = page.clone();
    level["reset"] = false.into();
    (level["from"], level["to"]) = (head.clone(), head);
    (level["keys"], level["streams"]) = (json!([]), json!([]));
    level
}

/// Everything that the real control has, as a page.
fn real_page(stack: &Stack) -> Value {
    let path = "/v1/allowlist/changes?epoch=&since=0&limit=1000&wait=0";
    stack.control.call("GET", path, None).expect("an answer").json().expect("a page")
}

fn key_of<'a>(page: &'a mut Value, key: &IssuedKey) -> &'a mut Value {
    let keys = page["keys"].as_array_mut().expect("keys");
    keys.iter_mut().find(|entry| entry["grant"]["key_id"] == key.id()).expect("the key")
}

fn stream_of<'a>(page: &'a mut Value, stream: &str) -> &'a mut Value {
    let streams = page["streams"].as_array_mut().expect("streams");
    streams.iter_mut().find(|entry| entry["stream"]["id"] == stream).expect("the stream")
}

fn assert_said(stack: &Stack, name: &str, stream: &str, key: &IssuedKey, said: (u16, &str)) {
    let answer = stack.send(&purchase(stream, &key.secret)).expect("an answer");
    assert_eq!((answer.status, &*answer.reason()), said, "{name}");
}

#[test]
fn a_newer_control_and_an_older_gate() {
    let control = Scripted::start();
    let stack = Stack::builder().control(control.upstream.address()).without_list().start();
    let stack = stack.expect("a stack");
    let issue = |sender: &str, streams: &[&str]| {
        stack.control.create_key(CONSUMER, sender, streams).expect("a key")
    };
    let newer = "G-NEWER00001";
    stack.control.create_stream(CONSUMER, newer, None, "none").expect("a stream");
    let [plain, known, unknown] = ["plain", "known", "newer"].map(|name| issue(name, &[SHOP]));
    let both = issue("both", &[SHOP, newer]);

    let mut page = real_page(&stack);
    let strange = json!({"colour": ["red", {"x": null}], "since": 1.5});
    page["strange"] = strange.clone();
    for entries in ["keys", "streams"] {
        for entry in page[entries].as_array_mut().expect("entries") {
            entry["strange"] = strange.clone();
            let body = if entries == "keys" { "grant" } else { "stream" };
            entry[body]["strange"] = strange.clone();
        }
    }
    let capabilities = json!(["events", "source_networks", "certificate_names"]);
    key_of(&mut page, &known)["grant"]["requires"] = capabilities;
    key_of(&mut page, &unknown)["grant"]["requires"] = json!(["events", "moon_phase"]);
    key_of(&mut page, &unknown)["grant"]["moon_phase"] = "full".into();
    stream_of(&mut page, newer)["stream"]["requires"] = json!(["moon_phase"]);
    control.serve(page);
    stack.envoy.wait_for_list().expect("a list");

    assert_said(&stack, "members it does not know", SHOP, &plain, (204, ""));
    assert_said(&stack, "capabilities it has", SHOP, &known, (204, ""));
    let refused = (403, "unsupported_grant");
    assert_said(&stack, "a capability it lacks: that key only", SHOP, &unknown, refused);
    assert_said(&stack, "another stream of it", SHOP, &both, (204, ""));
    let stream = (503, "unsupported_stream");
    assert_said(&stack, "a stream that asks for more: that stream only", newer, &both, stream);
    assert_eq!(stack.collector.wait_for_events(3).expect("events").len(), 3);
}

#[test]
fn an_older_control_and_a_newer_gate() {
    let control = Scripted::start();
    let stack = Stack::builder().control(control.upstream.address()).without_list().start();
    let stack = stack.expect("a stack");
    let mut page = real_page(&stack);
    for (entries, body, members) in
        [("keys", "grant", &FIRST_GRANT[..]), ("streams", "stream", &FIRST_STREAM)]
    {
        for entry in page[entries].as_array_mut().expect("entries") {
            let body = entry[body].as_object_mut().expect("a body");
            body.retain(|member, _| members.contains(&member.as_str()));
            assert_eq!(body.len(), members.len(), "the first format's members are all there");
        }
    }
    control.serve(page);
    stack.envoy.wait_for_list().expect("a list");

    assert_said(&stack, "no restriction", SHOP, &stack.billing, (204, ""));
    assert_said(&stack, "another's stream", SHOP, &stack.crm, (403, "stream_not_granted"));
    let odd = purchase(SHOP, &stack.billing.secret).body(r#"{"events":[{"name":"_bad"}]}"#);
    assert_eq!(stack.send(&odd).expect("an answer").status, 204, "the gate's own rules: dry run");
}

#[test]
fn a_grant_begins_and_ends_by_the_gates_clock() {
    let control = Scripted::start();
    let stack = Stack::builder().control(control.upstream.address()).without_list().start();
    let stack = stack.expect("a stack");
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let mut page = real_page(&stack);
    let start = clock() + 3;
    let grant = &mut key_of(&mut page, &stack.billing)["grant"];
    grant["not_before"] = start.into();
    grant["expire_time"] = (start + 2).into();
    control.serve(page);
    stack.envoy.wait_for_list().expect("a list");

    // Each change is seen once, in its second and not before, without a word from control.
    let request = purchase(SHOP, &stack.billing.secret);
    let mut seen = Vec::new();
    poll::until("the key's end", SOON, || {
        let earliest = clock();
        let answer = stack.send(&request).expect("an answer");
        let said = (answer.status, answer.reason());
        match said.1.as_str() {
            "not_yet_valid" => assert!(earliest < start, "late: {earliest}, {start}"),
            "" => assert!(earliest < start + 2 && clock() >= start, "{earliest}, {start}"),
            _ => assert!(clock() >= start + 2, "early"),
        }
        if seen.last() != Some(&said) {
            seen.push(said);
        }
        (seen.len() == 3).then_some(())
    })
    .expect("a begin and an end");
    let expected = [(403, "not_yet_valid"), (204, ""), (403, "expired")];
    assert_eq!(seen, expected.map(|(status, reason)| (status, reason.to_owned())));
}
