//! `mpgate top` against a running control: one table, and a terminal that gets back what it had.

use super::terminal::Terminal;
use super::{Ran, run};
use crate::harness::{Control, Directory};
use crate::reconcile::world;

/// To another screen without a cursor, and back.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

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

/// Rows: one more variable, whether there is colour, and what ends it: a key, or a signal from elsewhere.
#[tokio::test]
async fn a_terminal_gets_back_what_it_had() {
    let directory = Directory::new();
    let control = busy(&directory).await;
    let environment = environment(&control);
    for (variable, has_colour, key, signal) in [
        (None, true, Some("\u{3}"), None),
        (Some(("NO_COLOR", "1")), false, Some("\u{3}"), None),
        (None, true, None, Some("-TERM")),
        (None, true, None, Some("-INT")),
    ] {
        let environment: Vec<_> = environment.into_iter().chain(variable).collect();
        let mut terminal = Terminal::start(&environment, "top", (100, 30));
        assert_eq!(terminal.shows(ENTER), "", "nothing is written on the screen that was there");
        let drawn = terminal.shows("\u{1b}[J");
        assert!(drawn.starts_with("\u{1b}[Hacme: "), "{drawn:?}");
        assert!(drawn.contains("billing ") && drawn.contains("revoked"), "{drawn:?}");
        assert_eq!(drawn.contains("\u{1b}[33mbilling"), has_colour, "{drawn:?}");

        // Another size is drawn for at once.
        terminal.is_resized_to((20, 4));
        let drawn = terminal.shows("\u{1b}[J");
        assert_eq!(drawn.matches("\r\n").count(), 3, "{drawn:?}");
        assert!(drawn.contains("\r\nand ") && !drawn.contains("revoked"), "{drawn:?}");

        if let Some(key) = key {
            terminal.types(key);
        }
        if let Some(signal) = signal {
            terminal.signal(signal);
        }
        let (code, last) = terminal.ended();
        assert_eq!(code, Some(0), "{last:?}");
        let (_, after) = last.split_once(LEAVE).unwrap_or_else(|| panic!("{last:?}"));
        assert_eq!(after, "", "nothing is written on the screen that is given back");
    }
}
