//! What only PostgreSQL has: replicas, a server that goes away, and one that takes over.

mod failover;
mod failures;
mod proxy;
mod replicas;
mod served;

use std::time::{Duration, Instant};

use mpgate_contract::{ConsumerId, Digest, Environment, State};
use mpgate_control::model::{Consumer, KeyRecord, KeyState, Origin, Scope, StreamRecord};
use mpgate_control::store::place::Place;
use mpgate_control::store::postgres::PostgresStore;
use mpgate_control::store::{OpenError, Standing, Store, StoreError, Stored, Write};
use serde_json::json;

const NOW: i64 = 1_795_257_872;

async fn open(url: &str) -> Result<PostgresStore, OpenError> {
    let Ok(Place::Server(options)) = Place::parse(url) else { panic!("{url} is no server") };
    PostgresStore::open(&options).await
}

/// Consumer `acme` with stream `G-A`.
async fn world(store: &dyn Store) {
    let consumer = Consumer {
        id: acme(),
        display_name: String::new(),
        version: 1,
        create_time: NOW,
        delete_time: None,
    };
    let mut write = store.write().await.expect("the writer");
    write.insert_consumer(&consumer).await.expect("a consumer");
    let stream = json!({"id": "G-A", "consumer": "acme", "environment": "production",
        "mode": "dry_run", "upstream_secret": "keep"});
    let record = StreamRecord {
        stream: serde_json::from_value(stream).expect("a stream"),
        display_name: String::new(),
        state: State::Active,
        revision: write.next_revision().await.expect("a revision"),
        create_time: NOW,
        update_time: NOW,
    };
    write.insert_stream(&record).await.expect("a stream");
    write.commit().await.expect("a commit");
}

fn acme() -> ConsumerId {
    ConsumerId::parse("acme").expect("an id")
}

/// A key in a transaction that goes on; its revision.
async fn add_key(write: &mut dyn Write, number: u64) -> Stored<u64> {
    let revision = write.next_revision().await?;
    let grant = json!({"key_id": format!("{number:012}"), "sender": "s", "streams": ["G-A"]});
    let record = KeyRecord {
        consumer: acme(),
        environment: Environment::Production,
        grant: serde_json::from_value(grant).expect("a grant"),
        nickname: String::new(),
        description: String::new(),
        state: KeyState::Active,
        origin: Origin::Issued,
        predecessor: None,
        successor: None,
        revision,
        create_time: NOW,
        revoke_time: None,
    };
    write.insert_key(&record, Digest::of(&number.to_be_bytes())).await?;
    Ok(revision)
}

async fn create_key(store: &dyn Store, number: u64) -> Stored<u64> {
    let mut write = store.write().await?;
    let revision = add_key(&mut *write, number).await?;
    write.commit().await?;
    Ok(revision)
}

async fn standing(store: &dyn Store) -> Stored<Standing> {
    store.read().await?.standing().await
}

/// The revisions of all keys, as a gate that starts over is told them.
async fn keys(store: &dyn Store) -> Vec<u64> {
    let mut read = store.read().await.expect("a reader");
    let rows = read.feed(0, &Scope::default(), 1_000).await.expect("an answer");
    rows.keys.iter().map(|key| key.revision).collect()
}

/// Asks until it is so.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        tokio::task::yield_now().await;
    }
}

/// Waits, but not for ever.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), what).await.expect("not within a minute")
}

fn is_not_now<T>(done: &Stored<T>) -> bool {
    matches!(done, Err(StoreError::Unavailable(_)))
}
