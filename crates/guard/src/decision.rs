//! What a decision says: the verdict's word, the outcome that is counted, and what is to be done.

use std::borrow::Cow;

use mpgate_contract::{EventPattern, OTHER};
use serde::Deserialize;

use crate::body::{Event, Money, limits, recommended};
use crate::claim::Claim;
use crate::target::Target;
use crate::{Answer, Class, Reason};

/// A decision: what is true, what is done, and how it is counted.
#[derive(Debug)]
pub struct Decision<'a> {
    /// What is true.
    pub verdict: VerdictWord,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it is not genuine; on an accepted request, which rule in dry run it breaks.
    pub reason: Option<Reason>,
    /// The sender of the key that was presented, genuine or not.
    pub sender: Option<&'a str>,
    /// The id of that key.
    pub key_id: Option<&'a str>,
    /// The stream, if the list has it.
    pub stream: Option<&'a str>,
    /// The events, where the body was read for the decision's sake: forwarded or not, as the outcome says.
    pub events: Vec<Seen>,
    /// What is to be done.
    pub action: Action<'a>,
}

/// What filter state tells of a decision beside what is done, for the access log: `wasm.mpgate.…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// What is true.
    Verdict,
    /// What came of it.
    Outcome,
    /// Why, where there is a why.
    Reason,
    /// The sender of the key.
    Sender,
    /// The id of the key.
    Key,
    /// The stream.
    Stream,
    /// How many events, where the body was read.
    Events,
    /// The trace of a `traceparent`.
    TraceId,
    /// All of them in one: to set a value costs a host call, to write them side by side next to nothing.
    Decision,
}

/// An event, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name, if the protocol recommends it or the grant names it; the grant's pattern that covers it;
    /// else `other`. The sender's own words would be without number.
    pub name: Cow<'static, str>,
    /// What it is worth.
    pub money: Option<Money>,
    /// The seconds since it happened, if it says when and that can be: see [`delay`].
    pub delay_seconds: Option<u64>,
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
    /// Genuine, and forwarded (or, at the debug endpoint, answered).
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
    Answer(Answer),
}

/// How a request is sent on.
#[derive(Debug, Default)]
pub struct Forward<'a> {
    /// The path and query to send instead of what came; without one, what came.
    pub target: Option<Target<'a>>,
    /// The value of `x-mpgate-sender`.
    pub sender: Option<&'a str>,
    /// The `content-type` to send instead of what came: where the body was judged, the upstream must not
    /// be told of another charset or another form to read it in.
    pub content_type: Option<&'static str>,
    /// Request headers to remove.
    pub remove_headers: Vec<&'a str>,
    /// Whether the request carries the upstream's secret, so that the answer must be stripped of
    /// whatever might repeat it.
    pub guards_answer: bool,
}

/// What all names in filter state begin with.
const PREFIX: &str = "mpgate.";

/// Room for all values of a common decision.
const IN_ONE_BYTES: usize = 192;

impl Told {
    /// Each by itself: what is told where the settings do not say.
    pub const EACH: [Self; 8] = [
        Self::Verdict,
        Self::Outcome,
        Self::Reason,
        Self::Sender,
        Self::Key,
        Self::Stream,
        Self::Events,
        Self::TraceId,
    ];

    /// The name in filter state, without the `wasm.` that Envoy puts before it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verdict => "mpgate.verdict",
            Self::Outcome => "mpgate.outcome",
            Self::Reason => "mpgate.reason",
            Self::Sender => "mpgate.sender",
            Self::Key => "mpgate.key",
            Self::Stream => "mpgate.stream",
            Self::Events => "mpgate.events",
            Self::TraceId => "mpgate.trace_id",
            Self::Decision => "mpgate.decision",
        }
    }
}

impl Decision<'_> {
    /// What filter state tells of it: what is wanted, and in any case that it is of a path that nobody judged. A
    /// tripwire at the upstream's cluster refuses what says so, and takes silence for a judgement.
    pub fn all_told(&self, wanted: &[Told]) -> impl Iterator<Item = Told> {
        let is_silent = self.verdict == VerdictWord::Passed && !wanted.contains(&Told::Verdict);
        wanted.iter().copied().chain(is_silent.then_some(Told::Verdict))
    }

    /// One of the things that filter state tells, if there is anything to tell.
    #[must_use]
    pub fn told<'t>(&'t self, told: Told, claim: &Claim<'t>) -> Option<Cow<'t, str>> {
        let text = match told {
            Told::Verdict => Some(self.verdict.label()),
            Told::Outcome => Some(self.outcome.label()),
            Told::Reason => self.reason.map(Reason::label),
            Told::Sender => self.sender,
            Told::Key => self.key_id,
            Told::Stream => self.stream,
            Told::TraceId => claim.trace_id(),
            Told::Events => {
                let events = self.events.len();
                return (events > 0).then(|| events.to_string().into());
            }
            Told::Decision => return Some(self.in_one(claim).into()),
        };
        text.map(Cow::Borrowed)
    }

    /// `verdict=genuine outcome=accepted sender=billing …`: names without blanks, as all values are.
    fn in_one(&self, claim: &Claim<'_>) -> String {
        let mut text = String::with_capacity(IN_ONE_BYTES);
        for told in Told::EACH {
            let Some(value) = self.told(told, claim) else { continue };
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(told.name().trim_start_matches(PREFIX));
            text.push('=');
            text.push_str(&value);
        }
        text
    }
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

impl Seen {
    pub(crate) fn of(event: &Event<'_>, granted: &[EventPattern], now: u64) -> Self {
        Self {
            name: event.name.as_deref().map_or(Cow::Borrowed(OTHER), |name| label(name, granted)),
            money: event.money,
            delay_seconds: event.time.and_then(|time| delay(time, now)),
        }
    }
}

/// No delay is longer: an event of 1970, whose time was told in milliseconds say, must not be all that a mean
/// consists of.
const DELAY_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;

/// The seconds from an event to the gate. A clock that is ahead no more than the protocol's rules let it be
/// makes no delay; a time beyond that is none.
fn delay(time: u64, now: u64) -> Option<u64> {
    match now.checked_sub(time) {
        Some(delay) => Some(delay.min(DELAY_SECONDS_MAX)),
        None => (time.saturating_sub(now) <= limits::SKEW_AHEAD_SECONDS_MAX).then_some(0),
    }
}

fn label(name: &str, granted: &[EventPattern]) -> Cow<'static, str> {
    recommended(name).map_or_else(
        || {
            let covers = granted.iter().find(|pattern| pattern.covers(name));
            covers.map_or(Cow::Borrowed(OTHER), |pattern| Cow::Owned(pattern.to_string()))
        },
        Cow::Borrowed,
    )
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

impl<'a> Forward<'a> {
    /// What came, without what only the gate may say.
    pub(crate) fn as_it_came(claim: &Claim<'a>) -> Self {
        Self { remove_headers: claim.own_headers().collect(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_protocols_or_the_grants() {
        let granted = ["order_placed", "shop_*", "purchase*", "other_*"]
            .map(|text| EventPattern::parse(text).expect(text));
        for (name, granted, label) in [
            (Some("purchase"), &granted[..], "purchase"),
            (Some("purchase"), &[], "purchase"),
            (Some("order_placed"), &granted, "order_placed"),
            (Some("order_placed"), &[], "other"),
            (Some("shop_a"), &granted, "shop_*"),
            (Some("Purchase"), &granted, "other"),
            (Some(""), &granted, "other"),
            (None, &granted, "other"),
        ] {
            let event = Event { name: name.map(Cow::Borrowed), money: None, time: Some(90) };
            let seen = Seen::of(&event, granted, 100);
            assert_eq!((seen.name.as_ref(), seen.delay_seconds), (label, Some(10)), "{name:?}");
        }
    }

    #[test]
    fn what_passed_unjudged_says_so_whatever_is_wanted() {
        let decision = |verdict| Decision {
            verdict,
            outcome: Outcome::Off,
            reason: None,
            sender: None,
            key_id: None,
            stream: None,
            events: Vec::new(),
            action: Action::Forward(Forward::default()),
        };
        for (verdict, wanted, told) in [
            (VerdictWord::Passed, &[][..], &[Told::Verdict][..]),
            (VerdictWord::Passed, &[Told::Outcome], &[Told::Outcome, Told::Verdict]),
            (VerdictWord::Passed, &[Told::Verdict, Told::Key], &[Told::Verdict, Told::Key]),
            (VerdictWord::Off, &[], &[]),
            (VerdictWord::Genuine, &[], &[]),
            (VerdictWord::Spoofed, &[Told::Reason], &[Told::Reason]),
        ] {
            let all: Vec<_> = decision(verdict).all_told(wanted).collect();
            assert_eq!(all, told, "{verdict:?} {wanted:?}");
        }
    }

    #[test]
    fn delays_are_believed_within_reason() {
        let now = 1_800_000_000;
        for (time, delay) in [
            (Some(now), Some(0)),
            (Some(now - 3_600), Some(3_600)),
            (Some(now - 7 * 86_400), Some(604_800)),
            (Some(now - 7 * 86_400 - 1), Some(604_800)),
            // Milliseconds, and seconds, where microseconds should be.
            (Some(now / 1_000), Some(604_800)),
            (Some(now / 1_000_000), Some(604_800)),
            (Some(0), Some(604_800)),
            (Some(now + 1), Some(0)),
            (Some(now + 900), Some(0)),
            (Some(now + 901), None),
            // Nanoseconds.
            (Some(now * 1_000), None),
            (Some(u64::MAX), None),
            (None, None),
        ] {
            let event = Event { name: None, money: None, time };
            assert_eq!(Seen::of(&event, &[], now).delay_seconds, delay, "{time:?}");
        }
    }
}
