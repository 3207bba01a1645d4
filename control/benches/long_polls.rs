//! What held-open questions cost: thousands of gateways wait for news, and a key is created.
//!
//! `cargo bench --profile service --package mpgate-control --bench long_polls -- 1 100 1000 5000` measures that many
//! waiters one after the other; with `--tls` each over a TLS connection of its own. Clients and control share
//! the machine, so the times are upper bounds.

#[expect(dead_code, reason = "some of it is for the fleet")]
mod parties;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::parties::client::{Client, open_many_files};
use self::parties::control::Control;

/// Keys created for each number of waiters.
const ROUNDS: usize = 10;

/// A gateway: asks, and tells when it has an answer and when it asks again.
async fn wait_for_news(mut client: Client, told: mpsc::UnboundedSender<Instant>) {
    let (mut epoch, mut since) = (String::new(), 0);
    loop {
        let path = format!("/v1/allowlist/changes?epoch={epoch}&since={since}&wait=25");
        let page: Value = client.ask("GET", &path, "").await;
        let to = page["to"].as_u64().expect("a revision");
        // A question that nobody answered in time is not news.
        if (to != since || epoch.is_empty()) && told.send(Instant::now()).is_err() {
            return;
        }
        since = to;
        page["epoch"].as_str().expect("an epoch").clone_into(&mut epoch);
    }
}

async fn measure(waiters: usize, tls: bool) {
    let directory = mpgate_testbed::directory().expect("a directory");
    let database = directory.path().join("mpgate.sqlite");
    let control = Control::start(directory.path(), &database, tls);
    let admin = fs::read_to_string(directory.path().join("admin-token")).expect("a token");
    let mut admin = control.connect(&admin).await;
    let _: Value =
        admin.ask("POST", "/v1/measurementConsumers?measurementConsumerId=acme", "{}").await;
    let stream = json!({"streamId": "G-A", "environment": "production", "upstreamSecret": "none"});
    let acme = "/v1/measurementConsumers/acme";
    let _: Value = admin.ask("POST", &format!("{acme}/dataStreams"), &stream.to_string()).await;
    let principal: Value = admin.ask("POST", "/v1/principals", r#"{"role": "gateway"}"#).await;
    let token = principal["token"].as_str().expect("a token").to_owned();

    let empty = control.memory();
    let (told, mut news) = mpsc::unbounded_channel();
    let begun = Instant::now();
    // They end before control does.
    let mut gateways = JoinSet::new();
    for _ in 0..waiters {
        let client = control.connect(&token).await;
        gateways.spawn(wait_for_news(client, told.clone()));
    }
    for _ in 0..waiters {
        news.recv().await.expect("the first page");
    }
    let arrived = begun.elapsed();
    control.settle().await;
    let full = control.memory();
    let before = control.cpu();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = control.cpu() - before;

    let (mut firsts, mut lasts, mut cpus) = (Vec::new(), Vec::new(), Vec::new());
    let key = json!({"sender": "billing", "dataStreams": ["G-A"]}).to_string();
    for _ in 0..ROUNDS {
        let before = control.cpu();
        let _: Value = admin.ask("POST", &format!("{acme}/apiKeys"), &key).await;
        let answered = Instant::now();
        let mut all = Vec::with_capacity(waiters);
        for _ in 0..waiters {
            all.push(news.recv().await.expect("news").saturating_duration_since(answered));
        }
        all.sort_unstable();
        firsts.push(all.first().copied().unwrap_or_default());
        lasts.push(all.last().copied().unwrap_or_default());
        control.settle().await;
        cpus.push(control.cpu() - before);
    }
    let millis = |time: &mut Vec<Duration>| {
        time.sort_unstable();
        let at = |place: usize| time[place].as_secs_f64() * 1_000.0;
        format!("{:.1} ({:.1} to {:.1})", at(ROUNDS / 2), at(0), at(ROUNDS - 1))
    };
    cpus.sort_by(f64::total_cmp);
    let each = (full - empty) * 1_024.0 / f64::from(u32::try_from(waiters).unwrap_or(u32::MAX));
    println!(
        "| {waiters} | {} | {:.1} | {:.1} | {each:.1} | {:.1} | {} | {} | {:.0} |",
        if tls { "TLS" } else { "clear" },
        arrived.as_secs_f64(),
        full,
        idle * 100.0,
        millis(&mut firsts),
        millis(&mut lasts),
        cpus[ROUNDS / 2] * 1_000.0,
    );
    gateways.shutdown().await;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let tls = arguments.iter().any(|argument| argument == "--tls");
    let numbers: Vec<usize> =
        arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let numbers = if numbers.is_empty() { vec![1, 100, 1_000, 5_000] } else { numbers };
    open_many_files();
    println!(
        "| waiters |  | arrived, s | RSS, MiB | KiB a waiter | idle CPU, ms/s | first answer, ms | last answer, ms | CPU of a wake-up, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for waiters in numbers {
        runtime.block_on(measure(waiters, tls));
    }
}
