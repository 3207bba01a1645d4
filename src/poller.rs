//! The poller: asks control what changed, one question at a time, and hands each answer to the list.
//! Every VM has one; the lease lets one of them ask.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;
use std::time::Duration;

use mpgate_contract::{Page, PageFault};
use mpgate_guard::{Applied, Phase, Pollers, Swept, SyncState, backoff_milliseconds};

use crate::gate::Gate;
use crate::host;

/// How much longer than control may hold a question the gate waits for its answer.
const ANSWER_SECONDS: u64 = 5;

/// The longest pause after failures.
const BACKOFF_MILLISECONDS_MAX: u64 = 5_000;

pub(crate) struct Poller {
    gate: Rc<Gate>,
    me: u64,
    asked: Option<(u32, SyncState)>,
    failures: u32,
    next_at: u64,
    /// When a question that was not answered is given up.
    overdue_at: u64,
    swept: Swept,
    last_result: &'static str,
}

/// What came of a question.
enum Answer {
    Page(Applied, bool),
    Refused(PageFault),
    Failed(&'static str),
}

impl Poller {
    pub(crate) fn new(gate: Rc<Gate>) -> Self {
        // RandomState is seeded by the host for each VM: good enough to tell VMs apart.
        let me = RandomState::new().build_hasher().finish();
        Self {
            gate,
            me,
            asked: None,
            failures: 0,
            next_at: 0,
            overdue_at: 0,
            swept: Swept::default(),
            last_result: "",
        }
    }

    /// Ten times a second: asks if it is time and this VM's turn.
    pub(crate) fn tick(&mut self) {
        let now = milliseconds();
        let alone = self.gate.settings.control.pollers == Pollers::One;
        if alone && !self.gate.list.claim_lease(self.me, now) {
            return;
        }
        let state = self.gate.list.state();
        if state.phase == Phase::Sweeping {
            self.swept = self.gate.list.sweep(self.swept);
        }
        // Envoy answers every question in time; should it ever forget one, polling goes on.
        if now >= self.overdue_at {
            self.asked = None;
        }
        if self.asked.is_none() && now >= self.next_at && self.gate.list.may_ask(now) {
            self.ask(state);
        }
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
        if matches!(answer, Answer::Page(Applied::Done { level: false, .. }, _)) {
            self.ask(self.gate.list.state());
        }
    }

    fn ask(&mut self, state: SyncState) {
        let control = &self.gate.settings.control;
        let path = String::from_utf8(state.question(control)).unwrap_or_default();
        let timeout = Duration::from_secs(control.wait_seconds.saturating_add(ANSWER_SECONDS));
        match host::get(&control.cluster, &control.authority, &path, timeout) {
            Some(token) => {
                self.asked = Some((token, state));
                let patience = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                self.overdue_at = milliseconds().saturating_add(patience.saturating_mul(2));
            }
            None => self.conclude(&Answer::Failed("not_sent")),
        }
    }

    fn take_page(&self, asked: &SyncState, body_bytes: usize) -> Answer {
        let list = &self.gate.list;
        list.begin_attempt(milliseconds());
        let body = host::call_response_body(body_bytes);
        let answer = match Page::parse(&body, &asked.ask()) {
            Ok(page) => {
                let applied = list.apply(&page, asked.generation, host::now().as_secs());
                Answer::Page(applied, page.is_empty())
            }
            Err(fault) => Answer::Refused(fault),
        };
        list.end_attempt();
        answer
    }

    /// Counts the answer, says what changed, and decides when to ask again.
    fn conclude(&mut self, answer: &Answer) {
        let now = milliseconds();
        let interval = self.gate.settings.control.poll_interval_milliseconds;
        let result = answer.label();
        self.gate.meters.count_sync(result);
        if let Answer::Page(Applied::Done { revision, .. }, _) = *answer {
            self.failures = 0;
            self.next_at = now.saturating_add(interval);
            self.gate.refresh();
            self.gate.meters.show_list(revision, host::now().as_secs());
            if !matches!(self.last_result, "applied" | "unchanged") {
                log::info!("in step with control at revision {revision}");
            }
        } else {
            self.failures = self.failures.saturating_add(1);
            let pause = backoff_milliseconds(interval, self.failures, BACKOFF_MILLISECONDS_MAX);
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
            Self::Page(Applied::Done { .. }, true) => "unchanged",
            Self::Page(applied, _) => applied.label(),
            Self::Refused(fault) => fault.label(),
            Self::Failed(why) => why,
        }
    }
}

fn milliseconds() -> u64 {
    u64::try_from(host::now().as_millis()).unwrap_or(u64::MAX)
}
