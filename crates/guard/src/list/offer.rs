//! An inline list and the list that is there: which one wins, and how it takes the other's place.

use super::{AllowList, SWAPS_MAX, SharedData, Swept};
use crate::inline::{Inline, InlineFacts};
use crate::{BUCKETS, Offer, Phase, SettingsError, SyncState};

/// Steps of a sweep after which it is over, whatever else happens meanwhile.
const SWEEPS_MAX: u16 = BUCKETS / super::SWEEP_STEP + 1;

impl<S: SharedData> AllowList<S> {
    /// Weighs an inline list against what is there, and puts it in place if it is newer. `is_followed`
    /// says whether control is asked and its last word is not stale, see [`SyncState::weigh`].
    ///
    /// Only the first VM that meets it checks its pages; the others find a note. Sweeping is done here and
    /// at once: that VM is on the main thread and serves nobody.
    ///
    /// # Errors
    /// The page that is at fault. Nothing of the list was taken then.
    pub fn offer(
        &self,
        inline: &Inline,
        is_followed: impl Fn(&SyncState) -> bool,
    ) -> Result<Offer, SettingsError> {
        let noted = self.read_json("inline");
        let facts =
            match noted.filter(|facts: &InlineFacts| facts.fingerprint == inline.fingerprint()) {
                Some(facts) => facts,
                None => inline.check()?,
            };
        let offer = self.weigh(&facts, is_followed);
        let offer = match offer {
            Weighed::Taken(begun) => self.load(inline, &facts, begun.generation)?,
            Weighed::Other(offer) => offer,
        };
        let _ = (0..SWAPS_MAX).any(|_| self.swap_json("inline", |_| Some(facts.clone())));
        Ok(offer)
    }

    /// Decides, and writes what begins with it, in one step: an answer of control that comes in between is
    /// weighed too.
    fn weigh(&self, facts: &InlineFacts, is_followed: impl Fn(&SyncState) -> bool) -> Weighed {
        for _ in 0..SWAPS_MAX {
            let Some((state, version)) = self.read_state() else {
                break;
            };
            let offer = state.weigh(facts, is_followed(&state));
            let next = match offer {
                Offer::Taken => state.begin_again(&facts.epoch),
                Offer::Confirmed => state.following(facts),
                Offer::Kept | Offer::HeldEmpty | Offer::Failed => return Weighed::Other(offer),
            };
            if self.write_state(&next, version).is_ok() {
                return if offer == Offer::Taken {
                    Weighed::Taken(next)
                } else {
                    Weighed::Other(offer)
                };
            }
        }
        Weighed::Other(Offer::Failed)
    }

    fn load(
        &self,
        inline: &Inline,
        facts: &InlineFacts,
        generation: u32,
    ) -> Result<Offer, SettingsError> {
        let mut is_whole = true;
        inline.each_page(|page| {
            let placed = self.place(page, generation, |state| {
                // If control was quicker, the list is control's by now.
                let is_ours = state.generation == generation && state.since == page.to;
                if is_ours && page.to == page.head { state.following(facts) } else { state }
            });
            is_whole &= placed.is_some();
        })?;
        let mut swept = Swept::default();
        for _ in 0..SWEEPS_MAX {
            if self.state().phase == Phase::Sweeping {
                swept = self.sweep(swept);
            }
        }
        Ok(if is_whole { Offer::Taken } else { Offer::Failed })
    }
}

/// An offer, with what was written of it.
enum Weighed {
    Taken(SyncState),
    Other(Offer),
}
