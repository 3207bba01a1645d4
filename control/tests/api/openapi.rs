//! `/openapi.json` is true: a client that nobody here wrote reads it and tries what it says, and what it
//! does not say.

use std::collections::BTreeSet;
use std::process::Command;

use mpgate_testbed::python;
use serde_json::Value;

use crate::harness::{Control, Directory};

/// What is left out, and why. The document cannot say which streams exist, which times lie ahead, or what a
/// filter may be: requests that it allows are refused with 400, so acceptance is not checked. Requests
/// without a token run into the limit on failed authentications; `access` has them as a table.
const LEFT_OUT: &str = "positive_data_acceptance,ignored_auth,missing_required_header";

#[tokio::test]
async fn what_it_says_is_so() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let key = control.key("billing", &["G-A"]).await;
    control.gateway_token().await;
    let id = key["name"].as_str().and_then(|name| name.rsplit('/').next()).expect("an id");
    // What there is, so that more than 404 is seen.
    let there = format!(
        "[parameters]\n\"path.mc\" = \"acme\"\n\"path.stream\" = \"G-A\"\n\"path.key\" = \"{id}\"\n"
    );
    std::fs::write(directory.join("schemathesis.toml"), there).expect("a file");
    let python = python::python(&mut |_| {}).expect("a Python for the tests");
    let output = Command::new(python.with_file_name("schemathesis"))
        .current_dir(directory.path())
        .args([
            "--config-file",
            "schemathesis.toml",
            "--no-color",
            "run",
            &format!("{}/openapi.json", control.url),
        ])
        .args(["--header", &format!("Authorization: Bearer {}", control.admin)])
        .args(["--phases", "coverage,stateful", "--max-examples", "5", "--seed", "1"])
        .args(["--checks", "all", "--exclude-checks", LEFT_OUT, "--continue-on-failure"])
        .output()
        .expect("schemathesis runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("Tested: "), "nothing was tested:\n{told}");
}

/// Every path and method that the document names is there, and what the router has is in the document:
/// asked without a token, a route that is there answers 401 or 429, one that is not 404 or 405.
#[tokio::test]
async fn it_names_every_route() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let document = control.call("GET", "/openapi.json", None, None).await.done();
    let mut named = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            named.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let source = include_str!("../../src/api/mod.rs");
    for path in document["paths"].as_object().expect("paths").keys() {
        let resource = path.rsplit_once("}:").map_or(path.as_str(), |(path, _)| path);
        assert!(source.contains(resource), "{path} is described, and no route");
    }
    for route in source.split('"').filter(|text| text.starts_with("/v1/")) {
        assert!(
            named.iter().any(|name| name.split(' ').nth(1) == Some(route)),
            "the route {route} is not described"
        );
    }
    let reasons = &document["components"]["schemas"]["Problem"]["properties"]["reason"]["enum"];
    assert!(reasons.as_array().is_some_and(|reasons| reasons.contains(&Value::from("ABORTED"))));
}
