//! The plugin configuration, parsed once. Strangers, doubles and values over a limit are refused:
//! Envoy then keeps the configuration it has.

use core::fmt;

use mpgate_contract::{Environment, Mode, limits};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Told;
use crate::inline::{Inline, WrittenInline};

/// Below this a list would be stale between two answers of a control that is well.
const STALENESS_SECONDS_MIN: u64 = 60;

/// A year: longer is never.
const STALENESS_SECONDS_MAX: u64 = 365 * 24 * 60 * 60;

/// How a gate is set up.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The gate's name: two gates of one Envoy share a list only under one name.
    pub gate: String,
    /// The mode of streams that have none of their own.
    pub mode: Mode,
    /// The mode of the protocol's own rules where a stream has none of its own.
    pub protocol_rules: Mode,
    /// Whether refusals look like GA4's answer to anything, where a stream does not say.
    pub silent: bool,
    /// The environment this gate serves; streams of another are refused. Without one: all.
    pub environment: Option<Environment>,
    /// Where senders may put their secret.
    pub credentials: Credentials,
    /// What becomes of paths outside the protocol.
    pub unknown_paths: UnknownPaths,
    /// Whether query parameters that the protocol does not know are forwarded.
    pub keep_other_parameters: bool,
    /// What filter state tells of each decision; each costs what a header does.
    pub filter_state: Vec<Told>,
    /// Senders with a series of their own in the metrics.
    pub senders_max: usize,
    /// Age in seconds from which the list counts as stale.
    pub max_staleness_seconds: u64,
    /// What holds then.
    pub when_stale: WhenStale,
    /// Whether [`crate::READY_PATH`] is answered.
    pub ready: bool,
    /// What the filter does with requests.
    pub serve: Serve,
    /// Where the list comes from. Without one an inline list is all there is.
    pub control: Option<Control>,
    /// A list to begin with, not checked yet.
    pub inline: Option<Inline>,
}

/// What holds once the list is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenStale {
    /// The last list.
    LastList,
    /// Nothing: 503 until there is news.
    Deny,
}

/// What the filter does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serve {
    /// Judges them.
    Gate,
    /// Answers [`crate::STATUS_PATH`] for the gate of this name, and nothing else.
    Status,
}

/// Where senders may put their secret. At least one place is set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The protocol's own `api_secret`.
    pub query: bool,
    /// The header `x-api-secret`.
    pub x_api_secret: bool,
    /// The header `authorization`, scheme `Bearer`.
    pub authorization: bool,
}

/// What becomes of a path outside the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPaths {
    /// 404.
    Refuse,
    /// Forwarded unjudged, for a listener that serves others too.
    Pass,
}

/// Where the list comes from.
#[derive(Clone, PartialEq, Eq)]
pub struct Control {
    /// Envoy's cluster for the control service.
    pub cluster: String,
    /// The `:authority` of requests to it.
    pub authority: String,
    /// Time from an answer without news to the next question, in milliseconds.
    pub poll_interval_milliseconds: u64,
    /// How long control may hold a question open, in seconds.
    pub wait_seconds: u64,
    /// Entries asked for in one page.
    pub page_entries: usize,
    /// Who polls.
    pub pollers: Pollers,
}

/// Which of an Envoy's workers poll.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pollers {
    /// The holder of the lease: one request at a time for the whole Envoy.
    One,
    /// Each for itself. Correct as well, only dearer; for finding out whether a lease is at fault.
    All,
}

/// Why a configuration is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct SettingsError(pub(crate) String);

impl fmt::Display for SettingsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl core::error::Error for SettingsError {}

/// The configuration as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    gate: String,
    #[serde(default = "enforce")]
    mode: Mode,
    #[serde(default = "dry_run")]
    protocol_rules: Mode,
    #[serde(default)]
    silent: bool,
    environment: Option<Environment>,
    #[serde(default = "query_only")]
    credentials: Vec<Place>,
    #[serde(default = "refuse")]
    unknown_paths: UnknownPaths,
    #[serde(default, deserialize_with = "keep_or_drop")]
    other_parameters: bool,
    #[serde(default = "each")]
    filter_state: Vec<Told>,
    #[serde(default = "senders_max")]
    senders_max: usize,
    #[serde(default = "max_staleness_seconds")]
    max_staleness_seconds: u64,
    #[serde(default = "last_list")]
    when_stale: WhenStale,
    #[serde(default)]
    ready: bool,
    #[serde(default = "gate")]
    serve: Serve,
    control: Option<WrittenControl>,
    #[serde(borrow)]
    allowlist: Option<WrittenInline<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenControl {
    cluster: String,
    authority: Option<String>,
    #[serde(default = "poll_interval_milliseconds")]
    poll_interval_milliseconds: u64,
    #[serde(default = "wait_seconds")]
    wait_seconds: u64,
    #[serde(default = "page_entries")]
    page_entries: usize,
    #[serde(default = "one")]
    pollers: Pollers,
}

/// One word of `credentials`.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Place {
    Query,
    XApiSecret,
    Authorization,
}

const fn dry_run() -> Mode {
    Mode::DryRun
}

fn query_only() -> Vec<Place> {
    vec![Place::Query]
}

fn each() -> Vec<Told> {
    Told::EACH.to_vec()
}

const fn enforce() -> Mode {
    Mode::Enforce
}

const fn refuse() -> UnknownPaths {
    UnknownPaths::Refuse
}

const fn senders_max() -> usize {
    limits::SENDERS_MAX
}

const fn max_staleness_seconds() -> u64 {
    24 * 60 * 60
}

const fn last_list() -> WhenStale {
    WhenStale::LastList
}

const fn gate() -> Serve {
    Serve::Gate
}

const fn poll_interval_milliseconds() -> u64 {
    250
}

const fn wait_seconds() -> u64 {
    limits::WAIT_SECONDS_MAX
}

const fn page_entries() -> usize {
    limits::PAGE_ENTRIES_DEFAULT
}

const fn one() -> Pollers {
    Pollers::One
}

fn keep_or_drop<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Keep,
        Drop,
    }
    Word::deserialize(deserializer).map(|word| matches!(word, Word::Keep))
}

impl Settings {
    /// Reads a plugin configuration, and checks all of it.
    ///
    /// # Errors
    /// What is wrong with it, where, and what would be right.
    pub fn parse(bytes: &[u8]) -> Result<Self, SettingsError> {
        let settings = Self::read(bytes)?;
        settings.inline.as_ref().map_or(Ok(()), |inline| inline.check().map(drop))?;
        Ok(settings)
    }

    /// Reads a plugin configuration, but does not look into an inline list: another VM may have done so
    /// already, see [`crate::AllowList::offer`].
    ///
    /// # Errors
    /// What is wrong with it, where, and what would be right.
    pub fn read(bytes: &[u8]) -> Result<Self, SettingsError> {
        let written: Written<'_> = serde_json::from_slice(bytes)
            .map_err(|error| SettingsError(format!("the plugin configuration: {error}")))?;
        let places = &written.credentials;
        if places.is_empty() {
            return Err(SettingsError(
                "credentials is empty, but a secret has to come from somewhere".to_owned(),
            ));
        }
        is_name("gate", &written.gate)?;
        is_one_of("senders_max", written.senders_max as u64, 1, limits::SENDERS_MAX as u64)?;
        is_one_of(
            "max_staleness_seconds",
            written.max_staleness_seconds,
            STALENESS_SECONDS_MIN,
            STALENESS_SECONDS_MAX,
        )?;
        let control = written.control.map(WrittenControl::check).transpose()?;
        let inline = written.allowlist.map(Inline::read).transpose()?;
        if written.serve == Serve::Status && inline.is_some() {
            return Err(SettingsError(
                "allowlist: serve is status, and a status page has no list of its own".to_owned(),
            ));
        }
        if written.serve == Serve::Gate && control.is_none() && inline.is_none() {
            return Err(SettingsError(
                "control is missing, and so is allowlist: the list has to come from somewhere"
                    .to_owned(),
            ));
        }
        Ok(Self {
            gate: written.gate,
            mode: written.mode,
            protocol_rules: written.protocol_rules,
            silent: written.silent,
            environment: written.environment,
            credentials: Credentials {
                query: places.contains(&Place::Query),
                x_api_secret: places.contains(&Place::XApiSecret),
                authorization: places.contains(&Place::Authorization),
            },
            unknown_paths: written.unknown_paths,
            keep_other_parameters: written.other_parameters,
            filter_state: written.filter_state,
            senders_max: written.senders_max,
            max_staleness_seconds: written.max_staleness_seconds,
            when_stale: written.when_stale,
            ready: written.ready,
            serve: written.serve,
            control,
            inline,
        })
    }

    /// Envoy's cluster for the control service, if there is one.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.control.as_ref().map(|control| control.cluster.as_str())
    }
}

impl WrittenControl {
    fn check(self) -> Result<Control, SettingsError> {
        is_text("control.cluster", &self.cluster)?;
        let authority = self.authority.unwrap_or_else(|| self.cluster.clone());
        is_text("control.authority", &authority)?;
        let interval = self.poll_interval_milliseconds;
        is_one_of("control.poll_interval_milliseconds", interval, 50, 60_000)?;
        is_one_of("control.wait_seconds", self.wait_seconds, 0, limits::WAIT_SECONDS_MAX)?;
        let page_entries_max = limits::PAGE_ENTRIES_MAX as u64;
        is_one_of("control.page_entries", self.page_entries as u64, 1, page_entries_max)?;
        Ok(Control {
            cluster: self.cluster,
            authority,
            poll_interval_milliseconds: interval,
            wait_seconds: self.wait_seconds,
            page_entries: self.page_entries,
            pollers: self.pollers,
        })
    }
}

fn is_name(member: &str, text: &str) -> Result<(), SettingsError> {
    let good = (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good {
        return Ok(());
    }
    Err(SettingsError(format!(
        "{member} is {text:?}, but has to be 1 to 63 lower-case letters, digits or '-'"
    )))
}

fn is_text(member: &str, text: &str) -> Result<(), SettingsError> {
    if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(SettingsError(format!(
        "{member} is {text:?}, but has to be 1 to 255 printable ASCII characters without spaces"
    )))
}

fn is_one_of(member: &str, value: u64, min: u64, max: u64) -> Result<(), SettingsError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(SettingsError(format!("{member} is {value}, but has to be {min} to {max}")))
}

#[cfg(test)]
mod tests;
