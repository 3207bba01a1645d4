//! Ways around the gate, each on a listener of its own in one Envoy: the shipped listener with one
//! thing changed. A gate of each listener has a VM of its own, so that one cannot spoil another.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mpgate_testbed::config::EnvoyConfig;
use mpgate_testbed::port::Lease;
use mpgate_testbed::stack::{Builder, SHOP, Stack, purchase};
use mpgate_testbed::{Request, Response, artifacts, http1, poll};
use serde_json::{Value, json};

/// For a gate's first answer from control.
const LIST: Duration = Duration::from_secs(20);

/// What a client gets where the gate was gone around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caught {
    /// By the native filter behind the gate.
    ByTheTripwire,
    /// Envoy answers for a gate that is not there.
    Unavailable,
}

/// A way around the gate.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// Changes the one listener of a configuration. Its gate's own configuration is a string here.
    pub(crate) edit: Box<dyn Fn(&mut EnvoyConfig)>,
    pub(crate) caught: Caught,
}

/// A listener on which a way around the gate is open.
pub(crate) struct Opened {
    pub(crate) way: Way,
    lease: Lease,
}

impl Way {
    pub(crate) fn new(
        name: &'static str,
        caught: Caught,
        edit: impl Fn(&mut EnvoyConfig) + 'static,
    ) -> Self {
        Self { name, edit: Box::new(edit), caught }
    }
}

impl Caught {
    pub(crate) fn is(self, answer: &Response) -> bool {
        match self {
            Self::ByTheTripwire => answer.status == 403 && answer.text() == "RBAC: access denied",
            Self::Unavailable => answer.status == 503,
        }
    }
}

impl Opened {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.lease.address()
    }

    /// Waits until this listener's gate has its list: each asks control for itself.
    pub(crate) fn wait_for_its_list(&self) {
        let guess = purchase(SHOP, "guess");
        poll::until(self.way.name, LIST, || (self.send(&guess).status == 401).then_some(()))
            .expect("a list");
    }

    /// Sends over the listener, without TLS.
    pub(crate) fn send(&self, request: &Request) -> Response {
        http1::send(self.address(), request)
            .unwrap_or_else(|error| panic!("{}: no answer: {error:#}", self.way.name))
    }
}

/// Starts a shipped configuration with one more listener for each way.
pub(crate) fn open(file: &str, ways: Vec<Way>) -> (Stack, Rc<[Opened]>) {
    try_open(Stack::builder().config(file).concurrency(1), ways)
        .unwrap_or_else(|error| panic!("{error:?}"))
}

/// The same on a stack with wishes, or what Envoy says against it.
pub(crate) fn try_open(builder: Builder, ways: Vec<Way>) -> Result<(Stack, Rc<[Opened]>), String> {
    let opened: Rc<[Opened]> =
        ways.into_iter().map(|way| Opened { way, lease: Lease::any().expect("a port") }).collect();
    let listeners = Rc::clone(&opened);
    let stack = builder
        .edit(move |config| {
            let shipped = config.clone();
            for (index, opened) in opened.iter().enumerate() {
                let listener = with_way(shipped.clone(), index, opened);
                config.set("/static_resources/listeners/-", listener)?;
            }
            Ok(())
        })
        .start()
        .map_err(|error| format!("{error:#}"))?;
    Ok((stack, listeners))
}

fn with_way(mut config: EnvoyConfig, index: usize, opened: &Opened) -> Value {
    let address = opened.address();
    let listener = config.listener().expect("a listener");
    listener["name"] = format!("way-{index}").into();
    listener["address"] = json!({
        "socket_address": {"address": address.ip().to_string(), "port_value": address.port()},
    });
    if let Some(chain) = listener["filter_chains"][0].as_object_mut() {
        // The gate is the same behind TLS; the shipped listener beside this one has it.
        chain.remove("transport_socket");
    }
    let gate = config.gate().expect("a gate");
    *gate = gate.to_string().into();
    let module = artifacts::module().expect("the module");
    let vm = &mut config.plugin().expect("a plugin")["vm_config"];
    vm["code"]["local"]["filename"] = module.to_string_lossy().into_owned().into();
    vm["vm_id"] = format!("way-{index}").into();
    (opened.way.edit)(&mut config);
    config.listener().expect("a listener").clone()
}
