//! Who may poll, and when: a lease, a note of the page that is being processed, pauses. Nothing here
//! decides what is in force.

use serde::{Deserialize, Serialize};

/// Leave to poll, so that one VM does and the others save the trouble. Correctness never rests on
/// it: see [`crate::Bucket::merge`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The VM that holds it.
    pub holder: u64,
    /// When it ends, Unix milliseconds.
    pub until: u64,
}

impl Lease {
    /// How long a holder that says nothing more is waited for. A VM that trapped says nothing more, and
    /// until another one polls no revocation arrives; a holder that is only slow loses nothing by it.
    const MILLISECONDS: u64 = 500;

    /// The lease that `me` may write: a free one, or its own again.
    #[must_use]
    pub fn claim(current: Option<&Self>, me: u64, now: u64) -> Option<Self> {
        let mine = Self { holder: me, until: now.saturating_add(Self::MILLISECONDS) };
        match current {
            // A clock that was set back must not keep a lease alive for ever.
            Some(lease) if lease.holder != me && lease.until > now && lease.until <= mine.until => {
                None
            }
            _ => Some(mine),
        }
    }

    /// The lease that `me` leaves behind when it ends, if it is the holder.
    #[must_use]
    pub fn release(current: Option<&Self>, me: u64) -> Option<Self> {
        current.is_some_and(|lease| lease.holder == me).then_some(Self { holder: me, until: 0 })
    }
}

/// A page that is about to be processed: noted first, so that one that kills its VM is not taken by
/// every VM in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// How often in a row it was begun and not ended.
    pub begun: u32,
    /// How many of these were told of.
    #[serde(default)]
    pub told: u32,
    /// When it may be begun again, Unix milliseconds.
    pub not_before: u64,
}

impl Attempt {
    /// The pause after the first, in milliseconds: short, for what killed the VM may be over; not shorter
    /// than a lease, so that a holder that is only slow is not taken for a dead one.
    const MILLISECONDS: u64 = Lease::MILLISECONDS;

    /// The longest pause, in milliseconds.
    const MILLISECONDS_MAX: u64 = 60_000;

    /// The note to leave before processing.
    #[must_use]
    pub fn again(&self, now: u64) -> Self {
        let begun = self.begun.saturating_add(1);
        let pause = backoff_milliseconds(Self::MILLISECONDS, begun, Self::MILLISECONDS_MAX);
        Self { begun, not_before: now.saturating_add(pause), ..self.clone() }
    }

    /// Whether a page may be asked for.
    #[must_use]
    pub const fn allows(&self, now: u64) -> bool {
        // A clock that was set back must not make it last longer than any pause.
        let beyond_any_pause = self.not_before > now.saturating_add(Self::MILLISECONDS_MAX);
        self.begun == 0 || now >= self.not_before || beyond_any_pause
    }

    /// The same note once one VM that began and did not end was told of; `None` where there is nothing
    /// to tell, or it may still be at it.
    #[must_use]
    pub fn tell(&self, now: u64) -> Option<Self> {
        let is_over = self.begun > self.told && self.allows(now);
        is_over.then(|| Self { told: self.told.saturating_add(1), ..self.clone() })
    }

    /// The note to leave once a page was processed: what others began and nobody told of yet is still to
    /// be told, a first pause from `now`, for who began it may be at it.
    #[must_use]
    pub fn end(&self, now: u64) -> Self {
        match self.begun.saturating_sub(self.told).saturating_sub(1) {
            0 => Self::default(),
            begun => Self { begun, told: 0, not_before: now.saturating_add(Self::MILLISECONDS) },
        }
    }
}

/// `first`, doubled for every failure after the first, up to `most`.
#[must_use]
pub fn backoff_milliseconds(first: u64, failures: u32, most: u64) -> u64 {
    let factor = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    first.saturating_mul(factor).min(most)
}

/// What each question tells control of the gate that asks, as request headers. `since`, in its
/// query, is the receipt itself.
#[must_use]
pub fn receipt_headers(
    gate: &str,
    node: &[u8],
    instance: &str,
    version: &str,
) -> Vec<(&'static str, String)> {
    let node: String = node.iter().take(NODE_BYTES_MAX).map(|byte| printable(*byte)).collect();
    let told = [
        ("x-mpgate-gate", gate.to_owned()),
        ("x-mpgate-node", node.trim().to_owned()),
        ("x-mpgate-instance", instance.to_owned()),
        ("x-mpgate-version", version.to_owned()),
        ("x-mpgate-capabilities", crate::CAPABILITIES.join(",")),
    ];
    told.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// Envoy's node id may be any text, and a header may not.
const NODE_BYTES_MAX: usize = 255;

const fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { byte as char } else { '?' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_free_when_it_ended_or_is_ones_own() {
        let held = Lease { holder: 1, until: 2_000 };
        assert_eq!(Lease::claim(None, 2, 0), Some(Lease { holder: 2, until: 500 }));
        assert_eq!(Lease::claim(Some(&held), 2, 1_999), None);
        assert_eq!(Lease::claim(Some(&held), 2, 2_000), Some(Lease { holder: 2, until: 2_500 }));
        assert_eq!(Lease::claim(Some(&held), 1, 1_000), Some(Lease { holder: 1, until: 1_500 }));
    }

    #[test]
    fn a_lease_from_before_the_clock_was_set_back_does_not_hold() {
        let held = Lease { holder: 1, until: 100_000 };
        assert!(Lease::claim(Some(&held), 2, 1_000).is_some());
    }

    #[test]
    fn a_page_that_was_begun_and_not_ended_waits_longer_each_time() {
        let first = Attempt::default().again(0);
        assert!(Attempt::default().allows(0));
        assert!(!first.allows(499) && first.allows(500));
        let second = first.again(1_000);
        assert!(!second.allows(1_999) && second.allows(2_000));
        let many = (0..100).fold(first, |attempt, _| attempt.again(100_000));
        assert_eq!(many.not_before, 160_000);
        assert!(!many.allows(100_000) && !many.allows(159_999));
        assert!(many.allows(99_999), "the clock was set back");
    }

    #[test]
    fn a_vm_that_died_of_a_page_is_told_of_once() {
        let first = Attempt::default().again(1_000);
        assert_eq!(Attempt::default().tell(1_000), None, "nothing was begun");
        assert_eq!(first.tell(1_499), None, "it may still be at it");
        let told = first.tell(1_500).expect("it died");
        assert_eq!((told.told, told.tell(9_999)), (1, None));
        assert!(told.allows(1_500));
        let second = told.again(1_500);
        assert_eq!(second.tell(2_500).map(|attempt| attempt.told), Some(2));
        let both = first.again(1_100);
        let one = both.tell(2_100).expect("two died");
        assert_eq!(one.tell(2_100).map(|attempt| attempt.told), Some(2));
    }

    /// Two VMs can have a page each: one whose lease ran out while control thought about its answer.
    #[test]
    fn a_page_that_is_processed_does_not_hide_a_vm_that_died_of_another() {
        let both = Attempt::default().again(1_000).again(1_100);
        let one = both.end(1_200);
        assert!(one.tell(1_699).is_none() && !one.allows(1_699), "it may still be at it");
        let told = one.tell(1_700).expect("it died");
        assert!(told.tell(9_999).is_none() && told.allows(1_700));
        assert_eq!(told.again(2_000).end(2_000), Attempt::default());
        assert_eq!(one.end(1_300), Attempt::default(), "it was only slow");
        assert_eq!(Attempt::default().end(1_000), Attempt::default());
    }

    #[test]
    fn a_lease_is_released_by_its_holder_only() {
        let held = Lease { holder: 1, until: 2_000 };
        let released = Lease::release(Some(&held), 1).expect("its own");
        assert!(Lease::claim(Some(&released), 2, 1).is_some());
        assert_eq!(Lease::release(Some(&held), 2), None);
        assert_eq!(Lease::release(None, 1), None);
    }

    #[test]
    fn a_question_says_who_asks() {
        let headers = receipt_headers("edge", b"node-1", "0123456789abcdef", "1.2.3");
        let value = |name| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        assert_eq!(value("x-mpgate-gate"), Some("edge"));
        assert_eq!(value("x-mpgate-instance"), Some("0123456789abcdef"));
        assert_eq!(value("x-mpgate-version"), Some("1.2.3"));
        let capabilities = "events,source_networks,certificate_names";
        assert_eq!(value("x-mpgate-capabilities"), Some(capabilities));
        let long = "n".repeat(300);
        for (id, told) in [
            ("node-1", Some("node-1")),
            ("rack 7/b", Some("rack 7/b")),
            ("a\r\nb: c", Some("a??b: c")),
            ("\u{e9}", Some("??")),
            (" ", None),
            ("", None),
            (&long, Some(&long[..255])),
        ] {
            let headers = receipt_headers("g", id.as_bytes(), "i", "v");
            let node = headers.iter().find(|(name, _)| *name == "x-mpgate-node");
            assert_eq!(node.map(|(_, value)| value.as_str()), told, "{id}");
        }
    }

    #[test]
    fn backoff_doubles_up_to_its_end() {
        let waits: Vec<u64> =
            [0, 1, 2, 3, 4, 200].map(|n| backoff_milliseconds(250, n, 1_500)).into();
        assert_eq!(waits, [250, 250, 500, 1_000, 1_500, 1_500]);
    }
}
