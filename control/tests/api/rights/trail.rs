//! Each change leaves one event, and what changed nothing leaves none.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{ACME, OTHER, path, text};
use crate::harness::{Control, Directory, is_skipped_on_postgres};

/// What one change is called in the trail.
struct Expected {
    action: &'static str,
    resource: String,
    consumer: Option<&'static str>,
    has_revision: bool,
    has_before: bool,
}

/// Method, path, body, and the event. `{key}` is the key that the last answer named, `{token}` the first
/// one of the viewer.
fn changes() -> Vec<(&'static str, String, Value, Expected)> {
    let key = "{key}";
    let acme = Some("measurementConsumers/acme");
    let stream = "measurementConsumers/acme/dataStreams/G-A";
    let body = json!({"streamId": "G-A", "environment": "production", "upstreamSecret": "none"});
    let issue = json!({"sender": "crm", "dataStreams": ["G-A"]});
    let adopt =
        json!({"sender": "ga4", "dataStreams": ["G-A"], "secret": "Kd9fZ-3nQ_x8WbT1yVr0Lg"});
    let viewer = "principals/viewer";
    let row = |action, resource: &str, consumer, has_revision, has_before| Expected {
        action,
        resource: resource.to_owned(),
        consumer,
        has_revision,
        has_before,
    };
    vec![
        (
            "POST",
            "/v1/measurementConsumers?measurementConsumerId=acme".to_owned(),
            json!({}),
            row("create", "measurementConsumers/acme", acme, false, false),
        ),
        (
            "PATCH",
            ACME.to_owned(),
            json!({"displayName": "Acme"}),
            row("update", "measurementConsumers/acme", acme, false, true),
        ),
        ("POST", format!("{ACME}/dataStreams"), body, row("create", stream, acme, true, false)),
        (
            "PATCH",
            format!("/v1/{stream}"),
            json!({"mode": "off"}),
            row("update", stream, acme, true, true),
        ),
        ("POST", format!("{ACME}/apiKeys"), issue, row("create", key, acme, true, false)),
        (
            "PATCH",
            "/v1/{key}".to_owned(),
            json!({"nickname": "a"}),
            row("update", key, acme, true, true),
        ),
        ("POST", "/v1/{key}:disable".to_owned(), json!({}), row("disable", key, acme, true, true)),
        ("POST", "/v1/{key}:enable".to_owned(), json!({}), row("enable", key, acme, true, true)),
        ("POST", "/v1/{key}:rotate".to_owned(), json!({}), row("rotate", key, acme, true, true)),
        ("DELETE", "/v1/{key}".to_owned(), json!({}), row("delete", key, acme, true, true)),
        ("POST", format!("{ACME}/apiKeys:adopt"), adopt, row("adopt", key, acme, true, false)),
        (
            "POST",
            "/v1/principals".to_owned(),
            json!({"principalId": "viewer", "role": "viewer"}),
            row("create", viewer, None, false, false),
        ),
        (
            "PATCH",
            "/v1/principals/viewer".to_owned(),
            json!({"measurementConsumers": ["measurementConsumers/acme"]}),
            row("update", viewer, None, false, true),
        ),
        (
            "POST",
            "/v1/principals/viewer:rotate".to_owned(),
            json!({}),
            row("rotate", viewer, None, false, true),
        ),
        (
            "DELETE",
            "/v1/principals/viewer/tokens/{token}".to_owned(),
            json!({}),
            row("delete", "principals/viewer/tokens/{token}", None, false, true),
        ),
        (
            "DELETE",
            "/v1/principals/viewer".to_owned(),
            json!({}),
            row("delete", viewer, None, false, true),
        ),
    ]
}

#[tokio::test]
async fn each_change_leaves_one_event() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let mut events = control.trail(&control.admin).await.len();
    let mut seen = Vec::new();
    let mut last_key = String::new();
    for (number, (method, path, body, expected)) in changes().into_iter().enumerate() {
        let mut token = String::new();
        if path.contains("{token}") {
            let tokens = control.get("/v1/principals/viewer/tokens").await.done();
            text(&tokens["tokens"][0], "name")
                .rsplit('/')
                .next()
                .expect("an id")
                .clone_into(&mut token);
        }
        let filled = |text: &str| text.replace("{key}", &last_key).replace("{token}", &token);
        let request =
            control.request(method, &filled(&path)).header("x-request-id", format!("r-{number}"));
        let request = if method == "DELETE" { request } else { request.json(&body) };
        let answer = Control::send(request).await.expect("an answer");
        assert_eq!(answer.header("x-request-id"), format!("r-{number}"));
        let mut changed = answer.done();
        if text(&changed, "name").contains("/apiKeys/") {
            text(&changed, "name").clone_into(&mut last_key);
        }
        let trail = control.trail(&control.admin).await;
        events += 1;
        assert_eq!(trail.len(), events, "{method} {path}: one event");
        let event = &trail[0];
        let name = expected.resource.replace("{key}", &last_key).replace("{token}", &token);
        assert_eq!((text(event, "action"), text(event, "resource")), (expected.action, &*name));
        assert_eq!(event["principal"], "principals/admin");
        assert_eq!(event["source"], "127.0.0.1");
        assert_eq!(event["requestId"], format!("r-{number}"));
        assert_eq!(event["measurementConsumer"].as_str(), expected.consumer, "{event}");
        assert!(text(event, "time").ends_with('Z'));
        assert_eq!(event["revision"].is_u64(), expected.has_revision, "{event}");
        assert_eq!(event["before"].is_object(), expected.has_before, "{event}");
        for member in ["authenticationKey", "token", "advice", "warnings"] {
            changed.as_object_mut().expect("an object").remove(member);
        }
        assert_eq!(event["after"], changed, "{method} {path}");
        if expected.has_revision {
            assert_eq!(event["revision"], changed["revision"]);
        }
        seen.insert(0, event.clone());
    }
    let trail = control.trail(&control.admin).await;
    assert_eq!(trail[..seen.len()], seen[..], "newest first, and nothing was rewritten");
    let oldest_first = control.get("/v1/auditEvents?pageSize=1000").await.done();
    let mut oldest_first = oldest_first["auditEvents"].as_array().expect("a list").clone();
    oldest_first.reverse();
    assert_eq!(oldest_first, trail);
    let first = trail.last().expect("the first admin's");
    assert_eq!(text(first, "resource"), "principals/admin");
}

#[tokio::test]
async fn what_changes_nothing_leaves_no_event() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let viewer = control.token("viewer", "viewer", &[]).await;
    let once = "requestId=7f3c5a52-0c1b-4d6e-9a37-1f2e3d4c5b6a";
    let keys = format!("{ACME}/apiKeys?{once}");
    let body = json!({"sender": "crm", "dataStreams": ["G-A"]});
    let key = control.post(&keys, body.clone()).await.done();
    let gone = control.key("gone", &["G-A"]).await;
    control.delete(&path(&gone)).await.done();
    let admin = control.admin.as_str();
    let before = control.trail(admin).await;
    // Rows of: who, method, path, body, status.
    for (who, method, path, body, status) in [
        (admin, "POST", keys, body.clone(), 200),
        (admin, "PATCH", path(&key), json!({}), 200),
        (admin, "PATCH", path(&key), json!({"nickname": "", "events": null}), 200),
        (admin, "POST", format!("{}:enable", path(&key)), json!({}), 200),
        (admin, "DELETE", path(&gone), json!({}), 200),
        (admin, "PATCH", ACME.to_owned(), json!({"displayName": ""}), 200),
        (admin, "PATCH", format!("{ACME}/dataStreams/G-A"), json!({"upstreamSecret": "none"}), 200),
        (admin, "PATCH", "/v1/principals/viewer".to_owned(), json!({"displayName": ""}), 200),
        (admin, "PATCH", path(&key), json!({"nickname": "x", "etag": "r0"}), 409),
        (admin, "PATCH", path(&key), json!({"nickname": 7}), 400),
        (admin, "DELETE", format!("{ACME}/dataStreams/G-A"), json!({}), 409),
        (admin, "DELETE", "/v1/principals/admin".to_owned(), json!({}), 409),
        (
            admin,
            "POST",
            format!("{ACME}/apiKeys"),
            json!({"sender": "x", "dataStreams": ["G-X"]}),
            400,
        ),
        (&viewer, "DELETE", path(&key), json!({}), 403),
        (&viewer, "POST", format!("{ACME}/apiKeys"), body, 403),
        ("mpt_no", "DELETE", path(&key), json!({}), 401),
    ] {
        let answer = control.as_(who, method, &path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert_eq!(control.trail(admin).await, before, "{method} {path}");
    }
}

#[tokio::test]
async fn owners_read_what_is_theirs() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let owner = control.token("owner", "owner", &["acme"]).await;
    let bound = control.token("bound", "viewer", &["acme"]).await;
    let viewer = control.token("viewer", "viewer", &[]).await;
    control.key_of(OTHER, "secret-project", "G-O").await;
    let keys = format!("{ACME}/apiKeys");
    let body = json!({"sender": "crm", "dataStreams": ["G-A"]});
    control.as_(&owner, "POST", &keys, body).await.done();
    let all = control.trail(&control.admin).await;
    assert_eq!(control.trail(&viewer).await, all);
    let own: Vec<_> = all
        .iter()
        .filter(|event| event["measurementConsumer"] == "measurementConsumers/acme")
        .cloned()
        .collect();
    assert_eq!(own.len(), 3);
    assert_eq!(own[0]["principal"], "principals/owner");
    for token in [&owner, &bound] {
        assert_eq!(control.trail(token).await, own);
        let filter = "filter=measurementConsumer%3A%22measurementConsumers%2Fother%22";
        let path = format!("/v1/auditEvents?{filter}");
        let answer = control.as_(token, "GET", &path, json!({})).await;
        assert!(!answer.text.contains("other") && !answer.text.contains("secret-project"));
    }
}

/// Nothing after the event that shut somebody out is theirs: a change that waited for its turn is refused.
#[tokio::test]
async fn no_change_comes_after_its_principal_was_revoked() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let owner = control.token("owner", "owner", &["acme"]).await;
    let bound = control.token("bound", "owner", &["acme", "other"]).await;
    let (keys, others) = (format!("{ACME}/apiKeys"), format!("{OTHER}/apiKeys"));
    let body = |stream: &str| json!({"sender": "crm", "dataStreams": [stream]});
    // Somebody holds the database: the first change waits for it, and the others for the first.
    let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
    let mut connection = options.connect().await.expect("the database");
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.expect("the lock");
    let mut waiting = Vec::new();
    let acme = json!({"measurementConsumers": ["measurementConsumers/acme"]});
    let delete = control.request("DELETE", "/v1/principals/owner");
    let bind = control.request("PATCH", "/v1/principals/bound").json(&acme);
    let create = |path: &str, stream: &str| control.request("POST", path).json(&body(stream));
    for (request, token) in [
        (delete, &control.admin),
        (bind, &control.admin),
        (create(&keys, "G-A"), &owner),
        (create(&others, "G-O"), &bound),
        (create(&keys, "G-A"), &bound),
    ] {
        let mut request = request.build().expect("a request");
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
    assert_eq!(statuses, [200, 200, 401, 403, 200]);
    let trail = control.trail(&control.admin).await;
    let who: Vec<_> = trail[..3].iter().map(|event| text(event, "principal")).collect();
    assert_eq!(who, ["principals/bound", "principals/admin", "principals/admin"]);
    connection.close().await.expect("closed");
}

#[tokio::test]
async fn no_secret_is_in_the_trail_or_the_database() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let adopted = "Kd9fZ-3nQ_x8WbT1yVr0Lg";
    let mut secrets = vec![control.admin.clone(), adopted.to_owned()];
    let issued = control.key("billing", &["G-A"]).await;
    let rotate = format!("{}:rotate?requestId=7f3c5a52-0c1b-4d6e-9a37-1f2e3d4c5b6a", path(&issued));
    let rotated = control.post(&rotate, json!({})).await.done();
    let body = json!({"sender": "ga4", "dataStreams": ["G-A"], "secret": adopted});
    control.post(&format!("{ACME}/apiKeys:adopt"), body.clone()).await.done();
    // Refused ones too: taken already, too weak, and where no secret belongs.
    let weak = "hunter2hunter2hunter2";
    control.post(&format!("{ACME}/apiKeys:adopt"), body).await;
    let body = json!({"sender": "ga4", "dataStreams": ["G-A"], "secret": weak});
    control.post(&format!("{ACME}/apiKeys:adopt"), body).await;
    secrets.push(weak.to_owned());
    secrets.push(control.token("edge", "gateway", &[]).await);
    let renewed = control.post("/v1/principals/edge:rotate", json!({})).await.done();
    secrets.push(text(&renewed, "token").to_owned());
    for key in [&issued, &rotated] {
        secrets.push(text(key, "authenticationKey").to_owned());
    }
    let mut shown = control.get("/v1/auditEvents?pageSize=1000").await.text;
    for list in ["/v1/principals", "/v1/principals/edge/tokens", "/v1/gateways"] {
        shown.push_str(&control.get(list).await.text);
    }
    shown.push_str(&control.get(&format!("{ACME}/apiKeys?showDeleted=true")).await.text);
    for secret in &secrets {
        let digest = mpgate_contract::Digest::of(secret.as_bytes());
        for canary in [secret.clone(), digest.to_string(), secret[8..].to_owned()] {
            assert!(!shown.contains(&canary), "{canary}");
        }
    }
    // In the database digests are where they belong, and nothing is in clear.
    let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
    let mut connection = options.connect().await.expect("the database");
    let rows = sqlx::query(
        "SELECT quote(digest) AS text FROM api_keys UNION ALL SELECT quote(digest) FROM tokens
         UNION ALL SELECT quote(before_json) || quote(after_json) || quote(resource) FROM audit_events
         UNION ALL SELECT quote(fingerprint) || quote(request_id) FROM requests
         UNION ALL SELECT quote(grant_json) || quote(nickname) || quote(description) FROM api_keys
         UNION ALL SELECT quote(display_name) || quote(consumers) FROM principals",
    )
    .fetch_all(&mut connection)
    .await
    .expect("rows");
    let stored: Vec<String> = rows.iter().map(|row| row.get("text")).collect();
    let digests =
        |text: &Value| mpgate_contract::Digest::of(text.as_str().expect("text").as_bytes());
    let known = digests(&issued["authenticationKey"]).to_string().to_uppercase();
    assert_eq!(stored.iter().filter(|row| row.contains(&known)).count(), 1, "the search finds");
    for secret in &secrets {
        assert!(!stored.iter().any(|row| row.contains(&secret[4..])), "in clear");
    }
    connection.close().await.expect("closed");
}
