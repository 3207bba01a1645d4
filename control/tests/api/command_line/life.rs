//! What becomes of keys, principals and consumers, by command; and how far the gateways are.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Ran, run};
use crate::harness::{Control, Directory, MPGATE};

/// A control with consumer `acme` and stream `G-A`, and commands that have to succeed.
pub(super) struct Site {
    pub(super) control: Control,
    pub(super) directory: Directory,
}

impl Site {
    pub(super) fn new() -> Self {
        let directory = Directory::new();
        let control = Control::start(&directory);
        let site = Self { control, directory };
        site.done("consumers create acme");
        site.done("streams create G-A --environment production --upstream-secret none");
        site
    }

    pub(super) fn run(&self, line: &str) -> Ran {
        run(&self.environment(), line)
    }

    pub(super) fn environment(&self) -> [(&str, &str); 3] {
        let (url, token) = (self.control.url.as_str(), self.control.admin.as_str());
        [("MPGATE_URL", url), ("MPGATE_TOKEN", token), ("MPGATE_CONSUMER", "acme")]
    }

    #[track_caller]
    pub(super) fn done(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!((ran.code, ran.error.as_str()), (Some(0), ""), "{line}: {}", ran.out);
        ran.out
    }

    #[track_caller]
    pub(super) fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.done(&format!("{line} --output json"))).expect("JSON")
    }

    /// A key, as it was issued.
    pub(super) fn key(&self, sender: &str, flags: &str) -> Value {
        self.json(&format!("keys create --sender {sender} --stream G-A --show-secret {flags}"))
    }

    /// What a gateway asks, of this instance and gate: all it has is `since`.
    pub(super) async fn ask(&self, token: &str, gateway: (&str, &str), since: u64) -> Value {
        let epoch = self.control.get("/v1/allowlist/changes").await.done()["epoch"].clone();
        let epoch = epoch.as_str().expect("an epoch");
        let path = format!("/v1/allowlist/changes?epoch={epoch}&since={since}");
        let url = format!("{}{path}", self.control.url);
        let request = reqwest::Client::new().get(url).bearer_auth(token);
        let (instance, gate) = gateway;
        let request = request.header("x-mpgate-gate", gate).header("x-mpgate-version", "0.1.0");
        let request = request.header("x-mpgate-instance", instance);
        Control::send(request).await.expect("an answer").done()
    }
}

pub(super) fn id(resource: &Value) -> String {
    let name = resource["name"].as_str().expect("a name");
    name.rsplit('/').next().expect("an id").to_owned()
}

#[test]
fn a_key_is_rotated_disabled_and_enabled() {
    let site = Site::new();
    let old = site.key("billing", "--expires-in 90d");
    let new = site.json(&format!("keys rotate {} --overlap 2d --show-secret", id(&old)));
    assert!(new["authenticationKey"].as_str().is_some_and(|secret| secret.starts_with("mpg_")));
    assert_eq!((&new["sender"], &new["predecessor"]), (&old["sender"], &old["name"]));
    let old = site.json(&format!("keys get {}", id(&old)));
    assert_eq!(old["successor"], new["name"], "{old}");
    let twice = site.run(&format!("keys rotate {} --show-secret", id(&old)));
    assert_eq!(twice.code, Some(1), "{}", twice.error);
    // Not without a place for the secret, and then nothing was issued.
    let refused = site.run(&format!("keys rotate {}", id(&new)));
    assert!(
        refused.code == Some(2) && refused.error.contains("--secret-file"),
        "{}",
        refused.error
    );
    assert!(site.json(&format!("keys get {}", id(&new)))["successor"].is_null());

    for (verb, state) in [("disable", "DISABLED"), ("enable", "ACTIVE")] {
        let key = site.json(&format!("keys {verb} {}", id(&new)));
        assert_eq!(key["state"], state, "{key}");
    }
    // Only what it was: an etag of before is refused.
    let stale = site.run(&format!("keys disable {} --etag r1", id(&new)));
    assert!(stale.code == Some(1) && stale.error.contains("etag"), "{}", stale.error);
    let stale = site.run(&format!("keys update {} --nickname x --etag r1", id(&new)));
    assert_eq!(stale.code, Some(1), "{}", stale.error);
    let stale = site.run(&format!("keys delete {} --etag r1", id(&new)));
    assert_eq!(stale.code, Some(1), "{}", stale.error);
    let etag = site.json(&format!("keys get {}", id(&new)))["etag"].clone();
    let etag = etag.as_str().expect("an etag");
    assert_eq!(site.json(&format!("keys delete {} --etag {etag}", id(&new)))["state"], "REVOKED");
}

#[test]
fn a_request_that_is_sent_twice_is_done_once() {
    let site = Site::new();
    let request = "--request-id 6d6ed1bd-9f0c-4a0b-8c86-0c4d1b0f1e11";
    let first = site.key("billing", request);
    let line = format!("keys create --sender billing --stream G-A {request}");
    let again = site.run(&format!("{line} --show-secret --output json"));
    assert_eq!(again.code, Some(0), "{}", again.error);
    assert!(again.error.contains("was done before"), "{}", again.error);
    let told: Value = serde_json::from_str(&again.out).expect("JSON");
    assert_eq!((&told["name"], &told["authenticationKey"]), (&first["name"], &Value::Null));
    let file = site.directory.join("secret");
    let again = site.run(&format!("{line} --secret-file {}", file.display()));
    assert!(again.code == Some(1) && again.error.contains("shown then"), "{}", again.error);
    assert!(!file.exists());
    let other = site.run(&format!("consumers create beta {request}"));
    assert_eq!(other.code, Some(1), "{}", other.error);
    assert_eq!(site.json("keys list")["apiKeys"].as_array().map(Vec::len), Some(1));
}

fn adopt(site: &Site, flags: &str, secret: &str) -> Ran {
    let mut command = Command::new(MPGATE);
    command.env_clear().envs(site.environment()).args(["keys", "adopt", "--sender", "crm"]);
    command.args(["--stream", "G-A"]).args(flags.split_whitespace()).stdin(Stdio::piped());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("it runs");
    // What it does not read it need not get.
    child.stdin.take().expect("a pipe").write_all(secret.as_bytes()).ok();
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}

#[test]
fn a_secret_is_adopted_from_standard_input() {
    let site = Site::new();
    let secret = "Xq7Yw2LrTzKc0Vx9NfPd4Hg";
    for (flags, input, code, words) in [
        ("", "", 2, "standard input is empty"),
        ("", "\n", 2, "standard input is empty"),
        ("", "one\ntwo\n", 2, "more than one line"),
        ("--digest abc", "", 1, "digest"),
        ("", "aaaa", 1, "secret"),
        ("", "Xq7Yw2LrTzKc0Vx9NfPd4Hg\r\n", 0, ""),
        ("", secret, 1, ""),
    ] {
        let ran = adopt(&site, flags, input);
        assert_eq!(ran.code, Some(code), "{flags} {input:?}: {}", ran.error);
        assert!(ran.error.contains(words), "{words}: {}", ran.error);
        assert!(
            !ran.out.contains(secret) && !ran.error.contains(secret),
            "{}{}",
            ran.out,
            ran.error
        );
    }
    assert_eq!(site.json("keys list")["apiKeys"][0]["origin"], "adopted");
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let by_digest = adopt(&site, &format!("--digest {digest}"), "");
    assert_eq!(by_digest.code, Some(0), "{}", by_digest.error);
}

#[test]
fn keys_are_listed_by_what_is_advised() {
    let site = Site::new();
    let soon = id(&site.key("billing", "--expires-in 5d"));
    let late = id(&site.key("crm", "--expires-in 60d"));
    let gone = id(&site.key("shop", ""));
    site.done(&format!("keys delete {gone}"));
    let listed = |flags: &str| -> Vec<String> {
        let list = site.json(&format!("keys list {flags}"));
        list["apiKeys"].as_array().expect("a list").iter().map(id).collect()
    };
    let one = std::slice::from_ref;
    for (flags, expected) in [
        ("", [soon.clone(), late.clone()].as_slice()),
        ("--unused", &[soon.clone(), late.clone()]),
        ("--expiring-within 14d", one(&soon)),
        ("--expiring-within 14d --unused", one(&soon)),
        ("--expiring-within 1d", &[]),
        ("--safe-to-delete", &[]),
        ("--revoked-but-tried", &[]),
        ("--filter sender=crm", one(&late)),
        ("--show-deleted --filter state=REVOKED", one(&gone)),
    ] {
        assert_eq!(listed(flags), expected, "{flags}");
    }
    let table = site.done("keys list");
    assert!(table.contains("ADVICE") && table.contains("NEVER_USED,EXPIRES_SOON"), "{table}");
    assert_eq!(site.run("keys list --filter colour=red").code, Some(1));
}

#[test]
fn principals_and_consumers_are_changed() {
    let site = Site::new();
    let consumer = site.json("consumers update acme --display-name Acme");
    assert_eq!(consumer["displayName"], "Acme");
    let stale = site.run("consumers update acme --display-name A --etag v0");
    assert_eq!(stale.code, Some(1), "{}", stale.error);
    let owner = site.json("principals create team --role owner --consumer acme --show-secret");
    assert_eq!(owner["measurementConsumers"], json!(["measurementConsumers/acme"]));
    site.done("principals create edge-1 --role gateway --environment staging --show-secret");
    let edge = site.json("principals update edge-1 --environment production --display-name Edge");
    assert_eq!(
        (&edge["environment"], &edge["displayName"]),
        (&json!("production"), &json!("Edge"))
    );
    assert_eq!(site.run("principals update edge-1").code, Some(2));

    let file = site.directory.join("token");
    site.done(&format!("principals rotate team --overlap 60s --token-to {}", file.display()));
    let url = site.control.url.as_str();
    let by_file = file.display().to_string();
    let of_team = [("MPGATE_URL", url), ("MPGATE_TOKEN_FILE", &by_file)];
    assert_eq!(run(&of_team, "streams list --consumer acme").code, Some(0));
    let foreign = run(&of_team, "consumers create other");
    assert!(foreign.code == Some(1) && foreign.error.contains(&by_file), "{}", foreign.error);
    let tokens = site.json("principals tokens team")["tokens"].clone();
    let tokens = tokens.as_array().expect("tokens");
    assert_eq!(tokens.len(), 2, "{tokens:?}");
    for token in tokens {
        let revoked = site.json(&format!("principals revoke-token team {}", id(token)));
        assert_eq!(revoked["state"], "REVOKED", "{revoked}");
    }
    assert_eq!(run(&of_team, "streams list --consumer acme").code, Some(1));
    assert!(site.done("principals tokens team").contains("LAST USED"));
}

#[test]
fn a_token_that_ends_says_what_is_left() {
    let site = Site::new();
    let shown = site.done("principals create guest --role viewer --expires-in 30d --show-secret");
    let left = ["30 d", "29 d"].map(|left| format!("\nENDS IN       {left}\n"));
    assert!(left.iter().any(|left| shown.contains(left)), "{shown}");
    let whole = site.json("principals get guest");
    assert!(whole["expireTime"].is_string() && whole["left"].is_null(), "{whole}");
    let shown =
        site.done("principals rotate guest --expire-time 2099-01-01T00:00:00Z --show-secret");
    assert!(shown.contains("\nEXPIRES       2099-01-01T00:00:00Z\n"), "{shown}");
    let line = |table: &str, word: &str| {
        let line = table.lines().find(|line| line.contains(word));
        line.unwrap_or_else(|| panic!("no {word} in {table}")).to_owned()
    };
    let list = site.done("principals list");
    assert!(line(&list, "guest").contains("2099-01-01T00:00:00Z  "), "{list}");
    assert!(line(&list, "admin").contains("never                 -  "), "{list}");
    // The old one has the overlap's day left.
    let tokens = site.done("principals tokens guest");
    let old = line(&tokens, "ACTIVE");
    assert!(old.contains(" 24 h ") || old.contains(" 23 h "), "{tokens}");
    let shown = site.done("principals rotate guest --no-expire-time --show-secret");
    assert!(shown.contains("\nEXPIRES       never\n"), "{shown}");
}

#[tokio::test]
async fn a_change_is_waited_for_and_who_is_behind_is_named() {
    let site = Site::new();
    let none = site.run("keys create --sender billing --stream G-A --show-secret --wait 0");
    assert_eq!(none.code, Some(3), "{}", none.error);
    assert!(
        none.error.contains("on 0 of 0 gateways") && none.out.contains("mpg_"),
        "{}",
        none.error
    );

    let token = site.json("principals create edge-1 --role gateway --show-secret")["token"].clone();
    let token = token.as_str().expect("a token");
    let key = site.key("crm", "");
    let head = key["revision"].as_u64().expect("a revision");
    site.ask(token, ("00000000000000a1", "edge"), head).await;
    site.ask(token, ("00000000000000a2", "edge"), head - 1).await;
    let line = format!("keys update {} --nickname x --wait 1", id(&key));
    let behind = site.run(&line);
    assert_eq!(behind.code, Some(3), "{}", behind.error);
    for words in ["in force on 0 of 2 gateways, 1.", "gateways/edge-1.00000000000000a2.edge"] {
        assert!(behind.error.contains(words), "{words}: {}", behind.error);
    }
    let list = site.done("gateways list");
    for words in ["GATEWAY", "LIVE", "edge-1.00000000000000a1.edge", "0.1.0"] {
        assert!(list.contains(words), "{words}: {list}");
    }
    let one = site.json("gateways get edge-1.00000000000000a1.edge");
    assert_eq!((&one["state"], &one["gate"]), (&json!("LIVE"), &json!("edge")));

    // Both take it up while somebody waits.
    let line = format!("keys delete {} --wait", id(&key));
    let environment = site.environment().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let waiting = std::thread::spawn(move || {
        let borrowed = environment.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        run(&borrowed, &line)
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !waiting.is_finished() {
        assert!(Instant::now() < deadline, "it waits for ever");
        let page = site.control.get("/v1/allowlist/changes").await.done();
        let head = page["head"].as_u64().expect("a head");
        for instance in ["00000000000000a1", "00000000000000a2"] {
            site.ask(token, (instance, "edge"), head).await;
        }
    }
    let waited = waiting.join().expect("it ran");
    assert_eq!((waited.code, waited.error.as_str()), (Some(0), ""), "{}", waited.out);
    assert!(waited.out.contains("\nrefused on 2 of 2 gateways, "), "{}", waited.out);
}

#[tokio::test]
async fn more_gateways_than_are_listed_give_no_receipt() {
    let site = Site::new();
    let token = site.json("principals create edge-1 --role gateway --show-secret")["token"].clone();
    let token = token.as_str().expect("a token");
    let key = site.key("crm", "--nickname x");
    let head = key["revision"].as_u64().expect("a revision");
    for instance in 1..=256 {
        site.ask(token, (&format!("{instance:016x}"), "edge"), head).await;
    }
    // It changes nothing, so all have it already.
    let line = format!("keys update {} --nickname x --wait 1", id(&key));
    let all = site.done(&line);
    assert!(all.contains("\nin force on 256 of 256 gateways, "), "{all}");
    let behind = site.run("streams update G-A --mode dry_run --wait 0");
    assert_eq!(behind.code, Some(3), "{}", behind.error);
    for words in ["on 0 of 256 gateways", "edge-1.0000000000000005.edge and 251 more"] {
        assert!(behind.error.contains(words), "{words}: {}", behind.error);
    }
    site.ask(token, (&format!("{:016x}", 257), "edge"), head).await;
    let more = site.run(&line);
    assert_eq!(more.code, Some(3), "{}", more.error);
    for words in ["on 256 of 256 gateways", "hold the token of principals/edge-1"] {
        assert!(more.error.contains(words), "{words}: {}", more.error);
    }
    let list = site.run("gateways list");
    assert_eq!((list.code, list.out.lines().count()), (Some(0), 257), "{}", list.out);
    assert!(list.error.contains("principals/edge-1"), "{}", list.error);
    let refused = site.run("gateways forget edge-1.0000000000000001.edge");
    assert!(refused.code == Some(1) && refused.error.contains("alive"), "{}", refused.error);
}
