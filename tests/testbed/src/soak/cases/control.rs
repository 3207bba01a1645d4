//! Control goes away, comes back, and has a wrong clock.

use std::time::Instant;

use anyhow::Result;

use crate::soak::clock::{self, DAY};
use crate::soak::pace::pause;
use crate::soak::scene::Scene;

/// Changes amid which it is killed.
const CHANGES: u32 = 10;

pub(super) fn stopped(scene: &mut Scene) -> Result<()> {
    while scene.goes_on() {
        scene.stack.control.stop()?;
        pause(scene.plan.outage());
        scene.stack.control.restart()?;
        scene.recover(Instant::now())?;
    }
    Ok(())
}

/// What it had acknowledged the moment before is in force when it is back.
pub(super) fn killed(scene: &mut Scene) -> Result<()> {
    while scene.goes_on() {
        let mut revoked = Vec::new();
        for _ in 0..CHANGES {
            let key = scene.create()?;
            scene.stack.control.delete_key(&key.name)?;
            revoked.push(key);
        }
        scene.stack.control.kill();
        pause(scene.plan.outage());
        scene.stack.control.restart()?;
        let back = Instant::now();
        scene.recover(back)?;
        for key in &revoked {
            scene.watch(key, Instant::now());
        }
    }
    Ok(())
}

/// It keeps its connections and says nothing.
pub(super) fn frozen(scene: &mut Scene) -> Result<()> {
    while scene.goes_on() {
        scene.stack.control.freeze(true);
        pause(scene.plan.outage());
        scene.stack.control.freeze(false);
        scene.recover(Instant::now())?;
    }
    Ok(())
}

pub(super) fn clock_ahead(scene: &mut Scene) -> Result<()> {
    clock_off_by(scene, DAY)
}

pub(super) fn clock_behind(scene: &mut Scene) -> Result<()> {
    clock_off_by(scene, -DAY)
}

/// Keys go on to be created and revoked while the clock is wrong and when it is right again. One of the
/// genuine senders has a key that began twelve hours ago and ends in twelve.
fn clock_off_by(scene: &mut Scene, seconds: i64) -> Result<()> {
    let directory = crate::directory()?;
    let environment = clock::offset(seconds, directory.path())?;
    clock::check(&environment, seconds)?;
    while scene.goes_on() {
        scene.stack.control.restart_with(&environment)?;
        scene.recover(Instant::now())?;
        scene.cycle()?;
        scene.stack.control.restart()?;
        scene.recover(Instant::now())?;
    }
    Ok(())
}
