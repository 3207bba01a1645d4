//! The fuzz targets' properties, replayed on stable over the committed corpus.

#[path = "../../../fuzz/properties/lib.rs"]
#[expect(unreachable_pub, reason = "it is the library of the fuzz targets")]
mod properties;

use std::path::Path;

use properties::{body, pages, query, reports, request, settings};

/// Runs a check over every file of a target's corpus.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for file in std::fs::read_dir(&folder).expect("the corpus") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("bytes");
        check(&bytes);
        files += 1;
    }
    assert!(files >= 10, "only {files} files in {}", folder.display());
}

#[test]
fn bodies() {
    replay("body", body::check);
}

#[test]
fn queries() {
    replay("query", query::check);
}

#[test]
fn requests() {
    replay("request", request::check);
}

#[test]
fn configurations() {
    replay("settings", settings::check);
}

#[test]
fn change_pages() {
    replay("pages", pages::check);
}

#[test]
fn usage_reports() {
    replay("reports", reports::check);
}
