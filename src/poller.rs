//! The poller: asks control what changed, one question at a time, and hands each answer to the list.
//! Every VM has one; the lease lets one of them ask.
//!
//! Pauses are measured on a clock that nobody can set. What VMs tell each other (the lease, the attempt)
//! is Unix time, and read so that a clock that jumps stops nobody.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;
use std::time::Duration;

use mpgate_contract::{Page, PageFault};
use mpgate_guard::{
    Applied, Control, Next, Phase, Pollers, SEEN_BY_ALL_MILLISECONDS, Swept, SyncState, WhenStale,
    backoff_milliseconds, receipt_headers,
};

use crate::gate::Gate;
use crate::host;

/// How much longer than control may hold a question the gate waits for its answer.
const ANSWER_SECONDS: u64 = 5;

/// The longest pause after failures: what is revoked once control is back shall be so within a second.
const BACKOFF_MILLISECONDS_MAX: u64 = 500;

/// The longest pause after control refused the token: it counts those who go on trying.
const DENIED_MILLISECONDS_MAX: u64 = 5_000;

/// How long a sweep may hold the next question back. It takes a fraction of that.
const SWEEP_MILLISECONDS_MAX: u64 = 5_000;

pub(crate) struct Poller {
    gate: Rc<Gate>,
    me: u64,
    /// What this gate says of itself with each question.
    told: Vec<(&'static str, String)>,
    asked: Option<(u32, SyncState)>,
    /// How long control may hold that question.
    may_wait: u64,
    failures: u32,
    next_at: u64,
    /// When a question that was not answered is given up.
    overdue_at: u64,
    swept: Swept,
    sweeping_since: Option<u64>,
    last_result: &'static str,
    /// What this VM said of the list's age last.
    said_stale: Option<bool>,
}

/// What came of a question.
enum Answer {
    Page(Applied, bool, Next),
    Refused(PageFault),
    Failed(&'static str),
}

impl Poller {
    pub(crate) fn new(gate: Rc<Gate>) -> Self {
        // RandomState is seeded by the host for each VM: good enough to tell VMs apart.
        let me = RandomState::new().build_hasher().finish();
        let instance = gate.list.draw_instance(RandomState::new().build_hasher().finish());
        let version = env!("CARGO_PKG_VERSION");
        let told = receipt_headers(&gate.settings.gate, &host::node_id(), &instance, version);
        Self {
            gate,
            me,
            told,
            asked: None,
            may_wait: 0,
            failures: 0,
            next_at: 0,
            overdue_at: 0,
            swept: Swept::default(),
            sweeping_since: None,
            last_result: "",
            said_stale: None,
        }
    }

    /// What this gate says of itself.
    pub(crate) fn told(&self) -> &[(&'static str, String)] {
        &self.told
    }

    /// Ten times a second: asks if it is time and this VM's turn. Answers whether a sweep is under way
    /// and wants to go on sooner.
    pub(crate) fn tick(&mut self) -> bool {
        let now = unix_milliseconds();
        let control = self.gate.settings.control.as_ref();
        let alone = control.is_none_or(|control| control.pollers == Pollers::One);
        if alone && !self.gate.list.claim_lease(self.me, now) {
            return false;
        }
        if self.gate.list.tell_of_attempt(now) {
            log::error!(
                "a page from control killed the VM that read it; the next is asked for later"
            );
            self.count("killed");
        }
        self.say_whether_stale();
        if self.gate.list.state().phase == Phase::Sweeping {
            self.swept = self.gate.list.sweep(self.swept);
        }
        self.ask_if_due();
        self.sweeping_since.is_some()
    }

    /// Another VM need not wait for this one any more.
    pub(crate) fn end(&self) {
        self.gate.list.release_lease(self.me);
    }

    /// Takes the answer to the question `token`, if it is this poller's.
    pub(crate) fn answer(&mut self, token: u32, headers: usize, body_bytes: usize) {
        let Some((_, asked)) = self.asked.take_if(|(asked, _)| *asked == token) else {
            return;
        };
        // Without headers Envoy gave up on the answer, and asking for one would panic in the SDK.
        let status = if headers == 0 { Vec::new() } else { host::call_response_status() };
        let answer = match status.as_slice() {
            b"200" => self.take_page(&asked, body_bytes),
            b"401" | b"403" => Answer::Failed("denied"),
            b"503" => Answer::Failed("unreachable"),
            b"504" => Answer::Failed("timeout"),
            b"" => Answer::Failed("too_large"),
            _ => Answer::Failed("bad_status"),
        };
        self.conclude(&answer);
        self.ask_if_due();
    }

    /// Once when the list grows stale, once when it is not any more.
    fn say_whether_stale(&mut self) {
        let (age, most) = (self.gate.age().as_secs(), self.gate.settings.max_staleness_seconds);
        let state = self.gate.list.state();
        let is_stale = state.ready && age > most;
        if self.said_stale == Some(is_stale) {
            return;
        }
        if state.ready {
            self.gate.meters.show_list(&state);
        }
        self.gate.meters.show_stale(is_stale);
        self.gate.list.change_tally(|tally| tally.is_stale = is_stale);
        if is_stale {
            let consequence = match self.gate.settings.when_stale {
                WhenStale::LastList => "it stays in force",
                WhenStale::Deny => "everything is refused until there is news",
            };
            log::error!("the list is stale, {age} s old where {most} are allowed: {consequence}");
            // A question that is held open would tell of no news, and so not that control is there.
            if self.may_wait > 0 {
                self.asked = None;
            }
        } else if self.said_stale.is_some() {
            log::info!("the list is not stale any more");
        }
        self.said_stale = Some(is_stale);
    }

    fn ask_if_due(&mut self) {
        let gate = Rc::clone(&self.gate);
        let Some(control) = &gate.settings.control else {
            return;
        };
        let now = milliseconds();
        let state = gate.list.state();
        self.sweeping_since =
            if state.may_ask() { None } else { Some(self.sweeping_since.unwrap_or(now)) };
        let is_held = self
            .sweeping_since
            .is_some_and(|since| now.saturating_sub(since) < SWEEP_MILLISECONDS_MAX);
        // Envoy answers every question in time; should it ever forget one, polling goes on.
        if now >= self.overdue_at {
            self.asked = None;
        }
        let is_due = self.asked.is_none() && now >= self.next_at && !is_held;
        if is_due && gate.list.may_ask(unix_milliseconds()) {
            self.ask(control, state);
        }
    }

    fn ask(&mut self, control: &Control, state: SyncState) {
        let wait = if self.said_stale == Some(true) { 0 } else { control.wait_seconds };
        let path = String::from_utf8(state.question(control, wait)).unwrap_or_default();
        let timeout = Duration::from_secs(wait.saturating_add(ANSWER_SECONDS));
        match host::get(&control.cluster, &control.authority, &path, &self.told, timeout) {
            Some(token) => {
                self.asked = Some((token, state));
                self.may_wait = wait;
                let patience = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                self.overdue_at = milliseconds().saturating_add(patience.saturating_mul(2));
            }
            None => self.conclude(&Answer::Failed("not_sent")),
        }
    }

    fn count(&self, result: &str) {
        let now = host::now().as_secs();
        self.gate.meters.count_sync(result);
        self.gate.list.change_tally(|tally| tally.count(result, now));
    }

    fn take_page(&self, asked: &SyncState, body_bytes: usize) -> Answer {
        let list = &self.gate.list;
        list.begin_attempt(unix_milliseconds());
        let body = host::call_response_body(body_bytes);
        #[cfg(feature = "trap-for-tests")]
        crate::trap::spring(&body);
        let answer = match Page::parse(&body, &asked.ask()) {
            Ok(page) => {
                let applied = list.apply(&page, asked.generation, host::now().as_secs());
                Answer::Page(applied, page.is_empty(), asked.next(&page))
            }
            Err(fault) => Answer::Refused(fault),
        };
        list.end_attempt(unix_milliseconds());
        answer
    }

    /// Counts the answer, says what changed, and decides when to ask again.
    fn conclude(&mut self, answer: &Answer) {
        let now = milliseconds();
        let control = self.gate.settings.control.as_ref();
        let interval = control.map_or(0, |control| control.poll_interval_milliseconds);
        let result = answer.label();
        self.count(result);
        if let Answer::Page(Applied::Done { revision }, _, next) = *answer {
            self.gate.meters.show_list(&self.gate.list.state());
            self.failures = 0;
            self.next_at = now.saturating_add(match next {
                Next::AtOnce => 0,
                Next::Pause => interval,
                Next::Compiled => SEEN_BY_ALL_MILLISECONDS,
            });
            self.gate.refresh();
            if !matches!(self.last_result, "applied" | "unchanged") {
                log::info!("in step with control at revision {revision}");
            }
        } else {
            self.failures = self.failures.saturating_add(1);
            let most =
                if result == "denied" { DENIED_MILLISECONDS_MAX } else { BACKOFF_MILLISECONDS_MAX };
            let pause = backoff_milliseconds(interval, self.failures, most.max(interval));
            self.next_at = now.saturating_add(pause);
            if self.last_result != result {
                let ready = self.gate.list.state().ready;
                let list =
                    if ready { "the last list stays in force" } else { "there is no list yet" };
                log::warn!("no news from control: {result}; {list}");
            }
        }
        self.last_result = result;
    }
}

impl Answer {
    /// The word for it: metric label and log word.
    const fn label(&self) -> &'static str {
        match self {
            Self::Page(Applied::Done { .. }, true, _) => "unchanged",
            Self::Page(applied, ..) => applied.label(),
            Self::Refused(fault) => fault.label(),
            Self::Failed(why) => why,
        }
    }
}

/// This VM's own time: for pauses.
fn milliseconds() -> u64 {
    u64::try_from(host::uptime().as_millis()).unwrap_or(u64::MAX)
}

/// Everybody's time: for what VMs tell each other.
fn unix_milliseconds() -> u64 {
    u64::try_from(host::now().as_millis()).unwrap_or(u64::MAX)
}
