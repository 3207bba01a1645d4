//! A key is deleted while requests flow on many connections of all workers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mpgate_testbed::http1::Http1;
use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{SHOP, Stack, purchase};
use mpgate_testbed::{IssuedKey, Request, Response, poll};
use serde_json::json;

use super::SOON;

/// What we promise.
const PROMISE: Duration = Duration::from_secs(1);

const ROUNDS: usize = 5;

/// Keep-alive connections of each key; enough that every worker has some.
const CONNECTIONS: usize = 4;

/// One answer: when its request began, when it was here, and whether it was 204.
#[derive(Clone, Copy)]
struct Seen {
    began: Instant,
    ended: Instant,
    accepted: bool,
}

/// Sends one event after another over one connection until told to stop.
fn flow(
    mut send: impl FnMut(&Request) -> anyhow::Result<Response>,
    key: &IssuedKey,
    stop: &AtomicBool,
    count: &AtomicUsize,
) -> Vec<Seen> {
    let request = purchase(SHOP, &key.secret);
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = send(&request).expect("an answer");
        let ended = Instant::now();
        let accepted = answer.status == 204;
        assert!(
            accepted || (answer.status == 403 && answer.reason() == "revoked"),
            "{} {}",
            answer.status,
            answer.text()
        );
        seen.push(Seen { began, ended, accepted });
        count.fetch_add(1, Ordering::Relaxed);
    }
    seen
}

#[test]
fn a_revoked_key_is_refused_everywhere_within_a_second_and_no_other_is() {
    // Here senders send as fast as they can.
    let unlimited = |config: &mut mpgate_testbed::EnvoyConfig| {
        config.remove_http_filter("envoy.filters.http.local_ratelimit")
    };
    let stack = Stack::builder().edit(unlimited).start().expect("a stack");
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let victim = stack.issue("till", &[SHOP]).expect("a key");
        let (elapsed, requests) = revoke_in_flow(&stack, &victim);
        println!("round {round}: in force {elapsed:?} after control's answer, {requests} requests");
        assert!(elapsed <= PROMISE, "round {round}: {elapsed:?}");
        took.push(elapsed);
    }
    println!("a revocation took {:?} at most", took.iter().max().expect("rounds"));
}

/// An operator may leave any metric out, also the one by which workers tell each other of a change. Then it
/// stands still for ever, and must not be believed.
#[test]
fn without_the_gauge_of_changes_a_revoked_key_is_refused_as_soon() {
    let left_out = |config: &mut mpgate_testbed::EnvoyConfig| {
        let patterns = json!([{"prefix": "wasmcustom.mpgate_allowlist_changes"}]);
        config.set("/stats_config/stats_matcher", json!({"exclusion_list": {"patterns": patterns}}))
    };
    let stack = Stack::builder().edit(left_out).concurrency(1).start().expect("a stack");
    let text = stack.envoy.metrics_text().expect("metrics");
    assert!(text.contains("allowlist_revision") && !text.contains("allowlist_changes"));
    for round in 0..ROUNDS {
        let victim = stack.issue("till", &[SHOP]).expect("a key");
        let request = purchase(SHOP, &victim.secret);
        assert_eq!(stack.send(&request).expect("an answer").status, 204, "round {round}");
        let revision = stack.control.delete_key(&victim.name).expect("deleted");
        poll::until("a refusal", SOON, || {
            let told = stack.envoy.metrics().expect("metrics").most("mpgate_allowlist_revision");
            let is_told = told >= f64::from(u32::try_from(revision).expect("a small number"));
            let is_refused = stack.send(&request).expect("an answer").status == 403;
            assert!(is_refused || !is_told, "round {round}: accepted after the gate said it knew");
            is_refused.then_some(())
        })
        .expect("a refusal");
    }
}

/// Answers how long after control's answer the last request with the key was let through.
fn revoke_in_flow(stack: &Stack, victim: &IssuedKey) -> (Duration, usize) {
    let stop = AtomicBool::new(false);
    let counts: Vec<AtomicUsize> = (0..=2 * CONNECTIONS).map(|_| AtomicUsize::new(0)).collect();
    let all = Mutex::new((Vec::new(), Vec::new()));
    let mut revoked_at = Instant::now();
    thread::scope(|scope| {
        for (index, count) in counts.iter().enumerate() {
            let (stop, all) = (&stop, &all);
            scope.spawn(move || {
                let address = stack.envoy.address();
                let is_victim = index >= CONNECTIONS;
                let key = if is_victim { victim } else { &stack.billing };
                let seen = if index == 2 * CONNECTIONS {
                    let mut http2 = Http2::connect(address).expect("HTTP/2");
                    flow(|request| http2.send(request), key, stop, count)
                } else {
                    let mut http1 = Http1::connect(address).expect("a connection");
                    let send = |request: &Request| {
                        let answer = http1.send(request)?;
                        // Envoy ends the connection of a request that was answered before its body.
                        if answer.header("connection").as_deref() == Some("close") {
                            http1 = Http1::connect(address)?;
                        }
                        Ok(answer)
                    };
                    flow(send, key, stop, count)
                };
                let mut all = all.lock().expect("no flow failed");
                if is_victim { all.1.push(seen) } else { all.0.push(seen) }
            });
        }
        let flowing = |more: usize| {
            let marks: Vec<usize> =
                counts.iter().map(|count| count.load(Ordering::Relaxed) + more).collect();
            poll::until("every connection to go on", SOON, || {
                let mut both = counts.iter().zip(&marks);
                both.all(|(count, mark)| count.load(Ordering::Relaxed) >= *mark).then_some(())
            })
        };
        let done = flowing(20)
            .and_then(|()| stack.control.delete_key(&victim.name))
            .map(|revision| (Instant::now(), revision))
            .and_then(|(at, revision)| {
                revoked_at = at;
                stack.envoy.wait_for_revision(revision)
            })
            .and_then(|()| flowing(20));
        stop.store(true, Ordering::Relaxed);
        done.expect("revoked in the middle of the flow");
    });
    let (genuine, revoked) = all.into_inner().expect("no flow failed");
    assert!(genuine.iter().flatten().all(|seen| seen.accepted), "a genuine request was refused");
    let requests = genuine.iter().chain(&revoked).map(Vec::len).sum();

    let first_refusal = revoked.iter().flatten().filter(|seen| !seen.accepted);
    let first_refusal = first_refusal.map(|seen| seen.ended).min().expect("a refusal");
    let mut last_accepted = Duration::ZERO;
    for seen in revoked.iter().flatten().filter(|seen| seen.accepted) {
        last_accepted = last_accepted.max(seen.ended.saturating_duration_since(revoked_at));
        // One table for all workers: once anybody was refused, nobody is let through any more.
        assert!(seen.began < first_refusal, "let through after another connection was refused");
    }
    for connection in &revoked {
        let began = connection.iter().position(|seen| !seen.accepted).expect("each is refused");
        assert!(began > 0, "each connection had its events through first");
        assert!(connection[began..].iter().all(|seen| !seen.accepted), "it was back for a moment");
    }
    (last_accepted, requests)
}
