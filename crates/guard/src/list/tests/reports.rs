//! Reports that a VM leaves to the others when it ends.

use super::*;

fn reports(of: &[&str]) -> Vec<Vec<u8>> {
    of.iter().map(|report| report.as_bytes().to_vec()).collect()
}

#[test]
fn reports_that_are_left_are_taken_once_and_in_their_order() {
    let (memory, list) = new_list();
    assert!(list.take_reports().is_empty());
    assert!(list.leave_reports(&reports(&["a1", "a2"])) && list.leave_reports(&reports(&["b1"])));
    let other = AllowList::new(memory, Some("cluster"), "other");
    assert!(other.take_reports().is_empty(), "another gate's");
    assert_eq!(list.take_reports(), reports(&["a1", "a2", "b1"]));
    assert!(list.take_reports().is_empty());
    assert!(list.leave_reports(&reports(&["c1"])));
    assert_eq!(list.take_reports(), reports(&["c1"]));
}

#[test]
fn reports_are_left_as_long_as_there_is_room() {
    let (_, list) = new_list();
    let large = vec![vec![b'x'; 3 << 20]];
    assert!(list.leave_reports(&large) && !list.leave_reports(&large));
    assert!(list.leave_reports(&reports(&["small"])));
    assert_eq!(list.take_reports(), [large, reports(&["small"])].concat());
}
