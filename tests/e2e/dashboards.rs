//! The shipped dashboards, rules and alerts on a real run: a Prometheus that scrapes the gate and control, and
//! senders of every kind. No query is without an answer, but for those that say that they need earlier days.

use std::time::Duration;

use mpgate_testbed::dashboards::{Query, dashboards};
use mpgate_testbed::poll;
use mpgate_testbed::prometheus::tools_or_skip;
use mpgate_testbed::watched::Watched;
use serde_json::Value;

/// The slowest: Envoy shows histograms after five seconds, the gate reports every ten.
const SOON: Duration = Duration::from_mins(2);

/// What Grafana would put in the place of its variables; the interval is four scrapes and more, as Grafana's.
const VALUES: [(&str, &str); 3] =
    [("__rate_interval", "15s"), ("gate", ".*"), ("sender", "billing|crm")];

/// Every query with its page and panel.
fn queries() -> Vec<(String, Query)> {
    let mut all = Vec::new();
    for page in dashboards().expect("the source") {
        for panel in page.panels {
            let place = format!("{}: {}", page.title, panel.title);
            all.extend(panel.queries.into_iter().map(|query| (place.clone(), query)));
        }
    }
    all
}

fn is_empty(watched: &Watched, query: &Query) -> bool {
    let result = watched.prometheus.query(&query.with(&VALUES)).expect("an answer");
    let values = result.as_array().expect("a vector");
    // A quotient of nothing shows nothing either.
    values.iter().all(|one| one["value"][1] == "NaN")
}

#[test]
fn a_real_run_leaves_no_panel_empty_and_no_rule_unevaluated() {
    let tools = tools_or_skip("a_real_run_leaves_no_panel_empty").expect("Prometheus");
    let Some(tools) = tools else { return };
    let directory = mpgate_testbed::directory().expect("a directory");
    let watched = Watched::start(&tools, directory.path()).expect("a watched gate");
    let (without_history, mut waiting): (Vec<_>, Vec<_>) =
        queries().into_iter().partition(|(_, query)| query.needs_history);
    assert!(waiting.len() > 35, "{} queries", waiting.len());

    let mut round = 0_u64;
    let shown = poll::until("every panel", SOON, || {
        watched.send(round).expect("answers");
        round += 1;
        if round.is_multiple_of(20) {
            waiting.retain(|(_, query)| is_empty(&watched, query));
        }
        waiting.is_empty().then_some(())
    });
    let exprs = waiting.iter().map(|(place, query)| format!("{place}: {}", query.with(&VALUES)));
    assert!(shown.is_ok(), "empty after {round} rounds:\n{}", exprs.collect::<Vec<_>>().join("\n"));
    for (place, query) in without_history {
        assert!(is_empty(&watched, &query), "{place} shows something; it needs no history");
    }

    let rules = poll::until("every rule to be evaluated", SOON, || evaluated(&watched));
    assert!(rules.expect("rules") > 25);
    let firing = |alert: &str| {
        let expression = format!("ALERTS{{alertname=\"{alert}\"}}");
        watched.prometheus.query(&expression).expect("an answer") != Value::Array(Vec::new())
    };
    let exposed = || firing("MpgateSecretExposed").then_some(());
    poll::until("the alert of an exposed secret", SOON, exposed).expect("it fires");
    for quiet in [
        "MpgateGateDown",
        "MpgateControlDown",
        "MpgateNotScraped",
        "MpgateGateUnarmed",
        "MpgateVmReloads",
    ] {
        assert!(!firing(quiet), "{quiet}");
    }
}

/// How many rules there are, once Prometheus has evaluated each; a rule that it cannot evaluate fails.
fn evaluated(watched: &Watched) -> Option<usize> {
    let told = watched.prometheus.get("/api/v1/rules").expect("rules");
    let groups = told["groups"].as_array().expect("groups").iter();
    let rules: Vec<&Value> =
        groups.flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    for rule in &rules {
        assert_ne!(rule["health"], "err", "{}: {}", rule["name"], rule["lastError"]);
    }
    rules.iter().all(|rule| rule["health"] == "ok").then_some(rules.len())
}
