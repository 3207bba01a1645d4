//! What is done to the fleet.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Case, Fleet, HOUR};
use crate::soak::pace::pause;

/// The rows of the table.
pub(super) const ALL: &[Case] = &[
    case("fleet-keys", "keys created at one control, revoked at the other", keys),
    case("fleet-gateway-cut", "one gateway cut off from both controls", gateway_cut),
    case(
        "fleet-control-killed",
        "one control killed (SIGKILL) and started, then the other",
        killed,
    ),
    case("fleet-control-frozen", "one control frozen: connected, and mute", frozen),
    case(
        "fleet-database-restarted",
        "the database restarted, in order and like a lost machine",
        database,
    ),
    case("fleet-clocks", "one control's clock an hour ahead, one gateway's an hour behind", clocks),
];

const fn case(name: &'static str, what: &'static str, play: fn(&mut Fleet) -> Result<()>) -> Case {
    Case { name, what, play }
}

/// The gateways, by number.
const EVERYWHERE: [usize; 3] = [0, 1, 2];
const CUT: usize = 2;

fn keys(fleet: &mut Fleet) -> Result<()> {
    while fleet.goes_on() {
        for turn in [[0, 1], [1, 0]] {
            let began = Instant::now();
            let used = fleet.cycle(&EVERYWHERE, turn)?;
            fleet.recoveries.push(used.saturating_duration_since(began));
        }
    }
    Ok(())
}

/// Its senders still reach it, and its last list stays. The receipts name it and no other.
fn gateway_cut(fleet: &mut Fleet) -> Result<()> {
    while fleet.goes_on() {
        let cut = fleet.gateways.get(CUT).context("a gateway")?;
        let (host, name) = (cut.host.clone(), cut.name);
        let controls = fleet.control_hosts.clone();
        for control in &controls {
            host.cut_from(control)?;
        }
        let key = fleet.create(0)?;
        for gateway in [0, 1] {
            fleet.gateways.get_mut(gateway).context("a gateway")?.use_key(&key.secret)?;
            fleet.accepted += 1;
        }
        fleet.cycle(&[0, 1], [1, 0])?;
        let told = fleet.wait_until_behind(&[name])?;
        fleet
            .notes
            .push(format!("both controls named {name} as behind, and no other, {told:.1?} later"));
        pause(fleet.plan.outage());
        fleet.control(1)?.delete_key(&key.name)?;
        let revoked = Instant::now();
        for gateway in [0, 1] {
            fleet.watch(gateway, &key, revoked)?;
        }
        for control in &controls {
            host.heal(control)?;
        }
        fleet.recover(Instant::now())?;
        fleet.watch(CUT, &key, Instant::now())?;
    }
    Ok(())
}

/// What either had acknowledged the moment before is in force, and the other goes on.
fn killed(fleet: &mut Fleet) -> Result<()> {
    while fleet.goes_on() {
        for (dies, lives) in [(0, 1), (1, 0)] {
            let key = fleet.create(dies)?;
            fleet.control(dies)?.delete_key(&key.name)?;
            fleet.controls.get_mut(dies).context("a control")?.kill();
            let gone = Instant::now();
            let used = fleet.cycle(&EVERYWHERE, [lives, lives]).context("with one control")?;
            fleet.recoveries.push(used.saturating_duration_since(gone));
            for gateway in EVERYWHERE {
                fleet.watch(gateway, &key, Instant::now())?;
            }
            pause(fleet.plan.outage());
            fleet.controls.get_mut(dies).context("a control")?.restart()?;
            fleet.recover(Instant::now())?;
        }
    }
    Ok(())
}

/// Its connections stay open and nothing comes. Envoy's look at its health keeps new questions away, and its ping ends
/// those that wait there: then every gateway hears the other control again, and the promise holds.
fn frozen(fleet: &mut Fleet) -> Result<()> {
    while fleet.goes_on() {
        fleet.controls.get_mut(0).context("a control")?.freeze(true);
        let gone = Instant::now();
        for gateway in &fleet.gateways {
            gateway.wait_for_controls(1)?;
        }
        let key = fleet.create(1)?;
        for gateway in EVERYWHERE {
            fleet.gateways.get_mut(gateway).context("a gateway")?.use_key(&key.secret)?;
            fleet.accepted += 1;
        }
        fleet.recoveries.push(gone.elapsed());
        fleet.cycle(&EVERYWHERE, [1, 1]).context("with one control")?;
        fleet.controls.get_mut(0).context("a control")?.freeze(false);
        fleet.recover(Instant::now())?;
    }
    Ok(())
}

/// Changes are refused with 503 meanwhile; what was acknowledged before is there.
fn database(fleet: &mut Fleet) -> Result<()> {
    while fleet.goes_on() {
        for mode in ["fast", "immediate"] {
            let key = fleet.create(0)?;
            fleet.control(1)?.delete_key(&key.name)?;
            fleet.database.stop(mode)?;
            pause(fleet.plan.outage().min(Duration::from_secs(5)));
            fleet.database.run()?;
            let back = Instant::now();
            // A pool finds out with its next request that its connections are gone.
            crate::poll::until("both controls to answer", super::RECOVERY, || {
                fleet.controls.iter().all(|control| control.head().is_ok()).then_some(())
            })?;
            fleet.recover(back)?;
            for gateway in EVERYWHERE {
                fleet.watch(gateway, &key, Instant::now())?;
            }
        }
    }
    Ok(())
}

/// Keys without dates do not ask what time it is.
fn clocks(fleet: &mut Fleet) -> Result<()> {
    while fleet.goes_on() {
        let environment = fleet.clock_off_by(HOUR)?;
        fleet.controls.get_mut(1).context("a control")?.restart_with(&environment)?;
        let off = Instant::now();
        let used = fleet.cycle(&EVERYWHERE, [1, 0])?;
        fleet.recoveries.push(used.saturating_duration_since(off));
        fleet.cycle(&EVERYWHERE, [0, 1])?;
        fleet.controls.get_mut(1).context("a control")?.restart()?;
        fleet.recover(Instant::now())?;
    }
    Ok(())
}
