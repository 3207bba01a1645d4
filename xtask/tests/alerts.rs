//! The shipped alerts: each does what its tests say, can be acted on, and is explained in docs/alerts.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

use mpgate_guard::Reason;
use mpgate_testbed::prometheus::{Tools, tools_or_skip, yaml};
use serde_json::Value;

/// Where a runbook is, before the alert's name.
const RUNBOOK: &str = "https://github.com/mpgate/mpgate/blob/main/docs/alerts.md#";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask stands in the workspace").into()
}

fn shipped() -> PathBuf {
    root().join("deploy/prometheus")
}

fn files(folder: &str) -> Vec<PathBuf> {
    let listed = fs::read_dir(shipped().join(folder)).expect("a folder");
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

fn documents(folder: &str) -> Vec<Value> {
    files(folder).iter().map(|file| yaml(file).expect("YAML")).collect()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// All rules; those that record have no `alert`.
fn rules() -> Vec<Value> {
    let groups = documents("rules").into_iter().flat_map(|file| list(&file["groups"]));
    groups.flat_map(|group| list(&group["rules"])).collect()
}

fn alerts() -> Vec<(String, Value)> {
    let named = |rule: Value| Some((rule["alert"].as_str()?.to_owned(), rule));
    let alerts: Vec<_> = rules().into_iter().filter_map(named).collect();
    assert!(alerts.len() > 15, "{} alerts", alerts.len());
    alerts
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn promtool(tools: &Tools, arguments: &[&str], file: &Path) -> Result<(), String> {
    let ran = Command::new(&tools.promtool).args(arguments).arg(file).output().expect("promtool");
    let told = [ran.stdout, ran.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    if ran.status.success() { Ok(()) } else { Err(format!("{}:\n{told}", file.display())) }
}

#[test]
fn every_alert_does_what_its_tests_say() {
    let tools = tools_or_skip("every_alert_does_what_its_tests_say").expect("Prometheus's tools");
    let Some(tools) = tools else { return };
    promtool(&tools, &["check", "config"], &shipped().join("prometheus.yml")).expect("valid");
    let tools = &tools;
    let failed: Vec<String> = thread::scope(|scope| {
        let play =
            |file: PathBuf| scope.spawn(move || promtool(tools, &["test", "rules"], &file).err());
        let plays: Vec<_> = files("tests").into_iter().map(play).collect();
        plays.into_iter().filter_map(|play| play.join().expect("a run")).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Weeks of twelve hours, as `weeks.yml` says; the days before are put out of reach. In this order.
const SHORT_WEEKS: [(&str, &str); 8] = [
    ("23h", "900h"),
    ("26h", "903h"),
    ("47h", "900h"),
    ("50h", "903h"),
    ("167h", "11h"),
    ("170h", "14h"),
    ("335h", "23h"),
    ("338h", "26h"),
];

#[test]
fn earlier_weeks_count_as_earlier_days_do() {
    let tools = tools_or_skip("earlier_weeks_count_as_earlier_days_do").expect("promtool");
    let Some(tools) = tools else { return };
    let directory = mpgate_testbed::directory().expect("a directory");
    let copy = |from: PathBuf, edit: &dyn Fn(String) -> String| {
        let text = fs::read_to_string(&from).expect("a file");
        let to = directory.path().join(from.file_name().expect("a name"));
        fs::write(&to, edit(text)).expect("written");
        to
    };
    copy(shipped().join("rules/senders.yml"), &|text| text);
    copy(shipped().join("rules/recording.yml"), &|mut text| {
        for (real, short) in SHORT_WEEKS {
            let (real, short) = (format!("offset {real}"), format!("offset {short}"));
            assert!(text.contains(&real), "no rule has '{real}'");
            text = text.replace(&real, &short);
        }
        text
    });
    let tests = copy(root().join("xtask/tests/alerts/weeks.yml"), &|text| text);
    promtool(&tools, &["test", "rules"], &tests).unwrap_or_else(|told| panic!("{told}"));
}

/// The tests of one alert: what it is expected to be, and how often it is expected not to be.
fn expectations(alert: &str) -> (Vec<String>, usize) {
    let selector = format!("alertname=\"{alert}\"");
    let tests = documents("tests").into_iter().flat_map(|file| list(&file["tests"]));
    let asked = tests.flat_map(|test| list(&test["promql_expr_test"]));
    let mut quiet = 0;
    let mut firing = Vec::new();
    for question in asked {
        let samples = list(&question["exp_samples"]);
        quiet += usize::from(samples.is_empty() && text(&question, "expr").contains(&selector));
        let labels = samples.iter().map(|sample| text(sample, "labels").to_owned());
        firing.extend(labels.filter(|labels| {
            labels.contains(&selector) && labels.contains(r#"alertstate="firing""#)
        }));
    }
    (firing, quiet)
}

#[test]
fn every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let mut broken = Vec::new();
    for (alert, _) in alerts() {
        let (firing, quiet) = expectations(&alert);
        if firing.is_empty() || quiet == 0 {
            broken.push(format!("{alert}: fires {} times, is quiet {quiet} times", firing.len()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_is_and_what_to_do() {
    let mut broken = Vec::new();
    for (alert, rule) in alerts() {
        let mut say = |what: &str| broken.push(format!("{alert}: {what}"));
        if !matches!(text(&rule["labels"], "severity"), "critical" | "warning") {
            say("severity is critical or warning");
        }
        let notes = &rule["annotations"];
        if text(notes, "runbook_url") != format!("{RUNBOOK}{}", alert.to_lowercase()) {
            say("runbook_url names its section of docs/alerts.md");
        }
        let (summary, description) = (text(notes, "summary"), text(notes, "description"));
        if summary.is_empty() || summary.len() > 130 || description.len() < 150 {
            say("summary is one line, description says what happens and what to do");
        }
        // A label that is not there is rendered as nothing.
        let (firing, _) = expectations(&alert);
        for label in (summary.to_owned() + description).split("$labels.").skip(1) {
            let label: String =
                label.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !firing.iter().all(|labels| labels.contains(&format!("{label}=\""))) {
                say(&format!("names the label {label}, which it does not have in every test"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_alerts_page_explains_each_alert_and_no_other() {
    let page = fs::read_to_string(root().join("docs/alerts.md")).expect("docs/alerts.md");
    let explained: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts = alerts();
    let shipped: BTreeSet<&str> = alerts.iter().map(|(alert, _)| &**alert).collect();
    assert_eq!(explained, shipped);
}

#[test]
fn the_reasons_that_rules_name_exist() {
    let known: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.label()).collect();
    let mut named = 0;
    for rule in rules() {
        for matcher in text(&rule, "expr").split("reason").skip(1) {
            let Some(values) =
                matcher.split('"').nth(1).filter(|_| matcher.starts_with(['=', '!']))
            else {
                continue;
            };
            for reason in values.split('|') {
                named += 1;
                let is_known = reason == "none" || known.contains(reason);
                assert!(is_known, "there is no reason '{reason}'");
            }
        }
    }
    assert!(named > 8, "{named}");
}
