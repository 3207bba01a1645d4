//! One request: read its headers once, let the guard decide, do what it says. The body is held back
//! only where the guard asks for it, and read once, when all of it is here.

use std::rc::Rc;
use std::time::Duration;

use mpgate_guard::{
    Action as Verb, Arrival, BODY_BYTES_MAX, Claim, Decision, Forward, Known, Peer, Request,
    Ruling, Standing, decide,
};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::gate::Gate;
use crate::host;

pub(crate) struct Stream {
    gate: Rc<Gate>,
    context: u32,
    /// The head of a request whose body is awaited, and how much of that is here.
    held: Option<(Head, usize)>,
    is_written_anew: bool,
    guards_answer: bool,
}

type Head = Vec<(String, Vec<u8>)>;

impl Stream {
    pub(crate) const fn new(gate: Rc<Gate>, context: u32) -> Self {
        Self { gate, context, held: None, is_written_anew: false, guards_answer: false }
    }

    /// Decides and acts, or holds the request until its body is here.
    fn rule(&mut self, head: Head, arrival: Arrival<'_>) -> Action {
        let claim = Claim::read(Request { headers: &head }, &self.gate.settings);
        let now = host::now();
        match self.decide(&claim, arrival, now) {
            Ruling::Decided(decision) => {
                self.gate.counted.note(&decision, now);
                self.act(&decision, claim.path())
            }
            Ruling::Probed(answer) => {
                host::set_filter_state("mpgate.action", "answer");
                host::set_filter_state("mpgate.verdict", "probe");
                host::respond(answer.status, &answer.headers, &answer.body)
            }
            Ruling::WantsBody => {
                self.gate.watch.expects_body(self.context, host::uptime());
                self.held = Some((head, 0));
                Action::Pause
            }
        }
    }

    fn decide<'a>(&self, claim: &Claim<'a>, arrival: Arrival<'_>, now: Duration) -> Ruling<'a> {
        let gate = &self.gate;
        let (list, policy) = gate.standing(claim);
        let known = match claim.digest() {
            Some(digest) => gate.list.lookup(digest).known(digest),
            None => Ok(None),
        };
        let peer = match &known {
            Ok(Some(known)) if Known::asks_for_peer(known) => peer(),
            _ => Peer::default(),
        };
        let standing = Standing { list, policy: &policy, known, peer, now };
        decide(claim, standing, &gate.settings, arrival)
    }

    fn act(&mut self, decision: &Decision<'_>, path: &[u8]) -> Action {
        mark(decision);
        self.gate.meters.count(decision);
        match &decision.action {
            Verb::Forward(forward) => self.forward(forward),
            Verb::Answer(answer) => {
                // What is logged or traced from here on has no query, and so no secret.
                host::set_request_header(":path", path);
                host::respond(answer.status, &answer.headers, &answer.body)
            }
        }
    }

    fn forward(&mut self, forward: &Forward<'_>) -> Action {
        self.guards_answer = forward.guards_answer;
        self.is_written_anew = forward.path.is_some();
        for name in &forward.remove_headers {
            host::remove_request_header(name);
        }
        if let Some(path) = &forward.path {
            host::set_request_header(":path", path);
        }
        if let Some(content_type) = forward.content_type {
            host::remove_request_header("content-type");
            host::set_request_header("content-type", content_type.as_bytes());
        }
        if let Some(sender) = &forward.sender {
            host::set_request_header("x-mpgate-sender", sender.as_bytes());
        }
        Action::Continue
    }

    /// All of the body is here.
    fn complete(&mut self) -> Action {
        let Some((head, bytes)) = self.held.take() else {
            return Action::Continue;
        };
        let body = host::request_body(bytes);
        self.rule(head, Arrival::Whole(&body))
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, is_all: bool) -> Action {
        let arrival = if is_all { Arrival::Whole(&[]) } else { Arrival::Coming };
        self.rule(host::request_headers(), arrival)
    }

    fn on_http_request_body(&mut self, bytes: usize, is_all: bool) -> Action {
        let Some((_, here)) = &mut self.held else {
            return Action::Continue;
        };
        self.gate.watch.saw_body();
        *here = bytes;
        if bytes > BODY_BYTES_MAX {
            let head = self.held.take().map(|(head, _)| head).unwrap_or_default();
            return self.rule(head, Arrival::TooLarge);
        }
        if is_all { self.complete() } else { Action::Pause }
    }

    /// With trailers the body never says that it ended: they do.
    ///
    /// What is written anew has none, for the protocol knows none. Elsewhere the gate's own words are
    /// removed, as from headers: an upstream may read the two alike.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let action = self.complete();
        if action == Action::Continue {
            for (name, _) in host::request_trailers() {
                if self.is_written_anew || mpgate_guard::is_own_header(&name) {
                    host::remove_request_trailer(&name);
                }
            }
        }
        action
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
        Verb::Answer(_) => "answer",
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

fn peer() -> Peer {
    Peer {
        source: Peer::address(&host::source_address()),
        certificate_names: host::certificate_names(),
    }
}
