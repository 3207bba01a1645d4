//! What each gateway is given: the part of the list that is its own.

use std::collections::BTreeSet;
use std::time::Duration;

use mpgate_contract::{Ask, Page, State};
use serde_json::{Value, json};

use super::{ACME, OTHER, path, text};
use crate::harness::{Control, Directory};

const FEED: &str = "/v1/allowlist/changes";

/// A gateway's token and where it stands.
struct Gateway {
    token: String,
    epoch: String,
    since: u64,
}

impl Gateway {
    async fn new(control: &Control, id: &str, binding: Value) -> Self {
        let mut body = json!({"principalId": id, "role": "gateway"});
        for (member, value) in binding.as_object().expect("an object") {
            body[member] = value.clone();
        }
        let token = text(&control.post("/v1/principals", body).await.done(), "token").to_owned();
        Self { token, epoch: String::new(), since: 0 }
    }

    fn path(&self, wait: u64) -> String {
        format!("{FEED}?epoch={}&since={}&wait={wait}", self.epoch, self.since)
    }

    /// Whether it had to start over, and what it was told: streams and senders, `-` before what is out
    /// of force.
    async fn pull(&mut self, control: &Control) -> (bool, BTreeSet<String>) {
        let answer = control.call("GET", &self.path(0), Some(&self.token), None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        self.take(&answer.text)
    }

    fn take(&mut self, body: &str) -> (bool, BTreeSet<String>) {
        let ask = Ask { epoch: self.epoch.clone(), since: self.since };
        let page = Page::parse(body.as_bytes(), &ask).expect("a page");
        assert_eq!(page.to, page.head, "one page is enough here");
        let sign = |state: State| if state == State::Active { "" } else { "-" };
        let mut told = BTreeSet::new();
        for entry in &page.streams {
            let stream = entry.stream().expect("a stream");
            told.insert(format!("{}{}", sign(entry.state), stream.id));
        }
        for entry in &page.keys {
            let grant = entry.grant().expect("a grant");
            told.insert(format!("{}{}", sign(entry.state), grant.sender));
        }
        page.epoch.clone_into(&mut self.epoch);
        self.since = page.to;
        (page.reset, told)
    }
}

fn set(words: &str) -> BTreeSet<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

/// Rows of: a binding, and what its gateway is given.
#[tokio::test]
async fn a_gateway_is_given_what_it_is_bound_to() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    control.stream_of(ACME, "G-S", "staging").await;
    control.stream_of(OTHER, "G-T", "staging").await;
    for (consumer, sender, stream) in [
        (ACME, "acme-production", "G-A"),
        (ACME, "acme-staging", "G-S"),
        (OTHER, "other-production", "G-O"),
        (OTHER, "other-staging", "G-T"),
    ] {
        control.key_of(consumer, sender, stream).await;
    }
    let [acme, other] = ["measurementConsumers/acme", "measurementConsumers/other"];
    let everything = "G-A G-S G-O G-T acme-production acme-staging other-production other-staging";
    let mut epochs = BTreeSet::new();
    for (row, (binding, given)) in [
        (json!({}), everything),
        (json!({"environment": "production"}), "G-A G-O acme-production other-production"),
        (json!({"environment": "staging"}), "G-S G-T acme-staging other-staging"),
        (json!({"environment": "development"}), ""),
        (json!({"measurementConsumers": [acme]}), "G-A G-S acme-production acme-staging"),
        (json!({"measurementConsumers": [acme, other]}), everything),
        (json!({"measurementConsumers": [acme], "environment": "staging"}), "G-S acme-staging"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut gateway = Gateway::new(&control, &format!("edge-{row}"), binding.clone()).await;
        assert_eq!(gateway.pull(&control).await, (true, set(given)), "{binding}");
        assert_eq!(gateway.pull(&control).await, (false, set("")), "{binding}");
        epochs.insert(gateway.epoch);
    }
    assert_eq!(epochs.len(), 7, "each scope is a list of its own");
    // The order in which consumers are named means nothing.
    let turned = json!({"measurementConsumers": [other, acme]});
    let mut gateway = Gateway::new(&control, "turned", turned).await;
    gateway.pull(&control).await;
    assert!(epochs.contains(&gateway.epoch));
}

#[tokio::test]
async fn a_stream_that_moves_ends_where_it_was() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let bound = |id: &str| json!({"measurementConsumers": [format!("measurementConsumers/{id}")]});
    let mut of_acme = Gateway::new(&control, "of-acme", bound("acme")).await;
    let mut of_other = Gateway::new(&control, "of-other", bound("other")).await;
    let production = json!({"environment": "production"});
    let mut of_production = Gateway::new(&control, "of-production", production).await;
    let staging = json!({"environment": "staging"});
    let mut of_staging = Gateway::new(&control, "of-staging", staging).await;
    let mut of_all = Gateway::new(&control, "of-all", json!({})).await;
    for gateway in [&mut of_acme, &mut of_other, &mut of_production, &mut of_staging, &mut of_all] {
        gateway.pull(&control).await;
    }
    let delete = async |consumer: &str| {
        control.delete(&format!("{consumer}/dataStreams/G-A")).await.done();
    };
    // To another environment of the same consumer; seen by nobody in between.
    delete(ACME).await;
    control.stream_of(ACME, "G-A", "staging").await;
    assert_eq!(of_production.pull(&control).await, (false, set("-G-A")));
    assert_eq!(of_staging.pull(&control).await, (false, set("G-A")));
    assert_eq!(of_acme.pull(&control).await, (false, set("G-A")), "its last life alone");
    assert_eq!(of_all.pull(&control).await, (false, set("G-A")));
    assert_eq!(of_other.pull(&control).await, (false, set("")));
    // To another consumer.
    delete(ACME).await;
    control.stream_of(OTHER, "G-A", "staging").await;
    assert_eq!(of_acme.pull(&control).await, (false, set("-G-A")));
    assert_eq!(of_other.pull(&control).await, (false, set("G-A")));
    assert_eq!(of_staging.pull(&control).await, (false, set("G-A")));
    assert_eq!(of_production.pull(&control).await, (false, set("")));
    // And back: the old row takes the new place.
    delete(OTHER).await;
    control.stream("G-A").await;
    assert_eq!(of_acme.pull(&control).await, (false, set("G-A")));
    assert_eq!(of_other.pull(&control).await, (false, set("-G-A")));
    assert_eq!(of_staging.pull(&control).await, (false, set("-G-A")));
    assert_eq!(of_production.pull(&control).await, (false, set("G-A")));
    assert_eq!(of_all.pull(&control).await, (false, set("G-A")));
    // Who comes new is told of no end that it need not know.
    let mut new = Gateway::new(&control, "new", bound("other")).await;
    assert_eq!(new.pull(&control).await, (true, set("G-O -G-A")));
}

#[tokio::test]
async fn a_gateway_that_is_bound_to_others_starts_over() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let acme = json!({"measurementConsumers": ["measurementConsumers/acme"]});
    let mut gateway = Gateway::new(&control, "edge", acme.clone()).await;
    assert_eq!(gateway.pull(&control).await, (true, set("G-A")));
    let old = gateway.epoch.clone();
    let edge = "/v1/principals/edge";
    let other = json!({"measurementConsumers": ["measurementConsumers/other"]});
    control.patch(edge, other).await.done();
    assert_eq!(gateway.pull(&control).await, (true, set("G-O")));
    control.patch(edge, json!({"measurementConsumers": null})).await.done();
    assert_eq!(gateway.pull(&control).await, (true, set("G-A G-O")));
    control.patch(edge, json!({"displayName": "Edge"})).await.done();
    assert_eq!(gateway.pull(&control).await, (false, set("")), "its name binds it to nothing");
    control.patch(edge, acme).await.done();
    gateway.pull(&control).await;
    assert_eq!(gateway.epoch, old);
}

/// A question that is held open is answered by what its asker may know then, not by what it might when
/// it asked.
#[tokio::test]
async fn a_held_question_is_answered_by_the_rights_of_that_moment() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    for revoke in [true, false] {
        let id = format!("edge-{revoke}");
        let mut gateway = Gateway::new(&control, &id, json!({})).await;
        gateway.pull(&control).await;
        let url = format!("{}{}", control.url, gateway.path(25));
        let request = reqwest::Client::new().get(url).bearer_auth(&gateway.token);
        let held = tokio::spawn(Control::send(request));
        // It is held once control has noted where the gateway stands.
        let name = format!("principals/{id}");
        let level = async || {
            let list = control.get("/v1/gateways").await.done();
            let found = list["gateways"].as_array().and_then(|all| {
                all.iter().find(|it| it["principal"] == name.as_str() && it["lag"] == 0).cloned()
            });
            found.is_some()
        };
        let seen = tokio::time::timeout(Duration::from_secs(20), async { while !level().await {} });
        seen.await.expect("the gateway is level");
        let principal = format!("/v1/principals/{id}");
        if revoke {
            control.delete(&principal).await.done();
        } else {
            let acme = json!({"measurementConsumers": ["measurementConsumers/acme"]});
            control.patch(&principal, acme).await.done();
        }
        let key = control.key_of(OTHER, "secret-project", "G-O").await;
        let answer = held.await.expect("it ends").expect("an answer");
        assert!(!answer.text.contains("secret-project"), "{}", answer.text);
        if revoke {
            assert_eq!(answer.status, 401, "{}", answer.text);
        } else {
            assert_eq!(gateway.take(&answer.text), (true, set("G-A")));
        }
        control.delete(&path(&key)).await.done();
    }
}
