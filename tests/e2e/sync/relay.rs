//! Stands between the gate and the real control: passes on what control says, or something else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use mpgate_testbed::upstream::Received;
use mpgate_testbed::{Answer, Control, Request, Response, Upstream, http1};

/// What becomes of control's answer once.
pub(super) type Fault = Box<dyn FnOnce(Response) -> Answer + Send>;

/// A relay to a real control. It adds the token that the gate's Envoy would add.
pub(super) struct Relay {
    _upstream: Upstream,
    fault: Arc<Mutex<Option<Fault>>>,
}

impl Relay {
    /// On this address.
    pub(super) fn at(address: SocketAddr, control: &Control) -> Self {
        let ask = ask(control);
        let fault: Arc<Mutex<Option<Fault>>> = Arc::default();
        let once = Arc::clone(&fault);
        let script = move |request: &Received| {
            let Some(response) = ask(request) else { return Answer::Close };
            let fault = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            fault.map_or_else(|| pass(&response), |fault| fault(response.clone()))
        };
        Self { _upstream: Upstream::at(address, script).expect("a relay"), fault }
    }

    /// Changes the next answer, and that one only.
    pub(super) fn spoil(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }
}

/// Asks the real control what the gate asked.
pub(super) fn ask(control: &Control) -> impl Fn(&Received) -> Option<Response> + use<> {
    let (address, token) = (control.address(), control.admin_token().to_owned());
    move |request| {
        let bearer = format!("Bearer {token}");
        http1::send(address, &Request::get(request.path()).header("authorization", bearer)).ok()
    }
}

/// The very answer.
pub(super) fn pass(response: &Response) -> Answer {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Answer::Respond(response.status, headers, response.body.clone())
}
