//! The tour of the demo: real requests, what was expected of each, and what came.

use std::time::{Duration, Instant};

use anyhow::Result;
use mpgate_testbed::poll;
use mpgate_testbed::stack::{CLUB, SHOP, Stack, UPSTREAM_SECRET, purchase, purchase_body};
use mpgate_testbed::{Request, Response};
use serde_json::json;

use crate::terminal::Terminal;

/// A secret that was never issued, in the shape of GA4's own.
const STRANGER: &str = "q7Yw2LrTzKc0Vx9NfPd4Hg";

/// What DESIGN promises for a revocation.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);

/// For what takes a tick, or a poll.
const SOON: Duration = Duration::from_secs(5);

/// Walks the tour; whether each step was as told.
pub(crate) fn walk(stack: &Stack, terminal: Terminal) -> Result<bool> {
    let mut tour = Tour { stack, terminal, number: 0, as_told: true };
    tour.genuine()?;
    tour.replaced()?;
    tour.unknown_secret()?;
    tour.foreign_stream()?;
    tour.dry_run()?;
    tour.revocation()?;
    tour.counters()?;
    Ok(tour.as_told)
}

struct Tour<'a> {
    stack: &'a Stack,
    terminal: Terminal,
    number: u32,
    as_told: bool,
}

impl Tour<'_> {
    fn genuine(&mut self) -> Result<()> {
        self.title("billing sends a genuine purchase");
        println!("    {}", self.terminal.faint(&purchase_body().to_string()));
        self.stack.collector.forget()?;
        let answer = self.send(SHOP, &self.stack.billing.secret)?;
        self.check("the answer is GA4's own, 204", answer.status == 204);
        let events = self.stack.collector.wait_for_events(1)?;
        let event = &events[0];
        println!("    collector: {} {}", event.method(), event.path());
        let secret = &self.stack.billing.secret;
        self.check("the collector has it, without the sender's secret", !event.contains(secret));
        let sender = event.header("x-mpgate-sender");
        self.check("and knows who sent it", sender == Some("billing"));
        Ok(())
    }

    fn replaced(&mut self) -> Result<()> {
        self.title("crm sends one to a stream whose upstream has a secret of its own");
        self.stack.collector.forget()?;
        let answer = self.send(CLUB, &self.stack.crm.secret)?;
        self.check("204", answer.status == 204);
        let events = self.stack.collector.wait_for_events(1)?;
        let path = events[0].path();
        println!("    collector: POST {}", path.replace(UPSTREAM_SECRET, &short(UPSTREAM_SECRET)));
        let replaced =
            path.contains(UPSTREAM_SECRET) && !events[0].contains(&self.stack.crm.secret);
        self.check("the upstream's secret has taken the place of the sender's", replaced);
        Ok(())
    }

    fn unknown_secret(&mut self) -> Result<()> {
        self.title("somebody sends a secret that was never issued");
        let answer = self.send(SHOP, STRANGER)?;
        self.check("refused, 401", answer.status == 401);
        self.check("because nobody has it", answer.reason() == "unknown_secret");
        Ok(())
    }

    fn foreign_stream(&mut self) -> Result<()> {
        self.title("billing sends to a stream of crm's");
        let answer = self.send(CLUB, &self.stack.billing.secret)?;
        self.check("refused, 403", answer.status == 403);
        self.check("because it was not granted", answer.reason() == "stream_not_granted");
        Ok(())
    }

    fn dry_run(&mut self) -> Result<()> {
        self.title("the same stranger, while the stream is in dry_run");
        self.stack.set_mode(SHOP, Some("dry_run"))?;
        self.stack.collector.forget()?;
        let labels = [("stream", SHOP), ("outcome", "dry_run"), ("reason", "unknown_secret")];
        let before = self.stack.envoy.metrics()?.sum("mpgate_requests_total", &labels);
        // A worker takes a new mode with its next tick.
        let request = purchase(SHOP, STRANGER);
        let answer = poll::until_ok("the dry run", SOON, || {
            let answer = self.stack.envoy.send(&request)?;
            Ok((answer.status == 204).then_some(answer))
        })?;
        let after = self.stack.envoy.metrics()?.sum("mpgate_requests_total", &labels);
        self.show(SHOP, STRANGER, &answer);
        let forwarded = !self.stack.collector.wait_for_events(1)?.is_empty();
        self.check("forwarded all the same", forwarded);
        self.check("and counted as one that would have been refused", after > before);
        self.stack.set_mode(SHOP, None)?;
        Ok(())
    }

    fn revocation(&mut self) -> Result<()> {
        self.title("crm's key is deleted while crm goes on sending");
        let key = self.stack.crm.clone();
        println!("    DELETE /v1/{}", key.name);
        let request = purchase(CLUB, &key.secret);
        let deleted = Instant::now();
        self.stack.control.delete_key(&key.name)?;
        let mut passed = 0_u32;
        let answer = poll::until_ok("the refusal", SOON, || {
            let answer = self.stack.envoy.send(&request)?;
            passed += u32::from(answer.status == 204);
            Ok((answer.status != 204).then_some(answer))
        })?;
        let took = deleted.elapsed();
        self.show(CLUB, &key.secret, &answer);
        self.check("refused, 403", answer.status == 403 && answer.reason() == "revoked");
        let told = format!("after {} ms, {passed} events in between", took.as_millis());
        self.check(&told, took <= REVOKED_WITHIN);
        Ok(())
    }

    fn counters(&mut self) -> Result<()> {
        self.title("what Envoy has counted, by sender");
        let metrics = self.stack.envoy.metrics()?;
        let mut rows: Vec<[String; 5]> = metrics
            .named("mpgate_requests_total")
            .map(|sample| {
                let label = |name| sample.labels.get(name).cloned().unwrap_or_default();
                let count = format!("{}", sample.value);
                [label("sender"), label("stream"), label("outcome"), label("reason"), count]
            })
            .collect();
        rows.sort();
        let heads = ["sender", "stream", "outcome", "reason", "requests"].map(str::to_owned);
        println!("{}", self.terminal.faint(&aligned(&heads, &rows)));
        for row in &rows {
            println!("{}", aligned(row, &rows));
        }
        let counted = |labels: &[(&str, &str)]| metrics.sum("mpgate_requests_total", labels) >= 1.0;
        let genuine = counted(&[("sender", "billing"), ("outcome", "accepted")])
            && counted(&[("sender", "crm"), ("outcome", "accepted")]);
        self.check("both senders are counted by name", genuine);
        let refused = counted(&[("outcome", "refused"), ("reason", "revoked")]);
        self.check("and what was refused, with its reason", refused);
        Ok(())
    }

    fn title(&mut self, title: &str) {
        self.number += 1;
        println!("\n{}", self.terminal.strong(&format!("{}. {title}", self.number)));
    }

    fn send(&self, stream: &str, secret: &str) -> Result<Response> {
        let request: Request = purchase(stream, secret);
        let answer = self.stack.envoy.send(&request)?;
        self.show(stream, secret, &answer);
        Ok(answer)
    }

    /// A request and its answer, the secret shortened.
    fn show(&self, stream: &str, secret: &str, answer: &Response) {
        let shown = short(secret);
        println!("    POST /mp/collect?measurement_id={stream}&api_secret={shown}");
        let detail = answer.json().unwrap_or_else(|_| json!({}));
        let mut line = format!("{}", answer.status);
        for member in ["reason", "detail"] {
            if let Some(text) = detail[member].as_str() {
                line = format!("{line}  {text}");
            }
        }
        println!("    {} {line}", self.terminal.faint("→"));
    }

    fn check(&mut self, told: &str, holds: bool) {
        self.as_told &= holds;
        let mark = if holds { self.terminal.good("✓") } else { self.terminal.bad("✗") };
        println!("  {mark} {told}");
    }
}

/// A row of the table, each column as wide as its longest cell.
fn aligned(row: &[String; 5], rows: &[[String; 5]]) -> String {
    let mut line = "   ".to_owned();
    for (column, cell) in row.iter().enumerate() {
        let longest = rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        // No column's head is longer than this.
        let width = longest.max("requests".len());
        line = format!("{line} {cell:width$} ");
    }
    line.trim_end().to_owned()
}

/// Enough to recognise it, too little to use it.
fn short(secret: &str) -> String {
    let shown: String = secret.chars().take(8).collect();
    format!("{shown}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_secret_is_of_no_use() {
        assert_eq!(short("mpg_0123456789ab_secret"), "mpg_0123…");
    }
}
