//! `mpgate allowlist export`: the whole list, or none that no gate would take.

use std::fs;
use std::process::Command;

use mpgate_contract::limits;
use mpgate_testbed::{Answer, Upstream};
use serde_json::{Value, json};

use super::life::Site;
use super::{ran, run};
use crate::harness::{Directory, MPGATE};

#[test]
fn the_allowlist_is_exported_whole() {
    let site = Site::new();
    site.key("billing", "");
    let printed = site.done("allowlist export");
    let list: Value = serde_json::from_str(&printed).expect("JSON");
    assert!(list["export_time"].as_u64().is_some_and(|time| time > 1_700_000_000), "{printed}");
    let page = &list["pages"][0];
    assert_eq!((&page["from"], &page["reset"]), (&json!(0), &json!(true)), "{printed}");
    assert_eq!(page["to"], page["head"]);
    assert_eq!(page["keys"].as_array().map(Vec::len), Some(1));
    assert!(!printed.contains("mpg_"));
    let file = site.directory.join("list.json");
    fs::write(&file, "old").expect("a file");
    site.done(&format!("allowlist export --file {}", file.display()));
    let written: Value = serde_json::from_slice(&fs::read(&file).expect("the file")).expect("JSON");
    assert_eq!(written["pages"], list["pages"]);
    let left: Vec<_> = fs::read_dir(site.directory.path()).expect("a directory").collect();
    assert!(
        left.iter().flatten().all(|entry| !entry.file_name().to_string_lossy().contains("part"))
    );
    let mut away = Command::new(MPGATE);
    away.env_clear().env("MPGATE_URL", "http://127.0.0.1:1").env("MPGATE_TOKEN", "mpt_a");
    let away = ran(away.args(["allowlist", "export", "--file"]).arg(&file));
    assert_eq!(away.code, Some(4), "{}", away.error);
    assert!(fs::read(&file).expect("the file").starts_with(b"{\"export_time\""));
}

/// A control whose list has so many pages, of one revision each.
fn with_pages(count: usize) -> Upstream {
    let control = Upstream::start(move |asked| {
        let path = asked.path();
        let since = path.split("since=").nth(1).expect("a question");
        let since = since.split(|c: char| !c.is_ascii_digit()).next().expect("a number");
        let from: u64 = since.parse().expect("a number");
        Answer::json(
            200,
            &json!({"epoch": "e", "reset": from == 0, "from": from, "to": from + 1,
                "head": count, "keys": [], "streams": []}),
        )
    });
    control.expect("a control")
}

#[test]
fn a_list_that_no_gate_would_take_is_not_written() {
    let directory = Directory::new();
    let file = directory.join("list.json");
    for (pages, is_taken) in
        [(limits::INLINE_PAGES_MAX, true), (limits::INLINE_PAGES_MAX + 1, false)]
    {
        fs::write(&file, "old").expect("a file");
        let control = with_pages(pages);
        let url = format!("http://{}", control.address());
        let environment = [("MPGATE_URL", url.as_str()), ("MPGATE_TOKEN", "mpt_a")];
        let to_file = run(&environment, &format!("allowlist export --file {}", file.display()));
        let printed = run(&environment, "allowlist export");
        let written = fs::read_to_string(&file).expect("the file");
        if is_taken {
            assert_eq!((to_file.code, printed.code), (Some(0), Some(0)), "{}", to_file.error);
            // The gate itself reads it.
            let gate = format!(r#"{{"gate":"g","allowlist":{}}}"#, printed.out);
            mpgate_guard::Settings::parse(gate.as_bytes()).expect("a configuration");
            assert!(written.starts_with("{\"export_time\""), "{written}");
        } else {
            assert_eq!((to_file.code, printed.code), (Some(1), Some(1)));
            assert!(to_file.error.contains("more than 20 pages"), "{}", to_file.error);
            assert_eq!((&*written, &*printed.out), ("old", ""), "nothing is written");
        }
    }
}
