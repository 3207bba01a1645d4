//! What one VM keeps of a gate: its settings, the way to the shared list, and the compiled streams.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use mpgate_contract::{EnvName, Secret};
use mpgate_guard::{
    AllowList, Availability, Claim, Decision, Freshness, Inline, Offer, Policy, Reason, Settings,
    SettingsError, Summary, UnknownSecrets, is_look_due,
};

use crate::host::{self, EnvoySharedData};
use crate::meters::Meters;
use crate::reporter::Counted;
use crate::watch::Watch;

pub(crate) struct Gate {
    pub(crate) settings: Settings,
    pub(crate) list: AllowList<EnvoySharedData>,
    pub(crate) meters: Meters,
    pub(crate) counted: Counted,
    pub(crate) watch: Watch,
    /// Where targets are written, one after the other.
    pub(crate) written: RefCell<Vec<u8>>,
    /// Since they were last told to all.
    unknown: RefCell<UnknownSecrets>,
    policy: RefCell<Rc<Policy>>,
    freshness: Cell<Freshness>,
    available: Cell<Availability>,
    compiled: Cell<Option<Version>>,
    /// The clocks at the last look: Unix time, and the VM's own.
    looked_at: Cell<(Duration, Duration)>,
}

/// What a compiled policy was made of: (generation, version of the streams).
type Version = (u32, u64);

impl Gate {
    /// Takes an inline list, if it is newer than what is there.
    pub(crate) fn new(mut settings: Settings) -> Result<Self, SettingsError> {
        let summary = Summary::of(&settings, env!("CARGO_PKG_VERSION"));
        let inline = settings.inline.take();
        let list = AllowList::new(
            EnvoySharedData::of_list(&settings.gate),
            settings.cluster(),
            &settings.gate,
        );
        list.create();
        let gate = Self {
            policy: RefCell::new(Rc::new(Policy::without_streams(&settings))),
            meters: Meters::new(&settings),
            counted: Counted::of(&settings),
            watch: Watch::default(),
            written: RefCell::default(),
            unknown: RefCell::default(),
            freshness: Cell::default(),
            available: Cell::default(),
            compiled: Cell::new(None),
            looked_at: Cell::default(),
            list,
            settings,
        };
        if let Some(inline) = inline {
            gate.offer(&inline)?;
        }
        gate.list.note_summary(&summary);
        gate.refresh();
        Ok(gate)
    }

    fn offer(&self, inline: &Inline) -> Result<(), SettingsError> {
        let (now, has_control) = (host::now(), self.settings.control.is_some());
        let offer = self.list.offer(inline, |state| {
            let age = now.saturating_sub(Duration::from_secs(state.synced_at));
            has_control && !self.settings.is_stale(age)
        })?;
        let time = inline.export_time();
        match offer {
            Offer::Taken => log::info!("the inline list, exported at {time}, is in force"),
            Offer::Confirmed => {
                log::info!("the inline list, exported at {time}, is what is in force");
            }
            // Every VM but the first finds its own list there.
            Offer::Kept => {}
            Offer::HeldEmpty => {
                log::warn!("the inline list is empty and not taken; the last list stays in force");
            }
            Offer::Failed => log::error!("the inline list could not be written to shared data"),
        }
        Ok(())
    }

    /// Notes a secret that no key has. Shared data is left alone: a request is under way.
    pub(crate) fn note_unknown(&self, claim: &Claim<'_>, decision: &Decision<'_>, now: Duration) {
        if decision.reason == Some(Reason::UnknownSecret)
            && let Some(digest) = claim.digest()
        {
            self.unknown.borrow_mut().note(digest, now.as_secs());
        }
    }

    /// Tells all VMs of the unknown secrets that were tried here.
    pub(crate) fn tell_unknown(&self) {
        let mut noted = self.unknown.borrow_mut();
        if !noted.is_empty() && self.list.add_unknown_secrets(&noted) {
            *noted = UnknownSecrets::default();
        }
    }

    /// Unix time, counted on from the last look: a request asks the host for one clock, not for two.
    pub(crate) fn now(&self, uptime: Duration) -> Duration {
        let (now, looked_at) = self.looked_at.get();
        now.saturating_add(uptime.saturating_sub(looked_at))
    }

    /// How old the list is.
    pub(crate) fn age(&self) -> Duration {
        self.freshness.get().age(host::uptime())
    }

    /// Looks whether the list became ready, grew too old, or its streams changed.
    pub(crate) fn refresh(&self) {
        let (state, now, uptime) = (self.list.state(), host::now(), host::uptime());
        self.looked_at.set((now, uptime));
        self.list.look_again();
        let mut freshness = self.freshness.get();
        freshness.look(&state, now, uptime);
        self.freshness.set(freshness);
        self.available.set(self.settings.availability(state.ready, self.age()));
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
    pub(crate) fn standing(
        &self,
        claim: &Claim<'_>,
        uptime: Duration,
    ) -> (Availability, Rc<Policy>) {
        let (_, looked_at) = self.looked_at.get();
        let is_old = is_look_due(looked_at, uptime);
        let is_available = self.available.get() == Availability::InForce;
        if is_old || !is_available || self.policy.borrow().misses(claim) {
            self.refresh();
        }
        (self.available.get(), Rc::clone(&self.policy.borrow()))
    }
}

/// Reads an upstream's secret from the environment that `vm_config` lets the module see.
fn upstream_secret(name: &EnvName) -> Option<Secret<'static>> {
    let value = std::env::var_os(name.as_str())?.into_encoded_bytes();
    (!value.is_empty()).then(|| Secret::new(value))
}
