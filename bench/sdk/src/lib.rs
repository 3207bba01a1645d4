//! A filter of the Rust SDK that does nothing, or what its configuration names: single host calls, so that each
//! can be measured alone. `headers state state state` fetches all headers once and sets filter state three times.

#![cfg(target_arch = "wasm32")]

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, MapType, MetricType};

mod export {
    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(super::Root::default()));
    }}
}

/// One host call.
#[derive(Clone, Copy)]
enum Step {
    /// All request headers.
    Headers,
    /// `:path` alone.
    Path,
    /// A header that is not there.
    Absent,
    /// A value of shared data of some 800 bytes.
    Shared,
    /// A value of filter state.
    State,
    /// Seven values of filter state, as many as the gate sets.
    States,
    /// A counter.
    Counter,
    /// The time.
    Clock,
    /// An attribute.
    Property,
    /// Sets a header.
    Set,
    /// Removes a header that is not there.
    Remove,
    /// Holds the body and passes through its JSON.
    Skip,
}

const STATES: [&str; 7] =
    ["bench.a", "bench.b", "bench.c", "bench.d", "bench.e", "bench.f", "bench.g"];

#[derive(Default)]
struct Root {
    steps: Rc<[Step]>,
    counter: u32,
}

struct Stream {
    steps: Rc<[Step]>,
    counter: u32,
    holds: bool,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX);
        let text = text.ok().flatten().unwrap_or_default();
        let text = String::from_utf8(text).unwrap_or_default();
        self.steps = text.split_whitespace().filter_map(Step::named).collect();
        self.counter =
            hostcalls::define_metric(MetricType::Counter, "bench_requests").unwrap_or_default();
        hostcalls::set_shared_data("bench", Some(&[7; 800]), None).is_ok()
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            steps: Rc::clone(&self.steps),
            counter: self.counter,
            holds: false,
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Step {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "headers" => Self::Headers,
            "path" => Self::Path,
            "absent" => Self::Absent,
            "shared" => Self::Shared,
            "state" => Self::State,
            "states" => Self::States,
            "counter" => Self::Counter,
            "clock" => Self::Clock,
            "property" => Self::Property,
            "set" => Self::Set,
            "remove" => Self::Remove,
            "skip" => Self::Skip,
            _ => return None,
        })
    }

    /// Makes the call; whether it went well.
    fn take(self, counter: u32) -> bool {
        let headers = MapType::HttpRequestHeaders;
        match self {
            Self::Headers => hostcalls::get_map_bytes(headers).is_ok(),
            Self::Path => hostcalls::get_map_value_bytes(headers, ":path").is_ok(),
            Self::Absent => hostcalls::get_map_value_bytes(headers, "x-absent").is_ok(),
            Self::Shared => hostcalls::get_shared_data("bench").is_ok(),
            Self::State => hostcalls::set_property(vec!["bench.mark"], Some(b"forward")).is_ok(),
            Self::States => STATES
                .iter()
                .all(|name| hostcalls::set_property(vec![name], Some(b"forward")).is_ok()),
            Self::Counter => hostcalls::increment_metric(counter, 1).is_ok(),
            Self::Clock => hostcalls::get_current_time().is_ok(),
            Self::Property => hostcalls::get_property(vec!["source", "address"]).is_ok(),
            Self::Set => {
                let value = b"/mp/collect?measurement_id=G-SHOP000001";
                hostcalls::set_map_value_bytes(headers, ":path", Some(value)).is_ok()
            }
            Self::Remove => hostcalls::remove_map_value(headers, "x-absent").is_ok(),
            Self::Skip => true,
        }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, is_all: bool) -> Action {
        for step in self.steps.iter() {
            let is_good = step.take(self.counter);
            debug_assert!(is_good);
            self.holds |= matches!(step, Step::Skip);
        }
        if self.holds && !is_all { Action::Pause } else { Action::Continue }
    }

    fn on_http_request_body(&mut self, bytes: usize, is_all: bool) -> Action {
        if !self.holds {
            return Action::Continue;
        }
        if !is_all {
            return Action::Pause;
        }
        let body = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, bytes);
        let body = body.ok().flatten().unwrap_or_default();
        if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
            hostcalls::send_http_response(400, vec![], None).unwrap_or_default();
            return Action::Pause;
        }
        Action::Continue
    }
}
