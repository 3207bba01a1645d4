//! When what is issued ends: after a time, or at one; and how long that is from now.

use core::time::Duration;

use clap::Args;
use serde_json::Value;

use super::output::Format;
use super::{CliError, target};
use crate::model::Seconds;
use crate::time;

/// The end of a key, or of a token.
#[derive(Debug, Args)]
pub(super) struct End {
    /// It ends after this time: 45s, 30m, 12h, 90d or 2w
    #[arg(long, value_parser = target::duration, value_name = "DURATION", conflicts_with = "expire_time")]
    expires_in: Option<Duration>,
    /// It ends at this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    expire_time: Option<String>,
}

impl End {
    /// The end that was named, as the API takes it.
    pub(super) fn time(&self) -> Result<Option<String>, CliError> {
        match self.expires_in {
            None => Ok(self.expire_time.clone()),
            Some(length) => after(length).map(Some),
        }
    }
}

/// The time that is so far from now, as the API writes it.
pub(super) fn after(length: Duration) -> Result<String, CliError> {
    i64::try_from(length.as_secs())
        .ok()
        .and_then(|seconds| time::now().checked_add(seconds))
        .filter(|end| *end <= time::LATEST)
        .map(time::to_text)
        .ok_or_else(|| CliError::Usage("that end is too far in the future".to_owned()))
}

/// The member of a resource that [`with_left`] adds.
pub(super) const LEFT: &str = "left";

/// A resource with what is left until its end, for a table. JSON has the end alone.
pub(super) fn with_left(mut resource: Value, format: Format) -> Value {
    if format == Format::Table {
        let end = resource["expireTime"].as_str().and_then(|text| time::parse(text).ok());
        if let (Some(end), Value::Object(members)) = (end, &mut resource) {
            members.insert(LEFT.to_owned(), left(end, time::now()).into());
        }
    }
    resource
}

/// [`with_left`] for each item of a list.
pub(super) fn each_with_left(mut list: Value, member: &str, format: Format) -> Value {
    if let Some(items) = list[member].as_array_mut() {
        for item in items {
            *item = with_left(item.take(), format);
        }
    }
    list
}

fn left(end: Seconds, now: Seconds) -> String {
    if end <= now { "ended".to_owned() } else { length(end.saturating_sub(now)) }
}

/// A time in its largest unit that fits twice.
pub(super) fn length(seconds: Seconds) -> String {
    let units = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "min")];
    let unit = units.into_iter().find(|(unit, _)| seconds >= unit * 2);
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{} {name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left() {
        let now = 1_785_585_600;
        for (after, told) in [
            (-1, "ended"),
            (0, "ended"),
            (1, "1 s"),
            (120, "2 min"),
            (47 * 3_600, "47 h"),
            (48 * 3_600, "2 d"),
            (30 * 86_400, "30 d"),
        ] {
            assert_eq!(left(now + after, now), told, "{after}");
        }
    }
}
