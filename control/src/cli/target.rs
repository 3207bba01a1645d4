//! Which stream or key is meant: its full resource name, or its id and `--consumer`.

use core::time::Duration;

use mpgate_contract::{ConsumerId, KeyId, StreamId};

use super::CliError;

/// An id, perhaps with its consumer.
#[derive(Clone, Debug)]
pub(super) struct Target<T> {
    consumer: Option<ConsumerId>,
    id: T,
}

impl<T: ToString> Target<T> {
    /// The path of the resource. What the full name or `--consumer` says goes before what is `set` in
    /// the environment or the configuration.
    pub(super) fn path(
        &self,
        collection: &str,
        given: Option<&ConsumerId>,
        set: Option<&ConsumerId>,
    ) -> Result<String, CliError> {
        let owner = match (&self.consumer, given) {
            (Some(named), Some(given)) if named != given => {
                return Err(CliError::Usage("--consumer and the resource name differ".to_owned()));
            }
            (Some(owner), _) | (None, Some(owner)) => owner,
            (None, None) => set.ok_or_else(|| {
                let rule = "add --consumer, set MPGATE_CONSUMER, or give the full resource name";
                CliError::Usage(rule.to_owned())
            })?,
        };
        Ok(format!("/v1/measurementConsumers/{owner}/{collection}/{}", self.id.to_string()))
    }
}

/// Reads `G-ABC` or `measurementConsumers/acme/dataStreams/G-ABC`.
pub(super) fn stream(text: &str) -> Result<Target<StreamId>, String> {
    let (consumer, id) = split(text, "dataStreams")?;
    Ok(Target { consumer, id: StreamId::parse(id).map_err(|error| error.to_string())? })
}

/// Reads a key id or `measurementConsumers/acme/apiKeys/{id}`.
pub(super) fn key(text: &str) -> Result<Target<KeyId>, String> {
    let (consumer, id) = split(text, "apiKeys")?;
    Ok(Target { consumer, id: KeyId::parse(id).map_err(|error| error.to_string())? })
}

fn split<'a>(text: &'a str, collection: &str) -> Result<(Option<ConsumerId>, &'a str), String> {
    let Some(rest) = text.strip_prefix("measurementConsumers/") else { return Ok((None, text)) };
    let mut parts = rest.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(consumer), Some(found), Some(id)) if found == collection => {
            let consumer = ConsumerId::parse(consumer).map_err(|error| error.to_string())?;
            Ok((Some(consumer), id))
        }
        _ => Err(format!("a name looks like measurementConsumers/acme/{collection}/...")),
    }
}

/// Reads `90d`, `12h`, `30m`, `45s` or `2w`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const RULE: &str = "a duration is a number and a unit: 45s, 30m, 12h, 90d or 2w";
    let unit_at = text.len().checked_sub(1).ok_or(RULE)?;
    let (number, unit) = text.split_at_checked(unit_at).ok_or(RULE)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(RULE.to_owned()),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RULE.to_owned());
    }
    let number: u64 = number.parse().map_err(|_| RULE)?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| RULE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("45s", 45), ("30m", 1_800), ("12h", 43_200), ("90d", 7_776_000)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "d", "90", "-1d", "+1d", "1.5h", "90 d", "9ä", "99999999999999999w"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_and_full_names() {
        let acme = ConsumerId::parse("acme").ok();
        let other = ConsumerId::parse("other").ok();
        let path = "/v1/measurementConsumers/acme/dataStreams/G-ABC";
        let by_id = stream("G-ABC").expect("an id");
        let by_name = stream("measurementConsumers/acme/dataStreams/G-ABC").expect("a name");
        let (acme, other) = (acme.as_ref(), other.as_ref());
        // Rows: what was named, the flag, the setting, and whether that is acme's stream.
        for (target, given, set, expected) in [
            (&by_id, acme, None, true),
            (&by_id, None, acme, true),
            (&by_id, acme, other, true),
            (&by_id, other, acme, false),
            (&by_id, None, None, false),
            (&by_name, None, None, true),
            (&by_name, acme, None, true),
            (&by_name, None, other, true),
            (&by_name, other, None, false),
        ] {
            let found = target.path("dataStreams", given, set).ok();
            assert_eq!(found.as_deref() == Some(path), expected, "{target:?} {given:?} {set:?}");
        }
        for bad in ["measurementConsumers/acme/apiKeys/G-ABC", "measurementConsumers/acme", "g"] {
            assert!(stream(bad).is_err(), "{bad}");
        }
    }
}
