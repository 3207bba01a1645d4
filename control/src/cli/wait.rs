//! `--wait`: until every gateway that is alive has taken up a change. What a gateway asks for next is its
//! receipt for all before.

use core::time::Duration;
use std::io::{self, Write as _};
use std::time::Instant;

use clap::Args;
use serde_json::Value;

use super::CliError;
use super::output::{self, Format};
use super::session::Session;

/// Between two looks. A change is in force in some ten milliseconds.
const PAUSE: Duration = Duration::from_millis(50);

/// As long is waited where no time is given. A gateway that is alive asks every 25 s.
const SECONDS_DEFAULT: &str = "30";

#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Wait until it is in force on every gateway: so many seconds, 30 if none are given. Exit status 3 if
    /// that is not enough
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = SECONDS_DEFAULT)]
    wait: Option<u32>,
}

/// How far the gateways are.
#[derive(Default)]
struct Receipts {
    there: usize,
    behind: Vec<String>,
    silent: Vec<String>,
}

impl Wait {
    /// Waits for this revision, if it was asked for. `word` says what the change then is.
    pub(super) async fn until(
        &self,
        word: &str,
        revision: Option<u64>,
        session: &Session,
    ) -> Result<(), CliError> {
        let (Some(seconds), Some(revision)) = (self.wait, revision) else { return Ok(()) };
        let begun = Instant::now();
        let deadline = Duration::from_secs(seconds.into());
        loop {
            let answer = session.client.get("/v1/gateways", &[]).await?;
            let receipts = Receipts::of(&answer, revision);
            let took = begun.elapsed();
            if receipts.behind.is_empty() && receipts.there > 0 {
                return tell(&receipts.told(word, took), session.format);
            }
            if took >= deadline {
                return Err(CliError::NotYet(receipts.missed(word, took)));
            }
            tokio::time::sleep(PAUSE.min(deadline.saturating_sub(took))).await;
        }
    }
}

impl Receipts {
    fn of(answer: &Value, revision: u64) -> Self {
        let mut receipts = Self::default();
        for gateway in answer["gateways"].as_array().into_iter().flatten() {
            let name = gateway["name"].as_str().unwrap_or_default().to_owned();
            if gateway["state"] == "SILENT" {
                receipts.silent.push(name);
            } else if gateway["revision"].as_u64().is_some_and(|reached| reached >= revision) {
                receipts.there = receipts.there.saturating_add(1);
            } else {
                receipts.behind.push(name);
            }
        }
        receipts
    }

    fn told(&self, word: &str, took: Duration) -> String {
        let (there, all) = (self.there, self.there.saturating_add(self.behind.len()));
        let told = format!("{word} on {there} of {all} gateways, {:.2} s", took.as_secs_f64());
        if self.silent.is_empty() {
            return told;
        }
        // These left the count, and may come back with what they had.
        format!("{told}; not counted, unseen for 60 s: {}", self.silent.join(", "))
    }

    fn missed(&self, word: &str, took: Duration) -> String {
        let told = self.told(word, took);
        if self.there == 0 && self.behind.is_empty() {
            return format!(
                "{told}: no gateway is alive; `mpgate gateways list` shows which there were"
            );
        }
        format!(
            "{told}: behind are {}; `mpgate gateways list` shows how far",
            self.behind.join(", ")
        )
    }
}

/// Beside the API's JSON there is nothing else on standard output.
fn tell(told: &str, format: Format) -> Result<(), CliError> {
    match format {
        Format::Table => output::print(&format!("{told}\n")),
        Format::Json => Ok(writeln!(io::stderr(), "{told}")?),
    }
}
