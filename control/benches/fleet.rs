//! A fleet on one control: many gateways, a long list, and a key revoked every second.
//!
//! `cargo bench --profile service --package mpgate-control --bench fleet -- 100 500 1000 2000` measures that many
//! gateways one after the other. Each has a principal, a connection and a name of its own and speaks the change
//! protocol as the gate's poller does; all stand at the head of 100 000 keys. Then gateways without a list load all of it
//! at once (`--loads 1,10,50`). Gateways and control share the machine, so times are upper bounds; CPU and memory are
//! control's own.

mod parties;

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::parties::client::{Client, open_many_files};
use self::parties::control::Control;
use self::parties::seed::fill;

/// Keys on the list.
const KEYS: u64 = 100_000;

/// Revocations for each number of gateways, one a second.
const REVOCATIONS: u32 = 30;

/// How long the last ones may take to arrive everywhere.
const GRACE: Duration = Duration::from_secs(5);

const READS: &str = "mpgate_control_database_transactions_total{kind=\"read\"}";

const CHANGES: &str = "/v1/allowlist/changes";

/// What a gateway has to know of a page; it keeps the entries, here they are passed over.
#[derive(Deserialize)]
struct Page {
    epoch: String,
    to: u64,
    head: u64,
}

/// A gateway has taken over everything up to a revision.
struct News {
    gateway: usize,
    to: u64,
    at: Instant,
    /// Since its news before: questions, and bytes in both directions.
    asked: u32,
    bytes: usize,
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().ok();
    open_many_files();
    let (mut fleets, mut loads) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--loads" {
            let list = arguments.next().expect("numbers with commas between");
            loads.extend(list.split(',').map(|it| it.parse::<usize>().expect("a number")));
        } else if let Ok(gateways) = argument.parse() {
            fleets.push(gateways);
        }
    }
    if fleets.is_empty() && loads.is_empty() {
        (fleets, loads) = (vec![100, 500, 1_000, 2_000], vec![1, 10, 50]);
    }

    let directory = mpgate_testbed::directory().expect("a directory");
    let database = directory.path().join("mpgate.sqlite");
    let admin = fill(&database, KEYS).await;
    let mut tokens = Vec::new();
    let mut revoked = 0;

    println!(
        "{KEYS} keys, a revocation a second for {REVOCATIONS} s, after control's answer to it:\n"
    );
    println!(
        "| gateways | half have heard, ms | the last has heard, ms | questions a second | reads of the database a second | KiB a second | CPU of control, ms a second | RSS of control, MiB |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    for gateways in fleets {
        let control = Control::start(directory.path(), &database, false);
        enrol(&control, &admin, gateways, &mut tokens).await;
        let taken = tokens.get(..gateways).expect("they were made");
        revocations(&control, &admin, taken, &mut revoked).await;
    }

    println!("\nA first list, by gateways that begin at the same moment:\n");
    println!(
        "| gateways | the last has it, s | MiB for each | CPU of control, s | reads of the database | RSS of control, MiB |"
    );
    println!("|--:|--:|--:|--:|--:|--:|");
    for gateways in loads {
        let control = Control::start(directory.path(), &database, false);
        enrol(&control, &admin, gateways, &mut tokens).await;
        first_lists(&control, tokens.get(..gateways).expect("they were made")).await;
    }
}

/// Principals until there are enough.
async fn enrol(control: &Control, admin: &str, gateways: usize, tokens: &mut Vec<String>) {
    let mut client = control.connect(admin).await;
    while tokens.len() < gateways {
        let made: Value = client.ask("POST", "/v1/principals", r#"{"role": "gateway"}"#).await;
        tokens.push(made["token"].as_str().expect("a token").to_owned());
    }
}

/// A connection that says of itself what a gate says.
async fn gateway(control: &Control, number: usize, token: &str) -> Client {
    let client = control.connect(token).await;
    client
        .with_header("x-mpgate-gate", "default")
        .with_header("x-mpgate-node", &format!("envoy-{number}"))
        .with_header("x-mpgate-instance", &format!("{number:016x}"))
        .with_header("x-mpgate-version", env!("CARGO_PKG_VERSION"))
        .with_header("x-mpgate-capabilities", "")
}

/// Asks for what comes next, for ever.
async fn follow(
    number: usize,
    mut client: Client,
    mut page: Page,
    told: mpsc::UnboundedSender<News>,
) {
    let mut asked = 0;
    loop {
        let path = format!("{CHANGES}?epoch={}&since={}&limit=250&wait=25", page.epoch, page.to);
        let next: Page = client.ask("GET", &path, "").await;
        asked += 1;
        if next.to > page.to {
            let bytes = client.sent + client.received;
            (client.sent, client.received) = (0, 0);
            let news = News { gateway: number, to: next.to, at: Instant::now(), asked, bytes };
            asked = 0;
            if told.send(news).is_err() {
                return;
            }
        }
        page = next;
    }
}

async fn revocations(control: &Control, admin: &str, tokens: &[String], revoked: &mut u64) {
    let mut admin = control.connect(admin).await;
    let (told, mut news) = mpsc::unbounded_channel();
    let mut fleet = JoinSet::new();
    let mut first = gateway(control, 0, tokens.first().expect("a gateway")).await;
    let start: Page = first.ask("GET", &format!("{CHANGES}?limit=1"), "").await;
    let (epoch, head) = (start.epoch, start.head);
    for (number, token) in tokens.iter().enumerate() {
        let level = Page { epoch: epoch.clone(), to: head, head };
        let client = gateway(control, number, token).await;
        fleet.spawn(follow(number, client, level, told.clone()));
    }
    control.settle().await;

    let reads = control.counted(READS).await;
    let cpu = control.cpu();
    let began = Instant::now();
    let mut answered = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..REVOCATIONS {
        pace.tick().await;
        let path = format!("/v1/measurementConsumers/acme/apiKeys/{revoked:012}");
        let _: Value = admin.ask("DELETE", &path, "").await;
        answered.push(Instant::now());
        *revoked += 1;
    }
    pace.tick().await;
    let took = began.elapsed().as_secs_f64();
    let cpu = (control.cpu() - cpu) * 1_000.0 / took;
    let reads = (control.counted(READS).await - reads) / took;
    tokio::time::sleep(GRACE).await;
    fleet.shutdown().await;
    drop(told);

    let mut told_by: Vec<Vec<News>> = (0..tokens.len()).map(|_| Vec::new()).collect();
    while let Some(one) = news.recv().await {
        told_by.get_mut(one.gateway).expect("it is of the fleet").push(one);
    }
    let all = || told_by.iter().flatten();
    let asked = f64::from(all().map(|one| one.asked).sum::<u32>()) / took;
    let kib = number(all().map(|one| one.bytes).sum()) / 1_024.0 / took;
    let (mut halves, mut lasts) = (Vec::new(), Vec::new());
    for (revision, answered) in (head + 1..).zip(answered) {
        let first_with = |gateway: &Vec<News>| {
            let found = gateway.iter().find(|one| one.to >= revision);
            found.expect("each hears of each").at.saturating_duration_since(answered)
        };
        let mut delays: Vec<_> = told_by.iter().map(first_with).collect();
        delays.sort_unstable();
        halves.push(delays[delays.len() / 2].as_secs_f64() * 1_000.0);
        lasts.push(delays[delays.len() - 1].as_secs_f64() * 1_000.0);
    }
    println!(
        "| {} | {} | {} | {asked:.0} | {reads:.0} | {kib:.0} | {cpu:.0} | {:.0} |",
        tokens.len(),
        spread(halves),
        spread(lasts),
        control.memory()
    );
}

async fn first_lists(control: &Control, tokens: &[String]) {
    let reads = control.counted(READS).await;
    let cpu = control.cpu();
    let mut fleet = JoinSet::new();
    let began = Instant::now();
    for (number, token) in tokens.iter().enumerate() {
        let mut client = gateway(control, number, token).await;
        fleet.spawn(async move {
            let (mut epoch, mut since) = (String::new(), 0);
            loop {
                let path = format!("{CHANGES}?epoch={epoch}&since={since}&limit=250&wait=25");
                let page: Page = client.ask("GET", &path, "").await;
                if page.to == page.head {
                    return client.received;
                }
                (epoch, since) = (page.epoch, page.to);
            }
        });
    }
    let bytes: usize = fleet.join_all().await.into_iter().sum();
    let took = began.elapsed().as_secs_f64();
    let reads = control.counted(READS).await - reads;
    println!(
        "| {} | {took:.1} | {:.1} | {:.1} | {reads:.0} | {:.0} |",
        tokens.len(),
        number(bytes) / 1_048_576.0 / number(tokens.len()),
        control.cpu() - cpu,
        control.memory()
    );
}

/// Median and range.
fn spread(mut millis: Vec<f64>) -> String {
    millis.sort_by(f64::total_cmp);
    let at = |place: usize| millis.get(place).copied().unwrap_or_default();
    format!("{:.0} ({:.0} to {:.0})", at(millis.len() / 2), at(0), at(millis.len() - 1))
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("below 4 GiB"))
}
