//! Another server takes over, or a copy is put in the database's place.

use mpgate_control::model::{Action, Slice};
use mpgate_control::store::{Standing, Store};
use mpgate_testbed::postgres::Cluster;

use super::proxy::Proxy;
use super::{create_key, keys, open, soon, standing, until, world};
use crate::harness::cluster;

/// The newest event of the trail tells of the epoch.
async fn expect_event(store: &dyn Store, now: &Standing) {
    let mut read = store.read().await.expect("a reader");
    let slice = Slice { after: 0, limit: 1, show_deleted: true };
    let event = read.audit(slice, true).await.expect("an answer").items.pop().expect("an event");
    assert_eq!(event.action, Action::Restore);
    assert_eq!(event.after.expect("a resource")["epoch"], now.epoch.as_str());
}

/// A standby that lacks the last commits takes over and gives their revisions to others. A gate that has come
/// as far is not told that it has everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lost_commits_begins_a_new_epoch() {
    let primary = Cluster::start(false).expect("a cluster");
    let url = primary.database("control").expect("a database");
    let proxy = Proxy::start(primary.port()).await;
    let through = url.replace(&primary.port().to_string(), &proxy.port.to_string());
    let store = open(&through).await.expect("a replica");
    world(&store).await;
    create_key(&store, 1).await.expect("a key");

    let standby = primary.standby().expect("a standby");
    let replayed = "SELECT head FROM mpgate.allowlist";
    until("the standby follows", async || {
        (standby.sql("control", replayed).ok()? == "2").then_some(())
    })
    .await;
    // Nothing is read from a standby as if it were the database.
    let refused = open(&standby.url("control")).await;
    assert!(matches!(refused, Err(mpgate_control::store::OpenError::ReadOnly)));
    let cut = "ALTER SYSTEM SET primary_conninfo = ''";
    standby.sql("control", cut).expect("a setting");
    standby.sql("control", "SELECT pg_reload_conf()").expect("it is read");
    until("the standby is cut off", async || {
        let streams = primary.sql("control", "SELECT count(*) FROM pg_stat_replication").ok()?;
        (streams == "0").then_some(())
    })
    .await;
    // The primary goes on, and these two are lost.
    create_key(&store, 2).await.expect("a key");
    assert_eq!(create_key(&store, 3).await.expect("a key"), 4);
    let before = standing(&store).await.expect("an answer");

    standby.promote().expect("it takes over");
    let mut watch = store.watch_head();
    proxy.lead_to(standby.port());
    soon(watch.wait_for(|now| now.epoch != before.epoch)).await.expect("the store is open");
    let after = until("an answer", async || standing(&store).await.ok()).await;
    assert_ne!(after.epoch, before.epoch);
    expect_event(&store, &after).await;
    assert_eq!(keys(&store).await, [2], "what was lost is lost");
    // No revision that a gate may know of is given out to another change.
    let next = until("a change", async || create_key(&store, 4).await.ok()).await;
    assert!(next > before.head, "revision {next} was given out before");
    // A replica that starts now finds what is there.
    let other = open(&standby.url("control")).await.expect("a replica");
    assert_eq!(standing(&other).await.expect("an answer").epoch, after.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_restored_begins_a_new_epoch() {
    let url = cluster().database("dumped").expect("a database");
    let store = open(&url).await.expect("a replica");
    world(&store).await;
    create_key(&store, 1).await.expect("a key");
    let before = standing(&store).await.expect("an answer");
    let file = cluster().directory().join("dump").display().to_string();
    let dump = ["--format=custom", "--schema=mpgate", "--file", &file, "--dbname", &url];
    cluster().tool("pg_dump", &dump).expect("a dump");
    create_key(&store, 2).await.expect("a key");

    let place = cluster().database("restored").expect("a database");
    let restore = ["--exit-on-error", "--no-owner", "--dbname", &place, &file];
    cluster().tool("pg_restore", &restore).expect("a restore");
    let restored = open(&place).await.expect("a replica");
    let after = standing(&restored).await.expect("an answer");
    assert_ne!(after.epoch, before.epoch);
    assert_eq!((after.head, keys(&restored).await), (2, vec![2]));
    expect_event(&restored, &after).await;
    assert_eq!(create_key(&restored, 3).await.expect("a key"), 3);
    // Opened again it is the same database.
    let again = open(&place).await.expect("a replica");
    assert_eq!(standing(&again).await.expect("an answer").epoch, after.epoch);
    let old = standing(&store).await.expect("an answer");
    assert_eq!((old.epoch, old.head), (before.epoch, 3), "the one that was dumped goes on");
}

/// The disk of the server was put back while a replica ran: nothing in the database tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_goes_back_begins_a_new_epoch() {
    let url = cluster().database("went_back").expect("a database");
    let store = open(&url).await.expect("a replica");
    world(&store).await;
    create_key(&store, 1).await.expect("a key");
    let before = standing(&store).await.expect("an answer");
    let back = "ALTER TABLE mpgate.allowlist DISABLE TRIGGER USER;
        UPDATE mpgate.allowlist SET head = 1; ALTER TABLE mpgate.allowlist ENABLE TRIGGER USER";
    cluster().sql("went_back", back).expect("a step back");
    let mut watch = store.watch_head();
    soon(watch.wait_for(|now| now.epoch != before.epoch)).await.expect("the store is open");
    let after = standing(&store).await.expect("an answer");
    assert_eq!(after.head, before.head);
    expect_event(&store, &after).await;
    assert_eq!(create_key(&store, 2).await.expect("a key"), before.head + 1);
}
