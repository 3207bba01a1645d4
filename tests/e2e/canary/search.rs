//! Canaries, and the search for them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mpgate_testbed::{Response, Stack};

/// So many bytes in a row are no accident, and a secret that was cut is still found.
const WINDOW: usize = 16;

/// Files that every run leaves behind.
const SEARCHED: [&str; 9] = [
    "access.log",
    "collector.stdout",
    "control.sqlite",
    "control.sqlite-shm",
    "control.sqlite-wal",
    "control.stderr",
    "control.stdout",
    "envoy.stderr",
    "envoy.stdout",
];

/// Somebody's secret.
#[derive(Clone)]
pub(super) struct Canary {
    /// Whose it is.
    pub(super) name: &'static str,
    pub(super) secret: String,
}

/// A place that was searched, and whose canaries may be there.
pub(super) type Allowed = (&'static str, &'static [&'static str]);

impl Canary {
    pub(super) fn new(name: &'static str, secret: &str) -> Self {
        assert!(secret.len() > WINDOW, "{name}: too short to be told from chance");
        Self { name, secret: secret.to_owned() }
    }

    /// Whether the secret, or a good part of it, is in there: as it is, or in hexadecimal digits.
    fn is_in(&self, hay: &str) -> bool {
        // A key's id stands in the secret and, rightly, in logs: `mpg_{key id}_` is no secret.
        let start = if self.secret.starts_with("mpg_") { "mpg_".len() + 12 } else { 0 };
        let secret = self.secret.as_bytes().get(start..).unwrap_or_default();
        secret.windows(WINDOW).any(|part| {
            let part = String::from_utf8_lossy(part);
            hay.contains(&*part) || hay.contains(&hex(&part))
        })
    }
}

fn hex(text: &str) -> String {
    let digits: Vec<_> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// Whose canaries are in there.
pub(super) fn found(canaries: &[Canary], hay: &[u8]) -> BTreeSet<&'static str> {
    let hay = String::from_utf8_lossy(hay);
    canaries.iter().filter(|canary| canary.is_in(&hay)).map(|canary| canary.name).collect()
}

/// Nobody's but these may be there.
pub(super) fn check(canaries: &[Canary], place: &str, hay: &[u8], allowed: &[&str]) {
    let found = found(canaries, hay);
    let strange: Vec<_> = found.iter().filter(|name| !allowed.contains(*name)).collect();
    assert!(strange.is_empty(), "{place} holds the secret of {strange:?}");
}

/// Status, headers, body and trailers as text.
pub(super) fn shown(answer: &Response) -> Vec<u8> {
    let mut all = answer.body.clone();
    for (name, value) in answer.headers.iter().chain(&answer.trailers) {
        all.extend(name.as_bytes());
        all.extend(b": ");
        all.extend(value);
        all.push(b'\n');
    }
    all
}

/// Searches every file of a run: outputs, logs, the database with its companions, configurations.
/// What a file may hold is told by its name.
pub(super) fn check_files(canaries: &[Canary], directory: &Path, allowed: &[Allowed]) {
    let mut searched = BTreeSet::new();
    for file in fs::read_dir(directory).expect("the run's files") {
        let path = file.expect("a file").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rule = allowed.iter().find(|(file, _)| *file == name);
        let may_hold = rule.map_or(&[][..], |(_, names)| names);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        check(canaries, &name, &bytes, may_hold);
        for expected in may_hold {
            assert!(found(canaries, &bytes).contains(expected), "{name} is searched in vain");
        }
        searched.insert(name);
    }
    for file in SEARCHED {
        assert!(searched.contains(file), "{file} was not searched: {searched:?}");
    }
}

/// Searches what the admin listener tells.
pub(super) fn check_admin(canaries: &[Canary], stack: &Stack, paths: &[(&str, u16)]) {
    for (path, status) in paths {
        let asked = mpgate_testbed::Request::get(path);
        let told = mpgate_testbed::http1::send(stack.envoy.admin(), &asked).expect("an answer");
        assert_eq!(told.status, *status, "{path}");
        check(canaries, path, &shown(&told), &[]);
    }
}
