//! The series of a real run, the table in the code and the one in `docs/metrics.md` are the same.

use std::collections::BTreeSet;

use mpgate_guard::series::{ALL, Kind};
use mpgate_testbed::stack::{SHOP, purchase};
use mpgate_testbed::{Stack, series};

use super::{SOON, events, sum, wait_for_sum};
use mpgate_testbed::poll;

const HEADING: &str = "The gate's series";

fn coded() -> series::Series {
    let told = |kind| match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let labels = |labels: &[&str]| labels.iter().map(|it| (*it).to_owned()).collect();
    let all = ALL.iter();
    all.map(|it| (it.name.to_owned(), (told(it.kind).to_owned(), labels(it.labels)))).collect()
}

#[test]
fn code_documentation_and_a_real_page_list_the_same_series() {
    let stack = Stack::start().expect("a stack");
    let told = events(SHOP, &stack.billing.secret, &[("login", Some(30)), ("search", None)]);
    assert_eq!(stack.send(&told).expect("an answer").status, 204);
    // Each is on the page once it was counted; a histogram after Envoy's next flush.
    let all = || {
        let page = stack.envoy.metrics_text().expect("metrics");
        let shown = series::shown(&page, "mpgate_").expect("a page");
        (shown == coded()).then_some(())
    };
    let waited = poll::until("every series", SOON, all);
    let page = stack.envoy.metrics_text().expect("metrics");
    assert!(waited.is_ok(), "{:#?}", series::shown(&page, "mpgate_"));

    let (ours, envoys): (series::Series, series::Series) = series::documented(HEADING)
        .expect("the documentation")
        .into_iter()
        .partition(|(name, _)| name.starts_with("mpgate_"));
    assert_eq!(ours, coded());
    assert!(!envoys.is_empty(), "none of Envoy's own is listed");
    for (name, listed) in &envoys {
        let shown = series::shown(&page, name).expect("a page");
        assert_eq!(shown.get(name), Some(listed), "{name}");
    }
    let gates: BTreeSet<&str> = ["demo"].into();
    let metrics = stack.envoy.metrics().expect("metrics");
    let ours = metrics.all().iter().filter(|sample| sample.name.starts_with("mpgate_"));
    assert_eq!(ours.map(|sample| &*sample.labels["gate"]).collect::<BTreeSet<_>>(), gates);
}

#[test]
fn the_page_says_how_large_the_list_is_and_what_became_of_reports() {
    let stack = Stack::start().expect("a stack");
    let shown = |name: &str| sum(&stack, name, &[("gate", "demo")]);
    wait_for_sum(&stack, "mpgate_allowlist_entries", &[], 2);
    assert_eq!(shown("mpgate_allowlist_streams"), 2);
    assert_eq!(shown("mpgate_allowlist_stale"), 0);
    let key = stack.issue("till", &[SHOP]).expect("a key");
    wait_for_sum(&stack, "mpgate_allowlist_entries", &[], 3);
    assert_eq!(shown("mpgate_allowlist_revision"), key.revision);
    assert_eq!(stack.send(&purchase(SHOP, &key.secret)).expect("an answer").status, 204);
    wait_for_sum(&stack, "mpgate_reports_total", &[("result", "counted")], 1);
    stack.revoke(&key).expect("revoked");
    wait_for_sum(&stack, "mpgate_allowlist_entries", &[], 2);
}

/// Whose end comes without bytes: Envoy would refuse to add nothing.
#[test]
fn a_body_that_nobody_reads_is_counted_as_it_passes() {
    let stack = Stack::start().expect("a stack");
    stack.set_mode(SHOP, Some("off")).expect("off");
    let request = purchase(SHOP, "nobody");
    let sent = || {
        let answer = stack.send(&request).ok()?;
        (answer.status == 204).then_some(())
    };
    poll::until("the stream to be off", SOON, sent).expect("off");
    wait_for_sum(
        &stack,
        "mpgate_request_body_bytes_total",
        &[("sender", "unknown")],
        request.body_bytes() as u64,
    );
    let log = stack.envoy.log();
    assert!(!log.contains("refused a call"), "{log}");
}
