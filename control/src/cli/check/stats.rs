//! What makes real labels of the names that a gate counts by.

use std::collections::BTreeSet;

use mpgate_guard::series;
use saphyr::MarkedYaml;

use super::finding::Finding;
use super::node::Node;

/// Checks a whole configuration; a part of one has no `stats_config` to look at.
pub(super) fn check(document: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    if document.at("static_resources").is_some() {
        bootstrap(document, findings);
    }
}

/// Checks a bootstrap, or what is merged into one.
pub(super) fn bootstrap(document: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    let line = document.at("stats_config").map_or(document.line(), Node::line);
    let warn = |what: String, next: &str| Finding::warning(line, "stats_config", what).next(next);
    let tags = document.items("stats_config/stats_tags");
    let named: Vec<&str> = tags.iter().filter_map(|tag| tag.text("tag_name")).collect();
    // Gates of an older version have fewer labels, and lose nothing by more.
    let labels: BTreeSet<&str> = series::ALL.iter().flat_map(|it| it.labels).copied().collect();
    let missing: Vec<&str> = labels.into_iter().filter(|label| !named.contains(label)).collect();
    if !missing.is_empty() {
        let what = format!(
            "stats_tags lacks {}: Prometheus sees names with the values in them, and no labels",
            missing.join(", ")
        );
        findings.push(warn(what, "copy the stats_tags of envoy/production.yaml"));
    }
    let delay = series::EVENT_DELAY.name;
    let mut has_buckets = false;
    for setting in document.items("stats_config/histogram_bucket_settings") {
        setting.each(&mut |node| {
            has_buckets |= node.data.as_str().is_some_and(|text| text.contains(delay));
        });
    }
    if !has_buckets {
        let what = format!("{delay} has Envoy's own buckets, which end at an hour");
        findings.push(warn(what, "copy the histogram_bucket_settings of envoy/production.yaml"));
    }
}
