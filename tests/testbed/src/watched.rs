//! A stack that a Prometheus watches, and what senders of every kind send to it, good and bad: what the dashboards
//! are tried on, and what their pictures are drawn from.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::http1;
use crate::message::Request;
use crate::prometheus::{Prometheus, Tools};
use crate::stack::{CLUB, CONSUMER, SHOP, Stack, purchase};

/// A stream whose refusals are only counted.
const TRIAL: &str = "G-TRIAL00001";

/// Everything at once, and who watches it.
#[derive(Debug)]
pub struct Watched {
    /// The gate with its surroundings.
    pub stack: Stack,
    /// Scrapes it each second, with the shipped rules.
    pub prometheus: Prometheus,
    senders: Vec<Sender>,
}

/// What comes again and again.
struct Sender {
    what: &'static str,
    status: u16,
    /// In one of so many rounds.
    every: u64,
    request: Box<dyn Fn(u64) -> Request>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.what)
    }
}

impl Watched {
    /// Starts everything, with files in `directory`.
    ///
    /// # Errors
    /// Something was not built, or does not start.
    pub fn start(tools: &Tools, directory: &Path) -> Result<Self> {
        let stack = Stack::builder().directory(directory).start()?;
        stack.add_stream(TRIAL, Some("dry_run"), "none")?;
        for (sender, stream, days) in [("billing", SHOP, 9), ("crm", CLUB, 23), ("crm", CLUB, 80)] {
            let ending =
                json!({"sender": sender, "dataStreams": [stream], "expireTime": in_days(days)?});
            stack.control.create_key_with(CONSUMER, &ending)?;
        }
        let revoked = stack.issue("nightly", &[SHOP])?;
        stack.revoke(&revoked)?;
        reconcile(&stack)?;
        let targets = [
            ("mpgate-gate", stack.envoy.metrics_address()),
            ("mpgate-control", stack.control.metrics_address()?),
        ];
        let prometheus = Prometheus::start(tools, &targets, directory)?;
        let senders = senders(&stack, &revoked.secret);
        Ok(Self { stack, prometheus, senders })
    }

    /// Sends what is due in this round.
    ///
    /// # Errors
    /// An answer is not the one that its kind gets.
    pub fn send(&self, round: u64) -> Result<()> {
        for sender in self.senders.iter().filter(|sender| round.is_multiple_of(sender.every)) {
            let answer = self.stack.send(&(sender.request)(round))?;
            let (what, told) = (sender.what, answer.text());
            ensure!(answer.status == sender.status, "{what}: {} {told}", answer.status);
        }
        Ok(())
    }
}

fn senders(stack: &Stack, revoked: &str) -> Vec<Sender> {
    let (billing, crm) = (stack.billing.secret.clone(), stack.crm.secret.clone());
    let [late, elsewhere, exposed, trial] = std::array::from_fn(|_| billing.clone());
    let (odd, revoked) = (crm.clone(), revoked.to_owned());
    let row = |what, status, every, request: Box<dyn Fn(u64) -> Request>| Sender {
        what,
        status,
        every,
        request,
    };
    vec![
        row("a purchase", 204, 1, Box::new(move |_| purchase(SHOP, &billing))),
        row("events that are late", 204, 2, Box::new(move |round| events(SHOP, &late, round))),
        row("events of another stream", 204, 3, Box::new(move |round| events(CLUB, &crm, round))),
        row("an event that GA4 drops", 204, 11, Box::new(move |_| dropped(&odd))),
        row("a secret that nobody has", 401, 5, Box::new(|_| purchase(SHOP, "guess"))),
        row("no secret", 401, 17, Box::new(|_| without_secret())),
        row("another's stream", 403, 13, Box::new(move |_| purchase(CLUB, &elsewhere))),
        row("a revoked key", 403, 7, Box::new(move |_| purchase(SHOP, &revoked))),
        row("a stream on trial", 204, 9, Box::new(move |_| purchase(TRIAL, &trial))),
        row("a web page", 403, 23, Box::new(move |_| from_a_page(&exposed))),
    ]
}

/// Two events: one of the last minute, and one of the last twenty.
fn events(stream: &str, secret: &str, round: u64) -> Request {
    // Ages of all kinds one after the other: 37 and 60 have no divisor in common.
    let age = round * 37 % 60;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let event = |name: &str, age: u64| {
        let time = now.saturating_sub(age) * 1_000_000;
        json!({"name": name, "timestamp_micros": time, "params": {}})
    };
    let events = [event("login", age), event("add_to_cart", age * 20)];
    let path = format!("/mp/collect?measurement_id={stream}&api_secret={secret}");
    Request::post(path).json(&json!({"client_id": "1.2", "events": events}))
}

fn dropped(secret: &str) -> Request {
    let path = format!("/mp/collect?measurement_id={CLUB}&api_secret={secret}");
    Request::post(path).json(&json!({"client_id": "1.2", "events": [{"name": "_reserved"}]}))
}

fn without_secret() -> Request {
    Request::post(format!("/mp/collect?measurement_id={SHOP}")).json(&json!({}))
}

fn from_a_page(secret: &str) -> Request {
    purchase(SHOP, secret).header("origin", "https://shop.example")
}

/// Rows of yesterday: an event, how many a gate counted, and how many its backend says it sent.
const YESTERDAY: [(&str, u64, u64); 3] =
    [("purchase", 1_194, 1_200), ("login", 5_310, 5_310), ("add_to_cart", 2_088, 2_112)];

/// A gate's report and a backend's totals of yesterday: what comes of a day is seen when it is over.
fn reconcile(stack: &Stack) -> Result<()> {
    let now = jiff::Timestamp::now().as_second();
    let noon = now - now.rem_euclid(86_400) - 43_200;
    let counted = YESTERDAY.map(|(event, count, _)| json!({"name": event, "count": count}));
    let accepted: u64 = YESTERDAY.iter().map(|(_, count, _)| count).sum();
    let report = json!({"gate": "demo", "vm": "0123456789abcdef", "sequence": 1, "keys": [{
        "key": stack.billing.id(), "stream": SHOP, "hour": noon, "accepted": accepted,
        "events": counted,
    }]});
    let gateway = format!("Bearer {}", stack.control.create_gateway_token()?);
    let request = Request::post("/v1/usageReports").header("authorization", gateway).json(&report);
    let answer = http1::send(stack.control.address(), &request)?;
    ensure!(answer.status == 200, "a report of yesterday: {} {}", answer.status, answer.text());

    let day = jiff::Timestamp::from_second(noon)?.to_string();
    let day = day.get(..10).context("a day")?;
    let totals = YESTERDAY.map(|(event, _, count)| {
        json!({"sender": "billing", "stream": SHOP, "event": event, "day": day, "count": count})
    });
    let path = format!("/v1/measurementConsumers/{CONSUMER}:reconcile");
    let answer = stack.control.call("POST", &path, Some(&json!({"totals": totals})))?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
    Ok(())
}

/// A time so many days from now, as control writes times.
fn in_days(days: i64) -> Result<String> {
    let seconds = jiff::Timestamp::now().as_second() + days * 86_400;
    Ok(jiff::Timestamp::from_second(seconds)?.to_string())
}
