//! Who may do what: each route with each kind of token.

use serde_json::{Value, json};

use crate::harness::{Control, Directory};

/// Method, path, body; then the status for a gateway and for an admin. Without a good token it is
/// always 401. What is asked for is not there, so that a 403 before a 404 shows the order.
fn routes() -> Vec<(&'static str, &'static str, Option<Value>, u16, u16)> {
    let nobody = "/v1/measurementConsumers/nobody";
    let stream = "/v1/measurementConsumers/nobody/dataStreams/G-A";
    let key = "/v1/measurementConsumers/nobody/apiKeys/000000000000";
    let streams = "/v1/measurementConsumers/nobody/dataStreams";
    let keys = "/v1/measurementConsumers/nobody/apiKeys";
    vec![
        ("GET", "/v1/allowlist/changes", None, 200, 200),
        ("HEAD", "/v1/allowlist/changes", None, 200, 200),
        ("GET", "/v1/allowlist/changes?since=x", None, 400, 400),
        ("GET", "/v1/measurementConsumers", None, 403, 200),
        ("HEAD", "/v1/measurementConsumers", None, 403, 200),
        ("POST", "/v1/measurementConsumers", Some(json!({})), 403, 400),
        ("GET", nobody, None, 403, 404),
        ("DELETE", nobody, None, 403, 404),
        ("GET", streams, None, 403, 404),
        ("POST", streams, Some(json!({})), 403, 400),
        ("GET", stream, None, 403, 404),
        ("PATCH", stream, Some(json!({})), 403, 404),
        ("DELETE", stream, None, 403, 404),
        ("GET", keys, None, 403, 404),
        ("POST", keys, Some(json!({})), 403, 400),
        ("GET", key, None, 403, 404),
        ("PATCH", key, Some(json!({})), 403, 404),
        ("DELETE", key, None, 403, 404),
        ("GET", "/v1/principals", None, 403, 200),
        ("POST", "/v1/principals", Some(json!({})), 403, 400),
        ("GET", "/v1/principals/nobody", None, 403, 404),
        ("DELETE", "/v1/principals/nobody", None, 403, 404),
    ]
}

#[tokio::test]
async fn each_route_with_each_token() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let gateway = control.gateway_token().await;
    let revoked = control.post("/v1/principals", json!({"role": "admin"})).await.done();
    let path = format!("/v1/{}", revoked["name"].as_str().expect("a name"));
    control.delete(&path).await.done();
    let revoked = revoked["token"].as_str();
    let unknown = format!("mpt_{}", "0".repeat(64));
    let admin = control.admin.clone();
    for (method, path, body, of_gateway, of_admin) in routes() {
        for (who, token, status) in [
            ("nobody", None, 401),
            ("an unknown token", Some(unknown.as_str()), 401),
            ("a revoked admin", revoked, 401),
            ("a sender's secret", Some("mpg_000000000000_x"), 401),
            ("a gateway", Some(gateway.as_str()), of_gateway),
            ("an admin", Some(admin.as_str()), of_admin),
        ] {
            let answer = control.call(method, path, token, body.as_ref()).await;
            if status == 401 && answer.status == 429 {
                assert_ne!(answer.header("retry-after"), "", "so many failures in a row");
                continue;
            }
            assert_eq!(answer.status, status, "{method} {path} by {who}: {}", answer.text);
            if status == 401 {
                assert_eq!(answer.header("www-authenticate"), "Bearer");
            }
        }
    }
}

#[tokio::test]
async fn only_one_good_authorization_header_will_do() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let client = reqwest::Client::new();
    let token = control.admin.as_str();
    for (values, status) in [
        (vec![format!("Bearer {token}")], 200),
        (vec![format!("bearer  {token}")], 200),
        (vec![format!("Basic {token}")], 401),
        (vec![token.to_owned()], 401),
        (vec!["Bearer ".to_owned()], 401),
        (vec![format!("Bearer {token}x")], 401),
        (vec![format!("Bearer {}", token.to_uppercase())], 401),
        (vec![format!("Bearer {token}, Bearer {token}")], 401),
        (vec![format!("Bearer {token}"), format!("Bearer {token}")], 401),
        (vec![format!("Bearer mpt_{}", "0".repeat(4_000))], 401),
    ] {
        let mut request = client.get(format!("{}/v1/principals", control.url));
        for value in &values {
            request = request.header("authorization", value);
        }
        let answer = Control::send(request).await.expect("control answers");
        assert_eq!(answer.status, status, "{} header(s)", values.len());
        assert!(!answer.text.contains(token), "the token is repeated");
    }
}

/// The token comes first: without one nobody is told which methods there are for whom.
#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let keys = "/v1/measurementConsumers/acme/apiKeys";
    let key = "/v1/measurementConsumers/acme/apiKeys/000000000000";
    for (path, allow) in [(keys, "GET,HEAD,POST"), (key, "GET,HEAD,PATCH,DELETE")] {
        let answer = control.call("PUT", path, Some(&control.admin), None).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{path}");
    }
}
