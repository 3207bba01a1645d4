//! Ways to the analytics upstream that do not lead through the gate. Each is valid configuration, and what
//! somebody adds to a gateway of many services; each ends at the tripwire on the upstream's own cluster.

use std::time::Duration;

use mpgate_testbed::poll;
use mpgate_testbed::stack::{SHOP, purchase, purchase_body};
use mpgate_testbed::upstream::Received;
use mpgate_testbed::{Answer, EnvoyConfig, Request, Stack, Upstream};
use serde_json::{Value, json};

use super::{FILE, plain};
use crate::paths::{over_both, paths};

/// Changes the path of what asks for it and has the route looked up again, as an authorizer or a Lua
/// filter in front may.
const REWRITES: &str = r#"
function envoy_on_request(handle)
  local path = handle:headers():get("x-rewrite-to")
  if path ~= nil then
    handle:headers():replace(":path", path)
    handle:clearRouteCache()
  end
end
"#;

/// The ways, by the prefix of their paths.
fn routes() -> Vec<Value> {
    let way = |name: &str, route: Value| json!({"name": name, "match": {"prefix": format!("/way/{name}")}, "route": route});
    let with = |mut route: Value, member: &str, value: Value| {
        route[member] = value;
        route
    };
    let filter = |settings: Value| {
        let mut config = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig"});
        for (member, value) in settings.as_object().into_iter().flatten() {
            config[member] = value.clone();
        }
        config
    };
    let analytics = json!({"cluster": "analytics"});
    vec![
        way("plain", analytics.clone()),
        way("rewrite", json!({"cluster": "analytics", "prefix_rewrite": "/mp/collect"})),
        way(
            "weighted",
            json!({"weighted_clusters": {"clusters": [{"name": "analytics", "weight": 1}]}}),
        ),
        way("header", json!({"cluster_header": "x-cluster"})),
        way(
            "upgrade",
            json!({"cluster": "analytics", "upgrade_configs": [{"upgrade_type": "websocket"}]}),
        ),
        way(
            "mirror",
            json!({"cluster": "shop", "request_mirror_policies": [{"cluster": "analytics"}]}),
        ),
        with(
            way("passed", analytics.clone()),
            "typed_per_filter_config",
            json!({"mpgate": filter(json!({"config": {}}))}),
        ),
        with(
            way("another-rbac", analytics),
            "typed_per_filter_config",
            json!({"envoy.filters.http.rbac": filter(json!({"disabled": true, "is_optional": true}))}),
        ),
        way(
            "redirect",
            json!({"cluster": "shop", "internal_redirect_policy": {"redirect_response_codes": [302]}}),
        ),
    ]
}

fn open_ways(config: &mut EnvoyConfig) -> anyhow::Result<()> {
    let all = config.routes()?;
    all.splice(0..0, routes());
    let lua = json!({"name": "lua", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": REWRITES},
    }});
    let filters = config.http()?["http_filters"].as_array_mut().expect("filters");
    filters.insert(0, lua);
    // A chain of their own, which the gate is not in.
    let router = filters.last().cloned().expect("the router");
    config.http()?["upgrade_configs"] = json!([{"upgrade_type": "websocket", "filters": [router]}]);
    Ok(())
}

fn without_the_tripwire(config: &mut EnvoyConfig) -> anyhow::Result<()> {
    let filters = "/typed_extension_protocol_options\
                   /envoy.extensions.upstreams.http.v3.HttpProtocolOptions/http_filters";
    let filters = config.cluster("analytics")?.pointer_mut(filters).expect("filters");
    filters.as_array_mut().expect("filters").remove(0);
    Ok(())
}

struct Gateway {
    stack: Stack,
    shop: Upstream,
    analytics: Upstream,
}

fn start(edit: impl FnOnce(&mut EnvoyConfig) -> anyhow::Result<()> + 'static) -> Gateway {
    let shop = Upstream::start(|request: &Received| {
        if request.path().starts_with("/way/redirect") {
            let location = format!(
                "http://shop.example.com/mp/collect?measurement_id={SHOP}&api_secret=guess"
            );
            return Answer::Respond(302, vec![("location".to_owned(), location)], Vec::new());
        }
        Answer::Respond(200, Vec::new(), b"shop".to_vec())
    });
    let shop = shop.expect("a shop");
    let analytics = Upstream::start(|_| Answer::no_content()).expect("an upstream");
    let address = shop.address();
    let stack = Stack::builder()
        .config(FILE)
        .edit(move |config| plain(config, address))
        .edit(edit)
        .upstream(analytics.address())
        .start();
    Gateway { stack: stack.expect("a stack"), shop, analytics }
}

impl Gateway {
    /// The answer of each way to a request with this secret.
    fn go(&self, secret: &str) -> Vec<(String, u16, String)> {
        let query = format!("?measurement_id={SHOP}&api_secret={secret}");
        let to = |path: &str| Request::post(format!("{path}{query}")).json(&purchase_body());
        let socket = |path: &str| {
            Request::get(format!("{path}{query}"))
                .header("connection", "Upgrade")
                .header("upgrade", "websocket")
        };
        let mut requests = vec![
            ("lua".to_owned(), to("/x").header("x-rewrite-to", format!("/mp/collect{query}"))),
            ("upgrade of the protocol's path".to_owned(), socket("/mp/collect")),
            ("upgrade".to_owned(), socket("/way/upgrade")),
        ];
        for name in ["plain", "rewrite", "weighted", "passed", "another-rbac"] {
            requests.push((name.to_owned(), to(&format!("/way/{name}"))));
        }
        requests.push(("header".to_owned(), to("/way/header").header("x-cluster", "analytics")));
        requests.push(("redirect".to_owned(), Request::get("/way/redirect")));
        let told = requests.into_iter().map(|(name, request)| {
            let answer = self.stack.send(&request.header("host", "shop.example.com"));
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            let reason = answer.reason();
            (name, answer.status, reason)
        });
        told.collect()
    }
}

#[test]
fn no_way_leads_past_the_gate_to_the_upstream() {
    nothing_passes(&start(open_ways));
}

/// The tripwire asks whether the gate let it by unjudged, and has to hear so whatever else is told.
#[test]
fn nor_does_one_where_filter_state_is_asked_for_nothing() {
    let gateway = start(|config| {
        config.gate()?["filter_state"] = json!([]);
        open_ways(config)
    });
    nothing_passes(&gateway);
}

fn nothing_passes(gateway: &Gateway) {
    for secret in ["guess", &gateway.stack.billing.secret] {
        for (name, status, reason) in gateway.go(secret) {
            let expected = match name.as_str() {
                // A new round through the chain of the new route, gate included: a GET of the protocol's path.
                "redirect" => (405, "method_not_allowed"),
                _ => (403, ""),
            };
            assert_eq!((status, reason.as_str()), expected, "{name} with {secret}");
        }
    }
    assert_eq!(paths(&gateway.analytics), [""; 0]);
    let genuine = purchase(SHOP, &gateway.stack.billing.secret);
    assert_eq!(gateway.stack.send(&genuine).expect("an answer").status, 204);
    assert_eq!(paths(&gateway.analytics), [format!("/mp/collect?measurement_id={SHOP}")]);
}

/// What the tripwire does not see, so that an Envoy in which it does is noticed: docs and file warn of it.
#[test]
fn a_mirror_leads_past_it() {
    let gateway = start(|config| {
        let mirror = json!([{"cluster": "analytics"}]);
        let all = config.routes()?;
        let shop = all.iter_mut().find(|route| route["name"] == "shop").expect("the shop");
        shop["route"]["request_mirror_policies"] = mirror;
        Ok(())
    });
    assert_eq!(gateway.stack.send(&Request::get("/x")).expect("an answer").status, 200);
    poll::until("the copy", Duration::from_secs(20), || {
        (paths(&gateway.analytics) == ["/x"]).then_some(())
    })
    .expect("a copy");
}

/// Without it the same ways are open: the rows above prove something.
#[test]
fn without_the_tripwire_the_ways_are_open() {
    let gateway = start(|config| {
        open_ways(config)?;
        without_the_tripwire(config)
    });
    let told = gateway.go("guess");
    let open: Vec<&str> = told
        .iter()
        .filter(|(_, status, _)| *status == 204)
        .map(|(name, _, _)| name.as_str())
        .collect();
    assert_eq!(
        open,
        ["lua", "upgrade", "plain", "rewrite", "weighted", "passed", "another-rbac", "header"]
    );
}

#[test]
fn no_spelling_of_a_path_reaches_the_upstream() {
    let gateway = start(|_| Ok(()));
    // What is not judged shows: it carries the secret on.
    over_both(&gateway.stack, &gateway.stack.billing.secret);
    let mut seen = paths(&gateway.analytics);
    seen.dedup();
    assert_eq!(
        seen,
        [format!("/mp/collect?measurement_id={SHOP}")],
        "as it is judged, and not else"
    );
    assert!(paths(&gateway.shop).iter().any(|path| path.starts_with("/mp/%63ollect")));
}
