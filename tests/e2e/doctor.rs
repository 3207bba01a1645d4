//! `mpgate doctor` and a real Envoy: it tells a gate from what stands in its place.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::Result;
use mpgate_testbed::stack::{Builder, Stack};
use mpgate_testbed::{EnvoyConfig, artifacts};
use serde_json::Value;

type Case = (&'static str, fn(Builder) -> Builder, &'static str, &'static str);

/// What is set up, how, and what is found.
const CASES: [Case; 6] = [
    ("as shipped", |builder| builder, "ok", "it is in the way"),
    (
        "no list yet",
        // Nobody listens on port 1, so that none comes while it is looked.
        |builder| builder.control((Ipv4Addr::LOCALHOST, 1).into()).without_list(),
        "fail",
        "has no list yet",
    ),
    (
        "a dry run",
        |builder| {
            builder.edit(|config| {
                config.gate()?["mode"] = "dry_run".into();
                Ok(())
            })
        },
        "warn",
        "let a request without a secret have",
    ),
    (
        "silent",
        |builder| {
            builder.edit(|config| {
                config.gate()?["silent"] = true.into();
                Ok(())
            })
        },
        "warn",
        "let a request without a secret have 200",
    ),
    (
        "no gate, and the tripwire",
        |builder| builder.edit(without_gate).without_list(),
        "fail",
        "the tripwire answered",
    ),
    (
        "neither",
        |builder| {
            builder
                .edit(|config| {
                    without_gate(config)?;
                    config.remove_http_filter("envoy.filters.http.rbac")
                })
                .without_list()
        },
        "fail",
        "the gate is NOT in the way",
    ),
];

fn without_gate(config: &mut EnvoyConfig) -> Result<()> {
    config.http_filter("mpgate")?["disabled"] = true.into();
    Ok(())
}

#[test]
fn it_tells_a_gate_from_what_stands_in_its_place() {
    for (what, build, result, words) in CASES {
        let stack = build(Stack::builder()).start().expect("the stack starts");
        let mut doctor = Command::new(artifacts::control().expect("mpgate"));
        doctor.env_clear().args(["doctor", "--output", "json", "--url"]);
        doctor.arg(format!("http://{}", stack.control.address()));
        doctor.arg("--token-file").arg(stack.control.admin_token_file());
        doctor.arg("--gate").arg(format!("http://{}", stack.envoy.address()));
        let ran = doctor.output().expect("it runs");
        let told: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
        let gate = told["checks"].as_array().and_then(|checks| checks.last()).expect("a check");
        assert_eq!(gate["result"], result, "{what}: {gate}");
        assert!(gate["found"].as_str().is_some_and(|it| it.contains(words)), "{what}: {gate}");
        assert_eq!(ran.status.success(), result != "fail", "{what}: {told}");
    }
}
