//! Genuine senders: keys that stay, on keep-alive connections, at a bounded rate. Each request's
//! outcome is counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::line::{Line, Outcome, Seen};
use super::pace::{Pace, Stop};
use crate::stack::purchase_body;

/// What is told of each refusal is bounded; their number is not.
const TOLD_MAX: usize = 20;

/// What became of genuine requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that were sent.
    pub sent: u64,
    /// Answered 204.
    pub accepted: u64,
    /// Answered otherwise: how often, by status and reason.
    pub refused: BTreeMap<String, u64>,
    /// Not answered: how often, by what happened.
    pub lost: BTreeMap<String, u64>,
    /// Connections that the gate closed between two requests, which costs nothing.
    pub closed: u64,
    /// When each of the first refusals and losses came, from the start, and which it was.
    pub told: Vec<(Duration, String)>,
    /// Every answer's time in microseconds.
    pub micros: Vec<u32>,
}

impl Tally {
    /// How many were refused.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// How many were lost.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.lost.values().sum()
    }

    /// The time below which this share (0 to 100) of the answers came.
    #[must_use]
    pub fn percentile(&self, share: usize) -> Duration {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let index = (sorted.len().saturating_sub(1)) * share / 100;
        Duration::from_micros(sorted.get(index).copied().unwrap_or_default().into())
    }

    fn count(&mut self, seen: &Seen, start: Instant) {
        self.sent += 1;
        self.micros.push(u32::try_from(seen.took.as_micros()).unwrap_or(u32::MAX));
        if seen.is_accepted() {
            self.accepted += 1;
            return;
        }
        let told = seen.told();
        if self.told.len() < TOLD_MAX {
            let after = format!("{told}, after {:.1?}", seen.took);
            self.told.push((seen.ended().saturating_duration_since(start), after));
        }
        let place = match seen.outcome {
            Outcome::Answered(..) => &mut self.refused,
            Outcome::Lost(_) => &mut self.lost,
        };
        *place.entry(told).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.closed += other.closed;
        self.micros.extend(other.micros);
        self.told.extend(other.told);
        self.told.sort();
        self.told.truncate(TOLD_MAX);
        for (sum, part) in [(&mut self.refused, other.refused), (&mut self.lost, other.lost)] {
            for (name, count) in part {
                *sum.entry(name).or_default() += count;
            }
        }
    }
}

/// Senders under way. They end when it is dropped.
pub(super) struct Load {
    stop: Stop,
    threads: Vec<JoinHandle<Tally>>,
    sent: Arc<Mutex<u64>>,
}

impl Load {
    /// Starts `lines` connections that take turns with these `(stream, secret)` pairs, at `rate`
    /// requests a second in all.
    pub(super) fn start(
        address: SocketAddr,
        senders: &[(String, String)],
        lines: usize,
        rate: u32,
    ) -> Self {
        let stop = Stop::default();
        let sent = Arc::new(Mutex::new(0));
        let start = Instant::now();
        let each = rate / u32::try_from(lines.max(1)).unwrap_or(1);
        let sender = |number: usize| senders.get(number % senders.len().max(1));
        let threads = (0..lines)
            .filter_map(|number| sender(number).map(|sender| (number, sender)))
            .map(|(number, (stream, secret))| {
                let request = event(address, stream, secret);
                let mut pace = Pace::new(stop.clone(), each, number, lines);
                let sent = Arc::clone(&sent);
                thread::spawn(move || {
                    let (mut line, mut tally) = (Line::new(address), Tally::default());
                    while pace.turn() {
                        tally.count(&line.exchange(&request), start);
                        *sent.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    }
                    tally.closed = line.closed;
                    tally
                })
            })
            .collect();
        Self { stop, threads, sent }
    }

    /// How many requests were answered so far.
    pub(super) fn sent(&self) -> u64 {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the requests under way end, and tells what became of all.
    pub(super) fn finish(mut self) -> Tally {
        self.stop.stop();
        let mut all = Tally::default();
        for thread in self.threads.drain(..) {
            if let Ok(tally) = thread.join() {
                all.add(tally);
            }
        }
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// A genuine event as bytes, written once and sent many times.
pub(super) fn event(address: SocketAddr, stream: &str, secret: &str) -> Vec<u8> {
    let body = purchase_body().to_string();
    format!(
        "POST /mp/collect?measurement_id={stream}&api_secret={secret} HTTP/1.1\r\nhost: {address}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
