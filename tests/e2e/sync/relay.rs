//! Stands between the gate and the real control: passes on what control says, or something else.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use mpgate_testbed::upstream::Received;
use mpgate_testbed::{Answer, Control, Request, Response, Upstream, http1};

/// Where the gate reports what it counted.
const USAGE_PATH: &str = "/v1/usageReports";

/// What becomes of control's answer once.
pub(super) type Fault = Box<dyn FnOnce(Response) -> Answer + Send>;

/// A relay to a real control. It adds the token that the gate's Envoy would add.
pub(super) struct Relay {
    _upstream: Upstream,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl Relay {
    /// On this address.
    pub(super) fn at(address: SocketAddr, control: &Control) -> Self {
        let ask = ask(control);
        let faults: Arc<Mutex<VecDeque<Fault>>> = Arc::default();
        let queue = Arc::clone(&faults);
        let script = move |request: &Received| {
            // Reports of what was counted are not what these tests are about, and take no fault.
            if request.path() == USAGE_PATH {
                return Answer::json(200, &serde_json::json!({"counted": true}));
            }
            let Some(response) = ask(request) else { return Answer::Close };
            let fault = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            fault.map_or_else(|| pass(&response), |fault| fault(response.clone()))
        };
        Self { _upstream: Upstream::at(address, script).expect("a relay"), faults }
    }

    /// Changes the next answer, and that one only; said twice, the next two.
    pub(super) fn spoil(&self, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
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
