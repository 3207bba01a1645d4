//! What gateways counted: reported, counted once, shown.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::harness::{Answer, Control, Directory, is_skipped_on_postgres};

const VM: &str = "0123456789abcdef";

/// The hour that a report is about: the present one, so that it is within the last day.
fn this_hour() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    now.as_secs() / 3_600 * 3_600
}

fn id(key: &Value) -> &str {
    key["name"].as_str().and_then(|name| name.rsplit('/').next()).expect("a name")
}

fn report(sequence: u64, keys: &Value) -> Value {
    json!({"gate": "edge", "vm": VM, "sequence": sequence, "keys": keys})
}

fn used(key: &Value) -> Value {
    let hour = this_hour();
    json!({"key": id(key), "stream": "G-A", "hour": hour, "accepted": 2, "last_accept_time": hour + 5,
        "last_refuse_time": hour + 6, "refused": [{"name": "event_not_granted", "count": 1}],
        "dry_run": [{"name": "exposed", "count": 3}],
        "events": [{"name": "purchase", "count": 2, "values": [{"currency": "EUR", "micros": 2_500_000}]}],
        "timed": 2, "delay_seconds": 9})
}

async fn send(control: &Control, token: &str, report: &Value) -> Answer {
    control.call("POST", "/v1/usageReports", Some(token), Some(report)).await
}

async fn usage(control: &Control, query: &str) -> Value {
    control.get(&format!("/v1/measurementConsumers/acme:usage{query}")).await.done()
}

/// A control with a stream, a key of `billing` and a gateway's token.
async fn world(directory: &Directory) -> (Control, Value, String) {
    let control = Control::start(directory);
    control.acme().await;
    control.stream("G-A").await;
    let key = control.key("billing", &["G-A"]).await;
    let token = control.gateway_token().await;
    (control, key, token)
}

/// A report that waited for its turn is judged by what its gateway is then.
#[tokio::test]
async fn no_report_counts_after_its_gateway_was_revoked() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let (control, key, token) = world(&directory).await;
    let list = control.get("/v1/principals").await.done();
    let gateway = list["principals"][1]["name"].as_str().expect("a name").to_owned();
    let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
    let mut connection = options.connect().await.expect("the database");
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.expect("the lock");
    let first = report(1, &json!([used(&key)]));
    let mut waiting = Vec::new();
    for (method, path, body, token) in [
        ("DELETE", format!("/v1/{gateway}"), Value::Null, &control.admin),
        ("POST", "/v1/usageReports".to_owned(), first, &token),
    ] {
        let mut request = control.request(method, &path).json(&body).build().expect("a request");
        let bearer = format!("Bearer {token}").parse().expect("a header");
        request.headers_mut().insert("authorization", bearer);
        let client = reqwest::Client::new();
        let request = reqwest::RequestBuilder::from_parts(client, request);
        waiting.push(tokio::spawn(Control::send(request)));
        // Control answers these after it has come to that.
        for _ in 0..10 {
            control.get("/v1/measurementConsumers").await.done();
        }
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.expect("the lock is given back");
    let mut statuses = Vec::new();
    for answer in waiting {
        statuses.push(answer.await.expect("it ends").expect("an answer").status);
    }
    assert_eq!(statuses, [200, 401]);
    assert_eq!(usage(&control, "").await["usage"], json!([]));
    connection.close().await.expect("closed");
}

#[tokio::test]
async fn a_report_counts_once_also_after_a_restart() {
    let directory = Directory::new();
    let (control, key, token) = world(&directory).await;
    let first = report(1, &json!([used(&key)]));
    assert_eq!(send(&control, &token, &first).await.done(), json!({"counted": true}));
    assert_eq!(send(&control, &token, &first).await.done(), json!({"counted": false}));
    drop(control);
    let control = Control::start(&directory);
    assert_eq!(send(&control, &token, &first).await.done(), json!({"counted": false}));
    let next = report(2, &json!([used(&key), used(&key)]));
    assert_eq!(send(&control, &token, &next).await.done(), json!({"counted": true}));
    // Another VM counts for itself, and so does another gateway.
    let mut other = first.clone();
    other["vm"] = "fedcba9876543210".into();
    assert_eq!(send(&control, &token, &other).await.done(), json!({"counted": true}));
    let second = control.gateway_token().await;
    assert_eq!(send(&control, &second, &first).await.done(), json!({"counted": true}));

    let rows = usage(&control, "").await["usage"].clone();
    let expected = json!([{"sender": "billing", "apiKey": key["name"], "accepted": 10, "refused": 5,
        "refusedByReason": {"event_not_granted": 5}, "dryRun": 15, "dryRunByReason": {"exposed": 15},
        "events": 10, "eventsByName": {"purchase": 10},
        "valueMicros": {"purchase": {"EUR": 12_500_000}}, "meanDelaySeconds": 4}]);
    assert_eq!(rows, expected);
    let shown = control.get(&format!("/v1/{}", key["name"].as_str().expect("a name"))).await.done();
    assert!(shown["lastAcceptTime"].is_string() || shown["lastUseTime"].is_string(), "{shown}");
    assert!(!shown["advice"].to_string().contains("NEVER_USED"), "{shown}");
}

#[tokio::test]
async fn sums_are_by_what_is_asked_for() {
    let directory = Directory::new();
    let (control, key, token) = world(&directory).await;
    let other = control.key("crm", &["G-A"]).await;
    let old = |mut usage: Value, hours: u64| {
        usage["hour"] = (this_hour() - hours * 3_600).into();
        usage
    };
    let keys = json!([used(&key), old(used(&key), 2), old(used(&other), 72), used(&other)]);
    send(&control, &token, &report(1, &keys)).await.done();
    let all = "startTime=2020-01-01T00:00:00Z";
    for (query, rows, accepted) in [
        ("", 2, 6),
        ("?groupBy=sender", 2, 6),
        ("?groupBy=hour", 3, 6),
        ("?groupBy=apiKey,stream,hour", 3, 6),
        ("?sender=billing", 1, 4),
        ("?sender=nobody", 0, 0),
        (&format!("?apiKey={}", id(&other)), 1, 2),
        (&format!("?{all}"), 2, 8),
        (&format!("?{all}&groupBy=hour"), 4, 8),
        (&format!("?{all}&endTime=2020-01-02T00:00:00Z"), 0, 0),
    ] {
        let list = usage(&control, query).await["usage"].clone();
        let list = list.as_array().expect("rows");
        let sum: i64 = list.iter().map(|row| row["accepted"].as_i64().expect("a count")).sum();
        assert_eq!((list.len(), sum), (rows, accepted), "{query}: {list:?}");
    }
    for bad in [
        "?groupBy=x",
        "?groupBy=hour,day",
        "?sender=A",
        "?apiKey=1",
        "?x=1",
        "?startTime=2030-01-01T00:00:00Z",
    ] {
        let path = format!("/v1/measurementConsumers/acme:usage{bad}");
        assert_eq!(control.get(&path).await.status, 400, "{bad}");
    }
    for (method, path, status) in [
        ("GET", "/v1/measurementConsumers/nobody:usage", 404),
        ("POST", "/v1/measurementConsumers/acme:usage", 405),
        ("DELETE", "/v1/measurementConsumers/acme:usage", 405),
        ("GET", "/v1/measurementConsumers/acme:use", 404),
    ] {
        let answer = control.call(method, path, Some(&control.admin), None).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_gateway_speaks_of_its_own_keys_only() {
    let directory = Directory::new();
    let (control, key, _) = world(&directory).await;
    let bound = |principal: Value| async {
        let made = control.post("/v1/principals", principal).await.done();
        made["token"].as_str().expect("a token").to_owned()
    };
    let path = "/v1/measurementConsumers?measurementConsumerId=else";
    control.post(path, json!({})).await.done();
    let staging = bound(json!({"role": "gateway", "environment": "staging"})).await;
    let elsewhere =
        bound(json!({"role": "gateway", "measurementConsumers": ["measurementConsumers/else"]}))
            .await;
    let own =
        bound(json!({"role": "gateway", "measurementConsumers": ["measurementConsumers/acme"]}))
            .await;
    let mut stranger = used(&key);
    stranger["key"] = "zzzzzzzzzzzz".into();
    let said = report(1, &json!([used(&key), stranger]));
    for (token, accepted) in [(&staging, 0), (&elsewhere, 0), (&own, 2)] {
        assert_eq!(send(&control, token, &said).await.done(), json!({"counted": true}));
        let rows = usage(&control, "").await["usage"].clone();
        assert_eq!(rows[0]["accepted"].as_i64().unwrap_or(0), accepted, "{rows}");
    }
    let log = std::fs::read_to_string(directory.join("log")).expect("the log");
    assert!(
        log.contains(r#""keys_not_its_own":2"#) && log.contains(r#""keys_not_its_own":1"#),
        "{log}"
    );
    assert_eq!(
        send(&control, &control.admin, &said).await.status,
        403,
        "numbers are the gates' own"
    );
}

#[tokio::test]
async fn a_report_that_is_wrong_anywhere_counts_nowhere() {
    let directory = Directory::new();
    let (control, key, token) = world(&directory).await;
    let mut wrong = used(&key);
    wrong["hour"] = 1.into();
    for (body, status) in [
        (report(1, &json!([used(&key), wrong])), 400),
        (report(0, &json!([used(&key)])), 400),
        (report(1, &json!(vec![used(&key); 51])), 400),
        (json!({}), 400),
        (json!({"pad": "x".repeat(1024 * 1024)}), 413),
    ] {
        assert_eq!(send(&control, &token, &body).await.status, status);
    }
    assert_eq!(usage(&control, "").await["usage"], json!([]));
    // An hour that cannot be is the present one: a gate's clock may be wrong, its counts are not.
    for hour in [0_u64, this_hour() + 720_000] {
        let mut usage = used(&key);
        usage["hour"] = hour.into();
        usage["last_accept_time"] = (this_hour() + 720_000).into();
        send(&control, &token, &report(hour + 1, &json!([usage]))).await.done();
    }
    assert_eq!(usage(&control, "").await["usage"][0]["accepted"], 4);
}

/// A hostile gateway can make its own numbers absurd, and nothing worse.
#[tokio::test]
async fn absurd_numbers_are_held() {
    let directory = Directory::new();
    let (control, key, token) = world(&directory).await;
    let most = 9_000_000_000_000_000_i64;
    let mut absurd = used(&key);
    absurd["events"] = json!([{"name": "other", "count": 1, "values":
        vec![json!({"currency": "EUR", "micros": most}); 64]}]);
    for sequence in 1..=12 {
        let said = report(sequence, &json!(vec![absurd.clone(); 50]));
        send(&control, &token, &said).await.done();
    }
    let rows = usage(&control, "").await["usage"].clone();
    assert_eq!(rows[0]["valueMicros"]["other"]["EUR"], 4_000_000_000_000_000_000_i64);
}

#[tokio::test]
async fn the_advice_follows_the_use() {
    let directory = Directory::new();
    let (control, key, token) = world(&directory).await;
    let path = format!("/v1/{}", key["name"].as_str().expect("a name"));
    control.delete(&path).await.done();
    let advice = |shown: &Value| shown["advice"].to_string();
    let shown = control.get(&path).await.done();
    assert!(!advice(&shown).contains("STILL_TRIED"), "{shown}");
    let mut tried = used(&key);
    // Times ahead of control's are taken to be now.
    tried["last_refuse_time"] = (this_hour() + 7_200).into();
    send(&control, &token, &report(1, &json!([tried]))).await.done();
    let shown = control.get(&path).await.done();
    assert!(advice(&shown).contains("STILL_TRIED"), "{shown}");
}
