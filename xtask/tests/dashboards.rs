//! The shipped dashboards: a real Prometheus takes every query.

use std::net::{Ipv4Addr, SocketAddr};

use mpgate_testbed::Prometheus;
use mpgate_testbed::dashboards::{Panel, dashboards};
use mpgate_testbed::prometheus::tools_or_skip;

/// What Grafana would put in the place of its variables.
const VALUES: [(&str, &str); 3] =
    [("__rate_interval", "1m"), ("gate", ".*"), ("sender", "billing|crm")];

#[test]
fn prometheus_takes_every_query() {
    let tools = tools_or_skip("prometheus_takes_every_query").expect("Prometheus");
    let Some(tools) = tools else { return };
    let directory = tempfile::tempdir().expect("a directory");
    // The discard port: there is nothing to scrape.
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let targets = [("mpgate-gate", nowhere), ("mpgate-control", nowhere)];
    let prometheus = Prometheus::start(&tools, &targets, directory.path()).expect("a Prometheus");
    let mut refused = Vec::new();
    let mut asked = 0;
    for panel in dashboards().expect("the source").iter().flat_map(|page| &page.panels) {
        for query in &panel.queries {
            asked += 1;
            let expression = query.with(&VALUES);
            assert!(!expression.contains('$'), "{}: {expression}", panel.title);
            if let Err(error) = prometheus.query(&expression) {
                refused.push(format!("{}: {error:#}", panel.title));
            }
        }
    }
    assert!(asked > 30, "{asked} queries");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(prometheus.query("sum(").is_err(), "it refuses what is none");
}

#[test]
fn every_panel_says_what_to_make_of_it_and_names_its_lines() {
    let is_vague = |panel: &&Panel| {
        let several = panel.queries.len() > 1;
        let named = panel.queries.iter().all(|query| !query.legend.is_empty());
        panel.description.len() < 20 || panel.queries.is_empty() || (several && !named)
    };
    let pages = dashboards().expect("the source");
    let panels = pages.iter().flat_map(|page| &page.panels);
    let vague: Vec<&str> = panels.filter(is_vague).map(|panel| &*panel.title).collect();
    assert!(vague.is_empty(), "{vague:?}");
}
