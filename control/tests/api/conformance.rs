//! What every database behind the `Store` trait must do. Each test takes an empty store; `suite!` runs all
//! of them on one kind of database.

mod lists;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use mpgate_contract::{ConsumerId, Digest, Environment, State};
use mpgate_control::model::{
    Action, AuditEvent, Consumer, Denial, KeyRecord, KeyState, Origin, Principal, Role, Scope,
    Slice, StreamRecord, Token, TokenId,
};
use mpgate_control::names::PrincipalId;
use mpgate_control::store::Store;
use mpgate_control::store::place::Place;
use serde_json::json;

use self::lists::{
    a_change_after_a_revision_has_its_time, a_request_is_remembered, counts_leave_out_what_is_over,
    gateways_are_remembered_for_a_while, keys_end_in_order, lists_come_in_parts,
    principals_end_with_their_last_token, the_longest_unheard_gateways_make_room, uses_only_grow,
};
use self::usage::{
    a_report_is_taken_once, a_senders_day_is_replaced, counts_add_up, what_is_old_is_forgotten,
};
use crate::harness::{Directory, cluster};

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let directory = super::Directory::new();
                super::run(&super::Place::File(directory.join("suite.sqlite")), super::$test).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let url = super::cluster().database(concat!("suite_", stringify!($test)));
                let place = super::Place::parse(&url.expect("a database")).expect("a place");
                super::run(&place, super::$test).await;
            })*
        }
    };
}

async fn run(place: &Place, test: impl AsyncFn(&Arc<dyn Store>)) {
    let store = place.open().await.expect("a new database");
    test(&store).await;
    store.close().await;
}

suite!(
    what_is_not_committed_is_not_there,
    a_reader_sees_one_moment,
    writers_come_one_after_the_other,
    revisions_are_in_commit_order,
    a_commit_wakes_who_waits,
    records_come_back_as_they_went,
    what_must_not_be_is_refused,
    lists_come_in_parts,
    counts_leave_out_what_is_over,
    uses_only_grow,
    gateways_are_remembered_for_a_while,
    the_longest_unheard_gateways_make_room,
    a_request_is_remembered,
    a_report_is_taken_once,
    counts_add_up,
    a_senders_day_is_replaced,
    what_is_old_is_forgotten,
    keys_end_in_order,
    principals_end_with_their_last_token,
    a_change_after_a_revision_has_its_time,
);

const NOW: i64 = 1_700_000_000;
const ALL: Slice = Slice { after: 0, limit: 100, show_deleted: true };

fn id(text: &str) -> ConsumerId {
    ConsumerId::parse(text).expect("an id")
}

fn consumer(name: &str) -> Consumer {
    let display_name = name.to_uppercase();
    Consumer { id: id(name), display_name, version: 1, create_time: NOW, delete_time: None }
}

fn stream(name: &str, owner: &str, revision: u64) -> StreamRecord {
    let stream = json!({"id": name, "consumer": owner, "environment": "production",
        "mode": "dry_run", "upstream_secret": "keep"});
    StreamRecord {
        stream: serde_json::from_value(stream).expect("a stream"),
        display_name: "Shop".to_owned(),
        state: State::Active,
        revision,
        create_time: NOW,
        update_time: NOW,
    }
}

fn key(number: u64, owner: &str, streams: &[&str], revision: u64) -> (KeyRecord, Digest) {
    let grant = json!({"key_id": format!("{number:012}"), "sender": format!("s{}", number % 3),
        "streams": streams, "events": ["purchase"], "expire_time": 4_070_908_800_u64});
    let record = KeyRecord {
        consumer: id(owner),
        environment: Environment::Production,
        grant: serde_json::from_value(grant).expect("a grant"),
        nickname: format!("key {number}"),
        description: "nightly".to_owned(),
        state: KeyState::Active,
        origin: Origin::Issued,
        predecessor: None,
        successor: None,
        revision,
        create_time: NOW,
        revoke_time: None,
    };
    (record, Digest::of(&number.to_be_bytes()))
}

/// `acme` with stream `G-A`, and this many keys.
async fn world(store: &Arc<dyn Store>, keys: u64) -> Vec<KeyRecord> {
    let mut write = store.write().await.expect("the writer");
    write.insert_consumer(&consumer("acme")).await.expect("a consumer");
    let revision = write.next_revision().await.expect("a revision");
    write.insert_stream(&stream("G-A", "acme", revision)).await.expect("a stream");
    let mut records = Vec::new();
    for number in 0..keys {
        let revision = write.next_revision().await.expect("a revision");
        let (record, digest) = key(number, "acme", &["G-A"], revision);
        write.insert_key(&record, digest).await.expect("a key");
        records.push(record);
    }
    write.commit().await.expect("a commit");
    records
}

async fn what_is_not_committed_is_not_there(store: &Arc<dyn Store>) {
    let mut write = store.write().await.expect("the writer");
    write.insert_consumer(&consumer("acme")).await.expect("a consumer");
    assert_eq!(write.next_revision().await.expect("a revision"), 1);
    // It reads what it wrote; nobody else does.
    assert!(write.consumer(&id("acme")).await.expect("an answer").is_some());
    let mut read = store.read().await.expect("a reader");
    assert!(read.consumer(&id("acme")).await.expect("an answer").is_none());
    drop((read, write));
    let mut write = store.write().await.expect("the writer");
    assert!(write.consumer(&id("acme")).await.expect("an answer").is_none());
    assert_eq!(write.next_revision().await.expect("a revision"), 1, "a revision was left out");
}

async fn a_reader_sees_one_moment(store: &Arc<dyn Store>) {
    let mut read = store.read().await.expect("a reader");
    let before = read.standing().await.expect("an answer");
    world(store, 2).await;
    assert_eq!(read.standing().await.expect("an answer"), before);
    assert!(read.consumers(ALL).await.expect("an answer").items.is_empty());
    let feed = read.feed(0, &Scope::default(), 10).await.expect("an answer");
    assert!(feed.keys.is_empty() && feed.streams.is_empty());
    let mut after = store.read().await.expect("a reader");
    assert_eq!(after.standing().await.expect("an answer").head, 3);
    assert_eq!(after.standing().await.expect("an answer").epoch, before.epoch);
}

async fn writers_come_one_after_the_other(store: &Arc<dyn Store>) {
    let first = store.write().await.expect("the writer");
    let second = tokio::time::timeout(Duration::from_millis(100), store.write());
    assert!(second.await.is_err(), "two transactions change at the same time");
    first.commit().await.expect("a commit");
    store.write().await.expect("the writer");
}

/// A reader that has seen a head has seen all that lies below it.
async fn revisions_are_in_commit_order(store: &Arc<dyn Store>) {
    world(store, 0).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..6_u64 {
        let store = Arc::clone(store);
        writers.spawn(async move {
            for turn in 0..20 {
                let mut write = store.write().await.expect("the writer");
                let revision = write.next_revision().await.expect("a revision");
                // Some give up, some take more time than others.
                for _ in 0..(writer + turn) % 4 {
                    tokio::task::yield_now().await;
                }
                let (record, digest) = key(writer * 100 + turn, "acme", &["G-A"], revision);
                write.insert_key(&record, digest).await.expect("a key");
                if (writer + turn) % 5 > 0 {
                    write.commit().await.expect("a commit");
                }
            }
        });
    }
    let mut seen = Vec::new();
    let mut last = 0;
    loop {
        let is_over = writers.is_empty();
        let mut read = store.read().await.expect("a reader");
        let head = read.standing().await.expect("an answer").head;
        let all = read.feed(0, &Scope::default(), 1_000).await.expect("an answer").keys;
        let below: Vec<_> =
            all.iter().map(|key| key.revision).filter(|revision| *revision <= last).collect();
        assert_eq!(below, seen, "something came to lie below a head that was seen");
        seen = all.iter().map(|key| key.revision).collect();
        assert!(seen.iter().all(|revision| *revision <= head) && head >= last);
        last = head;
        if is_over {
            break;
        }
        while let Some(done) = writers.try_join_next() {
            done.expect("a writer");
        }
    }
    assert_eq!(seen.len(), 96);
    assert_eq!(last, 97, "a revision of nothing");
}

async fn a_commit_wakes_who_waits(store: &Arc<dyn Store>) {
    let mut head = store.watch_head();
    let known = head.borrow_and_update().clone();
    world(store, 1).await;
    let woken = tokio::time::timeout(Duration::from_secs(5), head.changed()).await;
    woken.expect("nobody was woken").expect("the store is open");
    assert_eq!(head.borrow_and_update().head, 2);
    // What does not move the head wakes nobody; a new epoch does.
    let mut write = store.write().await.expect("the writer");
    write.insert_consumer(&consumer("blue")).await.expect("a consumer");
    write.commit().await.expect("a commit");
    assert!(!head.has_changed().expect("the store is open"));
    let mut write = store.write().await.expect("the writer");
    write.set_epoch("another").await.expect("an epoch");
    write.commit().await.expect("a commit");
    let found = head.borrow_and_update().clone();
    assert_eq!((found.head, found.epoch.as_str()), (2, "another"));
    assert_ne!(known.epoch, "another");
}

async fn records_come_back_as_they_went(store: &Arc<dyn Store>) {
    let mut keys = world(store, 2).await;
    let mut write = store.write().await.expect("the writer");
    let mut own = consumer("acme");
    (own.display_name, own.version) = ("Acme, Inc. \u{1F980} 'quoted'".to_owned(), 2);
    write.update_consumer(&own).await.expect("a consumer");
    let mut one = stream("G-A", "acme", write.next_revision().await.expect("a revision"));
    "Other".clone_into(&mut one.display_name);
    write.update_stream(&one).await.expect("a stream");
    let changed = keys.first_mut().expect("a key");
    changed.revision = write.next_revision().await.expect("a revision");
    (changed.state, changed.nickname) = (KeyState::Disabled, "new".to_owned());
    changed.successor = Some(key(1, "acme", &[], 0).0.grant.key_id);
    write.update_key(changed).await.expect("a key");
    let principal = Principal {
        id: PrincipalId::parse("edge").expect("an id"),
        display_name: "Edge".to_owned(),
        role: Role::Gateway,
        consumers: vec![id("acme")],
        environment: Some(Environment::Staging),
        version: 1,
        create_time: NOW,
        revoke_time: None,
    };
    write.insert_principal(&principal).await.expect("a principal");
    let token = token(&principal.id, 1);
    write.insert_token(&token, Digest::of(b"t")).await.expect("a token");
    let event = event("principals/edge");
    let ordinal = write.append(&event).await.expect("a place");
    let denial = Denial { method: "GET /v1/principals".to_owned(), count: u64::MAX >> 1 };
    let denied = AuditEvent {
        action: Action::Denied,
        consumer: None,
        revision: None,
        after: None,
        denial: Some(denial),
        ..event.clone()
    };
    let place = write.append(&denied).await.expect("a place");
    write.commit().await.expect("a commit");

    let mut read = store.read().await.expect("a reader");
    assert_eq!(read.consumer(&own.id).await.expect("an answer"), Some(own));
    assert_eq!(read.active_stream(&one.stream.id).await.expect("an answer"), Some(one.clone()));
    assert_eq!(read.stream(&id("acme"), &one.stream.id).await.expect("an answer"), Some(one));
    for key in &keys {
        let found = read.key(&id("acme"), &key.grant.key_id).await.expect("an answer");
        assert_eq!(found.as_ref(), Some(key));
        assert_eq!(read.key(&id("blue"), &key.grant.key_id).await.expect("an answer"), None);
    }
    assert_eq!(read.principal(&principal.id).await.expect("an answer").as_ref(), Some(&principal));
    assert_eq!(
        read.token(Digest::of(b"t")).await.expect("an answer"),
        Some((principal.clone(), token.clone()))
    );
    assert_eq!(read.tokens(&principal.id).await.expect("an answer"), [token]);
    let stored = AuditEvent { ordinal, ..event };
    assert_eq!(read.audit_event(ordinal).await.expect("an answer"), Some(stored));
    let stored = AuditEvent { ordinal: place, ..denied };
    assert_eq!(read.audit_event(place).await.expect("an answer"), Some(stored));
}

fn token(principal: &PrincipalId, number: u8) -> Token {
    Token {
        id: TokenId::new([number; 6]),
        principal: principal.clone(),
        create_time: NOW,
        expire_time: None,
        revoke_time: None,
        last_use_time: None,
    }
}

fn event(resource: &str) -> AuditEvent {
    AuditEvent {
        ordinal: 0,
        time: NOW,
        principal: Some(PrincipalId::parse("admin").expect("an id")),
        source: Some("127.0.0.1".to_owned()),
        action: Action::Create,
        resource: resource.to_owned(),
        consumer: Some(id("acme")),
        request_id: Some("r".to_owned()),
        revision: Some(3),
        before: None,
        after: Some(json!({"name": resource})),
        denial: None,
    }
}

/// What a wrong program must not be able to write. Each leaves the database as it was.
async fn what_must_not_be_is_refused(store: &Arc<dyn Store>) {
    let mut keys = world(store, 1).await;
    let mut write = store.write().await.expect("the writer");
    write.insert_consumer(&consumer("blue")).await.expect("a consumer");
    let revoked = keys.first_mut().expect("a key");
    revoked.revision = write.next_revision().await.expect("a revision");
    (revoked.state, revoked.revoke_time) = (KeyState::Revoked, Some(NOW));
    write.update_key(revoked).await.expect("a key");
    write.commit().await.expect("a commit");
    let revoked = revoked.clone();
    for attempt in 0..8 {
        let mut write = store.write().await.expect("the writer");
        let revision = write.next_revision().await.expect("a revision");
        let (other, digest) = key(7, "acme", &["G-A"], revision);
        let done = match attempt {
            // The same secret, revoked or not.
            0 => write.insert_key(&other, Digest::of(&0_u64.to_be_bytes())).await,
            // A revision that is not this transaction's.
            1 => write.insert_key(&KeyRecord { revision: 1, ..other }, digest).await,
            // Somebody else's stream, and one that is not there.
            2 => write.insert_key(&KeyRecord { consumer: id("blue"), ..other }, digest).await,
            3 => write.insert_key(&key(7, "acme", &["G-Z"], revision).0, digest).await,
            // A revoked key comes back.
            4 => {
                let (state, revoke_time) = (KeyState::Active, None);
                write
                    .update_key(&KeyRecord { state, revoke_time, revision, ..revoked.clone() })
                    .await
            }
            // An active stream a second time, and for somebody who is not there.
            5 => write.insert_stream(&stream("G-A", "blue", revision)).await,
            6 => write.insert_stream(&stream("G-B", "nobody", revision)).await,
            // A consumer a second time.
            _ => write.insert_consumer(&consumer("blue")).await,
        };
        assert!(done.is_err(), "attempt {attempt} was taken");
        drop(write);
    }
    let mut read = store.read().await.expect("a reader");
    assert_eq!(read.standing().await.expect("an answer").head, 3);
    let found = read.key(&id("acme"), &revoked.grant.key_id).await.expect("an answer");
    assert_eq!(found, Some(revoked));
}
