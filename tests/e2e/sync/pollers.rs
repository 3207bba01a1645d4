//! Every worker polls at once, and answers overtake one another: a revocation is never undone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use mpgate_testbed::stack::{SHOP, Stack, purchase};
use mpgate_testbed::{Answer, EnvoyConfig, Upstream, envoy, poll};

use super::relay::{ask, pass};
use super::{SOON, wait_for_answer};

const CYCLES: usize = 12;

/// Every other answer is late by up to this much: longer than several polls take.
const LATE_MILLISECONDS: usize = 240;

#[test]
fn pollers_that_race_never_bring_a_revoked_key_back() {
    let (front, lease) = envoy::nowhere().expect("an address");
    let racing = |config: &mut EnvoyConfig| {
        config.gate()?["control"]["pollers"] = "all".into();
        config.gate()?["control"]["poll_interval_milliseconds"] = 50.into();
        config.gate()?["control"]["page_entries"] = 2.into();
        Ok(())
    };
    let builder = Stack::builder().edit(racing).concurrency(4).control(front).without_list();
    let stack = builder.start().expect("a stack");
    drop(lease);
    let (control, asked) = (ask(&stack.control), AtomicUsize::new(0));
    let relay = Upstream::at(front, move |request| {
        let Some(response) = control(request) else { return Answer::Close };
        let number = asked.fetch_add(1, Ordering::Relaxed);
        // An answer that is old when it comes: 0, 80, 0, 160, 0, 240, ... milliseconds.
        let late = if number % 2 == 0 { 0 } else { number % 8 / 2 * (LATE_MILLISECONDS / 3) };
        let late = Duration::from_millis(u64::try_from(late).unwrap_or_default());
        Answer::After(late, Box::new(pass(&response)))
    });
    let _relay = relay.expect("a relay");
    wait_for_answer(&stack, SHOP, &stack.billing.secret, 204, "");

    let revoked: Mutex<Vec<String>> = Mutex::default();
    let (stop, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        // Looks at every dead key all the time, over connections of all workers.
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let dead = revoked.lock().expect("a list").clone();
                    for secret in dead {
                        let answer = stack.send(&purchase(SHOP, &secret)).expect("an answer");
                        assert_eq!(answer.reason(), "revoked", "a revocation was undone");
                        looks.fetch_add(1, Ordering::Relaxed);
                    }
                    let genuine = purchase(SHOP, &stack.billing.secret);
                    let answer = stack.send(&genuine).expect("an answer");
                    assert!(matches!(answer.status, 204 | 429), "{}", answer.text());
                }
            });
        }
        let cycles = thread::Builder::new().spawn_scoped(scope, || {
            for _ in 0..CYCLES {
                let key = stack.control.create_key("acme", "till", &[SHOP]).expect("a key");
                wait_for_answer(&stack, SHOP, &key.secret, 204, "");
                stack.control.delete_key(&key.name).expect("deleted");
                wait_for_answer(&stack, SHOP, &key.secret, 403, "revoked");
                revoked.lock().expect("a list").push(key.secret);
            }
            // Late answers have arrived by then.
            let seen = looks.load(Ordering::Relaxed);
            let enough = || (looks.load(Ordering::Relaxed) > seen + 20 * CYCLES).then_some(());
            poll::until("more looks", SOON, enough)
        });
        let ended = cycles.expect("a thread").join();
        stop.store(true, Ordering::Relaxed);
        ended.expect("no cycle failed").expect("looked at");
    });
    let metrics = stack.envoy.metrics().expect("metrics");
    let applied = metrics.sum("mpgate_sync_total", &[("result", "applied")]);
    println!("{applied} pages applied, {} looks at revoked keys", looks.load(Ordering::Relaxed));
    assert_eq!(stack.envoy.stat("wasm.mpgate.vm_reload_success").expect("a stat"), 0);
    // Four pollers that take turns would have taken each change once.
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let once = 2.0 * CYCLES as f64;
    assert!(applied > 1.2 * once, "only {applied} pages for {once} changes: nobody raced");
}
