//! Control, or whoever answers in its place, says something that is no page: a counter moves, the list
//! stays, and the next good page goes on from where it was.

use mpgate_testbed::stack::{CLUB, SHOP, Stack};
use mpgate_testbed::{Answer, EnvoyConfig, Response, envoy, poll};
use serde_json::{Value, json};

use super::relay::{Fault, Relay};
use super::{SOON, answer, results};

/// What a page may weigh; one more is too much.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

fn says(status: u16, body: &'static [u8]) -> Fault {
    Box::new(move |_| Answer::Respond(status, Vec::new(), body.to_vec()))
}

/// The page that control would have sent, changed.
fn page(change: impl FnOnce(&mut Value) + Send + 'static) -> Fault {
    Box::new(move |response: Response| {
        let mut page = response.json().expect("control's page");
        change(&mut page);
        Answer::json(200, &page)
    })
}

/// A key that nobody issued. Were it believed, the gate would have one more.
fn forged(revision: u64) -> Value {
    json!({
        "revision": revision,
        // SHA-256 of "forged".
        "digest": "ccdd35168ab474fa5764a526cfb83621351e23682c5075b2e18d56bddf96aa30",
        "state": "active",
        "grant": {"key_id": "000000000000", "sender": "forger", "streams": [SHOP]},
    })
}

/// A page of one more key; then some member is spoiled.
fn forged_page(spoil: impl FnOnce(&mut Value, u64) + Send + 'static) -> Fault {
    page(move |page| {
        let head = page["head"].as_u64().expect("a head");
        page["keys"] = json!([forged(head + 1)]);
        (page["to"], page["head"]) = ((head + 1).into(), (head + 1).into());
        spoil(page, head);
    })
}

/// What is said, the result under which it is counted, and how it comes about.
type Row = (&'static str, &'static str, Fault);

fn bodies_that_are_no_page() -> Vec<Row> {
    vec![
        ("no JSON", "unreadable", says(200, b"<html>a proxy's error page</html>")),
        ("nothing", "unreadable", says(200, b"")),
        ("JSON of something else", "unreadable", says(200, b"{\"ok\":true}")),
        ("bytes that are no text", "unreadable", says(200, b"\xff\xfe\0\0")),
        (
            "half a page",
            "unreadable",
            Box::new(|response| {
                let half = response.body[..response.body.len() / 2].to_vec();
                Answer::Respond(200, Vec::new(), half)
            }),
        ),
        (
            "nesting",
            "unreadable",
            Box::new(|_| Answer::Respond(200, Vec::new(), vec![b'['; 200_000])),
        ),
        (
            "a page and more",
            "unreadable",
            Box::new(|response| {
                Answer::Respond(200, Vec::new(), [&*response.body, b"{}"].concat())
            }),
        ),
    ]
}

fn pages_that_do_not_fit() -> Vec<Row> {
    vec![
        (
            "another start",
            "other_start",
            forged_page(|page, head| page["from"] = (head - 1).into()),
        ),
        (
            "a later start",
            "other_start",
            forged_page(|page, head| page["from"] = (head + 1).into()),
        ),
        (
            "a reset that does not start at 0",
            "other_start",
            forged_page(|page, _| page["reset"] = true.into()),
        ),
        (
            "another epoch, no reset",
            "other_epoch",
            forged_page(|page, _| page["epoch"] = "other".into()),
        ),
        ("no epoch", "bad_epoch", forged_page(|page, _| page["epoch"] = "".into())),
        ("a long epoch", "bad_epoch", forged_page(|page, _| page["epoch"] = "e".repeat(65).into())),
        ("an end before its start", "backwards", forged_page(|page, _| page["to"] = 0.into())),
        (
            "an end behind the head",
            "backwards",
            forged_page(|page, head| page["head"] = head.into()),
        ),
        (
            "an entry before its page",
            "outside_range",
            forged_page(|page, head| page["keys"][0]["revision"] = head.into()),
        ),
        (
            "an entry behind its page",
            "outside_range",
            forged_page(|page, head| page["keys"][0]["revision"] = (head + 2).into()),
        ),
        (
            "a key twice",
            "repeated",
            forged_page(|page, _| {
                let key = page["keys"][0].clone();
                page["keys"] = json!([key, key]);
            }),
        ),
        (
            "a grant of nothing",
            "bad_entry",
            forged_page(|page, _| page["keys"][0]["grant"]["streams"] = json!([])),
        ),
        (
            "too many entries",
            "too_many_entries",
            forged_page(|page, _| {
                let key = page["keys"][0].clone();
                page["keys"] = vec![key; 1_001].into();
            }),
        ),
        (
            "an empty list of a new epoch",
            "held_empty",
            page(|page| {
                *page = json!({"epoch": "new", "reset": true, "from": 0, "to": 0, "head": 0, "keys": [], "streams": []});
            }),
        ),
    ]
}

fn answers_without_a_page() -> Vec<Row> {
    vec![
        ("401", "denied", says(401, b"{}")),
        ("403", "denied", says(403, b"{}")),
        ("404", "bad_status", says(404, b"not here")),
        ("500", "bad_status", says(500, b"{\"epoch\":1}")),
        ("a redirect", "bad_status", Box::new(|_| Answer::redirect("http://elsewhere.example/"))),
        ("204", "bad_status", Box::new(|_| Answer::no_content())),
        ("503", "unreachable", says(503, b"")),
        ("a closed connection", "unreachable", Box::new(|_| Answer::Close)),
        (
            "a page that is too large",
            "too_large",
            Box::new(|response| {
                let mut body = response.body;
                body.resize(PAGE_BYTES_MAX + 1, b' ');
                Answer::Respond(200, Vec::new(), body)
            }),
        ),
        ("no answer at all", "timeout", Box::new(|_| Answer::Silence)),
    ]
}

/// The next answer is spoiled, so it has to come by itself, and soon.
fn quick(config: &mut EnvoyConfig) -> anyhow::Result<()> {
    config.gate()?["control"]["poll_interval_milliseconds"] = 50.into();
    config.gate()?["control"]["wait_seconds"] = 0.into();
    Ok(())
}

#[test]
fn what_is_no_page_moves_a_counter_and_nothing_else() {
    let (front, lease) = envoy::nowhere().expect("an address");
    let stack = Stack::builder().edit(quick).control(front).without_list().start();
    let stack = stack.expect("a stack");
    drop(lease);
    let relay = Relay::at(front, &stack.control);
    stack.envoy.wait_for_revision(stack.crm.revision).expect("the list");
    let revoked = stack.issue("till", &[SHOP]).expect("a key");
    stack.revoke(&revoked).expect("revoked");

    let mut rows = bodies_that_are_no_page();
    rows.extend(pages_that_do_not_fit());
    rows.extend(answers_without_a_page());
    for (name, result, fault) in rows {
        let before = results(&stack.envoy, result);
        relay.spoil(fault);
        let counted = poll::until(name, SOON, || {
            // One table for all workers: what is asked meanwhile is answered from the old list.
            assert_eq!(answer(&stack, SHOP, &stack.billing.secret).0, 204, "{name}");
            (results(&stack.envoy, result) > before).then_some(())
        });
        let all: Vec<_> =
            stack.envoy.metrics().expect("metrics").named("mpgate_sync_total").cloned().collect();
        assert!(counted.is_ok(), "{name}: {result} was not counted: {all:?}");
        assert_eq!(answer(&stack, CLUB, &stack.crm.secret).0, 204, "{name}");
        assert_eq!(answer(&stack, SHOP, "forged").1, "unknown_secret", "{name}");
        assert_eq!(answer(&stack, SHOP, &revoked.secret).1, "revoked", "{name}");
        // The next page is a good one: the list goes on at once.
        let news = stack.issue("news", &[SHOP]).expect("a key");
        assert_eq!(answer(&stack, SHOP, &news.secret).0, 204, "{name}: and then goes on");
    }
    assert_eq!(stack.envoy.stat("wasm.mpgate.vm_reload_success").expect("a stat"), 0);
    assert_eq!(stack.envoy.stat("wasm.mpgate.vm_reload_backoff").expect("a stat"), 0);
}

#[test]
fn a_good_page_of_forged_keys_would_be_believed() {
    // Else the test above proves nothing: the same page, not spoiled, is taken.
    let (front, lease) = envoy::nowhere().expect("an address");
    let stack = Stack::builder().edit(quick).control(front).without_list().start();
    let stack = stack.expect("a stack");
    drop(lease);
    let relay = Relay::at(front, &stack.control);
    stack.envoy.wait_for_revision(stack.crm.revision).expect("the list");
    relay.spoil(forged_page(|_, _| {}));
    // The next question is asked at once, and its answer would take the forged key away again.
    relay.spoil(Box::new(|_| Answer::Silence));
    stack.envoy.wait_for_revision(stack.crm.revision + 1).expect("taken");
    assert_eq!(answer(&stack, SHOP, "forged").0, 204);
    // Control has never been there: the gate is ahead of it, and is reset.
    super::wait_for_answer(&stack, SHOP, "forged", 401, "unknown_secret");
    assert_eq!(answer(&stack, SHOP, &stack.billing.secret).0, 204);
}
