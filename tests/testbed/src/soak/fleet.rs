//! A fleet as separate hosts: three Envoys, two controls and one PostgreSQL, each in a network namespace of its own.
//! Something happens to one of them while genuine senders send through every gateway and everybody tries revoked
//! keys at each.

mod cases;
mod gateway;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use self::gateway::Gateway;
use super::load::{Load, Tally};
use super::pace::pause;
use super::probes::{PROMISE, Revoked};
use super::scene::RECOVERY;
use super::{Outcome, Plan, clock};
use crate::collector::Collector;
use crate::control::{Control, IssuedKey, Place};
use crate::hosts::{Host, Network};
use crate::poll;
use crate::postgres::Cluster;
use crate::stack::{self, CLUB, CONSUMER, SHOP};

/// Connections of genuine senders to each gateway.
const LINES: usize = 4;

/// Where each control listens on its host.
const CONTROL_PORT: u16 = 8430;

/// What a clock is off by.
const HOUR: i64 = 3_600;

/// One thing that is done to the fleet.
struct Case {
    name: &'static str,
    what: &'static str,
    play: fn(&mut Fleet) -> Result<()>,
}

/// Starts a fleet and plays all cases on it, one after the other; each is told as it ends. What one leaves behind,
/// the next has to cope with.
///
/// # Errors
/// Not root, no PostgreSQL, or something did not come right again.
pub fn play(plan: Plan, mut tell: impl FnMut(&Outcome)) -> Result<Vec<Outcome>> {
    let mut fleet = Fleet::start(plan)?;
    let mut outcomes = Vec::new();
    for case in cases::ALL {
        let outcome = fleet.perform(case)?;
        tell(&outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// The hosts and what runs on them. Fields end in this order.
struct Fleet {
    gateways: Vec<Gateway>,
    controls: Vec<Control>,
    control_hosts: Vec<Host>,
    collector: Collector,
    database: Cluster,
    genuine: Vec<(String, String)>,
    plan: Plan,
    recoveries: Vec<Duration>,
    notes: Vec<String>,
    disturbances: u64,
    /// Requests of the case's own that were accepted.
    accepted: u64,
    made: u64,
    until: Instant,
    _network: Network,
    directory: TempDir,
}

impl Fleet {
    fn start(plan: Plan) -> Result<Self> {
        let mut network = Network::start()?;
        let directory = crate::directory()?;
        let database = Cluster::start_on(network.host("database", 10)?, true)?;
        let database_url = Some(database.database("mpgate")?);
        let (mut controls, mut control_hosts) = (Vec::<Control>::new(), Vec::new());
        for (name, number) in [("control-a", 11), ("control-b", 12)] {
            let host = network.host(name, number)?;
            let place = Place {
                host: Some(host.clone()),
                database_url: database_url.clone(),
                admin_token: controls.first().map(|first| first.admin_token().to_owned()),
            };
            let own = subdirectory(directory.path(), name)?;
            controls.push(Control::start_in(place, host.at(CONTROL_PORT), &own)?);
            control_hosts.push(host);
        }
        let first = controls.first().context("a control")?;
        let keys = stack::seed(first)?;
        let collector = Collector::start_at((network.own(), 0).into(), directory.path())?;
        let mut gateways = Vec::new();
        // The last one's clock is behind all the time.
        let late = clock_off_by(-HOUR, directory.path())?;
        let gateway_hosts =
            [("gateway-a", 21, vec![]), ("gateway-b", 22, vec![]), ("gateway-c", 23, late)];
        for (name, number, environment) in gateway_hosts {
            let surroundings = gateway::Surroundings {
                controls: control_hosts.iter().map(|host| host.at(CONTROL_PORT)).collect(),
                analytics: collector.address(),
                token: first.create_gateway_token()?,
                workers: plan.workers,
                environment,
            };
            let own = subdirectory(directory.path(), name)?;
            gateways.push(Gateway::start(name, network.host(name, number)?, surroundings, &own)?);
        }
        let head = first.head()?;
        for gateway in &gateways {
            gateway.wait_for_revision(head)?;
        }
        let genuine = keys.iter().zip([SHOP, CLUB]);
        Ok(Self {
            gateways,
            genuine: genuine.map(|(key, stream)| (stream.to_owned(), key.secret.clone())).collect(),
            controls,
            control_hosts,
            collector,
            database,
            plan,
            recoveries: Vec::new(),
            notes: Vec::new(),
            disturbances: 0,
            accepted: 0,
            made: 0,
            until: Instant::now(),
            _network: network,
            directory,
        })
    }

    fn perform(&mut self, case: &Case) -> Result<Outcome> {
        (self.disturbances, self.accepted) = (0, 0);
        for gateway in &self.gateways {
            let _before = gateway.probes.account();
        }
        self.collector.forget()?;
        let forwarded = self.forwarded()?;
        let rate = self.plan.rate / u32::try_from(self.gateways.len())?;
        let start = |gateway: &Gateway| Load::start(gateway.address(), &self.genuine, LINES, rate);
        let loads: Vec<Load> = self.gateways.iter().map(start).collect();
        self.until = Instant::now() + self.plan.time;
        let flowing = poll::until("genuine requests to flow", RECOVERY, || {
            loads.iter().all(|load| load.sent() >= 2 * LINES as u64).then_some(())
        });
        let played = flowing.and_then(|()| (case.play)(self));
        // Whatever is accepted too late is seen for a while longer.
        pause(PROMISE + PROMISE / 2);
        let mut genuine = Tally::default();
        for load in loads {
            genuine.add(load.finish());
        }
        let mut revoked = Revoked::default();
        for gateway in &self.gateways {
            revoked.add(gateway.probes.account());
        }
        if let Err(error) = played {
            bail!("{}: {error:#}\ngenuine: {:?}\nrevoked: {revoked:?}", case.name, genuine.told);
        }
        let accepted = genuine.accepted + revoked.accepted + self.accepted;
        let mut missing = 0;
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
            is_deadly: false,
            unavailable: 0,
            missing,
            notes: std::mem::take(&mut self.notes),
        })
    }

    /// Whether there is time for another round. Each case plays one at least.
    fn goes_on(&mut self) -> bool {
        let goes_on = self.disturbances == 0 || Instant::now() < self.until;
        self.disturbances += u64::from(goes_on);
        goes_on
    }

    /// A key is created at one control, used at all of these gateways, revoked at the other control, and refused at
    /// all. Answers when the last gateway took it.
    fn cycle(&mut self, gateways: &[usize], [creates, revokes]: [usize; 2]) -> Result<Instant> {
        let key = self.create(creates)?;
        let mut used = Instant::now();
        for &gateway in gateways {
            let found = self.gateways.get_mut(gateway).context("no such gateway")?;
            used = used.max(found.use_key(&key.secret)?);
            self.accepted += 1;
        }
        self.control(revokes)?.delete_key(&key.name)?;
        let from = Instant::now();
        for &gateway in gateways {
            self.watch(gateway, &key, from)?;
        }
        for &gateway in gateways {
            let found = self.gateways.get(gateway).context("no such gateway")?;
            found.probes.wait_until_refused(RECOVERY)?;
        }
        Ok(used)
    }

    /// The disturbance ended at this moment: measures how long until a change is in force everywhere.
    fn recover(&mut self, since: Instant) -> Result<()> {
        let used = self.cycle(&[0, 1, 2], [0, 1]).context("after the disturbance")?;
        self.recoveries.push(used.saturating_duration_since(since));
        self.wait_until_behind(&[])?;
        Ok(())
    }

    fn create(&mut self, control: usize) -> Result<IssuedKey> {
        self.made += 1;
        // Few names: a name is a label, and Envoy never frees a series.
        let sender = format!("till-{}", self.made % 5);
        self.control(control)?.create_key(CONSUMER, &sender, &[SHOP])
    }

    fn watch(&self, gateway: usize, key: &IssuedKey, from: Instant) -> Result<()> {
        let gateway = self.gateways.get(gateway).context("no such gateway")?;
        gateway.probes.watch(&key.name, SHOP, &key.secret, from);
        Ok(())
    }

    fn control(&self, number: usize) -> Result<&Control> {
        self.controls.get(number).context("no such control")
    }

    /// Until both controls name these gateways as behind and no other; how long it took.
    fn wait_until_behind(&self, expected: &[&str]) -> Result<Duration> {
        let began = Instant::now();
        let mut last = Vec::new();
        let agreed = poll::until_ok("the receipts", RECOVERY, || {
            last = self.controls.iter().map(Control::gateways_behind).collect::<Result<_>>()?;
            Ok(last.iter().all(|behind| behind == expected).then_some(()))
        });
        agreed.with_context(|| {
            format!("expected {expected:?} to be behind, the controls say {last:?}")
        })?;
        Ok(began.elapsed())
    }

    /// The environment of a process whose clock is off by so many seconds.
    fn clock_off_by(&self, seconds: i64) -> Result<Vec<(String, String)>> {
        clock_off_by(seconds, self.directory.path())
    }

    fn forwarded(&self) -> Result<u64> {
        self.gateways.iter().map(Gateway::forwarded).sum()
    }
}

fn clock_off_by(seconds: i64, directory: &Path) -> Result<Vec<(String, String)>> {
    let environment = clock::offset(seconds, directory)?;
    clock::check(&environment, seconds)?;
    Ok(environment)
}

fn subdirectory(parent: &Path, name: &str) -> Result<std::path::PathBuf> {
    let directory = parent.join(name);
    std::fs::create_dir(&directory)?;
    Ok(directory)
}
