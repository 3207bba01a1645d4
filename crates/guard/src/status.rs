//! The status page: what an operator asks a gate. It shows no secret and no whole digest, and is served on a
//! listener of its own.

use std::collections::BTreeMap;

use mpgate_contract::{Environment, Mode, PageFault};
use serde::{Deserialize, Serialize};

use crate::settings::{UnknownPaths, WhenStale};
use crate::unknown::Shown;
use crate::{Answer, CAPABILITIES, Origin, Phase, Request, Settings, SyncState, UnknownSecrets};

/// Where the status page is.
pub const STATUS_PATH: &str = "/mpgate/status";

/// Where a gate says whether it has a list.
pub const READY_PATH: &str = "/mpgate/ready";

/// What came of the questions to control, for the whole Envoy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The last result.
    pub last_result: String,
    /// When that was, Unix seconds.
    pub last_time: u64,
    /// How often each result came.
    pub results: BTreeMap<String, u64>,
    /// Whether the list was stale when the poller looked last.
    pub is_stale: bool,
}

/// How a gate is set up, as far as its status page tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    version: String,
    mode: Mode,
    protocol_rules: Mode,
    silent: bool,
    environment: Option<Environment>,
    unknown_paths: UnknownPaths,
    max_staleness_seconds: u64,
    when_stale: WhenStale,
    control: Option<String>,
    inline_export_time: Option<u64>,
}

impl Tally {
    /// Counts a result.
    pub fn count(&mut self, result: &str, now: u64) {
        result.clone_into(&mut self.last_result);
        self.last_time = now;
        let count = self.results.entry(result.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// Pages that were answered and not taken, by what was wrong with them.
    fn refused_pages(&self) -> BTreeMap<&str, u64> {
        let faults = PageFault::ALL.iter().map(|fault| fault.label());
        let words = faults.chain(["held_empty", "killed"]);
        words.filter_map(|word| Some((word, *self.results.get(word)?))).collect()
    }
}

impl Summary {
    /// Of a gate of this version.
    #[must_use]
    pub fn of(settings: &Settings, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            mode: settings.mode,
            protocol_rules: settings.protocol_rules,
            silent: settings.silent,
            environment: settings.environment,
            unknown_paths: settings.unknown_paths,
            max_staleness_seconds: settings.max_staleness_seconds,
            when_stale: settings.when_stale,
            control: settings.cluster().map(str::to_owned),
            inline_export_time: settings.inline.as_ref().map(crate::Inline::export_time),
        }
    }
}

/// What the page says.
#[derive(Serialize)]
struct Page<'a> {
    gate: &'a str,
    instance: &'a str,
    capabilities: &'static [&'static str],
    /// Absent until a gate of this name was configured in this Envoy.
    #[serde(flatten)]
    settings: Option<&'a Summary>,
    ready: bool,
    phase: Phase,
    epoch: &'a str,
    revision: u64,
    entries: Entries,
    origin: Origin,
    stale: bool,
    last_sync_time: u64,
    last_result: &'a str,
    last_result_time: u64,
    results: &'a BTreeMap<String, u64>,
    refused_pages: BTreeMap<&'a str, u64>,
    unknown_secrets: Vec<Shown>,
}

#[derive(Serialize)]
struct Entries {
    keys: u64,
    streams: u64,
}

/// What a status page is made of.
pub struct Status<'a> {
    /// The gate's name.
    pub gate: &'a str,
    /// What this Envoy process is called.
    pub instance: &'a str,
    /// Where the list stands.
    pub state: &'a SyncState,
    /// What came of the questions.
    pub tally: &'a Tally,
    /// The unknown secrets that were tried most.
    pub unknown: &'a UnknownSecrets,
    /// How the gate is set up.
    pub summary: Option<&'a Summary>,
}

impl Status<'_> {
    fn page(&self) -> Vec<u8> {
        let Self { state, tally, .. } = *self;
        let page = Page {
            gate: self.gate,
            instance: self.instance,
            capabilities: CAPABILITIES,
            settings: self.summary,
            ready: state.ready,
            phase: state.phase,
            epoch: &state.epoch,
            revision: state.since,
            entries: Entries { keys: state.keys, streams: state.streams },
            origin: state.origin,
            stale: tally.is_stale,
            last_sync_time: state.synced_at,
            last_result: &tally.last_result,
            last_result_time: tally.last_time,
            results: &tally.results,
            refused_pages: tally.refused_pages(),
            unknown_secrets: self.unknown.shown(),
        };
        // Maps with text for names: there is nothing that JSON could not say.
        serde_json::to_vec(&page).unwrap_or_default()
    }
}

/// What the status listener answers: the page, or 404.
#[must_use]
pub fn status_answer(request: Request<'_>, status: &Status<'_>) -> Answer {
    let is_asked = request.path() == STATUS_PATH.as_bytes() && request.only_reads();
    if is_asked { Answer::json(status.page()) } else { Answer::bare(404) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(method: &str, path: &str) -> Answer {
        let headers = [(":method", method), (":path", path)]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let settings = Settings::parse(
            br#"{"gate":"edge","mode":"dry_run","control":{"cluster":"c","authority":"a"}}"#,
        );
        let summary = Summary::of(&settings.expect("good"), "1.2.3");
        let mut tally = Tally::default();
        tally.count("backwards", 7);
        tally.count("applied", 8);
        tally.count("backwards", 9);
        let mut unknown = UnknownSecrets::default();
        unknown.note(&mpgate_contract::Digest::of(b"guess"), 6);
        let state = SyncState {
            epoch: "e".to_owned(),
            since: 5,
            keys: 3,
            streams: 2,
            ready: true,
            phase: Phase::Live,
            synced_at: 8,
            origin: Origin::Control,
            ..SyncState::default()
        };
        let status = Status {
            gate: "edge",
            instance: "0123456789abcdef",
            state: &state,
            tally: &tally,
            unknown: &unknown,
            summary: Some(&summary),
        };
        status_answer(Request { headers: &headers }, &status)
    }

    #[test]
    fn the_page_says_how_the_gate_is() {
        let answer = answer("GET", "/mpgate/status?pretty");
        assert_eq!(answer.status, 200);
        let page: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let expected = serde_json::json!({
            "gate": "edge", "instance": "0123456789abcdef", "version": "1.2.3",
            "capabilities": ["events", "source_networks", "certificate_names"],
            "mode": "dry_run", "protocol_rules": "dry_run", "silent": false, "environment": null,
            "unknown_paths": "refuse", "max_staleness_seconds": 86_400, "when_stale": "last_list",
            "control": "c", "inline_export_time": null,
            "ready": true, "phase": "live", "epoch": "e", "revision": 5,
            "entries": {"keys": 3, "streams": 2}, "origin": "control", "stale": false,
            "last_sync_time": 8, "last_result": "backwards", "last_result_time": 9,
            "results": {"applied": 1, "backwards": 2}, "refused_pages": {"backwards": 2},
            "unknown_secrets":
                [{"digest_prefix": "f1abe1b0", "count": 1, "count_min": 1, "last_time": 6}],
        });
        assert_eq!(page, expected);
    }

    #[test]
    fn everything_else_is_not_there() {
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/mpgate/status/"),
            ("GET", "/mpgate/ready"),
            ("GET", "/mp/collect"),
            ("POST", "/mpgate/status"),
            ("DELETE", "/mpgate/status"),
            ("GET", ""),
        ] {
            let answer = answer(method, path);
            assert_eq!((answer.status, answer.body.len()), (404, 0), "{method} {path}");
        }
        assert_eq!(answer("HEAD", "/mpgate/status").status, 200);
    }
}
