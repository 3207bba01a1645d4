//! One row a behaviour: `tests/body.json`.
//!
//! In a row's body `<<unit*count,>>` stands for `count` times the unit with the text after the count
//! between them; a `#` in the unit is its number. A row whose body is no text is in Latin-1.

mod hostile;
mod oracle;
mod texts;

use std::collections::HashSet;

use serde::Deserialize;

use super::*;

/// The time of every row unless it names another: 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    body: String,
    #[serde(default)]
    latin1: bool,
    #[serde(default)]
    app: bool,
    now: Option<u64>,
    /// The events' names; not compared where a row leaves them out.
    events: Option<Vec<Option<String>>>,
    /// The word for the ambiguity; none is a body with one reading.
    unreadable: Option<String>,
    /// Rule and path of each violation, in order.
    #[serde(default)]
    violations: Vec<(String, Option<String>)>,
    /// A piece of the first violation's description.
    says: Option<String>,
    #[serde(default)]
    cut: bool,
}

impl Row {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("../../tests/body.json")).expect("the table is JSON")
    }

    fn bytes(&self) -> Vec<u8> {
        let text = expanded(&self.body);
        if self.latin1 {
            return text.chars().map(|letter| u8::try_from(letter).expect("Latin-1")).collect();
        }
        text.into_bytes()
    }

    fn check(&self) {
        let name = &self.name;
        let bytes = self.bytes();
        let stream = if self.app { StreamKind::App } else { StreamKind::Web };
        let body = match Body::read(&bytes, stream, self.now.unwrap_or(NOW)) {
            Ok(body) => body,
            Err(error) => {
                assert_eq!(Some(error.ambiguity.label()), self.unreadable.as_deref(), "{name}");
                assert!(error.byte <= bytes.len(), "{name}");
                return;
            }
        };
        assert_eq!(None, self.unreadable.as_deref(), "{name}");
        if let Some(events) = &self.events {
            let names: Vec<_> = body
                .events()
                .iter()
                .map(|event| event.name.as_deref().map(str::to_owned))
                .collect();
            assert_eq!(&names, events, "{name}");
        }
        let violations: Vec<_> = body
            .violations()
            .iter()
            .map(|violation| (violation.rule.label().to_owned(), violation.field_path.clone()))
            .collect();
        assert_eq!(violations, self.violations, "{name}: {:?}", body.violations());
        assert_eq!(body.violations_cut(), self.cut, "{name}");
        if let Some(words) = &self.says {
            let said = body.violations().first().map_or("", |violation| &violation.description);
            assert!(said.contains(words), "{name}: {said}");
        }
    }
}

fn expanded(template: &str) -> String {
    let Some((before, rest)) = template.split_once("<<") else {
        return template.to_owned();
    };
    let (inside, after) = rest.split_once(">>").expect("an end");
    let (unit, count) = inside.rsplit_once('*').expect("a count");
    let digits = count.bytes().take_while(u8::is_ascii_digit).count();
    let (count, separator) = count.split_at(digits);
    let units: Vec<String> = (0..count.parse::<usize>().expect("a number"))
        .map(|number| unit.replace('#', &number.to_string()))
        .collect();
    format!("{before}{}{}", units.join(separator), expanded(after))
}

#[test]
fn every_row_of_the_body_table() {
    let rows = Row::all();
    assert!(rows.len() > 200, "the table lost rows");
    for row in rows {
        row.check();
    }
}

#[test]
fn every_rule_code_and_ambiguity_has_a_row() {
    let rows = Row::all();
    let unreadable: HashSet<_> = rows.iter().filter_map(|row| row.unreadable.clone()).collect();
    for ambiguity in Ambiguity::ALL {
        assert!(unreadable.contains(ambiguity.label()), "no row for {}", ambiguity.label());
    }
    let broken: HashSet<_> =
        rows.iter().flat_map(|row| row.violations.iter().map(|(rule, _)| rule.clone())).collect();
    let mut codes = HashSet::new();
    for rule in Rule::ALL {
        codes.insert(rule.code());
        let of_unreadable = matches!(rule, Rule::Unreadable | Rule::DuplicateKey);
        assert!(of_unreadable || broken.contains(rule.label()), "no row for {}", rule.label());
    }
    for code in ValidationCode::ALL {
        assert!(codes.contains(code), "no rule for {}", code.label());
    }
}

#[test]
fn labels_are_words_and_unique() {
    let mut seen = HashSet::new();
    let rules = Rule::ALL.iter().map(|rule| rule.label());
    for label in rules.chain(Ambiguity::ALL.iter().map(|ambiguity| ambiguity.label())) {
        assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        // One word is in both: the rule that stands for that ambiguity.
        assert!(seen.insert(label) || label == "duplicate_key", "{label} twice");
    }
}

#[test]
fn what_is_borrowed_is_not_copied() {
    let bytes = br#"{"client_id":"1.2","events":[{"name":"plain"},{"name":"esc\u0061ped"}]}"#;
    let body = Body::read(bytes, StreamKind::Web, NOW).expect("one reading");
    let borrowed: Vec<_> =
        body.events().iter().map(|event| matches!(event.name, Some(Cow::Borrowed(_)))).collect();
    assert_eq!(borrowed, [true, false]);
}

#[test]
fn the_byte_is_where_the_reading_stopped() {
    for (body, ambiguity, byte) in [
        (&b"{\"a\":\xff}"[..], Ambiguity::InvalidUtf8, 5),
        (b"\xef\xbb\xbf{}", Ambiguity::ByteOrderMark, 0),
        (b"{} x", Ambiguity::TrailingBytes, 4),
        (b"{\n\n \"a\" 1}", Ambiguity::NotJson, 9),
        (b"{\"a\":1,\n\"a\":2}", Ambiguity::DuplicateKey, 11),
        (b"[]", Ambiguity::NotAnObject, 0),
        (b"", Ambiguity::NotJson, 0),
    ] {
        let error = Body::read(body, StreamKind::Web, NOW).expect_err("no reading");
        assert_eq!((error.ambiguity, error.byte), (ambiguity, byte), "{}", body.escape_ascii());
    }
}

#[test]
fn messages_have_the_shape_of_googles_validation_server() {
    assert_eq!(validation_messages(&[]), br#"{"validationMessages":[]}"#);
    let bytes = br#"{"client_id":"1.2","events":[{"name":"_badEventName","x":1}]}"#;
    let body = Body::read(bytes, StreamKind::Web, NOW).expect("one reading");
    assert_eq!(
        String::from_utf8(validation_messages(body.violations())).expect("text"),
        concat!(
            r#"{"validationMessages":[{"description":"Unable to parse Measurement Protocol JSON payload. "#,
            r#"(events[0]) x: Cannot find field.","validationCode":"VALUE_INVALID"},"#,
            r#"{"fieldPath":"events","description":"Event at index: [0] has invalid name [_badEventName]. "#,
            r#"Names must start with an alphabetic character.","validationCode":"NAME_INVALID"}]}"#
        )
    );
}

#[test]
fn a_body_without_a_reading_is_a_violation_where_google_would_call_it_one() {
    let message = |body: &[u8]| {
        Violation::from(Body::read(body, StreamKind::Web, NOW).expect_err("no reading"))
    };
    assert_eq!(message(br#"{"a":1,"a":1}"#).code(), ValidationCode::NameDuplicated);
    let broken = message(b"{");
    assert_eq!((broken.code(), broken.field_path), (ValidationCode::ValueInvalid, None));
    assert!(
        broken.description.contains("the body is not JSON, at byte 1"),
        "{}",
        broken.description
    );
}
