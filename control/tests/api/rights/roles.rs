//! Each route with each kind of principal, for what is theirs, what is somebody else's and what is not
//! there at all.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ACME, OTHER, names, path};
use crate::harness::{Answer, Control, Directory};

/// How far each kind of principal comes with a route.
#[derive(Clone, Copy)]
enum Reach {
    Nobody,
    Own,
    All,
}

use Reach::{All, Nobody, Own};

/// The kinds, in the order of the columns.
const KINDS: [&str; 6] = ["admin", "owner", "viewer", "bound viewer", "gateway", "reporter"];

const READERS: [Reach; 6] = [All, Own, All, Own, Nobody, Nobody];
const WRITERS: [Reach; 6] = [All, Own, Nobody, Nobody, Nobody, Nobody];
const ADMINS: [Reach; 6] = [All, Nobody, Nobody, Nobody, Nobody, Nobody];
const FEED: [Reach; 6] = [All, Nobody, Nobody, Nobody, All, Nobody];
const GATES: [Reach; 6] = [Nobody, Nobody, Nobody, Nobody, All, Nobody];
const RECONCILERS: [Reach; 6] = [All, Own, Nobody, Nobody, Nobody, Own];
const OPEN: [Reach; 6] = [All, All, All, All, All, All];

/// Method, path with `{mc}` and its like, query, body, who, then the status for those who may, where it
/// is there and where it is not. No row changes anything: so the rows may come in any order.
type Row = (&'static str, &'static str, &'static str, Value, [Reach; 6], u16, u16);

const CONSUMER: &str = "/v1/measurementConsumers/{mc}";
const RECONCILIATIONS: &str = "/v1/measurementConsumers/{mc}/reconciliations";
const STREAMS: &str = "/v1/measurementConsumers/{mc}/dataStreams";
const STREAM: &str = "/v1/measurementConsumers/{mc}/dataStreams/{stream}";
const KEYS: &str = "/v1/measurementConsumers/{mc}/apiKeys";
const KEY: &str = "/v1/measurementConsumers/{mc}/apiKeys/{key}";
const PRINCIPAL: &str = "/v1/principals/{principal}";

fn rows() -> Vec<Row> {
    let none = || json!({});
    let stale = || json!({"etag": "stale"});
    vec![
        ("GET", "/healthz", "", none(), OPEN, 200, 200),
        ("GET", "/readyz", "", none(), OPEN, 200, 200),
        ("GET", "/openapi.json", "", none(), OPEN, 200, 200),
        ("GET", "/v1/measurementConsumers", "", none(), READERS, 200, 200),
        ("POST", "/v1/measurementConsumers", "", none(), ADMINS, 400, 400),
        ("GET", CONSUMER, "", none(), READERS, 200, 404),
        ("GET", CONSUMER, ":usage", none(), READERS, 200, 404),
        ("POST", CONSUMER, ":reconcile", none(), RECONCILERS, 400, 400),
        ("GET", RECONCILIATIONS, "", none(), READERS, 200, 404),
        ("PATCH", CONSUMER, "", none(), ADMINS, 200, 404),
        ("DELETE", CONSUMER, "?etag=stale", none(), ADMINS, 409, 404),
        ("GET", STREAMS, "", none(), READERS, 200, 404),
        ("POST", STREAMS, "", none(), WRITERS, 400, 400),
        ("GET", STREAM, "", none(), READERS, 200, 404),
        ("PATCH", STREAM, "", none(), WRITERS, 200, 404),
        ("DELETE", STREAM, "?etag=stale", none(), WRITERS, 409, 404),
        ("GET", KEYS, "", none(), READERS, 200, 404),
        ("POST", KEYS, "", none(), WRITERS, 400, 400),
        ("POST", "/v1/measurementConsumers/{mc}/apiKeys:adopt", "", none(), WRITERS, 400, 400),
        ("GET", KEY, "", none(), READERS, 200, 404),
        ("PATCH", KEY, "", none(), WRITERS, 200, 404),
        ("DELETE", KEY, "?etag=stale", none(), WRITERS, 409, 404),
        ("POST", KEY, ":rotate", stale(), WRITERS, 409, 404),
        ("POST", KEY, ":disable", stale(), WRITERS, 409, 404),
        ("POST", KEY, ":enable", stale(), WRITERS, 409, 404),
        ("GET", "/v1/principals", "", none(), ADMINS, 200, 200),
        ("POST", "/v1/principals", "", none(), ADMINS, 400, 400),
        ("GET", PRINCIPAL, "", none(), ADMINS, 200, 200),
        ("PATCH", PRINCIPAL, "", none(), ADMINS, 200, 200),
        ("DELETE", PRINCIPAL, "?etag=stale", none(), ADMINS, 409, 409),
        ("POST", PRINCIPAL, ":rotate", stale(), ADMINS, 409, 409),
        ("GET", "/v1/principals/{principal}/tokens", "", none(), ADMINS, 200, 200),
        ("DELETE", "/v1/principals/{principal}/tokens/{token}", "", none(), ADMINS, 404, 404),
        ("GET", "/v1/tokens:self", "", none(), OPEN, 200, 200),
        ("GET", "/v1/auditEvents", "", none(), READERS, 200, 200),
        ("GET", "/v1/gateways", "", none(), READERS, 200, 200),
        ("GET", "/v1/gateways/{gateway}", "", none(), READERS, 404, 404),
        ("DELETE", "/v1/gateways/{gateway}", "", none(), ADMINS, 404, 404),
        ("GET", "/v1/allowlist/changes", "", none(), FEED, 200, 200),
        ("POST", "/v1/usageReports", "", none(), GATES, 400, 400),
    ]
}

/// Consumer, stream and key of each column: their own, somebody else's, nobody's.
struct Things([(&'static str, &'static str, String); 3]);

impl Things {
    fn path(&self, whose: usize, template: &str, query: &str) -> String {
        let (consumer, stream, key) = &self.0[whose];
        let filled = template
            .replace("{mc}", consumer)
            .replace("{stream}", stream)
            .replace("{key}", key)
            .replace("{principal}", "admin")
            .replace("{token}", "000000000000")
            .replace("{gateway}", "nobody");
        format!("{filled}{query}")
    }
}

struct World {
    control: Control,
    things: Things,
    tokens: [String; 6],
    /// An ended and a revoked admin's.
    dead: [String; 2],
}

async fn world(directory: &Directory) -> World {
    let control = Control::start(directory);
    control.two_tenants().await;
    let last = |key: &Value| path(key).rsplit('/').next().expect("an id").to_owned();
    let own = last(&control.key_of(ACME, "billing", "G-A").await);
    let foreign = last(&control.key_of(OTHER, "crm", "G-O").await);
    let tokens = [
        control.admin.clone(),
        control.token("owner", "owner", &["acme"]).await,
        control.token("viewer", "viewer", &[]).await,
        control.token("bound-viewer", "viewer", &["acme"]).await,
        control.token("gateway", "gateway", &[]).await,
        control.token("reporter", "reporter", &["acme"]).await,
    ];
    let dead =
        [control.token("ended", "admin", &[]).await, control.token("revoked", "admin", &[]).await];
    control.post("/v1/principals/ended:rotate", json!({"overlap": "0s"})).await.done();
    control.delete("/v1/principals/revoked").await.done();
    let nobody = "000000000000".to_owned();
    let things =
        Things([("acme", "G-A", own), ("other", "G-O", foreign), ("nobody", "G-NONE", nobody)]);
    World { control, things, tokens, dead }
}

#[tokio::test]
async fn each_route_with_each_kind_of_principal() {
    let directory = Directory::new();
    let World { control, things, tokens, dead } = world(&directory).await;
    let before = control.everything().await;
    for (method, template, query, body, reach, there, missing) in rows() {
        for (whose, may_be) in ["their own", "somebody else's", "nobody's"].iter().enumerate() {
            let path = things.path(whose, template, query);
            for (kind, (token, reach)) in KINDS.iter().zip(tokens.iter().zip(reach)) {
                let of_consumer = template.contains("{mc}");
                let status = match reach {
                    Nobody => 403,
                    Own if of_consumer && whose > 0 => 403,
                    Own | All if whose == 2 => missing,
                    Own | All => there,
                };
                let answer = control.as_(token, method, &path, body.clone()).await;
                assert_eq!(
                    answer.status, status,
                    "{method} {path}, {may_be}, by {kind}: {}",
                    answer.text
                );
            }
        }
    }
    assert_eq!(control.everything().await, before, "no row changes anything");

    let bad = [None, Some(dead[0].as_str()), Some(dead[1].as_str())];
    let closed = rows().into_iter().filter(|row| row.1.starts_with("/v1"));
    for (method, template, query, body, ..) in closed {
        for token in bad {
            let path = things.path(0, template, query);
            let answer = control.call(method, &path, token, Some(&body)).await;
            // After so many failures in a row it is told to come later; it is let in neither way.
            assert!([401, 429].contains(&answer.status), "{method} {path}: {}", answer.text);
            let header = if answer.status == 401 { "www-authenticate" } else { "retry-after" };
            assert_ne!(answer.header(header), "", "{header}");
        }
    }
    assert_eq!(control.everything().await, before, "nobody changes anything");
}

/// The rows are all there are: those of the description, which are those of the router with each method
/// that a path says it has.
#[tokio::test]
async fn the_table_has_a_row_for_each_route() {
    let directory = Directory::new();
    let World { control, things, .. } = world(&directory).await;
    let rows: BTreeSet<_> = rows()
        .into_iter()
        .map(|(method, template, query, ..)| {
            let verb = if query.starts_with(':') { query } else { "" };
            (format!("{template}{verb}"), method.to_owned())
        })
        .collect();
    let description = control.get("/openapi.json").await.done();
    let mut described = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            if ["get", "post", "patch", "delete", "put"].contains(&method.as_str()) {
                described.insert((path.clone(), method.to_uppercase()));
            }
        }
    }
    assert_eq!(rows, described);

    let paths = mpgate_control::http_paths();
    for template in &paths {
        let path = things.path(0, template, "");
        let answer = control.call("PUT", &path, Some(&control.admin), None).await;
        assert_eq!(answer.status, 405, "{template}");
        for method in answer.header("allow").split(',').map(str::trim) {
            let row = ((*template).to_owned(), method.to_owned());
            assert!(method == "HEAD" || rows.contains(&row), "no row for {method} {template}");
        }
    }
    for (path, _) in rows {
        let template =
            path.split_once("}:").map_or(path.clone(), |(before, _)| format!("{before}}}"));
        assert!(paths.contains(&template.as_str()), "no such route: {path}");
    }
}

/// What the answer is, its own id and the hour aside.
fn told(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let headers =
        answer.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "x-request-id" | "date"));
    let text = |value: &reqwest::header::HeaderValue| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    };
    let headers = headers.map(|(name, value)| (name.to_string(), text(value))).collect();
    (answer.status, answer.text.clone(), headers)
}

#[tokio::test]
async fn what_is_somebody_elses_looks_like_what_is_not_there() {
    let directory = Directory::new();
    let World { control, things, tokens, .. } = world(&directory).await;
    for (method, template, query, body, ..) in rows() {
        if !template.contains("{mc}") {
            continue;
        }
        for kind in [1, 3] {
            let ask = |whose| things.path(whose, template, query);
            let foreign = control.as_(&tokens[kind], method, &ask(1), body.clone()).await;
            let missing = control.as_(&tokens[kind], method, &ask(2), body.clone()).await;
            assert_eq!(told(&foreign), told(&missing), "{method} {template} by {}", KINDS[kind]);
        }
    }
    // Somebody else's stream or key, asked for as one's own.
    let (key, nobody) = (things.0[1].2.as_str(), "000000000000");
    for (method, foreign, missing, body) in [
        ("GET", "/dataStreams/G-O".to_owned(), "/dataStreams/G-NONE".to_owned(), json!({})),
        ("PATCH", "/dataStreams/G-O".to_owned(), "/dataStreams/G-NONE".to_owned(), json!({})),
        ("DELETE", "/dataStreams/G-O".to_owned(), "/dataStreams/G-NONE".to_owned(), json!({})),
        ("GET", format!("/apiKeys/{key}"), format!("/apiKeys/{nobody}"), json!({})),
        (
            "PATCH",
            format!("/apiKeys/{key}"),
            format!("/apiKeys/{nobody}"),
            json!({"nickname": "x"}),
        ),
        ("DELETE", format!("/apiKeys/{key}"), format!("/apiKeys/{nobody}"), json!({})),
        ("POST", format!("/apiKeys/{key}:rotate"), format!("/apiKeys/{nobody}:rotate"), json!({})),
        ("POST", format!("/apiKeys/{key}:disable"), format!("/apiKeys/{nobody}:enable"), json!({})),
    ] {
        let ask = async |path: String| {
            control.as_(&tokens[1], method, &format!("{ACME}{path}"), body.clone()).await
        };
        let (foreign, missing) = (ask(foreign).await, ask(missing).await);
        assert_eq!(foreign.status, 404, "{method}: {}", foreign.text);
        assert_eq!(told(&foreign), told(&missing), "{method} {body}");
    }
    let key = |stream: &str| json!({"sender": "billing", "dataStreams": [stream]});
    let create = format!("{ACME}/apiKeys");
    let foreign = control.as_(&tokens[1], "POST", &create, key("G-O")).await;
    let missing = control.as_(&tokens[1], "POST", &create, key("G-X")).await;
    assert_eq!((foreign.status, foreign.text.replace("G-O", "G-X")), (400, missing.text));
}

#[tokio::test]
async fn lists_hold_what_the_caller_may_see() {
    let directory = Directory::new();
    let World { control, tokens, .. } = world(&directory).await;
    let [acme, other] = ["measurementConsumers/acme", "measurementConsumers/other"];
    let rows: [(&[usize], &[&str]); 2] = [(&[0, 2], &[acme, other]), (&[1, 3], &[acme])];
    for (kinds, expected) in rows {
        for kind in kinds {
            for size in [1, 50] {
                let path = format!("/v1/measurementConsumers?pageSize={size}");
                let mut seen = Vec::new();
                let mut token = String::new();
                loop {
                    let path = format!("{path}&pageToken={token}");
                    let page = control.as_(&tokens[*kind], "GET", &path, json!({})).await.done();
                    seen.extend(names(&page, "measurementConsumers"));
                    super::text(&page, "nextPageToken").clone_into(&mut token);
                    if token.is_empty() {
                        break;
                    }
                }
                assert_eq!(seen, expected, "{} in pages of {size}", KINDS[*kind]);
            }
        }
    }
}

/// Rows of: who, method, path, body, status. The gates' environment holds everybody's secrets.
#[tokio::test]
async fn only_an_admin_chooses_secrets_and_adopts_digests() {
    let directory = Directory::new();
    let World { control, tokens, .. } = world(&directory).await;
    let (admin, owner) = (tokens[0].as_str(), tokens[1].as_str());
    let stream = |id: &str, policy: &str| json!({"streamId": id, "environment": "production", "upstreamSecret": policy});
    let digest = mpgate_contract::Digest::of(b"somebody's secret").to_string();
    let adopt = json!({"sender": "crm", "dataStreams": ["G-A"], "digest": digest});
    let (streams, first) = (format!("{ACME}/dataStreams"), format!("{ACME}/dataStreams/G-A"));
    let adopting = format!("{ACME}/apiKeys:adopt");
    for (who, method, path, body, status) in [
        (owner, "POST", &streams, stream("G-R", "replace(GA4)"), 403),
        (owner, "POST", &streams, stream("G-K", "keep"), 200),
        (owner, "PATCH", &first, json!({"upstreamSecret": "replace(GA4)"}), 403),
        (admin, "PATCH", &first, json!({"upstreamSecret": "replace(GA4)"}), 200),
        // What an admin chose stays when the owner changes the rest, or says it again.
        (owner, "PATCH", &first, json!({"mode": "enforce"}), 200),
        (owner, "PATCH", &first, json!({"upstreamSecret": "replace(GA4)"}), 200),
        (owner, "PATCH", &first, json!({"upstreamSecret": "replace(OTHER)"}), 403),
        (owner, "PATCH", &first, json!({"upstreamSecret": "none"}), 200),
        (owner, "PATCH", &first, json!({"upstreamSecret": "replace(GA4)"}), 403),
        (owner, "POST", &adopting, adopt.clone(), 403),
        (admin, "POST", &adopting, adopt, 200),
    ] {
        let answer = control.as_(who, method, path, body.clone()).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text);
        if status == 403 {
            assert_eq!(answer.json()["reason"], "PERMISSION_DENIED");
        }
    }
}

#[tokio::test]
async fn a_principals_binding_fits_its_role() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let acme = || json!(["measurementConsumers/acme"]);
    let gone = || json!(["measurementConsumers/acme", "measurementConsumers/gone"]);
    for (role, consumers, environment, status, field) in [
        ("admin", json!(null), json!(null), 200, ""),
        ("admin", acme(), json!(null), 400, "measurementConsumers"),
        ("admin", json!(null), json!("staging"), 400, "environment"),
        ("owner", json!(null), json!(null), 400, "measurementConsumers"),
        ("owner", acme(), json!(null), 200, ""),
        ("owner", gone(), json!(null), 400, "measurementConsumers[1]"),
        ("owner", acme(), json!("staging"), 400, "environment"),
        ("viewer", json!(null), json!(null), 200, ""),
        ("viewer", acme(), json!(null), 200, ""),
        ("viewer", json!(["acme"]), json!(null), 400, "measurementConsumers[0]"),
        ("gateway", acme(), json!("staging"), 200, ""),
        ("reporter", json!(null), json!(null), 400, "measurementConsumers"),
        ("reporter", acme(), json!(null), 200, ""),
        ("reporter", acme(), json!("staging"), 400, "environment"),
        ("gateway", acme(), json!("moon"), 400, "environment"),
        ("king", json!(null), json!(null), 400, "role"),
    ] {
        let body =
            json!({"role": role, "measurementConsumers": consumers, "environment": environment});
        let answer = control.post("/v1/principals", body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert_eq!(answer.json()["field"].as_str().unwrap_or_default(), field, "{body}");
    }
    // The same rules hold of a change.
    control.token("mine", "owner", &["acme"]).await;
    let answer = control.patch("/v1/principals/mine", json!({"measurementConsumers": null})).await;
    assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("measurementConsumers")));
}
