//! The sums are what was sent, whichever of four workers counted, also while configurations are pushed;
//! and what another module resets.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mpgate_testbed::discovery::Discovered;
use mpgate_testbed::http1::Http1;
use mpgate_testbed::stack::{CLUB, SHOP, purchase};
use mpgate_testbed::{EnvoyConfig, Request, Stack, artifacts, poll};
use tempfile::TempDir;

use super::{SOON, events, sum, wait_for_sum};

/// Connections, spread over four workers.
const LINES: usize = 16;

/// Nobody is told that one sender sends too much.
pub(super) fn unlimited(config: &mut EnvoyConfig) -> anyhow::Result<()> {
    config.remove_http_filter("envoy.filters.http.local_ratelimit")?;
    config.remove_http_filter("per_source")?;
    config.gate()?["protocol_rules"] = "enforce".into();
    Ok(())
}

fn stack(discovered: Option<Discovered>) -> Stack {
    let builder = Stack::builder().concurrency(4).edit(move |config| {
        unlimited(config)?;
        if let Some(part) = discovered {
            config.discover(part);
        }
        Ok(())
    });
    builder.start().expect("a stack")
}

/// What each connection sends, and the status of its answer.
fn turn(stack: &Stack) -> Vec<(Request, u16)> {
    let secret = &stack.billing.secret;
    vec![
        (
            events(
                SHOP,
                secret,
                &[("login", Some(0)), ("shop_open", Some(100)), ("tutorial_begin", None)],
            ),
            204,
        ),
        (purchase(CLUB, &stack.crm.secret), 204),
        (purchase(SHOP, "guess"), 401),
        (purchase(CLUB, secret), 403),
        (events(SHOP, secret, &[("login", None), ("_bad", None)]), 422),
    ]
}

/// Sends turns over many connections until all is done; answers how many turns each sender had.
fn send(stack: &Stack, turns: usize, is_done: &AtomicBool) -> u64 {
    let address = stack.envoy.address();
    let lines: Vec<_> = (0..LINES).map(|_| (Http1::connect(address), turn(stack))).collect();
    thread::scope(|scope| {
        let line = |(line, turn): (anyhow::Result<Http1>, Vec<(Request, u16)>)| {
            let mut line = line.expect("a connection");
            let mut sent = 0;
            while sent < turns || !is_done.load(Ordering::Relaxed) {
                for (request, status) in &turn {
                    // A listener that is replaced closes its connections, between two answers.
                    let answer = line.send(request).or_else(|_| {
                        line = Http1::connect(address)?;
                        line.send(request)
                    });
                    let answer = answer.expect("an answer");
                    assert_eq!(answer.status, *status, "{}", answer.text());
                    if answer.header("connection").as_deref() == Some("close") {
                        line = Http1::connect(address).expect("a connection");
                    }
                }
                sent += 1;
            }
            sent as u64
        };
        let lines: Vec<_> = lines.into_iter().map(|one| scope.spawn(move || line(one))).collect();
        lines.into_iter().map(|line| line.join().expect("no panic")).sum()
    })
}

fn assert_exact(stack: &Stack, turns: u64) {
    let counted = |name: &str, labels: &[(&str, &str)]| sum(stack, name, labels);
    let requests = "mpgate_requests_total";
    assert_eq!(counted(requests, &[]), 5 * turns);
    for (sender, outcome, reason) in [
        ("billing", "accepted", "none"),
        ("crm", "accepted", "none"),
        ("unknown", "refused", "unknown_secret"),
        ("billing", "refused", "stream_not_granted"),
        ("billing", "refused", "protocol_violation"),
    ] {
        let labels = [("sender", sender), ("outcome", outcome), ("reason", reason)];
        assert_eq!(counted(requests, &labels), turns, "{labels:?}");
    }
    for (sender, event, outcome, each) in [
        ("billing", "login", "accepted", 1),
        ("billing", "other", "accepted", 1),
        ("billing", "tutorial_begin", "accepted", 1),
        ("billing", "login", "refused", 1),
        ("billing", "other", "refused", 1),
        ("crm", "purchase", "accepted", 1),
    ] {
        let labels = [("sender", sender), ("event", event), ("outcome", outcome)];
        assert_eq!(counted("mpgate_events_total", &labels), each * turns, "{labels:?}");
    }
    assert_eq!(counted("mpgate_events_total", &[]), 6 * turns, "of whom no event counts");
    let body = |request: &Request| request.body_bytes() as u64;
    let turn = turn(stack);
    let billing = body(&turn[0].0) + body(&turn[4].0);
    let bytes = "mpgate_request_body_bytes_total";
    assert_eq!(counted(bytes, &[("sender", "billing")]), billing * turns);
    assert_eq!(counted(bytes, &[("sender", "crm")]), body(&turn[1].0) * turns);
    // Of the seconds of a delay some may have passed on the way.
    let delay = "mpgate_event_delay_seconds";
    wait_for_sum(stack, &format!("{delay}_count"), &[("sender", "billing")], 2 * turns);
    let within =
        |le: &str| counted(&format!("{delay}_bucket"), &[("sender", "billing"), ("le", le)]);
    assert_eq!((within("60"), within("300"), within("+Inf")), (turns, 2 * turns, 2 * turns));
}

/// Waits until Envoy took so many pushes.
fn wait_for_pushes(stack: &Stack, pushes: u64) {
    let names = [
        "listener_manager.lds.update_success",
        "extension_config_discovery.http_filter.mpgate.config_reload",
    ];
    let taken = || names.iter().map(|name| stack.envoy.stat(name).expect("a stat")).max();
    let done = || (taken() >= Some(pushes)).then_some(());
    poll::until("the push to be taken", SOON, done).expect("taken");
}

#[test]
fn sums_of_four_workers_are_what_was_sent() {
    let stack = stack(None);
    let turns = send(&stack, 20, &AtomicBool::new(true));
    assert_eq!(turns, 20 * LINES as u64);
    assert_exact(&stack, turns);
}

fn assert_exact_across_pushes(part: Discovered) {
    let stack = stack(Some(part));
    let is_done = AtomicBool::new(false);
    let turns = thread::scope(|scope| {
        let sent = scope.spawn(|| send(&stack, 5, &is_done));
        for number in 0..4 {
            let pushed = stack.envoy.push(|plugin| {
                plugin.gate(|gate| {
                    gate["senders_max"] = (900 - number).into();
                    Ok(())
                })
            });
            pushed.expect("pushed");
            wait_for_pushes(&stack, 2 + number);
        }
        is_done.store(true, Ordering::Relaxed);
        sent.join().expect("no panic")
    });
    assert_exact(&stack, turns);
}

#[test]
fn a_pushed_listener_loses_no_count() {
    assert_exact_across_pushes(Discovered::Listener);
}

#[test]
fn a_pushed_filter_loses_no_count() {
    assert_exact_across_pushes(Discovered::Gate);
}

/// Pushes the same code with a custom section: another file, and so another module.
fn push_another_module(stack: &Stack) -> TempDir {
    let directory = mpgate_testbed::directory().expect("a directory");
    let other = directory.path().join("other.wasm");
    let module = fs::read(artifacts::module().expect("a module")).expect("read");
    fs::write(&other, [&*module, &[0, 6, 4, b's', b'o', b'a', b'k', 1]].concat()).expect("written");
    stack.envoy.push(|plugin| plugin.module(&other)).expect("pushed");
    wait_for_pushes(stack, 2);
    directory
}

#[test]
fn another_module_goes_on_where_the_old_one_serves_the_status_page() {
    let stack = stack(Some(Discovered::Gate));
    let before = send(&stack, 2, &AtomicBool::new(true));
    let _module = push_another_module(&stack);
    let after = send(&stack, 2, &AtomicBool::new(true));
    assert_exact(&stack, before + after);
    let unknown = || stack.envoy.status().expect("a page")["unknown_secrets"][0]["count"].clone();
    let all = || (unknown() == before + after).then_some(());
    poll::until("the status page", SOON, all).expect("what both modules counted");
}

#[test]
fn another_module_in_place_of_the_only_one_begins_anew() {
    let builder = Stack::builder().edit(|config| {
        unlimited(config)?;
        config.remove("/static_resources/listeners/1")?;
        config.discover(Discovered::Gate);
        Ok(())
    });
    let stack = builder.start().expect("a stack");
    let turns = send(&stack, 2, &AtomicBool::new(true));
    let refused = || sum(&stack, "mpgate_requests_total", &[("reason", "unknown_secret")]);
    assert_eq!(refused(), turns);
    let _module = push_another_module(&stack);
    // Envoy forgets the old module's series once its last VM is gone; new VMs count in new ones.
    poll::until("the old series to go", SOON, || (refused() == 0).then_some(())).expect("gone");
    assert_eq!(stack.send(&purchase(SHOP, "guess")).expect("an answer").status, 401);
    assert_eq!(refused(), 1);
    // What the list is, is shown anew.
    wait_for_sum(&stack, "mpgate_allowlist_entries", &[], 2);
    wait_for_sum(&stack, "mpgate_allowlist_revision", &[], stack.crm.revision);
}
