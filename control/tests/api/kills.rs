//! Control is killed amid concurrent creates, rotations and deletions, over and over: what it acknowledged
//! is there, no revision was given out twice, and the trail has one event for each change.
//!
//! 20 kills; a hundred with `MPGATE_KILLS=100 cargo test -p mpgate-control --test api kills::`.

use std::collections::{HashMap, HashSet};
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Control, Directory};

const WRITERS: usize = 4;

/// Changes that are acknowledged before the next kill, over all writers.
const CHANGES: usize = 12;

/// What control said it did.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Change {
    action: &'static str,
    resource: String,
    revision: u64,
}

/// One client that goes on until control is gone.
struct Writer {
    http: reqwest::Client,
    url: String,
    token: String,
    count: Arc<AtomicUsize>,
    acknowledged: Vec<Change>,
}

impl Writer {
    fn new(control: &Control, count: &Arc<AtomicUsize>) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: control.url.clone(),
            token: control.admin.clone(),
            count: Arc::clone(count),
            acknowledged: Vec::new(),
        }
    }

    /// A key's name, or nothing once control is gone.
    async fn change(
        &mut self,
        action: &'static str,
        method: reqwest::Method,
        path: &str,
        body: &Value,
    ) -> Option<String> {
        let request = self.http.request(method, format!("{}/v1/{path}", self.url));
        let answer = Control::send(request.bearer_auth(&self.token).json(body)).await.ok()?;
        let key = answer.done();
        let resource = key["name"].as_str().expect("a name").to_owned();
        let revision = key["revision"].as_u64().expect("a revision");
        self.acknowledged.push(Change { action, resource: resource.clone(), revision });
        self.count.fetch_add(1, Ordering::Relaxed);
        Some(resource)
    }

    /// Creates, rotates and deletes.
    async fn turn(&mut self) -> Option<()> {
        let keys = "measurementConsumers/acme/apiKeys";
        let new = json!({"sender": "billing", "dataStreams": ["G-A"]});
        let first = self.change("create", reqwest::Method::POST, keys, &new).await?;
        let rotate = format!("{first}:rotate");
        let second = self.change("rotate", reqwest::Method::POST, &rotate, &json!({})).await?;
        self.change("delete", reqwest::Method::DELETE, &first, &Value::Null).await?;
        let third = format!("{second}:rotate");
        self.change("rotate", reqwest::Method::POST, &third, &json!({})).await?;
        Some(())
    }

    async fn run(mut self) -> Vec<Change> {
        while self.turn().await.is_some() {}
        self.acknowledged
    }
}

/// All of a list, page after page.
async fn all(control: &Control, path: &str, member: &str) -> Vec<Value> {
    let (mut items, mut token) = (Vec::new(), String::new());
    loop {
        let page = control.get(&format!("{path}&pageSize=1000&pageToken={token}")).await.done();
        items.extend(page[member].as_array().expect("a list").iter().cloned());
        page["nextPageToken"].as_str().unwrap_or_default().clone_into(&mut token);
        if token.is_empty() {
            return items;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills_and_is_in_the_trail_once() {
    let kills = env::var("MPGATE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let directory = Directory::new();
    let mut control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let mut acknowledged = Vec::new();
    for _ in 0..kills {
        let count = Arc::new(AtomicUsize::new(0));
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..WRITERS {
            writers.spawn(Writer::new(&control, &count).run());
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while count.load(Ordering::Relaxed) < CHANGES {
            assert!(Instant::now() < deadline, "nothing is changed");
            tokio::task::yield_now().await;
        }
        control.kill();
        acknowledged.extend(writers.join_all().await.concat());
        control = Control::start(&directory);
    }
    assert!(acknowledged.len() >= kills * CHANGES);
    println!("{kills} kills, {} acknowledged changes", acknowledged.len());
    expect_all(&control, &acknowledged).await;
}

async fn expect_all(control: &Control, acknowledged: &[Change]) {
    let path = "/v1/measurementConsumers/acme/apiKeys?showDeleted=true";
    let keys = all(control, path, "apiKeys").await;
    let trail = all(control, "/v1/auditEvents?", "auditEvents").await;

    let mut events: HashMap<Change, usize> = HashMap::new();
    let mut of_resource: HashMap<(String, &str), usize> = HashMap::new();
    for event in &trail {
        let action = event["action"].as_str().expect("an action");
        let action = ["create", "rotate", "delete"].into_iter().find(|known| *known == action);
        let (Some(action), Some(revision)) = (action, event["revision"].as_u64()) else { continue };
        let resource = event["resource"].as_str().expect("a resource").to_owned();
        *of_resource.entry((resource.clone(), action)).or_default() += 1;
        *events.entry(Change { action, resource, revision }).or_default() += 1;
    }
    for change in acknowledged {
        assert_eq!(events.get(change), Some(&1), "{change:?} in the trail");
    }
    // What was done and not acknowledged is in the trail as well: each key came once and went once.
    let times = |name: &str, action| of_resource.get(&(name.to_owned(), action)).copied();
    let mut states = HashMap::new();
    for key in &keys {
        let name = key["name"].as_str().expect("a name");
        let came = (times(name, "create"), times(name, "rotate"));
        assert!(matches!(came, (Some(1), None) | (None, Some(1))), "{name} came {came:?}");
        let is_revoked = key["state"] == "REVOKED";
        assert_eq!(times(name, "delete"), is_revoked.then_some(1), "{name}");
        states.insert(name, is_revoked);
    }
    for Change { action, resource, .. } in acknowledged {
        let found = states.get(resource.as_str());
        assert!(found.is_some() && (*action != "delete" || found == Some(&true)), "{resource}");
    }

    let revisions: Vec<_> = keys.iter().filter_map(|key| key["revision"].as_u64()).collect();
    let different: HashSet<_> = revisions.iter().collect();
    assert_eq!(different.len(), keys.len(), "a revision was given out twice");
    // Oldest first, and each later event has a later revision.
    let in_order: Vec<_> = trail.iter().filter_map(|event| event["revision"].as_u64()).collect();
    assert!(in_order.windows(2).all(|pair| pair[0] < pair[1]), "the trail is not in commit order");
    let head = control.get("/v1/allowlist/changes").await.done()["head"].as_u64();
    assert!(head >= revisions.iter().copied().max());
}
