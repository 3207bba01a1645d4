//! What `mpgate top` shows: sums that were looked at twice make rates. Values in, lines out.

use core::iter;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::cli::end::length;
use crate::cli::output;
use crate::model::Seconds;
use crate::time;

/// Rates are the mean of so long: three reports of each gateway.
const WINDOW: Duration = Duration::from_secs(30);

const TITLES: [&str; 8] = [
    "SENDER",
    "ACCEPTED/S",
    "REFUSED/S",
    "REFUSED",
    "TOP REASON",
    "LAST SEEN",
    "DELAY",
    "KEY ENDS IN",
];

/// What was counted of a sender since the start.
#[derive(Clone, Debug, Default)]
struct Sums {
    accepted: i64,
    refused: i64,
    refused_by_reason: BTreeMap<String, i64>,
    dry_run_by_reason: BTreeMap<String, i64>,
    mean_delay: Option<i64>,
}

/// What its keys say.
#[derive(Clone, Copy, Debug, Default)]
struct Keys {
    last_seen: Option<Seconds>,
    next_end: Option<Seconds>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gateways {
    live: usize,
    behind: usize,
    silent: usize,
}

/// What control said at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// From the start.
    at: Duration,
    now: Seconds,
    sums: BTreeMap<String, Sums>,
    keys: BTreeMap<String, Keys>,
    gateways: Gateways,
}

impl Look {
    pub(super) fn of(
        at: Duration,
        now: Seconds,
        usage: &Value,
        keys: &[Value],
        gateways: &Value,
    ) -> Self {
        let mut look = Self { at, now, ..Self::default() };
        for row in usage["usage"].as_array().into_iter().flatten() {
            look.sums.insert(text(row, "sender"), Sums::of(row));
        }
        for key in keys.iter().filter_map(|list| list["apiKeys"].as_array()).flatten() {
            look.keys.entry(text(key, "sender")).or_default().add(key, now);
        }
        for gateway in gateways["gateways"].as_array().into_iter().flatten() {
            let gateways = &mut look.gateways;
            let count = if gateway["state"] == "SILENT" {
                &mut gateways.silent
            } else {
                if gateway["lag"].as_i64().is_some_and(|lag| lag > 0) {
                    gateways.behind = gateways.behind.saturating_add(1);
                }
                &mut gateways.live
            };
            *count = count.saturating_add(1);
        }
        look
    }
}

impl Sums {
    fn of(row: &Value) -> Self {
        let number = |name: &str| row[name].as_i64().unwrap_or(0);
        let by_reason = |name: &str| {
            let counts = row[name].as_object().into_iter().flatten();
            counts.map(|(reason, count)| (output::printable(reason), count.as_i64().unwrap_or(0)))
        };
        Self {
            accepted: number("accepted"),
            refused: number("refused"),
            refused_by_reason: by_reason("refusedByReason").collect(),
            dry_run_by_reason: by_reason("dryRunByReason").collect(),
            mean_delay: row["meanDelaySeconds"].as_i64(),
        }
    }
}

impl Keys {
    fn add(&mut self, key: &Value, now: Seconds) {
        let time = |name: &str| key[name].as_str().and_then(|text| time::parse(text).ok());
        let seen = [self.last_seen, time("lastUseTime"), time("lastRefuseTime")];
        self.last_seen = seen.into_iter().flatten().max();
        let end = time("expireTime").filter(|end| key["state"] == "ACTIVE" && *end > now);
        self.next_end = [self.next_end, end].into_iter().flatten().min();
    }
}

fn text(item: &Value, name: &str) -> String {
    output::printable(item[name].as_str().unwrap_or("-"))
}

/// A line of the screen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

/// What was looked at, and what comes of it.
pub(super) struct Board {
    consumer: String,
    start: Seconds,
    /// What the last is compared with.
    base: Look,
    later: VecDeque<Look>,
    trouble: Option<String>,
}

impl Board {
    /// At the start nothing was counted.
    pub(super) fn new(consumer: &str, start: Seconds) -> Self {
        let (base, later) = (Look::default(), VecDeque::new());
        Self { consumer: consumer.to_owned(), start, base, later, trouble: None }
    }

    pub(super) fn add(&mut self, look: Look) {
        let is_old = |then: &mut Look| look.at.saturating_sub(then.at) >= WINDOW;
        while let Some(newer) = self.later.pop_front_if(is_old) {
            self.base = newer;
        }
        self.later.push_back(look);
        self.trouble = None;
    }

    /// What is shown is from before: control did not answer.
    pub(super) fn is_stale(&mut self, trouble: &str) {
        self.trouble = Some(output::printable(trouble));
    }

    /// All of it, for a file.
    pub(super) fn text(&self) -> String {
        let lines = self.lines(usize::MAX, usize::MAX);
        lines.into_iter().flat_map(|line| [line.text, "\n".to_owned()]).collect()
    }

    /// What a terminal of this size shows.
    pub(super) fn lines(&self, width: usize, height: usize) -> Vec<Line> {
        let (first, last) = self.ends();
        let span = last.at.saturating_sub(first.at);
        let mut senders: Vec<_> =
            last.sums.keys().chain(last.keys.keys()).map(|name| self.sender(name)).collect();
        // Who sends most comes first; a name that is in both lists comes once.
        senders.sort_by(|a, b| b.requests().cmp(&a.requests()).then_with(|| a.name.cmp(b.name)));
        senders.dedup_by(|a, b| a.name == b.name);

        let rows = senders.iter().map(|sender| sender.cells(span, last.now).to_vec());
        let titles = TITLES.map(str::to_owned).to_vec();
        let table =
            output::align(&iter::once(titles).chain(rows).collect::<Vec<_>>(), TITLES.len());
        let styles = senders.iter().map(Sender::style);
        let styles = iter::once(Style::new().bold()).chain(styles);
        let head = self.head(senders.len()).into_iter();
        let head = head.map(|(text, style)| Line { text, style });
        let table = table.lines().zip(styles);
        let table = table.map(|(text, style)| Line { text: text.to_owned(), style });
        let mut lines: Vec<_> = head.chain(table).collect();
        if lines.len() > height {
            lines.truncate(height.saturating_sub(1));
            let shown = lines.len().saturating_sub(self.head(0).len()).saturating_sub(1);
            let more = senders.len().saturating_sub(shown);
            lines.push(Line { text: format!("and {more} more"), style: Style::new() });
        }
        for line in &mut lines {
            line.text = line.text.chars().take(width).collect();
        }
        lines
    }

    fn ends(&self) -> (&Look, &Look) {
        (&self.base, self.later.back().unwrap_or(&self.base))
    }

    /// What stands above the table.
    fn head(&self, senders: usize) -> Vec<(String, Style)> {
        let (first, last) = self.ends();
        let Gateways { live, behind, silent } = last.gateways;
        let span = last.at.saturating_sub(first.at).as_secs();
        let (now, start) = (time::to_text(last.now), time::to_text(self.start));
        let mut head = vec![
            (
                format!(
                    "{}: senders {senders}; gateways live {live} ({behind} behind), silent {silent}; {now}",
                    self.consumer
                ),
                Style::new(),
            ),
            (
                format!(
                    "rates: mean of the last {}; delay: since {start}; gateways report every 10 s",
                    length(Seconds::try_from(span).unwrap_or(Seconds::MAX))
                ),
                Style::new(),
            ),
        ];
        if let Some(trouble) = &self.trouble {
            let style = Style::new().fg_color(Some(AnsiColor::Red.into()));
            head.push((format!("from before, asked again soon: {trouble}"), style));
        }
        head.push((String::new(), Style::new()));
        head
    }

    fn sender<'a>(&'a self, name: &'a str) -> Sender<'a> {
        let (first, last) = self.ends();
        let (before, after) = (first.sums.get(name), last.sums.get(name));
        let gain = |of: fn(&Sums) -> i64| {
            let (before, after) = (before.map_or(0, of), after.map_or(0, of));
            // Less than before is another database, or hours that were forgotten.
            after.saturating_sub(before).max(0)
        };
        let top = |of: fn(&Sums) -> &BTreeMap<String, i64>| {
            let gains = after.map(of).into_iter().flatten().map(|(reason, count)| {
                let before = before.and_then(|sums| of(sums).get(reason)).copied().unwrap_or(0);
                (count.saturating_sub(before), reason)
            });
            gains.filter(|(gain, _)| *gain > 0).max_by_key(|(gain, _)| *gain).map(|(_, it)| it)
        };
        let refused = top(|sums| &sums.refused_by_reason).cloned();
        let dry_run = || top(|sums| &sums.dry_run_by_reason).map(|it| format!("{it} (dry run)"));
        Sender {
            name,
            accepted: gain(|sums| sums.accepted),
            refused: gain(|sums| sums.refused),
            reason: refused.or_else(dry_run),
            mean_delay: after.and_then(|sums| sums.mean_delay),
            keys: last.keys.get(name).copied().unwrap_or_default(),
        }
    }
}

/// One sender, between two looks.
struct Sender<'a> {
    name: &'a str,
    accepted: i64,
    refused: i64,
    reason: Option<String>,
    mean_delay: Option<i64>,
    keys: Keys,
}

impl Sender<'_> {
    fn requests(&self) -> i64 {
        self.accepted.saturating_add(self.refused)
    }

    fn style(&self) -> Style {
        let color = match (self.accepted, self.refused) {
            (_, 0) => return Style::new(),
            (0, _) => AnsiColor::Red,
            _ => AnsiColor::Yellow,
        };
        Style::new().fg_color(Some(color.into()))
    }

    fn cells(&self, span: Duration, now: Seconds) -> [String; 8] {
        let none = || "-".to_owned();
        let seen = self.keys.last_seen.map(|time| length(now.saturating_sub(time).max(0)) + " ago");
        let ends = self.keys.next_end.map(|time| length(time.saturating_sub(now)));
        [
            self.name.to_owned(),
            rate(self.accepted, span),
            rate(self.refused, span),
            share(self.refused, self.requests()),
            self.reason.clone().unwrap_or_else(none),
            seen.unwrap_or_else(none),
            self.mean_delay.map_or_else(none, |delay| format!("{delay} s")),
            ends.unwrap_or_else(none),
        ]
    }
}

/// So many in a second, with two decimals.
fn rate(count: i64, span: Duration) -> String {
    let millis = i128::try_from(span.as_millis()).unwrap_or(i128::MAX);
    let hundredths = i128::from(count).saturating_mul(100_000).saturating_add(millis / 2);
    hundredths
        .checked_div(millis)
        .map_or("-".to_owned(), |rate| format!("{}.{:02}", rate / 100, rate % 100))
}

/// A part of the whole, with one decimal.
fn share(part: i64, whole: i64) -> String {
    let thousandths = i128::from(part).saturating_mul(1_000).saturating_add(i128::from(whole) / 2);
    thousandths
        .checked_div(i128::from(whole))
        .map_or("-".to_owned(), |share| format!("{}.{}%", share / 10, share % 10))
}

#[cfg(test)]
mod tests;
