//! VMs that die, and are made anew, are counted by plugin.

use mpgate_testbed::stack::{SHOP, purchase};
use mpgate_testbed::{Stack, poll};

use super::{SOON, sum};
use crate::tripwire::capabilities::withhold;

#[test]
fn vms_that_are_made_anew_are_counted_by_plugin() {
    // Each request that a VM gets kills it.
    let trap = |config: &mut mpgate_testbed::EnvoyConfig| {
        withhold(config, "proxy_get_header_map_pairs", "FAIL_RELOAD");
        Ok(())
    };
    let stack = Stack::builder().concurrency(1).edit(trap).start().expect("a stack");
    let reloads =
        |what: &str| sum(&stack, &format!("envoy_wasm_vm_reload_{what}"), &[("plugin", "mpgate")]);
    assert_eq!((reloads("success"), reloads("backoff")), (0, 0));
    let (mut success, mut backoff) = (0, 0);
    let moved = poll::until("both to move", SOON, || {
        let answer = stack.send(&purchase(SHOP, &stack.billing.secret)).expect("an answer");
        assert_eq!(answer.status, 503);
        (success, backoff) = (reloads("success"), reloads("backoff"));
        (success > 0 && backoff > 0).then_some(())
    });
    assert!(moved.is_ok(), "made anew {success} times, refused {backoff} requests in between");
    assert_eq!(reloads("failure"), 0);
    // Whoever counts by plugin counts them all.
    assert_eq!(sum(&stack, "envoy_wasm_vm_reload_success", &[]), success);
}
