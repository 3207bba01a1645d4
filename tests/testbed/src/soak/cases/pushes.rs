//! Envoy is given another configuration, or another module, while it runs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::discovery::Plugin;
use crate::soak::pace::pause;
use crate::soak::scene::{DRAIN, RECOVERY, Scene};
use crate::stack::SHOP;
use crate::{artifacts, poll};

/// Between two pushes: longer than Envoy takes for one, shorter than it takes to drain a listener.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) fn settings(scene: &mut Scene) -> Result<()> {
    push(scene, |number, plugin| {
        plugin.gate(|gate| {
            gate["senders_max"] = (1_000 - number % 100).into();
            Ok(())
        })
    })
}

/// Another module each time: the same code, and a custom section that makes it another file. Envoy
/// compiles it and makes new VMs.
pub(super) fn modules(scene: &mut Scene) -> Result<()> {
    let directory = crate::directory()?;
    push(scene, |number, plugin| plugin.module(&artifacts::other_module(number, directory.path())?))
}

fn push(scene: &mut Scene, edit: impl Fn(u64, &mut Plugin<'_>) -> Result<()>) -> Result<()> {
    let mut longest = Duration::ZERO;
    let rejected = counted(scene, "reject")?;
    while scene.goes_on() {
        let number = scene.pushes();
        let before = counted(scene, "success")?;
        // Control can be reached all the while: what it acknowledges now has a second, push or no push.
        let [first, second] = [scene.create()?, scene.create()?];
        scene.use_key(SHOP, &second.secret)?;
        let since = Instant::now();
        scene.stack.envoy.push(|plugin| edit(number, plugin))?;
        scene.revoke(&first)?;
        poll::until_ok("Envoy to take the push", RECOVERY, || {
            Ok((counted(scene, "success")? > before).then_some(()))
        })?;
        longest = longest.max(since.elapsed());
        scene.revoke(&second)?;
        scene.recover(Instant::now())?;
        pause(PAUSE);
    }
    // Here what was replaced last is gone for good. The short form of the tests does not wait for it.
    if !scene.plan.time.is_zero() {
        pause(DRAIN + PAUSE);
    }
    ensure!(counted(scene, "reject")? == rejected, "Envoy refused a push");
    scene.notes.push(format!("Envoy took a push {longest:.2?} after it was made, at the longest"));
    Ok(())
}

/// Pushes that Envoy took, or refused.
fn counted(scene: &Scene, how: &str) -> Result<u64> {
    let names = match how {
        "success" => ["listener_manager.lds.update_success", ECDS_SUCCESS],
        _ => ["listener_manager.lds.update_rejected", ECDS_FAIL],
    };
    let counts = names.map(|name| scene.stack.envoy.stat(name));
    counts.into_iter().sum::<Result<u64>>().context("a stat")
}

const ECDS_SUCCESS: &str = "extension_config_discovery.http_filter.mpgate.config_reload";
const ECDS_FAIL: &str = "extension_config_discovery.http_filter.mpgate.config_fail";
