//! The third part of the suite: what gates counted and backends posted.

use std::sync::Arc;

use mpgate_contract::{KeyId, StreamId};
use mpgate_control::model::{
    Counted, DAY_SECONDS, Measure, Principal, Reconciliation, Role, SenderDay, Slice, Span,
    UsageCount, UsageQuery, ValueTotal,
};
use mpgate_control::names::PrincipalId;
use mpgate_control::store::{Store, Write};

use super::{ALL, NOW, consumer, id, world};

const DAY: i64 = NOW / DAY_SECONDS * DAY_SECONDS;
const VM: &str = "0123456789abcdef";

async fn gateway(write: &mut dyn Write) -> PrincipalId {
    let edge = PrincipalId::parse("edge").expect("an id");
    let principal = Principal {
        id: edge.clone(),
        display_name: String::new(),
        role: Role::Gateway,
        consumers: vec![],
        environment: None,
        version: 1,
        create_time: NOW,
        revoke_time: None,
    };
    write.insert_principal(&principal).await.expect("a principal");
    edge
}

fn count(key: &KeyId, hour: i64, counted: Counted, name: &str, count: i64) -> UsageCount {
    let currency = if counted == Counted::Value { "EUR" } else { "" };
    UsageCount {
        key: key.clone(),
        hour,
        stream: StreamId::parse("G-A").ok(),
        counted,
        name: name.to_owned(),
        currency: currency.to_owned(),
        count,
    }
}

fn query(span: Span) -> UsageQuery {
    let (start, end) = (0, DAY + 3 * DAY_SECONDS);
    UsageQuery { consumer: id("acme"), sender: None, key: None, start, end, span, limit: 100 }
}

/// The sums of one thing, by span.
async fn sums(store: &Arc<dyn Store>, query: &UsageQuery, counted: Counted) -> Vec<(i64, i64)> {
    let mut read = store.read().await.expect("a reader");
    let sums = read.usage(query).await.expect("an answer");
    sums.into_iter().filter(|it| it.counted == counted).map(|it| (it.start, it.sum)).collect()
}

pub(super) async fn a_report_is_taken_once(store: &Arc<dyn Store>) {
    let mut write = store.write().await.expect("the writer");
    let edge = gateway(&mut *write).await;
    let other = "fedcba9876543210";
    for (vm, sequence, taken) in
        [(VM, 1, true), (VM, 1, false), (VM, 3, true), (VM, 2, false), (other, 1, true)]
    {
        let answer = write.take_report(&edge, vm, sequence, NOW).await.expect("an answer");
        assert_eq!(answer, taken, "{vm} {sequence}");
    }
}

pub(super) async fn counts_add_up(store: &Arc<dyn Store>) {
    let keys = world(store, 2).await;
    let [one, two] = [0, 1].map(|at: usize| keys[at].grant.key_id.clone());
    let mut write = store.write().await.expect("the writer");
    let stranger = KeyId::parse("zzzzzzzzzzzz").expect("an id");
    for _ in 0..2 {
        let counts = [
            count(&one, DAY, Counted::Accepted, "", 5),
            count(&one, DAY + 3_600, Counted::Accepted, "", 1),
            count(&one, DAY + DAY_SECONDS, Counted::Accepted, "", 7),
            count(&two, DAY, Counted::Value, "purchase", -3_000_000),
            count(&stranger, DAY, Counted::Accepted, "", 99),
        ];
        write.add_usage(&counts).await.expect("counted");
    }
    // No number grows beyond what sums stay right with.
    for _ in 0..3 {
        let most = [count(&two, DAY, Counted::Event, "purchase", i64::MAX)];
        write.add_usage(&most).await.expect("counted");
    }
    write.commit().await.expect("a commit");
    let accepted = async |query: UsageQuery| sums(store, &query, Counted::Accepted).await;
    assert_eq!(accepted(query(Span::Whole)).await, [(0, 26)]);
    assert_eq!(accepted(query(Span::Day)).await, [(DAY, 12), (DAY + DAY_SECONDS, 14)]);
    let hours = [(DAY, 10), (DAY + 3_600, 2), (DAY + DAY_SECONDS, 14)];
    assert_eq!(accepted(query(Span::Hour)).await, hours);
    let second = UsageQuery { start: DAY + DAY_SECONDS, ..query(Span::Day) };
    assert_eq!(accepted(second).await, [(DAY + DAY_SECONDS, 14)]);
    let first = UsageQuery { end: DAY + DAY_SECONDS, ..query(Span::Whole) };
    assert_eq!(accepted(first).await, [(0, 12)]);
    let of_one = UsageQuery { key: Some(one.clone()), ..query(Span::Whole) };
    assert_eq!(sums(store, &of_one, Counted::Event).await, []);
    let of_sender = UsageQuery { sender: Some("s1".to_owned()), ..query(Span::Whole) };
    assert_eq!(sums(store, &of_sender, Counted::Value).await, [(0, -6_000_000)]);
    assert_eq!(sums(store, &of_sender, Counted::Event).await, [(0, 4_000_000_000_000_000_000)]);
    let elsewhere = UsageQuery { consumer: id("blue"), ..query(Span::Whole) };
    assert_eq!(accepted(elsewhere).await, []);
    let mut read = store.read().await.expect("a reader");
    let few = UsageQuery { limit: 2, ..query(Span::Hour) };
    assert_eq!(read.usage(&few).await.expect("an answer").len(), 2);
    let places = read.places(&[two, stranger]).await.expect("an answer");
    assert_eq!(places.into_iter().map(|it| it.is_some()).collect::<Vec<_>>(), [true, false]);
    assert_eq!(read.senders(&id("acme")).await.expect("an answer"), ["s0", "s1"]);
}

fn reconciled(sender: &str, day: i64, event: &str, gate_count: Option<i64>) -> Reconciliation {
    let measure = if gate_count.is_some() { Measure::Partly } else { Measure::EventNotNamed };
    let gate_micros = gate_count.map(|count| count * 1_000_000);
    Reconciliation {
        consumer: id("acme"),
        of: SenderDay {
            sender: sender.to_owned(),
            stream: StreamId::parse("G-A").expect("an id"),
            day,
        },
        event: event.to_owned(),
        count: 10,
        measure,
        gate_count,
        values: vec![ValueTotal { currency: "EUR".to_owned(), micros: -5, gate_micros }],
        principal: PrincipalId::parse("job").expect("an id"),
        reconcile_time: NOW,
    }
}

async fn put(write: &mut dyn Write, all: &[Reconciliation]) {
    let of = &all[0].of;
    write.put_reconciliations(&id("acme"), of, all).await.expect("kept");
}

pub(super) async fn a_senders_day_is_replaced(store: &Arc<dyn Store>) {
    world(store, 1).await;
    let old = DAY - DAY_SECONDS;
    let all = [
        reconciled("a", old, "purchase", Some(9)),
        reconciled("a", DAY, "purchase", Some(8)),
        reconciled("a", DAY, "refund", None),
        reconciled("b", old, "purchase", Some(0)),
    ];
    let mut write = store.write().await.expect("the writer");
    write.insert_consumer(&consumer("blue")).await.expect("a consumer");
    put(&mut *write, &all[..1]).await;
    put(&mut *write, &[reconciled("a", DAY, "login", Some(1))]).await;
    put(&mut *write, &all[3..]).await;
    // Again, and other events: the old ones are gone.
    put(&mut *write, &all[1..3]).await;
    write.commit().await.expect("a commit");
    let mut read = store.read().await.expect("a reader");
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let slice = Slice { after, limit: 1, show_deleted: false };
        let part = read.reconciliations(&id("acme"), slice).await.expect("an answer");
        found.extend(part.items);
        let Some(next) = part.next else { break };
        after = next;
    }
    let kept = [&all[0], &all[3], &all[1], &all[2]];
    assert_eq!(found.iter().collect::<Vec<_>>(), kept);
    let elsewhere = read.reconciliations(&id("blue"), ALL).await.expect("an answer");
    assert!(elsewhere.items.is_empty());
    let newest = read.newest_reconciliations(100).await.expect("an answer");
    assert_eq!(newest.iter().collect::<Vec<_>>(), [&all[1], &all[2], &all[3]]);
    assert_eq!(read.newest_reconciliations(2).await.expect("an answer").len(), 2);
}

pub(super) async fn what_is_old_is_forgotten(store: &Arc<dyn Store>) {
    let keys = world(store, 1).await;
    let key = &keys[0].grant.key_id;
    let mut write = store.write().await.expect("the writer");
    let edge = gateway(&mut *write).await;
    write.take_report(&edge, VM, 5, NOW - 10).await.expect("an answer");
    for hour in 0..5 {
        let counts = [count(key, DAY + hour * 3_600, Counted::Accepted, "", 1)];
        write.add_usage(&counts).await.expect("counted");
    }
    for day in [DAY - DAY_SECONDS, DAY, DAY + DAY_SECONDS] {
        put(&mut *write, &[reconciled("a", day, "purchase", Some(1))]).await;
    }
    write.commit().await.expect("a commit");
    let hours = async || sums(store, &query(Span::Hour), Counted::Accepted).await.len();
    // Hours and days before the fourth hour; two of a kind at a time.
    for (forgotten, left) in [(2, 3), (2, 2), (0, 2)] {
        let mut write = store.write().await.expect("the writer");
        let before = DAY + 3 * 3_600;
        let done = write.forget_usage(before, NOW - 10, 2).await.expect("forgotten");
        // What came at the very time stays.
        let answer = write.take_report(&edge, VM, 5, NOW - 10).await.expect("an answer");
        assert!(!answer, "a reporter was forgotten too early");
        write.commit().await.expect("a commit");
        assert_eq!(hours().await, left);
        // The days go within the first turn.
        assert_eq!(done, if left == 2 && forgotten == 2 { 1 } else { forgotten });
    }
    let mut write = store.write().await.expect("the writer");
    let kept = write.reconciliations(&id("acme"), ALL).await.expect("an answer").items;
    assert_eq!(kept.iter().map(|one| one.of.day).collect::<Vec<_>>(), [DAY + DAY_SECONDS]);
    assert_eq!(write.forget_usage(0, NOW, 10).await.expect("forgotten"), 1);
    assert!(write.take_report(&edge, VM, 5, NOW).await.expect("an answer"));
}
