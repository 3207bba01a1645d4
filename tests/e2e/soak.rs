//! Everything changes under load, in short: one round of each case of `cargo xtask soak`, with two
//! workers. Cases share an Envoy, so that each starts from what the last one left.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mpgate_testbed::artifacts;
use mpgate_testbed::hosts::permitted_or_skip;
use mpgate_testbed::soak::{CASES, Case, Plan, play_fleet, run_together};

/// The gate's longest pause between two questions is five seconds.
const RECOVERY: Duration = Duration::from_secs(10);

const GROUPS: [&[&str]; 5] = [
    &[
        "keys",
        "epoch",
        "other-list",
        "clock-ahead",
        "clock-behind",
        "network-reset",
        "network-silent",
    ],
    &[
        "control-stopped",
        "control-killed",
        "control-frozen",
        "control-restored",
        "control-copied-back",
        "control-emptied",
        "control-slow",
        "control-garbage",
        "network-refused",
    ],
    &["lds-settings", "lds-module"],
    &["ecds-settings", "ecds-module"],
    &["trap"],
];

/// It lasts as long as a question that is never answered.
const TOO_LONG: [&str; 1] = ["network-forgotten"];

/// What a page has that kills a module with a trap, and so what is in that module.
const MARK: &[u8] = b"trap-for-tests";

/// Nobody genuine is refused or lost, nobody revoked accepted, and all comes right again.
fn assert_unharmed(names: &[&str]) {
    let cases: Vec<&Case> =
        names.iter().map(|name| Case::named(name).unwrap_or_else(|| panic!("no {name}"))).collect();
    let plan = Plan { workers: 2, time: Duration::ZERO, rate: 200 };
    let outcomes = run_together(&cases, plan).expect("all comes right again");
    for outcome in &outcomes {
        println!(
            "{}: {} sent, {} tries of revoked keys, in force {:?}, recovery {:?}",
            outcome.case,
            outcome.genuine.sent,
            outcome.revoked.tries,
            outcome.revoked.in_force,
            outcome.recovery()
        );
        assert!(outcome.faults().is_empty(), "{}: {:?}", outcome.case, outcome.faults());
        assert!(outcome.recovery() < RECOVERY, "{}: {:?}", outcome.case, outcome.recoveries);
    }
    assert_eq!(outcomes.len(), names.len());
}

#[test]
fn keys_lists_clocks_and_routes_change() {
    assert_unharmed(GROUPS[0]);
}

#[test]
fn control_dies_in_every_way() {
    assert_unharmed(GROUPS[1]);
}

#[test]
fn a_listener_is_pushed() {
    assert_unharmed(GROUPS[2]);
}

#[test]
fn a_filter_is_pushed() {
    assert_unharmed(GROUPS[3]);
}

#[test]
fn the_vm_that_polls_traps() {
    assert_unharmed(GROUPS[4]);
}

/// A fleet as separate hosts, which takes the rights to make them.
#[test]
fn a_fleet_of_hosts() {
    if !permitted_or_skip("soak::a_fleet_of_hosts").expect("hosts of their own") {
        return;
    }
    let plan = Plan { workers: 2, time: Duration::ZERO, rate: 120 };
    let outcomes = play_fleet(plan, |outcome| {
        println!(
            "{}: {} sent, in force {:?}, recoveries {:?}; {:?}",
            outcome.case,
            outcome.genuine.sent,
            outcome.revoked.in_force,
            outcome.recoveries,
            outcome.notes
        );
    });
    for outcome in outcomes.expect("all comes right again") {
        assert!(outcome.faults().is_empty(), "{}: {:?}", outcome.case, outcome.faults());
    }
}

#[test]
fn the_module_that_is_shipped_has_no_trap() {
    let has_trap = |module: anyhow::Result<PathBuf>| {
        let bytes = fs::read(module.expect("a module")).expect("it is read");
        bytes.windows(MARK.len()).any(|part| part == MARK)
    };
    assert!(has_trap(artifacts::trap_module()), "the mark is not what is to be looked for");
    assert!(!has_trap(artifacts::module()));
}

#[test]
fn no_case_is_left_out() {
    let rest = CASES.iter().filter(|case| !TOO_LONG.contains(&case.name));
    for case in rest {
        let times = GROUPS.iter().flat_map(|group| group.iter()).filter(|name| **name == case.name);
        assert_eq!(times.count(), 1, "{}", case.name);
    }
}
