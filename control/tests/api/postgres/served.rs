//! Two processes of control on one database, as gateways and operators meet them.

use std::process::Command;
use std::time::{Duration, Instant};

use mpgate_testbed::postgres::Cluster;
use serde_json::{Value, json};

use super::until;
use crate::harness::{Control, Directory, MPGATE, cluster};

const CHANGES: &str = "/v1/allowlist/changes";

fn serve(directory: &Directory, url: &str) -> Command {
    let mut command = Command::new(MPGATE);
    command.env_clear().env("DATABASE_URL", url).args(["serve", "--listen", "127.0.0.1:0"]);
    command.arg("--admin-token-file").arg(directory.join("admin-token"));
    command
}

/// Both started at once, on a database that is empty.
fn replicas(directory: &Directory, url: &str) -> [Control; 2] {
    std::thread::scope(|scope| {
        let start = || Control::start_as(directory, &mut serve(directory, url));
        let starting = [scope.spawn(start), scope.spawn(start)];
        starting.map(|it| it.join().expect("a replica"))
    })
}

/// What a gateway is told that stands there.
async fn ask(control: &Control, token: &str, epoch: &str, since: u64, wait: u64) -> Value {
    let path = format!("{CHANGES}?epoch={epoch}&since={since}&wait={wait}");
    let asked = reqwest::Client::new().get(format!("{}{path}", control.url)).bearer_auth(token);
    Control::send(asked.header("x-mpgate-instance", "a1")).await.expect("an answer").done()
}

/// How far the one gateway is, as a replica tells.
async fn receipt(control: &Control) -> Option<u64> {
    let list = control.get("/v1/gateways").await.done();
    list["gateways"][0]["revision"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_hand_out_one_admin_token() {
    let directory = Directory::new();
    let url = cluster().database("served_first").expect("a database");
    let [one, other] = replicas(&directory, &url);
    one.acme().await;
    let token = other.admin.clone();
    assert_eq!((one.admin.as_str(), token.as_str()), (token.as_str(), one.admin.as_str()));
    let found = other.get("/v1/measurementConsumers/acme").await.done();
    assert_eq!(found["name"], "measurementConsumers/acme");
    let principals = other.get("/v1/principals").await.done();
    assert_eq!(principals["principals"].as_array().map(Vec::len), Some(1), "{principals}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_one_replica_answers_what_is_held_at_both() {
    let directory = Directory::new();
    let url = cluster().database("served_held").expect("a database");
    let [one, other] = replicas(&directory, &url);
    one.acme().await;
    one.stream("G-A").await;
    let gateway = one.gateway_token().await;
    let page = ask(&one, &gateway, "", 0, 0).await;
    let epoch = page["epoch"].as_str().expect("an epoch").to_owned();
    let mut head = page["head"].as_u64().expect("a head");
    for turn in 0..6 {
        let changing = if turn % 2 == 0 { &one } else { &other };
        let started = Instant::now();
        let change = async {
            // The questions were sent first; the replicas answer these after they have come to them.
            for _ in 0..5 {
                one.call("GET", "/healthz", None, None).await;
                other.call("GET", "/healthz", None, None).await;
            }
            changing.key("till", &["G-A"]).await
        };
        let (here, there, key) = tokio::join!(
            ask(&one, &gateway, &epoch, head, 25),
            ask(&other, &gateway, &epoch, head, 25),
            change
        );
        head += 1;
        assert_eq!(key["revision"], head);
        for page in [here, there] {
            assert_eq!(
                (&page["head"], page["keys"].as_array().map(Vec::len)),
                (&json!(head), Some(1))
            );
        }
        let took = started.elapsed();
        assert!(took < Duration::from_secs(10), "an answer after {took:?}");
    }
}

/// A gateway asks whichever replica the balancer leads it to. Both tell how far it is.
#[tokio::test(flavor = "multi_thread")]
async fn both_replicas_have_the_receipts() {
    let directory = Directory::new();
    let url = cluster().database("served_receipts").expect("a database");
    let [one, other] = replicas(&directory, &url);
    one.acme().await;
    one.stream("G-A").await;
    let gateway = one.gateway_token().await;
    let page = ask(&one, &gateway, "", 0, 0).await;
    let epoch = page["epoch"].as_str().expect("an epoch").to_owned();
    let mut head = page["head"].as_u64().expect("a head");
    for turn in 0..4 {
        let (first, second) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        // The old state here, and right after it the new one there.
        ask(first, &gateway, &epoch, head, 0).await;
        first.key("till", &["G-A"]).await;
        head += 1;
        ask(second, &gateway, &epoch, head, 0).await;
        assert_eq!(receipt(second).await, Some(head));
        until("the other replica's receipt", async || {
            (receipt(first).await == Some(head)).then_some(())
        })
        .await;
    }
    // It falls back to another list, right after it told the other replica of this one.
    ask(&one, &gateway, &epoch, head, 0).await;
    ask(&other, &gateway, "another", head, 0).await;
    assert_eq!(receipt(&other).await, Some(0));
    until("that it fell back", async || (receipt(&one).await == Some(0)).then_some(())).await;
    // A replica that has not heard of the newest change does not take its gateway for an empty one.
    let unseen = "UPDATE mpgate.allowlist SET head = head + 1";
    cluster().sql("served_receipts", unseen).expect("a change that nobody is told of");
    ask(&one, &gateway, &epoch, head + 1, 0).await;
    assert_eq!(receipt(&one).await, Some(head + 1));
}

/// What the first version of the schema wrote in seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_stays_heard_when_it_was() {
    let database = "first_version";
    let url = cluster().database(database).expect("a database");
    let heard = jiff::Timestamp::now().as_second() - 40;
    let first = concat!(
        "CREATE SCHEMA mpgate; CREATE TABLE mpgate.schema_version (only_row INTEGER, version INTEGER);
         INSERT INTO mpgate.schema_version VALUES (1, 1);",
        include_str!("../../../migrations/postgres/0001_control.sql")
    );
    let gateway = format!(
        "INSERT INTO mpgate.gateways VALUES ('edge', 'a1', '', '', '', '[]', NULL, '[]', 7, {heard}),
             ('edge', 'b1', 'front', '', '', '[]', NULL, '[]', 6, {heard})"
    );
    for sql in [first, &gateway] {
        cluster().sql(database, sql).expect("the first version");
    }
    let directory = Directory::new();
    let control = Control::start_as(&directory, &mut serve(&directory, &url));
    let found = control.get("/v1/gateways/edge.a1").await.done();
    let told = jiff::Timestamp::from_second(heard).expect("a time").to_string();
    assert_eq!((&found["lastSeenTime"], &found["revision"]), (&json!(told), &json!(7)));
    assert_eq!(found["state"], "LIVE");
    assert_eq!(control.get("/v1/gateways/edge.b1.front").await.done()["revision"], 6);
}

/// Changes go to both at once while the database goes away: what was acknowledged is there, once each.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_the_server() {
    let mut own = Cluster::start(true).expect("a cluster");
    let url = own.database("served_lost").expect("a database");
    let directory = Directory::new();
    let [one, other] = replicas(&directory, &url);
    one.acme().await;
    one.stream("G-A").await;
    let write = async |control: &Control| {
        let (mut acknowledged, mut told) = (Vec::new(), Vec::new());
        while told.len() < 2 {
            let body = json!({"sender": "till", "dataStreams": ["G-A"]});
            let answer = control.post("/v1/measurementConsumers/acme/apiKeys", body).await;
            match answer.status {
                200 => {
                    acknowledged.push(answer.json()["name"].as_str().expect("a name").to_owned());
                }
                503 => told.push(answer.header("retry-after").to_owned()),
                status => panic!("{status}: {}", answer.text),
            }
        }
        assert!(told.iter().all(|after| after == "1"), "{told:?}");
        acknowledged
    };
    let end = async {
        let count = "SELECT count(*) FROM mpgate.api_keys";
        until("changes to flow", async || {
            let done = own.sql("served_lost", count).expect("an answer");
            (done.parse::<u64>().expect("a number") > 20).then_some(())
        })
        .await;
        own.stop("immediate").expect("its end");
    };
    let (mut acknowledged, also, ()) = tokio::join!(write(&one), write(&other), end);
    acknowledged.extend(also);
    assert!(acknowledged.len() >= 20, "{acknowledged:?}");
    own.run().expect("it comes back");
    until("both are ready", async || {
        let [here, there] = [&one, &other].map(|it| it.call("GET", "/readyz", None, None));
        let (here, there) = tokio::join!(here, there);
        (here.status == 200 && there.status == 200).then_some(())
    })
    .await;
    for name in &acknowledged {
        assert_eq!(other.get(&format!("/v1/{name}")).await.status, 200, "{name} was acknowledged");
    }
    let page = one.get(&format!("{CHANGES}?limit=10000")).await.done();
    let keys = page["keys"].as_array().expect("a list");
    let mut revisions: Vec<_> = keys.iter().map(|key| key["revision"].as_u64()).collect();
    assert!(revisions.len() >= acknowledged.len());
    revisions.dedup();
    assert_eq!(revisions.len(), keys.len(), "a revision that two have");
}
