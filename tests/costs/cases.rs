//! The requests whose decision is counted: the guard as the filter calls it, with shared data as Envoy hands it
//! over, a copy of one bucket a look-up.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use mpgate_contract::{Ask, Digest, Page, issue};
use mpgate_guard::{
    Action, AllowList, Arrival, Availability, Claim, Decision, Forward, Peer, Policy, Request,
    Ruling, Settings, SharedData, Standing, SwapError, bucket_of, decide,
};

/// A request that is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// A known secret, no rule for the body.
    Accept,
    /// An unknown secret.
    Refuse,
    /// The protocol's rules, a purchase of some 600 bytes.
    Body600,
    /// The protocol's rules, 25 large events.
    Body100k,
}

const NOW: Duration = Duration::from_secs(1_790_000_000);

impl Case {
    const ALL: [Self; 4] = [Self::Accept, Self::Refuse, Self::Body600, Self::Body100k];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::Body600 => "body-600",
            Self::Body100k => "body-100k",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }

    /// Decides so often, after a set-up of always the same cost.
    pub(crate) fn decide(self, decisions: u64) {
        let scene = Scene::of(self);
        for _ in 0..decisions {
            scene.decide(|decision| assert!(self.is_right(black_box(decision))));
        }
    }

    /// What one decision allocates that is not the first of its kind.
    pub(crate) fn allocations(self) -> u64 {
        let scene = Scene::of(self);
        scene.decide(|_| {});
        scene.memory.make_ready();
        let mut decided = 0;
        let seen = allocation_counter::measure(|| {
            scene.decide(|decision| decided += u32::from(self.is_right(decision)));
        });
        assert_eq!(decided, 1, "{} is decided otherwise", self.name());
        seen.count_total
    }

    fn is_right(self, decision: &Decision<'_>) -> bool {
        let is_forwarded = matches!(decision.action, Action::Forward(_));
        let events = match self {
            Self::Accept | Self::Refuse => 0,
            Self::Body600 => 1,
            Self::Body100k => 25,
        };
        is_forwarded == (self != Self::Refuse)
            && decision.events.len() == events
            && (decision.reason.is_none() || self == Self::Refuse)
    }

    fn body(self) -> String {
        match self {
            Self::Accept | Self::Refuse => String::new(),
            Self::Body600 => body(1, 3),
            Self::Body100k => body(25, 60),
        }
    }
}

/// A body with so many purchases of so many items.
fn body(events: usize, items: usize) -> String {
    let mut list = Vec::with_capacity(events);
    for event in 0..events {
        let mut all = Vec::with_capacity(items);
        for item in 0..items {
            all.push(format!(
                r#"{{"item_id":"SKU-{item}","item_name":"A thing","price":{item}.25,"quantity":1}}"#
            ));
        }
        list.push(format!(
            r#"{{"name":"purchase","params":{{"transaction_id":"T-{event}","currency":"EUR","value":42.5,"engagement_time_msec":100,"session_id":"1700000000","items":[{}]}}}}"#,
            all.join(",")
        ));
    }
    let mut body = String::new();
    let events = list.join(",");
    write!(body, r#"{{"client_id":"1234567890.1700000000","user_id":"u-1","timestamp_micros":"1789999990000000","non_personalized_ads":false,"events":[{events}]}}"#).expect("a String takes all");
    body
}

struct Scene {
    settings: Settings,
    memory: Memory,
    list: AllowList<Memory>,
    policy: Policy,
    headers: Vec<(String, Vec<u8>)>,
    body: String,
    /// As the filter keeps it: where targets are written, one after the other.
    written: RefCell<Vec<u8>>,
}

impl Scene {
    fn of(case: Case) -> Self {
        let rules = if case.body().is_empty() { "off" } else { "dry_run" };
        let settings = format!(
            r#"{{"gate":"g","control":{{"cluster":"c"}},"mode":"enforce","protocol_rules":"{rules}"}}"#
        );
        let settings = Settings::parse(settings.as_bytes()).expect("good settings");
        let memory = Memory::default();
        let list = AllowList::new(memory.clone(), settings.cluster(), &settings.gate);
        list.create();
        fill(&list);
        let policy = Policy::compile(&settings, &list.streams(), |_| None).expect("streams");
        let secret = secret(if case == Case::Refuse { 2 } else { 1 });
        let path = format!("/mp/collect?measurement_id=G-ABCDEFGH12&api_secret={secret}");
        let headers = [
            (":authority", "collect.example.com"),
            (":path", &path),
            (":method", "POST"),
            (":scheme", "https"),
            ("user-agent", "billing/2.4 (node 22.3.0; linux)"),
            ("content-type", "application/json"),
            ("content-length", "600"),
            ("accept", "*/*"),
            ("accept-encoding", "gzip, deflate, br"),
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "5c3e7b52-8f0a-4d1b-9f0f-0e6a6f1f5c11"),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
        let (headers, body, written) = (headers.map(own).to_vec(), case.body(), RefCell::default());
        Self { settings, memory, list, policy, headers, body, written }
    }

    /// As the filter does: the head first, and again with the body where that is asked for.
    fn decide(&self, see: impl FnOnce(&Decision<'_>)) {
        let headers = Request { headers: &self.headers };
        let mut digest = None;
        for arrival in [Arrival::Coming, Arrival::Whole(self.body.as_bytes())] {
            let claim = Claim::read(headers, &self.settings).with_digest(digest);
            let known = match claim.digest() {
                Some(digest) => self.list.known(digest),
                None => Ok(None),
            };
            let (list, policy) = (Availability::InForce, &self.policy);
            let standing = Standing { list, policy, known, peer: Peer::default(), now: NOW };
            match decide(&claim, &standing, &self.settings, arrival) {
                Ruling::Decided(decision) => {
                    if let Action::Forward(Forward { target: Some(target), .. }) = &decision.action
                    {
                        target.write(&mut self.written.borrow_mut());
                    }
                    return see(&decision);
                }
                Ruling::Probed(_) => panic!("nobody probed"),
                Ruling::WantsBody => digest = claim.digest().copied(),
            }
        }
    }
}

/// A secret as control issues them.
fn secret(number: u8) -> String {
    let (_, secret) = issue(&[number; 48]);
    String::from_utf8(secret.expose().to_vec()).expect("an issued secret is ASCII")
}

/// One stream, the key, and five keys in the same bucket, as at 100 000 keys.
fn fill(list: &AllowList<Memory>) {
    let grant = r#"{"key_id":"000000000001","sender":"billing","streams":["G-ABCDEFGH12"]}"#;
    let own = Digest::of(secret(1).as_bytes());
    let mut keys = vec![own];
    let others = (0..).map(|number: u32| Digest::of(&number.to_le_bytes()));
    keys.extend(others.filter(|digest| bucket_of(digest) == bucket_of(&own)).take(5));
    let entries: Vec<String> = keys
        .iter()
        .zip(2..)
        .map(|(digest, revision)| {
            let digest = serde_json::to_string(digest).expect("JSON");
            format!(
                r#"{{"revision":{revision},"digest":{digest},"state":"active","grant":{grant}}}"#
            )
        })
        .collect();
    let page = format!(
        r#"{{"epoch":"e","reset":true,"from":0,"to":9,"head":9,"keys":[{}],"streams":[{{"revision":1,"state":"active","stream":{{"id":"G-ABCDEFGH12","consumer":"acme","environment":"production","upstream_secret":"none"}}}}]}}"#,
        entries.join(",")
    );
    let page = Page::parse(page.as_bytes(), &Ask::default()).expect("a good page");
    list.apply(&page, 0, NOW.as_secs());
}

/// Shared data: a look-up is a copy, which the host makes.
#[derive(Clone, Default)]
struct Memory(Rc<Shared>);

#[derive(Default)]
struct Shared {
    values: RefCell<HashMap<String, (Vec<u8>, u32)>>,
    last: RefCell<String>,
    ready: RefCell<Option<(Vec<u8>, u32)>>,
    changes: Cell<u64>,
}

impl Memory {
    /// Makes the copy that the next look-up at the same place is handed: it is not the guard's.
    fn make_ready(&self) {
        let ready = self.get(&self.0.last.borrow());
        self.0.ready.replace(ready);
    }
}

impl SharedData for Memory {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let ready = self.0.ready.take();
        if ready.is_some() && *self.0.last.borrow() == key {
            return ready;
        }
        if let Ok(mut last) = self.0.last.try_borrow_mut() {
            key.clone_into(&mut last);
        }
        self.0.values.borrow().get(key).cloned()
    }

    fn create(&self, key: &str, value: &[u8]) {
        self.0.values.borrow_mut().insert(key.to_owned(), (value.to_vec(), 1));
    }

    fn swap(&self, key: &str, value: &[u8], version: u32) -> Result<(), SwapError> {
        let mut values = self.0.values.borrow_mut();
        let entry = values.get_mut(key).filter(|entry| entry.1 == version).ok_or(SwapError)?;
        *entry = (value.to_vec(), version + 1);
        Ok(())
    }

    fn changes(&self) -> Option<u64> {
        Some(self.0.changes.get())
    }

    fn note_change(&self) {
        self.0.changes.set(self.0.changes.get() + 1);
    }
}
