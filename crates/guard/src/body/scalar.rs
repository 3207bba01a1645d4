//! Single values: which type a field takes and how much of it.

use std::borrow::Cow;

use super::json::{Found, Stop, double};
use super::reading::{At, Reading};
use super::rules::{Rule, limits};
use super::walk::{Handler, Members};

const MICROSECONDS: u64 = 1_000_000;

impl<'de> Found<'de> {
    /// The text, if it is text.
    pub(super) fn into_text(self) -> Option<Cow<'de, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer that proto3 JSON reads: a number without a fraction, or text that is one.
    fn integer(&self) -> Option<i128> {
        match self {
            Self::Number(number) => exact(number).or_else(|| double(number).and_then(whole)),
            Self::Text(text) => match text.parse::<i64>() {
                Ok(number) if !text.starts_with('+') => Some(number.into()),
                _ => json_number(text).and_then(whole),
            },
            _ => None,
        }
    }

    /// The number, or the one that is text. Beyond 53 bits it is not exact.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => double(number),
            Self::Text(text) => json_number(text),
            _ => None,
        }
    }

    /// Whether it is a number, or text that is one.
    pub(super) fn is_number(&self) -> bool {
        match self {
            Self::Number(_) => true,
            Self::Text(text) => json_number(text).is_some(),
            _ => false,
        }
    }

    /// Whether it is text of more characters than these.
    #[inline]
    pub(super) fn is_longer_than(&self, characters_max: usize) -> bool {
        match self {
            Self::Text(text) => text.len() > characters_max && has_more(text, characters_max),
            _ => false,
        }
    }
}

/// Whether text of more bytes than these has more characters, too.
#[inline(never)]
fn has_more(text: &str, characters_max: usize) -> bool {
    text.chars().nth(characters_max).is_some()
}

/// The integer of 64 bits that is written so, signed or not.
fn exact(number: &str) -> Option<i128> {
    number.parse::<i64>().map(i128::from).or_else(|_| number.parse::<u64>().map(i128::from)).ok()
}

/// The integer that a double is, within 64 bits.
fn whole(number: f64) -> Option<i128> {
    #[expect(clippy::cast_possible_truncation, reason = "a 64-bit integer fits, by the range")]
    let integer = (number.fract() == 0.0 && number.abs() < 9.3e18).then_some(number as i128);
    integer
}

/// Text that is a JSON number and nothing else. Rust's own parser would take `inf` and `.5` too.
fn json_number(text: &str) -> Option<f64> {
    let starts = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    let ends = |byte: &u8| byte.is_ascii_digit();
    let bytes = text.as_bytes();
    // serde_json would skip white space around it.
    let is_bare = bytes.first().is_some_and(starts) && bytes.last().is_some_and(ends);
    if is_bare { double(text) } else { None }
}

impl<'de> Reading<'de> {
    /// A field of text. Of another type it is a violation and counts as absent.
    pub(super) fn text(&mut self, field: &'static str) -> Result<Option<Cow<'de, str>>, Stop> {
        let found = self.found()?;
        if !matches!(found, Found::Null | Found::Text(_)) {
            self.wrong_type(At::Member(field), "text");
        }
        Ok(found.into_text())
    }

    /// A field that is `true` or `false`.
    pub(super) fn boolean(&mut self, field: &'static str) -> Result<(), Stop> {
        if !matches!(self.found()?, Found::Null | Found::Bool(_)) {
            self.wrong_type(At::Member(field), "true or false");
        }
        Ok(())
    }

    /// A field that is a timestamp; the second that it tells, if it does.
    pub(super) fn timestamp(&mut self, field: &'static str) -> Result<Option<u64>, Stop> {
        let found = self.found()?;
        Ok(self.check_timestamp(&found, field))
    }

    /// Checks a timestamp in microseconds. The request's own has GA4's path by itself.
    pub(super) fn check_timestamp(&mut self, found: &Found<'_>, field: &str) -> Option<u64> {
        if *found == Found::Null {
            return None;
        }
        let Some(micros) = found.integer() else {
            self.wrong_type(At::Member(field), "a whole number of microseconds");
            return None;
        };
        let at_second = |second: u64| i128::from(second.saturating_mul(MICROSECONDS));
        let now = self.now;
        let who = if self.path.is_empty() { "Measurement" } else { "Event or user property" };
        let current = at_second(now);
        if micros < at_second(now.saturating_sub(limits::BACKDATING_SECONDS_MAX)) {
            self.violate(
                Rule::TimestampTooOld,
                At::Member(field),
                format_args!(
                    "{who} timestamp_micros has timestamp too far in the past. Measurement protocol only \
                     supports timestamps [72h] into the past. The current time in UNIX microseconds is [{current}]."
                ),
            );
        } else if micros > at_second(now.saturating_add(limits::SKEW_AHEAD_SECONDS_MAX)) {
            self.violate(
                Rule::TimestampAhead,
                At::Member(field),
                format_args!(
                    "{who} timestamp_micros has timestamp in the future. This gate allows clocks to be [15m] \
                     ahead. The current time in UNIX microseconds is [{current}]."
                ),
            );
        }
        u64::try_from(micros).ok()?.checked_div(MICROSECONDS)
    }
}

/// A message of which each field is text.
pub(super) struct Texts(pub(super) &'static [&'static str]);

impl<'de> Handler<'de> for Texts {
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>) {
        if found != Found::Null {
            reading.wrong_type(At::Here, "an object");
        }
    }

    fn object(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de>,
    ) -> Result<(), Stop> {
        while let Some(field) = members.field(reading, self.0)? {
            reading.text(field)?;
        }
        Ok(())
    }
}
