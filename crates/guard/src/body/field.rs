//! A name in an object against the fields of a message, as proto3 JSON matches them.

/// What a name is to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The field at this index.
    Known(u32, &'static str),
    /// No field, but some parsers would take it for one.
    Lookalike,
    /// No field.
    Unknown,
}

/// Finds a name among fields, which are given in `snake_case`.
pub(super) fn find(fields: &'static [&'static str], name: &str) -> Field {
    // Both spellings begin alike.
    let first = name.as_bytes().first();
    let known = (0..).zip(fields).find(|(_, field)| {
        field.as_bytes().first() == first && (name == **field || is_camel_of(name, field))
    });
    match known {
        Some((index, field)) => Field::Known(index, field),
        None if is_lookalike(fields, name) => Field::Lookalike,
        None => Field::Unknown,
    }
}

/// Whether some parser would take the name for a field. Most names differ in the first letter: a body may have
/// thousands of them, or one of underscores alone.
fn is_lookalike(fields: &[&str], name: &str) -> bool {
    let mut letters = folded(name);
    let Some(first) = letters.next() else {
        return false;
    };
    fields.iter().any(|field| {
        let mut wanted = folded(field);
        wanted.next() == Some(first) && letters.clone().eq(wanted)
    })
}

/// Whether `name` is the lowerCamelCase spelling of `field`.
fn is_camel_of(name: &str, field: &str) -> bool {
    let mut letters = name.bytes();
    let mut upper = false;
    for byte in field.bytes() {
        if byte == b'_' {
            upper = true;
            continue;
        }
        let wanted = if upper { byte.to_ascii_uppercase() } else { byte };
        if letters.next() != Some(wanted) {
            return false;
        }
        upper = false;
    }
    letters.next().is_none()
}

/// A name as the most generous parser compares it: up to a NUL, without underscores, in lower case.
/// Two letters outside ASCII fold into it (Unicode simple case folding, which Go's parser uses).
fn folded(name: &str) -> impl Iterator<Item = char> + Clone {
    name.chars().take_while(|letter| *letter != '\0').filter(|letter| *letter != '_').map(
        |letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[&str] = &["user_id", "events", "sha256_email_address", "rank"];

    #[test]
    fn both_spellings_are_the_field() {
        for (name, index) in [
            ("user_id", 0),
            ("userId", 0),
            ("events", 1),
            ("sha256_email_address", 2),
            ("sha256EmailAddress", 2),
        ] {
            assert!(
                matches!(find(FIELDS, name), Field::Known(found, _) if found == index),
                "{name}"
            );
        }
    }

    #[test]
    fn near_misses_are_lookalikes() {
        for name in [
            "Events",
            "EVENTS",
            "event\u{17f}",
            "ran\u{212a}",
            "userid",
            "UserId",
            "userID",
            "user__id",
            "user_Id",
            "_events",
            "events\0",
            "events\0x",
        ] {
            assert_eq!(find(FIELDS, name), Field::Lookalike, "{name:?}");
        }
    }

    #[test]
    fn others_are_unknown() {
        for name in ["", "event", "eventss", "events ", "user-id", "\0events", "x", "user_idé"] {
            assert_eq!(find(FIELDS, name), Field::Unknown, "{name:?}");
        }
    }
}
