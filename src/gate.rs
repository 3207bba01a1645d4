//! What one VM keeps of a gate: its settings, the way to the shared list, and the compiled streams.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mpgate_contract::{EnvName, Secret};
use mpgate_guard::{AllowList, Claim, Policy, Settings};

use crate::host::EnvoySharedData;
use crate::meters::Meters;
use crate::watch::Watch;

pub(crate) struct Gate {
    pub(crate) settings: Settings,
    pub(crate) list: AllowList<EnvoySharedData>,
    pub(crate) meters: Meters,
    pub(crate) watch: Watch,
    policy: RefCell<Rc<Policy>>,
    ready: Cell<bool>,
    compiled: Cell<Option<Version>>,
}

/// What a compiled policy was made of: (generation, version of the streams).
type Version = (u32, u64);

impl Gate {
    pub(crate) fn new(settings: Settings) -> Self {
        let list = AllowList::new(EnvoySharedData, &settings.control.cluster, &settings.gate);
        list.create();
        let gate = Self {
            policy: RefCell::new(Rc::new(Policy::without_streams(&settings))),
            meters: Meters::new(settings.senders_max),
            watch: Watch::default(),
            ready: Cell::new(false),
            compiled: Cell::new(None),
            list,
            settings,
        };
        gate.refresh();
        gate
    }

    /// Looks whether the list became ready or its streams changed.
    pub(crate) fn refresh(&self) {
        let state = self.list.state();
        self.ready.set(state.ready);
        let version = (state.generation, state.streams_version);
        if self.compiled.get() == Some(version) {
            return;
        }
        // Streams that cannot be read are tried, and told of, once.
        self.compiled.set(Some(version));
        match Policy::compile(&self.settings, &self.list.streams(), upstream_secret) {
            Ok(policy) => *self.policy.borrow_mut() = Rc::new(policy),
            Err(_) => log::error!("the list's streams cannot be read; the last ones stay in force"),
        }
    }

    /// Whether a list is there, and the streams. A claim that does not fit what was seen at the last
    /// tick gets another look first, so that a new stream is served as soon as its key.
    pub(crate) fn standing(&self, claim: &Claim<'_>) -> (bool, Rc<Policy>) {
        if !self.ready.get() || self.policy.borrow().misses(claim) {
            self.refresh();
        }
        (self.ready.get(), Rc::clone(&self.policy.borrow()))
    }
}

/// Reads an upstream's secret from the environment that `vm_config` lets the module see.
fn upstream_secret(name: &EnvName) -> Option<Secret> {
    let value = std::env::var_os(name.as_str())?.into_encoded_bytes();
    (!value.is_empty()).then(|| Secret::new(value))
}
