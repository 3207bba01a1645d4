//! The house rules that a machine can check. Each failure says the file and the rule.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mpgate_guard::{Class, Reason};

/// A file longer than this holds two things.
const LINES_MAX: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask stands in the workspace").into()
}

/// What git tracks or would track, as paths from the root.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git");
    assert!(listed.status.success(), "git ls-files failed: is this a checkout?");
    let text = String::from_utf8(listed.stdout).expect("paths are text");
    text.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn with_ending(ending: &str) -> impl Iterator<Item = (String, String)> + use<'_> {
    files().into_iter().filter(move |path| path.ends_with(ending)).map(|path| {
        let text = read(&path);
        (path, text)
    })
}

fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[track_caller]
fn none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn proxy_wasm_is_named_in_the_filter_only() {
    let mut broken = Vec::new();
    for (path, text) in with_ending(".rs") {
        let own = path == "xtask/tests/tidy.rs";
        // The benchmark compares the filter with one that does nothing.
        let empty = path == "bench/sdk/src/lib.rs";
        let filter = path.starts_with("src/");
        for (line, text) in code(&text) {
            let outside = !filter && !own && !empty && text.contains("proxy_wasm::");
            let call = filter && path != "src/host.rs" && text.contains("hostcalls");
            if outside || call {
                broken.push(format!("{path}:{}", line + 1));
            }
        }
    }
    none(&broken, "proxy_wasm is named under src/ only, and called in src/host.rs only");
}

#[test]
fn files_are_small_rooms_that_say_what_they_are() {
    let mut broken = Vec::new();
    for (path, text) in with_ending(".rs") {
        if text.lines().count() > LINES_MAX {
            broken.push(format!("{path} has {} lines", text.lines().count()));
        }
        let first = text.lines().next().unwrap_or_default();
        if !first.starts_with("//!") && !first.starts_with("#!") {
            broken.push(format!("{path} does not begin with //!"));
        }
    }
    none(&broken, "a file has at most 400 lines and begins with what it does");
}

#[test]
fn nothing_is_allowed_without_a_reason_and_nothing_waits_blindly() {
    let mut broken = Vec::new();
    for (path, text) in with_ending(".rs").filter(|(path, _)| path != "xtask/tests/tidy.rs") {
        for (line, text) in code(&text) {
            let bare = text.contains("#[allow(") || text.contains("#![allow(");
            let blind = text.contains("thread::sleep(") && !path.ends_with("/poll.rs");
            let unfinished = text.contains("#[ignore") || text.contains("todo!(");
            if bare || blind || unfinished {
                broken.push(format!("{path}:{}: {}", line + 1, text.trim()));
            }
        }
    }
    none(&broken, "no bare allow, no sleep, nothing ignored or left to do");
}

#[test]
fn images_have_exact_tags() {
    let mut broken = Vec::new();
    for path in files() {
        let name = path.rsplit('/').next().unwrap_or_default();
        if !name.contains("Dockerfile") && !name.starts_with("docker-compose") {
            continue;
        }
        for line in read(&path).lines() {
            let line = line.trim();
            let image = line.strip_prefix("FROM ").or_else(|| line.strip_prefix("image: "));
            let Some(image) =
                image.and_then(|rest| rest.split_whitespace().find(|word| !word.starts_with("--")))
            else {
                continue;
            };
            let is_stage = !image.contains('/') && !image.contains(':');
            let tag = image.rsplit_once(':').map(|(_, tag)| tag);
            let exact =
                tag.is_some_and(|tag| tag.matches(|c: char| c.is_ascii_digit()).count() >= 2);
            if !is_stage && !exact && !image.starts_with("mpgate") {
                broken.push(format!("{path}: {image}"));
            }
        }
    }
    none(&broken, "an image has an exact tag");
}

/// What stands between backticks and looks like a path of this repository exists.
#[test]
fn paths_named_in_the_docs_exist() {
    const ROOMS: [&str; 13] = [
        "src/", "crates/", "control/", "envoy/", "tests/", "xtask/", "docs/", "deploy/", "demo/",
        "fuzz/", ".github/", ".cargo/", ".ci/",
    ];
    let mut broken = Vec::new();
    for (path, text) in with_ending(".md") {
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        for quoted in text.split('`').skip(1).step_by(2) {
            let named = quoted.split("::").next().unwrap_or_default().trim_end_matches('/');
            let is_path = ROOMS.iter().any(|room| named.starts_with(room))
                && !named.contains(|c: char| c.is_whitespace() || "*{}<>$".contains(c));
            if is_path && !root().join(named).exists() {
                broken.push(format!("{path}: `{named}`"));
            }
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let local =
                !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            if local && !root().join(folder).join(target).exists() {
                broken.push(format!("{path}: ({link})"));
            }
        }
    }
    none(&broken, "a path that the docs name exists");
}

#[test]
fn every_test_named_in_the_threat_table_exists() {
    let sources: String = with_ending(".rs").map(|(_, text)| text).collect();
    let threats = read("SECURITY.md");
    let mut named = 0;
    let mut broken = Vec::new();
    for quoted in threats.split('`').skip(1).step_by(2) {
        let Some((_, test)) = quoted.rsplit_once("::") else {
            continue;
        };
        named += 1;
        if !sources.contains(&format!("fn {test}(")) {
            broken.push(quoted.to_owned());
        }
    }
    assert!(named > 10, "SECURITY.md names only {named} tests");
    none(&broken, "a test that SECURITY.md names exists");
}

#[test]
fn the_reasons_page_is_the_enum() {
    let page = read("docs/reasons.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| {
            let class = match reason.class() {
                Class::Spoofed => "spoofed",
                Class::Malformed => "malformed",
                Class::Unverified => "unverified",
            };
            format!("| `{}` | {class} | {} |", reason.label(), reason.status())
        })
        .collect();
    assert_eq!(rows.len(), expected.len(), "one row for each reason");
    for (row, expected) in rows.iter().zip(&expected) {
        assert!(
            row.starts_with(expected),
            "docs/reasons.md has\n  {row}\nwhere the code has\n  {expected}"
        );
    }
}

#[test]
fn shipped_text_names_no_machine_of_ours() {
    let mut broken = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            continue;
        };
        for needle in ["/home/", "/Users/"] {
            if text.contains(needle) && path != "xtask/tests/tidy.rs" {
                broken.push(format!("{path}: {needle}"));
            }
        }
    }
    none(&broken, "no path of one person's machine");
}
