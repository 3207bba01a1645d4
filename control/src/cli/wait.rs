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

/// So many are named; of the others, how many there are.
const NAMED_MAX: usize = 5;

#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Wait until it is in force on every gateway that is alive: so many seconds, 30 if none are given. Exit
    /// status 3 if that is not enough
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = SECONDS_DEFAULT)]
    wait: Option<u32>,
    /// Wait for silent gateways too, unseen for 60 s: one that is cut off goes on with the list it has. Exit status
    /// 3 until they are back, or forgotten (`mpgate gateways forget`)
    #[arg(long, requires = "wait")]
    strict: bool,
}

/// How far the gateways are.
#[derive(Default)]
struct Receipts {
    there: usize,
    behind: Vec<String>,
    /// Those that had not come so far when they were last heard of.
    silent: Vec<String>,
    /// Principals of gateways that are not all listed.
    incomplete: Vec<String>,
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
            let missing = receipts.missing(self.strict);
            if missing.is_empty() {
                return tell(&receipts.told(word, took), session.format);
            }
            if took >= deadline {
                let told = receipts.told(word, took);
                return Err(CliError::NotYet(format!("{told}: {}", missing.join("; "))));
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
            let is_there = gateway["revision"].as_u64().is_some_and(|reached| reached >= revision);
            match (is_there, gateway["state"] == "SILENT") {
                (true, true) => (),
                (true, false) => receipts.there = receipts.there.saturating_add(1),
                (false, true) => receipts.silent.push(name),
                (false, false) => receipts.behind.push(name),
            }
        }
        let principals = answer["incomplete"].as_array().into_iter().flatten();
        receipts.incomplete =
            principals.filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        receipts
    }

    fn told(&self, word: &str, took: Duration) -> String {
        let (there, all) = (self.there, self.there.saturating_add(self.behind.len()));
        let told = format!("{word} on {there} of {all} gateways, {:.2} s", took.as_secs_f64());
        if self.silent.is_empty() {
            return told;
        }
        // These left the count, and may come back with what they had.
        format!("{told}; not counted, unseen for 60 s: {}", some(&self.silent))
    }

    /// What stands in the way of a receipt, and what to do.
    fn missing(&self, strict: bool) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.behind.is_empty() {
            let behind = some(&self.behind);
            missing.push(format!("behind are {behind}; `mpgate gateways list` shows how far"));
        }
        if !self.incomplete.is_empty() {
            missing.push(format!(
                "more gateways than are listed hold the token of {}: of those nothing is known; give some of them a \
                 principal of their own",
                some(&self.incomplete)
            ));
        }
        if strict && !self.silent.is_empty() {
            missing.push(
                "silent ones were to be waited for; `mpgate gateways forget` takes one out that has ended".to_owned(),
            );
        } else if self.there == 0 && missing.is_empty() {
            missing.push(
                "no gateway is alive; `mpgate gateways list` shows which there were".to_owned(),
            );
        }
        missing
    }
}

/// The first few names, and how many more there are.
fn some(names: &[String]) -> String {
    let first = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Beside the API's JSON there is nothing else on standard output.
fn tell(told: &str, format: Format) -> Result<(), CliError> {
    match format {
        Format::Table => output::print(&format!("{told}\n")),
        Format::Json => Ok(writeln!(io::stderr(), "{told}")?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn receipts(there: usize, silent: usize, incomplete: &[&str]) -> Receipts {
        let gateway = |at: usize, state: &str, revision: u64| json!({"name": format!("gateways/g{at}"), "state": state, "revision": revision});
        let all: Vec<_> = (0..there)
            .map(|at| gateway(at, "LIVE", 7))
            .chain((0..silent).map(|at| gateway(at, "SILENT", 6)))
            // It had come so far before it fell silent.
            .chain([gateway(999, "SILENT", 7)])
            .collect();
        Receipts::of(&json!({"gateways": all, "incomplete": incomplete}), 7)
    }

    #[test]
    fn five_are_named_and_the_others_counted() {
        for (silent, end) in [
            (0, "refused on 1 of 1 gateways, 0.00 s"),
            (5, "gateways/g3, gateways/g4"),
            (6, "gateways/g3, gateways/g4 and 1 more"),
            (255, "gateways/g3, gateways/g4 and 250 more"),
        ] {
            let told = receipts(1, silent, &[]).told("refused", Duration::ZERO);
            assert!(told.ends_with(end), "{silent}: {told}");
        }
    }

    /// Rows of: how many are there, how many silent, whether silent ones count, what is missing.
    #[test]
    fn a_receipt_needs_one_that_is_alive_and_no_other_that_is_not_known() {
        for (there, silent, strict, words) in [
            (1, 0, true, None),
            (1, 3, false, None),
            (1, 3, true, Some("gateways forget")),
            (0, 3, false, Some("no gateway is alive")),
            (0, 3, true, Some("gateways forget")),
            (0, 0, true, Some("no gateway is alive")),
        ] {
            let missing = receipts(there, silent, &[]).missing(strict);
            let row = format!("{there} {silent} {strict}: {missing:?}");
            assert_eq!(missing.len(), usize::from(words.is_some()), "{row}");
            assert!(words.is_none_or(|words| missing.concat().contains(words)), "{row}");
        }
        let missing = receipts(256, 0, &["principals/edge"]).missing(false).concat();
        assert!(missing.contains("the token of principals/edge"), "{missing}");
    }
}
