//! Ways around the gate that withheld capabilities open: calls of the module and callbacks that decide,
//! taken away one at a time. Most make it trap, which is wanted: then nothing goes on.

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{SHOP, purchase};
use mpgate_testbed::{EnvoyConfig, Stack};
use serde_json::{Map, json};

use super::way::{Caught, Way, open, try_open};

/// What the release module calls and what Envoy calls in it.
const CAPABILITIES: [&str; 41] = [
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
    "proxy_add_header_map_value",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_get_metric",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_done",
    "proxy_on_http_call_response",
    "proxy_on_memory_allocate",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
    "proxy_record_metric",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];

const RELOAD: &str = "FAIL_RELOAD";
const OPEN: &str = "FAIL_OPEN";

/// A withheld capability under a failure policy, and the statuses of: a genuine request, another one,
/// one with a guessed secret, and a genuine one over HTTP/2 with trailers.
const WITHHELD: [(&str, &str, [u16; 4]); 13] = [
    // As shipped, but for the restriction: what follows is due to what was withheld.
    ("nothing", RELOAD, [204, 204, 401, 204]),
    ("proxy_on_request_headers", RELOAD, [403, 403, 403, 403]),
    ("proxy_on_request_body", RELOAD, [403, 403, 401, 403]),
    ("proxy_on_request_trailers", RELOAD, [204, 204, 401, 403]),
    ("proxy_set_property", RELOAD, [503, 503, 503, 503]),
    ("proxy_get_header_map_pairs", RELOAD, [503, 503, 503, 503]),
    ("proxy_get_metric", RELOAD, [503, 503, 503, 503]),
    ("proxy_replace_header_map_value", RELOAD, [503, 503, 503, 503]),
    ("proxy_http_call", RELOAD, [503, 503, 503, 503]),
    ("proxy_on_tick", RELOAD, [503, 503, 503, 503]),
    // The request that traps is answered; the next one meets an open door, and the tripwire.
    ("proxy_set_property", OPEN, [503, 403, 403, 403]),
    ("proxy_get_header_map_pairs", OPEN, [503, 403, 403, 403]),
    ("proxy_replace_header_map_value", OPEN, [503, 403, 403, 403]),
];

/// Without these the gate refuses to be configured, and Envoy to start.
const INDISPENSABLE: [&str; 3] =
    ["proxy_get_property", "proxy_get_shared_data", "proxy_set_shared_data"];

pub(crate) fn withhold(config: &mut EnvoyConfig, withheld: &str, policy: &str) {
    let allowed = CAPABILITIES.iter().chain(&["random_get"]).filter(|name| **name != withheld);
    let allowed: Map<_, _> = allowed.map(|name| ((*name).to_owned(), json!({}))).collect();
    let plugin = config.plugin().expect("a plugin");
    plugin["capability_restriction_config"] = json!({"allowed_capabilities": allowed});
    plugin["failure_policy"] = policy.into();
    plugin.as_object_mut().expect("a plugin").remove("reload_config");
}

fn without(withheld: &'static str, policy: &'static str) -> Way {
    // The answers of each row are told in the table.
    Way::new(withheld, Caught::Unavailable, move |config| withhold(config, withheld, policy))
}

#[test]
fn a_withheld_capability_lets_nothing_through_unjudged() {
    let ways = WITHHELD.iter().map(|(withheld, policy, _)| without(withheld, policy)).collect();
    let (stack, listeners) = open("demo.yaml", ways);
    for (listener, (withheld, policy, expected)) in listeners.iter().zip(WITHHELD) {
        stack.collector.forget().expect("forgotten");
        if expected.contains(&401) {
            listener.wait_for_its_list();
        }
        let genuine = purchase(SHOP, &stack.billing.secret);
        let over_http2 = || {
            let mut client = Http2::connect(listener.address()).expect("a connection");
            client.send_with_trailers(&genuine, &[("x-last", "word")]).expect("an answer").status
        };
        let got = [
            listener.send(&genuine).status,
            listener.send(&genuine).status,
            listener.send(&purchase(SHOP, "guess")).status,
            over_http2(),
        ];
        assert_eq!(got, expected, "{withheld}, {policy}");
        let forwarded = expected.iter().filter(|status| **status == 204).count();
        let events = stack.collector.wait_for_events(forwarded).expect("events");
        assert_eq!(events.len(), forwarded, "{withheld}, {policy}");
    }
}

/// Whatever the policy; this is the one that could let through.
#[test]
fn without_an_indispensable_capability_envoy_does_not_start() {
    for withheld in INDISPENSABLE {
        let said = try_open(Stack::builder(), vec![without(withheld, OPEN)]).err();
        let said = said.unwrap_or_else(|| panic!("{withheld}: Envoy started"));
        assert!(said.contains("Unable to create Wasm plugin"), "{withheld}: {said}");
    }
}
