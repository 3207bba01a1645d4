//! The access log's line of a request: how many events it has and which trace it is part of. W3C Trace
//! Context passes through the gate unchanged.

use mpgate_testbed::stack::{CLUB, SHOP, purchase};
use mpgate_testbed::{EnvoyConfig, Stack};

use super::events;

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn parent(id: &str) -> String {
    format!("00-{id}-00f067aa0ba902b7-01")
}

#[test]
fn a_line_tells_the_events_and_the_trace() {
    let stack = Stack::start().expect("a stack");
    let two = events(SHOP, &stack.billing.secret, &[("login", None), ("search", None)]);
    let crm = purchase(CLUB, &stack.crm.secret);
    let requests = [
        (two.clone().header("traceparent", parent(ID)), 204, "2", ID),
        (crm.clone().header("traceparent", parent(ID)).header("tracestate", "a=1"), 204, "1", ID),
        (purchase(SHOP, "guess").header("traceparent", parent(ID)), 401, "-", ID),
        // What is no trace's id is not printed: a client's header could hold anything.
        (two.clone().header("traceparent", "secret\"},{"), 204, "2", "-"),
        (two.clone().header("traceparent", parent(&ID.to_uppercase())), 204, "2", "-"),
        (two.header("traceparent", parent(ID)).header("traceparent", parent(ID)), 204, "2", "-"),
    ];
    for (request, status, ..) in &requests {
        assert_eq!(stack.send(request).expect("an answer").status, *status);
    }
    let lines = stack.envoy.wait_for_access_log(requests.len()).expect("lines");
    let mut logged: Vec<_> =
        lines.iter().map(|line| (word(line, "events"), word(line, "trace_id"))).collect();
    let mut told: Vec<_> =
        requests.iter().map(|(_, _, n, id)| ((*n).to_owned(), (*id).to_owned())).collect();
    logged.sort();
    told.sort();
    assert_eq!(logged, told);
}

fn word(line: &serde_json::Value, name: &str) -> String {
    line[name].as_str().unwrap_or("-").to_owned()
}

#[test]
fn a_line_tells_what_filter_state_is_asked_for() {
    let few = |config: &mut EnvoyConfig| {
        config.gate()?["filter_state"] = ["sender", "trace_id"].as_slice().into();
        Ok(())
    };
    let stack = Stack::builder().edit(few).start().expect("a stack");
    let genuine = purchase(SHOP, &stack.billing.secret).header("traceparent", parent(ID));
    assert_eq!(stack.send(&genuine).expect("an answer").status, 204, "the tripwire let it pass");
    let lines = stack.envoy.wait_for_access_log(1).expect("lines");
    let told = ["action", "sender", "trace_id", "verdict", "outcome", "key", "stream", "events"];
    let told = told.map(|name| word(&lines[0], name));
    assert_eq!(told, ["forward", "billing", ID, "-", "-", "-", "-", "-"]);
}

#[test]
fn a_line_tells_all_in_one_value() {
    let stack = Stack::builder().edit(|config| {
        config.gate()?["filter_state"] = ["decision"].as_slice().into();
        let format =
            &mut config.http()?["access_log"][0]["typed_config"]["log_format"]["json_format"];
        format["decision"] = "%FILTER_STATE(wasm.mpgate.decision:PLAIN)%".into();
        Ok(())
    });
    let stack = stack.start().expect("a stack");
    let genuine = events(SHOP, &stack.billing.secret, &[("login", None), ("search", None)]);
    let (genuine, guess) = (genuine.header("traceparent", parent(ID)), purchase(SHOP, "guess"));
    for (request, status) in [(&genuine, 204), (&guess, 401)] {
        assert_eq!(stack.send(request).expect("an answer").status, status);
    }
    let lines = stack.envoy.wait_for_access_log(2).expect("lines");
    let mut told: Vec<_> = lines.iter().map(|line| word(line, "decision")).collect();
    told.sort();
    let key = stack.billing.id();
    assert_eq!(
        told,
        [
            format!(
                "verdict=genuine outcome=accepted reason=protocol_violation sender=billing key={key} \
                 stream={SHOP} events=2 trace_id={ID}"
            ),
            format!("verdict=spoofed outcome=refused reason=unknown_secret stream={SHOP}"),
        ]
    );
    assert_eq!(word(&lines[0], "verdict"), "-", "and nothing twice");
}

#[test]
fn trace_context_passes_unchanged() {
    let dry = |config: &mut EnvoyConfig| {
        config.gate()?["mode"] = "dry_run".into();
        config.gate()?["unknown_paths"] = "pass".into();
        Ok(())
    };
    let stack = Stack::builder().edit(dry).start().expect("a stack");
    let (parent, state) = (parent(ID), "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
    let genuine = purchase(SHOP, &stack.billing.secret);
    let requests = [genuine, purchase(CLUB, &stack.crm.secret), purchase(SHOP, "guess")];
    for request in &requests {
        let traced = request.clone().header("traceparent", &parent).header("tracestate", state);
        assert_eq!(stack.send(&traced).expect("an answer").status, 204);
    }
    let events = stack.collector.wait_for_events(requests.len()).expect("events");
    assert_eq!(events.len(), requests.len());
    for event in &events {
        assert_eq!(event.header("traceparent"), Some(&*parent));
        assert_eq!(event.header("tracestate"), Some(state));
    }
}

#[test]
fn a_secret_that_looks_like_a_trace_is_not_printed() {
    let stack = Stack::start().expect("a stack");
    for secret in [ID, ID.get(4..28).expect("a part")] {
        let request = purchase(SHOP, secret).header("traceparent", parent(ID));
        assert_eq!(stack.send(&request).expect("an answer").status, 401);
    }
    let lines = stack.envoy.wait_for_access_log(2).expect("lines");
    assert!(lines.iter().all(|line| word(line, "trace_id") == "-"), "{lines:?}");
    assert!(!stack.envoy.access_log_text().contains(ID));
}
