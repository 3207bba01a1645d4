//! The command line against a running control: what it does and prints.

mod allowlist;
mod check;
mod doctor;
mod ends;
mod gateways;
mod life;
mod reconcile;
mod secrets;
mod settings;
pub(crate) mod terminal;
mod top;
mod trail;

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Control, Directory, MPGATE};

struct Ran {
    code: Option<i32>,
    out: String,
    error: String,
}

fn run(environment: &[(&str, &str)], line: &str) -> Ran {
    let mut command = Command::new(MPGATE);
    command.env_clear().envs(environment.iter().copied()).args(line.split_whitespace());
    ran(&mut command)
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().expect("the command runs");
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        error: String::from_utf8(output.stderr).expect("text"),
    }
}

#[test]
fn an_operator_gets_everything_done() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let environment = [("MPGATE_URL", control.url.as_str()), ("MPGATE_TOKEN", &control.admin)];
    let done = |line: &str| {
        let ran = run(&environment, line);
        assert_eq!((ran.code, ran.error.as_str()), (Some(0), ""), "{line}: {}", ran.out);
        ran.out
    };
    let json = |line: &str| -> Value {
        serde_json::from_str(&done(&format!("{line} --output json"))).expect("JSON")
    };
    assert!(done("consumers create acme --display-name Acme").contains("acme"));
    let stream = "--consumer acme --environment production --upstream-secret replace(GA4_SECRET)";
    assert_eq!(json(&format!("streams create G-A {stream} --mode dry_run"))["mode"], "dry_run");
    done(&format!("streams create G-B {stream}"));
    let updated = json("streams update G-A --consumer acme --mode default");
    assert!(updated["mode"].is_null(), "{updated}");
    assert_eq!(json("streams get measurementConsumers/acme/dataStreams/G-A"), updated);

    let out = done(
        "keys create --consumer acme --sender billing --stream G-A --stream G-B --expires-in 90d --show-secret",
    );
    let secret = out.split_whitespace().find(|word| word.starts_with("mpg_")).expect("a secret");
    assert!(out.contains("shown this once"), "{out}");
    let list = done("keys list --consumer acme");
    let header = list.lines().next().unwrap_or_default();
    assert!(header.starts_with("KEY ") && header.contains("SENDER"), "{list}");
    let id = list.lines().nth(1).and_then(|line| line.split(' ').next()).expect("a key");
    assert!(secret.contains(id) && !list.contains(secret));
    let key = json(&format!("keys get {id} --consumer acme"));
    assert!(key["expireTime"].is_string() && key["authenticationKey"].is_null(), "{key}");
    assert_eq!(json(&format!("keys delete {id} --consumer acme"))["state"], "REVOKED");
    assert_eq!(json("keys list --consumer acme")["apiKeys"], serde_json::json!([]));
    let all = json("keys list --consumer acme --show-deleted");
    assert_eq!(all["apiKeys"].as_array().map(Vec::len), Some(1));

    done("streams delete G-A --consumer acme");
    done("streams delete G-B --consumer acme");
    assert!(!done("streams list --consumer acme").contains("G-A"));
    assert!(done("consumers delete acme").contains("DELETED"));
    assert!(done("consumers list --show-deleted").contains("acme"));
    let created = json("principals create edge-1 --role gateway --show-secret");
    assert!(created["token"].as_str().is_some_and(|token| token.starts_with("mpt_")));
    assert!(done("principals list").contains("edge-1"));
    assert_eq!(json("principals delete edge-1")["state"], "REVOKED");
}

#[test]
fn an_operator_says_what_a_key_may_do() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let environment = [("MPGATE_URL", control.url.as_str()), ("MPGATE_TOKEN", &control.admin)];
    let done = |line: &str| {
        let ran = run(&environment, line);
        assert_eq!((ran.code, ran.error.as_str()), (Some(0), ""), "{line}: {}", ran.out);
        ran.out
    };
    let json = |line: &str| -> Value {
        serde_json::from_str(&done(&format!("{line} --output json"))).expect("JSON")
    };
    done("consumers create acme");
    let stream = "--consumer acme --environment production --upstream-secret none";
    let created = json(&format!("streams create G-A {stream} --protocol-rules off --silent true"));
    assert_eq!((&created["protocolRules"], &created["silent"]), (&json!("off"), &json!(true)));
    let created = json(&format!("streams create G-B {stream} --mode default --silent default"));
    assert!(created["mode"].is_null() && created["silent"].is_null(), "{created}");

    let restrictions = "--show-secret --event purchase --event ecommerce_* --event refund \
        --source-network 203.0.113.7 --certificate-name spiffe://acme/shop";
    let key =
        json(&format!("keys create --consumer acme --sender shop --stream G-A {restrictions}"));
    assert_eq!(key["events"], json!(["purchase", "ecommerce_*", "refund"]));
    assert_eq!(key["sourceNetworks"], json!(["203.0.113.7/32"]));
    assert_eq!(key["certificateNames"], json!(["spiffe://acme/shop"]));
    let name = key["name"].as_str().expect("a name");
    let shown = done(&format!("keys get {name}"));
    let list = done("keys list --consumer acme");
    for (table, words) in [
        (
            &shown,
            [
                "EVENTS             purchase\n                   ecommerce_*\n",
                "203.0.113.7/32",
                "never",
            ],
        ),
        (&list, ["NETWORKS", "purchase,ecommerce_*,+1", "spiffe://acme/shop"]),
    ] {
        for word in words {
            assert!(table.contains(word), "{word}: {table}");
        }
    }
    // Rows: the flags, and the members that are other afterwards.
    let mut expected = json(&format!("keys get {name}"));
    for (flags, other) in [
        ("--event purchase", json!({"events": ["purchase"]})),
        ("--event purchase", json!({})),
        ("--clear-events --clear-source-networks", json!({"events": null, "sourceNetworks": null})),
        (
            "--source-network 10.0.0.0/8 --source-network 2001:DB8::/32 --clear-certificate-names",
            json!({"sourceNetworks": ["10.0.0.0/8", "2001:db8::/32"], "certificateNames": null}),
        ),
        ("--certificate-name a.example", json!({"certificateNames": ["a.example"]})),
        ("--stream G-B --stream G-A", json!({"dataStreams": ["G-B", "G-A"]})),
        ("--expire-time 2099-01-01T00:00:00Z", json!({"expireTime": "2099-01-01T00:00:00Z"})),
        ("--not-before 2098-01-01T00:00:00Z", json!({"notBefore": "2098-01-01T00:00:00Z"})),
        ("--no-expire-time --no-not-before", json!({"expireTime": null, "notBefore": null})),
        ("--nickname Shop --description till", json!({"nickname": "Shop", "description": "till"})),
        ("--nickname=", json!({"nickname": ""})),
    ] {
        let revision = expected["revision"].as_u64().expect("a revision");
        let changes = other.as_object().expect("members");
        let members = expected.as_object_mut().expect("a key");
        for (member, value) in changes {
            match value {
                Value::Null => members.remove(member),
                value => members.insert(member.clone(), value.clone()),
            };
        }
        let revision = revision + u64::from(!changes.is_empty());
        expected["revision"] = json!(revision);
        expected["etag"] = json!(format!("r{revision}"));
        assert_eq!(json(&format!("keys update {name} {flags}")), expected, "{flags}");
    }
    let ending = json(&format!("keys update {name} --expires-in 90d"));
    assert!(ending["expireTime"].is_string(), "{ending}");
    let shown =
        done(&format!("keys update {name} --clear-certificate-names --clear-source-networks"));
    for words in ["EVENTS             all", "SOURCE NETWORKS    any", "any, or no certificate"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let stream = json("streams update G-A --consumer acme --protocol-rules enforce --silent false");
    assert_eq!((&stream["protocolRules"], &stream["silent"]), (&json!("enforce"), &json!(false)));
    let shown =
        done("streams update G-A --consumer acme --protocol-rules default --silent default");
    assert!(shown.contains("PROTOCOL RULES   default\nSILENT           default\n"), "{shown}");
    assert!(done("streams list --consumer acme").contains("PROTOCOL RULES"));
}
