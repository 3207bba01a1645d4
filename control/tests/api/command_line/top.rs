//! `mpgate top` against a running control: one table.

use super::{Ran, run};
use crate::harness::{Control, Directory};
use crate::reconcile::world;

fn environment(control: &Control) -> [(&str, &str); 3] {
    let (url, token) = (control.url.as_str(), control.admin.as_str());
    [("MPGATE_URL", url), ("MPGATE_TOKEN", token), ("MPGATE_CONSUMER", "acme")]
}

/// A control whose gateway counted in this hour: 2 requests accepted, 6 refused.
async fn busy(directory: &Directory) -> Control {
    let (control, _) = world(directory).await;
    let hour = jiff::Timestamp::now().as_second() / 3_600 * 3_600;
    let list =
        control.get("/v1/measurementConsumers/acme/apiKeys?filter=sender%3Dbilling").await.done();
    let name = list["apiKeys"][0]["name"].as_str().expect("a key").to_owned();
    let key = name.rsplit('/').next().expect("an id");
    let gateway = control.gateway_token().await;
    let report = serde_json::json!({"gate": "edge", "vm": "fedcba9876543210", "sequence": 1, "keys": [{
        "key": key, "stream": "G-A", "hour": hour, "accepted": 2, "last_refuse_time": hour,
        "refused": [{"name": "revoked", "count": 6}], "timed": 2, "delay_seconds": 9}]});
    control.as_(&gateway, "POST", "/v1/usageReports", report).await.done();
    control
}

#[tokio::test]
async fn one_table_says_how_senders_are() {
    let directory = Directory::new();
    let control = busy(&directory).await;
    let environment = environment(&control);
    // No terminal is one table too.
    for line in ["top --once", "top", "top --sender billing"] {
        let Ran { code, out, error } = run(&environment, line);
        assert_eq!((code, error.as_str()), (Some(0), ""), "{line}: {out}");
        let lines: Vec<_> = out.lines().collect();
        assert!(lines[0].starts_with("acme: ") && lines[1].starts_with("rates: "), "{out}");
        assert!(lines[3].starts_with("SENDER "), "{out}");
        let row = lines.iter().find(|line| line.starts_with("billing ")).expect("a row");
        let words = row.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(" 75.0% revoked ") && words.contains(" 4 s "), "{out}");
        assert!(!out.contains('\u{1b}'), "{out}");
    }
    let out = run(&environment, "top --once --sender nobody").out;
    assert!(out.starts_with("acme: senders 0;") && !out.contains("billing"), "{out}");
    // Rows: flags, the status, and words of the error.
    for (flags, code, words) in [
        ("--output json", 2, "mpgate usage --output json"),
        ("--consumer nobody", 1, "(404 "),
        ("--sender A!", 2, "sender"),
        ("--url http://127.0.0.1:1", 4, "cannot be reached"),
    ] {
        let ran = run(&environment, &format!("top --once {flags}"));
        assert_eq!(ran.code, Some(code), "{flags}: {}", ran.error);
        assert!(ran.error.contains(words), "{flags}: {}", ran.error);
    }
}
