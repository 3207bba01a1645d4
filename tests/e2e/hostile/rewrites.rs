//! Headers by which frameworks let a client speak of another path, host or method: the upstream gets
//! none, or it would read another request than was judged.

use mpgate_testbed::stack::{SHOP, Stack, purchase};

const REWRITES: [&str; 24] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-real-ip",
    "x-original-forwarded-for",
    "x-forwarded-server",
    "x-forwarded-scheme",
    "x-forwarded-uri",
    "x-forwarded-path",
    "x-forwarded-method",
    "x-original-uri",
    "x-original-host",
    "x-original-method",
    "x-override-url",
    "x-host",
    "x-http-host-override",
    "x-http-path-override",
    "x-script-name",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

#[test]
fn no_header_speaks_of_another_request() {
    for config in ["demo.yaml", "production.yaml"] {
        let stack = Stack::builder().config(config).start().expect("a stack");
        let mut request = purchase(SHOP, &stack.billing.secret).header("x-kept", "canary");
        for name in REWRITES {
            request = request.header(name, "canary");
        }
        assert_eq!(stack.send(&request).expect("an answer").status, 204, "{config}");
        let events = stack.collector.wait_for_events(1).expect("the event");
        let event = events.first().expect("the event");
        assert_eq!(event.header("x-kept"), Some("canary"), "{config}: other headers pass");
        for name in REWRITES {
            assert_eq!(event.header(name), None, "{config}: {name}");
        }
    }
}
