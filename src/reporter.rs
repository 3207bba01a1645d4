//! The reporter: tells control what this VM counted of each key. What is due, and when, the guard says.
//!
//! What was counted belongs to the VM and not to a configuration: one that is pushed loses nothing, for its
//! successor in the same VM goes on with it. A VM that dies takes with it what it had not reported.

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

    pub(crate) fn note(&self, decision: &Decision<'_>, now: Duration, uptime: Duration) {
        if let Some(usage) = &self.0 {
            usage.borrow_mut().note(decision, now.as_secs(), milliseconds(uptime));
        }
    }
}

pub(crate) struct Reporter {
    gate: Rc<Gate>,
    told: Vec<(&'static str, String)>,
    asked: Option<(u32, u64)>,
    last: Heard,
}

impl Reporter {
    pub(crate) const fn new(gate: Rc<Gate>, told: Vec<(&'static str, String)>) -> Self {
        Self { gate, told, asked: None, last: Heard::Counted }
    }

    /// Ten times a second: sends what is due.
    pub(crate) fn tick(&mut self) {
        let (Some(usage), Some(control)) = (&self.gate.counted.0, &self.gate.settings.control)
        else {
            return;
        };
        let mut usage = usage.borrow_mut();
        let Some((sequence, body)) = usage.due(milliseconds(host::uptime())) else {
            return;
        };
        let (cluster, authority) = (&control.cluster, &control.authority);
        let token = host::post(cluster, authority, USAGE_PATH, &self.told, body, ANSWER);
        if let Some(token) = token {
            self.asked = Some((token, sequence));
        } else {
            self.gate.meters.count_report(Heard::Failed);
            usage.conclude(sequence, Heard::Failed, milliseconds(host::uptime()));
        }
    }

    /// Takes the answer to the report `token`, if it is this reporter's.
    pub(crate) fn answer(&mut self, token: u32, headers: usize) {
        let Some((_, sequence)) = self.asked.take_if(|(asked, _)| *asked == token) else {
            return;
        };
        // Without headers Envoy gave up on the answer, and asking for one would panic in the SDK.
        let status = if headers == 0 { Vec::new() } else { host::call_response_status() };
        let heard = Heard::of(&status);
        self.gate.meters.count_report(heard);
        if let Some(usage) = &self.gate.counted.0 {
            usage.borrow_mut().conclude(sequence, heard, milliseconds(host::uptime()));
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
