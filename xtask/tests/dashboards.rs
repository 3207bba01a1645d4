//! The shipped dashboards: a real Prometheus takes every query, and Grafana's provisioning fits what compose mounts.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use mpgate_testbed::dashboards::{Panel, dashboards, directory};
use mpgate_testbed::prometheus::{tools_or_skip, yaml};
use mpgate_testbed::{Prometheus, toolchain};
use serde_json::{Value, json};

/// What Grafana would put in the place of its variables.
const VALUES: [(&str, &str); 3] =
    [("__rate_interval", "1m"), ("gate", ".*"), ("sender", "billing|crm")];

#[test]
fn prometheus_takes_every_query() {
    let tools = tools_or_skip("prometheus_takes_every_query").expect("Prometheus");
    let Some(tools) = tools else { return };
    let directory = mpgate_testbed::directory().expect("a directory");
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

/// Members that Grafana's documentation of provisioning has; it passes over what it does not know.
const PROVIDER: [&str; 6] =
    ["name", "folder", "type", "allowUiUpdates", "updateIntervalSeconds", "options"];
const DATA_SOURCE: [&str; 8] =
    ["name", "uid", "type", "access", "url", "isDefault", "editable", "jsonData"];

#[track_caller]
fn has_only(members: &Value, known: &[&str]) {
    for name in members.as_object().expect("members").keys() {
        assert!(known.contains(&&**name), "Grafana does not know '{name}': {members}");
    }
}

#[test]
fn grafana_finds_in_compose_what_it_is_provisioned_with() {
    let compose = yaml(&toolchain::root().join("docker-compose.yml")).expect("compose");
    let grafana = &compose["services"]["grafana"];
    // What is mounted where, in Grafana's container.
    let mounted = |target: &str| {
        let volumes = grafana["volumes"].as_array().expect("volumes").iter();
        let mut mounts = volumes.filter_map(|it| it.as_str()?.strip_suffix(":ro")?.split_once(':'));
        let source = mounts.find(|(_, to)| *to == target).map(|(from, _)| from);
        toolchain::root().join(source.unwrap_or_else(|| panic!("nothing is mounted at {target}")))
    };
    let provisioning = mounted("/etc/grafana/provisioning");
    let read = |file| yaml(&provisioning.join(file)).expect("provisioning");

    let (providers, sources) = (read("dashboards/mpgate.yml"), read("datasources/prometheus.yml"));
    assert_eq!([&providers["apiVersion"], &sources["apiVersion"]], [1, 1]);
    let [provider] = &providers["providers"].as_array().expect("providers")[..] else {
        panic!("one provider: {providers}")
    };
    has_only(provider, &PROVIDER);
    assert_eq!(provider["type"], "file");
    let pages = mounted(provider["options"]["path"].as_str().expect("a path"));
    assert_eq!(
        pages.canonicalize().expect("a directory"),
        directory().join("dashboards").canonicalize().expect("a directory"),
    );
    for page in fs::read_dir(pages).expect("pages") {
        let page = fs::read(page.expect("a page").path()).expect("a page");
        let page: Value = serde_json::from_slice(&page).expect("JSON");
        let asks = &page["templating"]["list"][0];
        assert_eq!((&asks["type"], &asks["query"]), (&json!("datasource"), &json!("prometheus")));
    }

    let [source] = &sources["datasources"].as_array().expect("sources")[..] else {
        panic!("one data source: {sources}")
    };
    has_only(source, &DATA_SOURCE);
    has_only(&source["jsonData"], &["timeInterval", "httpMethod"]);
    assert_eq!(
        [&source["type"], &source["access"], &source["url"], &source["isDefault"]],
        [&json!("prometheus"), &json!("proxy"), &json!("http://prometheus:9090"), &json!(true)],
    );
    let networks = |service: &str| {
        let networks = compose["services"][service]["networks"].as_array().expect("networks");
        networks.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(networks("prometheus").contains(&networks("grafana")[0]), "they share a network");
    let scraped = yaml(&toolchain::root().join("deploy/prometheus/prometheus.yml")).expect("it");
    assert_eq!(source["jsonData"]["timeInterval"], scraped["global"]["scrape_interval"]);
}
