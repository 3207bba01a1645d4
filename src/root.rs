//! The root context: one in each VM. It takes the configuration, ticks, and makes the streams.

use std::rc::Rc;
use std::time::Duration;

use mpgate_guard::Settings;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::gate::Gate;
use crate::host;
use crate::poller::Poller;
use crate::stream::Stream;

/// How soon a VM sees that the streams changed.
const TICK: Duration = Duration::from_millis(100);

/// The pause between two steps of a sweep: until it is done nothing more is asked.
const SWEEP_TICK: Duration = Duration::from_millis(10);

#[derive(Default)]
pub(crate) struct Root {
    set_up: Option<(Rc<Gate>, Poller)>,
    ticks_fast: bool,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        if let Some((_, poller)) = &mut self.set_up {
            poller.answer(token, headers, body);
        }
    }

    fn on_done(&mut self) -> bool {
        if let Some((_, poller)) = &self.set_up {
            poller.end();
        }
        true
    }
}

impl RootContext for Root {
    /// `false` makes Envoy refuse the configuration and keep the one it has.
    fn on_configure(&mut self, _: usize) -> bool {
        if host::vm_id().is_empty() {
            log::error!(
                "vm_config.vm_id is empty: set one, or this gate shares its list with every other filter"
            );
            return false;
        }
        let settings = match Settings::parse(&host::plugin_configuration()) {
            Ok(settings) => settings,
            Err(error) => {
                log::error!("{error}");
                return false;
            }
        };
        log::info!("mpgate {}: gate {}", env!("CARGO_PKG_VERSION"), settings.gate);
        let gate = Rc::new(Gate::new(settings));
        self.set_up = Some((Rc::clone(&gate), Poller::new(gate)));
        host::set_tick_period(TICK);
        true
    }

    fn on_tick(&mut self) {
        if let Some((gate, poller)) = &mut self.set_up {
            gate.refresh();
            let is_sweeping = poller.tick();
            if self.ticks_fast != is_sweeping {
                self.ticks_fast = is_sweeping;
                host::set_tick_period(if is_sweeping { SWEEP_TICK } else { TICK });
            }
            // Last: it makes what follows about another context, and a question that was asked there
            // would be answered there.
            gate.watch.tick(host::uptime());
        }
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        let (gate, _) = self.set_up.as_ref()?;
        Some(Box::new(Stream::new(Rc::clone(gate), context)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
