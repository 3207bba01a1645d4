//! Why a body has no reading that all parsers share.

use core::fmt;

/// What keeps a body from having exactly one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ambiguity {
    /// Not UTF-8 (RFC 8259 8.1): parsers refuse, replace or pass on such bytes.
    InvalidUtf8,
    /// It starts with a byte order mark. RFC 8259 lets a parser skip it or refuse it.
    ByteOrderMark,
    /// Not JSON.
    NotJson,
    /// JSON, but not an object. A collector might take a list for a batch of bodies.
    NotAnObject,
    /// Something stands behind the object.
    TrailingBytes,
    /// One name twice in an object, at any depth: parsers keep the first, the last or both. The two
    /// spellings of a field are one name.
    DuplicateKey,
    /// A name that differs from a field's in case, underscores or what follows a NUL only. Some
    /// parsers (Go's, .NET's, those on C strings) take it for the field, others do not.
    LookalikeKey,
    /// Deeper than parsers agree to follow.
    TooDeep,
    /// Half of a surrogate pair in a `\u` escape: parsers refuse, replace or keep it.
    LoneSurrogate,
    /// A number beyond a double: an error, or infinity.
    NumberOutOfRange,
}

/// A body without one reading, and where that shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Why.
    pub ambiguity: Ambiguity,
    /// The byte at or shortly before which the reading stopped.
    pub byte: usize,
}

impl Ambiguity {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::InvalidUtf8,
        Self::ByteOrderMark,
        Self::NotJson,
        Self::NotAnObject,
        Self::TrailingBytes,
        Self::DuplicateKey,
        Self::LookalikeKey,
        Self::TooDeep,
        Self::LoneSurrogate,
        Self::NumberOutOfRange,
    ];

    /// The word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "invalid_utf8",
            Self::ByteOrderMark => "byte_order_mark",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::TrailingBytes => "trailing_bytes",
            Self::DuplicateKey => "duplicate_key",
            Self::LookalikeKey => "lookalike_key",
            Self::TooDeep => "too_deep",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NumberOutOfRange => "number_out_of_range",
        }
    }

    /// What is wrong, in a sentence without a full stop.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "the body is not UTF-8",
            Self::ByteOrderMark => "the body starts with a byte order mark",
            Self::NotJson => "the body is not JSON",
            Self::NotAnObject => "the body is not a JSON object",
            Self::TrailingBytes => "something follows the JSON object",
            Self::DuplicateKey => "an object has one name twice",
            Self::LookalikeKey => "a name differs from a field's in case or underscores only",
            Self::TooDeep => "the body is nested too deep",
            Self::LoneSurrogate => "a string has half of a surrogate pair",
            Self::NumberOutOfRange => "a number is too large for a double",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, at byte {}", self.ambiguity.detail(), self.byte)
    }
}

impl core::error::Error for Unreadable {}

/// The body as text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    let text = core::str::from_utf8(bytes).map_err(|error| Unreadable {
        ambiguity: Ambiguity::InvalidUtf8,
        byte: error.valid_up_to(),
    })?;
    if text.starts_with('\u{feff}') {
        return Err(Unreadable { ambiguity: Ambiguity::ByteOrderMark, byte: 0 });
    }
    Ok(text)
}
