//! What an operator should know of a key: which can go safely, which end soon, which were never used,
//! which are out of force and still tried.

use crate::model::{KeyRecord, KeyState, KeyUse, Seconds};

/// A key that ends within this time ends soon.
const SOON_SECONDS: Seconds = 14 * 24 * 60 * 60;

/// A key that was not used for this long is taken to be out of use.
const QUIET_SECONDS: Seconds = 24 * 60 * 60;

/// No event was ever accepted with it.
pub(super) const NEVER_USED: &str = "NEVER_USED";
/// It ends within 14 days.
pub(super) const EXPIRES_SOON: &str = "EXPIRES_SOON";
/// Its successor is in use, and it was not used for a day; or it is expired and not tried for a day.
pub(super) const SAFE_TO_DELETE: &str = "SAFE_TO_DELETE";
/// It is out of force, and was tried since.
pub(super) const STILL_TRIED: &str = "STILL_TRIED";

/// What there is to say of a key; of its successor only its use is asked for.
pub(super) fn advice(
    key: &KeyRecord,
    key_use: KeyUse,
    successor: Option<KeyUse>,
    now: Seconds,
) -> Vec<&'static str> {
    let expired = key.is_expired(now);
    let in_force = key.state == KeyState::Active && !expired;
    let is_quiet =
        |last: Option<Seconds>| last.is_none_or(|last| now.saturating_sub(last) >= QUIET_SECONDS);
    let replaced = successor.is_some_and(|successor| successor.last_accept_time.is_some());
    let unneeded = if in_force {
        replaced && is_quiet(key_use.last_accept_time)
    } else {
        expired && is_quiet(key_use.last_refuse_time) && is_quiet(key_use.last_accept_time)
    };
    let ends_soon =
        in_force && key.end().is_some_and(|end| end.saturating_sub(now) <= SOON_SECONDS);
    let ended = match key.state {
        KeyState::Active => key.end().filter(|_| expired),
        // When it was disabled is in the trail; any try at a disabled key is worth a look.
        KeyState::Disabled => Some(key.create_time),
        KeyState::Revoked => key.revoke_time,
    };
    let still_tried =
        ended.zip(key_use.last_refuse_time).is_some_and(|(ended, tried)| tried >= ended);
    let all = [
        (NEVER_USED, key.state != KeyState::Revoked && key_use.last_accept_time.is_none()),
        (EXPIRES_SOON, ends_soon),
        (SAFE_TO_DELETE, key.state != KeyState::Revoked && unneeded),
        (STILL_TRIED, still_tried),
    ];
    all.into_iter().filter(|(_, holds)| *holds).map(|(word, _)| word).collect()
}
