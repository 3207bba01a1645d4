//! `POST .../{mc}:reconcile`: a backend's own totals; `GET .../{mc}/reconciliations`: what is kept of them.

use axum::extract::{Path, State};
use mpgate_contract::{EventPattern, OTHER, SenderName, StreamId, is_currency, limits};
use serde_json::{Map, Value, json};

use super::input::{Members, Parameters};
use super::problem::Problem;
use super::{Answer, App, consumer_id, json as json_of, list as list_of};
use crate::model::{SenderDay, TotalFault};
use crate::service::{Caller, Permission, PostedTotal, TOTALS_MAX};
use crate::time;

/// A request of as many totals as there may be has 700 KiB.
pub(super) const RECONCILE_BYTES_MAX: usize = 1024 * 1024;

/// The largest value of a day, either way, in millionths: what the gates' sums are held within too.
const MICROS_MAX: u64 = 4_000_000_000_000_000_000;

const MEMBERS: [&str; 7] = ["sender", "stream", "event", "currency", "day", "count", "valueMicros"];

const FILTERED: &[&str] =
    &["sender", "stream", "event", "day", "state", "principal", "reconcileTime"];

pub(super) async fn post(
    State(app): State<App>,
    caller: Caller,
    Path(mc): Path<String>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    let consumer = consumer_id(mc.strip_suffix(":reconcile").unwrap_or(&mc))?;
    caller.may_to(Permission::Reconcile, &consumer)?;
    parameters.only(&[])?;
    members.only(&["totals"])?;
    let totals = members.required("totals", |value| {
        let rows = value.as_array().ok_or("This member is a list of objects.")?;
        if rows.is_empty() || rows.len() > TOTALS_MAX {
            return Err(format!("Between 1 and {TOTALS_MAX} items; here are {}.", rows.len()));
        }
        Ok(rows.clone())
    })?;
    let mut faults = Vec::new();
    let mut posted = Vec::with_capacity(totals.len());
    for (place, row) in totals.iter().enumerate() {
        let mut row = Row { place, members: row.as_object(), faults: &mut faults };
        posted.extend(row.read());
    }
    if !faults.is_empty() {
        return Err(Problem::totals(faults));
    }
    let answer = app.service.reconcile(&caller, &consumer, &posted).await?;
    json_of(&json!({"reconciliations": answer}))
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(mc): Path<String>,
    parameters: Parameters,
) -> Answer {
    let listing = parameters.listing(FILTERED, &[])?;
    let listed = app.service.reconciliations(&caller, &consumer_id(&mc)?, listing).await?;
    list_of("reconciliations", listed)
}

/// One total under examination: each member that is wrong is said, not the first only.
struct Row<'a> {
    place: usize,
    members: Option<&'a Map<String, Value>>,
    faults: &'a mut Vec<TotalFault>,
}

impl Row<'_> {
    fn read(&mut self) -> Option<PostedTotal> {
        let names = self.members.into_iter().flat_map(Map::keys);
        if self.members.is_none() || names.into_iter().any(|name| !MEMBERS.contains(&name.as_str()))
        {
            let rule = format!("A total is an object of {}.", MEMBERS.join(", "));
            self.faults.push(TotalFault { place: self.place, member: "sender", rule });
            return None;
        }
        let sender = self.text("sender", |text| {
            SenderName::parse(text)
                .map(|name| name.as_str().to_owned())
                .map_err(|it| it.to_string())
        });
        let stream = self.text("stream", |text| StreamId::parse(text).map_err(|it| it.to_string()));
        let event = self.text("event", |text| {
            EventPattern::parse(text).map(|event| event.to_string()).map_err(|it| it.to_string())
        });
        let day = self.text("day", |text| time::parse_day(text).map_err(str::to_owned));
        let currency = match self.member("currency") {
            None => Some(None),
            Some(_) => self.text("currency", currency).map(Some),
        };
        let count = self.number("count", 0, limits::REPORT_COUNT_MAX);
        let micros = match self.member("valueMicros") {
            None => Some(0),
            Some(_) => self.number("valueMicros", MICROS_MAX, MICROS_MAX),
        };
        let of = SenderDay { sender: sender?, stream: stream?, day: day? };
        let (currency, count, micros) = (currency?, count?, micros?);
        Some(PostedTotal { of, event: event?, currency, count, micros })
    }

    fn member(&self, name: &str) -> Option<&Value> {
        self.members.and_then(|row| row.get(name)).filter(|value| !value.is_null())
    }

    fn text<T>(
        &mut self,
        member: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let read = match self.member(member) {
            None => Err(format!("{member} is required.")),
            Some(value) => {
                value.as_str().ok_or("This member is a string.".to_owned()).and_then(parse)
            }
        };
        self.taken(member, read)
    }

    fn number(&mut self, member: &'static str, below_zero: u64, max: u64) -> Option<i64> {
        let rule = || format!("A whole number between -{below_zero} and {max}.");
        let read = match self.member(member) {
            None => Err(format!("{member} is required.")),
            Some(value) => value.as_i64().ok_or_else(rule).and_then(|number| {
                let most = if number < 0 { below_zero } else { max };
                if number.unsigned_abs() <= most { Ok(number) } else { Err(rule()) }
            }),
        };
        self.taken(member, read)
    }

    fn taken<T>(&mut self, member: &'static str, read: Result<T, String>) -> Option<T> {
        let place = self.place;
        read.map_err(|rule| self.faults.push(TotalFault { place, member, rule })).ok()
    }
}

fn currency(text: &str) -> Result<String, String> {
    if is_currency(text) || text == OTHER {
        return Ok(text.to_owned());
    }
    Err("A currency is its code of ISO 4217, like EUR; or other, as the gates count what is none."
        .to_owned())
}
