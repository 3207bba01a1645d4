//! Every limit of the contract, with its unit last and its reason above it.

/// A presented secret longer than this is malformed. Ours have 66 bytes, GA4's 22; the rest is room
/// for adopted ones.
pub const SECRET_BYTES_MAX: usize = 256;

/// A sender's name is a metric label and a header value: short enough to read in a table.
pub const SENDER_BYTES_MAX: usize = 63;

/// A measurement consumer's id, a DNS label like AIP-122 wants resource ids.
pub const CONSUMER_BYTES_MAX: usize = 63;

/// GA4 ids have 12 (`G-…`) to about 50 bytes (`firebase_app_id`).
pub const STREAM_ID_BYTES_MAX: usize = 100;

/// An environment variable's name in `upstream_secret: replace(NAME)`.
pub const ENV_NAME_BYTES_MAX: usize = 64;

/// A key names the few streams it may write; a longer list belongs into several keys.
pub const STREAMS_PER_GRANT_MAX: usize = 50;

/// Event patterns of a grant; one prefix pattern replaces many names.
pub const EVENTS_PER_GRANT_MAX: usize = 100;

/// An event name, as GA4 has it (A3 of the protocol's limits), and so an event pattern.
pub const EVENT_NAME_CHARS_MAX: usize = 40;

/// Networks of a grant.
pub const NETWORKS_PER_GRANT_MAX: usize = 50;

/// Certificate names of a grant.
pub const CERTIFICATE_NAMES_PER_GRANT_MAX: usize = 20;

/// One subject alternative name; a SPIFFE id has at most 2 048 bytes, real ones far fewer.
pub const CERTIFICATE_NAME_BYTES_MAX: usize = 255;

/// One grant as JSON. It is read at every request of its key, so it stays small.
pub const GRANT_BYTES_MAX: usize = 8 * 1024;

/// One stream as JSON.
pub const STREAM_BYTES_MAX: usize = 8 * 1024;

/// Streams of one gateway: each gate keeps them compiled in every worker.
pub const STREAMS_MAX: usize = 1_000;

/// Senders that get a series of their own in the metrics; Envoy never frees one.
pub const SENDERS_MAX: usize = 1_000;

/// Entries in one change page. Reading a page occupies one worker, so a page must stay a matter of
/// a few milliseconds.
pub const PAGE_ENTRIES_MAX: usize = 1_000;

/// What a gate asks for when its configuration is silent. An entry takes a worker about 4.5 us (measured
/// in Envoy, grants of 100 bytes), so that a page of these is about 1.1 ms: room for larger grants below 5.
pub const PAGE_ENTRIES_DEFAULT: usize = 250;

/// One change page as JSON. A page of the largest entries is cut at the entry that would exceed it.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Pages of an inline list. Envoy keeps a configuration in memory, every worker reads it, and a list that
/// large wants a control service.
pub const INLINE_PAGES_MAX: usize = 20;

/// An epoch's name.
pub const EPOCH_BYTES_MAX: usize = 64;

/// How long control holds a change request open at most; proxies cut idle requests at 30 s and up.
pub const WAIT_SECONDS_MAX: u64 = 25;

/// Names in one `requires` list.
pub const REQUIRES_MAX: usize = 16;

/// One usage report as JSON: 50 keys with all the names they may have take less.
pub const REPORT_BYTES_MAX: usize = 1_024 * 1_024;

/// Keys of one report; what is more goes with the next. Control counts a report in one transaction, and
/// nobody else writes meanwhile.
pub const REPORT_KEYS_MAX: usize = 50;

/// Names of one kind (reasons, events, currencies) of one key in a report.
pub const REPORT_NAMES_MAX: usize = 64;

/// A gate's name in a report; Envoy's own names are shorter.
pub const REPORT_GATE_BYTES_MAX: usize = 255;

/// A reason in a report; ours have up to 25 bytes.
pub const REASON_BYTES_MAX: usize = 40;

/// No count of a report is larger: far more than an Envoy serves in a year, far less than what 63 bits add up.
pub const REPORT_COUNT_MAX: u64 = 1_000_000_000_000;

/// The value of one report in one currency, either way: nine thousand million of its units. JSON's own
/// numbers are exact up to there.
pub const REPORT_MICROS_MAX: u64 = 9_000_000_000_000_000;

/// No time of a report is later, Unix seconds: the year 2514.
pub const REPORT_TIME_MAX: u64 = 1 << 34;
