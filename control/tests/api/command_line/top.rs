//! `mpgate top` against a running control: one table, and a terminal that gets back what it had.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use super::{Ran, run};
use crate::harness::{Control, Directory, MPGATE, wait};
use crate::reconcile::world;

/// What begins and ends the other screen.
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

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

/// Draws on a terminal, until it was drawn and Ctrl-C was typed; what the terminal got.
fn on_a_terminal(environment: &[(&str, &str)]) -> String {
    // `script` is a terminal: it is there wherever Debian is.
    let mut script = Command::new("script");
    script.env_clear().envs(environment.iter().copied());
    script.args(["--quiet", "--return", "--command", &format!("{MPGATE} top"), "/dev/null"]);
    let mut script = script
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs");
    let mut out = script.stdout.take().expect("standard output is piped");
    let mut typed = script.stdin.take().expect("standard input is piped");
    let (mut shown, mut part) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&shown).contains("billing") {
        let length = out.read(&mut part).expect("output");
        assert!(length > 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&part[..length]);
    }
    typed.write_all(b"\x03").expect("Ctrl-C is typed");
    out.read_to_end(&mut shown).expect("output");
    assert!(wait(&mut script).success());
    String::from_utf8_lossy(&shown).into_owned()
}

#[tokio::test]
async fn a_terminal_gets_back_what_it_had() {
    let directory = Directory::new();
    let control = busy(&directory).await;
    let environment = environment(&control);
    let plain = [&environment[..], &[("NO_COLOR", "1")]].concat();
    // Rows: the environment, and whether there is colour.
    for (environment, has_colour) in [(&environment[..], true), (&plain[..], false)] {
        let shown = on_a_terminal(environment);
        let begin = shown.find(ENTER).expect("another screen");
        let drawn = &shown[begin..];
        let (drawn, rest) = drawn.split_once(LEAVE).unwrap_or_else(|| panic!("{shown:?}"));
        assert!(drawn.contains("\u{1b}[Hacme: "), "{drawn:?}");
        assert_eq!(drawn.contains("\u{1b}[33mbilling"), has_colour, "{drawn:?}");
        assert!(!rest.contains("billing"), "{rest:?}");
    }
}
