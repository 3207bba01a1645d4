//! What whoever reaches the listener for Prometheus can have of Envoy's admin listener.

use mpgate_testbed::stack::{SHOP, purchase};
use mpgate_testbed::{Metrics, Request, Stack, http1};

#[test]
fn the_metrics_listener_shows_prometheus_its_page_and_nothing_else() {
    let stack = Stack::start().expect("a stack");
    let answer =
        |request: &Request| http1::send(stack.envoy.metrics_address(), request).expect("an answer");
    let genuine = purchase(SHOP, &stack.billing.secret);
    assert_eq!(stack.send(&genuine).expect("an answer").status, 204);
    let page = answer(&Request::get("/stats/prometheus"));
    assert_eq!(page.status, 200);
    let accepted = [("sender", "billing"), ("outcome", "accepted")];
    assert!(Metrics::parse(&page.text()).sum("mpgate_requests_total", &accepted) > 0.0);

    for path in [
        "/",
        "/ready",
        "/stats",
        "/stats/prometheus?",
        "/stats/prometheus?usedonly",
        "/stats/prometheus?filter=(a*)*",
        "/stats/prometheus/",
        "/stats//prometheus",
        "/stats/./prometheus",
        "/stats%2fprometheus",
        "/x/../stats/prometheus",
        "/config_dump",
        "/mpgate/status",
    ] {
        assert_eq!(answer(&Request::get(path)).status, 404, "{path}");
    }
    for method in ["POST", "HEAD", "PUT", "OPTIONS"] {
        let request = Request::new(method, "/stats/prometheus");
        assert_eq!(answer(&request).status, 404, "{method}");
    }
    for path in ["/quitquitquit", "/logging?level=debug", "/reset_counters"] {
        assert_eq!(answer(&Request::post(path)).status, 404, "{path}");
    }
    let otherwise = Request::get("/").header("x-envoy-original-path", "/stats/prometheus");
    assert_eq!(answer(&otherwise).status, 404);
    assert_eq!(answer(&genuine).status, 404, "an event goes on from the gate only");
    assert_eq!(stack.collector.wait_for_events(1).expect("events").len(), 1);
}
