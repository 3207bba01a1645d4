//! One row a behaviour: `tests/pages.json`.

use serde_json::Value;

use super::*;

/// A row: a page, what was asked, and the fault expected (`null` for a good page).
#[derive(Deserialize)]
struct Row {
    name: String,
    #[serde(default = "default_epoch")]
    asked_epoch: String,
    #[serde(default)]
    asked_since: u64,
    page: Value,
    fault: Option<String>,
}

fn default_epoch() -> String {
    "e1".to_owned()
}

#[test]
fn every_row_of_the_page_table() {
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("../../tests/pages.json")).expect("the table is JSON");
    assert!(rows.len() > 20, "the table lost rows");
    for row in rows {
        let ask = Ask { epoch: row.asked_epoch, since: row.asked_since };
        let body = row.page.to_string();
        let fault = Page::parse(body.as_bytes(), &ask).err().map(PageFault::label);
        assert_eq!(fault, row.fault.as_deref(), "{}", row.name);
    }
}

#[test]
fn a_page_is_empty_without_keys_and_streams() {
    let entry = r#"{"revision":1,"state":"active","stream":
        {"id":"G-A","consumer":"a","environment":"staging","upstream_secret":"keep"}}"#;
    let key = r#"{"revision":1,"digest":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "state":"revoked","grant":{"key_id":"000000000001","sender":"a","streams":["G-A"]}}"#;
    for (keys, streams, empty) in
        [("", "", true), (key, "", false), ("", entry, false), (key, entry, false)]
    {
        let body = format!(
            r#"{{"epoch":"e","reset":true,"from":0,"to":1,"head":1,"keys":[{keys}],"streams":[{streams}]}}"#
        );
        let page = Page::parse(body.as_bytes(), &Ask::default()).expect("a good page");
        assert_eq!(page.is_empty(), empty, "{body}");
    }
}

/// Each limit is a number that somebody relies on, and holds to the byte.
#[test]
fn limits_of_size() {
    let figures = (limits::GRANT_BYTES_MAX, limits::STREAM_BYTES_MAX, limits::PAGE_BYTES_MAX);
    assert_eq!(figures, (8_192, 8_192, 4_194_304));
    let grant = |bytes: usize| {
        let bare = r#"{"key_id":"000000000001","sender":"a","streams":["G-A"],"note":""}"#;
        bare.replace(r#""note":"""#, &format!(r#""note":"{}""#, "x".repeat(bytes - bare.len())))
    };
    for (bytes, fits) in [(8_192, true), (8_193, false)] {
        let raw = RawValue::from_string(grant(bytes)).expect("JSON");
        let digest = Digest::of(b"");
        let entry = KeyEntry { revision: 1, digest, state: State::Active, grant: &raw };
        assert_eq!(entry.grant().is_ok(), fits, "{bytes}");
    }
    let epoch = |bytes: usize| {
        let epoch = "e".repeat(bytes);
        format!(
            r#"{{"epoch":"{epoch}","reset":true,"from":0,"to":0,"head":0,"keys":[],"streams":[]}}"#
        )
    };
    let mut page = epoch(limits::EPOCH_BYTES_MAX).into_bytes();
    page.resize(limits::PAGE_BYTES_MAX, b' ');
    assert!(Page::parse(&page, &Ask::default()).is_ok());
    let fault = Page::parse(epoch(65).as_bytes(), &Ask::default()).err();
    assert_eq!(fault, Some(PageFault::BadEpoch));
    limits_of_entries();
}

fn limits_of_entries() {
    let ask = Ask::default();
    let huge = vec![b' '; limits::PAGE_BYTES_MAX + 1];
    assert_eq!(Page::parse(&huge, &ask).err(), Some(PageFault::TooLarge));
    assert_eq!(Page::parse(b"{", &ask).err(), Some(PageFault::Unreadable));

    let page = |entries: usize| {
        let keys: Vec<Value> = (1..=entries)
            .map(|revision| {
                serde_json::json!({
                    "revision": revision,
                    "digest": Digest::of(&revision.to_be_bytes()),
                    "state": "active",
                    "grant": {"key_id": "000000000001", "sender": "a", "streams": ["G-A"]},
                })
            })
            .collect();
        serde_json::json!({"epoch": "e", "reset": true, "from": 0, "to": entries, "head": entries,
            "keys": keys, "streams": []})
        .to_string()
    };
    assert!(Page::parse(page(limits::PAGE_ENTRIES_MAX).as_bytes(), &ask).is_ok());
    assert_eq!(
        Page::parse(page(limits::PAGE_ENTRIES_MAX + 1).as_bytes(), &ask).err(),
        Some(PageFault::TooManyEntries)
    );
}

#[test]
fn a_grant_keeps_members_this_version_does_not_know() {
    let body = r#"{"epoch":"e1","reset":false,"from":0,"to":1,"head":1,"streams":[],"keys":[{"revision":1,
        "digest":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","state":"active",
        "grant":{"key_id":"000000000001","sender":"a","streams":["G-A"],"requires":["events"],"events":["purchase"]}}]}"#;
    let page = Page::parse(body.as_bytes(), &Ask { epoch: "e1".to_owned(), since: 0 })
        .expect("a good page");
    assert!(page.keys[0].grant.get().contains(r#""events":["purchase"]"#));
    assert_eq!(page.keys[0].grant().expect("a grant").requires, ["events"]);
}
