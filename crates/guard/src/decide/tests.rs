//! One row a behaviour: `tests/decisions.json`, in the world of `tests/world.json`.
//!
//! A row without `reason` expects a genuine, accepted request unless it names another verdict. What
//! a row does not name is not compared, but for what must always hold: see [`always_true`].

use core::time::Duration;
use std::collections::HashMap;

use mpgate_contract::{Digest, Secret, State};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;
use crate::claim::contains;
use crate::{Availability, Bucket, Corrupt, Known, Peer, Policy, Request, Stamp, Update};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct World {
    now: u64,
    environment: HashMap<String, String>,
    streams: Vec<WorldStream>,
    keys: Vec<WorldKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorldStream {
    state: State,
    stream: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorldKey {
    secret: String,
    state: State,
    grant: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    target: String,
    #[serde(default)]
    method: Option<String>,
    /// Values in Latin-1: one character a byte.
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    settings: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    list: List,
    /// What is here of the body; without it, nothing yet.
    body: Option<String>,
    /// A body of so many spaces.
    body_bytes: Option<usize>,
    #[serde(default)]
    body_too_large: bool,
    #[serde(default)]
    source: String,
    #[serde(default)]
    certificate_names: Vec<String>,
    /// Not decided before the body is here.
    #[serde(default)]
    wants_body: bool,
    reason: Option<String>,
    verdict: Option<String>,
    outcome: Option<String>,
    status: Option<u16>,
    /// Empty: as it came.
    path: Option<String>,
    sender: Option<String>,
    key: Option<String>,
    /// Empty: none that the list has.
    stream: Option<String>,
    remove: Option<Vec<String>>,
    guards_answer: Option<bool>,
    /// Empty: as it came.
    content_type: Option<String>,
    /// A part of the answer's body.
    says: Option<String>,
    /// The events that count.
    #[serde(default)]
    events: Option<Vec<Counted>>,
}

/// An event's name, millionths of its value, seconds of delay.
type Counted = (String, Option<i64>, Option<u64>);

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum List {
    #[default]
    Whole,
    None,
    TooOld,
    Damaged,
}

impl World {
    fn load() -> Self {
        serde_json::from_str(include_str!("../../tests/world.json")).expect("world.json")
    }

    fn policy(&self, settings: &Settings) -> Policy {
        let updates: Vec<_> = self
            .streams
            .iter()
            .map(|entry| update(entry.stream.get().as_bytes(), entry.state, entry.stream.get()))
            .collect();
        Policy::compile(settings, &bucket(&updates), |name| {
            self.environment.get(name.as_str()).map(|value| Secret::new(value.clone().into_bytes()))
        })
        .expect("the streams of the world")
    }

    fn keys(&self) -> Vec<u8> {
        let updates: Vec<_> = self
            .keys
            .iter()
            .map(|key| update(key.secret.as_bytes(), key.state, key.grant.get()))
            .collect();
        bucket(&updates)
    }
}

fn update<'a>(named: &[u8], state: State, body: &'a str) -> Update<'a> {
    Update { digest: Digest::of(named), stamp: Stamp::default(), state, body: body.as_bytes() }
}

fn bucket(updates: &[Update<'_>]) -> Vec<u8> {
    Bucket::read(&[]).and_then(|empty| empty.merge(updates)).expect("a bucket").unwrap_or_default()
}

fn settings(row: &Row) -> Settings {
    let mut config = serde_json::json!({"gate": "g", "control": {"cluster": "c"}});
    config.as_object_mut().expect("an object").extend(row.settings.clone());
    Settings::parse(config.to_string().as_bytes()).expect("the row's settings")
}

#[test]
fn every_row_of_the_decision_table() {
    let world = World::load();
    let keys = world.keys();
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("../../tests/decisions.json")).expect("decisions.json");
    assert!(rows.len() > 100, "the table lost rows");
    for row in &rows {
        let settings = settings(row);
        let mut headers = vec![
            (":method".to_owned(), row.method.as_deref().unwrap_or("POST").as_bytes().to_vec()),
            (":path".to_owned(), row.target.as_bytes().to_vec()),
        ];
        headers.extend(row.headers.iter().map(|(name, value)| {
            (
                name.clone(),
                value.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect(),
            )
        }));
        let claim = Claim::read(Request { headers: &headers }, &settings);
        let policy = match row.list {
            List::None => Policy::without_streams(&settings),
            List::Whole | List::TooOld | List::Damaged => world.policy(&settings),
        };
        let known = known(row, &keys, &claim);
        let standing = Standing {
            list: match row.list {
                List::None => Availability::None,
                List::TooOld => Availability::TooOld,
                List::Whole | List::Damaged => Availability::InForce,
            },
            policy: &policy,
            peer: peer(row, known.as_ref().ok().and_then(Option::as_ref)),
            known,
            now: Duration::from_secs(world.now),
        };
        let spaces = row.body_bytes.map(|bytes| " ".repeat(bytes));
        let arrival = match spaces.as_ref().or(row.body.as_ref()) {
            Some(body) => Arrival::Whole(body.as_bytes()),
            None if row.body_too_large => Arrival::TooLarge,
            None => Arrival::Coming,
        };
        match decide(&claim, &standing, &settings, arrival) {
            Ruling::Probed(_) => panic!("{}: nobody asked", row.name),
            Ruling::WantsBody => assert!(row.wants_body, "{}: wants the body", row.name),
            Ruling::Decided(decision) => {
                assert!(!row.wants_body, "{}: decided without the body", row.name);
                compare(row, &decision);
                always_true(row, &decision);
            }
        }
    }
}

fn known(row: &Row, keys: &[u8], claim: &Claim<'_>) -> Result<Option<Known>, Corrupt> {
    match row.list {
        List::None => Ok(None),
        List::Damaged => Err(Corrupt),
        List::Whole | List::TooOld => {
            let Some(digest) = claim.digest() else {
                return Ok(None);
            };
            let record = Bucket::read(keys)?.find(digest)?;
            record.as_ref().map(Known::read).transpose()
        }
    }
}

/// What the adapter asks Envoy for: nothing where no grant depends on it.
fn peer(row: &Row, known: Option<&Known>) -> Peer {
    let mut peer = Peer::default();
    if known.is_some_and(Known::asks_for_source) {
        peer.source = Peer::address(row.source.as_bytes());
    }
    if known.is_some_and(Known::asks_for_certificate) {
        let names = row.certificate_names.iter();
        peer.certificate_names = names.map(|name| name.clone().into_bytes()).collect();
    }
    peer
}

fn compare(row: &Row, decision: &Decision<'_>) {
    let name = &row.name;
    assert_eq!(decision.reason.map(Reason::label), row.reason.as_deref(), "{name}: reason");
    let outcome =
        row.outcome.as_deref().unwrap_or(if row.reason.is_some() { "refused" } else { "accepted" });
    assert_eq!(decision.outcome.label(), outcome, "{name}: outcome");
    let verdict = row.verdict.as_deref().or(row.reason.is_none().then_some("genuine"));
    if let Some(verdict) = verdict {
        assert_eq!(decision.verdict.label(), verdict, "{name}: verdict");
    }
    if let Some(sender) = &row.sender {
        assert_eq!(decision.sender, Some(sender.as_str()), "{name}: sender");
    }
    if let Some(key) = &row.key {
        assert_eq!(decision.key_id, Some(key.as_str()), "{name}: key");
    }
    if let Some(stream) = &row.stream {
        assert_eq!(decision.stream.unwrap_or_default(), stream, "{name}: stream");
    }
    if let Some(events) = &row.events {
        let seen = decision.events.iter();
        let seen: Vec<_> = seen
            .map(|it| (it.name.to_string(), it.money.map(|it| it.micros), it.delay_seconds))
            .collect();
        assert_eq!(&seen, events, "{name}: events");
    }
    match &decision.action {
        Action::Answer(answer) => {
            assert_ne!(outcome, "dry_run", "{name}: answered");
            if let Some(status) = row.status {
                assert_eq!(answer.status, status, "{name}: status");
            }
            let said = String::from_utf8_lossy(&answer.body);
            if let Some(says) = &row.says {
                assert!(said.contains(says.as_str()), "{name}: {said} does not say {says}");
            }
        }
        Action::Forward(forward) => {
            assert_ne!(outcome, "refused", "{name}: forwarded");
            if let Some(path) = &row.path {
                let written = forward.target.as_ref().map(Target::to_vec);
                let written = written.as_deref().unwrap_or_default();
                assert_eq!(written, path.as_bytes(), "{name}: path");
            }
            if let Some(remove) = &row.remove {
                assert_eq!(&forward.remove_headers, remove, "{name}: removed headers");
            }
            if let Some(content_type) = &row.content_type {
                assert_eq!(
                    forward.content_type.unwrap_or_default(),
                    content_type,
                    "{name}: content-type"
                );
            }
            if let Some(guards_answer) = row.guards_answer {
                assert_eq!(forward.guards_answer, guards_answer, "{name}: guards_answer");
            }
        }
    }
}

/// What holds for every request, whatever the row says.
fn always_true(row: &Row, decision: &Decision<'_>) {
    let name = &row.name;
    let printed = format!("{:?}", decision.action);
    let forwarded = matches!(decision.action, Action::Forward(_));
    let counts = forwarded || decision.outcome == Outcome::Refused;
    assert!(
        decision.events.is_empty() || (counts && decision.sender.is_some()),
        "{name}: events count where a known sender sent them, and not at the debug endpoint"
    );
    if let Action::Forward(forward) = &decision.action {
        let genuine = decision.outcome == Outcome::Accepted;
        let replaced = decision
            .stream
            .is_some_and(|stream| stream.starts_with("G-REP") || stream == "G-NOVAR");
        assert!(forward.target.is_some() || !genuine, "{name}: what is genuine is written anew");
        assert!(
            forward.target.is_none() || genuine || replaced,
            "{name}: what is not judged genuine is, only where the upstream has a secret of its own"
        );
        assert_eq!(forward.sender.is_some(), genuine, "{name}: only the genuine have a sender");
        assert_eq!(forward.guards_answer, printed_has_upstream_secret(forward), "{name}");
    }
    if decision.outcome == Outcome::Refused {
        assert!(!printed.contains("secret="), "{name}: an answer repeats the query");
    }
}

fn printed_has_upstream_secret(forward: &Forward<'_>) -> bool {
    forward.target.as_ref().is_some_and(|target| contains(&target.to_vec(), b"upstream%27s"))
}

#[test]
fn every_reason_has_a_row() {
    let table = include_str!("../../tests/decisions.json");
    for reason in Reason::ALL {
        let wanted = format!(r#""reason": "{}""#, reason.label());
        assert!(table.contains(&wanted), "no row for {}", reason.label());
    }
}

#[test]
fn readiness_is_told_where_it_is_configured_and_nothing_else_is() {
    let configured = |ready: bool, pass: &str| {
        let text = format!(
            r#"{{"gate":"g","control":{{"cluster":"c"}},"ready":{ready},"mode":"off","unknown_paths":"{pass}"}}"#
        );
        Settings::parse(text.as_bytes()).expect("good")
    };
    let (on, off) = (configured(true, "refuse"), configured(false, "refuse"));
    let on_shared = configured(true, "pass");
    let (none, whole, old) = (Availability::None, Availability::InForce, Availability::TooOld);
    for (settings, method, target, list, status) in [
        (&on, "GET", "/mpgate/ready", whole, Some(200)),
        (&on, "HEAD", "/mpgate/ready", whole, Some(200)),
        (&on, "GET", "/mpgate/ready", none, Some(503)),
        (&on, "GET", "/mpgate/ready", old, Some(200)),
        (&on, "GET", "/mpgate/ready?api_secret=x", whole, Some(200)),
        (&on_shared, "GET", "/mpgate/ready", none, Some(503)),
        (&on, "POST", "/mpgate/ready", whole, None),
        (&on, "GET", "/mpgate/ready/", whole, None),
        (&on, "GET", "/mpgate/Ready", whole, None),
        (&on, "GET", "/mpgate/status", whole, None),
        (&on, "GET", "/mp/collect", whole, None),
        (&off, "GET", "/mpgate/ready", whole, None),
        (&off, "GET", "/mpgate/ready", none, None),
    ] {
        let headers = [(":method", method), (":path", target)]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let claim = Claim::read(Request { headers: &headers }, settings);
        let policy = Policy::without_streams(settings);
        let now = Duration::from_secs(1);
        let standing =
            Standing { list, policy: &policy, known: Ok(None), peer: Peer::default(), now };
        let told = match decide(&claim, &standing, settings, Arrival::Whole(&[])) {
            Ruling::Probed(answer) => {
                assert!(answer.body.is_empty(), "{method} {target}");
                Some(answer.status)
            }
            Ruling::Decided(_) | Ruling::WantsBody => None,
        };
        assert_eq!(told, status, "{method} {target}");
    }
}
