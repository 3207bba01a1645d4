//! Each question to control says who asks and how far this Envoy is; it is held open until there is
//! news, and asked again at once when there was.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mpgate_testbed::stack::{SHOP, Stack};
use mpgate_testbed::upstream::Received;
use mpgate_testbed::{Answer, EnvoyConfig, Upstream, envoy, poll};
use serde_json::json;

use super::pushed::Pushed;
use super::relay::{ask, pass};
use super::{SOON, answer, wait_for_answer};

/// A relay to the real control that keeps what it was asked.
fn relayed(
    edit: impl FnOnce(&mut EnvoyConfig) -> anyhow::Result<()> + 'static,
) -> (Stack, Upstream) {
    let (front, lease) = envoy::nowhere().expect("an address");
    let stack = Stack::builder().edit(edit).control(front).without_list().start().expect("a stack");
    drop(lease);
    let control = ask(&stack.control);
    let relay = Upstream::at(front, move |request| {
        control(request).map_or(Answer::Close, |response| pass(&response))
    });
    wait_for_answer(&stack, SHOP, &stack.billing.secret, 204, "");
    (stack, relay.expect("a relay"))
}

/// What control was asked; reports of what was counted go the same way.
fn questions(relay: &Upstream) -> Vec<Received> {
    let mut received = relay.received();
    received.retain(|asked| asked.path().starts_with("/v1/allowlist/changes?"));
    received
}

fn parameter(asked: &Received, name: &str) -> String {
    let path = asked.path();
    let query = path.split_once('?').expect("a query").1;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn every_question_says_who_asks() {
    let pushed = Pushed::new();
    let other =
        json!({"gate": "pushed", "control": {"cluster": "mpgate_control", "pollers": "all"}});
    let add = pushed.edit(&other);
    let (stack, relay) = relayed(move |config| {
        config.gate()?["control"]["pollers"] = "all".into();
        add(config)
    });
    let by_gate = |gate: &str| -> Vec<Received> {
        let of = |asked: &Received| asked.header("x-mpgate-gate").as_deref() == Some(gate);
        relay.received().into_iter().filter(of).collect()
    };
    // Every VM asks: the main thread's and two workers', for each of the two gates.
    let all_asked = |least: usize| {
        let asked =
            || (by_gate("demo").len() >= 3 && by_gate("pushed").len() >= least).then_some(());
        poll::until("all VMs to ask", SOON, asked).expect("asked");
    };
    all_asked(3);
    let before = by_gate("pushed").len();
    let mut changed = other.clone();
    changed["senders_max"] = 7.into();
    pushed.push(&changed);
    all_asked(before + 3);

    let mut instances = BTreeSet::new();
    for asked in relay.received() {
        let header = |name: &str| asked.header(name).unwrap_or_default();
        assert_eq!(header("x-mpgate-node"), "mpgate-demo", "{asked:?}");
        assert_eq!(header("x-mpgate-version"), env!("CARGO_PKG_VERSION"));
        let capabilities = "events,source_networks,certificate_names";
        assert_eq!(header("x-mpgate-capabilities"), capabilities);
        instances.insert(header("x-mpgate-instance"));
    }
    let only: Vec<_> = instances.into_iter().collect();
    assert_eq!(only.len(), 1, "one Envoy, one instance, also after a push: {only:?}");
    let digits = only[0].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(only[0].len() == 16 && digits && only[0] != "0".repeat(16), "{only:?}");

    // Another Envoy of the same name is another instance.
    drop((stack, relay));
    let (_stack, relay) = relayed(|_| Ok(()));
    let other = relay.received()[0].header("x-mpgate-instance");
    assert_ne!(other.as_deref(), Some(&*only[0]));
}

#[test]
fn a_question_is_held_open_and_news_is_followed_by_the_receipt() {
    let (stack, relay) = relayed(|_| Ok(()));
    let level = |revision: u64| {
        poll::until("a question from there", SOON, || {
            let asked = questions(&relay).pop()?;
            (parameter(&asked, "since") == revision.to_string()).then_some(asked)
        })
        .expect("asked")
    };
    let asked = level(stack.crm.revision);
    assert_eq!(parameter(&asked, "wait"), "25");
    let before = questions(&relay).len();
    let mut took = Vec::new();
    for _ in 0..5 {
        let victim = stack.control.create_key("acme", "till", &[SHOP]).expect("a key");
        level(victim.revision);
        assert_eq!(answer(&stack, SHOP, &victim.secret).0, 204, "the receipt was true");
        let revision = stack.control.delete_key(&victim.name).expect("deleted");
        let deleted = Instant::now();
        level(revision);
        took.push(deleted.elapsed());
        // No look before the receipt: it alone says that the key is refused.
        assert_eq!(answer(&stack, SHOP, &victim.secret).1, "revoked", "the receipt was true");
    }
    println!("from control's answer to the receipt: {took:?}");
    assert!(took.iter().all(|time| *time < Duration::from_secs(1)), "{took:?}");
    // Two changes a round, and a question after each: nobody asked without need.
    let asked = questions(&relay).len() - before;
    assert!(asked <= 12, "{asked} questions for 10 changes");
}

#[test]
fn control_that_is_back_is_asked_within_a_second() {
    let mut stack = Stack::start().expect("a stack");
    stack.control.kill();
    let unreachable = [("result", "unreachable")];
    stack.envoy.wait_for_metric("mpgate_sync_total", &unreachable, 6.0).expect("asked");
    stack.control.restart().expect("control is back");
    let revision = stack.control.delete_key(&stack.billing.name).expect("deleted");
    let deleted = Instant::now();
    stack.envoy.wait_for_revision(revision).expect("the revocation");
    let took = deleted.elapsed();
    println!("the first revocation after a restart took {took:?}");
    assert_eq!(answer(&stack, SHOP, &stack.billing.secret).1, "revoked");
    assert!(took < Duration::from_secs(1), "{took:?}");
}
