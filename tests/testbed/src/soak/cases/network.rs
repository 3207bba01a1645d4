//! What lies between Envoy and control fails: it is cut in three ways, slow, or taken over.

use std::time::Instant;

use anyhow::Result;

use crate::soak::pace::pause;
use crate::soak::scene::Scene;
use crate::soak::wire::Weather;

pub(super) fn refused(scene: &mut Scene) -> Result<()> {
    under(scene, Weather::Refused)
}

pub(super) fn silent(scene: &mut Scene) -> Result<()> {
    under(scene, Weather::Silent)
}

pub(super) fn reset(scene: &mut Scene) -> Result<()> {
    under(scene, Weather::Reset)
}

pub(super) fn garbage(scene: &mut Scene) -> Result<()> {
    under(scene, Weather::Garbage)
}

/// Slow is not away: what control acknowledged has to be in force within the second all the same.
pub(super) fn slow(scene: &mut Scene) -> Result<()> {
    while scene.goes_on() {
        scene.wire.set(Weather::Slow)?;
        scene.cycle()?;
        scene.cycle()?;
        scene.wire.set(Weather::Fair)?;
        scene.recover(Instant::now())?;
    }
    Ok(())
}

/// A route or a balancer forgot them: nobody closes them, and nothing comes on them any more. New ones
/// work, so control can be reached as soon as the gate tries.
pub(super) fn forgotten(scene: &mut Scene) -> Result<()> {
    while scene.goes_on() {
        scene.wire.forget_connections();
        scene.recover(Instant::now())?;
    }
    Ok(())
}

/// What control was told meanwhile arrives when the way is free again. The second that we promise
/// begins when the gate is known to hear control.
fn under(scene: &mut Scene, weather: Weather) -> Result<()> {
    while scene.goes_on() {
        let key = scene.create()?;
        scene.use_key(crate::stack::SHOP, &key.secret)?;
        scene.wire.set(weather)?;
        scene.stack.control.delete_key(&key.name)?;
        pause(scene.plan.outage());
        scene.wire.set(Weather::Fair)?;
        scene.recover(Instant::now())?;
        scene.watch(&key, Instant::now());
    }
    Ok(())
}
