//! The whole list is replaced. It comes from a made-up feed, so that nothing else changes with it.

use std::time::Instant;

use anyhow::Result;

use crate::soak::feed::{Feed, Key};
use crate::soak::scene::Scene;
use crate::stack::{CLUB, SHOP};

/// Keys beside the genuine senders'.
const OTHERS: usize = 2_000;

/// A new epoch says what the last one said, in another order.
pub(super) fn same_keys(scene: &mut Scene) -> Result<()> {
    replaced(scene, |_| String::new())
}

/// A new epoch has other keys besides; those of the last one are nobody's.
pub(super) fn other_keys(scene: &mut Scene) -> Result<()> {
    replaced(scene, |round| format!("-{round}"))
}

fn replaced(scene: &mut Scene, mark: impl Fn(u64) -> String) -> Result<()> {
    let feed = Feed::start()?;
    let revoked = scene.create()?;
    scene.use_key(SHOP, &revoked.secret)?;
    scene.revoke(&revoked)?;
    let others = |round| {
        let mark = mark(round);
        (0..OTHERS).map(move |number| Key::new(SHOP, &format!("other{mark}-{number}")))
    };
    let list =
        |scene: &Scene, round: u64| {
            let mut keys: Vec<Key> = others(round).collect();
            keys.extend(scene.genuine().iter().map(|(stream, secret)| {
                Key::new(if stream == CLUB { CLUB } else { SHOP }, secret)
            }));
            keys.push(Key { is_revoked: true, ..Key::new(SHOP, &revoked.secret) });
            // The key that tells that this list is here, and is nobody's in the next.
            keys.push(Key::new(SHOP, &format!("news-{round}")));
            keys
        };
    // Keys of control's own list, which the feed never had, are nobody's.
    feed.replace("soak-0", &list(scene, 0));
    scene.wire.lead_to(feed.address());
    scene.use_key(SHOP, "news-0")?;
    let mut round = 0;
    while scene.goes_on() {
        round += 1;
        let mut keys = list(scene, round);
        if round % 2 == 1 {
            keys.reverse();
        }
        feed.replace(&format!("soak-{round}"), &keys);
        let since = Instant::now();
        let used = scene.use_key(SHOP, &format!("news-{round}"))?;
        scene.recovered(used.saturating_duration_since(since));
        // From here the sweep has a second for what is gone.
        let gone = format!("news-{}", round - 1);
        scene.probes.watch(&gone, SHOP, &gone, used);
        let swept = scene.probes.wait_until_refused(crate::soak::scene::RECOVERY)?;
        scene.swept = scene.swept.max(swept);
    }
    let swept = scene.swept;
    scene
        .notes
        .push(format!("keys of the old list were refused {swept:.2?} after the new one was there"));
    // Back to control, for whoever plays next: another epoch once more.
    scene.wire.lead_to(scene.stack.control.address());
    scene.probes.forget();
    scene.cycle()?;
    Ok(())
}
