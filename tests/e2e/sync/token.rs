//! The gateway's token for control changes while Envoy runs.

use mpgate_testbed::Control;
use mpgate_testbed::stack::Stack;

/// As in deploy/kubernetes: a Secret mounted as a directory, in which a link is swapped and no file is touched.
#[test]
fn a_token_that_the_kubelet_swaps_is_taken_up() {
    let mut stack = Stack::start().expect("a stack");
    stack.envoy.swap_gateway_token(&stack.gateway_token).expect("as a volume");
    let files = mpgate_testbed::directory().expect("a directory");
    let address = stack.control.address();
    stack.control.kill();
    let fresh = Control::start_at(address, files.path()).expect("a control that knows no token");
    stack
        .envoy
        .wait_for_metric("mpgate_sync_total", &[("result", "denied")], 1.0)
        .expect("refused");

    let token = fresh.create_gateway_token().expect("a token");
    stack.envoy.swap_gateway_token(&token).expect("swapped");
    // Only who is let in learns that the list is empty.
    stack
        .envoy
        .wait_for_metric("mpgate_sync_total", &[("result", "held_empty")], 1.0)
        .expect("let in");
}
