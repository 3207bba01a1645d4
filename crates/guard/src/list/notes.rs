//! Small notes that all VMs share beside the list: who may poll, which page is being read, what came of
//! the questions, how the gate is set up. None of them decides what is in force.

use super::{AllowList, SWAPS_MAX, SharedData};
use crate::{Attempt, Lease, Summary, Tally, UnknownSecrets};

/// The key that names this Envoy process; all gates in it share it, whatever their version.
const INSTANCE: &str = "mpgate/instance";

/// Bytes of reports that wait for a VM to send them: what tens of thousands of keys were used for.
const REPORTS_BYTES_MAX: usize = 4 << 20;

impl<S: SharedData> AllowList<S> {
    /// What this Envoy process is called among its like; empty until the first gate drew it.
    pub fn instance(&self) -> String {
        String::from_utf8(self.bytes(INSTANCE)).unwrap_or_default()
    }

    /// The same, `drawn` by the first VM and kept.
    pub fn draw_instance(&self, drawn: u64) -> String {
        if self.instance().is_empty() {
            self.shared.create(INSTANCE, format!("{drawn:016x}").as_bytes());
        }
        self.instance()
    }

    /// Takes or keeps the lease; whether `me` may poll.
    pub fn claim_lease(&self, me: u64, now: u64) -> bool {
        self.swap_json("lease", |current: Option<&Lease>| Lease::claim(current, me, now))
    }

    /// Leaves the lease to others, if `me` holds it.
    pub fn release_lease(&self, me: u64) {
        self.swap_json("lease", |current: Option<&Lease>| Lease::release(current, me));
    }

    /// Whether a page may be asked for, or one that was begun and not ended wants more time.
    pub fn may_ask(&self, now: u64) -> bool {
        self.read_json::<Attempt>("attempt").is_none_or(|attempt| attempt.allows(now))
    }

    /// Notes that a page is about to be processed.
    pub fn begin_attempt(&self, now: u64) {
        self.change_attempt(|attempt| attempt.again(now));
    }

    /// Whether a VM began a page and never ended it, and this caller is the one to tell of it.
    pub fn tell_of_attempt(&self, now: u64) -> bool {
        self.swap_json("attempt", |current: Option<&Attempt>| current?.tell(now))
    }

    /// Notes that it was processed and did no harm.
    pub fn end_attempt(&self, now: u64) {
        self.change_attempt(|attempt| attempt.end(now));
    }

    fn change_attempt(&self, step: impl Fn(&Attempt) -> Attempt) {
        let change = |current: Option<&Attempt>| Some(step(&current.cloned().unwrap_or_default()));
        let _ = (0..SWAPS_MAX).any(|_| self.swap_json("attempt", change));
    }

    /// What came of all questions of this Envoy.
    pub fn tally(&self) -> Tally {
        self.read_json("tally").unwrap_or_default()
    }

    /// Adds to that, for all VMs.
    pub fn change_tally(&self, step: impl Fn(&mut Tally)) {
        let change = |current: Option<&Tally>| {
            let mut next = current.cloned().unwrap_or_default();
            step(&mut next);
            Some(next)
        };
        // Lost races are tried again; what cannot be counted must not stop anything.
        let _ = (0..SWAPS_MAX).any(|_| self.swap_json("tally", change));
    }

    /// The unknown secrets that were tried most at this Envoy.
    pub fn unknown_secrets(&self) -> UnknownSecrets {
        self.read_json("unknown").unwrap_or_default()
    }

    /// Adds to those, for all VMs; whether that was written.
    pub fn add_unknown_secrets(&self, noted: &UnknownSecrets) -> bool {
        let add = |current: Option<&UnknownSecrets>| {
            let mut next = current.cloned().unwrap_or_default();
            next.merge(noted);
            Some(next)
        };
        (0..SWAPS_MAX).any(|_| self.swap_json("unknown", add))
    }

    /// Leaves reports of a VM that ends to the others; whether there was room. No report has a line end.
    pub fn leave_reports(&self, reports: &[Vec<u8>]) -> bool {
        let left = reports.join(&b'\n');
        self.swap_reports(|waiting| {
            let all = [waiting, &left].into_iter().filter(|part| !part.is_empty());
            let all = all.collect::<Vec<_>>().join(&b'\n');
            (all.len() <= REPORTS_BYTES_MAX).then_some(all)
        })
        .is_some()
    }

    /// Takes the reports that were left, in the order of each VM. Of several callers one gets them.
    pub fn take_reports(&self) -> Vec<Vec<u8>> {
        let waiting = self.swap_reports(|waiting| (!waiting.is_empty()).then(Vec::new));
        let waiting = waiting.unwrap_or_default();
        let reports = waiting.split(|byte| *byte == b'\n').filter(|report| !report.is_empty());
        reports.map(<[u8]>::to_vec).collect()
    }

    /// What was there before, if `step` changed it.
    fn swap_reports(&self, step: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        let key = self.key("reports");
        for _ in 0..SWAPS_MAX {
            let (before, version) = self.shared.get(&key)?;
            if self.shared.swap(&key, &step(&before)?, version).is_ok() {
                return Some(before);
            }
        }
        None
    }

    /// How the gate was set up last.
    pub fn summary(&self) -> Option<Summary> {
        self.read_json("settings")
    }

    /// Notes how the gate is set up.
    pub fn note_summary(&self, summary: &Summary) {
        let note = |_: Option<&Summary>| Some(summary.clone());
        let _ = (0..SWAPS_MAX).any(|_| self.swap_json("settings", note));
    }

    pub(super) fn read_json<T: serde::de::DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(&self.bytes(&self.key(key))).ok()
    }

    /// One compare-and-swap; whether it was made and won.
    pub(super) fn swap_json<T>(&self, key: &str, step: impl Fn(Option<&T>) -> Option<T>) -> bool
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        let key = self.key(key);
        let Some((bytes, version)) = self.shared.get(&key) else {
            return false;
        };
        let Some(next) = step(serde_json::from_slice(&bytes).ok().as_ref()) else {
            return false;
        };
        serde_json::to_vec(&next).is_ok_and(|bytes| self.shared.swap(&key, &bytes, version).is_ok())
    }
}
