//! Names: their shape, and those that are Google's own.

use core::fmt;

use super::super::StreamKind;
use super::limits::{NAME_CHARACTERS_MAX, USER_PROPERTY_NAME_CHARACTERS_MAX};

/// Reserved event names (G-REF). The help centre's longer list is for events made in its own pages
/// and holds `page_view`, which is ordinary here.
const EVENTS_RESERVED: &[&str] = &[
    "ad_activeview",
    "ad_click",
    "ad_exposure",
    "ad_query",
    "ad_reward",
    "adunit_exposure",
    "app_clear_data",
    "app_exception",
    "app_install",
    "app_remove",
    "app_store_refund",
    "app_update",
    "app_upgrade",
    "dynamic_link_app_open",
    "dynamic_link_app_update",
    "dynamic_link_first_open",
    "error",
    "firebase_campaign",
    "firebase_in_app_message_action",
    "firebase_in_app_message_dismiss",
    "firebase_in_app_message_impression",
    "first_open",
    "first_visit",
    "notification_dismiss",
    "notification_foreground",
    "notification_open",
    "notification_receive",
    "notification_send",
    "os_update",
    "session_start",
    "user_engagement",
];

/// The events that the protocol recommends, whatever they require.
const EVENTS_RECOMMENDED: &[&str] = &[
    "ad_impression",
    "add_payment_info",
    "add_shipping_info",
    "add_to_cart",
    "add_to_wishlist",
    "begin_checkout",
    "campaign_details",
    "close_convert_lead",
    "close_unconvert_lead",
    "disqualify_lead",
    "earn_virtual_currency",
    "exception",
    "generate_lead",
    "in_app_purchase",
    "join_group",
    "level_end",
    "level_start",
    "level_up",
    "login",
    "page_view",
    "post_score",
    "purchase",
    "qualify_lead",
    "refund",
    "remove_from_cart",
    "screen_view",
    "search",
    "select_content",
    "select_item",
    "select_promotion",
    "share",
    "sign_up",
    "spend_virtual_currency",
    "tutorial_begin",
    "tutorial_complete",
    "unlock_achievement",
    "view_cart",
    "view_item",
    "view_item_list",
    "view_promotion",
    "view_search_results",
    "working_lead",
];

/// The event of this name, if the protocol recommends it. A gate counts it by its own name, whatever its key is granted.
#[must_use]
pub fn recommended(name: &str) -> Option<&'static str> {
    EVENTS_RECOMMENDED.iter().copied().find(|known| *known == name)
}

/// Events of app streams only (G-REF).
const EVENTS_OF_APPS: &[&str] = &["ad_impression", "in_app_purchase", "screen_view"];

/// Reserved parameter prefixes (G-REF); an item's parameters are parameters. The one reserved name,
/// `firebase_conversion`, has one of them.
const PARAM_PREFIXES_RESERVED: &[&str] = &["_", "firebase_", "ga_", "google_", "gtag."];

/// Reserved user property names and prefixes (G-REF).
const USER_PROPERTIES_RESERVED: &[&str] = &[
    "first_open_time",
    "first_visit_time",
    "last_deep_link_referrer",
    "user_id",
    "first_open_after_install",
];
const USER_PROPERTY_PREFIXES_RESERVED: &[&str] = &["_", "firebase_", "ga_", "google_"];

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::body) enum NameFault {
    /// It does not start with a letter.
    Start,
    /// It has something else than letters, digits and underscores.
    Alphabet,
    /// It is longer than this many characters.
    Length(usize),
    /// It is Google's own.
    Reserved,
    /// It is for app streams.
    AppOnly,
}

impl fmt::Display for NameFault {
    /// The sentence that follows the name in a violation; the first two are GA4's.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => out.write_str("Names must start with an alphabetic character."),
            Self::Alphabet => {
                out.write_str("Only alphanumeric characters and underscores are allowed.")
            }
            Self::Length(max) => write!(out, "Names must have at most [{max}] characters."),
            Self::Reserved => out.write_str("The name is reserved."),
            Self::AppOnly => out.write_str("The name is reserved for app streams."),
        }
    }
}

/// What is wrong with an event's name.
pub(in crate::body) fn event(name: &str, stream: StreamKind) -> Option<NameFault> {
    if EVENTS_RESERVED.contains(&name) {
        return Some(NameFault::Reserved);
    }
    if stream == StreamKind::Web && EVENTS_OF_APPS.contains(&name) {
        return Some(NameFault::AppOnly);
    }
    shape(name, NAME_CHARACTERS_MAX)
}

/// What is wrong with the name of a parameter, of an event or of an item.
pub(in crate::body) fn param(name: &str) -> Option<NameFault> {
    reserved(name, &[], PARAM_PREFIXES_RESERVED).or_else(|| shape(name, NAME_CHARACTERS_MAX))
}

/// What is wrong with a user property's name.
pub(in crate::body) fn user_property(name: &str) -> Option<NameFault> {
    reserved(name, USER_PROPERTIES_RESERVED, USER_PROPERTY_PREFIXES_RESERVED)
        .or_else(|| shape(name, USER_PROPERTY_NAME_CHARACTERS_MAX))
}

fn reserved(name: &str, names: &[&str], prefixes: &[&str]) -> Option<NameFault> {
    let first = name.as_bytes().first();
    let is_prefix = |prefix: &&str| prefix.as_bytes().first() == first && name.starts_with(*prefix);
    let is = names.contains(&name) || prefixes.iter().any(is_prefix);
    is.then_some(NameFault::Reserved)
}

/// `^[A-Za-z][A-Za-z0-9_]*$` and a length (G-REF, EB). The shape is ASCII, so bytes are characters.
fn shape(name: &str, characters_max: usize) -> Option<NameFault> {
    if !name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) {
        return Some(NameFault::Start);
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Some(NameFault::Alphabet);
    }
    (name.len() > characters_max).then_some(NameFault::Length(characters_max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EVENT_LABELS_MAX, Settings};

    #[test]
    fn the_page_of_metrics_counts_the_names_as_they_are() {
        let page = include_str!("../../../../../docs/metrics.md");
        let settings = Settings::parse(br#"{"gate":"g","control":{"cluster":"c"}}"#).expect("good");
        let recommended = EVENTS_RECOMMENDED.len();
        let names = recommended + EVENT_LABELS_MAX + 1;
        let series = settings.senders_max * names * 3;
        let thousands = format!("{} {:03} series of events", series / 1_000, series % 1_000);
        for told in [
            format!("the {recommended} recommended names"),
            format!("names of grants beyond {EVENT_LABELS_MAX}"),
            format!("{names} names ({recommended}, {EVENT_LABELS_MAX} of grants, `other`)"),
            format!("the default of {} senders ({thousands})", settings.senders_max),
        ] {
            assert!(page.contains(&told), "docs/metrics.md does not say: {told}");
        }
    }
}
