//! The reporter: tells control what this VM counted of each key. What is due, and when, the guard says.
//!
//! What was counted belongs to the VM and not to a configuration: one that is pushed loses nothing, for its
//! successor in the same VM goes on with it. A VM that ends because another module came leaves its reports to
//! the others, in shared data. One that dies takes with it what it had not reported.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;
use std::time::Duration;

use mpgate_guard::{Decision, Heard, Settings, USAGE_PATH, Usage};

use crate::gate::Gate;
use crate::host;

/// How long control may take to count a report.
const ANSWER: Duration = Duration::from_secs(5);

/// What a gate's requests are counted in; nothing where no control wants to know.
pub(crate) struct Counted(Option<Shared>);

type Shared = Rc<RefCell<Usage>>;

thread_local! {
    /// By control cluster and gate.
    static COUNTED: RefCell<HashMap<(String, String), Shared>> = RefCell::default();
}

impl Counted {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self(settings.control.as_ref().map(|control| {
            let name = (control.cluster.clone(), settings.gate.clone());
            COUNTED.with_borrow_mut(|all| {
                let fresh = || {
                    // Seeded by the host for each VM: good enough to tell VMs apart.
                    let vm = RandomState::new().build_hasher().finish();
                    Rc::new(RefCell::new(Usage::new(&settings.gate, vm)))
                };
                Rc::clone(all.entry(name).or_insert_with(fresh))
            })
        }))
    }

    /// The same, if nobody else in this VM counts in it; then nobody will from now on.
    fn take_last(&self, settings: &Settings) -> Option<&Shared> {
        let usage = self.0.as_ref()?;
        let cluster = &settings.control.as_ref()?.cluster;
        // One is this gate's, the other that of the map.
        let is_last = Rc::strong_count(usage) <= 2;
        is_last.then(|| {
            let name = (cluster.clone(), settings.gate.clone());
            COUNTED.with_borrow_mut(|all| all.remove(&name));
            usage
        })
    }

    pub(crate) fn note(&self, decision: &Decision<'_>, now: Duration, uptime: Duration) {
        if let Some(usage) = &self.0 {
            usage.borrow_mut().note(decision, now.as_secs(), milliseconds(uptime));
        }
    }
}

/// How often reports are looked for that a VM left.
const LOOK_MILLISECONDS: u64 = 1_000;

pub(crate) struct Reporter {
    gate: Rc<Gate>,
    look_at: u64,
    told: Vec<(&'static str, String)>,
    asked: Option<(u32, u64)>,
    last: Heard,
}

impl Reporter {
    pub(crate) const fn new(gate: Rc<Gate>, told: Vec<(&'static str, String)>) -> Self {
        Self { gate, look_at: 0, told, asked: None, last: Heard::Counted }
    }

    /// Ten times a second: sends what is due.
    pub(crate) fn tick(&mut self) {
        let (Some(usage), Some(control)) = (&self.gate.counted.0, &self.gate.settings.control)
        else {
            return;
        };
        let mut usage = usage.borrow_mut();
        let now = milliseconds(host::uptime());
        if now >= self.look_at {
            self.look_at = now.saturating_add(LOOK_MILLISECONDS);
            usage.adopt(self.gate.list.take_reports(), now);
        }
        let Some((number, body)) = usage.due(now) else {
            return;
        };
        let (cluster, authority) = (&control.cluster, &control.authority);
        let token = host::post(cluster, authority, USAGE_PATH, &self.told, body, ANSWER);
        if let Some(token) = token {
            self.asked = Some((token, number));
        } else {
            self.gate.meters.count_report(Heard::Failed);
            usage.conclude(number, Heard::Failed, now);
        }
    }

    /// The configuration ends, and the VM with it, unless another one in it has the same gate.
    pub(crate) fn end(&self) {
        let Some(usage) = self.gate.counted.take_last(&self.gate.settings) else {
            return;
        };
        let reports = usage.borrow_mut().leave();
        if !reports.is_empty() && !self.gate.list.leave_reports(&reports) {
            log::error!(
                "{} reports of what was counted are lost: too many wait already",
                reports.len()
            );
        }
    }

    /// Takes the answer to the report `token`, if it is this reporter's.
    pub(crate) fn answer(&mut self, token: u32, headers: usize) {
        let Some((_, number)) = self.asked.take_if(|(asked, _)| *asked == token) else {
            return;
        };
        // Without headers Envoy gave up on the answer, and asking for one would panic in the SDK.
        let status = if headers == 0 { Vec::new() } else { host::call_response_status() };
        let heard = Heard::of(&status);
        self.gate.meters.count_report(heard);
        if let Some(usage) = &self.gate.counted.0 {
            usage.borrow_mut().conclude(number, heard, milliseconds(host::uptime()));
        }
        if heard == Heard::Refused {
            log::error!("control refused a report of what was counted; it is dropped");
        } else if self.last != heard {
            match heard {
                Heard::Failed => log::warn!(
                    "control did not take the report of what was counted; it is kept and sent again"
                ),
                _ => log::info!("control takes the reports of what was counted again"),
            }
        }
        self.last = heard;
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
