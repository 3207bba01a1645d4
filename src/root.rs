//! The root context: one in each VM. It takes the configuration, ticks, and makes the streams.

use std::rc::Rc;
use std::time::Duration;

use mpgate_guard::{Serve, Settings, SettingsError};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::gate::Gate;
use crate::host;
use crate::poller::Poller;
use crate::reporter::Reporter;
use crate::status::StatusStream;
use crate::stream::Stream;

/// How soon a VM sees that the streams changed.
const TICK: Duration = Duration::from_millis(100);

/// The pause between two steps of a sweep: until it is done nothing more is asked.
const SWEEP_TICK: Duration = Duration::from_millis(10);

/// What a plugin instance is there for.
#[derive(Default)]
enum Role {
    #[default]
    Unset,
    Gate(Rc<Gate>, Box<Poller>, Box<Reporter>),
    Status(Rc<Settings>),
}

#[derive(Default)]
pub(crate) struct Root {
    role: Role,
    ticks_fast: bool,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        if let Role::Gate(_, poller, reporter) = &mut self.role {
            reporter.answer(token, headers);
            poller.answer(token, headers, body);
        }
    }

    fn on_done(&mut self) -> bool {
        if let Role::Gate(gate, poller, reporter) = &self.role {
            gate.tell_unknown();
            reporter.end();
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
        match Role::read() {
            Ok(role) => self.role = role,
            Err(error) => {
                log::error!("{error}");
                return false;
            }
        }
        if matches!(self.role, Role::Gate(..)) {
            host::set_tick_period(TICK);
        }
        true
    }

    fn on_tick(&mut self) {
        if let Role::Gate(gate, poller, reporter) = &mut self.role {
            gate.refresh();
            gate.tell_unknown();
            reporter.tick();
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
        match &self.role {
            Role::Unset => None,
            Role::Gate(gate, ..) => Some(Box::new(Stream::new(Rc::clone(gate), context))),
            Role::Status(settings) => Some(Box::new(StatusStream::new(Rc::clone(settings)))),
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Role {
    fn read() -> Result<Self, SettingsError> {
        let settings = Settings::read(&host::plugin_configuration())?;
        let (version, name) = (env!("CARGO_PKG_VERSION"), &settings.gate);
        if settings.serve == Serve::Status {
            log::info!("mpgate {version}: status of gate {name}");
            return Ok(Self::Status(Rc::new(settings)));
        }
        log::info!("mpgate {version}: gate {name}");
        let gate = Rc::new(Gate::new(settings)?);
        let poller = Poller::new(Rc::clone(&gate));
        let reporter = Reporter::new(Rc::clone(&gate), poller.told().to_vec());
        Ok(Self::Gate(gate, Box::new(poller), Box::new(reporter)))
    }
}
