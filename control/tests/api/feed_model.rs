//! Random changes, and gateways of several scopes that follow them: the change pages from any revision add
//! up to the full list, revisions are in commit order, and each scope sees its part of the whole.
//!
//! The seeds are fixed; `MPGATE_SEED=7 cargo test -p mpgate-control --test api feed_model::` tries another.

use std::collections::BTreeMap;
use std::env;

use mpgate_contract::{Ask, Page, State};
use serde_json::{Value, json};

use crate::harness::{Control, Directory};

/// Changes of one run.
const CHANGES: usize = 400;

const CONSUMERS: [&str; 3] = ["acme", "blue", "cyan"];
const ENVIRONMENTS: [&str; 2] = ["production", "staging"];
const STREAMS: [&str; 4] = ["G-A", "G-B", "G-C", "G-D"];

/// A small generator (xorshift): the same seed, the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("a small number") % bound
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }
}

/// The list as a gate keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
struct List {
    epoch: String,
    head: u64,
    keys: BTreeMap<[u8; 32], (u64, bool, Value)>,
    streams: BTreeMap<String, (u64, bool, Value)>,
}

impl List {
    /// Takes pages until there are no more; each says what a gate would believe.
    async fn follow(&mut self, control: &Control, token: &str, random: &mut Random) {
        loop {
            let limit = 1 + random.below(9);
            let ask = Ask { epoch: self.epoch.clone(), since: self.head };
            let path = format!(
                "/v1/allowlist/changes?epoch={}&since={}&limit={limit}",
                ask.epoch, ask.since
            );
            let answer = control.call("GET", &path, Some(token), None).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let page = Page::parse(answer.text.as_bytes(), &ask).expect("a page for a gate");
            if page.reset {
                *self = Self::default();
            }
            page.epoch.clone_into(&mut self.epoch);
            let grant = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            let mut last = page.from;
            for key in &page.keys {
                assert!(key.revision > last, "keys are not in order");
                last = key.revision;
                let entry = (key.revision, key.state == State::Active, grant(key.grant.get()));
                self.keys.insert(*key.digest.as_bytes(), entry);
            }
            last = page.from;
            for stream in &page.streams {
                assert!(stream.revision > last, "streams are not in order");
                last = stream.revision;
                let value = grant(stream.stream.get());
                let id = value["id"].as_str().expect("an id").to_owned();
                let entry = (stream.revision, stream.state == State::Active, value);
                self.streams.insert(id, entry);
            }
            self.head = page.to;
            if page.to == page.head {
                return;
            }
        }
    }

    async fn whole(control: &Control, token: &str, random: &mut Random) -> Self {
        let mut list = Self::default();
        list.follow(control, token, random).await;
        list
    }

    /// What is in force, for comparison across epochs and scopes.
    fn in_force(&self, is_mine: impl Fn(&str, &str) -> bool, keys: &Known) -> Self {
        let mut part = Self::default();
        for (digest, entry) in &self.keys {
            let id = entry.2["key_id"].as_str().expect("an id");
            let (consumer, environment) = &keys[id];
            if entry.1 && is_mine(consumer, environment) {
                part.keys.insert(*digest, entry.clone());
            }
        }
        for (id, entry) in &self.streams {
            let text = |member: &str| entry.2[member].as_str().expect("text").to_owned();
            if entry.1 && is_mine(&text("consumer"), &text("environment")) {
                part.streams.insert(id.clone(), entry.clone());
            }
        }
        part
    }
}

/// Whose each key is.
type Known = BTreeMap<String, (String, String)>;

/// A gateway's part of the whole.
struct Scope {
    token: String,
    consumers: Vec<&'static str>,
    environment: Option<&'static str>,
}

impl Scope {
    async fn new(
        control: &Control,
        consumers: &[&'static str],
        environment: Option<&'static str>,
    ) -> Self {
        let names: Vec<_> =
            consumers.iter().map(|it| format!("measurementConsumers/{it}")).collect();
        let mut body = json!({"role": "gateway"});
        if !names.is_empty() {
            body["measurementConsumers"] = names.into();
        }
        if let Some(environment) = environment {
            body["environment"] = environment.into();
        }
        let principal = control.post("/v1/principals", body).await.done();
        let token = principal["token"].as_str().expect("a token").to_owned();
        Self { token, consumers: consumers.to_vec(), environment }
    }

    fn holds(&self, consumer: &str, environment: &str) -> bool {
        (self.consumers.is_empty() || self.consumers.contains(&consumer))
            && self.environment.is_none_or(|own| own == environment)
    }
}

/// The keys there were, by their names, and who has each.
#[derive(Default)]
struct World {
    names: Vec<String>,
    known: Known,
}

impl World {
    /// One random change. Some are refused: those change nothing, and that is looked at as well.
    async fn change(&mut self, control: &Control, random: &mut Random) {
        let consumer = CONSUMERS[random.below(3)];
        let environment = ENVIRONMENTS[random.below(2)];
        let stream = STREAMS[random.below(4)];
        let root = format!("/v1/measurementConsumers/{consumer}");
        let key = random.of(&self.names).cloned();
        let key = |verb: &str| key.clone().map(|name| format!("/v1/{name}{verb}"));
        let answer = match random.below(13) {
            0 | 1 => {
                let body = json!({"streamId": stream, "environment": environment, "upstreamSecret": "none"});
                control.post(&format!("{root}/dataStreams"), body).await
            }
            2 => control.delete(&format!("{root}/dataStreams/{stream}")).await,
            3 => {
                let mode = ["off", "dry_run", "enforce"][random.below(3)];
                control.patch(&format!("{root}/dataStreams/{stream}"), json!({"mode": mode})).await
            }
            4..=7 => {
                let body = json!({"sender": "billing", "dataStreams": [stream]});
                control.post(&format!("{root}/apiKeys"), body).await
            }
            verb => {
                let Some(path) = key("") else { return };
                match verb {
                    8 => control.delete(&path).await,
                    9 => control.post(&format!("{path}:disable"), json!({})).await,
                    10 => control.post(&format!("{path}:enable"), json!({})).await,
                    11 => {
                        control.post(&format!("{path}:rotate"), json!({"overlap": "3600s"})).await
                    }
                    _ => {
                        let event = ["purchase", "refund", "login"][random.below(3)];
                        control.patch(&path, json!({"events": [event]})).await
                    }
                }
            }
        };
        assert!([200, 400, 404, 409].contains(&answer.status), "{} {}", answer.status, answer.text);
        let resource = answer.json();
        if resource["authenticationKey"].is_string() {
            let name = resource["name"].as_str().expect("a name").to_owned();
            let parts: Vec<_> = name.split('/').map(str::to_owned).collect();
            let environment = resource["environment"].as_str().expect("text").to_owned();
            self.known.insert(parts[3].clone(), (parts[1].clone(), environment));
            self.names.push(name);
        }
    }
}

async fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let directory = Directory::new();
    let control = Control::start(&directory);
    for consumer in CONSUMERS {
        let path = format!("/v1/measurementConsumers?measurementConsumerId={consumer}");
        control.post(&path, json!({})).await.done();
    }
    let scopes = [
        Scope::new(&control, &[], None).await,
        Scope::new(&control, &[], Some("production")).await,
        Scope::new(&control, &["acme"], None).await,
        Scope::new(&control, &["blue"], Some("staging")).await,
        Scope::new(&control, &["acme", "cyan"], Some("production")).await,
    ];
    let mut world = World::default();
    // Lists as they stood at some moment, to be brought to the end from there; and lists that follow.
    let mut earlier: Vec<(usize, List)> = Vec::new();
    let mut following = vec![List::default(); scopes.len()];
    for at in 0..CHANGES {
        world.change(&control, &mut random).await;
        let scope = random.below(scopes.len());
        if at % 5 == 0 {
            following[scope].follow(&control, &scopes[scope].token, &mut random).await;
        }
        if at % 10 == 0 {
            earlier.push((scope, following[scope].clone()));
        }
    }
    assert!(world.names.len() > 20, "seed {seed}: only {} keys", world.names.len());
    let all = List::whole(&control, &scopes[0].token, &mut random).await;
    for (at, scope) in scopes.iter().enumerate() {
        let whole = List::whole(&control, &scope.token, &mut random).await;
        let mine = |consumer: &str, environment: &str| scope.holds(consumer, environment);
        let (part, expected) =
            (whole.in_force(mine, &world.known), all.in_force(mine, &world.known));
        assert_eq!(part, expected, "seed {seed}, scope {at}: not its part of the whole");
        // Nothing that is not its own, no tombstone either.
        assert_eq!(whole.keys.len(), {
            let own = |entry: &&(u64, bool, Value)| {
                let (consumer, environment) =
                    &world.known[entry.2["key_id"].as_str().expect("an id")];
                scope.holds(consumer, environment)
            };
            all.keys.values().filter(own).count()
        });
        let mut lists: Vec<_> =
            earlier.iter().filter(|(of, _)| *of == at).map(|(_, list)| list.clone()).collect();
        lists.push(following[at].clone());
        for mut list in lists {
            let since = list.head;
            list.follow(&control, &scope.token, &mut random).await;
            assert_eq!(list, whole, "seed {seed}, scope {at}, since {since}");
        }
    }
}

#[tokio::test]
async fn the_pages_from_any_revision_add_up_to_the_list() {
    match env::var("MPGATE_SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => run(seed).await,
        None => {
            for seed in 1..=3 {
                run(seed).await;
            }
        }
    }
}
