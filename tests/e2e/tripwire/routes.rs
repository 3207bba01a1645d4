//! Ways around the gate that routes and filter chains open, and what a client writes itself.

use mpgate_testbed::EnvoyConfig;
use mpgate_testbed::Request;
use mpgate_testbed::stack::{SHOP, purchase};
use serde_json::{Value, json};

use super::way::{Caught, Way, open};

/// Ways to take the gate off a path, all of them valid configuration.
fn ways() -> Vec<Way> {
    let caught = Caught::ByTheTripwire;
    vec![
        Way::new("a route disables the gate", caught, |config| {
            for route in config.routes().expect("routes") {
                route["typed_per_filter_config"] = gate_disabled();
            }
        }),
        Way::new("a virtual host disables the gate", caught, |config| {
            let host = &mut config.http().expect("http")["route_config"]["virtual_hosts"][0];
            host["typed_per_filter_config"] = gate_disabled();
        }),
        Way::new("the route table disables the gate", caught, |config| {
            let routes = &mut config.http().expect("http")["route_config"];
            routes["typed_per_filter_config"] = gate_disabled();
        }),
        Way::new("the gate is disabled in the chain", caught, |config| {
            config.http_filter("mpgate").expect("the gate")["disabled"] = true.into();
        }),
        Way::new("the gate is not in the chain", caught, |config| {
            config.remove_http_filter("mpgate").expect("the gate");
        }),
        Way::new("a redirect, with the gate disabled", caught, |config| {
            let route = &mut config.routes().expect("routes")[0];
            route.as_object_mut().expect("a route").remove("route");
            route["redirect"] = json!({"host_redirect": "elsewhere.example"});
            route["typed_per_filter_config"] = gate_disabled();
        }),
        Way::new("a direct response, with the gate disabled", caught, |config| {
            let route = &mut config.routes().expect("routes")[0];
            route.as_object_mut().expect("a route").remove("route");
            route["direct_response"] = json!({"status": 200});
            route["typed_per_filter_config"] = gate_disabled();
        }),
        Way::new("the gate stands behind the tripwire", caught, |config| {
            let filters = config.http().expect("http")["http_filters"].as_array_mut();
            let filters = filters.expect("filters");
            let at = |name: &str| filters.iter().position(|filter| filter["name"] == name);
            let gate = at("mpgate").expect("the gate");
            let tripwire = at("envoy.filters.http.rbac").expect("the tripwire");
            filters.swap(gate, tripwire);
        }),
    ]
}

fn gate_disabled() -> Value {
    let disabled = "type.googleapis.com/envoy.config.route.v3.FilterConfig";
    json!({"mpgate": {"@type": disabled, "disabled": true}})
}

/// What a client might send to be taken for judged.
fn forged(secret: &str) -> Vec<(&'static str, Request)> {
    let request = || purchase(SHOP, secret);
    vec![
        ("nothing", request()),
        ("the state's name", request().header("wasm.mpgate.action", "forward")),
        ("the name without its prefix", request().header("mpgate.action", "forward")),
        ("the gate's header", request().header("x-mpgate-sender", "billing")),
        ("a header of the gate's kind", request().header("x-mpgate-action", "forward")),
        ("a cookie", request().header("cookie", "wasm.mpgate.action=forward")),
        ("baggage", request().header("baggage", "wasm.mpgate.action=forward")),
        ("metadata", request().header("x-envoy-peer-metadata", "wasm.mpgate.action=forward")),
    ]
}

#[test]
fn what_goes_around_the_gate_meets_the_tripwire() {
    for file in ["demo.yaml", "production.yaml"] {
        let (stack, listeners) = open(file, ways());
        for listener in listeners.iter() {
            for (what, request) in forged(&stack.billing.secret).into_iter().chain(forged("guess"))
            {
                let answer = listener.send(&request);
                let name = listener.way.name;
                assert!(listener.way.caught.is(&answer), "{file}: {name}, {what}: {answer:?}");
            }
        }
        assert!(stack.collector.events().expect("events").is_empty(), "{file}");
        // The same configuration with nothing changed, beside them in the same Envoy.
        let genuine = purchase(SHOP, &stack.billing.secret);
        assert_eq!(stack.send(&genuine).expect("an answer").status, 204, "{file}");
        assert_eq!(stack.collector.wait_for_events(1).expect("an event").len(), 1, "{file}");
    }
}

/// Without the native filter the same ways are open: the rows above prove something.
#[test]
fn without_the_tripwire_the_ways_are_open() {
    let without = |config: &mut EnvoyConfig| {
        config.remove_http_filter("envoy.filters.http.rbac").expect("the tripwire");
        config.remove_http_filter("mpgate").expect("the gate");
    };
    let way = Way::new("neither gate nor tripwire", Caught::ByTheTripwire, without);
    let (stack, listeners) = open("demo.yaml", vec![way]);
    assert_eq!(listeners[0].send(&purchase(SHOP, "guess")).status, 204);
    assert_eq!(stack.collector.wait_for_events(1).expect("an event").len(), 1);
}
