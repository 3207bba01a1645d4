//! `mpgate reconcile`: a backend's own totals, held by control against what the gates counted.

mod totals;

use std::fs::File;
use std::io;
use std::path::PathBuf;

use clap::Args;
use mpgate_contract::ConsumerId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use self::totals::{Line, Percent};
use super::CliError;
use super::output::{self, Format};
use super::session::Session;
use super::settings::Options;
use crate::service::TOTALS_MAX;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate reconcile --consumer acme --from orders.csv
  mpgate reconcile --consumer acme --from orders.csv --max-gap 1% || echo 'events are missing'
  ./yesterdays-orders | mpgate reconcile --consumer acme --from - --output json

The file has a row of titles, in any order:
  sender,stream,event,currency,day,count,value
  billing,G-ABC123,purchase,EUR,2026-11-20,120,4830.50
  billing,G-ABC123,login,,2026-11-20,87,

day is a day of UTC that is over: the one on which the events came to a gate, whatever their timestamp_micros says. Post
totals by the day on which you sent, not by that of the order: what was sent after midnight UTC is of the new day. value is in units of the currency, with at most six decimals; without a
currency it is empty. A sender's day is replaced as a whole when it is posted again, so a job may run twice.

GAP is the backend's number less the gates'. The gates count events only where they read the body (a key that is granted
events, or a stream with protocol rules): what they could not count is UNMEASURED, and no gap. So is an event of
your own naming that they may have counted as other or under a pattern; those that GA4 recommends (purchase, login) have
their own names. PARTLY MEASURED is a gap of which a part may lie in what was not read or not named.

A principal with the role reporter may do this and nothing else.")]
pub(super) struct ReconcileArgs {
    /// Whose totals
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
    /// A CSV file of totals; - for standard input
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Exit with status 5 where a gap in events or in value is larger than this: 1%, 0.5%, 0
    #[arg(long, value_name = "PERCENT", value_parser = Percent::parse)]
    max_gap: Option<Percent>,
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(arguments: ReconcileArgs) -> Result<(), CliError> {
    let session = Session::open(&arguments.options)?;
    let consumer = session.consumer(arguments.consumer.as_ref())?;
    let name = arguments.from.display().to_string();
    let wrong = |faults: &[String]| CliError::Failed(format!("{name}: {}", faults.join("\n  ")));
    let lines = if arguments.from.as_os_str() == "-" {
        totals::read(io::stdin().lock())
    } else {
        let file = File::open(&arguments.from)
            .map_err(|error| CliError::Failed(format!("{name} cannot be read: {error}")))?;
        totals::read(file)
    };
    let lines = lines.map_err(|faults| wrong(&faults))?;
    let path = format!("/v1/measurementConsumers/{consumer}:reconcile");
    let mut all = Vec::new();
    for part in totals::parts(lines, TOTALS_MAX) {
        let rows: Vec<&Value> = part.iter().map(|line| &line.total).collect();
        let body = json!({"totals": rows});
        let (status, mut answer) =
            session.client.exchange(Method::POST, &path, &[], Some(&body)).await?;
        if !status.is_success() {
            let faults = faults(status, &answer, &part);
            return Err(if faults.is_empty() {
                session.client.refused(status, &answer)
            } else {
                wrong(&faults)
            });
        }
        if let Value::Array(items) = answer["reconciliations"].take() {
            all.extend(items);
        }
    }
    print(&all, session.format)?;
    judge(&all, arguments.max_gap)
}

/// Control's faults, in the file's own terms.
fn faults(status: StatusCode, problem: &Value, part: &[Line]) -> Vec<String> {
    let faults = problem["faults"].as_array().filter(|_| status == StatusCode::BAD_REQUEST);
    let text = |fault: &Value| {
        let (field, detail) = (fault["field"].as_str()?, fault["detail"].as_str()?);
        let (place, member) = field.strip_prefix("totals[")?.split_once("].")?;
        let line = part.get(place.parse::<usize>().ok()?)?.number;
        let column = if member == "valueMicros" { "value" } else { member };
        let detail = totals::in_lines(detail, part);
        Some(format!("line {line}, column {column}: {detail}"))
    };
    faults.into_iter().flatten().filter_map(text).collect()
}

const TITLES: [&str; 9] =
    ["DAY", "SENDER", "STREAM", "EVENT", "STATE", "COUNT", "GATES", "GAP", "VALUE GAP"];

fn print(all: &[Value], format: Format) -> Result<(), CliError> {
    if format == Format::Json {
        return output::json(&json!({"reconciliations": all}));
    }
    let titles = TITLES.map(str::to_owned).to_vec();
    let rows = all.iter().map(|one| cells(one).to_vec());
    output::table(&std::iter::once(titles).chain(rows).collect::<Vec<_>>())
}

fn cells(one: &Value) -> [String; 9] {
    let text = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
    let number = |name: &str| one[name].as_i64().map_or("-".to_owned(), |it| it.to_string());
    let state = match one["unmeasuredReason"].as_str() {
        Some("BODIES_NOT_READ") => "UNMEASURED, bodies not read".to_owned(),
        Some(_) => "UNMEASURED, event not named".to_owned(),
        None => text("state").replace('_', " "),
    };
    let gap = match (one["gapEvents"].as_i64(), one["count"].as_i64()) {
        (Some(gap), Some(count)) => format!("{gap} ({})", totals::share(gap, count)),
        _ => "-".to_owned(),
    };
    let values: Vec<_> = one["values"].as_array().into_iter().flatten().map(value).collect();
    let values = if values.is_empty() { "-".to_owned() } else { values.join(", ") };
    [
        text("day"),
        text("sender"),
        text("stream"),
        text("event"),
        state,
        number("count"),
        number("gateCount"),
        gap,
        values,
    ]
}

/// `12.50 EUR (0.3%)`.
fn value(value: &Value) -> String {
    let currency = value["currency"].as_str().unwrap_or("-");
    match (value["gapValueMicros"].as_i64(), value["valueMicros"].as_i64()) {
        (Some(gap), Some(posted)) => {
            format!("{} {currency} ({})", totals::units(gap), totals::share(gap, posted))
        }
        _ => format!("? {currency}"),
    }
}

/// Whether the gaps are as small as they must be.
fn judge(all: &[Value], max: Option<Percent>) -> Result<(), CliError> {
    let Some(max) = max else { return Ok(()) };
    let over = |gap: &Value, of: &Value| match (gap.as_i64(), of.as_i64()) {
        (Some(gap), Some(of)) => max.is_exceeded_by(gap, of),
        _ => false,
    };
    let is_over = |one: &&Value| {
        over(&one["gapEvents"], &one["count"])
            || one["values"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|value| over(&value["gapValueMicros"], &value["valueMicros"]))
    };
    match all.iter().filter(is_over).count() {
        0 => Ok(()),
        count => Err(CliError::Gap(format!(
            "{count} of {} totals are further from what the gates counted than --max-gap {max} allows",
            all.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(count: i64, gate: Option<i64>, values: &Value) -> Value {
        json!({"day": "2026-11-20", "sender": "billing", "stream": "G-A", "event": "purchase",
            "state": "MEASURED", "count": count, "gateCount": gate, "gapEvents": gate.map(|it| count - it),
            "values": values})
    }

    #[test]
    fn a_row_says_what_is_missing() {
        let values = json!([
            {"currency": "EUR", "valueMicros": 200_000_000, "gateValueMicros": 1, "gapValueMicros": 1_500_000},
            {"currency": "SEK", "valueMicros": 1}]);
        let cells = cells(&one(200, Some(199), &values));
        let shown: Vec<_> = cells.iter().skip(4).map(String::as_str).collect();
        assert_eq!(shown, ["MEASURED", "200", "199", "1 (0.50%)", "1.50 EUR (0.75%), ? SEK"]);
        let mut unmeasured = one(200, None, &json!([]));
        unmeasured["unmeasuredReason"] = "BODIES_NOT_READ".into();
        let cells = super::cells(&unmeasured);
        let shown: Vec<_> = cells.iter().skip(4).map(String::as_str).collect();
        assert_eq!(shown, ["UNMEASURED, bodies not read", "200", "-", "-", "-"]);
    }

    /// Rows: count, the gates' count, value, its gap, the limit, whether that is too much.
    #[test]
    fn the_largest_gap_decides() {
        for (count, gate, value, gap, max, too_much) in [
            (100, Some(99), 100, 0, "1%", false),
            (100, Some(98), 100, 0, "1%", true),
            (100, Some(102), 100, 0, "1%", true),
            (100, Some(100), 100, 2, "1%", true),
            (100, Some(100), 100, -2, "1%", true),
            (100, None, 100, 0, "0", false),
            (0, Some(0), 0, 0, "0", false),
            (0, Some(1), 0, 0, "99%", true),
        ] {
            let values = json!([{"currency": "EUR", "valueMicros": value, "gapValueMicros": gap}]);
            let all = [one(count, gate, &values)];
            let judged = judge(&all, Percent::parse(max).ok());
            assert_eq!(judged.is_err(), too_much, "{count} {gate:?} {value} {gap} {max}");
            assert!(judge(&all, None).is_ok());
        }
    }
}
