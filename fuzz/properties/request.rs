//! A request of any bytes gets a decision, and what is forwarded is what was judged.
//!
//! The bytes are read as a target, headers (`name: value`, one a line), an empty line and a body.
//! Whatever secret they bring is one that the list knows: what lies behind that check is the point.

use core::time::Duration;
use std::sync::LazyLock;

use mpgate_contract::{Digest, Secret, State};
use mpgate_guard::{
    Action, Arrival, Availability, Bucket, Claim, Decision, Known, Outcome, Peer, Policy, Request,
    Ruling, Settings, Stamp, Standing, Update, VerdictWord, decide,
};

use crate::query::pairs;

const SETTINGS: [&str; 4] = [
    r#"{"gate":"g","control":{"cluster":"c"}}"#,
    r#"{"gate":"g","control":{"cluster":"c"},"protocol_rules":"enforce","other_parameters":"keep",
        "credentials":["query","x-api-secret","authorization"]}"#,
    r#"{"gate":"g","control":{"cluster":"c"},"mode":"dry_run","silent":true,"unknown_paths":"pass"}"#,
    r#"{"gate":"g","control":{"cluster":"c"},"mode":"off","other_parameters":"keep"}"#,
];

const STREAMS: [&str; 4] = [
    r#"{"id":"G-A","consumer":"acme","environment":"production","upstream_secret":"none"}"#,
    r#"{"id":"G-KEEP","consumer":"acme","environment":"production","upstream_secret":"keep"}"#,
    r#"{"id":"G-REP","consumer":"acme","environment":"staging","upstream_secret":{"replace":"UPSTREAM"}}"#,
    r#"{"id":"1:2:web:abc","consumer":"acme","environment":"production","upstream_secret":"none"}"#,
];

const GRANTS: [&str; 2] = [
    r#"{"key_id":"000000000001","sender":"a","streams":["G-A","G-KEEP","G-REP","1:2:web:abc"]}"#,
    r#"{"key_id":"000000000001","sender":"a","streams":["G-A","G-KEEP","G-REP","1:2:web:abc"],
        "requires":["events"],"events":["page*","purchase"]}"#,
];

/// The upstream's own secret: nothing else in a request looks like it.
const UPSTREAM: &[u8] = b"the upstream's own";

/// The gates, compiled once: that is not what is tested here.
static GATES: LazyLock<Vec<(Settings, Policy)>> = LazyLock::new(|| {
    let streams = bucket(&STREAMS.map(|stream| update(&Digest::of(stream.as_bytes()), stream)));
    let gate = |settings: &str| {
        let settings = Settings::parse(settings.as_bytes()).expect("settings");
        let policy = Policy::compile(&settings, &streams, |_| Some(Secret::new(UPSTREAM.to_vec())));
        (settings, policy.expect("streams"))
    };
    SETTINGS.iter().map(|settings| gate(settings)).collect()
});

/// Checks what holds for any request.
///
/// # Panics
/// If it does not hold.
pub fn check(bytes: &[u8]) {
    let (headers, body) = parts(bytes);
    for (settings, policy) in GATES.iter() {
        let claim = Claim::read(Request { headers: &headers }, settings);
        for grant in GRANTS {
            let standing = || Standing {
                list: Availability::InForce,
                policy,
                known: Ok(claim.digest().map(|digest| {
                    let keys = bucket(&[update(digest, grant)]);
                    let record = Bucket::read(&keys).and_then(|keys| keys.find(digest));
                    Known::read(&record.expect("a bucket").expect("the key")).expect("a grant")
                })),
                peer: Peer::default(),
                now: Duration::from_hours(490_896),
            };
            for arrival in [Arrival::Coming, Arrival::TooLarge, Arrival::Whole(body)] {
                match decide(&claim, &standing(), settings, arrival) {
                    Ruling::Probed(_) => panic!("no gate here says whether it is ready"),
                    Ruling::WantsBody => assert!(matches!(arrival, Arrival::Coming)),
                    Ruling::Decided(decision) => check_decision(&decision, &headers),
                }
            }
        }
    }
}

fn check_decision(decision: &Decision<'_>, headers: &[(String, Vec<u8>)]) {
    let Action::Forward(forward) = &decision.action else {
        return;
    };
    for (name, _) in headers {
        if name.to_ascii_lowercase().starts_with("x-mpgate-") {
            assert!(forward.remove_headers.contains(&name.as_str()), "{name} goes on");
        }
    }
    let is_genuine =
        decision.verdict == VerdictWord::Genuine && decision.outcome == Outcome::Accepted;
    assert_eq!(forward.sender.is_some(), is_genuine, "only the genuine have a sender");
    let Some(target) = &forward.target else {
        assert!(!is_genuine, "what is genuine is written anew");
        assert!(!forward.guards_answer);
        return;
    };
    assert!(is_genuine || decision.stream == Some("G-REP"), "else it goes on as it came");
    let path = target.to_vec();
    assert!(path.iter().all(u8::is_ascii_graphic));
    let query = path.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
    let written = pairs(query).expect("what is written can be read");
    let of = |wanted: &'static [u8]| written.iter().filter(move |(name, _)| name == wanted);
    let streams: Vec<_> = of(b"measurement_id").chain(of(b"firebase_app_id")).collect();
    let [(_, stream)] = streams.as_slice() else {
        panic!("one stream goes on, not {}", streams.len());
    };
    assert_eq!(Some(stream.as_slice()), decision.stream.map(str::as_bytes));
    let secrets: Vec<_> = of(b"api_secret").map(|(_, value)| value.as_slice()).collect();
    match stream.as_slice() {
        b"G-REP" if forward.guards_answer => assert_eq!(secrets, [UPSTREAM]),
        b"G-REP" => assert!(secrets.is_empty() && !is_genuine),
        b"G-KEEP" => assert_eq!(secrets.len(), 1),
        _ => assert!(secrets.is_empty()),
    }
    if stream.as_slice() != b"G-KEEP" {
        for presented in presented_in(headers) {
            check_hidden(&presented, &written, stream);
        }
    }
}

/// No decoded parameter of what goes on repeats the secret. Where the secret is a piece of what the
/// gate itself writes there, that says nothing.
fn check_hidden(presented: &[u8], written: &[(Vec<u8>, Vec<u8>)], stream: &[u8]) {
    let repeats = |text: &[u8]| text.windows(presented.len()).any(|window| window == presented);
    let own: [&[u8]; 5] = [stream, UPSTREAM, b"measurement_id", b"firebase_app_id", b"api_secret"];
    if presented.is_empty() || own.iter().any(|text| repeats(text)) {
        return;
    }
    for (name, value) in written {
        assert!(!repeats(name) && !repeats(value), "the secret goes on");
    }
}

/// The secrets in the query of `:path`.
fn presented_in(headers: &[(String, Vec<u8>)]) -> Vec<Vec<u8>> {
    let target = headers.iter().find(|(name, _)| name == ":path").map(|(_, value)| value);
    let query = target.and_then(|target| target.splitn(2, |byte| *byte == b'?').nth(1));
    let pairs = pairs(query.unwrap_or_default()).unwrap_or_default();
    pairs.into_iter().filter(|(name, _)| name == b"api_secret").map(|(_, value)| value).collect()
}

fn parts(bytes: &[u8]) -> (Vec<(String, Vec<u8>)>, &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let mut headers = vec![
        (":method".to_owned(), b"POST".to_vec()),
        (":path".to_owned(), lines.next().unwrap_or_default().to_vec()),
    ];
    let mut rest = lines.next().unwrap_or_default();
    while !rest.is_empty() {
        let mut halves = rest.splitn(2, |byte| *byte == b'\n');
        let line = halves.next().unwrap_or_default();
        rest = halves.next().unwrap_or_default();
        if line.is_empty() {
            break;
        }
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = String::from_utf8_lossy(halves.next().unwrap_or_default()).into_owned();
        headers.push((name, halves.next().unwrap_or_default().trim_ascii().to_vec()));
    }
    (headers, rest)
}

fn update<'a>(digest: &Digest, body: &'a str) -> Update<'a> {
    Update { digest: *digest, stamp: Stamp::default(), state: State::Active, body: body.as_bytes() }
}

fn bucket(updates: &[Update<'_>]) -> Vec<u8> {
    let merged = Bucket::read(&[]).and_then(|empty| empty.merge(updates));
    merged.expect("a bucket").unwrap_or_default()
}
