//! What the senders send: purchases as a shop's backend reports them.

use serde_json::{Value, json};

use crate::keys::{SENDING, STREAM, secret};
use crate::load::Event;
use crate::variants::Sent;

/// No key has this number.
const NOBODY: usize = usize::MAX;

pub(crate) fn of(sent: Sent) -> Event {
    let number = if sent == Sent::Unknown { NOBODY } else { SENDING };
    let secret = secret(number);
    let body = match sent {
        Sent::Small => body(1, 3).to_string(),
        Sent::Large => body(20, 47).to_string(),
        // Envoy closes a connection of HTTP/1.1 whose body it did not wait for; that is not the filter's cost.
        Sent::Unknown => String::new(),
    };
    Event {
        target: format!("/mp/collect?measurement_id={STREAM}&api_secret={secret}"),
        body: body.into(),
        status: if sent == Sent::Unknown { 401 } else { 204 },
    }
}

/// So many purchases, of so many items each.
fn body(events: usize, items: usize) -> Value {
    let item = |number| {
        json!({
            "item_id": format!("SKU-{number}"),
            "item_name": "Stoneware mug, 350 ml",
            "item_category": "Kitchen",
            "price": 12.5,
            "quantity": 2,
        })
    };
    let items: Vec<Value> = (0..items).map(item).collect();
    let event = |number| {
        json!({
            "name": "purchase",
            "params": {
                "transaction_id": format!("T-{number}"),
                "currency": "EUR",
                "value": 50.0,
                "tax": 7.98,
                "shipping": 4.9,
                "engagement_time_msec": 100,
                "session_id": "1790000000",
                "items": items,
            },
        })
    };
    let events: Vec<Value> = (0..events).map(event).collect();
    json!({
        "client_id": "1234567890.1700000000",
        "user_id": "u-829301",
        "non_personalized_ads": false,
        "events": events,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_sizes_that_the_rows_name() {
        let size = |sent| of(sent).body.len();
        assert!((550..650).contains(&size(Sent::Small)), "{}", size(Sent::Small));
        assert!((95_000..110_000).contains(&size(Sent::Large)), "{}", size(Sent::Large));
    }
}
