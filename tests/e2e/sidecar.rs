//! Two real Envoys, as they stand beside a backend and beside a collector: the backend holds no secret, the
//! one beside it adds the sender's, and the one beside the collector judges it. `deploy/sidecar/`.

use std::fs;
use std::time::Duration;

use mpgate_testbed::poll;
use mpgate_testbed::sidecar::Sidecar;
use mpgate_testbed::stack::{LISTENER_NAME, SHOP, purchase_body};
use mpgate_testbed::{Request, Response, Stack};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

/// Both, and the files of the backend's.
struct Pair {
    backend: Sidecar,
    gate: Stack,
    directory: tempfile::TempDir,
}

impl Pair {
    fn start(edit: impl FnOnce(&mut Value)) -> Self {
        let gate =
            Stack::builder().config("deploy/sidecar/collector.yaml").start().expect("a gate");
        let directory = mpgate_testbed::directory().expect("a directory");
        let authority = gate.authority().expect("TLS").certificate_file();
        let address = gate.envoy.address();
        // A newline at the end, as editors leave one.
        let secret = format!("{}\n", gate.billing.secret);
        let backend = Sidecar::start(address, &authority, &secret, directory.path(), edit);
        Self { backend: backend.expect("a sidecar"), gate, directory }
    }

    fn post(&self, path: &str) -> Response {
        let request = Request::post(format!("{path}?measurement_id={SHOP}")).json(&purchase_body());
        self.backend.send(&request).expect("an answer")
    }
}

/// What the backend writes: no secret.
#[test]
fn a_backend_without_a_secret_sends_genuine_events() {
    assert_eq!(LISTENER_NAME, "gate.example.com", "the name that backend.yaml asks for");
    let pair = Pair::start(|_| ());
    assert_eq!(pair.post("/mp/collect").status, 204);
    let [event] = &*pair.gate.collector.wait_for_events(1).expect("an event") else {
        panic!("one event");
    };
    assert_eq!(event.path(), format!("/mp/collect?measurement_id={SHOP}"));
    assert_eq!(event.body(), purchase_body().to_string());
    assert_eq!(event.header("x-mpgate-sender"), Some("billing"));
    assert!(event.header("authorization").is_none(), "the collector needs no secret: {event:?}");
    assert!(!event.contains(&pair.gate.billing.secret), "{event:?}");
    for header in ["x-forwarded-for", "x-forwarded-proto", "x-envoy-expected-rq-timeout-ms"] {
        assert!(event.header(header).is_none(), "{header}");
    }

    // The endpoint that validates, and what is none of this Envoy's business.
    assert_eq!(pair.post("/debug/mp/collect").status, 200);
    for path in ["/", "/other", "/MP/collect", "/mp/collect/"] {
        assert_eq!(pair.post(path).status, 404, "{path}");
    }
    // What the backend brings itself does not count.
    let own = Request::post(format!("/mp/collect?measurement_id={SHOP}&api_secret=own"))
        .header("authorization", "Bearer own")
        .json(&purchase_body());
    let answer = pair.backend.send(&own).expect("an answer");
    assert_eq!(answer.reason(), "conflicting_secrets", "{}", answer.text());
    let own = Request::post(format!("/mp/collect?measurement_id={SHOP}"))
        .header("authorization", "Bearer own")
        .json(&purchase_body());
    assert_eq!(pair.backend.send(&own).expect("an answer").status, 204);
    // No byte of it went past the gate.
    assert_eq!(pair.gate.collector.events().expect("events").len(), 2);
}

#[test]
fn a_rotation_is_live_and_no_event_is_lost_in_it() {
    let pair = Pair::start(|_| ());
    let next = pair.gate.issue("billing", &[SHOP]).expect("a second key");
    pair.backend.rotate(&next.secret).expect("rotated");
    // Both keys are good meanwhile: whichever is sent, the event passes.
    let mut sent = 0;
    poll::until("the new key to be used", SOON, || {
        assert_eq!(pair.post("/mp/collect").status, 204);
        sent += 1;
        let log = pair.gate.envoy.access_log().expect("a log");
        log.iter().any(|line| line["key"] == next.id()).then_some(())
    })
    .expect("the new key");
    pair.gate.revoke(&pair.gate.billing).expect("revoked");
    for _ in 0..20 {
        assert_eq!(pair.post("/mp/collect").status, 204);
    }
    assert_eq!(pair.gate.collector.wait_for_events(sent + 20).expect("events").len(), sent + 20);

    // From here on the file is in a volume of Kubernetes, where a link is swapped and no file is touched. An old
    // secret put back is refused, and the backend is told in words.
    pair.backend.swap(&next.secret).expect("as a volume");
    assert_eq!(pair.post("/mp/collect").status, 204);
    pair.backend.swap(&pair.gate.billing.secret).expect("swapped");
    let refused = poll::until("the revoked key to be refused", SOON, || {
        let answer = pair.post("/mp/collect");
        (answer.status != 204).then_some(answer)
    });
    let refused = refused.expect("refused");
    assert_eq!((refused.status, refused.reason().as_str()), (403, "revoked"));
}

/// Neither what the backend can read of its Envoy, nor what that Envoy writes, holds the secret; not even its
/// dump, which the shipped file does not serve.
#[test]
fn the_secret_is_nowhere_on_the_backends_side() {
    let pair = Pair::start(|document| {
        document["admin"].as_object_mut().expect("admin").remove("allow_paths").expect("paths");
    });
    let secret = pair.gate.billing.secret.clone();
    let answers = [
        pair.post("/mp/collect"),
        pair.post("/debug/mp/collect"),
        pair.post("/other"),
        pair.backend.send(&Request::get("/mp/collect")).expect("an answer"),
    ];
    for answer in answers {
        let told = format!("{:?}{}", answer.headers, answer.text());
        assert!(!told.contains(&secret), "{told}");
    }
    for path in [
        "/config_dump?include_eds",
        "/config_dump?resource=dynamic_active_secrets",
        "/stats",
        "/stats/prometheus",
        "/clusters?format=json",
        "/listeners",
        "/server_info",
        "/certs",
        "/init_dump",
    ] {
        let dump = pair.backend.admin(path).expect("an answer");
        assert_eq!(dump.status, 200, "{path}");
        assert!(!dump.text().contains(&secret), "{path}");
    }
    let dump = pair.backend.admin("/config_dump").expect("a dump").text();
    assert!(dump.contains("sender_secret") && dump.contains("[redacted]"), "the secret is in use");
    poll::until("the access log", SOON, || {
        (pair.backend.logs().matches("\"path\":").count() >= 4).then_some(())
    })
    .expect("lines");
    assert!(!pair.backend.logs().contains(&secret));
    for file in fs::read_dir(pair.directory.path()).expect("files") {
        let file = file.expect("a file").path();
        if file.is_file() && !file.ends_with("sender-secret") {
            let text = fs::read(&file).expect("a file");
            assert!(
                !text.windows(secret.len()).any(|part| part == secret.as_bytes()),
                "{}",
                file.display()
            );
        }
    }
}

#[test]
fn as_shipped_the_backend_can_dump_nothing() {
    let pair = Pair::start(|_| ());
    for path in ["/config_dump", "/certs", "/clusters", "/logging", "/quitquitquit"] {
        assert_eq!(pair.backend.admin(path).expect("an answer").status, 403, "{path}");
    }
    assert_eq!(pair.backend.admin("/ready").expect("an answer").status, 200);
}

/// An Envoy that has no secret sends nothing in the sender's name.
#[test]
fn without_a_secret_nothing_is_sent() {
    let pair = Pair::start(|_| ());
    pair.backend.rotate("").expect("emptied");
    let answer = poll::until("the empty secret to be noticed", SOON, || {
        let answer = pair.post("/mp/collect");
        (answer.status != 204).then_some(answer)
    });
    assert_eq!(answer.expect("refused").status, 401);
}
