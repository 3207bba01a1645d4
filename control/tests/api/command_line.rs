//! The command line against a running control: what it prints, and its exit status.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
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
    let output = command.output().expect("mpgate runs");
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
        "keys create --consumer acme --sender billing --stream G-A --stream G-B --expires-in 90d",
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
    let created = json("principals create edge-1 --role gateway");
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

    let restrictions = "--event purchase --event ecommerce_* --event refund \
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
        expected["revision"] = json!(revision + u64::from(!changes.is_empty()));
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

#[test]
fn secrets_go_to_new_private_files() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let environment = [("MPGATE_URL", control.url.as_str()), ("MPGATE_TOKEN", &control.admin)];
    for setting in [
        "consumers create acme",
        "streams create G-A --consumer acme --environment production --upstream-secret none",
    ] {
        assert_eq!(run(&environment, setting).code, Some(0));
    }
    let key = "keys create --consumer acme --sender crm --stream G-A --secret-file";
    let principal = "principals create --role gateway --token-to";
    for (line, prefix) in [(key, "mpg_"), (principal, "mpt_")] {
        for output in ["table", "json"] {
            let file = directory.join(&format!("{prefix}{output}"));
            let line = format!("{line} {} --output {output}", file.display());
            let ran = run(&environment, &line);
            assert_eq!((ran.code, ran.error.as_str()), (Some(0), ""));
            let secret = fs::read_to_string(&file).expect("the file");
            assert!(secret.starts_with(prefix) && secret.trim() == secret);
            assert!(!ran.out.contains(&secret), "{}", ran.out);
            let mode = fs::metadata(&file).expect("the file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            // Not overwritten, and nothing is created for nothing.
            let head = control_head(&environment);
            let again = run(&environment, &line);
            assert_eq!(again.code, Some(2), "{}", again.error);
            assert_eq!(fs::read_to_string(&file).ok(), Some(secret));
            assert_eq!(control_head(&environment), head);
        }
    }
}

/// Environment, arguments, exit status, and a word of standard error.
type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, i32, &'a str);

/// How many keys and principals there are.
fn control_head(environment: &[(&str, &str)]) -> (usize, usize) {
    let count = |line| run(environment, line).out.lines().count();
    (count("keys list --consumer acme"), count("principals list"))
}

#[test]
fn each_way_to_end_has_its_exit_status() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let url = control.url.as_str();
    let token_file = directory.join("admin-token").display().to_string();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let good = [("MPGATE_URL", url), ("MPGATE_TOKEN", control.admin.as_str())];
    let none = [("MPGATE_URL", url)];
    let by_file = [("MPGATE_URL", url), ("MPGATE_TOKEN_FILE", token_file.as_str())];
    let wrong = [("MPGATE_URL", url), ("MPGATE_TOKEN", "mpt_wrong")];
    let away = [("MPGATE_URL", closed.as_str()), ("MPGATE_TOKEN", "mpt_any")];
    let https = [("MPGATE_URL", "https://127.0.0.1:1"), ("MPGATE_TOKEN", "mpt_any")];
    let by_flag = format!("consumers list --token-file {token_file}");
    let rows: [Row; 26] = [
        (&good, "consumers list", 0, ""),
        (&by_file, "consumers list", 0, ""),
        (&none, &by_flag, 0, ""),
        (&good, "consumers get nobody", 1, "no such measurement consumer"),
        (&good, "principals delete admin", 1, "the last admin"),
        (&good, "principals create --role king", 1, "role: A role is"),
        (&wrong, "consumers list", 1, "MPGATE_TOKEN"),
        (&none, "consumers list", 2, "no token; set MPGATE_TOKEN"),
        (&none, "consumers list --token-file /nonexistent", 2, "cannot read the token file"),
        (&good, "consumers create Acme", 2, "a consumer id is"),
        (&good, "keys get 000000000000", 2, "add --consumer"),
        (&good, "keys create --consumer acme --sender crm", 2, "--stream"),
        (&good, "keys create --consumer a --sender a --stream G-A --expires-in soon", 2, "90d"),
        (&good, "streams update G-A --consumer acme", 2, "nothing to change"),
        (&good, "keys update 000000000000 --consumer acme", 2, "nothing to change"),
        (&good, "keys update 000000000000 --nickname x", 2, "add --consumer"),
        (&good, "keys update 000000000000 --event * --consumer acme", 2, "an event is a name"),
        (&good, "keys update 000000000000 --source-network 10.0.0.1/8", 2, "behind its prefix"),
        (&good, "keys update 000000000000 --event a --clear-events", 2, "cannot be used with"),
        (
            &good,
            "keys update 000000000000 --expires-in 1d --no-expire-time",
            2,
            "cannot be used with",
        ),
        (&good, "keys update 000000000000 --sender crm", 2, "--sender"),
        (&good, "keys update 000000000000 --consumer acme --nickname x", 1, "no such API key"),
        (&good, "streams update G-A --consumer acme --silent yes", 2, "true, false, default"),
        (&good, "nonsense", 2, "nonsense"),
        (&https, "consumers list", 2, "no https"),
        (&away, "consumers list", 4, "is `mpgate serve` running"),
    ];
    for (environment, line, code, word) in rows {
        let ran = run(environment, line);
        assert_eq!(ran.code, Some(code), "{line}: {}", ran.error);
        assert!(ran.error.contains(word), "{line}: {}", ran.error);
        assert_eq!(ran.error.is_empty(), code == 0, "{line}: {}", ran.error);
        assert!(!ran.error.contains("mpt_wrong") && !ran.error.contains(&control.admin), "{line}");
    }
}

#[test]
fn version_and_help() {
    let version = run(&[], "--version");
    assert_eq!((version.code, version.out.as_str()), (Some(0), "mpgate 0.1.0\n"));
    let help = run(&[], "--help");
    for word in ["Exit status", "MPGATE_URL", "MPGATE_TOKEN_FILE", "Examples", "serve"] {
        assert!(help.out.contains(word), "{}", help.out);
    }
    // A token in the environment is not shown as a default.
    let help = run(&[("MPGATE_TOKEN", "mpt_canary")], "keys create --help");
    assert!(help.out.contains("Examples") && !help.out.contains("canary"), "{}", help.out);
}
