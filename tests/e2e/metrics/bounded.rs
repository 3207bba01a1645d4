//! Envoy never frees a series. However many secrets, streams, events and headers strangers make up, and
//! however many senders come and go, there are no more than the bounds explain: for as long as Envoy runs.
//!
//! `MPGATE_BOUNDED=100000` sends more of what strangers send.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use mpgate_guard::EVENT_LABELS_MAX;
use mpgate_testbed::discovery::Discovered;
use mpgate_testbed::http1::Http1;
use mpgate_testbed::stack::CONSUMER;
use mpgate_testbed::upstream::Received;
use mpgate_testbed::{Answer, Request, Stack, Upstream, poll};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::exact::unlimited;
use super::{SOON, events, sum, wait_for_sum};

const SENDERS_MAX: usize = 100;

/// Twenty rounds of this many keys: ten thousand that are created, used and deleted.
const ROUNDS: usize = 20;
const KEYS: usize = 500;
const STREAMS: usize = 100;

/// In this round every place is taken, and a configuration is pushed.
const FULL: usize = 12;

/// What strangers send, each with a secret, a stream, an event or a sender of its own.
const STRANGERS: usize = 20_000;

/// Connections at a time.
const LINES: usize = 8;

const REQUESTS: &str = "mpgate_requests_total";
const EVENTS: &str = "mpgate_events_total";

/// Everything that a control ever said: keys and streams, in the order of their revisions.
#[derive(Default)]
struct Feed(Mutex<Vec<(bool, Value)>>);

impl Feed {
    fn said(&self) -> MutexGuard<'_, Vec<(bool, Value)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> u64 {
        self.said().len() as u64
    }

    fn say(&self, is_key: bool, mut entry: Value) {
        let mut said = self.said();
        entry["revision"] = (said.len() + 1).into();
        said.push((is_key, entry));
    }

    fn answer(&self, request: &Received) -> Answer {
        let path = request.path();
        if path == "/v1/usageReports" {
            return Answer::json(200, &json!({"counted": true}));
        }
        let asked = |name: &str| {
            let pair = path.split(['?', '&']).find_map(|pair| pair.strip_prefix(name));
            pair.and_then(|value| value.parse::<usize>().ok()).unwrap_or(0)
        };
        let said = self.said();
        let is_reset = !path.contains("epoch=bounded");
        let from = if is_reset { 0 } else { asked("since=") };
        let to = (from + asked("limit=")).min(said.len());
        let of = |keys: bool| {
            let page = said.get(from..to).unwrap_or_default().iter();
            page.filter(|(is_key, _)| *is_key == keys).map(|(_, it)| it).collect::<Vec<_>>()
        };
        let page = json!({"epoch": "bounded", "reset": is_reset, "from": from, "to": to,
            "head": said.len(), "keys": of(true), "streams": of(false)});
        Answer::json(200, &page)
    }

    /// Keys and streams of a round, in force or not any more.
    fn round(&self, round: usize, state: &str) {
        for number in 0..STREAMS {
            let stream = json!({"id": stream(round, number), "consumer": CONSUMER,
                "environment": "production", "upstream_secret": "none"});
            self.say(false, json!({"state": state, "stream": stream}));
        }
        for number in 0..KEYS {
            let id = round * KEYS + number;
            let grant = json!({"key_id": format!("{id:012}"), "sender": format!("sender-{id}"),
                "streams": [stream(round, number % STREAMS)], "events": [format!("event_{id}")],
                "requires": ["events"]});
            let digest = hex::encode(Sha256::digest(secret(id)));
            self.say(true, json!({"state": state, "digest": digest, "grant": grant}));
        }
    }
}

fn stream(round: usize, number: usize) -> String {
    format!("G-S{round:04}{number:04}")
}

fn secret(id: usize) -> String {
    format!("the-secret-of-key-{id}")
}

/// Sends them over a few connections, and checks each status.
fn send_all(stack: &Stack, count: usize, request: impl Fn(usize) -> (Request, u16) + Sync) {
    let request = &request;
    let address = stack.envoy.address();
    thread::scope(|scope| {
        for line in 0..LINES {
            scope.spawn(move || {
                let mut connection = Http1::connect(address).expect("a connection");
                for number in (line..count).step_by(LINES) {
                    let (request, status) = request(number);
                    let answer = connection.send(&request).expect("an answer");
                    assert_eq!(answer.status, status, "{}", answer.text());
                    if answer.header("connection").as_deref() == Some("close") {
                        connection = Http1::connect(address).expect("a connection");
                    }
                }
            });
        }
    });
}

/// A series: its name, and its labels' values.
type Series = (String, Vec<String>);

/// The series that a sender is in: the others have no label that anybody could make up. Without the
/// delays, which Envoy shows late.
fn series(stack: &Stack) -> BTreeSet<Series> {
    let metrics = stack.envoy.metrics().expect("metrics");
    let all = metrics.all().iter().filter(|it| it.labels.contains_key("sender"));
    let ours = all.filter(|it| it.name.starts_with("mpgate_") && !it.name.contains("_delay_"));
    ours.map(|it| (it.name.clone(), it.labels.values().cloned().collect())).collect()
}

fn labels(stack: &Stack, name: &str, label: &str) -> usize {
    let metrics = stack.envoy.metrics().expect("metrics");
    let values: BTreeSet<_> = metrics.named(name).map(|it| it.labels.get(label)).collect();
    values.len()
}

/// Pushes a configuration: whoever counts then begins with nothing but what shared data know.
fn push(stack: &Stack) {
    let pushed = stack.envoy.push(|plugin| {
        plugin.gate(|gate| {
            gate["max_staleness_seconds"] = 600.into();
            Ok(())
        })
    });
    pushed.expect("pushed");
    let name = "extension_config_discovery.http_filter.mpgate.config_reload";
    let taken = || (stack.envoy.stat(name).expect("a stat") >= 2).then_some(());
    poll::until("the push to be taken", SOON, taken).expect("taken");
}

/// Keys come, are used and go, round after round; answers what series there were once all was full.
fn come_and_go(stack: &Stack, feed: &Feed) -> BTreeSet<Series> {
    let mut once_full = BTreeSet::new();
    for round in 0..ROUNDS {
        if round > 0 {
            feed.round(round - 1, "revoked");
        }
        feed.round(round, "active");
        stack.envoy.wait_for_revision(feed.head()).expect("the round's keys");
        send_all(stack, KEYS, |number| {
            let id = round * KEYS + number;
            let event = format!("event_{id}");
            let stream = stream(round, number % STREAMS);
            (events(&stream, &secret(id), &[(&event, Some(1))]), 204)
        });
        if round == FULL {
            once_full = series(stack);
            push(stack);
        }
    }
    once_full
}

/// Made up: a secret, a stream, an event and a sender; or, by somebody who has a key, an event or a stream.
fn stranger(number: usize) -> (Request, u16) {
    let last = secret((ROUNDS - 1) * KEYS);
    let own = stream(ROUNDS - 1, 0);
    let made_up = format!("made_up_{number}");
    match number % 10 {
        0 => (events(&own, &last, &[(&made_up, None)]), 403),
        1 => (events(&format!("G-X{number}"), &last, &[(&made_up, None)]), 403),
        _ => {
            let request =
                events(&format!("G-X{number}"), &format!("guess-{number}"), &[(&made_up, None)]);
            (request.header("x-mpgate-sender", &made_up), 401)
        }
    }
}

/// A gate whose list is what this control says.
fn start(feed: &Arc<Feed>) -> (Upstream, Stack) {
    let told = Arc::clone(feed);
    let control = Upstream::start(move |request| told.answer(request)).expect("a control");
    let builder = Stack::builder().concurrency(4).control(control.address()).without_list();
    let builder = builder.edit(|config| {
        unlimited(config)?;
        config.discover(Discovered::Gate);
        let gate = config.gate()?;
        gate["senders_max"] = SENDERS_MAX.into();
        gate["control"]["wait_seconds"] = 0.into();
        gate["control"]["poll_interval_milliseconds"] = 50.into();
        gate["control"]["page_entries"] = 1_000.into();
        Ok(())
    });
    (control, builder.start().expect("a stack"))
}

#[test]
fn nobody_makes_more_series_than_the_bounds_explain() {
    let strangers = std::env::var("MPGATE_BOUNDED");
    let strangers =
        strangers.map_or(STRANGERS, |count| count.parse().expect("MPGATE_BOUNDED is a number"));
    let feed = Arc::new(Feed::default());
    let (_control, stack) = start(&feed);
    let began = Instant::now();
    let once_full = come_and_go(&stack, &feed);
    // Each of those, and `other`.
    assert_eq!(labels(&stack, REQUESTS, "sender"), SENDERS_MAX + 1);
    assert_eq!(labels(&stack, REQUESTS, "stream"), 1_000 + 1);
    assert_eq!(labels(&stack, EVENTS, "event"), EVENT_LABELS_MAX + 1);
    assert!(series(&stack) == once_full, "who begins anew knows what is full");
    assert_eq!(sum(&stack, REQUESTS, &[]), (ROUNDS * KEYS) as u64);
    let (keys, took) = (ROUNDS * KEYS, began.elapsed());
    println!("{keys} keys came and went: {} series, {took:.1?}", once_full.len());

    let began = Instant::now();
    send_all(&stack, strangers, stranger);
    let after = series(&stack);
    println!("{strangers} strangers: {} series, {:.1?}", after.len(), began.elapsed());
    // Nothing that a stranger made up is a label: these are words of the gate's own.
    let more: Vec<_> = after.difference(&once_full).collect();
    let own = ["demo", "unknown", "other", "refused", "unknown_secret"];
    let own = [&own[..], &["stream_not_granted", "event_not_granted"]].concat();
    let is_own = |series: &&Series| series.1.iter().all(|value| own.contains(&&**value));
    assert!(more.iter().all(is_own) && more.len() <= 5, "{more:?}");
    for (sender, stream, reason, of_ten) in [
        ("unknown", "unknown", "unknown_secret", 8),
        ("other", "unknown", "stream_not_granted", 1),
        ("other", "other", "event_not_granted", 1),
    ] {
        let labels = [("sender", sender), ("stream", stream), ("reason", reason)];
        assert_eq!(sum(&stack, REQUESTS, &labels), (strangers / 10 * of_ten) as u64, "{labels:?}");
    }
    wait_for_sum(&stack, "mpgate_event_delay_seconds_count", &[], (ROUNDS * KEYS) as u64);
    assert_eq!(labels(&stack, "mpgate_event_delay_seconds_count", "sender"), SENDERS_MAX + 1);
    let page = stack.envoy.status().expect("a page");
    assert_eq!(page["unknown_secrets"].as_array().map(Vec::len), Some(32));
}

/// What Envoy's heap has given out, in bytes: as Envoy tells it next, which it does every five seconds.
fn allocated(stack: &Stack) -> u64 {
    let stat = |name| stack.envoy.stat(name).expect("a stat");
    let told = stat("server.uptime");
    let is_told = || (stat("server.uptime") > told).then_some(());
    poll::until("Envoy to tell its memory", SOON, is_told).expect("told");
    stat("server.memory_allocated")
}

/// Some that the protocol recommends, and that need no parameter.
const RECOMMENDED: [&str; 4] = ["login", "page_view", "share", "tutorial_begin"];

/// The most that one caller makes: a stranger who names every stream of the list, and a key's holder who does so and
/// sends events of every kind.
#[test]
fn one_caller_makes_what_the_list_explains() {
    const LISTED: usize = 1_000;
    let feed = Arc::new(Feed::default());
    for number in 0..LISTED {
        let stream = json!({"id": stream(0, number), "consumer": CONSUMER,
            "environment": "production", "upstream_secret": "none"});
        feed.say(false, json!({"state": "active", "stream": stream}));
    }
    let digest = hex::encode(Sha256::digest(secret(0)));
    let grant =
        json!({"key_id": format!("{:012}", 0), "sender": "holder", "streams": [stream(0, 0)]});
    feed.say(true, json!({"state": "active", "digest": digest, "grant": grant}));
    let (_control, stack) = start(&feed);
    stack.envoy.wait_for_revision(feed.head()).expect("the list");
    let of = |sender: &str, name: &str| {
        let all = series(&stack).into_iter();
        all.filter(|(of, labels)| of == name && labels.iter().any(|it| it == sender)).count()
    };

    let before = allocated(&stack);
    let guess = |number| (events(&stream(0, number), "guess", &[("login", None)]), 401);
    send_all(&stack, LISTED, guess);
    assert_eq!((of("unknown", REQUESTS), of("unknown", EVENTS)), (LISTED, 0));
    let each = allocated(&stack).saturating_sub(before) / LISTED as u64;
    println!("{LISTED} series: {each} bytes each of Envoy's heap");

    send_all(&stack, LISTED, |number| {
        let status = if number == 0 { 204 } else { 403 };
        (events(&stream(0, number), &secret(0), &[("login", None)]), status)
    });
    send_all(&stack, LISTED, |number| {
        let name = match number % 10 {
            0 => format!("_reserved_{number}"),
            1..5 => format!("made_up_{number}"),
            _ => RECOMMENDED[number % RECOMMENDED.len()].to_owned(),
        };
        let status = if name.starts_with('_') { 422 } else { 204 };
        (events(&stream(0, 0), &secret(0), &[(&name, None)]), status)
    });
    // One accepted, one refused for its event, and the streams that are others'.
    assert_eq!(of("holder", REQUESTS), 2 + LISTED - 1);
    // The recommended ones and `other`, and `other` that was refused.
    assert_eq!(of("holder", EVENTS), RECOMMENDED.len() + 1 + 1);
}
