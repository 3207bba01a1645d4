//! The production configuration speaks HTTP/2 with control, where a ping finds a connection that is dead
//! without having been closed.

use mpgate_testbed::stack::{SHOP, Stack};

use super::wait_for_answer;

#[test]
fn control_is_asked_over_http2() {
    let stack = Stack::builder().config("production.yaml").start().expect("a stack");
    let stat = |name: &str| stack.envoy.stat(&format!("cluster.mpgate_control.{name}"));
    assert!(stat("upstream_cx_http2_total").expect("a counter") > 0, "HTTP/2 is not spoken");
    assert_eq!(stat("upstream_cx_http1_total").expect("a counter"), 0);
    stack.revoke(&stack.billing).expect("revoked");
    wait_for_answer(&stack, SHOP, &stack.billing.secret, 403, "revoked");
}
