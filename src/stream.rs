//! One request: read its headers once, let the guard decide, do what it says.

use std::rc::Rc;

use mpgate_guard::{Action as Verb, Claim, Decision, Forward, Request, Standing, decide};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::gate::Gate;
use crate::host;

pub(crate) struct Stream {
    gate: Rc<Gate>,
    guards_answer: bool,
}

impl Stream {
    pub(crate) const fn new(gate: Rc<Gate>) -> Self {
        Self { gate, guards_answer: false }
    }

    fn forward(&mut self, forward: &Forward<'_>) -> Action {
        self.guards_answer = forward.guards_answer;
        for name in &forward.remove_headers {
            host::remove_request_header(name);
        }
        if let Some(path) = &forward.path {
            host::set_request_header(":path", path);
        }
        if let Some(sender) = &forward.sender {
            host::set_request_header("x-mpgate-sender", sender.as_bytes());
        }
        Action::Continue
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let headers = host::request_headers();
        let claim = Claim::read(Request { headers: &headers });
        let (ready, policy) = self.gate.standing(&claim);
        let lookup = claim.digest().map(|digest| (digest, self.gate.list.lookup(digest)));
        let record = match &lookup {
            Some((digest, lookup)) => lookup.bucket().and_then(|bucket| bucket.find(digest)),
            None => Ok(None),
        };
        let standing = Standing { ready, policy: &policy, record, now: host::now().as_secs() };
        let decision = decide(&claim, &standing, &self.gate.settings);

        mark(&decision);
        self.gate.meters.count(&decision);
        match &decision.action {
            Verb::Forward(forward) => self.forward(forward),
            Verb::Refuse(answer) => {
                // What is logged or traced from here on has no query, and so no secret.
                host::set_request_header(":path", path_without_query(&headers));
                host::respond(answer.status, &answer.headers, &answer.body)
            }
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if self.guards_answer {
            for (name, _) in host::response_headers() {
                if !mpgate_guard::keeps_response_header(&name) {
                    host::remove_response_header(&name);
                }
            }
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, bytes: usize, _: bool) -> Action {
        if self.guards_answer {
            host::drop_response_body(bytes);
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if self.guards_answer {
            for (name, _) in host::response_trailers() {
                host::remove_response_trailer(&name);
            }
        }
        Action::Continue
    }
}

/// Puts the decision into filter state: the tripwire behind the gate lets nothing pass that lacks
/// `mpgate.action`, and the access log prints the rest.
fn mark(decision: &Decision<'_>) {
    let action = match decision.action {
        Verb::Forward(_) => "forward",
        Verb::Refuse(_) => "refuse",
    };
    host::set_filter_state("mpgate.action", action);
    host::set_filter_state("mpgate.verdict", decision.verdict.label());
    host::set_filter_state("mpgate.outcome", decision.outcome.label());
    let told = [
        ("mpgate.reason", decision.reason.map(mpgate_guard::Reason::label)),
        ("mpgate.sender", decision.sender.as_deref()),
        ("mpgate.key", decision.key_id.as_deref()),
        ("mpgate.stream", decision.stream.as_deref()),
    ];
    for (name, value) in told {
        if let Some(value) = value {
            host::set_filter_state(name, value);
        }
    }
}

fn path_without_query(headers: &[(String, Vec<u8>)]) -> &[u8] {
    headers
        .iter()
        .find(|(name, _)| name == ":path")
        .and_then(|(_, target)| target.split(|byte| *byte == b'?').next())
        .unwrap_or_default()
}
