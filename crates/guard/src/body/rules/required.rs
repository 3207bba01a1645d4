//! Which parameters a recommended event requires.

use super::params::{Param, Set};

/// What a recommended event requires (EB `eventDefinitions.ts`; `purchase` and `refund` G-EV too). An
/// event that requires nothing is not listed.
const REQUIRED: &[(&str, &[Param])] = &[
    ("add_payment_info", &[Param::Value, Param::Items]),
    ("add_shipping_info", &[Param::Value, Param::Items]),
    ("add_to_cart", &[Param::Value, Param::Items]),
    ("add_to_wishlist", &[Param::Value, Param::Items]),
    ("begin_checkout", &[Param::Value, Param::Items]),
    ("generate_lead", &[Param::Value]),
    ("post_score", &[Param::Score]),
    ("purchase", &[Param::TransactionId, Param::Value, Param::Items]),
    ("refund", &[Param::TransactionId, Param::Value]),
    ("remove_from_cart", &[Param::Value, Param::Items]),
    ("search", &[Param::SearchTerm]),
    ("select_item", &[Param::Items]),
    ("spend_virtual_currency", &[Param::Value, Param::VirtualCurrencyName]),
    ("unlock_achievement", &[Param::AchievementId]),
    ("view_cart", &[Param::Value, Param::Items]),
    ("view_item", &[Param::Value, Param::Items]),
    ("view_item_list", &[Param::Items]),
    ("view_promotion", &[Param::Items]),
];

/// Events whose `value` is an amount of money and needs a `currency` (EB, which wants a `value` beside a
/// `currency` too; all of these require one anyway). Elsewhere a `value` may be anything, a page's loading time say.
const OF_MONEY: &[&str] = &[
    "add_payment_info",
    "add_shipping_info",
    "add_to_cart",
    "add_to_wishlist",
    "begin_checkout",
    "generate_lead",
    "purchase",
    "refund",
    "remove_from_cart",
    "view_cart",
    "view_item",
];

/// The parameters that an event of this name should have and that are not among those that are there.
pub(in crate::body) fn missing(event: &str, there: Set) -> impl Iterator<Item = Param> {
    let required = REQUIRED.iter().find(|(name, _)| *name == event).map(|(_, params)| *params);
    let is_money = OF_MONEY.contains(&event) && there.has(Param::Value);
    let currency = is_money.then_some(Param::Currency);
    let all = required.unwrap_or_default().iter().copied().chain(currency);
    all.filter(move |param| !there.has(*param))
}
