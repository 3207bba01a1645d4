//! Which events a key may send.

use core::fmt;

use crate::text::serde_as_text;
use crate::{NameError, limits};

/// An event name, or all names with a prefix: `purchase`, `ecommerce_*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventPattern {
    stem: String,
    is_prefix: bool,
}

impl EventPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The stem is no event name of GA4's: 1 to 40 letters, digits or `_`, a letter first.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (stem, is_prefix) = text.strip_suffix('*').map_or((text, false), |stem| (stem, true));
        let bytes = stem.as_bytes();
        let is_name = (1..=limits::EVENT_NAME_CHARS_MAX).contains(&bytes.len())
            && bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if is_name {
            return Ok(Self { stem: stem.to_owned(), is_prefix });
        }
        Err(NameError(
            "an event is a name of 1 to 40 letters, digits or '_', a letter first; with '*' at its end all names that begin so",
        ))
    }

    /// Whether it covers this event name. GA4's names are case-sensitive.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        if self.is_prefix { name.starts_with(&self.stem) } else { name == self.stem }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.stem)?;
        if self.is_prefix { out.write_str("*") } else { Ok(()) }
    }
}

serde_as_text!(EventPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_covers_itself_and_a_prefix_what_begins_so() {
        for (pattern, name, covers) in [
            ("purchase", "purchase", true),
            ("purchase", "purchases", false),
            ("purchase", "Purchase", false),
            ("purchase", "", false),
            ("pur*", "purchase", true),
            ("pur*", "pur", true),
            ("pur*", "pu", false),
            ("pur*", "refund", false),
        ] {
            let pattern = EventPattern::parse(pattern).expect(pattern);
            assert_eq!(pattern.covers(name), covers, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_have_one_spelling() {
        let longest = "a".repeat(40);
        for good in ["a", "a*", "a_1", "A", &longest] {
            let pattern = EventPattern::parse(good).expect(good);
            assert_eq!(pattern.to_string(), good);
            assert_eq!(serde_json::to_value(&pattern).ok(), Some(good.into()));
        }
        let too_long = "a".repeat(41);
        for bad in ["", "*", "1a", "_a", "a b", "a**", "*a", "a-b", &too_long] {
            assert!(EventPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
