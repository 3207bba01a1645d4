//! What somebody tried and may not is in the trail: by name, without what was sent, and each principal only so often.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ACME, OTHER, path, text};
use crate::grpc::{ask, create, delete, with};
use crate::harness::{Control, Directory};

/// The template of a consumer's routes.
const MC: &str = "/v1/measurementConsumers/{mc}";

/// What was denied, oldest first, as one who may look sees it.
async fn denied(control: &Control, token: &str) -> Vec<Value> {
    let path = "/v1/auditEvents?pageSize=1000&filter=status%20%3D%20PERMISSION_DENIED";
    let list = control.call("GET", path, Some(token), None).await.done();
    list["auditEvents"].as_array().expect("a list").clone()
}

/// They are written a moment later.
async fn until(control: &Control, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let events = denied(control, &control.admin).await;
        if events.len() >= count {
            assert_eq!(events.len(), count, "{events:?}");
            return events;
        }
        assert!(Instant::now() < deadline, "{} of {count}: {events:?}", events.len());
    }
}

#[tokio::test]
async fn what_was_denied_is_told_by_name() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let key = control.key_of(OTHER, "crm", "G-O").await;
    let owner = control.token("owner", "owner", &["acme"]).await;
    let viewer = control.token("viewer", "viewer", &[]).await;
    let pasted = format!("mpt_{}", "a".repeat(64));
    let changes = control.trail(&control.admin).await;
    let of_key = text(&key, "name").to_owned();
    let named =
        json!({"streamId": "G-N", "environment": "production", "upstreamSecret": "replace(NAME)"});
    let rows = [
        ("GET", path(&key), json!({}), format!("GET {MC}/apiKeys/{{key}}"), of_key.clone()),
        ("DELETE", path(&key), json!({}), format!("DELETE {MC}/apiKeys/{{key}}"), of_key.clone()),
        (
            "POST",
            format!("{}:rotate", path(&key)),
            json!({}),
            format!("POST {MC}/apiKeys/{{key}}:rotate"),
            of_key.clone(),
        ),
        (
            "GET",
            "/v1/principals".to_owned(),
            json!({}),
            "GET /v1/principals".to_owned(),
            "principals".to_owned(),
        ),
        (
            "GET",
            format!("/v1/principals/{pasted}"),
            json!({}),
            "GET /v1/principals/{principal}".to_owned(),
            "principals/-".to_owned(),
        ),
        (
            "GET",
            "/v1/measurementConsumers/nobody:usage".to_owned(),
            json!({}),
            format!("GET {MC}:usage"),
            "measurementConsumers/nobody".to_owned(),
        ),
        // Only the handler knows that this one is denied.
        (
            "POST",
            format!("{ACME}/dataStreams"),
            named,
            format!("POST {MC}/dataStreams"),
            "measurementConsumers/acme/dataStreams".to_owned(),
        ),
    ];
    for (number, (method, path, body, ..)) in rows.iter().enumerate() {
        let answer = control.as_(&owner, method, path, body.clone()).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
        let told = until(&control, number + 1).await;
        assert_eq!(told[number]["requestId"], answer.header("x-request-id"));
    }
    let metadata = with(&owner);
    let calls = [
        create(&metadata, "measurementConsumers/other", &json!({"nickname": "x"})),
        delete(&metadata, &of_key),
    ];
    let answers = ask(&control, None, &calls);
    let told = until(&control, rows.len() + 2).await;
    let ids = answers.iter().map(|answer| &answer["metadata"]["x-request-id"]);
    assert!(ids.eq(told[rows.len()..].iter().map(|event| &event["requestId"])), "{told:?}");
    let service = "wfa.measurement.api.v2alpha.ApiKeys";
    let by_rpc = [
        (format!("{service}/CreateApiKey"), "measurementConsumers/other/apiKeys".to_owned()),
        (format!("{service}/DeleteApiKey"), of_key),
    ];
    let expected = rows.into_iter().map(|(_, _, _, method, resource)| (method, resource));
    for (event, (method, resource)) in told.iter().zip(expected.chain(by_rpc)) {
        let mut event = event.clone();
        let members = event.as_object_mut().expect("an event");
        for unlike in ["name", "time", "requestId"] {
            assert!(members.remove(unlike).is_some(), "{unlike}");
        }
        let expected = json!({"principal": "principals/owner", "source": "127.0.0.1",
            "action": "denied", "status": "PERMISSION_DENIED", "count": 1,
            "method": method, "resource": resource});
        assert_eq!(event, expected);
    }

    // Who sees everything sees them; whoever owns what was tried is not told of somebody else's principals.
    assert_eq!(denied(&control, &viewer).await, told);
    let other = control.token("other-owner", "owner", &["other"]).await;
    for tenant in [&owner, &other] {
        assert_eq!(denied(&control, tenant).await, Vec::<Value>::new());
    }
    // Whom nobody knows has no place in it, and a change is no denial.
    assert_eq!(control.as_(&pasted, "GET", "/v1/principals", json!({})).await.status, 401);
    control.as_(&owner, "GET", "/v1/principals", json!({})).await;
    let told = until(&control, told.len() + 1).await;
    assert!(told.iter().all(|event| event["principal"] == "principals/owner"), "{told:?}");
    assert_eq!(control.trail(&control.admin).await.len(), changes.len() + 1);
    assert!(!control.get("/v1/auditEvents?pageSize=1000").await.text.contains("mpt_"));
}

#[tokio::test]
async fn a_principal_fills_so_much_of_the_trail_and_no_more() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let loud = control.token("loud", "gateway", &[]).await;
    let quiet = control.token("quiet", "gateway", &[]).await;
    for _ in 0..40 {
        assert_eq!(control.as_(&loud, "GET", "/v1/principals", json!({})).await.status, 403);
    }
    let last = control.as_(&loud, "GET", "/v1/gateways", json!({})).await;
    control.as_(&quiet, "GET", "/v1/auditEvents", json!({})).await;
    let told = until(&control, 11).await;
    let counts = |events: &[Value], who: &str| -> Vec<Value> {
        let of = events.iter().filter(|event| event["principal"] == format!("principals/{who}"));
        of.map(|event| event["count"].clone()).collect()
    };
    assert_eq!(counts(&told, "loud"), [1; 10], "{told:?}");
    assert_eq!(counts(&told, "quiet"), [1], "one does not crowd out the other");
    // The end of the process is the end of the hour.
    assert!(control.terminate().success());
    let control = Control::start(&directory);
    let told = until(&control, 12).await;
    let rest = &told[11];
    assert_eq!((&rest["principal"], &rest["count"]), (&json!("principals/loud"), &json!(31)));
    assert_eq!(rest["method"], "GET /v1/gateways", "the last of them");
    assert_eq!(rest["requestId"], last.header("x-request-id"));
    // Times only grow, so that who follows the trail goes on from the last one.
    let whole = control.get("/v1/auditEvents?pageSize=1000").await.done();
    let events = whole["auditEvents"].as_array().expect("a list");
    let times: Vec<_> = events.iter().map(|event| text(event, "time")).collect();
    assert!(times.is_sorted(), "{times:?}");
}
