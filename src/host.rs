//! Every call to the host, and nothing else. Header values cross as bytes only: the SDK's `String`
//! calls trap the VM on bytes that a client controls.
//!
//! A call that the host answers with an error it has no business to answer here (a capability that
//! the operator withheld, say) panics inside the SDK. That is wanted: the VM dies, the request gets
//! 503, and nothing goes on unjudged.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mpgate_guard::series::{self, Kind};
use mpgate_guard::{SharedData, SwapError};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, Bytes, MapType, MetricType, Status};

/// Envoy's shared data, and the gauge that counts changes to it where anybody asks for them.
#[derive(Default)]
pub(crate) struct EnvoySharedData {
    changes: Option<u32>,
}

impl EnvoySharedData {
    /// For the list of a gate. A gauge, since nobody can reset one: a counter, the admin interface can.
    pub(crate) fn of_list(gate: &str) -> Self {
        let series = &series::ALLOWLIST_CHANGES;
        let shared = Self { changes: define_metric(series.kind, &series.with(&[gate])) };
        // From here on 0 says that Envoy does not count it.
        shared.note_change();
        shared
    }
}

impl SharedData for EnvoySharedData {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let (value, version) = hostcalls::get_shared_data(key).ok()?;
        Some((value.unwrap_or_default(), version?))
    }

    fn create(&self, key: &str, value: &[u8]) {
        if let Err(status) = hostcalls::set_shared_data(key, Some(value), None) {
            log::error!("cannot create shared data {key}: {status:?}");
        }
    }

    fn swap(&self, key: &str, value: &[u8], version: u32) -> Result<(), SwapError> {
        hostcalls::set_shared_data(key, Some(value), Some(version)).map_err(|_| SwapError)
    }

    /// A metric that the operator's `stats_matcher` leaves out stays 0, whatever is added to it.
    fn changes(&self) -> Option<u64> {
        hostcalls::get_metric(self.changes?).ok().filter(|changes| *changes > 0)
    }

    fn note_change(&self) {
        if let Some(metric) = self.changes {
            increment(metric, 1);
        }
    }
}

/// Unix time.
pub(crate) fn now() -> Duration {
    hostcalls::get_current_time()
        .ok()
        .and_then(|time: SystemTime| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default()
}

/// Time that no clock setting moves, since this VM first asked.
pub(crate) fn uptime() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

pub(crate) fn set_tick_period(period: Duration) {
    // Fails for no period that is not zero.
    let _ = hostcalls::set_tick_period(period);
}

pub(crate) fn plugin_configuration() -> Bytes {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// The `vm_id` of the plugin's `vm_config`.
pub(crate) fn vm_id() -> Bytes {
    property(&["plugin_vm_id"]).unwrap_or_default()
}

/// What Envoy calls itself: `node.id` of its bootstrap.
pub(crate) fn node_id() -> Bytes {
    property(&["xds", "node", "id"]).unwrap_or_default()
}

pub(crate) fn request_headers() -> Vec<(String, Bytes)> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
}

pub(crate) fn set_request_header(name: &str, value: &[u8]) {
    expected(hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value)));
}

pub(crate) fn remove_request_header(name: &str) {
    expected(hostcalls::remove_map_value(MapType::HttpRequestHeaders, name));
}

pub(crate) fn request_trailers() -> Vec<(String, Bytes)> {
    hostcalls::get_map_bytes(MapType::HttpRequestTrailers).unwrap_or_default()
}

pub(crate) fn remove_request_trailer(name: &str) {
    expected(hostcalls::remove_map_value(MapType::HttpRequestTrailers, name));
}

/// Up to `bytes` of the body that is held here.
pub(crate) fn request_body(bytes: usize) -> Bytes {
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, bytes).ok().flatten().unwrap_or_default()
}

/// The size of what Envoy has of the request so far, shown or not. It is only ever compared.
pub(crate) fn request_size() -> Bytes {
    property(&["request", "total_size"]).unwrap_or_default()
}

/// The address of the sender, as Envoy's `source.address` has it.
pub(crate) fn source_address() -> Bytes {
    property(&["source", "address"]).unwrap_or_default()
}

/// The first URI and the first DNS name of the client's certificate.
pub(crate) fn certificate_names() -> Vec<Bytes> {
    ["uri_san_peer_certificate", "dns_san_peer_certificate"]
        .into_iter()
        .filter_map(|attribute| property(&["connection", attribute]))
        .filter(|name| !name.is_empty())
        .collect()
}

fn property(path: &[&str]) -> Option<Bytes> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

/// Makes the following calls about another request; whether it is still there.
pub(crate) fn enter_context(context: u32) -> bool {
    hostcalls::set_effective_context(context).is_ok()
}

pub(crate) fn response_headers() -> Vec<(String, Bytes)> {
    hostcalls::get_map_bytes(MapType::HttpResponseHeaders).unwrap_or_default()
}

pub(crate) fn remove_response_header(name: &str) {
    expected(hostcalls::remove_map_value(MapType::HttpResponseHeaders, name));
}

pub(crate) fn response_trailers() -> Vec<(String, Bytes)> {
    hostcalls::get_map_bytes(MapType::HttpResponseTrailers).unwrap_or_default()
}

pub(crate) fn remove_response_trailer(name: &str) {
    expected(hostcalls::remove_map_value(MapType::HttpResponseTrailers, name));
}

/// Empties the part of a response's body that is here.
pub(crate) fn drop_response_body(bytes: usize) {
    expected(hostcalls::set_buffer(BufferType::HttpResponseBody, 0, bytes, &[]));
}

/// Answers the request here; the callback that calls this returns what it returns.
pub(crate) fn respond(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Action {
    expected(hostcalls::send_http_response(u32::from(status), headers.to_vec(), Some(body)));
    Action::Pause
}

/// Sets `wasm.{name}` in the request's filter state.
pub(crate) fn set_filter_state(name: &str, value: &str) {
    expected(hostcalls::set_property(vec![name], Some(value.as_bytes())));
}

pub(crate) fn define_metric(kind: Kind, name: &str) -> Option<u32> {
    let kind = match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    hostcalls::define_metric(kind, name).ok()
}

pub(crate) fn increment(metric: u32, count: i64) {
    expected(hostcalls::increment_metric(metric, count));
}

pub(crate) fn record(metric: u32, value: u64) {
    expected(hostcalls::record_metric(metric, value));
}

/// Sends a GET to a cluster; the answer comes to the root context's `on_http_call_response`.
pub(crate) fn get(
    cluster: &str,
    authority: &str,
    path: &str,
    told: &[(&str, String)],
    timeout: Duration,
) -> Option<u32> {
    call(cluster, ("GET", authority, path), told, None, timeout)
}

/// Sends JSON to a cluster; the answer comes where that of [`get`] does.
pub(crate) fn post(
    cluster: &str,
    authority: &str,
    path: &str,
    told: &[(&str, String)],
    body: &[u8],
    timeout: Duration,
) -> Option<u32> {
    call(cluster, ("POST", authority, path), told, Some(body), timeout)
}

fn call(
    cluster: &str,
    (method, authority, path): (&str, &str, &str),
    told: &[(&str, String)],
    body: Option<&[u8]>,
    timeout: Duration,
) -> Option<u32> {
    let mut headers = vec![
        (":method", method),
        (":path", path),
        (":authority", authority),
        ("accept", "application/json"),
    ];
    if body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    headers.extend(told.iter().map(|(name, value)| (*name, value.as_str())));
    hostcalls::dispatch_http_call(cluster, headers, body, vec![], timeout).ok()
}

pub(crate) fn call_response_status() -> Bytes {
    hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status")
        .ok()
        .flatten()
        .unwrap_or_default()
}

pub(crate) fn call_response_body(bytes: usize) -> Bytes {
    hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, bytes)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// The host refuses these calls for no argument that this crate passes.
fn expected(result: Result<(), Status>) {
    if let Err(status) = result {
        log::error!("the host refused a call: {status:?}");
    }
}
