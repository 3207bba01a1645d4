//! Completeness: what a backend posts, beside what gateways counted.

use serde_json::{Value, json};

use crate::harness::{Answer, Control, Directory};
use crate::rights::ACME;

/// Yesterday, in UTC: the day, and the second with which it begins.
fn yesterday() -> (String, i64) {
    let day = jiff::Timestamp::now().as_second() / 86_400 * 86_400 - 86_400;
    (day_of(day), day)
}

fn day_of(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).expect("a time").to_string();
    time.split('T').next().expect("a day").to_owned()
}

fn total(event: &str, currency: Option<&str>, count: i64, micros: i64) -> Value {
    json!({"sender": "billing", "stream": "G-A", "event": event, "currency": currency,
        "day": yesterday().0, "count": count, "valueMicros": micros})
}

async fn post(control: &Control, token: &str, totals: Value) -> Answer {
    control.as_(token, "POST", &format!("{ACME}:reconcile"), json!({"totals": totals})).await
}

async fn kept(control: &Control, filter: &str) -> Vec<Value> {
    let path = format!("{ACME}/reconciliations?filter={filter}");
    let list = control.get(&path).await.done();
    list["reconciliations"].as_array().expect("a list").clone()
}

/// A control whose gateway counted yesterday: 3 requests, 4 purchases of 25 EUR, one event without a name.
pub(crate) async fn world(directory: &Directory) -> (Control, String) {
    let control = Control::start(directory);
    control.two_tenants().await;
    let key = control.key("billing", &["G-A"]).await;
    let id = key["name"].as_str().and_then(|name| name.rsplit('/').next()).expect("an id");
    let gateway = control.gateway_token().await;
    let hour = yesterday().1 + 5 * 3_600;
    let report = json!({"gate": "edge", "vm": "0123456789abcdef", "sequence": 1, "keys": [{
        "key": id, "stream": "G-A", "hour": hour, "accepted": 3, "events": [
            {"name": "purchase", "count": 4, "values": [{"currency": "EUR", "micros": 25_000_000}]},
            {"name": "other", "count": 1, "values": []}]}]});
    control.as_(&gateway, "POST", "/v1/usageReports", report).await.done();
    let reporter = control.token("job", "reporter", &["acme"]).await;
    (control, reporter)
}

#[tokio::test]
async fn a_backend_learns_what_is_missing() {
    let directory = Directory::new();
    let (control, reporter) = world(&directory).await;
    let totals = json!([
        total("purchase", Some("EUR"), 4, 30_000_000),
        total("purchase", None, 1, 0),
        total("refund", None, 3, 0),
        total("signed_contract", None, 2, 0),
    ]);
    let answer = post(&control, &reporter, totals).await.done();
    let all = answer["reconciliations"].as_array().expect("a list");
    assert_eq!(all.len(), 3, "{answer}");
    let mut purchase = all[0].clone();
    assert!(purchase["reconcileTime"].take().is_string());
    assert_eq!(
        purchase,
        json!({"sender": "billing", "stream": "G-A", "event": "purchase", "day": yesterday().0,
            "state": "MEASURED", "count": 5, "gateCount": 4, "gapEvents": 1,
            "completenessRatio": 0.8, "values": [{"currency": "EUR", "valueMicros": 30_000_000,
                "gateValueMicros": 25_000_000, "gapValueMicros": 5_000_000}],
            "principal": "principals/job", "reconcileTime": null})
    );
    // A recommended name is never among the others: none of these came.
    let lost = &all[1];
    assert_eq!((&lost["state"], &lost["gapEvents"]), (&json!("MEASURED"), &json!(3)));
    assert_eq!(lost["completenessRatio"], 0.0);
    let unnamed = &all[2];
    assert_eq!(unnamed["state"], "UNMEASURED");
    assert_eq!(unnamed["unmeasuredReason"], "EVENT_NOT_NAMED");
    assert!(unnamed["gapEvents"].is_null() && unnamed["completenessRatio"].is_null());
    // It is kept, across a restart; posted again, the day is replaced.
    drop(control);
    let control = Control::start(&directory);
    assert_eq!(kept(&control, "").await, *all);
    let again = json!([total("purchase", Some("EUR"), 4, 25_000_000)]);
    for _ in 0..2 {
        let answer = post(&control, &reporter, again.clone()).await.done();
        assert_eq!(answer["reconciliations"][0]["gapEvents"], 0);
        assert_eq!(
            kept(&control, "").await,
            *answer["reconciliations"].as_array().expect("a list")
        );
    }
    assert_eq!(kept(&control, "state%20=%20UNMEASURED").await, Vec::<Value>::new());
    // Nothing here changes the list or the trail.
    let trail = control.trail(&control.admin).await;
    assert!(!trail.iter().any(|event| event.to_string().contains("reconcil")), "{trail:?}");
}

#[tokio::test]
async fn no_event_was_read_is_no_gap() {
    let directory = Directory::new();
    let (control, reporter) = world(&directory).await;
    let key = control.key("crm", &["G-A"]).await;
    let id = key["name"].as_str().and_then(|name| name.rsplit('/').next()).expect("an id");
    let gateway = control.gateway_token().await;
    let report = json!({"gate": "edge", "vm": "0123456789abcdef", "sequence": 1, "keys": [
        {"key": id, "stream": "G-A", "hour": yesterday().1, "accepted": 9}]});
    control.as_(&gateway, "POST", "/v1/usageReports", report).await.done();
    let mut row = total("purchase", Some("EUR"), 9, 1);
    row["sender"] = "crm".into();
    let answer = post(&control, &reporter, json!([row])).await.done();
    let one = &answer["reconciliations"][0];
    assert_eq!(
        (&one["state"], &one["unmeasuredReason"]),
        (&json!("UNMEASURED"), &json!("BODIES_NOT_READ"))
    );
    assert!(one["gapEvents"].is_null() && one["values"][0]["gapValueMicros"].is_null(), "{one}");
}

/// Each fault of each row is said; nothing is kept.
#[tokio::test]
async fn every_fault_is_said_with_its_place() {
    let directory = Directory::new();
    let (control, reporter) = world(&directory).await;
    let good = || total("purchase", Some("EUR"), 1, 1);
    let with = |member: &str, value: Value| {
        let mut row = good();
        row[member] = value;
        row
    };
    let day = yesterday().1;
    for (row, member, word) in [
        (json!("x"), "sender", "an object of"),
        (with("secret", json!("x")), "sender", "an object of"),
        (with("sender", json!("A")), "sender", "sender"),
        (with("sender", json!("crm")), "sender", "No API key"),
        (with("stream", json!("x")), "stream", "stream"),
        (with("stream", json!("G-O")), "stream", "no such data stream"),
        (with("event", json!("a b")), "event", "event"),
        (with("event", Value::Null), "event", "required"),
        (with("currency", json!("Euro")), "currency", "ISO 4217"),
        (with("currency", Value::Null), "currency", "has a currency"),
        (with("day", json!("20.11.2026")), "day", "a date of UTC"),
        (with("day", json!(day_of(day + 86_400))), "day", "not over"),
        (with("day", json!(day_of(day - 400 * 86_400))), "day", "400 days"),
        (with("count", json!(-1)), "count", "whole number"),
        (with("count", json!(1.5)), "count", "whole number"),
        (with("count", Value::Null), "count", "required"),
        (with("valueMicros", json!("1")), "valueMicros", "whole number"),
        (with("valueMicros", json!(u64::MAX)), "valueMicros", "whole number"),
    ] {
        let totals = json!([total("login", None, 1, 0), row, row]);
        let answer = post(&control, &reporter, totals).await;
        assert_eq!(answer.status, 400, "{row}: {}", answer.text);
        let problem = answer.json();
        let faults = problem["faults"].as_array().expect("faults");
        assert_eq!(faults[0]["field"], problem["field"], "{problem}");
        let said = |place: usize, member: &str, word: &str| {
            let field = format!("totals[{place}].{member}");
            faults.iter().any(|fault| {
                fault["field"] == field.as_str() && fault["detail"].to_string().contains(word)
            })
        };
        assert!(said(1, member, word), "{row}: {problem}");
        // The second is wrong in the same way, or said to be the first again.
        assert!(said(2, member, word) || said(2, "event", "totals[1]"), "{row}: {problem}");
    }
    let twice = post(&control, &reporter, json!([good(), good()])).await;
    assert!(twice.text.contains("totals[0]") && twice.status == 400, "{}", twice.text);
    for totals in [Value::Null, json!([]), json!({}), json!(vec![1; 5_001])] {
        assert_eq!(post(&control, &reporter, totals).await.status, 400);
    }
    let large = json!([with("event", json!("x".repeat(1024 * 1024)))]);
    assert_eq!(post(&control, &reporter, large).await.status, 413);
    let many: Vec<_> = (0..201).map(|at| total(&format!("e{at}"), None, 1, 0)).collect();
    assert!(post(&control, &reporter, json!(many)).await.text.contains("At most 200 events"));
    assert_eq!(kept(&control, "").await, Vec::<Value>::new());
}

/// Rows: who, and what they are told.
#[tokio::test]
async fn a_reporter_posts_and_does_nothing_else() {
    let directory = Directory::new();
    let (control, reporter) = world(&directory).await;
    let owner = control.token("owner", "owner", &["acme"]).await;
    let elsewhere = control.token("elsewhere", "reporter", &["other"]).await;
    let viewer = control.token("viewer", "viewer", &[]).await;
    for (token, status) in
        [(&control.admin, 200), (&owner, 200), (&reporter, 200), (&elsewhere, 403), (&viewer, 403)]
    {
        let answer = post(&control, token, json!([total("purchase", None, 1, 0)])).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    for path in [ACME, "/v1/principals", "/v1/allowlist/changes", "/v1/gateways"] {
        assert_eq!(control.as_(&reporter, "GET", path, json!({})).await.status, 403, "{path}");
    }
}
