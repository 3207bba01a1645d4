//! The server is busy, away, or not to be written. Each is "not now", and nothing is half done.

use std::time::{Duration, Instant};

use mpgate_control::store::{OpenError, Store as _, StoreError};
use mpgate_testbed::postgres::Cluster;

use super::proxy::{Commits, Proxy};
use super::{create_key, is_not_now, keys, open, soon, standing, until, world};
use crate::harness::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_are_made_anew() {
    let url = cluster().database("ended").expect("a database");
    let store = open(&url).await.expect("a replica");
    world(&store).await;
    for turn in 0..3 {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ended'";
        cluster().sql("postgres", end).expect("their end");
        until("a change", async || match create_key(&store, turn).await {
            Err(StoreError::Broken(error)) => panic!("{error}"),
            done => done.ok(),
        })
        .await;
        standing(&store).await.ok();
        until("an answer", async || standing(&store).await.ok()).await;
    }
    assert_eq!(keys(&store).await, [2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_waited_for() {
    let mut own = Cluster::start(true).expect("a cluster");
    let url = own.database("away").expect("a database");
    let store = open(&url).await.expect("a replica");
    world(&store).await;
    // As a lost machine: what was committed is there again.
    own.stop("immediate").expect("its end");
    let (read, written) = tokio::join!(standing(&store), create_key(&store, 1));
    assert!(is_not_now(&read) && is_not_now(&written), "{read:?} {written:?}");
    own.run().expect("it comes back");
    let found = until("an answer", async || standing(&store).await.ok()).await;
    assert_eq!(found.head, 1);
    assert_eq!(until("a change", async || create_key(&store, 1).await.ok()).await, 2);
}

/// What is acknowledged right after the server is back has to be in force everywhere within a second.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_hear_of_each_other_as_soon_as_the_server_is_back() {
    let mut server = Cluster::start(false).expect("a cluster");
    let url = server.database("back").expect("a database");
    let (one, other) = (open(&url).await.expect("one"), open(&url).await.expect("other"));
    world(&one).await;
    let mut took = Vec::new();
    for turn in 0..5 {
        server.stop("immediate").expect("its end");
        for replica in [&one, &other] {
            assert!(is_not_now(&standing(replica).await), "it is away");
        }
        server.run().expect("it comes back");
        for replica in [&one, &other] {
            until("an answer", async || standing(replica).await.ok()).await;
        }
        let head = until("a change", async || create_key(&one, turn).await.ok()).await;
        let acknowledged = Instant::now();
        let mut news = other.watch_head();
        soon(news.wait_for(|found| found.head == head)).await.expect("the store is open");
        took.push(acknowledged.elapsed());
    }
    took.sort_unstable();
    // A busy machine may spoil a turn. The client's own pauses between two tries grow to a second.
    let median = took.get(2).expect("five turns");
    assert!(*median < Duration::from_millis(900), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_reads_only_is_read_from() {
    let url = cluster().database("reads_only").expect("a database");
    let store = open(&url).await.expect("a replica");
    world(&store).await;
    let set = |word: &str| {
        let sql = format!("ALTER DATABASE reads_only SET default_transaction_read_only = {word}");
        cluster().sql("postgres", &sql).expect("a setting");
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = 'reads_only'";
        cluster().sql("postgres", end).expect("their end");
    };
    set("on");
    assert!(matches!(open(&url).await, Err(OpenError::ReadOnly)));
    until("an answer", async || standing(&store).await.ok()).await;
    assert!(is_not_now(&create_key(&store, 1).await));
    assert_eq!(keys(&store).await, Vec::<u64>::new());
    set("off");
    assert_eq!(until("a change", async || create_key(&store, 1).await.ok()).await, 2);
}

/// Somebody holds the lock, and all readers are taken.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_too_long_is_told_to_come_again() {
    let url = cluster().database("busy").expect("a database");
    let (store, other) = (open(&url).await.expect("one"), open(&url).await.expect("other"));
    world(&store).await;
    let held = other.write().await.expect("the lock");
    let mut readers = Vec::new();
    for _ in 0..8 {
        readers.push(store.read().await.expect("a reader"));
    }
    let (written, read) = tokio::join!(create_key(&store, 1), standing(&store));
    assert!(is_not_now(&written) && is_not_now(&read), "{written:?} {read:?}");
    drop((held, readers));
    assert_eq!(until("a change", async || create_key(&store, 1).await.ok()).await, 2);
}

/// A replica that stands still with the lock loses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_not_held_for_ever() {
    let url = cluster().database("frozen").expect("a database");
    let (frozen, other) = (open(&url).await.expect("one"), open(&url).await.expect("other"));
    world(&other).await;
    let mut held = frozen.write().await.expect("the lock");
    assert_eq!(held.next_revision().await.expect("a revision"), 2);
    let revision = until("a change", async || create_key(&other, 1).await.ok()).await;
    assert_eq!(revision, 2, "what was not committed took a revision");
    assert!(held.commit().await.is_err());
    assert_eq!(keys(&other).await, [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nobody_heard_of_is_uncertain() {
    let url = cluster().database("uncertain").expect("a database");
    let proxy = Proxy::start(cluster().port()).await;
    let through = url.replace(&cluster().port().to_string(), &proxy.port.to_string());
    let store = open(&through).await.expect("a replica");
    world(&store).await;
    for (number, commits, is_done) in
        [(1, Commits::LoseAsked, false), (2, Commits::LoseAnswer, true)]
    {
        proxy.set(commits);
        let done = create_key(&store, number).await;
        assert!(matches!(done, Err(StoreError::Uncertain(_))), "{done:?}");
        proxy.set(Commits::Pass);
        let found = until("an answer", async || standing(&store).await.ok()).await;
        assert_eq!(found.head, if is_done { 2 } else { 1 });
        assert_eq!(keys(&store).await.len(), usize::from(is_done));
    }
}
