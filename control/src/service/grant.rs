//! What a key may be granted: streams that are there, of one environment; a life that begins before it
//! ends; no more than a gate reads; a secret that nobody guesses.

use mpgate_contract::{
    ConsumerId, Environment, Grant, Secret, SecretShape, State, StreamId, limits,
};

use super::Answer;
use crate::keys::entropy_bits;
use crate::model::{Refusal, Seconds, Slice, StreamRecord};
use crate::store::Read;

/// An adopted secret with less is guessed sooner than it is rotated. GA4's own have about 90 by this
/// estimate.
const ADOPTED_ENTROPY_BITS_MIN: f64 = 70.0;

/// Each stream must be there, be active, be this consumer's; all of one environment, which is answered.
pub(super) async fn environment_of(
    read: &mut dyn Read,
    consumer: &ConsumerId,
    ids: &[StreamId],
) -> Answer<Environment> {
    let mut environment = None;
    for (place, id) in ids.iter().enumerate() {
        let found = read.stream(consumer, id).await?;
        let record = found
            .filter(|record| record.state == State::Active)
            .ok_or_else(|| Refusal::GrantNamesNoStream(place, id.clone()))?;
        let own = record.stream.environment;
        if *environment.get_or_insert(own) != own {
            return Err(Refusal::GrantMixesEnvironments.into());
        }
    }
    Ok(environment.ok_or(Refusal::Invalid("dataStreams", "A key writes at least one stream."))?)
}

/// All active streams of a consumer in an environment; one more than a grant may name is too many.
pub(super) async fn all_of(
    read: &mut dyn Read,
    consumer: &ConsumerId,
    environment: Environment,
) -> Answer<Vec<StreamId>> {
    let limit = u32::try_from(limits::STREAMS_MAX).unwrap_or(u32::MAX);
    let slice = Slice { after: 0, limit, show_deleted: false };
    let part = read.streams(consumer, slice).await?;
    let of_environment = |record: &StreamRecord| {
        (record.stream.environment == environment).then(|| record.stream.id.clone())
    };
    let streams: Vec<_> = part.items.iter().filter_map(of_environment).collect();
    match streams.len() {
        0 => Err(Refusal::NoStreamInEnvironment.into()),
        count if count > limits::STREAMS_PER_GRANT_MAX => {
            Err(Refusal::TooMany("data streams in one key", limits::STREAMS_PER_GRANT_MAX).into())
        }
        _ => Ok(streams),
    }
}

/// A key begins before it ends. An end that is new lies ahead; one that has passed may stay, so that
/// an expired key can still be described, or be given a new end.
pub(super) fn expect_life(old: Option<&Grant>, new: &Grant, now: Seconds) -> Result<(), Refusal> {
    let Some(end) = new.expire_time else { return Ok(()) };
    let is_new = old.is_none_or(|old| old.expire_time != new.expire_time);
    if is_new && end <= now.unsigned_abs() {
        return Err(Refusal::KeyEndsInThePast);
    }
    if new.not_before.is_some_and(|start| end <= start) {
        return Err(Refusal::KeyEndsBeforeItBegins);
    }
    Ok(())
}

/// The grant as a gate is given it: it says what it requires of the gate.
pub(super) fn whole(grant: Grant) -> Result<Grant, Refusal> {
    let grant = Grant { requires: grant.needs(), ..grant };
    let bytes = serde_json::to_vec(&grant).map_or(usize::MAX, |json| json.len());
    if bytes > limits::GRANT_BYTES_MAX || !grant.within_limits() {
        return Err(Refusal::GrantTooLarge(bytes));
    }
    Ok(grant)
}

/// A secret that somebody else made must be one that nobody guesses.
pub(super) fn expect_strong(secret: &Secret<'_>) -> Result<(), Refusal> {
    let bytes = secret.expose();
    let rule = if bytes.len() > limits::SECRET_BYTES_MAX {
        "A secret has at most 256 bytes."
    } else if !bytes.iter().all(u8::is_ascii_graphic) {
        "A secret is made of printable ASCII characters, without spaces."
    } else if secret.shape() != SecretShape::Foreign {
        "A secret that begins like those issued here cannot be adopted; create a key instead."
    } else if entropy_bits(bytes) < ADOPTED_ENTROPY_BITS_MIN {
        "The secret is too short or too regular to withstand guessing; create a key and move the sender to it."
    } else {
        return Ok(());
    };
    Err(Refusal::Invalid("secret", rule))
}
