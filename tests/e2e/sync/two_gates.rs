//! Two gates in one Envoy, one `vm_id`: each has the list of its own control and name.

use mpgate_testbed::http1;
use mpgate_testbed::port::Lease;
use mpgate_testbed::stack::{CONSUMER, SHOP, Stack, purchase};
use mpgate_testbed::upstream::Received;
use mpgate_testbed::{Answer, Control, EnvoyConfig, IssuedKey, Upstream, artifacts, poll};
use serde_json::{Value, json};

use super::SOON;
use super::relay::{ask, pass};

/// A control of its own, with one stream and one key.
fn control(directory: &std::path::Path) -> (Control, IssuedKey) {
    let control = Control::start(directory).expect("a control");
    control.create_consumer(CONSUMER).expect("a consumer");
    control.create_stream(CONSUMER, SHOP, None, "none").expect("a stream");
    let key = control.create_key(CONSUMER, "billing", &[SHOP]).expect("a key");
    (control, key)
}

/// Adds a copy of the listener whose gate has this configuration.
fn add_gate(config: &mut EnvoyConfig, listen: &Lease, gate: &Value) -> anyhow::Result<()> {
    let module = artifacts::module()?.to_string_lossy().into_owned();
    let mut listener = config.listener()?.clone();
    let name = format!("gate_{}", listen.address().port());
    listener["name"] = name.clone().into();
    listener["address"]["socket_address"] =
        json!({"address": "127.0.0.1", "port_value": listen.address().port()});
    let http = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    http["access_log"] = json!([]);
    for filter in http["http_filters"].as_array_mut().into_iter().flatten() {
        if filter["name"] == "mpgate" {
            let plugin = &mut filter["typed_config"]["config"];
            plugin["configuration"]["value"] = gate.to_string().into();
            plugin["vm_config"]["code"]["local"]["filename"] = module.clone().into();
        }
    }
    config.set("/static_resources/listeners/-", listener)
}

#[test]
fn gates_of_other_controls_or_names_do_not_share_a_list() {
    let files = [(); 2].map(|()| mpgate_testbed::directory().expect("a directory"));
    let (second, second_key) = control(files[0].path());
    let (third, third_key) = control(files[1].path());
    // One cluster, two controls, told apart by the host that the gate asks for.
    let (ask_second, ask_third) = (ask(&second), ask(&third));
    let relay = Upstream::start(move |request: &Received| {
        let third = request.header("host").as_deref() == Some("third");
        let response = if third { ask_third(request) } else { ask_second(request) };
        response.map_or(Answer::Close, |response| pass(&response))
    });
    let relay = relay.expect("a relay");
    let leases = [(); 2].map(|()| Lease::any().expect("a port"));
    let ports = [leases[0].address(), leases[1].address()];

    let other = relay.address();
    let gates = move |config: &mut EnvoyConfig| {
        config.add_cluster("other_control", other)?;
        let gate = |name: &str, authority: &str| json!({"gate": name, "control": {"cluster": "other_control", "authority": authority}});
        // The same name with another control; the same cluster with another name.
        add_gate(config, &leases[0], &gate("demo", "second"))?;
        add_gate(config, &leases[1], &gate("third", "third"))
    };
    // They share one gauge, so each list is waited for below.
    let stack = Stack::builder().edit(gates).without_list().start().expect("a stack");
    let addresses = [stack.envoy.address(), ports[0], ports[1]];
    let keys = [&stack.billing, &second_key, &third_key];
    let status = |gate: usize, key: &IssuedKey| {
        http1::send(addresses[gate], &purchase(SHOP, &key.secret)).expect("an answer")
    };
    for (gate, key) in keys.iter().enumerate() {
        let loaded = || (status(gate, key).status == 204).then_some(());
        poll::until(&format!("the list of gate {gate}"), SOON, loaded).expect("loaded");
    }
    let expected = |gate: usize, number: usize, revoked: Option<usize>| match number {
        _ if gate != number => (401, "unknown_secret".to_owned()),
        _ if revoked == Some(number) => (403, "revoked".to_owned()),
        _ => (204, String::new()),
    };
    let assert_apart = |revoked: Option<usize>| {
        for gate in 0..3 {
            for (number, key) in keys.iter().enumerate() {
                let answer = status(gate, key);
                let got = (answer.status, answer.reason());
                assert_eq!(got, expected(gate, number, revoked), "key {number} at gate {gate}");
            }
        }
    };
    assert_apart(None);
    second.delete_key(&second_key.name).expect("deleted");
    let gone = || (status(1, &second_key).status == 403).then_some(());
    poll::until("the second control's revocation", SOON, gone).expect("revoked");
    assert_apart(Some(1));
}

/// One Envoy and one token: what one gate has taken up is no receipt of the other.
#[test]
fn each_gate_has_a_receipt_of_its_own() {
    let lease = Lease::any().expect("a port");
    let slow = json!({"gate": "slow", "control": {"cluster": "mpgate_control", "wait_seconds": 0,
        "poll_interval_milliseconds": 60_000}});
    let stack = Stack::builder().edit(move |config| add_gate(config, &lease, &slow));
    let stack = stack.start().expect("a stack");
    let gateways = || -> Vec<(String, bool)> {
        let list = stack.control.call("GET", "/v1/gateways", None).expect("the gateways");
        let list = list.json().expect("JSON");
        let gateways = list["gateways"].as_array().cloned().unwrap_or_default();
        let told = gateways.iter().map(|gateway| {
            let gate = gateway["gate"].as_str().unwrap_or_default().to_owned();
            (gate, gateway["lag"] == 0)
        });
        told.collect()
    };
    let both = || (gateways().len() == 2).then_some(());
    poll::until("both gates", SOON, both).expect("listed");
    stack.control.delete_key(&stack.billing.name).expect("deleted");
    let quick = || gateways().contains(&("demo".to_owned(), true)).then_some(());
    poll::until("the receipt of the gate that is quick", SOON, quick).expect("a receipt");
    assert!(gateways().contains(&("slow".to_owned(), false)), "{:?}", gateways());
}
