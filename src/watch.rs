//! Watches for a forgotten `allow_on_headers_stop_iteration`.
//!
//! Without that flag Envoy never shows a held request's body, and the request would hang until the
//! stream's idle timeout. Nothing tells a module how the flag is set; but once one body has arrived
//! it is known to be there, so only the first requests of a VM are watched.

use core::cell::{Cell, RefCell};
use core::time::Duration;

use crate::host;

/// How long the first byte of a body may take before the flag is held to be missing.
const FIRST_BYTE: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(crate) struct Watch {
    has_seen_body: Cell<bool>,
    waiting: RefCell<Vec<(u32, Duration)>>,
}

impl Watch {
    pub(crate) fn expects_body(&self, context: u32, now: Duration) {
        if !self.has_seen_body.get() {
            self.waiting.borrow_mut().push((context, now));
        }
    }

    pub(crate) fn saw_body(&self) {
        if !self.has_seen_body.replace(true) {
            self.waiting.borrow_mut().clear();
        }
    }

    /// Answers what has waited too long.
    pub(crate) fn tick(&self, now: Duration) {
        let overdue = |since: Duration| now.saturating_sub(since) >= FIRST_BYTE;
        let mut waiting = self.waiting.borrow_mut();
        for (context, _) in waiting.iter().filter(|(_, since)| overdue(*since)) {
            if host::enter_context(*context) {
                log::error!(
                    "a request's body never arrived: set allow_on_headers_stop_iteration: true in the plugin's configuration"
                );
                host::respond(503, &[("retry-after", "1")], b"");
            }
        }
        waiting.retain(|(_, since)| !overdue(*since));
    }
}
