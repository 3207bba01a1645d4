//! From a claim and what is known to a verdict, and from a verdict and a mode to an action.

use mpgate_contract::{Grant, Mode, State};

use crate::claim::{Claim, Query, SecretClaim, contains};
use crate::policy::{CompiledStream, Policy, Upstream};
use crate::query::push_pair;
use crate::{Answer, CAPABILITIES, Class, Corrupt, Reason, Record, Settings, UnknownPaths};

/// What the gate knows at the moment of a decision.
pub struct Standing<'a> {
    /// Whether a whole list has ever arrived.
    pub ready: bool,
    /// The streams.
    pub policy: &'a Policy,
    /// The allowlist's record for [`Claim::digest`].
    pub record: Result<Option<Record<'a>>, Corrupt>,
    /// Unix time in seconds.
    pub now: u64,
}

/// A decision: what is true, what is done, and how it is counted.
#[derive(Debug)]
pub struct Decision<'a> {
    /// What is true.
    pub verdict: VerdictWord,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it is not genuine.
    pub reason: Option<Reason>,
    /// The sender of the key that was presented, genuine or not.
    pub sender: Option<String>,
    /// The id of that key.
    pub key_id: Option<String>,
    /// The stream, if the list has it.
    pub stream: Option<String>,
    /// What is to be done.
    pub action: Action<'a>,
}

/// The word for a verdict: filter state and access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictWord {
    /// A known secret, allowed to do this.
    Genuine,
    /// Not who it claims to be, or not allowed to.
    Spoofed,
    /// Not what the protocol allows.
    Malformed,
    /// The gate cannot know.
    Unverified,
    /// Not judged: the mode is `off`.
    Off,
    /// Not judged: a path outside the protocol, let through by configuration.
    Passed,
}

/// How a request is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Genuine and forwarded.
    Accepted,
    /// Refused.
    Refused,
    /// Would have been refused; forwarded all the same.
    DryRun,
    /// Forwarded unjudged.
    Off,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Action<'a> {
    /// Send it on.
    Forward(Forward<'a>),
    /// Answer it here.
    Refuse(Answer),
}

/// How a request is sent on.
#[derive(Debug, Default)]
pub struct Forward<'a> {
    /// The path and query to send instead of what came; without one, what came.
    pub path: Option<Vec<u8>>,
    /// The value of `x-mpgate-sender`.
    pub sender: Option<String>,
    /// Request headers to remove.
    pub remove_headers: Vec<&'a str>,
    /// Whether the request carries the upstream's secret, so that the answer must be stripped of
    /// whatever might repeat it.
    pub guards_answer: bool,
}

/// The whole truth about a claim. Only [`judge`] makes one.
enum Verdict<'p> {
    Genuine(Permit<'p>),
    Not(Reason, Option<Grant>),
}

/// Leave to write a stream: to forward as genuine needs one.
struct Permit<'p> {
    grant: Grant,
    stream: &'p CompiledStream,
}

impl VerdictWord {
    /// The word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Genuine => "genuine",
            Self::Spoofed => "spoofed",
            Self::Malformed => "malformed",
            Self::Unverified => "unverified",
            Self::Off => "off",
            Self::Passed => "passed",
        }
    }
}

impl From<Class> for VerdictWord {
    fn from(class: Class) -> Self {
        match class {
            Class::Spoofed => Self::Spoofed,
            Class::Malformed => Self::Malformed,
            Class::Unverified => Self::Unverified,
        }
    }
}

impl Outcome {
    /// The word: metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::DryRun => "dry_run",
            Self::Off => "off",
        }
    }
}

/// Decides about a claim.
#[must_use]
pub fn decide<'a>(claim: &Claim<'a>, standing: &Standing<'_>, settings: &Settings) -> Decision<'a> {
    let Some(path) = claim.path else {
        return match settings.unknown_paths {
            UnknownPaths::Pass => unjudged(claim, VerdictWord::Passed, None),
            UnknownPaths::Refuse => refused(Reason::UnknownPath, None, None),
        };
    };
    let stream = standing.policy.stream_of(claim);
    let mode = standing.policy.mode_of(claim);
    if mode == Mode::Off {
        return unjudged(claim, VerdictWord::Off, stream);
    }
    match judge(claim, standing, stream) {
        Verdict::Genuine(permit) => genuine(claim, path, permit, settings),
        Verdict::Not(reason, grant) if mode == Mode::DryRun => {
            let decision = refused(reason, grant, stream);
            Decision {
                outcome: Outcome::DryRun,
                action: Action::Forward(Forward::as_it_came(claim)),
                ..decision
            }
        }
        Verdict::Not(reason, grant) => refused(reason, grant, stream),
    }
}

fn judge<'p>(
    claim: &Claim<'_>,
    standing: &Standing<'_>,
    stream: Option<&'p CompiledStream>,
) -> Verdict<'p> {
    let grant = match presented_grant(claim, standing) {
        Ok(grant) => grant,
        Err(reason) => return Verdict::Not(reason, None),
    };
    match check_grant(&grant, standing, stream) {
        Ok(stream) => Verdict::Genuine(Permit { grant, stream }),
        Err(reason) => Verdict::Not(reason, Some(grant)),
    }
}

/// The grant of the key that was presented, or why there is none.
fn presented_grant(claim: &Claim<'_>, standing: &Standing<'_>) -> Result<Grant, Reason> {
    if !claim.is_post {
        return Err(Reason::MethodNotAllowed);
    }
    if !standing.ready {
        return Err(Reason::NoList);
    }
    let Query::Read { secret, streams, .. } = &claim.query else {
        return Err(Reason::BadQuery);
    };
    match secret {
        SecretClaim::Missing => return Err(Reason::MissingSecret),
        SecretClaim::Repeated => return Err(Reason::RepeatedSecret),
        SecretClaim::Malformed => return Err(Reason::MalformedSecret),
        SecretClaim::Presented(..) => {}
    }
    match streams.as_slice() {
        [] => return Err(Reason::StreamMissing),
        [_] => {}
        _ => return Err(Reason::StreamRepeated),
    }
    let record = standing.record.map_err(|Corrupt| Reason::ListUnreadable)?;
    let record = record.ok_or(Reason::UnknownSecret)?;
    serde_json::from_slice(record.body).map_err(|_| Reason::ListUnreadable)
}

fn check_grant<'p>(
    grant: &Grant,
    standing: &Standing<'_>,
    stream: Option<&'p CompiledStream>,
) -> Result<&'p CompiledStream, Reason> {
    match standing.record {
        Ok(Some(Record { state: State::Active, .. })) => {}
        Ok(Some(Record { state: State::Expired, .. })) => return Err(Reason::Expired),
        _ => return Err(Reason::Revoked),
    }
    if !grant.requires.iter().all(|need| CAPABILITIES.contains(&need.as_str())) {
        return Err(Reason::UnsupportedGrant);
    }
    if grant.expire_time.is_some_and(|end| standing.now >= end) {
        return Err(Reason::Expired);
    }
    if grant.not_before.is_some_and(|start| standing.now < start) {
        return Err(Reason::NotYetValid);
    }
    let stream = stream
        .filter(|stream| grant.streams.iter().any(|granted| granted.as_str() == stream.id))
        .ok_or(Reason::StreamNotGranted)?;
    if !stream.supported {
        return Err(Reason::UnsupportedStream);
    }
    match stream.upstream {
        Upstream::Replace(None) => Err(Reason::UpstreamSecretMissing),
        _ => Ok(stream),
    }
}

fn genuine<'a>(
    claim: &Claim<'a>,
    path: &[u8],
    permit: Permit<'_>,
    settings: &Settings,
) -> Decision<'a> {
    let Permit { grant, stream } = permit;
    let sender = grant.sender.as_str().to_owned();
    let mut forward = Forward {
        path: Some(written_anew(claim, path, stream, settings)),
        sender: Some(sender.clone()),
        guards_answer: matches!(stream.upstream, Upstream::Replace(_)),
        ..Forward::as_it_came(claim)
    };
    if !matches!(stream.upstream, Upstream::Keep) {
        forward.remove_headers.extend(claim.headers_with_the_secret());
    }
    Decision {
        verdict: VerdictWord::Genuine,
        outcome: Outcome::Accepted,
        reason: None,
        sender: Some(sender),
        key_id: Some(grant.key_id.as_str().to_owned()),
        stream: Some(stream.id.clone()),
        action: Action::Forward(forward),
    }
}

/// The path and query for the upstream, from what was judged and nothing else.
fn written_anew(
    claim: &Claim<'_>,
    path: &[u8],
    stream: &CompiledStream,
    settings: &Settings,
) -> Vec<u8> {
    let mut target = path.to_vec();
    push_pair(&mut target, stream.parameter.as_bytes(), stream.id.as_bytes());
    let Query::Read { secret: SecretClaim::Presented(presented, _), others, .. } = &claim.query
    else {
        return target;
    };
    match &stream.upstream {
        Upstream::Replace(Some(secret)) => push_pair(&mut target, b"api_secret", secret.expose()),
        Upstream::Keep => push_pair(&mut target, b"api_secret", presented.expose()),
        Upstream::Replace(None) | Upstream::None => {}
    }
    if settings.keep_other_parameters {
        let repeats_the_secret = |text: &[u8]| contains(text, presented.expose());
        for other in others {
            if !repeats_the_secret(&other.name) && !repeats_the_secret(&other.value) {
                push_pair(&mut target, &other.name, &other.value);
            }
        }
    }
    target
}

fn refused<'a>(
    reason: Reason,
    grant: Option<Grant>,
    stream: Option<&CompiledStream>,
) -> Decision<'a> {
    let (sender, key_id) = grant
        .map(|grant| (grant.sender.as_str().to_owned(), grant.key_id.as_str().to_owned()))
        .unzip();
    Decision {
        verdict: reason.class().into(),
        outcome: Outcome::Refused,
        reason: Some(reason),
        sender,
        key_id,
        stream: stream.map(|stream| stream.id.clone()),
        action: Action::Refuse(Answer::refusal(reason)),
    }
}

fn unjudged<'a>(
    claim: &Claim<'a>,
    verdict: VerdictWord,
    stream: Option<&CompiledStream>,
) -> Decision<'a> {
    Decision {
        verdict,
        outcome: Outcome::Off,
        reason: None,
        sender: None,
        key_id: None,
        stream: stream.map(|stream| stream.id.clone()),
        action: Action::Forward(Forward::as_it_came(claim)),
    }
}

impl<'a> Forward<'a> {
    fn as_it_came(claim: &Claim<'a>) -> Self {
        Self { remove_headers: claim.own_headers().collect(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests;
