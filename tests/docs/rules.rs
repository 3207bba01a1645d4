//! Every fenced block says what it is: a transcript, which is played; another language; or a shell
//! command that is not played, and then this file says why.

use std::collections::BTreeSet;

use crate::{blocks, pages};

/// What is no command.
const LANGUAGES: [&str; 11] =
    ["diff", "html", "ini", "json", "promql", "proto", "rust", "sql", "text", "toml", "yaml"];

/// A shell command that is not played: its page, how it begins, and why.
const NOT_PLAYED: [(&str, &str, &str); 21] = [
    (
        "README.md",
        "cargo xtask demo",
        "builds; CI runs 'test', whose end-to-end tests start the same",
    ),
    ("CONTRIBUTING.md", "cargo xtask demo", "the same"),
    ("README.md", "cargo build", "builds; what it builds is on the PATH of what is played"),
    ("docs/releases.md", "cargo xtask dist --twice", "builds for minutes; soak runs it"),
    (
        "docs/releases.md",
        "cargo xtask dist",
        "builds for minutes; its parts have tests of their own",
    ),
    (
        "docs/benchmarks.md",
        "cargo xtask bench",
        "measures for minutes, and wants the machine to itself",
    ),
    (
        "docs/operating.md",
        "mkdir next",
        "the test has senders of its own, and looks for each of their events",
    ),
    ("docs/on-call.md", "sed", "docs/operating.md plays the same push, to the newer module"),
    ("docs/kubernetes.md", "sed", "the test of the manifests runs it"),
    ("docs/kubernetes.md", "for file in", "the same"),
    ("docs/kubernetes.md", "kubectl create namespace", "there is no cluster"),
    ("docs/kubernetes.md", "(umask", "the same; the test of 'mpgate admin reset' plays its part"),
    ("docs/kubernetes.md", "kubectl -n mpgate create secret generic mpgate-database", "the same"),
    ("docs/kubernetes.md", "kubectl label", "the same"),
    ("docs/kubernetes.md", "kubectl -n mpgate exec deploy", "the same"),
    ("docs/kubernetes.md", "kubectl -n mpgate exec -i", "the same"),
    ("docs/kubernetes.md", "kubectl apply -k deploy/kubernetes/overlays", "the same"),
    ("docs/kubernetes.md", "kubectl apply -k deploy/kubernetes/envoy-gateway", "the same"),
    (
        "docs/postgresql.md",
        "DATABASE_URL=",
        "the server is the reader's; control/tests/api/postgres starts one",
    ),
    ("docs/postgresql.md", "mpgate admin", "the same"),
    ("docs/postgresql.md", "pg_dump", "the same: postgres/failover.rs dumps and restores"),
];

#[test]
fn every_block_says_what_it_is() {
    let mut broken = Vec::new();
    let mut met = BTreeSet::new();
    for page in pages() {
        for block in blocks(&page).unwrap_or_else(|error| panic!("{error:#}")) {
            let first = block.lines.first().cloned().unwrap_or_default();
            let listed = NOT_PLAYED
                .iter()
                .position(|(of, begins, _)| *of == page && first.starts_with(begins));
            let is_known = match block.kind() {
                "console" => true,
                "sh" => listed.is_some(),
                kind => LANGUAGES.contains(&kind),
            };
            if block.kind() == "sh" {
                met.extend(listed);
            }
            if !is_known {
                broken.push(format!("{page}:{}: ```{} {first}", block.line, block.info));
            }
        }
    }
    for (number, (page, begins, _)) in NOT_PLAYED.iter().enumerate() {
        if !met.contains(&number) {
            broken.push(format!("{page} has no block any more that begins with '{begins}'"));
        }
    }
    assert!(
        broken.is_empty(),
        "a block is `console` (played), another language, or `sh` and in NOT_PLAYED with its \
         reason:\n  {}",
        broken.join("\n  ")
    );
}
