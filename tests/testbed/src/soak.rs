//! Everything changes under load: what `cargo xtask soak` measures, and the end-to-end tests in short.
//!
//! A case disturbs something while genuine senders send at a bounded rate and everybody goes on trying
//! revoked keys. No genuine request may be refused or lost, and no revoked key accepted later than a
//! second after control's answer.

mod cases;
mod clock;
mod feed;
mod fleet;
mod line;
mod load;
mod pace;
mod probes;
mod scene;
mod weight;
mod wire;

use std::time::Duration;

use anyhow::{Result, ensure};

pub use fleet::play as play_fleet;
pub use line::{Line, Seen};
pub use load::Tally;
pub use probes::{PROMISE, Revoked};
pub use scene::Outcome;
pub use weight::{FirstLoad, Turns, Weight, first_load, weigh};

use crate::discovery::Discovered;
use scene::Scene;

/// How long and how hard a case is played.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Envoy's workers.
    pub workers: u32,
    /// New rounds begin for so long; one round is played in any case.
    pub time: Duration,
    /// Genuine requests a second, all senders together.
    pub rate: u32,
}

impl Plan {
    /// How long something is away: a second, or so long that two fit into the time. The longer it is,
    /// the longer are the gate's pauses between two questions.
    fn outage(self) -> Duration {
        (self.time / 3).clamp(Duration::from_secs(1), Duration::from_secs(20))
    }
}

/// One thing that is done to the system while requests flow.
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens, in a few words: the row of the table.
    pub what: &'static str,
    discovered: Option<Discovered>,
    /// VMs are killed: it runs the module with a trap, and requests in that VM may be told to come back.
    is_deadly: bool,
    play: fn(&mut Scene) -> Result<()>,
}

/// All cases, in the order of the table.
pub const CASES: &[Case] = cases::ALL;

impl Case {
    /// The case of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        CASES.iter().find(|case| case.name == name)
    }

    /// Starts everything anew, plays the case, and tells what was measured.
    ///
    /// # Errors
    /// Something did not start, or did not come right again.
    pub fn run(&self, plan: Plan) -> Result<Outcome> {
        Scene::start(self, plan)?.perform(self)
    }
}

/// Plays several cases, one after the other on the same stage. What one leaves behind, the next has to
/// cope with.
///
/// # Errors
/// Something did not start, or did not come right again.
pub fn run_together(cases: &[&Case], plan: Plan) -> Result<Vec<Outcome>> {
    let Some(first) = cases.first() else { return Ok(Vec::new()) };
    let is_alike =
        |case: &&Case| (case.discovered, case.is_deadly) == (first.discovered, first.is_deadly);
    ensure!(cases.iter().all(is_alike), "these cases want different configurations");
    let mut scene = Scene::start(first, plan)?;
    cases.iter().map(|case| scene.perform(case)).collect()
}
