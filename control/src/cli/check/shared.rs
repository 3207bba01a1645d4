//! A gate in an Envoy that serves others too: off in the chain, on where a route says so. A route decides
//! then whether there is a gate at all, and the door to the upstream is where the tripwire has to stand.

use saphyr::MarkedYaml;

use super::connection_manager::is_tripwire;
use super::finding::Finding;
use super::node::Node;

/// Checks the routes that turn on the gate called `name`. Answers whether all of them are exact paths, so
/// that it does not matter how Envoy normalises the others.
pub(super) fn check(
    manager: &MarkedYaml<'_>,
    document: &MarkedYaml<'_>,
    name: &str,
    line: usize,
    findings: &mut Vec<Finding>,
) -> bool {
    let (mut routes, mut exact) = (0_usize, true);
    manager.each(&mut |node| {
        let Some(own) = node.at("typed_per_filter_config").and_then(|all| all.at(name)) else {
            return;
        };
        if own.is_true("disabled") {
            return;
        }
        routes += 1;
        exact &= node.text("match/path").is_some();
        if node.at("match").is_some() {
            route(node, manager, document, findings);
        }
    });
    if routes == 0 {
        let what = format!("{name} is disabled, and no route here turns it on");
        let next = format!("name {name} in typed_per_filter_config of the routes to the upstream");
        findings.push(Finding::warning(line, "http_filters", what).next(next));
    }
    exact
}

fn route(
    route: &MarkedYaml<'_>,
    manager: &MarkedYaml<'_>,
    document: &MarkedYaml<'_>,
    findings: &mut Vec<Finding>,
) {
    let place = format!("route {}", route.text("name").unwrap_or_default());
    let mut warn = |line: usize, what: String, next: &str| {
        findings.push(Finding::warning(line, &*place, what).next(next));
    };
    let takes_upgrades = !manager.items("upgrade_configs").is_empty();
    let refuses = route
        .items("route/upgrade_configs")
        .iter()
        .any(|upgrade| upgrade.at("enabled").and_then(|node| node.data.as_bool()) == Some(false));
    if takes_upgrades && !refuses {
        let what = "an upgrade of this path may have a filter chain without the gate".to_owned();
        warn(route.line(), what, "set enabled: false in the route's upgrade_configs");
    }
    if route.at("route/idle_timeout").or(manager.at("stream_idle_timeout")).is_none() {
        let what =
            "a request that a trapped VM held ends at the idle timeout, and that is five minutes";
        warn(route.line(), what.to_owned(), "set the route's idle_timeout: 10s");
    }
    let Some(name) = route.text("route/cluster") else { return };
    let mut clusters = document.items("static_resources/clusters").iter();
    if let Some(cluster) = clusters.find(|cluster| cluster.text("name") == Some(name)) {
        let mut is_guarded = false;
        cluster.each(&mut |node| {
            is_guarded |= node.items("http_filters").iter().any(is_tripwire);
        });
        if !is_guarded {
            let what = format!(
                "cluster {name} has no tripwire: a route without the gate leads there unjudged"
            );
            warn(
                cluster.line(),
                what,
                "give it the RBAC filter of deploy/shared-gateway/envoy.yaml",
            );
        }
    }
    document.each(&mut |node| {
        for mirror in node.items("request_mirror_policies") {
            if mirror.text("cluster") == Some(name) {
                let what =
                    format!("a mirror leads to {name}, and no tripwire sees a mirrored request");
                warn(mirror.line(), what, "mirror nothing into this cluster");
            }
        }
    });
}
