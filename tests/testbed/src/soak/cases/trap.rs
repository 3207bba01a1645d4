//! The VM that polls dies: a page kills it. The list is in none of the VMs, and the others go on.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::http1::Http1;
use crate::poll;
use crate::soak::feed::{Feed, Key};
use crate::soak::load::event;
use crate::soak::scene::{ANSWERED, RECOVERY, Scene};
use crate::stack::{CLUB, SHOP};

/// Each kills another VM: the one of the main thread first, as likely as not, and that one for good.
const VMS: u64 = 3;

/// Requests that are half here when a VM dies.
const HELD: u64 = 8;

pub(super) fn poller(scene: &mut Scene) -> Result<()> {
    let feed = Feed::start()?;
    let stay = |(stream, secret): (String, String)| {
        Key::new(if stream == CLUB { CLUB } else { SHOP }, &secret)
    };
    let mut keys: Vec<Key> = scene.genuine().into_iter().map(stay).collect();
    feed.replace("trap", &keys);
    scene.probes.forget();
    scene.wire.lead_to(feed.address());
    keys.push(Key::new(SHOP, "news-0"));
    feed.replace("trap", &keys);
    scene.use_key(SHOP, "news-0")?;
    let (killed, reloaded) = (count(scene)?, reloads(scene)?);
    let (mut number, mut in_the_vm, mut slowest) = (0, 0, Duration::ZERO);
    while scene.goes_on() {
        for _ in 0..VMS {
            number += 1;
            // What was good until now is revoked by the page that kills, or by the one after it.
            if let Some(key) = keys.last_mut() {
                key.is_revoked = true;
            }
            let [gone, news] = [number - 1, number].map(|number| format!("news-{number}"));
            keys.push(Key::new(SHOP, &news));
            let half_here = (0..HELD).map(|_| Held::begin(scene)).collect::<Result<Vec<_>>>()?;
            feed.poison();
            feed.replace(&format!("trap-{number}"), &keys);
            poll::until("the page to be taken", RECOVERY, || (!feed.is_poisoned()).then_some(()))?;
            let since = Instant::now();
            for held in half_here {
                let (status, took) = held.finish()?;
                slowest = slowest.max(took);
                match status {
                    204 => scene.accepted += 1,
                    503 => {
                        in_the_vm += 1;
                        scene.unavailable += 1;
                    }
                    _ => bail!("a request that was half here got {status}"),
                }
            }
            let used = scene.use_key(SHOP, &news)?;
            scene.recovered(used.saturating_duration_since(since));
            scene.probes.watch(&gone, SHOP, &gone, since);
            scene.probes.wait_until_refused(RECOVERY)?;
        }
    }
    let (died, made) = (count(scene)? - killed, reloads(scene)? - reloaded);
    scene.notes.push(format!(
        "{number} pages killed a VM, {made} VMs were made anew by a request; of {} requests that were \
         half here {in_the_vm} were told 503, the slowest answer took {slowest:.2?}",
        number * HELD
    ));
    ensure!(slowest < ANSWERED, "a request that a VM took with it was answered after {slowest:?}");
    ensure!(made > 0, "no request made a VM anew after {died} died");
    ensure!(died == number, "{number} pages should have killed a VM, and {died} did");
    Ok(())
}

/// A request whose body the gate waits for while a VM dies: some are in that VM.
struct Held {
    socket: TcpStream,
    rest: Vec<u8>,
}

impl Held {
    fn begin(scene: &Scene) -> Result<Self> {
        let [(stream, secret), ..] = scene.genuine();
        let mut first = event(scene.address(), &stream, &secret);
        let rest = first.split_off(first.len() - 40);
        let mut socket = TcpStream::connect(scene.address())?;
        socket.set_read_timeout(Some(RECOVERY))?;
        socket.write_all(&first)?;
        Ok(Self { socket, rest })
    }

    /// Sends the rest; answers the status and how long that took.
    fn finish(self) -> Result<(u16, Duration)> {
        let began = Instant::now();
        let answer = Http1::over(self.socket, "gate").send_bytes(&self.rest)?;
        Ok((answer.status, began.elapsed()))
    }
}

/// Pages that killed a VM, as the gate tells.
fn count(scene: &Scene) -> Result<u64> {
    let killed = scene.stack.envoy.metrics()?.sum("mpgate_sync_total", &[("result", "killed")]);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    Ok(killed as u64)
}

/// VMs that requests made anew, as Envoy counts them.
fn reloads(scene: &Scene) -> Result<u64> {
    let plugin = [("plugin", "mpgate")];
    let made = scene.stack.envoy.metrics()?.sum("envoy_wasm_vm_reload_success", &plugin);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    Ok(made as u64)
}
