//! The status listener: one page of one gate, read from what all VMs share. It knows no route to
//! anywhere, and reads no list into memory.

use std::rc::Rc;

use mpgate_guard::{AllowList, Request, Settings, Status, status_answer};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::{self, EnvoySharedData};

/// One request to the status listener.
pub(crate) struct StatusStream(Rc<Settings>);

impl StatusStream {
    pub(crate) const fn new(settings: Rc<Settings>) -> Self {
        Self(settings)
    }
}

impl Context for StatusStream {}

impl HttpContext for StatusStream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let Self(settings) = self;
        let list = AllowList::new(EnvoySharedData::default(), settings.cluster(), &settings.gate);
        let (state, tally, summary) = (list.state(), list.tally(), list.summary());
        let unknown = list.unknown_secrets();
        let status = Status {
            gate: &settings.gate,
            instance: &list.instance(),
            state: &state,
            tally: &tally,
            unknown: &unknown,
            summary: summary.as_ref(),
        };
        let headers = host::request_headers();
        let request = Request { headers: &headers };
        let answer = status_answer(request, &status);
        // A secret that was sent here by mistake is not logged.
        host::set_request_header(":path", request.path());
        host::respond(answer.status, answer.headers, &answer.body)
    }
}
