//! What a key may do: set when it is created, changed later, and told to the gates as it stands.

use mpgate_contract::limits;
use serde_json::{Value, json};

use crate::harness::{Control, Directory};

const ACME: &str = "/v1/measurementConsumers/acme";

/// The newest entry of the feed, which a gate must be able to read.
async fn newest_key(control: &Control) -> Value {
    let answer = control.get("/v1/allowlist/changes").await;
    let ask = mpgate_contract::Ask::default();
    let page = mpgate_contract::Page::parse(answer.text.as_bytes(), &ask);
    page.unwrap_or_else(|fault| panic!("{fault:?}: {}", answer.text));
    let page = answer.done();
    page["keys"].as_array().and_then(|keys| keys.last().cloned()).expect("a key")
}

/// Control with streams `G-A` and `G-B` (production) and one key of `G-A`; the key's path.
async fn setting(directory: &Directory) -> (Control, String) {
    let control = Control::start(directory);
    control.acme().await;
    control.stream("G-A").await;
    control.stream("G-B").await;
    let key = control.key("billing", &["G-A"]).await;
    let path = format!("/v1/{}", key["name"].as_str().expect("a name"));
    (control, path)
}

#[tokio::test]
async fn a_key_is_created_with_restrictions_and_gates_are_told() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let full = json!({"events": ["purchase", "ecommerce_*"],
        "sourceNetworks": ["203.0.113.7", "::ffff:10.0.0.0/104", "2001:DB8:0::/32"],
        "certificateNames": ["spiffe://acme/billing", "billing.acme.example"]});
    // Rows: the members that are given, and what the grant requires of a gate.
    let rows: [(&[&str], Value); 5] = [
        (&[], json!(null)),
        (&["events"], json!(["events"])),
        (&["sourceNetworks"], json!(["source_networks"])),
        (&["certificateNames"], json!(["certificate_names"])),
        (
            &["events", "sourceNetworks", "certificateNames"],
            json!(["events", "source_networks", "certificate_names"]),
        ),
    ];
    for (members, requires) in rows {
        let mut body = json!({"sender": "billing", "dataStreams": ["G-A"]});
        for member in members {
            body[member] = full[member].clone();
        }
        let mut created = control.post(&format!("{ACME}/apiKeys"), body).await.done();
        created.as_object_mut().and_then(|key| key.remove("authenticationKey")).expect("a secret");
        let path = format!("/v1/{}", created["name"].as_str().expect("a name"));
        assert_eq!(control.get(&path).await.done(), created, "{members:?}");
        let grant = newest_key(&control).await["grant"].take();
        assert_eq!(grant["requires"], requires, "{members:?}: {grant}");
        for (member, of_grant, canonical) in [
            ("events", "events", full["events"].clone()),
            (
                "sourceNetworks",
                "source_networks",
                json!(["203.0.113.7/32", "10.0.0.0/8", "2001:db8::/32"]),
            ),
            ("certificateNames", "certificate_names", full["certificateNames"].clone()),
        ] {
            let expected = if members.contains(&member) { canonical } else { Value::Null };
            assert_eq!(created[member], expected, "{members:?}");
            assert_eq!(grant[of_grant], expected, "{members:?}");
        }
    }
}

#[tokio::test]
async fn the_longest_lists_are_taken() {
    let directory = Directory::new();
    let (control, path) = setting(&directory).await;
    let long = |count: usize, item: fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>();
    for (member, list) in [
        ("events", long(100, |at| format!("e{at:039}"))),
        ("sourceNetworks", long(50, |at| format!("2001:db8:{:x}::/48", at + 1))),
        ("certificateNames", long(20, |at| format!("spiffe://acme/{at:0241}"))),
    ] {
        let changed = control.patch(&path, json!({member: list})).await.done();
        assert_eq!(changed[member], json!(list));
        newest_key(&control).await;
        control.patch(&path, json!({member: null})).await.done();
    }
    for at in 0..48 {
        control.stream(&format!("G-{at}")).await;
    }
    let all: Vec<_> = ["G-A".to_owned(), "G-B".to_owned()]
        .into_iter()
        .chain((0..48).map(|at| format!("G-{at}")))
        .collect();
    let changed = control.patch(&path, json!({"dataStreams": all})).await.done();
    assert_eq!(changed["dataStreams"], json!(all));
}

/// A gate reads so many bytes of a grant and no more.
#[tokio::test]
async fn a_grant_is_taken_up_to_its_last_byte() {
    let directory = Directory::new();
    let (control, path) = setting(&directory).await;
    let body = |last: usize| {
        let events: Vec<_> = (0..76).map(|at| format!("e{at:039}")).collect();
        let mut names: Vec<_> = (0..18).map(|at| format!("spiffe://acme/{at:0241}")).collect();
        names.push("x".repeat(last));
        json!({"events": events, "certificateNames": names})
    };
    control.patch(&path, body(1)).await.done();
    let shortest = newest_key(&control).await["grant"].to_string().len();
    let room = limits::GRANT_BYTES_MAX - shortest;
    assert!(room < 255, "the last name cannot be as long as {room}");
    assert_eq!(control.patch(&path, body(2 + room)).await.status, 400);
    control.patch(&path, body(1 + room)).await.done();
    assert_eq!(newest_key(&control).await["grant"].to_string().len(), limits::GRANT_BYTES_MAX);
}

/// A change: the mask, the body, the members that are other afterwards, and the revision then.
type Row = (&'static str, Value, Value, u64);

fn rows() -> Vec<Row> {
    let networks = json!(["10.0.0.0/8"]);
    let year_2098 = "2098-01-01T00:00:00Z";
    let year_2099 = "2099-01-01T00:00:00Z";
    vec![
        ("", json!({}), json!({}), 3),
        ("", json!({"nickname": "Bills"}), json!({"nickname": "Bills"}), 4),
        ("", json!({"nickname": "Bills"}), json!({}), 4),
        ("", json!({"description": "nightly"}), json!({"description": "nightly"}), 5),
        ("", json!({"events": ["purchase"]}), json!({"events": ["purchase"]}), 6),
        ("", json!({"events": ["purchase"]}), json!({}), 6),
        ("", json!({"events": ["refund", "a*"]}), json!({"events": ["refund", "a*"]}), 7),
        ("", json!({"sourceNetworks": ["10.0.0.0/8"]}), json!({"sourceNetworks": networks}), 8),
        ("", json!({"sourceNetworks": ["::ffff:10.0.0.0/104"]}), json!({}), 8),
        (
            "",
            json!({"certificateNames": ["a.example"]}),
            json!({"certificateNames": ["a.example"]}),
            9,
        ),
        (
            "",
            json!({"expireTime": "2099-01-01T01:00:00+01:00"}),
            json!({"expireTime": year_2099}),
            10,
        ),
        ("", json!({"notBefore": year_2098}), json!({"notBefore": year_2098}), 11),
        ("", json!({"dataStreams": ["G-B", "G-A"]}), json!({"dataStreams": ["G-B", "G-A"]}), 12),
        ("", json!({"dataStreams": ["G-B", "G-A"]}), json!({}), 12),
        (
            "",
            json!({"notBefore": null, "events": null}),
            json!({"notBefore": null, "events": null}),
            13,
        ),
        (
            "?updateMask=nickname,expireTime",
            json!({"nickname": "Both", "events": ["outside_the_mask"]}),
            json!({"nickname": "Both", "expireTime": null}),
            14,
        ),
        (
            "?updateMask=sourceNetworks,certificateNames,notBefore",
            json!({}),
            json!({"sourceNetworks": null, "certificateNames": null}),
            15,
        ),
        (
            "?updateMask=dataStreams",
            json!({"dataStreams": ["G-B"]}),
            json!({"dataStreams": ["G-B"]}),
            16,
        ),
        (
            "",
            json!({"nickname": null, "description": null}),
            json!({"nickname": "", "description": ""}),
            17,
        ),
    ]
}

#[tokio::test]
async fn a_key_changes_by_one_revision_a_change() {
    let directory = Directory::new();
    let (control, path) = setting(&directory).await;
    let mut expected = control.get(&path).await.done();
    let digest = newest_key(&control).await["digest"].take();
    for (mask, body, other, revision) in rows() {
        let before = control.everything().await;
        let changed = control.patch(&format!("{path}{mask}"), body.clone()).await.done();
        let row = format!("{mask} {body}");
        let members = expected.as_object_mut().expect("a key");
        for (name, value) in other.as_object().expect("members") {
            match value {
                Value::Null => members.remove(name),
                value => members.insert(name.clone(), value.clone()),
            };
        }
        expected["revision"] = json!(revision);
        expected["etag"] = json!(format!("r{revision}"));
        assert_eq!(changed, expected, "{row}");
        assert_eq!(control.get(&path).await.done(), expected, "{row}");
        let feed = control.get("/v1/allowlist/changes").await.done();
        assert_eq!(feed["head"], revision, "{row}");
        if other == json!({}) {
            assert_eq!(control.everything().await, before, "{row} changed something");
        }
        let entry = newest_key(&control).await;
        assert_eq!((&entry["revision"], &entry["digest"]), (&json!(revision), &digest), "{row}");
        for (member, of_grant, capability) in [
            ("events", "events", "events"),
            ("sourceNetworks", "source_networks", "source_networks"),
            ("certificateNames", "certificate_names", "certificate_names"),
            ("dataStreams", "streams", ""),
        ] {
            assert_eq!(entry["grant"][of_grant], expected[member], "{row}");
            let requires = entry["grant"]["requires"].as_array().cloned().unwrap_or_default();
            let is_named = requires.contains(&json!(capability));
            assert_eq!(is_named, !capability.is_empty() && !expected[member].is_null(), "{row}");
        }
    }
}

#[tokio::test]
async fn the_streams_of_a_key_are_held_and_let_go() {
    let directory = Directory::new();
    let (control, path) = setting(&directory).await;
    let deletes =
        async |stream: &str| control.delete(&format!("{ACME}/dataStreams/{stream}")).await.status;
    assert_eq!(deletes("G-A").await, 409);
    control.patch(&path, json!({"dataStreams": ["G-B"]})).await.done();
    assert_eq!(deletes("G-B").await, 409);
    assert_eq!(deletes("G-A").await, 200);
    control.patch(&path, json!({"nickname": "holds on"})).await.done();
    assert_eq!(deletes("G-B").await, 409);
    control.delete(&path).await.done();
    assert_eq!(deletes("G-B").await, 200);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let directory = Directory::new();
    let (control, path) = setting(&directory).await;
    let detail = async |body: Value| {
        let problem = control.patch(&path, body).await.json();
        problem["detail"].as_str().map(str::to_owned).expect("a detail")
    };
    let long: Vec<_> = (0..20).map(|at| format!("spiffe://acme/{at:0241}")).collect();
    let events: Vec<_> = (0..100).map(|at| format!("e{at:039}")).collect();
    for (body, word) in [
        (json!({"sender": "crm"}), "Create a new key"),
        (json!({"events": []}), "Between 1 and 100 items"),
        (json!({"sourceNetworks": ["203.0.113.7/24"]}), "203.0.113.0/24, not"),
        (json!({"sourceNetworks": ["10.0.0.1", "10.0.0.1/32"]}), "sourceNetworks[0]"),
        (json!({"certificateNames": long, "events": events}), "at most"),
        (json!({"expireTime": "2020-01-01T00:00:00Z"}), "delete it"),
        (json!({"dataStreams": ["G-NOT"]}), "no active data stream G-NOT"),
    ] {
        let detail = detail(body.clone()).await;
        assert!(detail.contains(word), "{body}: {detail}");
    }
    control.delete(&path).await.done();
    let detail = detail(json!({"nickname": "x"})).await;
    assert!(detail.contains("create a new one"), "{detail}");
}

#[tokio::test]
async fn an_expired_key_can_be_described_and_given_a_new_end() {
    let directory = Directory::new();
    let (control, path) = setting(&directory).await;
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    control.patch(&path, json!({"expireTime": end.to_string()})).await.done();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while control.get(&path).await.done()["state"] != "EXPIRED" {
        assert!(std::time::Instant::now() < deadline, "the key does not expire");
    }
    let described = control.patch(&path, json!({"description": "too late"})).await.done();
    assert_eq!((&described["state"], &described["revision"]), (&json!("EXPIRED"), &json!(5)));
    assert_eq!(
        control.patch(&path, json!({"notBefore": "2099-01-01T00:00:00Z"})).await.status,
        400
    );
    let longer = control.patch(&path, json!({"expireTime": "2099-01-01T00:00:00Z"})).await.done();
    assert_eq!((&longer["state"], &longer["revision"]), (&json!("ACTIVE"), &json!(6)));
}

#[tokio::test]
async fn a_stream_has_protocol_rules_and_silence_of_its_own() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let body = json!({"streamId": "G-A", "environment": "production", "upstreamSecret": "none",
        "protocolRules": "enforce", "silent": true});
    let created = control.post(&format!("{ACME}/dataStreams"), body).await.done();
    assert_eq!((&created["protocolRules"], &created["silent"]), (&json!("enforce"), &json!(true)));
    let path = format!("{ACME}/dataStreams/G-A");
    // Rows: the mask, the body, and (protocol rules, silent, revision) afterwards.
    for (mask, body, rules, silent, revision) in [
        ("", json!({}), json!("enforce"), json!(true), 1),
        ("", json!({"protocolRules": "enforce", "silent": true}), json!("enforce"), json!(true), 1),
        ("", json!({"silent": false}), json!("enforce"), json!(false), 2),
        ("", json!({"protocolRules": "off"}), json!("off"), json!(false), 3),
        ("", json!({"protocolRules": "dry_run"}), json!("dry_run"), json!(false), 4),
        ("?updateMask=silent", json!({"protocolRules": "off"}), json!("dry_run"), json!(null), 5),
        ("", json!({"protocolRules": null, "silent": null}), json!(null), json!(null), 6),
        ("", json!({"protocolRules": null, "silent": null}), json!(null), json!(null), 6),
    ] {
        let changed = control.patch(&format!("{path}{mask}"), body.clone()).await.done();
        let seen = (&changed["protocolRules"], &changed["silent"], &changed["revision"]);
        assert_eq!(seen, (&rules, &silent, &json!(revision)), "{mask} {body}");
        assert_eq!(control.get(&path).await.done(), changed);
        let feed = control.get("/v1/allowlist/changes").await.done();
        let stream = &feed["streams"][0]["stream"];
        assert_eq!((&stream["protocol_rules"], &stream["silent"]), (&rules, &silent), "{feed}");
        assert_eq!(feed["head"], revision, "{mask} {body}");
    }
}
