//! Two gates of one Envoy are two gates in everything that is counted or shown.

use mpgate_testbed::port::Lease;
use mpgate_testbed::stack::{SHOP, purchase};
use mpgate_testbed::{EnvoyConfig, Stack, artifacts, http1};
use serde_json::json;

use super::{events, sum, wait_for_sum};

/// Adds a copy of the listener whose gate is called `second`.
fn second(config: &mut EnvoyConfig, listen: &Lease) -> anyhow::Result<()> {
    let mut listener = config.listener()?.clone();
    listener["name"] = "second".into();
    listener["address"]["socket_address"] =
        json!({"address": "127.0.0.1", "port_value": listen.address().port()});
    let http = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    http["access_log"] = json!([]);
    for filter in http["http_filters"].as_array_mut().into_iter().flatten() {
        if filter["name"] == "mpgate" {
            let plugin = &mut filter["typed_config"]["config"];
            plugin["name"] = "second".into();
            let gate = json!({"gate": "second", "control": {"cluster": "mpgate_control"}});
            plugin["configuration"]["value"] = gate.to_string().into();
            let module = artifacts::module()?.to_string_lossy().into_owned();
            plugin["vm_config"]["code"]["local"]["filename"] = module.into();
        }
    }
    config.set("/static_resources/listeners/-", listener)
}

#[test]
fn two_gates_of_one_envoy_stay_apart() {
    let lease = Lease::any().expect("a port");
    let address = lease.address();
    let stack = Stack::builder().edit(move |config| second(config, &lease)).start();
    let stack = stack.expect("a stack");
    for gate in ["demo", "second"] {
        wait_for_sum(&stack, "mpgate_allowlist_entries", &[("gate", gate)], 2);
        let revision = sum(&stack, "mpgate_allowlist_revision", &[("gate", gate)]);
        assert_eq!(revision, stack.crm.revision, "{gate}");
        let stale = sum(&stack, "mpgate_allowlist_stale", &[("gate", gate)]);
        assert_eq!(stale, 0, "{gate}");
    }
    let genuine = events(SHOP, &stack.billing.secret, &[("login", Some(9))]);
    for request in [&genuine, &genuine, &purchase(SHOP, "guess")] {
        http1::send(address, request).expect("an answer");
    }
    assert_eq!(stack.send(&genuine).expect("an answer").status, 204);
    for (gate, accepted, refused) in [("demo", 1, 0), ("second", 2, 1)] {
        let counted = |name: &str, labels: &[(&str, &str)]| {
            sum(&stack, name, &[&[("gate", gate)], labels].concat())
        };
        let requests = |outcome| counted("mpgate_requests_total", &[("outcome", outcome)]);
        assert_eq!((requests("accepted"), requests("refused")), (accepted, refused), "{gate}");
        assert_eq!(counted("mpgate_events_total", &[("event", "login")]), accepted, "{gate}");
        assert!(counted("mpgate_sync_total", &[]) > 0, "{gate}");
        wait_for_sum(&stack, "mpgate_event_delay_seconds_count", &[("gate", gate)], accepted);
    }
}
