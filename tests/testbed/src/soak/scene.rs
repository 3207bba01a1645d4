//! What a case plays on: a real Envoy with the gate, a real control, the wire between the two, genuine
//! senders, and everybody who still tries a revoked key.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::clock::{self, DAY};
use super::line::Line;
use super::load::{Load, Tally, event};
use super::pace::pause;
use super::probes::{PROMISE, Probes, Revoked};
use super::wire::Wire;
use super::{Case, Plan};
use crate::control::IssuedKey;
use crate::stack::{CLUB, CONSUMER, SHOP, Stack};
use crate::{artifacts, poll};

/// For whatever has to come right again; the gate's longest pause between two questions is 5 s.
pub(super) const RECOVERY: Duration = Duration::from_mins(1);

/// The shipped `stream_idle_timeout`, in which also what a VM took with it is answered, and a second.
pub(super) const ANSWERED: Duration = Duration::from_secs(11);

/// How long Envoy lets the connections of what was replaced end by themselves.
pub(super) const DRAIN: Duration = Duration::from_secs(10);

/// Connections of genuine senders: several for each worker.
const LINES: usize = 12;

/// What was measured of one case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case's name.
    pub case: &'static str,
    /// What happens, in a few words.
    pub what: &'static str,
    /// Envoy's workers.
    pub workers: u32,
    /// How often the disturbance was made.
    pub disturbances: u64,
    /// What became of genuine requests.
    pub genuine: Tally,
    /// What became of revoked keys.
    pub revoked: Revoked,
    /// After each disturbance, the time until a change made then was in force.
    pub recoveries: Vec<Duration>,
    /// Whether VMs were killed: then what was in them may be answered 503, in time.
    pub is_deadly: bool,
    /// Requests of revoked keys and of the case's own that were told 503.
    pub unavailable: u64,
    /// Requests that were accepted, less those that reached the upstream.
    pub missing: i64,
    /// What else there is to know.
    pub notes: Vec<String>,
}

impl Outcome {
    /// What did not hold; nothing if all did.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut say = |wrong: bool, what: String| {
            if wrong {
                faults.push(what);
            }
        };
        let genuine = &self.genuine;
        say(genuine.sent == 0, "nothing was sent".to_owned());
        let told_to_come_back = |told: &str| self.is_deadly && told.starts_with("503");
        let refused = genuine.refused.keys().any(|told| !told_to_come_back(told));
        say(refused, format!("genuine requests refused: {:?}", genuine.told));
        let slowest = genuine.percentile(100);
        say(slowest > ANSWERED, format!("a genuine request was answered after {slowest:?}"));
        say(genuine.losses() > 0, format!("genuine requests lost: {:?}", genuine.told));
        say(self.revoked.late > 0, format!("revoked keys accepted: {:?}", self.revoked.told));
        say(self.revoked.tries == 0, "no revoked key was tried".to_owned());
        // A VM can die between the upstream's answer and the sender, who is then told 503.
        let told_503 = i64::try_from(genuine.refusals() + self.unavailable).unwrap_or(0);
        let died = if self.is_deadly { told_503 } else { 0 };
        let missing = self.missing;
        say(!(-died..=0).contains(&missing), format!("accepted less forwarded: {missing}"));
        say(self.disturbances == 0, "nothing was disturbed".to_owned());
        faults
    }

    /// The longest recovery.
    #[must_use]
    pub fn recovery(&self) -> Duration {
        self.recoveries.iter().max().copied().unwrap_or_default()
    }
}

/// The stage.
pub(super) struct Scene {
    pub(super) stack: Stack,
    pub(super) wire: Wire,
    pub(super) probes: Probes,
    pub(super) plan: Plan,
    pub(super) notes: Vec<String>,
    pub(super) disturbances: u64,
    /// How long a key that a new list lacks was accepted at the longest.
    pub(super) swept: Duration,
    recoveries: Vec<Duration>,
    dated: IssuedKey,
    pushed: u64,
    line: Line,
    /// Requests of the case's own that were accepted, and those that were told 503.
    pub(super) accepted: u64,
    pub(super) unavailable: u64,
    made: u64,
    until: Instant,
}

impl Scene {
    /// Everything is up, the gate has its list, and one key is revoked already.
    pub(super) fn start(case: &Case, plan: Plan) -> Result<Self> {
        let wire = Wire::new()?;
        let discovered = case.discovered;
        let mut builder = Stack::builder()
            .concurrency(plan.workers)
            .control(wire.address())
            // Connections of a listener that was replaced end within this time; the default, ten
            // minutes, would hide what becomes of them. It is longer than any request may take.
            .arguments(&["--drain-time-s", &DRAIN.as_secs().to_string()])
            .edit(move |config| {
                if let Some(part) = discovered {
                    config.discover(part);
                }
                Ok(())
            })
            .without_list();
        if case.is_deadly {
            builder = builder.module(artifacts::trap_module()?);
        }
        let stack = builder.start()?;
        wire.lead_to(stack.control.address());
        stack.envoy.wait_for_revision(stack.crm.revision)?;
        let grant = json!({
            "sender": "bistro",
            "dataStreams": [SHOP],
            "notBefore": clock::from_now(-DAY / 2),
            "expireTime": clock::from_now(DAY / 2),
        });
        let dated = stack.control.create_key_with(CONSUMER, &grant)?;
        stack.envoy.wait_for_revision(dated.revision)?;
        let address = stack.envoy.address();
        let workers = usize::try_from(plan.workers)?;
        let mut scene = Self {
            probes: Probes::start(address, workers),
            line: Line::new(address),
            stack,
            wire,
            plan,
            notes: Vec::new(),
            disturbances: 0,
            swept: Duration::ZERO,
            recoveries: Vec::new(),
            dated,
            pushed: 0,
            accepted: 0,
            unavailable: 0,
            made: 0,
            until: Instant::now(),
        };
        scene.cycle().context("a first key")?;
        Ok(scene)
    }

    /// Plays a case while everybody sends, and tells what became of them.
    pub(super) fn perform(&mut self, case: &Case) -> Result<Outcome> {
        self.notes.clear();
        self.recoveries.clear();
        (self.disturbances, self.accepted, self.unavailable) = (0, 0, 0);
        let _before = self.probes.account();
        let forwarded = self.forwarded()?;
        let load = Load::start(self.address(), &self.genuine(), LINES, self.plan.rate);
        let began = Instant::now();
        self.until = began + self.plan.time;
        let flowing = poll::until("genuine requests to flow", RECOVERY, || {
            (load.sent() >= 2 * LINES as u64).then_some(())
        });
        let played = flowing.and_then(|()| (case.play)(self));
        // Whatever is accepted too late is seen for a while longer.
        pause(PROMISE + PROMISE / 2);
        let genuine = load.finish();
        let revoked = self.probes.account();
        if let Err(error) = played {
            bail!("{}: {error:#}\ngenuine: {:?}\nrevoked: {revoked:?}", case.name, genuine.told);
        }
        // A probe may be on its way still.
        let mut missing = 0;
        let accepted = genuine.accepted + revoked.accepted + self.accepted;
        let unavailable = revoked.unavailable + self.unavailable;
        let _settled = poll::until_ok("the upstream's count", Duration::from_secs(2), || {
            missing = i64::try_from(accepted)? - i64::try_from(self.forwarded()? - forwarded)?;
            Ok((missing == 0).then_some(()))
        });
        Ok(Outcome {
            case: case.name,
            what: case.what,
            workers: self.plan.workers,
            disturbances: self.disturbances,
            genuine,
            revoked,
            recoveries: std::mem::take(&mut self.recoveries),
            is_deadly: case.is_deadly,
            unavailable,
            missing,
            notes: std::mem::take(&mut self.notes),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.stack.envoy.address()
    }

    /// Keys that stay: `(stream, secret)`. The last one began half a day ago and ends in half a day.
    pub(super) fn genuine(&self) -> [(String, String); 3] {
        let key = |stream: &str, key: &IssuedKey| (stream.to_owned(), key.secret.clone());
        let (billing, crm) = (&self.stack.billing, &self.stack.crm);
        [key(SHOP, billing), key(CLUB, crm), key(SHOP, &self.dated)]
    }

    /// A number that no push of this stage had.
    pub(super) fn pushes(&mut self) -> u64 {
        self.pushed += 1;
        self.pushed
    }

    /// Whether there is time for another round. Each case plays one at least.
    pub(super) fn goes_on(&mut self) -> bool {
        let goes_on = self.disturbances == 0 || Instant::now() < self.until;
        self.disturbances += u64::from(goes_on);
        goes_on
    }

    /// A key is created, used, revoked; from then on it is tried for ever. Answers when it could be
    /// used.
    pub(super) fn cycle(&mut self) -> Result<Instant> {
        let key = self.create()?;
        let used = self.use_key(SHOP, &key.secret)?;
        self.revoke(&key)?;
        Ok(used)
    }

    /// The disturbance ended at this moment: measures how long a change takes to be in force.
    pub(super) fn recover(&mut self, since: Instant) -> Result<()> {
        let used = self.cycle().context("after the disturbance")?;
        self.recovered(used.saturating_duration_since(since));
        Ok(())
    }

    /// A change made when the disturbance ended was in force after so long.
    pub(super) fn recovered(&mut self, after: Duration) {
        self.recoveries.push(after);
    }

    pub(super) fn create(&mut self) -> Result<IssuedKey> {
        self.made += 1;
        // Few names: a name is a label, and Envoy never frees a series.
        self.stack.control.create_key(CONSUMER, &format!("till-{}", self.made % 5), &[SHOP])
    }

    /// Waits until a key is accepted; answers when it was.
    pub(super) fn use_key(&mut self, stream: &str, secret: &str) -> Result<Instant> {
        let request = event(self.address(), stream, secret);
        let mut last = String::new();
        let used = poll::until("a key to be accepted", RECOVERY, || {
            let seen = self.line.exchange(&request);
            last = seen.told();
            self.unavailable += u64::from(seen.is_unavailable());
            seen.is_accepted().then(|| seen.ended())
        });
        let used = used.with_context(|| format!("the last answer: {last}"))?;
        self.accepted += 1;
        Ok(used)
    }

    /// Revokes a key and waits until everybody refuses it.
    pub(super) fn revoke(&mut self, key: &IssuedKey) -> Result<()> {
        self.stack.control.delete_key(&key.name)?;
        self.watch(key, Instant::now());
        self.probes.wait_until_refused(RECOVERY)?;
        Ok(())
    }

    /// Tries a revoked key from now on, which has to be refused a second after this moment.
    pub(super) fn watch(&self, key: &IssuedKey, from: Instant) {
        self.probes.watch(&key.name, SHOP, &key.secret, from);
    }

    fn forwarded(&self) -> Result<u64> {
        self.stack.envoy.stat("cluster.analytics.upstream_rq_2xx")
    }
}
