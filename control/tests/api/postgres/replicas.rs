//! Several replicas of control on one database.

use std::sync::Arc;

use mpgate_control::store::{OpenError, Store as _};
use sqlx::postgres::PgListener;

use super::{add_key, create_key, is_not_now, keys, open, soon, standing, until, world};
use crate::harness::cluster;

/// How many connections listen, over all of a database.
fn listening(database: &str) -> u64 {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE 'LISTEN%'"
    );
    cluster().sql("postgres", &sql).expect("an answer").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_make_one_database() {
    let url = cluster().database("start_at_once").expect("a database");
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = url.clone();
        starting.spawn(async move {
            let store = open(&url).await.expect("the database");
            standing(&store).await.expect("an answer").epoch
        });
    }
    let epochs = starting.join_all().await;
    assert!(epochs.windows(2).all(|pair| pair[0] == pair[1]), "{epochs:?}");
}

/// Two replicas, one transaction in the other's way, and a poll at each step.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_given_out_when_all_before_it_are_decided() {
    let url = cluster().database("interleaved").expect("a database");
    let one = open(&url).await.expect("a replica");
    let other = Arc::new(open(&url).await.expect("a replica"));
    world(&one).await;
    for (turn, gives_up) in [(0_u64, false), (1, true), (2, false)] {
        let head = standing(&one).await.expect("an answer").head;
        let mut first = one.write().await.expect("the writer");
        let taken = add_key(&mut *first, turn * 10).await.expect("a key");
        assert_eq!(taken, head + 1);
        let second = Arc::clone(&other);
        let second = tokio::spawn(async move { create_key(&*second, turn * 10 + 1).await });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'interleaved'
            AND wait_event_type = 'Lock'";
        until("the second writer waits", async || {
            (cluster().sql("postgres", waits).expect("an answer") == "1").then_some(())
        })
        .await;
        // Neither replica tells of what is not committed.
        for replica in [&one, &*other] {
            assert_eq!(standing(replica).await.expect("an answer").head, head);
            assert!(keys(replica).await.iter().all(|revision| *revision <= head));
        }
        assert!(!second.is_finished());
        if gives_up {
            drop(first);
        } else {
            first.commit().await.expect("a commit");
        }
        let later = second.await.expect("the task").expect("a key");
        assert_eq!(later, if gives_up { head + 1 } else { head + 2 });
        let seen = keys(&one).await;
        assert_eq!(seen, keys(&*other).await);
        assert_eq!(seen.last(), Some(&later));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_commits_wakes_the_others() {
    let url = cluster().database("wakes").expect("a database");
    let (one, other) = (open(&url).await.expect("one"), open(&url).await.expect("other"));
    let mut told = PgListener::connect(&url).await.expect("a listener");
    told.listen("mpgate_head").await.expect("it listens");
    until("both listen", async || (listening("wakes") == 3).then_some(())).await;
    let mut head = other.watch_head();
    head.borrow_and_update();
    world(&one).await;
    soon(told.recv()).await.expect("a notification with the commit");
    soon(head.changed()).await.expect("the store is open");
    assert_eq!(head.borrow_and_update().head, 1);
    // What leaves the list as it is tells nobody.
    let write = one.write().await.expect("the writer");
    write.commit().await.expect("a commit");
    create_key(&one, 1).await.expect("a key");
    soon(told.recv()).await.expect("a notification");
    assert!(told.next_buffered().is_none(), "two notifications for one change of the list");
    soon(head.changed()).await.expect("the store is open");
    assert_eq!(head.borrow().head, 2);
}

/// The connection that brings the news dies, and news come without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_notification_is_made_up_for() {
    let url = cluster().database("lost_news").expect("a database");
    let store = open(&url).await.expect("a replica");
    world(&store).await;
    until("it listens", async || (listening("lost_news") == 1).then_some(())).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = 'lost_news' AND query LIKE 'LISTEN%'";
    cluster().sql("postgres", end).expect("its end");
    // Moves the head and tells nobody.
    let unseen = "UPDATE mpgate.allowlist SET head = head + 1";
    cluster().sql("lost_news", unseen).expect("a change");
    let mut head = store.watch_head();
    soon(head.wait_for(|found| found.head == 2)).await.expect("the store is open");
    until("it listens again", async || (listening("lost_news") == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_leaves_a_newer_database_alone() {
    let url = cluster().database("newer").expect("a database");
    let store = open(&url).await.expect("a replica");
    world(&store).await;
    let newer = "UPDATE mpgate.schema_version SET version = version + 99";
    cluster().sql("newer", newer).expect("a migration");
    assert!(matches!(open(&url).await, Err(OpenError::Newer)));
    // One that runs is out of service: its readiness says so.
    assert!(is_not_now(&create_key(&store, 1).await));
    assert!(is_not_now(&standing(&store).await));
    let back = "UPDATE mpgate.schema_version SET version = version - 99";
    cluster().sql("newer", back).expect("a migration");
    until("it serves again", async || standing(&store).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_database_of_ours_is_left_alone() {
    let url = cluster().database("foreign").expect("a database");
    cluster().sql("foreign", "CREATE SCHEMA mpgate CREATE TABLE notes ()").expect("a schema");
    assert!(matches!(open(&url).await, Err(OpenError::Foreign)));
    // A schema that was made for us, for a user who may make none.
    cluster().database("given").expect("a database");
    let given = "CREATE ROLE control LOGIN; CREATE SCHEMA mpgate AUTHORIZATION control";
    cluster().sql("given", given).expect("a schema");
    let url = cluster().url("given").replace("mpgate@", "control@");
    let store = open(&url).await.expect("the given schema");
    world(&store).await;
}
