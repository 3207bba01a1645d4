//! A body that the gate reads means one thing, to every parser.

use core::fmt;

use mpgate_guard::{Ambiguity, Body, StreamKind, body_limits, validation_messages};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

const NOW: u64 = 1_767_225_600;

/// JSON as it is written: names twice stay twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// `null`.
    Null,
    /// A number, `true` or `false`: nothing here asks which.
    Scalar,
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// An object.
    Object(Vec<(String, Tree)>),
}

/// Which member a parser takes for the field of this name.
type Choice = fn(&[(String, Tree)], &str) -> Option<Tree>;

/// Checks what holds for any body.
///
/// # Panics
/// If it does not hold.
pub fn check(bytes: &[u8]) {
    for stream in [StreamKind::Web, StreamKind::App] {
        check_for(bytes, stream);
    }
}

fn check_for(bytes: &[u8], stream: StreamKind) {
    let tree = serde_json::from_slice::<Tree>(bytes);
    let body = match Body::read(bytes, stream, NOW) {
        Ok(body) => body,
        Err(unreadable) => {
            assert!(unreadable.byte <= bytes.len());
            // A name for a fault must be the right one.
            match unreadable.ambiguity {
                Ambiguity::DuplicateKey | Ambiguity::LookalikeKey => {
                    assert!(core::str::from_utf8(bytes).is_ok());
                }
                Ambiguity::NotAnObject => assert!(!matches!(tree, Ok(Tree::Object(_)))),
                Ambiguity::TooDeep => {
                    let opened = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
                    assert!(opened > body_limits::DEPTH_MAX);
                }
                Ambiguity::ByteOrderMark => assert!(bytes.starts_with(b"\xef\xbb\xbf")),
                Ambiguity::InvalidUtf8 => assert!(core::str::from_utf8(bytes).is_err()),
                fault @ (Ambiguity::NotJson
                | Ambiguity::TrailingBytes
                | Ambiguity::LoneSurrogate
                | Ambiguity::NumberOutOfRange) => {
                    assert_eq!(Some(fault), tree.err().map(|error| word(&error)));
                }
            }
            return;
        }
    };
    let tree = tree.expect("what the gate reads is JSON");
    assert!(!has_twins(&tree), "a name twice");
    let read: Vec<Option<String>> =
        body.events().iter().map(|event| event.name.as_deref().map(str::to_owned)).collect();
    let choices: [Choice; 4] = [first, last, first_of_any_case, last_of_any_case];
    for choice in choices {
        assert_eq!(event_names(&tree, choice), read);
    }
    assert!(body.violations().len() <= body_limits::VIOLATIONS_MAX);
    assert!(!body.violations_cut() || body.violations().len() == body_limits::VIOLATIONS_MAX);
    let messages: serde_json::Value =
        serde_json::from_slice(&validation_messages(body.violations())).expect("messages are JSON");
    let listed = messages["validationMessages"].as_array().map(Vec::len);
    assert_eq!(listed, Some(body.violations().len()));
}

/// What `serde_json` calls a fault.
fn word(error: &serde_json::Error) -> Ambiguity {
    let said = error.to_string();
    let is = |start: &str| said.starts_with(start);
    if is("trailing characters") {
        Ambiguity::TrailingBytes
    } else if is("lone leading surrogate") || is("unexpected end of hex escape") {
        Ambiguity::LoneSurrogate
    } else if is("number out of range") {
        Ambiguity::NumberOutOfRange
    } else {
        Ambiguity::NotJson
    }
}

/// The names of a body's events, as a parser sees them that makes this choice among members.
fn event_names(tree: &Tree, choice: Choice) -> Vec<Option<String>> {
    let Tree::Object(members) = tree else {
        return Vec::new();
    };
    let name_of = |event: Tree| match event {
        Tree::Object(members) => match choice(&members, "name") {
            Some(Tree::Text(name)) => Some(name),
            _ => None,
        },
        _ => None,
    };
    match choice(members, "events") {
        None | Some(Tree::Null) => Vec::new(),
        Some(Tree::List(events)) => events.into_iter().map(name_of).collect(),
        Some(one) => vec![name_of(one)],
    }
}

fn first(members: &[(String, Tree)], field: &str) -> Option<Tree> {
    members.iter().find(|(name, _)| name == field).map(|(_, value)| value.clone())
}

fn last(members: &[(String, Tree)], field: &str) -> Option<Tree> {
    members.iter().rev().find(|(name, _)| name == field).map(|(_, value)| value.clone())
}

fn first_of_any_case(members: &[(String, Tree)], field: &str) -> Option<Tree> {
    members
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(field))
        .map(|(_, value)| value.clone())
}

fn last_of_any_case(members: &[(String, Tree)], field: &str) -> Option<Tree> {
    let same = |(name, _): &&(String, Tree)| {
        name.to_lowercase() == field || name.to_uppercase() == field.to_uppercase()
    };
    members.iter().rev().find(same).map(|(_, value)| value.clone())
}

fn has_twins(tree: &Tree) -> bool {
    match tree {
        Tree::Null | Tree::Scalar | Tree::Text(_) => false,
        Tree::List(elements) => elements.iter().any(has_twins),
        Tree::Object(members) => {
            let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            names.windows(2).any(|pair| pair[0] == pair[1])
                || members.iter().any(|(_, value)| has_twins(value))
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Planter)
    }
}

struct Planter;

impl<'de> Visitor<'de> for Planter {
    type Value = Tree;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Tree::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}
