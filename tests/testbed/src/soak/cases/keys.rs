//! Keys come and go.

use anyhow::Result;

use crate::soak::scene::Scene;

/// One key after another is created, used and revoked; each is tried until the end.
pub(super) fn over_and_over(scene: &mut Scene) -> Result<()> {
    while scene.goes_on() {
        scene.recover(std::time::Instant::now())?;
    }
    Ok(())
}
