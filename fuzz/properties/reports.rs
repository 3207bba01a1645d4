//! A usage report is believed or refused by name; what is believed is within the limits that control adds up.

use mpgate_contract::{HOUR_SECONDS, UsageReport, limits};

/// Checks what holds for any report.
///
/// # Panics
/// If it does not hold.
pub fn check(bytes: &[u8]) {
    let report = match UsageReport::parse(bytes) {
        Ok(report) => report,
        Err(fault) => {
            assert!(!fault.meaning().is_empty());
            return;
        }
    };
    assert!(bytes.len() <= limits::REPORT_BYTES_MAX && report.vm.len() == 16);
    assert!(report.sequence > 0 && i64::try_from(report.sequence).is_ok());
    assert!(report.keys.len() <= limits::REPORT_KEYS_MAX);
    for key in &report.keys {
        assert!(key.hour % HOUR_SECONDS == 0 && key.hour <= limits::REPORT_TIME_MAX);
        assert!(key.accepted <= limits::REPORT_COUNT_MAX);
        let values = || key.events.iter().flat_map(|event| &event.values);
        for names in [key.refused.len(), key.dry_run.len(), key.events.len(), values().count()] {
            assert!(names <= limits::REPORT_NAMES_MAX);
        }
        assert!(values().all(|it| it.micros.unsigned_abs() <= limits::REPORT_MICROS_MAX));
        assert!(key.events.iter().all(|event| event.count <= limits::REPORT_COUNT_MAX));
    }
    // What is believed can be written and is believed again.
    let again = serde_json::to_vec(&report).expect("a report is JSON");
    assert!(UsageReport::parse(&again).is_ok());
}
