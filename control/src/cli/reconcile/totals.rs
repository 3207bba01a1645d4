//! A CSV file of totals: read exactly, each fault with its line and column.

use core::fmt;
use std::collections::BTreeMap;
use std::io;

use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::{Value, json};

/// Millionths of a unit.
const MICROS: i64 = 1_000_000;

const COLUMNS: [&str; 7] = ["sender", "stream", "event", "currency", "day", "count", "value"];

/// Faults that are shown of one file.
const FAULTS_MAX: usize = 20;

/// A row of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// Where it begins, from 1.
    pub(super) number: u64,
    /// As control takes it.
    pub(super) total: Value,
}

/// Reads all rows, or says what is wrong with which.
pub(super) fn read(from: impl io::Read) -> Result<Vec<Line>, Vec<String>> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(from);
    let titles = reader.headers().map_err(|error| vec![unreadable(&error)])?.clone();
    let places = places(&titles).map_err(|fault| vec![fault])?;
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for record in reader.records() {
        match record {
            Err(error) => faults.push(unreadable(&error)),
            Ok(record) => match line(&record, places) {
                Ok(line) => lines.push(line),
                Err(fault) => faults.push(fault),
            },
        }
        if faults.len() >= FAULTS_MAX {
            faults.push("... and perhaps more".to_owned());
            break;
        }
    }
    match (faults.is_empty(), lines.is_empty()) {
        (false, _) => Err(faults),
        (true, true) => Err(vec!["there is no row below the titles".to_owned()]),
        (true, false) => Ok(lines),
    }
}

fn unreadable(error: &csv::Error) -> String {
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
            "line {line}: it has {len} columns, and the titles are {expected_len}; is a comma missing, or a \
             decimal comma?"
        ),
        csv::ErrorKind::Utf8 { .. } => format!("line {line}: it is not UTF-8"),
        _ => format!("line {line}: it cannot be read: {error}"),
    }
}

/// Where each column is.
fn places(titles: &StringRecord) -> Result<[usize; 7], String> {
    let wanted = COLUMNS.join(",");
    let known = |title: &str| COLUMNS.contains(&title);
    // Editors of tables like to begin with a mark of byte order.
    let bare = |title: &str| title.trim_start_matches('\u{feff}').to_owned();
    let titles: Vec<String> = titles.iter().map(bare).collect();
    if let Some((at, title)) = titles.iter().enumerate().find(|(_, title)| !known(title)) {
        let (column, title) = (at.saturating_add(1), title.escape_debug());
        return Err(format!("line 1, column {column}: `{title}` is no title; they are {wanted}"));
    }
    let mut places = [0; 7];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        let mut found = titles.iter().enumerate().filter(|(_, title)| *title == name);
        *place = match (found.next(), found.next()) {
            (Some((at, _)), None) => at,
            (None, _) => return Err(format!("line 1: the title {name} is missing of {wanted}")),
            (Some(_), Some(_)) => return Err(format!("line 1: the title {name} is there twice")),
        };
    }
    Ok(places)
}

fn line(record: &StringRecord, places: [usize; 7]) -> Result<Line, String> {
    let number = record.position().map_or(0, csv::Position::line);
    let [sender, stream, event, currency, day, count, value] =
        places.map(|at| record.get(at).unwrap_or_default());
    let fault = |column: &str, what: &str| format!("line {number}, column {column}: {what}");
    for (column, text) in [("sender", sender), ("stream", stream), ("event", event), ("day", day)] {
        if text.is_empty() {
            return Err(fault(column, "it is empty"));
        }
    }
    let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = count
        .parse()
        .ok()
        .filter(|_| is_number)
        .ok_or_else(|| fault("count", "a count is a whole number, without separators: 1200"))?;
    let micros =
        if value.is_empty() { 0 } else { micros(value).map_err(|it| fault("value", it))? };
    if currency.is_empty() && micros != 0 {
        return Err(fault("currency", "a value has a currency; name it"));
    }
    let mut total = json!({"sender": sender, "stream": stream, "event": event, "day": day,
        "count": count, "valueMicros": micros});
    if !currency.is_empty() {
        total["currency"] = currency.into();
    }
    Ok(Line { number, total })
}

/// Reads an amount of units exactly: `12`, `-0.5`, `1234.560000`.
pub(super) fn micros(text: &str) -> Result<i64, &'static str> {
    const RULE: &str =
        "a value is digits with at most six decimals behind a point, and no separators: 4830.50";
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return Err(RULE);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 6 {
        return Err("a value has at most six decimals: less is never rounded away");
    }
    let micros = format!("{whole}{fraction:0<6}").parse::<i64>();
    let micros = micros.map_err(|_| "the value is larger than control keeps")?;
    Ok(if negative { micros.saturating_neg() } else { micros })
}

/// Parts of at most so many rows. A sender's day is never divided: it is replaced as a whole.
pub(super) fn parts(lines: Vec<Line>, rows_max: usize) -> Vec<Vec<Line>> {
    let mut days: BTreeMap<[String; 3], Vec<Line>> = BTreeMap::new();
    for line in lines {
        let name = |member: &str| line.total[member].as_str().unwrap_or_default().to_owned();
        let day = ["day", "sender", "stream"].map(name);
        days.entry(day).or_default().push(line);
    }
    let mut parts: Vec<Vec<Line>> = Vec::new();
    for day in days.into_values() {
        match parts.last_mut() {
            Some(part) if part.len().saturating_add(day.len()) <= rows_max => part.extend(day),
            _ => parts.push(day),
        }
    }
    parts
}

/// Control's words about another total, as words about a line.
pub(super) fn in_lines(detail: &str, part: &[Line]) -> String {
    let found = detail.split_once("totals[").and_then(|(before, rest)| {
        let (place, after) = rest.split_once(']')?;
        let line = part.get(place.parse::<usize>().ok()?)?.number;
        Some(format!("{before}line {line}{after}"))
    });
    found.unwrap_or_else(|| detail.to_owned())
}

/// `-12.50`: millionths as units, cut at two decimals.
pub(super) fn units(micros: i64) -> String {
    let (sign, cents) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs() / 10_000);
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

/// How much of a whole a gap is.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn share(gap: i64, whole: i64) -> String {
    match (gap, whole) {
        (0, _) => "0%".to_owned(),
        (_, 0) => "of nothing".to_owned(),
        _ => format!("{:.2}%", gap as f64 * 100.0 / whole.unsigned_abs() as f64),
    }
}

/// A part of a whole, kept exactly: millionths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Percent(i64);

impl Percent {
    /// Reads `1%`, `0.5%` or `2`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const RULE: &str = "a gap is a percentage between 0 and 100, like 1% or 0.5%";
        match micros(text.strip_suffix('%').unwrap_or(text)) {
            Ok(percent) if (0..=100 * MICROS).contains(&percent) => Ok(Self(percent)),
            _ => Err(RULE.to_owned()),
        }
    }

    /// Whether a gap is a larger part of the whole than this.
    pub(super) fn is_exceeded_by(self, gap: i64, whole: i64) -> bool {
        let gap = i128::from(gap).abs() * 100 * i128::from(MICROS);
        gap > i128::from(self.0) * i128::from(whole).abs()
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / MICROS, self.0 % MICROS);
        write!(out, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests;
