//! Who only holds connections shuts out nobody for long, and who looks after the gate not at all.

use std::net::TcpStream;
use std::time::Duration;

use mpgate_testbed::stack::{SHOP, purchase};
use mpgate_testbed::{EnvoyConfig, Metrics, Request, Stack, http1, poll};

/// Of all listeners. More than half of it makes idle connections end sooner.
const OF_ALL: &str =
    "/overload_manager/resource_monitors/1/typed_config/max_active_downstream_connections";

const LIMITS: &str = "/layered_runtime/layers/0/static_layer";

const OF_SENDERS: &str = "envoy.resource_limits.listener.measurement_protocol.connection_limit";

/// Far less than the 300 s for which a connection may be idle otherwise.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn idle_connections_make_room_for_senders_and_shut_out_no_operator() {
    let small = |config: &mut EnvoyConfig| {
        config.set(OF_ALL, 42)?;
        config.set(&format!("{LIMITS}/{OF_SENDERS}"), 40)
    };
    let stack = Stack::builder().edit(small).start().expect("a stack");
    let connect = |_| TcpStream::connect(stack.envoy.address()).expect("a connection");
    let idle: Vec<TcpStream> = (0..60).map(connect).collect();

    let full = || {
        let page = http1::send(stack.envoy.metrics_address(), &Request::get("/stats/prometheus"));
        let page = Metrics::parse(&page.expect("Prometheus has its page").text());
        (page.sum("envoy_listener_downstream_cx_overflow", &[]) > 0.0).then_some(())
    };
    poll::until("connections that are turned away", SOON, full).expect("a limit");
    stack.envoy.status().expect("the status page is there");

    let genuine = purchase(SHOP, &stack.billing.secret);
    let accepted = || stack.send(&genuine).ok().filter(|answer| answer.status == 204);
    poll::until("room for a sender", SOON, accepted).expect("accepted");
    drop(idle);
}
