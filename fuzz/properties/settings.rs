//! A plugin configuration is read or refused with words.

use mpgate_guard::Settings;

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
            assert!((50..=60_000).contains(&settings.control.poll_interval_milliseconds));
            assert!(!settings.control.cluster.is_empty() && !settings.control.authority.is_empty());
            let credentials = settings.credentials;
            assert!(credentials.query || credentials.x_api_secret || credentials.authorization);
            // Read again, it is the same.
            assert!(Settings::parse(bytes).is_ok_and(|again| again == settings));
        }
    }
}
