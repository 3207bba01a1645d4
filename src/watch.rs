//! Watches for a forgotten `allow_on_headers_stop_iteration`.
//!
//! Without that flag Envoy never shows a held request's body, and the request would hang until the
//! stream's idle timeout. Nothing tells a module how the flag is set; but once the body of a held
//! request was shown it is known to be there, so only the first requests of a VM are watched. A sender
//! that is slow is not taken for a forgotten flag: the flag is missing where Envoy has bytes that it
//! does not show.

use core::cell::{Cell, RefCell};
use core::time::Duration;

use crate::host;

/// How long Envoy may keep a body's bytes to itself before the flag is held to be missing.
const FIRST_BYTE: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(crate) struct Watch {
    has_seen_body: Cell<bool>,
    waiting: RefCell<Vec<Waiting>>,
}

/// A request whose body was not shown yet.
struct Waiting {
    context: u32,
    since: Duration,
    /// What Envoy had of it before its body.
    size: Vec<u8>,
}

impl Watch {
    pub(crate) fn expects_body(&self, context: u32, now: Duration) {
        if !self.has_seen_body.get() {
            let size = host::request_size();
            self.waiting.borrow_mut().push(Waiting { context, since: now, size });
        }
    }

    pub(crate) fn saw_body(&self) {
        if !self.has_seen_body.replace(true) {
            self.waiting.borrow_mut().clear();
        }
    }

    /// Answers what has waited too long for a body that is here.
    pub(crate) fn tick(&self, now: Duration) {
        self.waiting.borrow_mut().retain(|waiting| {
            if now.saturating_sub(waiting.since) < FIRST_BYTE {
                return true;
            }
            if !host::enter_context(waiting.context) {
                return false;
            }
            if host::request_size() == waiting.size {
                return true;
            }
            log::error!(
                "a request's body is not shown to the gate: set allow_on_headers_stop_iteration: true in the plugin's configuration"
            );
            host::respond(503, &[("retry-after", "1")], b"");
            false
        });
    }
}
