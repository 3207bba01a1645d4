//! One request: read its headers once, let the guard decide, do what it says. The body is held back
//! only where the guard asks for it, and read once, when all of it is here.

use std::rc::Rc;

use mpgate_contract::Digest;
use mpgate_guard::{
    Action as Verb, Arrival, BODY_BYTES_MAX, Claim, Decision, Forward, Known, Peer, Request,
    Ruling, Standing, Told, VerdictWord, decide,
};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::gate::Gate;
use crate::host;
use crate::meters;

pub(crate) struct Stream {
    gate: Rc<Gate>,
    context: u32,
    /// A request whose body is awaited.
    held: Option<Held>,
    /// What the bytes of a body are counted in that passes.
    body_bytes: Option<u32>,
    is_written_anew: bool,
    guards_answer: bool,
}

/// The head of a request, and what is known of it.
struct Held {
    head: Vec<(String, Vec<u8>)>,
    digest: Option<Digest>,
    /// How much of its body is here.
    bytes: usize,
}

impl Stream {
    pub(crate) const fn new(gate: Rc<Gate>, context: u32) -> Self {
        Self {
            gate,
            context,
            held: None,
            body_bytes: None,
            is_written_anew: false,
            guards_answer: false,
        }
    }

    /// Decides and acts, or holds the request until its body is here.
    fn rule(&mut self, held: Held, arrival: Arrival<'_>) -> Action {
        let gate = Rc::clone(&self.gate);
        let claim = Claim::read(Request { headers: &held.head }, &gate.settings);
        let claim = claim.with_digest(held.digest);
        let uptime = host::uptime();
        let (list, policy) = gate.standing(&claim, uptime);
        let now = gate.now(uptime);
        let wanted = policy.asks_for_key(&claim).then(|| claim.digest()).flatten();
        let known = match wanted {
            Some(digest) => gate.list.known(digest),
            None => Ok(None),
        };
        let peer = known.as_ref().map_or_else(|_| Peer::default(), |known| peer(known.as_ref()));
        let standing = Standing { list, policy: &policy, known, peer, now };
        match decide(&claim, &standing, &gate.settings, arrival) {
            Ruling::Decided(decision) => {
                gate.counted.note(&decision, now, uptime);
                gate.note_unknown(&claim, &decision, now);
                self.count_body(&decision, arrival, held.bytes);
                self.act(&decision, &claim)
            }
            Ruling::Probed(answer) => {
                host::set_filter_state("mpgate.action", "answer");
                if gate.settings.filter_state.contains(&Told::Verdict) {
                    host::set_filter_state(Told::Verdict.name(), "probe");
                }
                host::set_request_header(":path", claim.path());
                host::respond(answer.status, answer.headers, &answer.body)
            }
            Ruling::WantsBody => {
                gate.watch.expects_body(self.context, uptime);
                let digest = claim.digest().copied();
                self.held = Some(Held { digest, ..held });
                Action::Pause
            }
        }
    }

    /// What was held is counted now, and what is still coming as it passes.
    fn count_body(&mut self, decision: &Decision<'_>, arrival: Arrival<'_>, here: usize) {
        let is_all = matches!(arrival, Arrival::Whole(_));
        if decision.verdict == VerdictWord::Passed || (is_all && here == 0) {
            return;
        }
        let id = self.gate.meters.body_bytes(decision.sender);
        meters::add(id, here);
        self.body_bytes = id.filter(|_| !is_all);
    }

    fn act(&mut self, decision: &Decision<'_>, claim: &Claim<'_>) -> Action {
        mark(decision, claim, &self.gate.settings.filter_state);
        self.gate.meters.count(decision);
        match &decision.action {
            Verb::Forward(forward) => self.forward(forward),
            Verb::Answer(answer) => {
                // What is logged or traced from here on has no query, and so no secret.
                host::set_request_header(":path", claim.path());
                host::respond(answer.status, answer.headers, &answer.body)
            }
        }
    }

    fn forward(&mut self, forward: &Forward<'_>) -> Action {
        self.guards_answer = forward.guards_answer;
        self.is_written_anew = forward.target.is_some();
        for name in &forward.remove_headers {
            host::remove_request_header(name);
        }
        if let Some(target) = &forward.target {
            let mut written = self.gate.written.borrow_mut();
            target.write(&mut written);
            host::set_request_header(":path", &written);
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
        let Some(held) = self.held.take() else {
            return Action::Continue;
        };
        let body = host::request_body(held.bytes);
        self.rule(held, Arrival::Whole(&body))
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, is_all: bool) -> Action {
        let arrival = if is_all { Arrival::Whole(&[]) } else { Arrival::Coming };
        self.rule(Held { head: host::request_headers(), digest: None, bytes: 0 }, arrival)
    }

    fn on_http_request_body(&mut self, bytes: usize, is_all: bool) -> Action {
        let Some(held) = &mut self.held else {
            meters::add(self.body_bytes, bytes);
            return Action::Continue;
        };
        self.gate.watch.saw_body();
        held.bytes = bytes;
        if bytes > BODY_BYTES_MAX {
            return match self.held.take() {
                Some(held) => self.rule(held, Arrival::TooLarge),
                None => Action::Continue,
            };
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
fn mark(decision: &Decision<'_>, claim: &Claim<'_>, wanted: &[Told]) {
    let action = match decision.action {
        Verb::Forward(_) => "forward",
        Verb::Answer(_) => "answer",
    };
    host::set_filter_state("mpgate.action", action);
    for told in decision.all_told(wanted) {
        if let Some(value) = decision.told(told, claim) {
            host::set_filter_state(told.name(), &value);
        }
    }
}

/// As much of the other end as the key's grant asks for.
fn peer(known: Option<&Known>) -> Peer {
    let mut peer = Peer::default();
    if known.is_some_and(Known::asks_for_source) {
        peer.source = Peer::address(&host::source_address());
    }
    if known.is_some_and(Known::asks_for_certificate) {
        peer.certificate_names = host::certificate_names();
    }
    peer
}
