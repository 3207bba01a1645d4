//! Which items of a list are wanted: a part of AIP-160 over the members that the API shows.
//!
//! `sender = "billing" AND expireTime < "2026-12-01T00:00:00Z" AND advice:NEVER_USED AND NOT successor:*`.
//! Restrictions are joined by AND. There is no OR, no parentheses, no function.

use core::cmp::Ordering;
use core::fmt;

use serde_json::Value;

use super::{Listed, Listing};
use crate::model::Slice;
use crate::time;

/// Restrictions of one filter.
const RESTRICTIONS_MAX: usize = 20;

/// A filter as text.
const BYTES_MAX: usize = 1_000;

/// Rows that are looked at for one part of a list: beyond, the part ends early and has a next one.
const ROUNDS_MAX: u32 = 20;

/// Which items are wanted; without restrictions all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<Restriction>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Restriction {
    negated: bool,
    member: String,
    operator: Operator,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Has,
}

/// In the order in which they are looked for: the longer ones first.
const OPERATORS: [(&str, Operator); 7] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    (":", Operator::Has),
];

/// Members that are lists: they have items and equal nothing.
const LISTS: [&str; 6] = [
    "advice",
    "certificateNames",
    "dataStreams",
    "events",
    "measurementConsumers",
    "sourceNetworks",
];

/// Why a filter is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError(String);

impl fmt::Display for FilterError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl core::error::Error for FilterError {}

impl Filter {
    /// Reads a filter over these members.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str, members: &[&str]) -> Result<Self, FilterError> {
        if text.len() > BYTES_MAX {
            return Err(FilterError(format!("a filter has at most {BYTES_MAX} bytes")));
        }
        let mut words = Words { rest: text };
        let mut restrictions = Vec::new();
        if words.is_at_end() {
            return Ok(Self(restrictions));
        }
        loop {
            restrictions.push(words.restriction(members)?);
            if words.is_at_end() {
                break;
            }
            words.expect_and()?;
        }
        if restrictions.len() > RESTRICTIONS_MAX {
            return Err(FilterError(format!(
                "a filter has at most {RESTRICTIONS_MAX} restrictions"
            )));
        }
        Ok(Self(restrictions))
    }

    /// Whether an item, as the API shows it, is wanted.
    #[must_use]
    pub fn matches(&self, item: &Value) -> bool {
        self.0.iter().all(|restriction| restriction.holds(item) != restriction.negated)
    }
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_spaces();
        self.rest.is_empty()
    }

    /// A run of characters that a member or a bare value may have.
    fn bare(&mut self) -> &'a str {
        let is_part = |char: char| char.is_alphanumeric() || "-_./+*@".contains(char);
        let end = self.rest.find(|char| !is_part(char)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word
    }

    fn expect_and(&mut self) -> Result<(), FilterError> {
        match self.bare() {
            "AND" => Ok(()),
            "OR" => {
                Err(FilterError("OR is not known here; ask twice, or filter the answer".into()))
            }
            _ => Err(FilterError("restrictions are joined by AND".into())),
        }
    }

    fn restriction(&mut self, members: &[&str]) -> Result<Restriction, FilterError> {
        self.skip_spaces();
        let mut member = self.bare();
        let negated = member == "NOT";
        if negated {
            self.skip_spaces();
            member = self.bare();
        }
        if !members.contains(&member) {
            return Err(FilterError(format!(
                "a restriction begins with one of {}",
                members.join(", ")
            )));
        }
        self.skip_spaces();
        let found = OPERATORS.iter().find_map(|(sign, operator)| {
            self.rest.strip_prefix(sign).map(|rest| (rest, *operator))
        });
        let Some((rest, operator)) = found else {
            return Err(FilterError(format!(
                "after {member} comes =, !=, <, <=, >, >= or : (has), and a value"
            )));
        };
        self.rest = rest;
        self.skip_spaces();
        let mut value = self.value(member)?;
        if LISTS.contains(&member) && operator != Operator::Has {
            return Err(FilterError(format!(
                "{member} is a list: ask what it has, {member}:{value}"
            )));
        }
        // Items have UTC, and are compared as text.
        if let Ok(time) = time::parse(&value) {
            value = time::to_text(time);
        }
        Ok(Restriction { negated, member: member.to_owned(), operator, value })
    }

    fn value(&mut self, member: &str) -> Result<String, FilterError> {
        if let Some(quoted) = self.rest.strip_prefix('"') {
            let (value, rest) = quoted.split_once('"').ok_or_else(|| {
                FilterError(format!("the value of {member} has no closing quotation mark"))
            })?;
            self.rest = rest;
            return Ok(value.to_owned());
        }
        match self.bare() {
            "" => Err(FilterError(format!(
                "{member} is compared with nothing; put values with other characters into quotation marks"
            ))),
            word => Ok(word.to_owned()),
        }
    }
}

impl Restriction {
    fn holds(&self, item: &Value) -> bool {
        let found = &item[&self.member];
        if self.operator == Operator::Has {
            return match found {
                Value::Null => false,
                Value::Array(items) => {
                    self.value == "*" || items.iter().any(|item| item == self.value.as_str())
                }
                value => self.value == "*" || as_text(value) == self.value,
            };
        }
        if found.is_null() {
            return self.operator == Operator::NotEqual;
        }
        let ordering = match (found.as_u64(), self.value.parse::<u64>()) {
            (Some(found), Ok(wanted)) => found.cmp(&wanted),
            _ => as_text(found).as_str().cmp(self.value.as_str()),
        };
        match self.operator {
            Operator::Equal | Operator::Has => ordering == Ordering::Equal,
            Operator::NotEqual => ordering != Ordering::Equal,
            Operator::Less => ordering == Ordering::Less,
            Operator::AtMost => ordering != Ordering::Greater,
            Operator::Greater => ordering == Ordering::Greater,
            Operator::AtLeast => ordering != Ordering::Less,
        }
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads a list in parts until there is enough of what is wanted.
pub(super) struct Scan {
    slice: Slice,
    filter: Filter,
    rounds: u32,
    over: bool,
    found: Listed,
}

impl Listing {
    pub(super) fn scan(self) -> Scan {
        let found = Listed { items: Vec::new(), next: None };
        Scan { slice: self.slice, filter: self.filter, rounds: 0, over: false, found }
    }
}

impl Scan {
    /// What to read next, if anything.
    pub(super) fn next(&self) -> Option<Slice> {
        let found = u32::try_from(self.found.items.len()).unwrap_or(u32::MAX);
        let missing = self.slice.limit.saturating_sub(found);
        let go_on = !self.over && self.rounds < ROUNDS_MAX && missing > 0;
        go_on.then_some(Slice { limit: missing, ..self.slice })
    }

    /// Takes what was read, and where the next part goes on.
    pub(super) fn take(&mut self, items: Vec<Value>, next: Option<u64>) {
        self.found.items.extend(items.into_iter().filter(|item| self.filter.matches(item)));
        self.found.next = next;
        self.rounds = self.rounds.saturating_add(1);
        match next {
            None => self.over = true,
            Some(after) => self.slice.after = after,
        }
    }

    pub(super) fn end(self) -> Listed {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MEMBERS: &[&str] =
        &["state", "sender", "nickname", "revision", "expireTime", "dataStreams", "advice"];

    #[test]
    fn what_is_wanted() {
        let item = json!({"state": "ACTIVE", "sender": "crm", "revision": 12,
            "expireTime": "2026-12-01T00:00:00Z", "dataStreams": ["G-A", "G-B"]});
        for (filter, wanted) in [
            ("", true),
            ("  ", true),
            ("state = ACTIVE", true),
            ("state=\"ACTIVE\"", true),
            ("state != ACTIVE", false),
            ("NOT state = ACTIVE", false),
            ("state = ACTIVE AND sender = crm", true),
            ("state = ACTIVE AND sender = billing", false),
            ("revision > 9", true),
            ("revision >= 12 AND revision <= 12", true),
            ("revision < 12", false),
            ("expireTime < \"2027-01-01T00:00:00Z\"", true),
            ("expireTime > \"2027-01-01T00:00:00Z\"", false),
            ("dataStreams:G-A", true),
            ("dataStreams:G-C", false),
            ("dataStreams:*", true),
            ("advice:*", false),
            ("NOT advice:*", true),
            ("nickname = x", false),
            ("nickname != x", true),
            ("expireTime = \"2026-12-01T01:30:00+01:30\"", true),
            ("expireTime < \"2026-12-01T00:30:00+01:00\"", false),
            ("sender:crm", true),
        ] {
            let parsed =
                Filter::parse(filter, MEMBERS).unwrap_or_else(|error| panic!("{filter}: {error}"));
            assert_eq!(parsed.matches(&item), wanted, "{filter}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_words() {
        for (filter, words) in [
            ("stat = ACTIVE", "begins with one of"),
            ("state", "after state comes"),
            ("state =", "compared with nothing"),
            ("state = \"ACTIVE", "closing quotation mark"),
            ("state = ACTIVE sender = crm", "joined by AND"),
            ("advice = NEVER_USED", "ask what it has, advice:NEVER_USED"),
            ("NOT dataStreams != G-A", "is a list"),
            ("state = ACTIVE OR sender = crm", "OR is not known"),
            ("state = ACTIVE AND", "begins with one of"),
            ("(state = ACTIVE)", "begins with one of"),
            ("state = ä\u{0}", "joined by AND"),
        ] {
            let error = Filter::parse(filter, MEMBERS).expect_err(filter).to_string();
            assert!(error.contains(words), "{filter}: {error}");
        }
        let long = "state = ACTIVE AND ".repeat(60);
        assert!(Filter::parse(&long, MEMBERS).is_err());
        let many = ["revision > 1"; 21].join(" AND ");
        assert!(Filter::parse(&many, MEMBERS).is_err());
    }

    #[test]
    fn a_scan_ends_with_the_list_or_with_enough() {
        let listing = |limit| Listing {
            slice: Slice { after: 0, limit, show_deleted: false },
            filter: Filter::parse("revision > 1", MEMBERS).expect("a filter"),
        };
        let mut scan = listing(2).scan();
        assert_eq!(scan.next().map(|slice| (slice.after, slice.limit)), Some((0, 2)));
        scan.take(vec![json!({"revision": 1}), json!({"revision": 2})], Some(7));
        assert_eq!(scan.next().map(|slice| (slice.after, slice.limit)), Some((7, 1)));
        scan.take(vec![json!({"revision": 3})], Some(9));
        assert_eq!(scan.next(), None);
        assert_eq!(scan.end().next, Some(9));

        let mut scan = listing(2).scan();
        scan.take(vec![], None);
        assert_eq!((scan.next(), scan.end().next), (None, None));
    }
}
