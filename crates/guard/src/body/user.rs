//! Who the events are of: user properties, hashed user data, consent.

use super::json::{Found, Stop};
use super::reading::{At, Reading, Step};
use super::rules::names::{self, NameFault};
use super::rules::{Rule, limits};
use super::violation::Cut;
use super::walk::{Handler, Members};

const PROPERTY_FIELDS: &[&str] = &["value", "timestamp_micros"];
const USER_DATA_FIELDS: &[&str] = &["sha256_email_address", "sha256_phone_number", "address"];
const ADDRESS_FIELDS: &[&str] = &[
    "sha256_first_name",
    "sha256_last_name",
    "sha256_street",
    "city",
    "region",
    "postal_code",
    "country",
];
const CONSENT_FIELDS: &[&str] = &["ad_user_data", "ad_personalization"];

/// Fields of text of `user_location`.
pub(super) const LOCATION_FIELDS: &[&str] =
    &["city", "region_id", "country_id", "subcontinent_id", "continent_id"];

/// Fields of text of `device`.
pub(super) const DEVICE_FIELDS: &[&str] = &[
    "category",
    "language",
    "screen_resolution",
    "operating_system",
    "operating_system_version",
    "model",
    "brand",
    "browser",
    "browser_version",
];

/// `user_properties`: names of the sender's own.
pub(super) struct UserProperties;

impl<'de> Handler<'de> for UserProperties {
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>) {
        if found != Found::Null {
            reading.wrong_type(At::Here, "an object");
        }
    }

    fn object(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de>,
    ) -> Result<(), Stop> {
        let mut count = 0_usize;
        while let Some(name) = members.next(reading)? {
            let mut property = Property { is_there: true };
            reading.single(Step::Name(name.clone()), &mut property)?;
            if property.is_there {
                count = count.saturating_add(1);
                if let Some(fault) = names::user_property(&name) {
                    reading.property_name(&name, fault);
                }
            }
        }
        if count > limits::USER_PROPERTIES_MAX {
            reading.violate(
                Rule::TooManyUserProperties,
                At::Here,
                format_args!(
                    "Measurement has [{count}] user properties. Requests may have at most [{}].",
                    limits::USER_PROPERTIES_MAX
                ),
            );
        }
        Ok(())
    }
}

impl Reading<'_> {
    fn property_name(&mut self, name: &str, fault: NameFault) {
        let quoted = Cut(name);
        match fault {
            NameFault::Reserved => self.violate(
                Rule::UserPropertyNameReserved,
                At::Member(name),
                format_args!("User property has name [{quoted}] which is reserved."),
            ),
            _ => self.violate(
                Rule::UserPropertyNameInvalid,
                At::Member(name),
                format_args!("User property has invalid name [{quoted}]. {fault}"),
            ),
        }
    }
}

/// One user property: never a bare scalar.
struct Property {
    is_there: bool,
}

impl<'de> Handler<'de> for Property {
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>) {
        self.is_there = found != Found::Null;
        if self.is_there {
            reading.wrong_type(At::Here, "an object with a value");
        }
    }

    fn object(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de>,
    ) -> Result<(), Stop> {
        while let Some(field) = members.field(reading, PROPERTY_FIELDS)? {
            if field == "timestamp_micros" {
                reading.timestamp(field)?;
                continue;
            }
            let found = reading.found()?;
            if matches!(found, Found::List | Found::Object) {
                reading.wrong_type(At::Member(field), "text, a number, true or false");
            }
            if found.is_longer_than(limits::USER_PROPERTY_VALUE_CHARACTERS_MAX) {
                reading.violate(
                    Rule::UserPropertyValueTooLong,
                    At::Member(field),
                    format_args!(
                        "User property has a value longer than [{}] characters.",
                        limits::USER_PROPERTY_VALUE_CHARACTERS_MAX
                    ),
                );
            }
        }
        Ok(())
    }
}

/// `user_data`.
#[derive(Default)]
pub(super) struct UserData {
    /// Whether there is any: a request may have it in place of events.
    pub(super) is_there: bool,
}

impl<'de> Handler<'de> for UserData {
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>) {
        if found != Found::Null {
            reading.wrong_type(At::Here, "an object");
        }
    }

    fn object(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de>,
    ) -> Result<(), Stop> {
        self.is_there = true;
        while let Some(field) = members.field(reading, USER_DATA_FIELDS)? {
            let (count, max) = if field == "address" {
                let mut addresses = Addresses { count: 0 };
                reading.repeated(Step::Field(field), &mut addresses)?;
                (addresses.count, limits::USER_DATA_ADDRESSES_MAX)
            } else {
                let mut hashes = Hashes { count: 0 };
                reading.repeated(Step::Field(field), &mut hashes)?;
                (hashes.count, limits::USER_DATA_HASHES_MAX)
            };
            if count > max {
                reading.violate(
                    Rule::TooManyUserData,
                    At::Member(field),
                    format_args!(
                        "User data has [{count}] values of [{field}]. It may have at most [{max}]."
                    ),
                );
            }
        }
        Ok(())
    }
}

/// SHA-256 digests.
struct Hashes {
    count: usize,
}

impl<'de> Handler<'de> for Hashes {
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>) {
        if found != Found::Null {
            self.count = self.count.saturating_add(1);
            reading.check_sha256(At::Here, &found);
        }
    }
}

struct Addresses {
    count: usize,
}

impl<'de> Handler<'de> for Addresses {
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>) {
        if found != Found::Null {
            self.count = self.count.saturating_add(1);
            reading.wrong_type(At::Here, "an object");
        }
    }

    fn object(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de>,
    ) -> Result<(), Stop> {
        self.count = self.count.saturating_add(1);
        while let Some(field) = members.field(reading, ADDRESS_FIELDS)? {
            if !field.starts_with("sha256_") {
                reading.text(field)?;
                continue;
            }
            let found = reading.found()?;
            if found != Found::Null {
                reading.check_sha256(At::Member(field), &found);
            }
        }
        Ok(())
    }
}

impl Reading<'_> {
    fn check_sha256(&mut self, at: At<'_>, found: &Found<'_>) {
        match found {
            Found::Text(text)
                if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {}
            Found::Text(_) => self.violate(
                Rule::NotSha256,
                at,
                format_args!("The value has to be a SHA-256 digest in hexadecimal."),
            ),
            _ => self.wrong_type(at, "text"),
        }
    }
}

/// `consent`.
pub(super) struct Consent;

impl<'de> Handler<'de> for Consent {
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>) {
        if found != Found::Null {
            reading.wrong_type(At::Here, "an object");
        }
    }

    fn object(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de>,
    ) -> Result<(), Stop> {
        while let Some(field) = members.field(reading, CONSENT_FIELDS)? {
            if let Some(word) = reading.text(field)?
                && !matches!(word.as_ref(), "GRANTED" | "DENIED")
            {
                reading.violate(
                    Rule::ConsentInvalid,
                    At::Member(field),
                    format_args!("Consent has to be GRANTED or DENIED."),
                );
            }
        }
        Ok(())
    }
}
