//! What the database holds before anything is measured.

use std::path::Path;
use std::sync::Arc;

use mpgate_contract::{ConsumerId, Digest, Environment};
use mpgate_control::model::{KeyRecord, KeyState, Origin};
use mpgate_control::service::{Caller, Error, Limits, Mutation, NewStream, Service};
use mpgate_control::store::Store as _;
use mpgate_control::store::sqlite::SqliteStore;
use serde_json::json;

/// The administrator that a token is of.
pub(crate) async fn caller(service: &Service, token: &str) -> Caller {
    let found = service.authenticate(token.as_bytes(), None, "bench").await.expect("an answer");
    found.expect("an administrator")
}

/// A consumer, a stream, and keys, in one transaction. Answers an administrator's token.
pub(crate) async fn fill(path: &Path, keys: u64) -> String {
    let store = SqliteStore::open(path).await.expect("a database");
    let token = seed(&store).await;
    let mut write = store.write().await.expect("the writer");
    for number in 0..keys {
        let revision = write.next_revision().await.expect("a revision");
        let grant = json!({"key_id": format!("{number:012}"), "sender": format!("s{}", number % 900),
            "streams": ["G-A"], "events": ["purchase", "refund"]});
        let record = KeyRecord {
            consumer: ConsumerId::parse("acme").expect("an id"),
            environment: Environment::Production,
            grant: serde_json::from_value(grant).expect("a grant"),
            nickname: format!("key {number}"),
            description: String::new(),
            state: KeyState::Active,
            origin: Origin::Issued,
            predecessor: None,
            successor: None,
            revision,
            create_time: 1,
            revoke_time: None,
        };
        let digest = Digest::of(&number.to_be_bytes());
        write.insert_key(&record, digest).await.expect("a key");
    }
    write.commit().await.expect("a commit");
    store.close().await;
    token
}

/// Consumer `acme` with stream `G-A`.
async fn seed(store: &SqliteStore) -> String {
    let service = Service::new(Arc::new(store.clone()), Limits::default());
    let admin = service.reset_admin(|_| Ok::<_, Error>(())).await.expect("an administrator");
    let mut token = Vec::new();
    admin.0.write_line(&mut token).expect("memory");
    let token = String::from_utf8(token).expect("text").trim().to_owned();
    let caller = caller(&service, &token).await;
    let mutation = Mutation { caller: &caller, once: None, etag: None };
    let consumer = ConsumerId::parse("acme").expect("an id");
    service.create_consumer(&mutation, &consumer, String::new()).await.expect("a consumer");
    let stream = json!({"id": "G-A", "consumer": "acme", "environment": "production",
        "upstream_secret": "none"});
    let stream = serde_json::from_value(stream).expect("a stream");
    let new = NewStream { stream, display_name: String::new() };
    service.create_stream(&mutation, new).await.expect("a stream");
    token
}
