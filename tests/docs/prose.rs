//! Commands that stand in the text and not in a block: the command line knows them and their flags.

use std::collections::BTreeSet;
use std::process::Command;

use mpgate_testbed::artifacts;
use regex::Regex;

use crate::{pages, read};

/// Where there are fewer, they are not found any more.
const SPANS_MIN: usize = 30;

/// The `mpgate ...` of a page's text, each on one line.
fn spans(text: &str) -> BTreeSet<String> {
    let mut is_fenced = false;
    let is_outside = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        !is_fenced && !is_fence
    };
    let outside = text.lines().filter(is_outside).collect::<Vec<_>>().join("\n");
    let command = Regex::new(r"`(mpgate [^`]+)`").expect("a pattern");
    let spans = command.captures_iter(&outside).map(|found| found[1].to_owned());
    spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What is wrong with a command, if anything.
fn fault(span: &str) -> Option<String> {
    let is_name = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let is_flag = |word: &&str| word.starts_with("--");
    let words = span.split(' ').skip(1);
    let names: Vec<&str> =
        words.clone().take_while(|word| is_name(word) && !is_flag(word)).collect();
    let mpgate = artifacts::control().expect("the command line");
    let asked = Command::new(mpgate).args(&names).arg("--help").env("NO_COLOR", "1").output();
    let asked = asked.expect("an answer");
    if !asked.status.success() {
        return Some(String::from_utf8_lossy(&asked.stderr).into_owned());
    }
    let help = String::from_utf8_lossy(&asked.stdout).into_owned();
    let separators = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let known: BTreeSet<&str> = help.split(separators).collect();
    let flags = words.filter(is_flag).map(|word| word.split('=').next().unwrap_or(word));
    let unknown: Vec<&str> = flags.filter(|flag| !known.contains(flag)).collect();
    (!unknown.is_empty()).then(|| format!("there is no {}", unknown.join(", ")))
}

#[test]
fn the_command_line_knows_the_commands_in_the_text() {
    let mut met = BTreeSet::new();
    let mut broken = Vec::new();
    for page in pages() {
        for span in spans(&read(&page).expect("a page")) {
            if met.insert(span.clone()) {
                broken.extend(fault(&span).map(|fault| format!("{page}: `{span}`: {fault}")));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(met.len() >= SPANS_MIN, "only {met:?}");
}

#[test]
fn a_command_that_is_not_there_is_found() {
    const ROWS: [(&str, bool); 7] = [
        ("mpgate keys rotate KEY --overlap 1h", true),
        ("mpgate keys rotate ... < FILE", true),
        ("mpgate completion bash|zsh", true),
        ("mpgate keys rotat KEY", false),
        ("mpgate key rotate KEY", false),
        ("mpgate keys rotate KEY --overlaps 1h", false),
        ("mpgate keys rotate KEY --over 1h", false),
    ];
    for (span, is_known) in ROWS {
        assert_eq!(fault(span).is_none(), is_known, "{span}: {:?}", fault(span));
    }
    let page =
        "a `mpgate keys\n  list` b\n\n```console\n$ x `mpgate no`\n```\n\n`c` `mpgate audit`\n";
    assert_eq!(Vec::from_iter(spans(page)), ["mpgate audit", "mpgate keys list"]);
}
