//! Which items of a list are shown: filters, pages, deleted ones.

use serde_json::{Value, json};

use super::{ACME, names, path, text};
use crate::harness::{Control, Directory};

/// A filter as it stands in a query.
fn encoded(filter: &str) -> String {
    filter.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"))
}

/// All pages of a list, in pages of a size.
async fn all(control: &Control, path: &str, member: &str, size: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut token = String::new();
    for _ in 0..1_000 {
        let page = control.get(&format!("{path}&pageSize={size}&pageToken={token}")).await.done();
        let part = names(&page, member);
        assert!(part.len() <= size, "more than a page");
        seen.extend(part);
        text(&page, "nextPageToken").clone_into(&mut token);
        if token.is_empty() {
            return seen;
        }
    }
    panic!("the list does not end");
}

#[tokio::test]
async fn keys_by_what_they_are() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    control.stream("G-B").await;
    control.stream_of(ACME, "G-S", "staging").await;
    let keys = format!("{ACME}/apiKeys");
    let mut made: Vec<Value> = Vec::new();
    for body in [
        json!({"sender": "billing", "dataStreams": ["G-A"], "expireTime": "2099-01-01T00:00:00Z"}),
        json!({"sender": "billing", "dataStreams": ["G-A", "G-B"], "nickname": "two words"}),
        json!({"sender": "crm", "dataStreams": ["G-S"], "events": ["purchase"]}),
        json!({"sender": "crm", "dataStreams": ["G-B"], "sourceNetworks": ["10.0.0.0/8"]}),
        json!({"sender": "shop", "dataStreams": ["G-B"]}),
    ] {
        made.push(control.post(&keys, body).await.done());
    }
    control.post(&format!("{}:disable", path(&made[3])), json!({})).await.done();
    control.delete(&path(&made[4])).await.done();
    let successor = control.post(&format!("{}:rotate", path(&made[1])), json!({})).await.done();
    made.push(successor);
    let name = |at: usize| text(&made[at], "name").to_owned();
    let by_name = format!("name = \"{}\"", name(2));
    let since = format!("revision > {}", made[2]["revision"]);
    // Rows of: the filter, whether deleted ones are shown, and which are found.
    let rows: [(&str, bool, &[usize]); 24] = [
        ("", false, &[0, 1, 2, 3, 5]),
        ("", true, &[0, 1, 2, 3, 4, 5]),
        ("sender = billing", false, &[0, 1, 5]),
        ("sender = \"crm\" AND state = ACTIVE", false, &[2]),
        ("sender != billing", true, &[2, 3, 4]),
        ("NOT sender = billing AND NOT state = REVOKED", true, &[2, 3]),
        ("state = REVOKED", true, &[4]),
        ("state = REVOKED", false, &[]),
        ("state = DISABLED", false, &[3]),
        ("environment = staging", false, &[2]),
        ("dataStreams:G-B", false, &[1, 3, 5]),
        ("dataStreams:G-A AND dataStreams:G-B", false, &[1, 5]),
        ("dataStreams:*", false, &[0, 1, 2, 3, 5]),
        ("NOT dataStreams:G-B", false, &[0, 2]),
        ("events:purchase", false, &[2]),
        ("events:*", false, &[2]),
        ("sourceNetworks:\"10.0.0.0/8\"", false, &[3]),
        ("nickname = \"two words\"", false, &[1, 5]),
        ("expireTime > \"2098-12-31T23:00:00-05:00\"", false, &[]),
        ("expireTime = \"2099-01-01T05:00:00+05:00\"", false, &[0]),
        ("successor:*", false, &[1]),
        ("predecessor:*", false, &[5]),
        (&by_name, false, &[2]),
        (&since, true, &[1, 3, 4, 5]),
    ];
    for (filter, deleted, found) in rows {
        let list = format!("{keys}?showDeleted={deleted}&filter={}", encoded(filter));
        let expected: Vec<_> = found.iter().map(|at| name(*at)).collect();
        for size in [1, 2, 50] {
            assert_eq!(all(&control, &list, "apiKeys", size).await, expected, "{filter} by {size}");
        }
    }
    for (filter, word) in [
        ("sende = x", "begins with one of"),
        ("dataStreams = G-A", "dataStreams:G-A"),
        ("NOT advice != NEVER_USED", "is a list"),
        ("state = ACTIVE OR state = DISABLED", "OR is not known"),
        ("digest:*", "begins with one of"),
        ("authenticationKey:*", "begins with one of"),
    ] {
        let answer = control.get(&format!("{keys}?filter={}", encoded(filter))).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("filter")), "{filter}");
        assert!(text(&answer.json(), "detail").contains(word), "{filter}: {}", answer.text);
    }
}

/// Rows of: the list, its member, the filter, and which are found.
#[tokio::test]
async fn the_other_lists() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    control.stream_of(ACME, "G-S", "staging").await;
    control.delete(&format!("{ACME}/dataStreams/G-A")).await.done();
    control.token("edge", "gateway", &["acme"]).await;
    control.token("mine", "owner", &["acme", "other"]).await;
    control.delete("/v1/principals/edge").await.done();
    let streams = format!("{ACME}/dataStreams");
    let of_acme = |id: &str| format!("measurementConsumers/acme/dataStreams/{id}");
    for (list, member, filter, found) in [
        (
            "/v1/measurementConsumers",
            "measurementConsumers",
            "name:measurementConsumers/acme",
            vec!["measurementConsumers/acme".to_owned()],
        ),
        (&streams, "dataStreams", "environment = staging", vec![of_acme("G-S")]),
        (&streams, "dataStreams", "state = REVOKED", vec![of_acme("G-A")]),
        (&streams, "dataStreams", "upstreamSecret = none AND revision < 3", vec![]),
        ("/v1/principals", "principals", "role = owner", vec!["principals/mine".to_owned()]),
        ("/v1/principals", "principals", "state = REVOKED", vec!["principals/edge".to_owned()]),
        (
            "/v1/principals",
            "principals",
            "measurementConsumers:measurementConsumers/other",
            vec!["principals/mine".to_owned()],
        ),
        (
            "/v1/auditEvents",
            "auditEvents",
            "action = delete AND measurementConsumer:*",
            vec!["auditEvents/7".to_owned()],
        ),
    ] {
        let path = format!("{list}?showDeleted=true&filter={}", encoded(filter));
        for size in [1, 50] {
            assert_eq!(
                all(&control, &path, member, size).await,
                found,
                "{list} {filter} by {size}"
            );
        }
    }
}
