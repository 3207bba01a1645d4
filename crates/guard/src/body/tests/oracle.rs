//! The reader against `serde_json`: what one takes the other takes, as the same values, and what one
//! refuses the other refuses for the same reason.
//!
//! What the gate decides otherwise is decided by the walk and spelled out in [`walked`]: a name twice,
//! a lookalike, too deep, no object. A byte order mark and bytes that are not UTF-8 never get to the
//! reader.

use std::collections::HashMap;

use serde_json::Value;

use super::super::json::{Found, Json, Stop, double};
use super::texts::Texts;
use super::*;

/// What [`Value`] would be with each name's first value kept, and numbers as they are written.
#[derive(Debug)]
enum Tree<'a> {
    Leaf(Found<'a>),
    List(Vec<Tree<'a>>),
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    fn read(text: &'a str) -> Result<Self, Ambiguity> {
        let mut json = Json::new(text);
        let tree = Self::value(&mut json).and_then(|tree| json.end().map(|()| tree));
        tree.map_err(|Stop| json.fault().ambiguity)
    }

    fn value(json: &mut Json<'a>) -> Result<Self, Stop> {
        match json.value()? {
            Found::List => {
                let mut elements = Vec::new();
                while json.element(elements.is_empty())? {
                    elements.push(Self::value(json)?);
                }
                Ok(Self::List(elements))
            }
            Found::Object => {
                let mut members = Vec::new();
                while let Some(name) = json.name(members.is_empty())? {
                    json.colon()?;
                    members.push((name, Self::value(json)?));
                }
                Ok(Self::Object(members))
            }
            leaf => Ok(Self::Leaf(leaf)),
        }
    }

    fn has_a_name_twice(&self) -> bool {
        match self {
            Self::Leaf(_) => false,
            Self::List(elements) => elements.iter().any(Self::has_a_name_twice),
            Self::Object(members) => {
                let names: HashSet<_> = members.iter().map(|(name, _)| name).collect();
                names.len() < members.len()
                    || members.iter().any(|(_, value)| value.has_a_name_twice())
            }
        }
    }
}

/// `serde_json` keeps the last of a name's values.
fn is_same(tree: &Tree<'_>, value: &Value) -> bool {
    match (tree, value) {
        (Tree::Leaf(Found::Null), Value::Null) => true,
        (Tree::Leaf(Found::Bool(own)), Value::Bool(other)) => own == other,
        (Tree::Leaf(Found::Text(own)), Value::String(other)) => own == other,
        (Tree::Leaf(Found::Number(own)), Value::Number(other)) => {
            let integer = other.as_i64().map(i128::from).or(other.as_u64().map(i128::from));
            double(own) == other.as_f64()
                && integer.is_none_or(|integer| own.parse() == Ok(integer))
        }
        (Tree::List(own), Value::Array(other)) => {
            own.len() == other.len()
                && own.iter().zip(other).all(|(own, other)| is_same(own, other))
        }
        (Tree::Object(own), Value::Object(other)) => {
            let last = |name: &str| own.iter().rev().find(|(own, _)| own == name);
            own.iter().all(|(name, _)| other.contains_key(name.as_ref()))
                && other
                    .iter()
                    .all(|(name, value)| last(name).is_some_and(|(_, own)| is_same(own, value)))
        }
        _ => false,
    }
}

/// What `serde_json` calls a fault.
fn word(error: &serde_json::Error) -> Ambiguity {
    let said = error.to_string();
    [
        ("trailing characters", Ambiguity::TrailingBytes),
        ("lone leading surrogate", Ambiguity::LoneSurrogate),
        ("unexpected end of hex escape", Ambiguity::LoneSurrogate),
        ("number out of range", Ambiguity::NumberOutOfRange),
        ("recursion limit exceeded", Ambiguity::TooDeep),
    ]
    .into_iter()
    .find(|(start, _)| said.starts_with(start))
    .map_or(Ambiguity::NotJson, |(_, ambiguity)| ambiguity)
}

/// Holds the reader, and the walk over it, against `serde_json`; whether the text is JSON.
#[track_caller]
fn compare(text: &str) -> bool {
    let oracle = serde_json::from_str::<Value>(text);
    let own = if oracle.as_ref().is_err_and(|error| word(error) == Ambiguity::TooDeep) {
        // Only the walk counts levels.
        Err(Ambiguity::TooDeep)
    } else {
        Tree::read(text)
    };
    match (&own, &oracle) {
        (Ok(tree), Ok(value)) => assert!(is_same(tree, value), "{text:?}: {tree:?}, {value}"),
        (Err(own), Err(error)) => assert_eq!(*own, word(error), "{text:?}: {error}"),
        (own, oracle) => panic!("{text:?}: {own:?}, {oracle:?}"),
    }
    for stream in [StreamKind::Web, StreamKind::App] {
        walked(text, stream, &own);
    }
    oracle.is_ok()
}

/// The walk may stop earlier than the reader would, for reasons of its own and no others.
#[track_caller]
fn walked(text: &str, stream: StreamKind, json: &Result<Tree<'_>, Ambiguity>) {
    let body = Body::read(text.as_bytes(), stream, NOW).map_err(|unreadable| unreadable.ambiguity);
    match (body, json) {
        (Ok(_), Ok(tree)) => {
            assert!(matches!(tree, Tree::Object(_)) && !tree.has_a_name_twice(), "{text:?}");
        }
        (Err(Ambiguity::ByteOrderMark), _) => assert!(text.starts_with('\u{feff}'), "{text:?}"),
        (Err(Ambiguity::TooDeep), _) => {
            let opened = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
            assert!(opened > limits::DEPTH_MAX, "{text:?}");
        }
        (Err(Ambiguity::NotAnObject), Ok(tree)) => {
            assert!(!matches!(tree, Tree::Object(_)), "{text:?}");
        }
        // The two spellings of a field are one name, which a tree does not know.
        (Err(Ambiguity::DuplicateKey), Ok(tree)) => {
            assert!(tree.has_a_name_twice() || text.bytes().any(|byte| byte.is_ascii_uppercase()));
        }
        (Err(Ambiguity::DuplicateKey | Ambiguity::LookalikeKey), _) => {}
        (Err(body), Err(json)) => assert_eq!(body, *json, "{text:?}"),
        (body, json) => panic!("{text:?}: {body:?}, {json:?}"),
    }
}

/// Texts where parsers differ, in the spirit of `JSONTestSuite`. Whether one is JSON is not said there:
/// `serde_json` says it.
fn edges() -> Vec<String> {
    let groups: HashMap<String, Vec<String>> =
        serde_json::from_str(include_str!("../../../tests/edges.json")).expect("lists of texts");
    groups.into_values().flatten().map(|text| expanded(&text)).collect()
}

#[test]
fn the_edges_of_json_are_where_serde_json_has_them() {
    let edges = edges();
    let accepted = edges.iter().filter(|text| compare(text)).count();
    assert!(accepted > 80 && edges.len() - accepted > 100, "{accepted} of {}", edges.len());
}

/// Each edge as the value of an unknown member, of a parameter, and as an event.
#[test]
fn the_edges_are_the_same_wherever_they_stand() {
    for edge in edges() {
        compare(&format!(r#"{{"x":[{edge}]}}"#));
        compare(&format!(r#"{{"events":{{"name":"e","params":{{"value":{edge}}}}}}}"#));
        compare(&format!(r#"{{"events":[{edge},{edge}]}}"#));
    }
}

#[test]
fn texts_made_at_random_and_spoilt_are_read_as_serde_json_reads_them() {
    let mut texts = Texts::new(0x6d70_6761_7465);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        if compare(&texts.next()) {
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    assert!(accepted > 5_000 && refused > 5_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn the_rows_of_the_table_spoilt_are_read_as_serde_json_reads_them() {
    let mut texts = Texts::new(5);
    for row in Row::all() {
        if let Ok(text) = String::from_utf8(row.bytes())
            && text.len() < 2_000
        {
            compare(&text);
            for _ in 0..10 {
                compare(&texts.spoilt(&text));
            }
        }
    }
}
