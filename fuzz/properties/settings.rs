//! A plugin configuration is read or refused with words.

use mpgate_guard::{Serve, Settings};

/// Checks what holds for any configuration.
///
/// # Panics
/// If it does not hold.
pub fn check(bytes: &[u8]) {
    match Settings::parse(bytes) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(settings) => {
            assert!((1..=63).contains(&settings.gate.len()));
            assert!((1..=mpgate_contract::limits::SENDERS_MAX).contains(&settings.senders_max));
            if let Some(control) = &settings.control {
                assert!((50..=60_000).contains(&control.poll_interval_milliseconds));
                assert!(!control.cluster.is_empty() && !control.authority.is_empty());
            }
            // A gate has a list to follow, and an inline one that was accepted is whole.
            let is_gate = settings.serve == Serve::Gate;
            assert!(!is_gate || settings.control.is_some() || settings.inline.is_some());
            assert!(settings.inline.as_ref().is_none_or(|inline| inline.check().is_ok()));
            let credentials = settings.credentials;
            assert!(credentials.query || credentials.x_api_secret || credentials.authorization);
            // Read again, it is the same.
            assert!(Settings::parse(bytes).is_ok_and(|again| again == settings));
        }
    }
}
