//! Which report is due when, and what it says.

use serde_json::{Value, json};

use super::*;
use crate::{Action, Answer, Money, Reason, Seen, VerdictWord};

fn decision(key: Option<&str>, outcome: Outcome, reason: Option<Reason>) -> Decision<'_> {
    Decision {
        verdict: VerdictWord::Genuine,
        outcome,
        reason,
        sender: None,
        key_id: key,
        stream: Some("G-A"),
        events: Vec::new(),
        action: Action::Answer(Answer::bare(204)),
    }
}

fn accepted(key: &str) -> Decision<'_> {
    decision(Some(key), Outcome::Accepted, None)
}

const KEY: &str = "000000000001";

fn read(body: &[u8]) -> Value {
    UsageReport::parse(body).expect("control takes it");
    serde_json::from_slice(body).expect("JSON")
}

/// A step of a story: the time in milliseconds and what happens then.
enum Step {
    Use,
    /// The sequence that is due.
    Due(Option<u64>),
    Hear(u64, Heard),
}

#[test]
fn a_report_is_sent_until_it_is_acknowledged_and_nothing_before_it() {
    use Heard::{Counted, Failed, Refused};
    use Step::{Due, Hear, Use};
    let stories: &[(&str, &[(u64, Step)])] = &[
        ("nothing happened, nothing is said", &[(0, Due(None)), (60_000, Due(None))]),
        (
            "the first soon, the next after a pause",
            &[
                (5_000, Use),
                (5_999, Due(None)),
                (6_000, Due(Some(1))),
                (6_100, Due(None)),
                (6_200, Hear(1, Counted)),
                (6_300, Use),
                (15_999, Due(None)),
                (16_000, Due(Some(2))),
                (16_001, Hear(2, Counted)),
                (60_000, Use),
                (60_999, Due(None)),
                (61_000, Due(Some(3))),
            ],
        ),
        (
            "what failed comes again, later each time",
            &[
                (0, Use),
                (1_000, Due(Some(1))),
                (1_100, Hear(1, Failed)),
                (1_200, Use),
                (2_099, Due(None)),
                (2_100, Due(Some(1))),
                (2_200, Hear(1, Failed)),
                (4_199, Due(None)),
                (4_200, Due(Some(1))),
                (4_300, Hear(1, Counted)),
                (14_200, Due(Some(2))),
            ],
        ),
        (
            "an answer that never came, or came to nobody",
            &[
                (0, Use),
                (1_000, Due(Some(1))),
                (15_999, Due(None)),
                (16_000, Due(Some(1))),
                (16_001, Hear(1, Counted)),
                (16_002, Hear(1, Counted)),
                (60_000, Due(None)),
            ],
        ),
        (
            "what control will never take is dropped",
            &[(0, Use), (1_000, Due(Some(1))), (1_001, Hear(1, Refused)), (60_000, Due(None))],
        ),
        (
            "an answer to another report is nobody's",
            &[(0, Use), (1_000, Due(Some(1))), (1_001, Hear(9, Counted)), (16_000, Due(Some(1)))],
        ),
    ];
    for (name, story) in stories {
        let mut usage = Usage::new("edge", 7);
        let mut bodies: HashMap<u64, Vec<u8>> = HashMap::new();
        for (at, step) in *story {
            match step {
                Use => usage.note(&accepted(KEY), 3_700, *at),
                Hear(sequence, heard) => usage.conclude(*sequence, *heard, *at),
                Due(expected) => {
                    let due = usage.due(*at).map(|(sequence, body)| (sequence, body.to_vec()));
                    assert_eq!(due.as_ref().map(|due| due.0), *expected, "{name} at {at}");
                    if let Some((sequence, body)) = due {
                        let first = bodies.entry(sequence).or_insert_with(|| body.clone());
                        assert_eq!(*first, body, "{name}: sent again as it was");
                    }
                }
            }
        }
    }
}

#[test]
fn a_report_says_what_was_counted() {
    let mut usage = Usage::new("edge", 0xabc);
    let seen = |name: &'static str, micros: Option<i64>, delay_seconds| Seen {
        name: name.into(),
        money: micros.map(|micros| Money { currency: *b"EUR", micros }),
        delay_seconds,
    };
    let events = vec![
        seen("purchase", Some(2_500_000), Some(3)),
        seen("purchase", Some(-500_000), Some(4)),
        seen("other", None, None),
    ];
    usage.note(&Decision { events, ..accepted(KEY) }, 3_700, 0);
    usage.note(&decision(Some(KEY), Outcome::Refused, Some(Reason::Revoked)), 3_701, 0);
    usage.note(&decision(Some(KEY), Outcome::Refused, Some(Reason::Revoked)), 3_699, 0);
    usage.note(&decision(Some(KEY), Outcome::DryRun, Some(Reason::Expired)), 3_702, 0);
    usage.note(&decision(Some(KEY), Outcome::Off, None), 3_800, 0);
    usage.note(&decision(None, Outcome::Refused, Some(Reason::UnknownSecret)), 3_800, 0);
    let (sequence, body) = usage.due(1_000).expect("due");
    assert_eq!(sequence, 1);
    let expected = json!({"gate": "edge", "vm": "0000000000000abc", "sequence": 1, "left_out": 0, "keys": [{
        "key": KEY, "stream": "G-A", "hour": 3_600, "accepted": 1, "last_accept_time": 3_700,
        "last_refuse_time": 3_702, "refused": [{"name": "revoked", "count": 2}],
        "dry_run": [{"name": "expired", "count": 1}],
        "events": [
            {"name": "purchase", "count": 2, "values": [{"currency": "EUR", "micros": 2_000_000}]},
            {"name": "other", "count": 1, "values": []}],
        "timed": 2, "delay_seconds": 7,
    }]});
    assert_eq!(read(body), expected);
}

#[test]
fn many_keys_make_many_reports_at_once_and_too_many_are_left_out() {
    let mut usage = Usage::new("edge", 1);
    let keys = SLOTS_MAX + 3;
    for key in 0..keys {
        usage.note(&accepted(&format!("{key:012}")), 3_600, 0);
    }
    // An hour later each would take another slot, and there is none.
    usage.note(&accepted(KEY), 7_200, 0);
    usage.note(&accepted(KEY), 3_601, 0);
    let (mut reported, mut left_out, mut reports) = (0, 0, 0);
    let mut now = 1_000;
    while let Some((sequence, body)) = usage.due(now) {
        let report = read(body);
        assert!(body.len() < mpgate_contract::limits::REPORT_BYTES_MAX);
        let listed = report["keys"].as_array().expect("keys");
        reported += listed.iter().map(|it| it["accepted"].as_u64().expect("a count")).sum::<u64>();
        left_out += report["left_out"].as_u64().expect("a count");
        reports += 1;
        usage.conclude(sequence, Heard::Counted, now);
        now += if listed.len() == REPORT_KEYS_MAX { 0 } else { 10_000 };
    }
    assert_eq!((reported, left_out), (SLOTS_MAX as u64 + 1, 4));
    // The last of them but for one waits for its turn.
    assert!(reports >= SLOTS_MAX / REPORT_KEYS_MAX - 1, "{reports}");
}

#[test]
fn what_a_vm_leaves_is_told_by_another_as_it_was() {
    let mut old = Usage::new("edge", 1);
    old.note(&accepted(KEY), 3_600, 0);
    let sent = old.due(1_000).map(|(_, body)| body.to_vec()).expect("due");
    for key in 0..=REPORT_KEYS_MAX {
        old.note(&accepted(&format!("{key:012}")), 3_600, 1_000);
    }
    let left = old.leave();
    assert_eq!((left.len(), left.first()), (3, Some(&sent)), "control may have that one already");
    assert_eq!((old.leave().len(), old.due(99_000)), (0, None));

    let mut new = Usage::new("edge", 2);
    new.adopt(Vec::new(), 4_000);
    new.note(&accepted(KEY), 3_600, 4_000);
    new.adopt(left.clone(), 4_100);
    let (mut told, mut now) = (Vec::new(), 4_100);
    for number in 1..=3 {
        let (due, body) = new.due(now).expect("at once, one after the other");
        assert_eq!(due, number);
        told.push(body.to_vec());
        new.conclude(number, Heard::Failed, now);
        assert_eq!(new.due(now), None, "it is tried again");
        now += 1_000;
        let again = new.due(now).map(|(_, body)| body.to_vec());
        assert_eq!(again.as_ref(), told.last());
        new.conclude(number, Heard::Counted, now);
    }
    assert_eq!(told, left);
    let sequences: Vec<Value> = told.iter().map(|body| read(body)["sequence"].clone()).collect();
    assert_eq!(sequences, [1, 2, 3]);
    let (_, own) = new.due(60_000).expect("its own");
    let own = read(own);
    assert_eq!((&own["vm"], &own["sequence"]), (&json!("0000000000000002"), &json!(1)));
    // One that ends in its turn leaves what it adopted, too.
    new.conclude(4, Heard::Counted, 60_000);
    new.adopt(left.clone(), 60_000);
    assert_eq!(new.leave(), left);
}

#[test]
fn names_and_currencies_are_bounded() {
    let mut usage = Usage::new("edge", 1);
    let money = |code: usize| {
        let letter = |at: usize| b'A' + u8::try_from(at % 26).expect("a letter");
        Some(Money { currency: [letter(code / 26), letter(code), b'X'], micros: 1_000 })
    };
    for name in 0..200 {
        for code in 0..20 {
            let name = format!("event_{name}").into();
            let events = vec![Seen { name, money: money(code), delay_seconds: None }];
            usage.note(&Decision { events, ..accepted(KEY) }, 3_600, 0);
        }
    }
    let report = read(usage.due(1_000).expect("due").1);
    let events = report["keys"][0]["events"].as_array().expect("events");
    let count =
        |of: &[Value]| of.iter().map(|it| it["count"].as_u64().expect("a count")).sum::<u64>();
    assert_eq!(count(events), 4_000, "none is lost");
    // `other` has a place as soon as a value has none of its own, and then one name less has one.
    assert_eq!(events.len(), 63);
    let values: Vec<i64> = events
        .iter()
        .flat_map(|event| event["values"].as_array().into_iter().flatten())
        .map(|value| value["micros"].as_i64().expect("a value"))
        .collect();
    assert_eq!(values.iter().sum::<i64>(), 4_000_000, "no value is lost");
    assert_eq!(values.len(), 64);
    assert_eq!(events.iter().filter(|it| it["name"] == "other").count(), 1);
}

#[test]
fn an_answer_is_read_by_its_status() {
    for (status, heard) in [
        (&b"200"[..], Heard::Counted),
        (b"400", Heard::Refused),
        (b"413", Heard::Refused),
        (b"401", Heard::Failed),
        (b"403", Heard::Failed),
        (b"404", Heard::Failed),
        (b"429", Heard::Failed),
        (b"503", Heard::Failed),
        (b"", Heard::Failed),
    ] {
        assert_eq!(Heard::of(status), heard, "{status:?}");
    }
}
