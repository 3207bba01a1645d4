//! Which gateways there are and how far each has come.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{ACME, names, text};
use crate::harness::{Control, Directory, is_skipped_on_postgres};

/// Asks as a gate does; answers the page.
async fn greet(control: &Control, token: &str, query: &str, headers: &[(&str, &str)]) -> Value {
    let url = format!("{}/v1/allowlist/changes{query}", control.url);
    let mut request = reqwest::Client::new().get(url).bearer_auth(token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Control::send(request).await.expect("an answer").done()
}

const ALL: &str = "events,source_networks,certificate_names";

fn of(instance: &'static str, capabilities: &'static str) -> [(&'static str, &'static str); 5] {
    [
        ("x-mpgate-gate", "front"),
        ("x-mpgate-node", "envoy-1"),
        ("x-mpgate-instance", instance),
        ("x-mpgate-version", "0.1.0"),
        ("x-mpgate-capabilities", capabilities),
    ]
}

#[tokio::test]
async fn receipts_come_from_what_a_gateway_says_of_itself() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let edge = control.token("edge", "gateway", &[]).await;
    let page = greet(&control, &edge, "", &of("00000000000000aa", ALL)).await;
    let epoch = text(&page, "epoch").to_owned();
    let find = async |id: &str| control.get(&format!("/v1/gateways/{id}")).await.done();
    let first = find("edge.00000000000000aa.front").await;
    let mut shown = first.clone();
    assert!(shown.as_object_mut().and_then(|it| it.remove("lastSeenTime")).is_some());
    assert_eq!(
        shown,
        json!({"name": "gateways/edge.00000000000000aa.front", "principal": "principals/edge",
            "instance": "00000000000000aa", "gate": "front", "node": "envoy-1", "version": "0.1.0",
            "capabilities": ["events", "source_networks", "certificate_names"], "revision": 0,
            "lag": 2, "state": "LIVE"})
    );
    // What it asks for next is what it enforces.
    for (query, revision, lag) in [
        (format!("?epoch={epoch}&since=1"), 1, 1),
        (format!("?epoch={epoch}&since=2"), 2, 0),
        ("?epoch=other&since=2".to_owned(), 0, 2),
        (format!("?epoch={epoch}&since=2"), 2, 0),
    ] {
        greet(&control, &edge, &query, &of("00000000000000aa", ALL)).await;
        let seen = find("edge.00000000000000aa.front").await;
        assert_eq!((&seen["revision"], &seen["lag"]), (&json!(revision), &json!(lag)), "{query}");
    }
    control.key("billing", &["G-A"]).await;
    assert_eq!(find("edge.00000000000000aa.front").await["lag"], 1, "behind by what came since");
    // Another Envoy with the same token is another gateway; one that says nothing is one too.
    greet(&control, &edge, "", &of("00000000000000bb", "")).await;
    greet(&control, &edge, "", &[]).await;
    // Rows of: what nobody would send. It is shown cut or not at all, and breaks nothing.
    let long = "x".repeat(3_000);
    let odd = [
        ("x-mpgate-instance", "NOT-HEX"),
        ("x-mpgate-gate", "not.a/gate"),
        ("x-mpgate-node", &long),
    ];
    greet(&control, &edge, "", &odd).await;
    let list = control.get("/v1/gateways").await.done();
    let expected = [
        "gateways/edge",
        "gateways/edge.00000000000000aa.front",
        "gateways/edge.00000000000000bb.front",
    ];
    assert_eq!(names(&list, "gateways"), expected);
    assert_eq!(list["head"], 3);
    assert_eq!(list["gateways"][0]["node"].as_str().map(str::len), Some(255));
    // An admin who looks at the feed is no gateway.
    control.get("/v1/allowlist/changes").await.done();
    assert_eq!(names(&control.get("/v1/gateways").await.done(), "gateways").len(), 3);
}

#[tokio::test]
async fn a_gateway_that_is_not_heard_of_is_silent_and_then_forgotten() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let edge = control.token("edge", "gateway", &[]).await;
    greet(&control, &edge, "", &of("00000000000000aa", ALL)).await;
    assert!(control.terminate().success(), "what was heard is written");
    for (age, state) in [(50, Some("LIVE")), (90, Some("SILENT")), (90_000, None)] {
        let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
        let mut connection = options.connect().await.expect("the database");
        sqlx::query("UPDATE gateways SET last_seen_millis = (unixepoch() - ?) * 1000")
            .bind(age)
            .execute(&mut connection)
            .await
            .expect("older");
        connection.close().await.expect("closed");
        let control = Control::start(&directory);
        let list = control.get("/v1/gateways").await.done();
        assert_eq!(list["gateways"][0]["state"].as_str(), state, "after {age} s: {list}");
        assert!(control.terminate().success());
    }
}

/// Gateway `edge.00000000000000aa.front`, which was last heard of 90 s ago, and its token.
async fn silent(directory: &Directory) -> (Control, String) {
    let control = Control::start(directory);
    control.two_tenants().await;
    let edge = control.token("edge", "gateway", &[]).await;
    greet(&control, &edge, "", &of("00000000000000aa", ALL)).await;
    assert!(control.terminate().success(), "what was heard is written");
    let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
    let mut connection = options.connect().await.expect("the database");
    let older = "UPDATE gateways SET first_seen_millis = first_seen_millis - 90000,
        last_seen_millis = last_seen_millis - 90000";
    sqlx::query(older).execute(&mut connection).await.expect("older");
    connection.close().await.expect("closed");
    let control = Control::start(directory);
    let list = control.get("/v1/gateways").await.done();
    assert_eq!(list["gateways"][0]["state"], "SILENT", "{list}");
    (control, edge)
}

#[tokio::test]
async fn an_envoy_that_is_started_again_takes_the_place_of_its_former_life() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let (control, edge) = silent(&directory).await;
    greet(&control, &edge, "", &of("00000000000000bb", ALL)).await;
    let list = control.get("/v1/gateways").await.done();
    assert_eq!(names(&list, "gateways"), ["gateways/edge.00000000000000bb.front"]);
    // It was cut off, then: both share the node id.
    greet(&control, &edge, "", &of("00000000000000aa", ALL)).await;
    let list = control.get("/v1/gateways").await.done();
    assert_eq!(names(&list, "gateways").len(), 2);
}

#[tokio::test]
async fn a_silent_gateway_is_forgotten_until_it_speaks() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let (control, edge) = silent(&directory).await;
    let path = "/v1/gateways/edge.00000000000000aa.front";
    let once = "?requestId=00000000-0000-4000-8000-000000000001";
    for replay in 0..2 {
        let gone = control.delete(&format!("{path}{once}")).await.done();
        assert_eq!(gone["state"], "FORGOTTEN", "{replay}: {gone}");
    }
    assert_eq!(names(&control.get("/v1/gateways").await.done(), "gateways").len(), 0);
    assert_eq!(control.get(path).await.status, 404);
    assert_eq!(control.delete(path).await.status, 404);
    let trail = control.get("/v1/auditEvents").await.done();
    let told = trail["auditEvents"].as_array().and_then(|events| events.last()).expect("an event");
    assert_eq!(
        (&told["action"], &told["resource"], &told["before"]["state"], &told["principal"]),
        (
            &json!("delete"),
            &json!("gateways/edge.00000000000000aa.front"),
            &json!("SILENT"),
            &json!("principals/admin")
        )
    );
    greet(&control, &edge, "", &of("00000000000000aa", ALL)).await;
    assert_eq!(control.get(path).await.done()["state"], "LIVE");
    let alive = control.delete(path).await;
    assert_eq!(alive.status, 409, "{}", alive.text);
    assert!(alive.text.contains("is alive") && alive.text.contains("60 s"), "{}", alive.text);
}

#[tokio::test]
async fn owners_see_the_gateways_that_serve_them() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let owner = control.token("owner", "owner", &["acme"]).await;
    for (id, consumers) in [
        ("all", &[][..]),
        ("both", &["acme", "other"]),
        ("ours", &["acme"]),
        ("theirs", &["other"]),
    ] {
        let token = control.token(id, "gateway", consumers).await;
        greet(&control, &token, "", &of("00000000000000aa", ALL)).await;
    }
    let see = async |token: &str, path: &str| control.as_(token, "GET", path, json!({})).await;
    let list = see(&owner, "/v1/gateways").await.done();
    let expected =
        ["all", "both", "ours"].map(|id| format!("gateways/{id}.00000000000000aa.front"));
    assert_eq!(names(&list, "gateways"), expected);
    let acme = json!(["measurementConsumers/acme"]);
    let served: Vec<_> =
        (0..3).map(|at| list["gateways"][at]["measurementConsumers"].clone()).collect();
    assert_eq!(
        served,
        [json!(null), acme.clone(), acme],
        "whom else it serves is not theirs to know"
    );
    let one = see(&owner, "/v1/gateways/both.00000000000000aa.front").await;
    assert!(!one.text.contains("measurementConsumers/other"), "{}", one.text);
    let foreign = see(&owner, "/v1/gateways/theirs.00000000000000aa.front").await;
    let missing = see(&owner, "/v1/gateways/nobody.00000000000000aa.front").await;
    assert_eq!((foreign.status, foreign.text), (missing.status, missing.text));
    let all = see(&control.admin, "/v1/gateways").await.done();
    assert_eq!(names(&all, "gateways").len(), 4);
    let both = json!(["measurementConsumers/acme", "measurementConsumers/other"]);
    assert_eq!(all["gateways"][1]["measurementConsumers"], both);
}

/// Rows of: what a key asks for, and which gateways are named as lacking it.
#[tokio::test]
async fn a_key_that_some_gateway_cannot_enforce_is_made_with_a_warning() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let able = control.token("able", "gateway", &[]).await;
    let old = control.token("old", "gateway", &["acme"]).await;
    let theirs = control.token("theirs", "gateway", &["other"]).await;
    greet(&control, &able, "", &of("00000000000000aa", ALL)).await;
    greet(&control, &old, "", &of("00000000000000bb", "events")).await;
    greet(&control, &theirs, "", &of("00000000000000cc", "")).await;
    let keys = format!("{ACME}/apiKeys");
    for (members, lacking) in [
        (json!({}), None),
        (json!({"events": ["purchase"]}), None),
        (json!({"sourceNetworks": ["10.0.0.0/8"]}), Some("source_networks")),
        (json!({"certificateNames": ["crm.acme.example"]}), Some("certificate_names")),
    ] {
        let mut body = json!({"sender": "crm", "dataStreams": ["G-A"]});
        for (name, value) in members.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let made = control.post(&keys, body.clone()).await.done();
        let rotated = format!("/v1/{}:rotate", text(&made, "name"));
        let rotated = control.post(&rotated, json!({})).await.done();
        for answer in [&made, &rotated] {
            assert!(answer["authenticationKey"].is_string());
            let warnings = answer["warnings"].as_array().cloned().unwrap_or_default();
            assert_eq!(warnings.len(), usize::from(lacking.is_some()), "{body}: {answer}");
            if let Some(lacking) = lacking {
                let warning = warnings[0].as_str().expect("text");
                assert!(warning.contains("old.00000000000000bb.front"), "{warning}");
                assert!(warning.contains(lacking) && warning.contains("0.1.0"), "{warning}");
            }
        }
        // A warning is said, and not kept.
        let got = control.get(&format!("/v1/{}", text(&made, "name"))).await.done();
        assert_eq!(got["warnings"], json!(null));
    }
    let plain = control.key("billing", &["G-A"]).await;
    let path = format!("/v1/{}", text(&plain, "name"));
    let patched = control.patch(&path, json!({"sourceNetworks": ["10.0.0.0/8"]})).await.done();
    assert_eq!(patched["warnings"].as_array().map(Vec::len), Some(1), "{patched}");
}

/// Many who look at once are all answered: none holds one reader while it waits for another.
#[tokio::test]
async fn many_may_look_at_once() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let mut looking = tokio::task::JoinSet::new();
    for _ in 0..200 {
        looking.spawn(Control::send(control.request("GET", "/v1/gateways")));
    }
    for answer in looking.join_all().await {
        assert_eq!(answer.expect("an answer").status, 200);
    }
}
