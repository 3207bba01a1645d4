//! From a verdict and a mode to an action.

use mpgate_contract::{Grant, Mode};

use crate::claim::{Claim, Endpoint, Query};
use crate::decision::{Action, Decision, Forward, Outcome, Seen, VerdictWord};
use crate::inspection::{Arrival, Inspection};
use crate::judge::{Permit, Standing, Verdict, judge, may_write};
use crate::path::could_be_guarded;
use crate::policy::{CompiledStream, Upstream};
use crate::target::Target;
use crate::{
    Answer, Availability, BODY_BYTES_MAX, Class, READY_PATH, Reason, Settings, StreamKind,
    UnknownPaths,
};

/// What came of a request so far.
#[derive(Debug)]
pub enum Ruling<'a> {
    /// Everything is decided.
    Decided(Decision<'a>),
    /// No event: somebody asks whether this gate is ready. Told, and counted nowhere.
    Probed(Answer),
    /// The body has to be here first: ask again, with [`Arrival::Whole`] and a fresh look at the list.
    WantsBody,
}

impl Ruling<'_> {
    /// A decision about these events.
    fn about(self, events: Vec<Seen>) -> Self {
        match self {
            Self::Decided(decision) => Self::Decided(Decision { events, ..decision }),
            undecided => undecided,
        }
    }
}

/// Everything a decision is about, once it is known to be about the protocol.
struct Case<'a> {
    claim: &'a Claim<'a>,
    endpoint: Endpoint,
    stream: Option<&'a CompiledStream>,
    mode: Mode,
    silent: bool,
    arrival: Arrival<'a>,
    standing: &'a Standing<'a>,
    settings: &'a Settings,
}

/// Decides about a claim, as far as what has arrived allows.
#[must_use]
pub fn decide<'a>(
    claim: &'a Claim<'a>,
    standing: &'a Standing<'a>,
    settings: &'a Settings,
    arrival: Arrival<'a>,
) -> Ruling<'a> {
    let Some(endpoint) = claim.endpoint else {
        if settings.ready && claim.path() == READY_PATH.as_bytes() && claim.request.only_reads() {
            let has_list = standing.list != Availability::None;
            return Ruling::Probed(Answer::bare(if has_list { 200 } else { 503 }));
        }
        return Ruling::Decided(match settings.unknown_paths {
            UnknownPaths::Pass if !could_be_guarded(claim.path()) => {
                unjudged(VerdictWord::Passed, None, Forward::as_it_came(claim))
            }
            UnknownPaths::Pass | UnknownPaths::Refuse => {
                let answer = Answer::refusal(Reason::UnknownPath);
                refused(Reason::UnknownPath, None, None, answer)
            }
        });
    };
    let policy = standing.policy;
    let stream = policy.stream_of(claim);
    let mode = policy.mode_of(claim);
    let silent = stream.map_or(settings.silent, |stream| stream.silent);
    let case = Case { claim, endpoint, stream, mode, silent, arrival, standing, settings };
    if mode == Mode::Off {
        return Ruling::Decided(unjudged(VerdictWord::Off, stream, case.let_through()));
    }
    match judge(claim, standing, stream, settings) {
        Verdict::Genuine(permit) => case.genuine(permit),
        Verdict::Not(reason, grant) => case.not_genuine(reason, grant),
    }
}

impl<'a> Case<'a> {
    /// The head is genuine: what remains is the body, where anything depends on it.
    fn genuine(&self, permit: Permit<'a>) -> Ruling<'a> {
        let must_read = !permit.grant.events.is_empty();
        let rules = permit.stream.protocol_rules.min(self.mode);
        let is_debug = self.endpoint == Endpoint::DebugCollect;
        if !must_read && !is_debug && rules == Mode::Off {
            return Ruling::Decided(self.accepted(permit, None, None));
        }
        let inspection = match self.inspect(self.claimed_kind()) {
            Ok(inspection) => inspection,
            Err(Pending::Body) => return Ruling::WantsBody,
            // The size is a limit of the gate's own, not one of the rules.
            Err(Pending::Never(reason))
                if must_read || is_debug || reason == Reason::BodyTooLarge =>
            {
                return self.not_genuine(reason, Some(permit.grant));
            }
            Err(Pending::Never(reason)) => return self.under_rules(permit, rules, reason, None),
        };
        if must_read {
            if let Some(unreadable) = inspection.unreadable() {
                let answer = Answer::unreadable(unreadable);
                return self.not_genuine_with(Reason::BodyUnreadable, Some(permit.grant), answer);
            }
            let granted = |name: &str| permit.grant.events.iter().any(|event| event.covers(name));
            if let Some(index) = inspection.first_event_not(granted) {
                let answer = Answer::event_not_granted(index);
                let events = self.seen(&permit, &inspection);
                return self
                    .not_genuine_with(Reason::EventNotGranted, Some(permit.grant), answer)
                    .about(events);
            }
        }
        if is_debug {
            return Ruling::Decided(Self::validated(&permit, &inspection));
        }
        match inspection.reason() {
            None => Ruling::Decided(self.accepted(permit, None, Some(&inspection))),
            Some(reason) => self.under_rules(permit, rules, reason, Some(&inspection)),
        }
    }

    /// The sender is genuine and breaks a rule of the protocol: the rules' own mode says what that
    /// means.
    fn under_rules(
        &self,
        permit: Permit<'a>,
        rules: Mode,
        reason: Reason,
        inspection: Option<&Inspection<'_>>,
    ) -> Ruling<'a> {
        match rules {
            Mode::Off => Ruling::Decided(self.accepted(permit, None, inspection)),
            Mode::DryRun => Ruling::Decided(self.accepted(permit, Some(reason), inspection)),
            Mode::Enforce => {
                let answer = inspection.map_or_else(|| Answer::refusal(reason), Answer::of_body);
                let events = inspection.map(|it| self.seen(&permit, it)).unwrap_or_default();
                self.not_genuine_with(reason, Some(permit.grant), answer).about(events)
            }
        }
    }

    fn not_genuine(&self, reason: Reason, grant: Option<&'a Grant>) -> Ruling<'a> {
        self.not_genuine_with(reason, grant, Answer::refusal(reason))
    }

    fn not_genuine_with(
        &self,
        reason: Reason,
        grant: Option<&'a Grant>,
        answer: Answer,
    ) -> Ruling<'a> {
        // More than the gate holds is refused in every mode. Sent on after it was held, it would pass the
        // limit that Envoy has behind the gate, or wait there for ever.
        if self.mode == Mode::DryRun && reason != Reason::BodyTooLarge {
            return Ruling::Decided(Decision {
                outcome: Outcome::DryRun,
                action: Action::Forward(self.let_through()),
                ..refused(reason, grant, self.stream, answer)
            });
        }
        let answer = if self.silent && reason.class() != Class::Unverified {
            match self.silent_answer() {
                Some(answer) => answer,
                None => return Ruling::WantsBody,
            }
        } else {
            answer
        };
        Ruling::Decided(refused(reason, grant, self.stream, answer))
    }

    /// What GA4 would say: nothing at `/mp/collect`; at `/debug/mp/collect`, which does not ask for
    /// the secret, what it says of the body. `None` while that body is still coming.
    fn silent_answer(&self) -> Option<Answer> {
        if self.endpoint == Endpoint::Collect {
            return Some(Answer::accepted_silently());
        }
        match self.inspect(self.claimed_kind()) {
            Ok(inspection) => Some(Answer::validation(&inspection)),
            Err(Pending::Body) => None,
            Err(Pending::Never(reason)) => Some(Answer::refusal(reason)),
        }
    }

    /// The kind of stream that the claim names, known or not.
    fn claimed_kind(&self) -> StreamKind {
        match &self.claim.query {
            Query::Read { streams, .. } if streams.has_app() => StreamKind::App,
            _ => StreamKind::Web,
        }
    }

    fn inspect(&self, kind: StreamKind) -> Result<Inspection<'_>, Pending> {
        if self.claim.request.is_encoded() {
            return Err(Pending::Never(Reason::ContentEncoded));
        }
        match self.arrival {
            Arrival::Coming => Err(Pending::Body),
            Arrival::TooLarge => Err(Pending::Never(Reason::BodyTooLarge)),
            Arrival::Whole(bytes) if bytes.len() > BODY_BYTES_MAX => {
                Err(Pending::Never(Reason::BodyTooLarge))
            }
            Arrival::Whole(bytes) => Ok(Inspection::of(bytes, kind, self.now())),
        }
    }

    fn accepted(
        &self,
        permit: Permit<'a>,
        flagged: Option<Reason>,
        inspection: Option<&Inspection<'_>>,
    ) -> Decision<'a> {
        let events = inspection.map(|it| self.seen(&permit, it)).unwrap_or_default();
        let Permit { grant, stream } = permit;
        let forward = Forward {
            sender: Some(grant.sender.as_str()),
            content_type: (!grant.events.is_empty()).then_some("application/json"),
            ..self.written_anew(stream, &stream.upstream)
        };
        Decision { events, ..genuine(grant, stream, flagged, Action::Forward(forward)) }
    }

    fn seen(&self, permit: &Permit<'_>, inspection: &Inspection<'_>) -> Vec<Seen> {
        let granted = &permit.grant.events;
        inspection.events().iter().map(|event| Seen::of(event, granted, self.now())).collect()
    }

    /// The debug endpoint answers here, for genuine senders only, and forwards nothing.
    fn validated(permit: &Permit<'a>, inspection: &Inspection<'_>) -> Decision<'a> {
        let action = Action::Answer(Answer::validation(inspection));
        genuine(permit.grant, permit.stream, inspection.reason(), action)
    }

    /// What goes on where nothing is refused: the request as it came. But to an upstream that has a secret of its
    /// own a key's says nothing, and an event would be lost without a word: there a key in force takes on
    /// the upstream's secret, and no key's secret goes on.
    fn let_through(&self) -> Forward<'a> {
        let Some(stream) = self.stream.filter(|stream| stream.has_own_secret()) else {
            return Forward::as_it_came(self.claim);
        };
        if self.standing.presented().is_none() {
            return Forward::as_it_came(self.claim);
        }
        // The debug endpoint asks for no secret, and its answer would be withheld from who brought one.
        let takes_on =
            self.endpoint == Endpoint::Collect && may_write(self.standing, stream, self.settings);
        self.written_anew(stream, if takes_on { &stream.upstream } else { &Upstream::None })
    }

    /// The request as the gate itself writes it; no header that the client set for it goes along.
    fn written_anew(&self, stream: &'a CompiledStream, upstream: &'a Upstream) -> Forward<'a> {
        let others = match self.claim.query {
            Query::Read { text, .. } if self.settings.keep_other_parameters => Some(text),
            _ => None,
        };
        let (endpoint, secret) = (self.endpoint, &self.claim.secret);
        let mut forward = Forward {
            target: Some(Target { endpoint, stream, secret, upstream, others }),
            guards_answer: matches!(upstream, Upstream::Replace(_)),
            ..Forward::as_it_came(self.claim)
        };
        forward.remove_headers.extend(self.claim.secret_headers());
        if !matches!(upstream, Upstream::Keep) {
            forward.remove_headers.extend(self.claim.headers_with_the_secret());
        }
        forward
    }

    /// Unix time in seconds.
    const fn now(&self) -> u64 {
        self.standing.now.as_secs()
    }
}

/// Why a body cannot be looked into.
enum Pending {
    /// It is still coming.
    Body,
    /// It never can be.
    Never(Reason),
}

fn genuine<'a>(
    grant: &'a Grant,
    stream: &'a CompiledStream,
    flagged: Option<Reason>,
    action: Action<'a>,
) -> Decision<'a> {
    Decision {
        verdict: VerdictWord::Genuine,
        outcome: Outcome::Accepted,
        reason: flagged,
        sender: Some(grant.sender.as_str()),
        key_id: Some(grant.key_id.as_str()),
        stream: Some(&stream.id),
        events: Vec::new(),
        action,
    }
}

fn refused<'a>(
    reason: Reason,
    grant: Option<&'a Grant>,
    stream: Option<&'a CompiledStream>,
    answer: Answer,
) -> Decision<'a> {
    let (sender, key_id) =
        grant.map(|grant| (grant.sender.as_str(), grant.key_id.as_str())).unzip();
    Decision {
        verdict: reason.class().into(),
        outcome: Outcome::Refused,
        reason: Some(reason),
        sender,
        key_id,
        stream: stream.map(|stream| stream.id.as_str()),
        events: Vec::new(),
        action: Action::Answer(answer),
    }
}

fn unjudged<'a>(
    verdict: VerdictWord,
    stream: Option<&'a CompiledStream>,
    forward: Forward<'a>,
) -> Decision<'a> {
    Decision {
        verdict,
        outcome: Outcome::Off,
        reason: None,
        sender: None,
        key_id: None,
        stream: stream.map(|stream| stream.id.as_str()),
        events: Vec::new(),
        action: Action::Forward(forward),
    }
}

#[cfg(test)]
mod tests;
