//! `mpgate reconcile` against a running control.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Ran, ran};
use crate::harness::{Directory, MPGATE};
use crate::reconcile::world;

const TITLES: &str = "sender,stream,event,currency,day,count,value";

fn reconcile(environment: &[(&str, &str)], file: &std::path::Path, flags: &str) -> Ran {
    let mut command = Command::new(MPGATE);
    command.env_clear().envs(environment.iter().copied());
    command.args(["reconcile", "--consumer", "acme", "--from"]).arg(file);
    ran(command.args(flags.split_whitespace()))
}

#[tokio::test]
async fn a_nightly_job_is_told_what_is_missing() {
    let directory = Directory::new();
    let (control, reporter) = world(&directory).await;
    let environment = [("MPGATE_URL", control.url.as_str()), ("MPGATE_TOKEN", &reporter)];
    let yesterday = jiff::Timestamp::now().as_second() / 86_400 * 86_400 - 86_400;
    let day = jiff::Timestamp::from_second(yesterday).expect("a time").to_string();
    let day = day.split('T').next().expect("a day");
    let file = directory.join("orders.csv");
    let write = |rows: &str| {
        let text = format!("{TITLES}\n{rows}").replace("DAY", day);
        std::fs::write(&file, text).expect("a file");
    };
    // Rows: the file, the flags, the status, and words on standard output and standard error.
    let good = "billing,G-A,purchase,EUR,DAY,5,30.00\nbilling,G-A,signed_contract,,DAY,7,\n";
    for (rows, flags, code, out, error) in [
        (good, "", 0, "5.00 EUR (16.67%)", ""),
        (good, "", 0, "UNMEASURED, event not named", ""),
        // One event came under `other`, and it was no login: a gate names those.
        ("billing,G-A,login,,DAY,7,", "", 0, "MEASURED  7      0      7 (100.00%)", ""),
        ("billing,G-A,login,,DAY,7,", "--max-gap 1%", 5, "login", "1 of 1 totals"),
        (good, "--max-gap 20%", 0, "1 (20.00%)", ""),
        (good, "--max-gap 1%", 5, "MEASURED", "1 of 2 totals"),
        (good, "--max-gap 200%", 2, "", "between 0 and 100"),
        ("billing,G-A,purchase,EUR,DAY,x,1", "", 1, "", "orders.csv: line 2, column count"),
        (
            "billing,G-A,login,,DAY,1,\ncrm,G-A,login,,DAY,1,",
            "",
            1,
            "",
            "line 3, column sender: No API key",
        ),
        (
            "billing,G-A,login,,2020-01-01,1,",
            "",
            1,
            "",
            "line 2, column day: The day is longer ago",
        ),
        ("billing,G-A,login,,DAY,1,\nbilling,G-A,login,,DAY,1,", "", 1, "", "the total of line 2"),
    ] {
        write(rows);
        let ran = reconcile(&environment, &file, flags);
        assert_eq!(ran.code, Some(code), "{rows} {flags}: {}{}", ran.out, ran.error);
        assert!(
            ran.out.contains(out) && ran.error.contains(error),
            "{rows} {flags}: {}{}",
            ran.out,
            ran.error
        );
        assert_eq!(ran.error.is_empty(), error.is_empty(), "{}", ran.error);
    }
    let missing = reconcile(&environment, &directory.join("missing.csv"), "");
    assert!(missing.code == Some(1) && missing.error.contains("missing.csv cannot be read"));

    write(good);
    let json = reconcile(&environment, &file, "--output json");
    let json: Value = serde_json::from_str(&json.out).expect("JSON");
    let mut command = Command::new(MPGATE);
    command.env_clear().envs(environment).args(["reconcile", "--consumer", "acme", "--from", "-"]);
    command.args(["--output", "json"]);
    command.stdin(Stdio::from(std::fs::File::open(&file).expect("the file")));
    let again: Value = serde_json::from_str(&ran(&mut command).out).expect("JSON");
    let gaps = |list: &Value| -> Vec<Value> {
        let all = list["reconciliations"].as_array().expect("a list");
        all.iter().map(|one| one["gapEvents"].clone()).collect()
    };
    assert_eq!(gaps(&json), [1.into(), Value::Null]);
    assert_eq!(gaps(&again), gaps(&json));
}
