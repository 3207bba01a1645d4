//! `mpgate usage`: what the gates counted of each sender's keys.

use core::time::Duration;

use clap::{Args, ValueEnum};
use mpgate_contract::{ConsumerId, KeyId, SenderName};
use serde_json::Value;

use super::CliError;
use super::output::{self, Format};
use super::session::Session;
use super::settings::Options;
use super::target;
use crate::time;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate usage --consumer acme
  mpgate usage --consumer acme --sender billing --since 7d --by day
  mpgate usage --consumer acme --by key,stream --output json

Gateways report every 10 s. EVENTS and VALUE are of accepted requests whose body the gate read: where a key is
granted events only, or a stream has protocol rules.")]
pub(super) struct UsageArgs {
    /// Whose keys
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
    /// Only this sender's keys
    #[arg(long, value_parser = SenderName::parse)]
    sender: Option<SenderName>,
    /// Only this key
    #[arg(long, value_name = "ID", value_parser = KeyId::parse)]
    key: Option<KeyId>,
    /// From when on: 24h, 7d. Whole hours
    #[arg(long, value_parser = target::duration, value_name = "DURATION", default_value = "24h")]
    since: Duration,
    /// What has rows of its own, beside senders
    #[arg(long, value_delimiter = ',', value_name = "WHAT", default_value = "key")]
    by: Vec<Group>,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    Sender,
    Key,
    Stream,
    Hour,
    Day,
}

impl Group {
    const fn asked(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Key => "apiKey",
            Self::Stream => "stream",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

pub(super) async fn run(arguments: UsageArgs) -> Result<(), CliError> {
    let session = Session::open(&arguments.options)?;
    let consumer = session.consumer(arguments.consumer.as_ref())?;
    let since = i64::try_from(arguments.since.as_secs()).unwrap_or(i64::MAX);
    let groups: Vec<_> = arguments.by.iter().map(|group| group.asked()).collect();
    let mut query = vec![
        ("startTime", time::to_text(time::now().saturating_sub(since).max(0))),
        ("groupBy", groups.join(",")),
    ];
    query.extend(arguments.sender.map(|sender| ("sender", sender.as_str().to_owned())));
    query.extend(arguments.key.map(|key| ("apiKey", key.as_str().to_owned())));
    let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer =
        session.client.get(&format!("/v1/measurementConsumers/{consumer}:usage"), &query).await?;
    if session.format == Format::Json {
        return output::json(&answer);
    }
    let has = |group| arguments.by.contains(&group);
    let titles = [
        (has(Group::Hour) || has(Group::Day), "TIME"),
        (true, "SENDER"),
        (has(Group::Key), "KEY"),
        (has(Group::Stream), "STREAM"),
        (true, "ACCEPTED"),
        (true, "REFUSED"),
        (true, "DRY RUN"),
        (true, "EVENTS"),
        (true, "VALUE"),
        (true, "DELAY"),
        (true, "REASONS"),
    ];
    let line = |cells: [String; 11]| -> Vec<String> {
        let shown = cells.into_iter().zip(titles).filter(|(_, (is_shown, _))| *is_shown);
        shown.map(|(cell, _)| cell).collect()
    };
    let mut table = vec![line(titles.map(|(_, title)| title.to_owned()))];
    let rows = answer["usage"].as_array().map(Vec::as_slice).unwrap_or_default();
    table.extend(rows.iter().map(|row| line(cells(row))));
    output::table(&table)
}

/// A row of the table.
fn cells(row: &Value) -> [String; 11] {
    let text = |name: &str| row[name].as_str().filter(|text| !text.is_empty()).unwrap_or("-");
    let number = |name: &str| row[name].as_i64().unwrap_or(0).to_string();
    let delay = row["meanDelaySeconds"].as_i64().map_or("-".to_owned(), |it| format!("{it} s"));
    [
        text("startTime").to_owned(),
        text("sender").to_owned(),
        text("apiKey").rsplit('/').next().unwrap_or("-").to_owned(),
        text("stream").to_owned(),
        number("accepted"),
        number("refused"),
        number("dryRun"),
        number("events"),
        or_none(&values(&row["valueMicros"])),
        delay,
        or_none(&reasons(row)),
    ]
}

fn or_none(items: &[String]) -> String {
    if items.is_empty() { "-".to_owned() } else { items.join(", ") }
}

/// `purchase 12.50 EUR`: an event's value, never added to another event's.
fn values(of: &Value) -> Vec<String> {
    let events = of.as_object().into_iter().flatten();
    events
        .flat_map(|(event, currencies)| {
            let currencies = currencies.as_object().into_iter().flatten();
            currencies.map(move |(currency, micros)| {
                let micros = micros.as_i64().unwrap_or(0);
                let (sign, cents) =
                    (if micros < 0 { "-" } else { "" }, micros.unsigned_abs() / 10_000);
                format!("{event} {sign}{}.{:02} {currency}", cents / 100, cents % 100)
            })
        })
        .collect()
}

/// `revoked 3`: why requests were refused, or would have been.
fn reasons(row: &Value) -> Vec<String> {
    let lists = ["refusedByReason", "dryRunByReason"];
    let all = lists.into_iter().flat_map(|list| row[list].as_object().into_iter().flatten());
    all.map(|(reason, count)| format!("{reason} {count}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_says_what_was_counted() {
        let row = json!({"sender": "billing", "apiKey": "measurementConsumers/acme/apiKeys/000000000001",
            "accepted": 4, "refused": 2, "refusedByReason": {"revoked": 2}, "dryRun": 1,
            "dryRunByReason": {"exposed": 1}, "events": 5, "meanDelaySeconds": 3,
            "valueMicros": {"purchase": {"EUR": 12_505_000, "USD": 1_000_000}, "refund": {"EUR": -10_000}}});
        let expected = [
            "-",
            "billing",
            "000000000001",
            "-",
            "4",
            "2",
            "1",
            "5",
            "purchase 12.50 EUR, purchase 1.00 USD, refund -0.01 EUR",
            "3 s",
            "revoked 2, exposed 1",
        ];
        assert_eq!(cells(&row), expected);
        let empty = ["-", "-", "-", "-", "0", "0", "0", "0", "-", "-", "-"];
        assert_eq!(cells(&json!({})), empty);
    }
}
