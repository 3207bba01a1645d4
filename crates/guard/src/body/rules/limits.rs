//! Every limit of a body, with its unit last, its source and its reason above it.

/// The whole body: "smaller than 130kB" (G-REF; EB refuses what is `> 130000`).
pub const BODY_BYTES_MAX: usize = 130_000;

/// Lists and objects inside each other. The protocol's own bodies have six levels; protobuf's parsers
/// stop at 100, `serde_json` at 127.
pub const DEPTH_MAX: usize = 100;

/// Violations listed for one body. The 101st helps nobody, and an answer has to stay small.
pub const VIOLATIONS_MAX: usize = 100;

/// How much of a sender's text a violation repeats.
pub const QUOTED_CHARACTERS_MAX: usize = 100;

/// Events in a request (G-REF).
pub const EVENTS_MAX: usize = 25;

/// Parameters of an event (G-REF; EB `maxProperties`). `null` is absent; `items` is one.
pub const PARAMS_MAX: usize = 25;

/// User properties of a request (G-REF).
pub const USER_PROPERTIES_MAX: usize = 25;

/// Items of an event (G-EV).
pub const ITEMS_MAX: usize = 200;

/// Parameters of an item that the protocol does not name (G-EV purchase; older copies say 10).
pub const ITEM_CUSTOM_PARAMS_MAX: usize = 27;

/// An event's or a parameter's name (G-REF).
pub const NAME_CHARACTERS_MAX: usize = 40;

/// A parameter's value of a standard property (G-REF). A 360 property takes 500, but the body does
/// not say which it is for.
pub const PARAM_VALUE_CHARACTERS_MAX: usize = 100;

/// Parameters with a limit of their own: G-REF for the page's, and EB, which dropped its check of the
/// two session parameters when they began to hold cookies.
pub const PARAM_VALUE_CHARACTERS_MAX_OF: &[(&str, usize)] = &[
    ("page_title", 300),
    ("page_referrer", 420),
    ("page_location", 1_000),
    ("session_id", usize::MAX),
    ("session_number", usize::MAX),
];

/// A user property's name (G-REF, EB).
pub const USER_PROPERTY_NAME_CHARACTERS_MAX: usize = 24;

/// A user property's value (G-REF, EB).
pub const USER_PROPERTY_VALUE_CHARACTERS_MAX: usize = 36;

/// `user_id` (HELP 9267744).
pub const USER_ID_CHARACTERS_MAX: usize = 256;

/// `user_data.sha256_email_address` and `user_data.sha256_phone_number` (G-REF).
pub const USER_DATA_HASHES_MAX: usize = 3;

/// `user_data.address` (G-REF).
pub const USER_DATA_ADDRESSES_MAX: usize = 2;

/// How old an event may be: 72 hours (G-REF).
pub const BACKDATING_SECONDS_MAX: u64 = 72 * 60 * 60;

/// How far ahead a timestamp may be. Google names no figure. A quarter of an hour forgives a device
/// whose clock nobody sets, and still finds the mistakes that matter: a local time sent as UTC (half
/// an hour at the least), nanoseconds in place of microseconds.
pub const SKEW_AHEAD_SECONDS_MAX: u64 = 15 * 60;
