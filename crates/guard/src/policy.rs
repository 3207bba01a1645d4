//! The streams and their modes, compiled once when they change and then only read.

use std::collections::HashMap;

use mpgate_contract::{EnvName, Environment, Mode, Secret, State, Stream, UpstreamSecret};

use crate::claim::{Claim, Part, Query};
use crate::{Bucket, Corrupt, Settings};

/// What the gate knows of all streams.
pub struct Policy {
    default_mode: Mode,
    default_protocol_rules: Mode,
    default_silent: bool,
    strictest: Mode,
    /// Whether all streams have the gate's mode: then nobody's reading makes a difference.
    has_one_mode: bool,
    /// Modes by id in lower case: for what only a lax reader would take for a stream's name.
    folded: HashMap<String, Mode>,
    streams: HashMap<String, CompiledStream>,
}

pub(crate) struct CompiledStream {
    pub(crate) id: String,
    pub(crate) parameter: &'static str,
    pub(crate) protocol_rules: Mode,
    pub(crate) silent: bool,
    pub(crate) environment: Environment,
    pub(crate) upstream: Upstream,
    pub(crate) supported: bool,
}

/// [`UpstreamSecret`], its variable read.
pub(crate) enum Upstream {
    Replace(Option<Secret<'static>>),
    Keep,
    None,
}

impl CompiledStream {
    /// Whether its upstream knows one secret, and no key's.
    pub(crate) const fn has_own_secret(&self) -> bool {
        matches!(self.upstream, Upstream::Replace(_))
    }
}

impl Policy {
    /// A policy without streams: what holds before the first list.
    #[must_use]
    pub fn without_streams(settings: &Settings) -> Self {
        Self {
            default_mode: settings.mode,
            default_protocol_rules: settings.protocol_rules,
            default_silent: settings.silent,
            strictest: settings.mode,
            has_one_mode: true,
            folded: HashMap::new(),
            streams: HashMap::new(),
        }
    }

    /// Compiles the streams of the list. `variable` reads the gate's environment.
    ///
    /// # Errors
    /// The bucket is damaged, or holds a stream that cannot be read.
    pub fn compile(
        settings: &Settings,
        streams: &[u8],
        variable: impl Fn(&EnvName) -> Option<Secret<'static>>,
    ) -> Result<Self, Corrupt> {
        let mut policy = Self::without_streams(settings);
        for record in Bucket::read(streams)?.records() {
            let record = record?;
            if record.state == State::Active {
                let stream = serde_json::from_slice(record.body).map_err(|_| Corrupt)?;
                policy.insert(stream, &variable);
            }
        }
        Ok(policy)
    }

    fn insert(&mut self, stream: Stream, variable: &impl Fn(&EnvName) -> Option<Secret<'static>>) {
        let mode = stream.mode.unwrap_or(self.default_mode);
        self.strictest = self.strictest.max(mode);
        self.has_one_mode &= mode == self.default_mode;
        self.folded.insert(stream.id.as_str().to_ascii_lowercase(), mode);
        let id = stream.id.as_str().to_owned();
        let compiled = CompiledStream {
            id: id.clone(),
            parameter: stream.id.parameter(),
            protocol_rules: stream.protocol_rules.unwrap_or(self.default_protocol_rules),
            silent: stream.silent.unwrap_or(self.default_silent),
            environment: stream.environment,
            upstream: match stream.upstream_secret {
                UpstreamSecret::Replace(name) => Upstream::Replace(variable(&name)),
                UpstreamSecret::Keep => Upstream::Keep,
                UpstreamSecret::None => Upstream::None,
            },
            supported: crate::supports(&stream.requires),
        };
        self.streams.insert(id, compiled);
    }

    /// The one stream that the claim names, if it names one and the list has it.
    pub(crate) fn stream_of(&self, claim: &Claim<'_>) -> Option<&CompiledStream> {
        let only = claim.query.only_stream()?;
        self.find(&only.id).filter(|stream| stream.parameter == only.parameter)
    }

    /// Whether the claim names a stream that the list lacks. A caller with a policy that may be old
    /// looks for a newer one before it believes that.
    #[must_use]
    pub fn misses(&self, claim: &Claim<'_>) -> bool {
        claim.query.only_stream().is_some_and(|only| self.find(&only.id).is_none())
    }

    /// Whether the list is asked for the claim's key. Where the mode is `off` it is not, unless the upstream
    /// would not know the key's secret.
    #[must_use]
    pub fn asks_for_key(&self, claim: &Claim<'_>) -> bool {
        self.mode_of(claim) != Mode::Off
            || self.stream_of(claim).is_some_and(CompiledStream::has_own_secret)
    }

    /// The mode for this claim: the stream's own where one stream is named, else the gate's. Where
    /// the upstream might read another stream than the gate does, the strictest that could be meant.
    pub(crate) fn mode_of(&self, claim: &Claim<'_>) -> Mode {
        if self.has_one_mode {
            return self.default_mode;
        }
        let Query::Read { text, .. } = claim.query else {
            return self.strictest;
        };
        // Some upstreams end a parameter there, too.
        if text.contains(&b';') {
            return self.strictest;
        }
        let (mut named, mut meant) = (None, Mode::Off);
        for part in Part::all(text).flatten() {
            match part {
                Part::Secret(_) => {}
                Part::Stream(stream) => {
                    named = named.max(self.lax_mode(&stream.id).or(Some(self.default_mode)));
                }
                // `Measurement_id`, `measurement_id[]`: whatever the name, the value says what is meant.
                Part::Other(pair) => meant = meant.max(self.lax_mode(&pair.value).unwrap_or(meant)),
            }
        }
        named.unwrap_or(self.default_mode).max(meant)
    }

    /// The mode of the stream that a lax reader would take this for.
    fn lax_mode(&self, id: &[u8]) -> Option<Mode> {
        let id =
            core::str::from_utf8(id).ok()?.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        self.folded.get(&id.to_ascii_lowercase()).copied()
    }

    fn find(&self, id: &[u8]) -> Option<&CompiledStream> {
        self.streams.get(core::str::from_utf8(id).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    #[test]
    fn only_one_stream_that_the_list_lacks_is_missed() {
        let settings = Settings::parse(br#"{"gate":"g","control":{"cluster":"c"}}"#).expect("good");
        let mut policy = Policy::without_streams(&settings);
        let known =
            r#"{"id":"G-A","consumer":"a","environment":"staging","upstream_secret":"none"}"#;
        policy.insert(serde_json::from_str(known).expect("a stream"), &|_| None);
        for (target, missed) in [
            ("/mp/collect?measurement_id=G-B", true),
            ("/mp/collect?measurement_id=G-A", false),
            ("/mp/collect?measurement_id=G-A&measurement_id=G-B", false),
            ("/mp/collect", false),
            ("/mp/collect?%", false),
            ("/other?measurement_id=G-B", false),
        ] {
            let headers = [(":path".to_owned(), target.as_bytes().to_vec())];
            let claim = Claim::read(Request { headers: &headers }, &settings);
            assert_eq!(policy.misses(&claim), missed, "{target}");
        }
    }
}
