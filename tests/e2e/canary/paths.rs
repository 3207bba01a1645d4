//! Every path that a request can take through the shipped gate.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mpgate_testbed::envoy::nowhere;
use mpgate_testbed::port::Lease;
use mpgate_testbed::stack::{CLUB, CONSUMER, SHOP, purchase};
use mpgate_testbed::{Answer, EnvoyConfig, Request, Stack, Upstream, http1, poll};
use serde_json::json;
use tempfile::TempDir;

use super::places::{What, broken, misplaced, refused};
use super::search::{Allowed, Canary, check, check_admin, check_files, found, shown};
use crate::tripwire::way::{Caught, Opened, Way, try_open};

/// A stream whose upstream is sent what the sender brought.
const MUSEUM: &str = "G-MUSEUM0001";

const UPSTREAM: &str = "upstream-canary-5Lw8NcXr2TbVq9KzYp4Hs7Df";
const STRANGER: &str = "stranger-canary-Qm3Zx6Jv1RgWk8PtBn5Ud2Ea";

/// For a report, which comes every ten seconds.
const SOON: Duration = Duration::from_secs(20);

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The only files in which a secret may be: where their owners keep them.
const TOKEN_FILES: [Allowed; 2] = [("admin-token", &["admin"]), ("gateway-token", &["gateway"])];

/// What the admin listener can tell.
const TOLD: [&str; 12] = [
    "/certs",
    "/clusters",
    "/config_dump",
    "/config_dump?include_eds",
    "/contention",
    "/init_dump",
    "/listeners",
    "/memory",
    "/runtime",
    "/server_info",
    "/stats",
    "/stats/recentlookups",
];

/// One run of everything.
struct Run {
    stack: Stack,
    listeners: Rc<[Opened]>,
    upstream: Upstream,
    canaries: Vec<Canary>,
    keys: Keys,
    directory: TempDir,
    _dead: Lease,
}

struct Keys {
    billing: String,
    crm: String,
    museum: String,
    limited: String,
    revoked: String,
}

/// An upstream that repeats what it was asked, in every way that the `x-case` header names.
fn echo() -> Upstream {
    Upstream::start(|request| {
        let asked = String::from_utf8_lossy(&request.head).into_owned();
        let url = request.path();
        match request.header("x-case").as_deref() {
            Some("moved") => Answer::redirect(&format!("https://elsewhere.example{url}")),
            Some("error page") => Answer::Respond(
                500,
                vec![("refresh".into(), format!("1; url={url}")), ("x-url".into(), url)],
                asked.into_bytes(),
            ),
            Some("reset") => Answer::Close,
            Some("silent") => Answer::Silence,
            Some("no HTTP") => Answer::Bytes(asked.into_bytes()),
            _ => Answer::no_content(),
        }
    })
    .expect("an upstream")
}

/// What the tests need of an otherwise shipped configuration.
fn prepare(config: &mut EnvoyConfig, dead: SocketAddr) {
    for route in config.routes().expect("routes") {
        route["route"]["timeout"] = "1s".into();
    }
    // One endpoint of two is dead: connect failures and retries.
    let endpoints = &mut config.cluster("analytics").expect("a cluster")["load_assignment"]["endpoints"]
        [0]["lb_endpoints"];
    let address = json!({"address": dead.ip().to_string(), "port_value": dead.port()});
    let dead = json!({"endpoint": {"address": {"socket_address": address}}});
    endpoints.as_array_mut().expect("endpoints").push(dead);
    let limits = config.http_filter("envoy.filters.http.local_ratelimit").expect("limits");
    limits["typed_config"]["descriptors"].as_array_mut().expect("descriptors").push(json!({
        "entries": [{"key": "sender", "value": "limited"}],
        "token_bucket": {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "3600s"},
    }));
}

/// Modules that trap with a secret in their hands, and a route around the gate.
fn ways() -> Vec<Way> {
    let trap = |name, policy: &'static str, withheld: &'static str| {
        Way::new(name, Caught::Unavailable, move |config| {
            crate::tripwire::capabilities::withhold(config, withheld, policy);
        })
    };
    vec![
        trap("a trap before the decision", "FAIL_RELOAD", "proxy_get_header_map_pairs"),
        trap("a trap on the way to the upstream", "FAIL_RELOAD", "proxy_replace_header_map_value"),
        trap("a trap while answering", "FAIL_RELOAD", "proxy_send_local_response"),
        trap("a trap, fail open", "FAIL_OPEN", "proxy_get_header_map_pairs"),
        Way::new("a gate that is switched off", Caught::ByTheTripwire, |config| {
            config.http_filter("mpgate").expect("the gate")["disabled"] = true.into();
        }),
    ]
}

impl Run {
    fn start(admin_is_open: bool) -> Self {
        let directory = mpgate_testbed::directory().expect("a directory");
        let upstream = echo();
        let (dead, lease) = nowhere().expect("a port");
        let builder = Stack::builder()
            .directory(directory.path())
            .environment("GA4_API_SECRET", UPSTREAM)
            .upstream(upstream.address())
            .edit(move |config| {
                prepare(config, dead);
                if admin_is_open {
                    config.remove("/admin/allow_paths")?;
                }
                Ok(())
            });
        let (stack, listeners) = try_open(builder, ways()).expect("a stack");
        stack.add_stream(MUSEUM, None, "keep").expect("a stream");
        let issue = |sender, stream| stack.issue(sender, &[stream]).expect("a key");
        let revoked = issue("former", SHOP);
        let keys = Keys {
            billing: stack.billing.secret.clone(),
            crm: stack.crm.secret.clone(),
            museum: issue("museum", MUSEUM).secret,
            limited: issue("limited", SHOP).secret,
            revoked: revoked.secret.clone(),
        };
        stack.revoke(&revoked).expect("revoked");
        let canaries = vec![
            Canary::new("billing", &keys.billing),
            Canary::new("crm", &keys.crm),
            Canary::new("museum", &keys.museum),
            Canary::new("limited", &keys.limited),
            Canary::new("former", &keys.revoked),
            Canary::new("stranger", STRANGER),
            Canary::new("upstream", UPSTREAM),
            Canary::new("gateway", &stack.gateway_token),
            Canary::new("admin", stack.control.admin_token()),
        ];
        Self { stack, listeners, upstream, canaries, keys, directory, _dead: lease }
    }

    /// Sends a request; its answer holds no secret but one the sender itself brought, if `allowed`.
    fn send(&self, name: &str, request: &Request, status: u16, allowed: &[&str]) {
        let answer = self.stack.send(request).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        check(&self.canaries, name, &shown(&answer), allowed);
    }

    fn drive_what_passes(&self) {
        let keys = &self.keys;
        let traced = |request: Request| request.header("traceparent", TRACE);
        for (stream, secret, own) in [
            (SHOP, &keys.billing, &[][..]),
            (CLUB, &keys.crm, &[]),
            // The upstream repeats what this sender sent it.
            (MUSEUM, &keys.museum, &["museum"]),
        ] {
            let ask = |case: &str| traced(purchase(stream, secret)).header("x-case", case);
            self.send("accepted", &ask("accepted"), 204, &[]);
            self.send("moved", &ask("moved"), 301, own);
            self.send("error page", &ask("error page"), 500, own);
            self.send("reset", &ask("reset"), 503, &[]);
            self.send("silent", &ask("silent"), 504, &[]);
            self.send("no HTTP", &ask("no HTTP"), 502, &[]);
            let repeated = ask("accepted")
                .header("referer", format!("https://shop.example/?s={secret}"))
                .header("cookie", format!("s={secret}"));
            self.send("in other headers too", &repeated, 204, &[]);
        }
        // Both endpoints in turn, so some meet the dead one first.
        for _ in 0..6 {
            self.send("retried", &purchase(CLUB, &keys.crm), 204, &[]);
        }
        let retries = self.stack.envoy.stat("cluster.analytics.upstream_rq_retry").expect("stats");
        assert!(retries > 0, "nothing was retried");
        self.send("the first of its kind", &purchase(SHOP, &keys.limited), 204, &[]);
        self.send("rate-limited", &purchase(SHOP, &keys.limited), 429, &[]);
    }

    fn drive_what_fails(&self) {
        let keys = &self.keys;
        let address = self.stack.envoy.address();
        let refused = refused(&keys.billing, STRANGER, &keys.revoked);
        let misplaced = misplaced(MUSEUM, &keys.museum);
        for sent in refused.into_iter().chain(broken(&keys.billing)).chain(misplaced) {
            let answer = match &sent.what {
                What::Request(request) => http1::send(address, request),
                What::Bytes(bytes) => http1::send_bytes(address, bytes),
            };
            let Some(status) = sent.status else {
                let text = answer.map(|answer| shown(&answer)).unwrap_or_default();
                check(&self.canaries, sent.name, &text, &[]);
                continue;
            };
            let answer = answer.unwrap_or_else(|error| panic!("{}: {error:#}", sent.name));
            assert_eq!(answer.status, status, "{}: {}", sent.name, answer.text());
            check(&self.canaries, sent.name, &shown(&answer), &[]);
        }
        for listener in self.listeners.iter() {
            let (keys, name) = (&self.keys, listener.way.name);
            for request in [purchase(CLUB, &keys.crm), purchase(SHOP, STRANGER)] {
                check(&self.canaries, name, &shown(&listener.send(&request)), &[]);
            }
        }
    }

    /// The upstream was sent its own secret and that of `keep`; nobody else's.
    fn check_upstream(&self) {
        let mut seen = BTreeSet::new();
        let mut traced = 0;
        for received in self.upstream.received() {
            let all = [&*received.head, &*received.body].concat();
            let path = received.path();
            let allowed: &[&str] = match &path {
                path if path.contains(MUSEUM) => &["museum"],
                path if path.contains(CLUB) => &["upstream"],
                _ => &[],
            };
            check(&self.canaries, &format!("a request for {path}"), &all, allowed);
            seen.extend(found(&self.canaries, &all));
            traced += usize::from(received.header("traceparent").as_deref() == Some(TRACE));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["museum", "upstream"]);
        assert_eq!(traced, 3 * 7, "a W3C trace passes as it is");
    }

    /// Metrics, the status page, the access log and control have something of each request to tell, and no secret.
    fn check_what_is_told(&self) {
        let metrics = self.stack.envoy.metrics().expect("metrics");
        for (name, label, value) in [
            ("mpgate_events_total", "event", "other"),
            ("mpgate_requests_total", "stream", "unknown"),
            ("mpgate_request_body_bytes_total", "gate", "demo"),
        ] {
            assert!(metrics.sum(name, &[("sender", "museum"), (label, value)]) > 0.0, "{name}");
        }
        let page = poll::until("the status page", SOON, || {
            let page = self.stack.envoy.status().expect("a page");
            (page["unknown_secrets"] != json!([])).then_some(page)
        });
        let page = page.expect("unknown secrets").to_string();
        check(&self.canaries, "the status page", page.as_bytes(), &[]);
        let log = self.stack.envoy.wait_for_access_log(40).expect("an access log");
        for (member, value) in [
            ("sender", "billing"),
            ("events", "2"),
            ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
            ("trace_id", "5bf92f3577b34da6a3ce929d0e0e4736"),
        ] {
            assert!(log.iter().any(|line| line[member] == value), "no {member} is {value}");
        }
        // Control's files are searched for what it was told of these.
        let path = format!("/v1/measurementConsumers/{CONSUMER}:usage?sender=museum");
        let reported = || {
            let usage = self.stack.control.call("GET", &path, None).expect("an answer");
            usage.text().contains("\"other\"").then_some(())
        };
        poll::until("a report of the misplaced", SOON, reported).expect("reported");
    }

    fn check_what_is_left(&self) {
        check_files(&self.canaries, self.directory.path(), &TOKEN_FILES);
    }
}

#[test]
fn a_secret_is_only_where_it_belongs() {
    let run = Run::start(false);
    run.drive_what_passes();
    run.drive_what_fails();
    run.check_upstream();
    let refused = [("/config_dump", 403), ("/logging", 403), ("/server_info", 403)];
    let told = [("/stats", 200), ("/stats?format=json", 200), ("/stats/prometheus", 200)];
    check_admin(&run.canaries, &run.stack, &[&told[..], &refused].concat());
    run.check_what_is_told();
    run.check_what_is_left();
}

/// An operator who opens the admin listener shows much, but no secret.
#[test]
fn an_open_admin_listener_tells_no_secret() {
    let run = Run::start(true);
    run.drive_what_passes();
    run.drive_what_fails();
    let told = TOLD.map(|path| (path, 200));
    check_admin(&run.canaries, &run.stack, &told);
    run.check_what_is_left();
}
