//! JSON, read piece by piece: values and what stands between them, strictly as RFC 8259 has it.
//!
//! It knows no field, no depth and no names that stand twice: that is [`super::walk`]. Text is borrowed
//! where it has no escapes, a number stays its text. What is refused is an [`Ambiguity`].

#![expect(
    clippy::inline_always,
    reason = "calls between the steps of a member cost a third of the walk"
)]

mod number;
mod text;

use std::borrow::Cow;

use super::ambiguity::{Ambiguity, Unreadable};
pub(super) use number::double;

/// A value, or the beginning of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found<'de> {
    /// `null` as a member's value: the member is absent.
    Null,
    /// `null` as an element of a list: an element that is nothing.
    NullElement,
    /// `true` or `false`.
    Bool(bool),
    /// A number within a double's range, as it is written.
    Number(&'de str),
    /// A string.
    Text(Cow<'de, str>),
    /// A list.
    List,
    /// An object.
    Object,
}

/// In place of a byte that is not there. Where it stands, JSON has no use for it either.
const NONE: u8 = 0;

/// The reading ends here; [`Json::fault`] says why. It has no size: what is read comes back in fewer
/// words.
#[derive(Debug)]
pub(super) struct Stop;

/// A document, and how far it has been read.
pub(super) struct Json<'de> {
    text: &'de str,
    at: usize,
    fault: Ambiguity,
}

impl<'de> Json<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self { text, at: 0, fault: Ambiguity::NotJson }
    }

    /// Stops the reading for another reason than that it is not JSON.
    #[cold]
    pub(super) fn stop(&mut self, fault: Ambiguity) -> Stop {
        self.fault = fault;
        Stop
    }

    /// Why and where a reading was stopped that was.
    pub(super) fn fault(&self) -> Unreadable {
        Unreadable { ambiguity: self.fault, byte: self.at }
    }

    /// Reads a value; of a list or an object only the bracket.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Result<Found<'de>, Stop> {
        match self.token() {
            b'"' => self.string().map(Found::Text),
            b'{' => Ok(Found::Object),
            b'[' => Ok(Found::List),
            first @ (b'-' | b'0'..=b'9') => self.number(first).map(Found::Number),
            b't' => self.word("rue", Found::Bool(true)),
            b'f' => self.word("alse", Found::Bool(false)),
            b'n' => self.word("ull", Found::Null),
            _ => Err(Stop),
        }
    }

    /// The next name of an object, or its end. `is_first` is whether none was read yet.
    #[inline(always)]
    pub(super) fn name(&mut self, is_first: bool) -> Result<Option<Cow<'de, str>>, Stop> {
        let mut token = self.token();
        if token == b'}' {
            return Ok(None);
        }
        if !is_first {
            if token != b',' {
                return Err(Stop);
            }
            token = self.token();
        }
        if token == b'"' { self.string().map(Some) } else { Err(Stop) }
    }

    /// What stands between a name and its value.
    pub(super) fn colon(&mut self) -> Result<(), Stop> {
        if self.token() == b':' { Ok(()) } else { Err(Stop) }
    }

    /// Whether another element of a list follows. `is_first` is whether none was read yet.
    pub(super) fn element(&mut self, is_first: bool) -> Result<bool, Stop> {
        let start = self.at;
        match self.token() {
            b']' => Ok(false),
            b',' if !is_first => Ok(true),
            NONE => Err(Stop),
            _ if is_first => {
                // It is the element's.
                self.at = start;
                Ok(true)
            }
            _ => Err(Stop),
        }
    }

    /// Nothing may follow.
    pub(super) fn end(&mut self) -> Result<(), Stop> {
        while let Some(next) = self.next() {
            if !is_white_space(next) {
                return Err(self.stop(Ambiguity::TrailingBytes));
            }
        }
        Ok(())
    }

    fn word(&mut self, rest: &str, found: Found<'de>) -> Result<Found<'de>, Stop> {
        for wanted in rest.bytes() {
            if self.next() != Some(wanted) {
                return Err(Stop);
            }
        }
        Ok(found)
    }

    fn bytes(&self) -> &'de [u8] {
        self.text.as_bytes()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let next = self.peek()?;
        self.at = self.at.wrapping_add(1);
        Some(next)
    }

    /// The next byte that is no white space, or [`NONE`].
    fn token(&mut self) -> u8 {
        match self.next() {
            Some(next) if next > b' ' => next,
            next => self.token_after(next),
        }
    }

    #[inline(never)]
    fn token_after(&mut self, space: Option<u8>) -> u8 {
        let mut next = space;
        while next.is_some_and(is_white_space) {
            next = self.next();
        }
        next.unwrap_or(NONE)
    }
}

fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
