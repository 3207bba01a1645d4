//! Times as the API writes them (RFC 3339, UTC) and as they are stored (Unix seconds). The one
//! place that reads the clock.

use jiff::Timestamp;

use crate::model::{Millis, Seconds};

/// The last second that has a text.
pub(crate) const LATEST: Seconds = 253_402_207_200;

/// Now.
pub(crate) fn now() -> Seconds {
    Timestamp::now().as_second()
}

/// Now, to the millisecond.
pub(crate) fn now_millis() -> Millis {
    Timestamp::now().as_millisecond()
}

/// The second that a millisecond is in.
pub(crate) fn to_seconds(millis: Millis) -> Seconds {
    millis.div_euclid(1_000)
}

/// `2026-08-01T12:00:00Z`.
pub(crate) fn to_text(seconds: Seconds) -> String {
    // Only times that were parsed or read from the clock are stored, and those are in range.
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// Reads an RFC 3339 time; a fraction of a second is dropped.
///
/// # Errors
/// A sentence that says the rule.
pub(crate) fn parse(text: &str) -> Result<Seconds, &'static str> {
    const RULE: &str = "a time is RFC 3339 with a zone, like 2026-08-01T12:00:00Z";
    // jiff reads more spellings than RFC 3339 has.
    let bytes = text.as_bytes();
    let shaped = (20..=40).contains(&bytes.len())
        && bytes.get(10) == Some(&b'T')
        && bytes.get(16) == Some(&b':')
        && bytes.iter().all(|byte| byte.is_ascii_digit() || b"-+:.TZ".contains(byte));
    let time: Timestamp = if shaped { text.parse().map_err(|_| RULE)? } else { return Err(RULE) };
    match time.as_second() {
        seconds if seconds > 0 => Ok(seconds),
        _ => Err("a time before 1970 is not taken"),
    }
}

/// `2026-08-01`: the day of UTC that this is in.
pub(crate) fn to_day(seconds: Seconds) -> String {
    let text = to_text(seconds);
    text.split_once('T').map_or(text.clone(), |(day, _)| day.to_owned())
}

/// Reads a day of UTC, as the second with which it begins.
///
/// # Errors
/// A sentence that says the rule.
pub(crate) fn parse_day(text: &str) -> Result<Seconds, &'static str> {
    const RULE: &str = "a day is a date of UTC, like 2026-08-01";
    if text.len() != 10 {
        return Err(RULE);
    }
    match parse(&format!("{text}T00:00:00Z")) {
        Ok(seconds) => Ok(seconds),
        Err(_) => Err(RULE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_and_nothing_else() {
        assert_eq!(parse("2026-08-01T12:00:00Z"), Ok(1_785_585_600));
        assert_eq!(parse("2026-08-01T14:00:00.75+02:00"), Ok(1_785_585_600));
        assert_eq!(to_text(1_785_585_600), "2026-08-01T12:00:00Z");
        assert_eq!(to_text(LATEST), "9999-12-30T22:00:00Z");
        assert_eq!(Timestamp::MAX.as_second(), LATEST);
        for bad in [
            "",
            "now",
            "2026-08-01",
            "2026-08-01T12:00:00",
            "2026-08-01 12:00:00Z",
            "20260801T120000Z",
            "2026-13-01T12:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-08-01T12:00:00Z[UTC]",
            "1785585600",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn days_of_utc() {
        assert_eq!(parse_day("2026-08-01"), Ok(1_785_542_400));
        assert_eq!(to_day(1_785_585_600), "2026-08-01");
        for bad in ["", "2026-8-1", "2026-13-01", "2026-02-29", "01.08.2026", "2026-08-01T"] {
            assert!(parse_day(bad).is_err(), "{bad}");
        }
    }
}
