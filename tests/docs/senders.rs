//! Senders that go on posting while a page is played: two genuine ones, and a stranger from another
//! address. A genuine sender sends what its file holds, and takes up what is put there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mpgate_testbed::http1::{self, Http1};
use mpgate_testbed::soak::{Line, Seen};
use mpgate_testbed::stack::{CLUB, SHOP, purchase};
use mpgate_testbed::{Request, artifacts};
use serde_json::Value;

use crate::elsewhere::Elsewhere;

/// A genuine sender, its stream, and what GA4 is to see in every event of it: the stream's own secret.
const GENUINE: [(&str, &str, &str); 2] =
    [("billing", SHOP, "rM7dK2vXq9TzWb4nYp6sLh"), ("crm", CLUB, "Zx81nVpKc5RjTu3wGy7QdE")];

/// What the stranger sends, until the file `leaked.secret` gives it something better.
const GUESS: &str = "Hq3vN8sLwPz1kRt6Yb4mDx";
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Between two events of a sender, and of the stranger.
const PAUSE: Duration = Duration::from_millis(40);
const STRANGERS_PAUSE: Duration = Duration::from_millis(200);

/// So few prove nothing.
const EVENTS_MIN: usize = 200;

/// What became of a sender's events, in order.
type Told = Vec<(u64, String)>;

/// The senders, sending.
pub(crate) struct Senders {
    genuine: Vec<JoinHandle<Told>>,
    stranger: JoinHandle<Vec<(bool, u16)>>,
    /// Dropped, it ends them.
    going: Vec<Sender<()>>,
}

impl Senders {
    pub(crate) fn start(elsewhere: &Elsewhere) -> Result<Self> {
        let gateway = elsewhere.address(8080)?;
        let directory = elsewhere.directory();
        next_module(&directory.join("next"))?;
        let mut going = Vec::new();
        let mut stop = || {
            let (open, stopped) = channel();
            going.push(open);
            stopped
        };
        let genuine = GENUINE.map(|(sender, stream, _)| {
            let (file, stopped) = (directory.join(format!("{sender}.secret")), stop());
            thread::spawn(move || send(gateway, &file, stream, &stopped))
        });
        let (file, stopped) = (directory.join("leaked.secret"), stop());
        let stranger = thread::spawn(move || guess(gateway, &file, &stopped));
        Ok(Self { genuine: genuine.into(), stranger, going })
    }

    /// Ends them, and looks what became of every event.
    pub(crate) fn finish(self, elsewhere: &Elsewhere) -> Result<()> {
        drop(self.going);
        let told: Vec<Told> = self.genuine.into_iter().filter_map(|one| one.join().ok()).collect();
        ensure!(told.len() == GENUINE.len(), "a sender panicked");
        // Asked when the last answer is here: what is under way is not lost.
        let shown = http1::send(elsewhere.address(8082)?, &Request::get("/events"))?.json()?;
        let arrived = arrived(&shown);
        for (told, (sender, stream, ga4)) in told.iter().zip(GENUINE) {
            let missed: Vec<_> = told.iter().filter(|(_, outcome)| outcome != "204").collect();
            ensure!(missed.is_empty(), "of {sender}'s {} events: {missed:?}", told.len());
            ensure!(told.len() >= EVENTS_MIN, "{sender} sent only {} events", told.len());
            let mut others = Vec::new();
            for (number, _) in told {
                let path = arrived.get(&(stream.to_owned(), *number));
                let path =
                    path.with_context(|| format!("{sender}'s event {number} never arrived"))?;
                if !path.contains(&format!("api_secret={ga4}")) {
                    others.push((number, path));
                }
            }
            let (count, all) = (others.len(), told.len());
            let first = others.first();
            ensure!(
                first.is_none(),
                "{count} of {sender}'s {all} events came otherwise: {first:?}"
            );
        }
        let stranger = self.stranger.join().ok().context("the stranger panicked")?;
        let was = |leaked, status| stranger.contains(&(leaked, status));
        ensure!(
            was(false, 204) && was(false, 401),
            "a guess passed unjudged, and was then refused"
        );
        let seen: BTreeSet<_> = stranger.iter().collect();
        let revoked = was(true, 204) && was(true, 403);
        ensure!(revoked, "the leaked secret was not good, and then revoked: {seen:?}");
        let last = stranger.last().context("no stranger")?;
        ensure!(last.1 != 204, "the stranger's last event was accepted");
        Ok(())
    }
}

/// A module of the next version, as far as Envoy can tell: this one, with a custom section behind it.
fn next_module(directory: &Path) -> Result<()> {
    const SECTION: [u8; 6] = [0, 4, 3, b'n', b'e', b'w'];
    fs::create_dir(directory)?;
    let mut module = fs::read(artifacts::module()?)?;
    module.extend(SECTION);
    Ok(fs::write(directory.join("mpgate.wasm"), module)?)
}

/// What reached the collector: stream and number, and the target with its query.
fn arrived(shown: &Value) -> BTreeMap<(String, u64), String> {
    let events = shown["events"].as_array().cloned().unwrap_or_default();
    let read = events.iter().filter_map(|event| {
        let path = event["path"].as_str()?;
        let body: Value = serde_json::from_str(event["body"].as_str()?).ok()?;
        let stream = path.split(['?', '&']).find_map(|one| one.strip_prefix("measurement_id="))?;
        let number = body["events"][0]["params"]["transaction_id"].as_str()?.parse().ok()?;
        Some(((stream.to_owned(), number), path.to_owned()))
    });
    read.collect()
}

fn send(gateway: SocketAddr, file: &Path, stream: &str, stopped: &Receiver<()>) -> Told {
    let mut line = Line::new(gateway);
    let mut told = Told::new();
    while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        let Some(secret) = secret(file).filter(|_| !told.is_empty() || is_there(gateway)) else {
            continue;
        };
        let number = told.len() as u64;
        let body = event(number);
        let bytes = format!(
            "POST /mp/collect?measurement_id={stream}&api_secret={secret} HTTP/1.1\r\n\
             host: {gateway}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let seen: Seen = line.exchange(bytes.as_bytes());
        told.push((number, seen.told()));
    }
    told
}

/// A purchase with a number of its own.
fn event(number: u64) -> String {
    let params = serde_json::json!({
        "transaction_id": number.to_string(),
        "currency": "EUR",
        "value": 42.5,
        "items": [{"item_id": "SKU-1"}],
    });
    let events = serde_json::json!([{"name": "purchase", "params": params}]);
    serde_json::json!({"client_id": "1234567890.1700000000", "events": events}).to_string()
}

/// Each event of the stranger: whether it was the leaked secret, and the answer.
fn guess(gateway: SocketAddr, leaked: &Path, stopped: &Receiver<()>) -> Vec<(bool, u16)> {
    let mut answers = Vec::new();
    while stopped.recv_timeout(STRANGERS_PAUSE) == Err(RecvTimeoutError::Timeout) {
        let found = secret(leaked);
        let request = purchase(SHOP, found.as_deref().unwrap_or(GUESS));
        let Ok(mut line) = Http1::connect_from(IpAddr::V4(STRANGER), gateway) else {
            continue;
        };
        if let Ok(answer) = line.send(&request.header("connection", "close")) {
            answers.push((found.is_some(), answer.status));
        }
    }
    answers
}

fn secret(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().filter(|secret| !secret.is_empty())
}

fn is_there(gateway: SocketAddr) -> bool {
    TcpStream::connect(gateway).is_ok()
}
