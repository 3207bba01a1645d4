//! The change feed: whatever a gate has, and in whatever pages it reads, it ends with the truth.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mpgate_contract::{Ask, Page};
use serde_json::{Value, json};

use crate::harness::{Answer, Control, Directory};

/// A gate's copy of the list, filled as the gate does it: only from pages that parse.
#[derive(Clone, Debug, Default, PartialEq)]
struct Replica {
    ask: Ask,
    /// By digest or stream id: revision, state, and the entry's own bytes.
    entries: BTreeMap<String, (u64, Value, String)>,
}

impl Replica {
    fn take(&mut self, answer: &Answer) -> u64 {
        let page = Page::parse(answer.text.as_bytes(), &self.ask)
            .unwrap_or_else(|fault| panic!("{fault:?}: {:?}: {}", self.ask, answer.text));
        if page.reset {
            self.entries.clear();
        }
        for key in &page.keys {
            let entry = (key.revision, json!(key.state), key.grant.get().to_owned());
            self.entries.insert(key.digest.to_string(), entry);
        }
        for stream in &page.streams {
            let id = stream.stream().expect("a stream").id.to_string();
            let entry = (stream.revision, json!(stream.state), stream.stream.get().to_owned());
            self.entries.insert(id, entry);
        }
        self.ask = Ask { epoch: page.epoch.to_owned(), since: page.to };
        page.head
    }

    /// One page; answers the head it told of.
    async fn pull(&mut self, control: &Control, limit: usize) -> u64 {
        let Ask { epoch, since } = &self.ask;
        let path = format!("/v1/allowlist/changes?epoch={epoch}&since={since}&limit={limit}");
        let answer = control.get(&path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
        self.take(&answer)
    }

    async fn pull_all(&mut self, control: &Control, limit: usize) {
        while self.pull(control, limit).await > self.ask.since {}
    }
}

/// xorshift64*: the same run every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound as u64)
            .expect("below a usize")
    }
}

/// One change, chosen at random; some are refused, and that is part of it.
async fn change(control: &Control, random: &mut Random, keys: &mut Vec<String>) {
    let streams = ["G-A", "G-B", "G-C"];
    let id = streams[random.below(streams.len())];
    let acme = "/v1/measurementConsumers/acme";
    match random.below(10) {
        0 => {
            let body =
                json!({"streamId": id, "environment": "production", "upstreamSecret": "none"});
            control.post(&format!("{acme}/dataStreams"), body).await;
        }
        1 => {
            let mode = ["off", "dry_run", "enforce"][random.below(3)];
            control.patch(&format!("{acme}/dataStreams/{id}"), json!({"mode": mode})).await;
        }
        2 => {
            control.delete(&format!("{acme}/dataStreams/{id}")).await;
        }
        3 if !keys.is_empty() => {
            let name = &keys[random.below(keys.len())];
            let lists = [json!(null), json!(["purchase"]), json!(["purchase", "a*"])];
            let body = match random.below(3) {
                0 => json!({"dataStreams": [id]}),
                _ => json!({"events": lists[random.below(lists.len())]}),
            };
            control.patch(&format!("/v1/{name}"), body).await;
        }
        4 | 5 if !keys.is_empty() => {
            let name = keys.swap_remove(random.below(keys.len()));
            control.delete(&format!("/v1/{name}")).await.done();
        }
        _ => {
            let body = json!({"sender": "billing", "dataStreams": [id]});
            let answer = control.post(&format!("{acme}/apiKeys"), body).await;
            if answer.status == 200 {
                keys.push(answer.json()["name"].as_str().expect("a name").to_owned());
            }
        }
    }
}

#[tokio::test]
async fn pages_of_any_size_from_any_revision_add_up() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let mut random = Random(0x5EED);
    let mut keys = Vec::new();
    let mut followers = vec![Replica::default(); 4];
    for _ in 0..120 {
        change(&control, &mut random, &mut keys).await;
        let at = random.below(followers.len());
        let limit = 1 + random.below(5);
        followers[at].pull(&control, limit).await;
    }
    let mut truth = Replica::default();
    truth.pull_all(&control, 1_000).await;
    let head = truth.ask.since;
    assert!(head > 40 && truth.entries.len() > 20, "the walk did nothing: {head}");
    for mut follower in followers {
        follower.pull_all(&control, 3).await;
        assert_eq!(follower, truth, "a gate that followed the changes");
    }
    for since in (0..=head).step_by(3) {
        let later = truth.entries.iter().filter(|(_, entry)| entry.0 > since);
        let later: BTreeMap<_, _> = later.map(|(id, entry)| (id.clone(), entry.clone())).collect();
        for limit in [1, 2, 7, 1_000] {
            let ask = Ask { epoch: truth.ask.epoch.clone(), since };
            let mut part = Replica { ask, entries: BTreeMap::new() };
            part.pull_all(&control, limit).await;
            assert_eq!(part.entries, later, "from {since} in pages of {limit}");
            assert_eq!(part.ask.since, head);
        }
    }
}

#[tokio::test]
async fn a_gate_that_reads_amid_concurrent_changes_misses_nothing() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let (writers, each) = (8, 12);
    let create = async {
        let tasks = (0..writers).map(|_| async {
            let mut revisions = Vec::new();
            for _ in 0..each {
                let key = control.key("billing", &["G-A"]).await;
                revisions.push(key["revision"].as_u64().expect("a revision"));
            }
            revisions
        });
        join_all(tasks).await.concat()
    };
    let last = 1 + writers * each;
    let mut gate = Replica::default();
    let follow = async {
        let deadline = Instant::now() + Duration::from_mins(1);
        while gate.ask.since < last {
            gate.pull(&control, 5).await;
            assert!(Instant::now() < deadline, "the gate does not get level: {:?}", gate.ask);
        }
    };
    let (mut revisions, ()) = tokio::join!(create, follow);
    revisions.sort_unstable();
    assert_eq!(revisions, (2..=last).collect::<Vec<_>>(), "each change has a revision of its own");
    let mut truth = Replica::default();
    truth.pull_all(&control, 1_000).await;
    assert_eq!(gate, truth);
}

/// Runs all of them side by side.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in running.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn when_a_gate_must_start_over() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    control.stream("G-B").await;
    let epoch = control.get("/v1/allowlist/changes").await.done()["epoch"].clone();
    let epoch = epoch.as_str().expect("an epoch");
    // Rows: what is asked; whether it is a reset; from, to, head; entries.
    for (query, reset, from, to, entries) in [
        (String::new(), true, 0, 2, 2),
        ("?epoch=".to_owned(), true, 0, 2, 2),
        ("?since=1".to_owned(), true, 0, 2, 2),
        ("?epoch=other&since=1&limit=1".to_owned(), true, 0, 1, 1),
        ("?epoch=other&since=1&wait=25".to_owned(), true, 0, 2, 2),
        (format!("?epoch={epoch}"), false, 0, 2, 2),
        (format!("?epoch={epoch}&since=0&limit=1&wait=25"), false, 0, 1, 1),
        (format!("?epoch={epoch}&since=1"), false, 1, 2, 1),
        (format!("?epoch={epoch}&since=2"), false, 2, 2, 0),
        (format!("?epoch={epoch}&since=3"), true, 0, 2, 2),
        (format!("?epoch={epoch}&since=18446744073709551615"), true, 0, 2, 2),
        (format!("?epoch={epoch}&limit=99999999"), false, 0, 2, 2),
    ] {
        let page = control.get(&format!("/v1/allowlist/changes{query}")).await.done();
        let seen = json!([page["reset"], page["from"], page["to"], page["head"]]);
        assert_eq!(seen, json!([reset, from, to, 2]), "{query}");
        assert_eq!(page["streams"].as_array().map(Vec::len), Some(entries), "{query}");
    }
}

#[tokio::test]
async fn a_long_poll_is_held_and_wakes_on_a_commit() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let mut gate = Replica::default();
    gate.pull_all(&control, 10).await;
    let path = |gate: &Replica, wait: u64| {
        let Ask { epoch, since } = &gate.ask;
        format!("/v1/allowlist/changes?epoch={epoch}&since={since}&wait={wait}")
    };
    let started = Instant::now();
    let answer = control.get(&path(&gate, 1)).await;
    assert!(started.elapsed() >= Duration::from_secs(1), "it is not held");
    let before = gate.clone();
    gate.take(&answer);
    assert_eq!(gate, before, "nothing was new");

    // A consumer is not on the list: it wakes nobody. A key does.
    let (path, started) = (path(&gate, 25), Instant::now());
    let poll = control.get(&path);
    let changes = async {
        let path = "/v1/measurementConsumers?measurementConsumerId=other";
        control.post(path, json!({})).await.done();
        control.key("billing", &["G-A"]).await
    };
    let (answer, _) = tokio::join!(poll, changes);
    assert!(started.elapsed() < Duration::from_secs(20), "it was not woken");
    gate.take(&answer);
    assert_eq!(gate.entries.len(), 2);
}
