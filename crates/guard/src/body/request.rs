//! The body's top level, and the rules that need all of it.

use std::borrow::Cow;

use super::StreamKind;
use super::event::Events;
use super::json::{Found, Stop};
use super::reading::{At, Reading, Step};
use super::rules::{Rule, limits};
use super::scalar::Texts;
use super::user::{Consent, DEVICE_FIELDS, LOCATION_FIELDS, UserData, UserProperties};
use super::violation::Cut;
use super::walk::{Handler, Members};

const FIELDS: &[&str] = &[
    "client_id",
    "events",
    "app_instance_id",
    "user_id",
    "timestamp_micros",
    "user_properties",
    "user_data",
    "consent",
    "non_personalized_ads",
    "user_location",
    "ip_override",
    "device",
    "user_agent",
    "validation_behavior",
];

/// What a body says beside its events, as far as rules at the end ask for it.
#[derive(Default)]
pub(super) struct Request<'de> {
    pub(super) events: Events<'de>,
    pub(super) is_object: bool,
    /// When the events happened that do not say so themselves.
    pub(super) time: Option<u64>,
    client_id: Option<Cow<'de, str>>,
    app_instance_id: Option<Cow<'de, str>>,
    user_data: UserData,
    asks_recommendations: bool,
}

impl<'de> Handler<'de> for Request<'de> {
    fn value(&mut self, _: &mut Reading<'de>, _: Found<'de>) {}

    fn object(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de>,
    ) -> Result<(), Stop> {
        self.is_object = true;
        while let Some(field) = members.field(reading, FIELDS)? {
            let step = Step::Field(field);
            match field {
                "events" => reading.repeated(step, &mut self.events)?,
                "user_properties" => reading.single(step, &mut UserProperties)?,
                "user_data" => reading.single(step, &mut self.user_data)?,
                "consent" => reading.single(step, &mut Consent)?,
                "user_location" => reading.single(step, &mut Texts(LOCATION_FIELDS))?,
                "device" => reading.single(step, &mut Texts(DEVICE_FIELDS))?,
                "timestamp_micros" => self.time = reading.timestamp(field)?,
                "non_personalized_ads" => reading.boolean(field)?,
                _ => {
                    let text = reading.text(field)?;
                    self.take_text(reading, field, text);
                }
            }
        }
        Ok(())
    }
}

impl<'de> Request<'de> {
    fn take_text(
        &mut self,
        reading: &mut Reading<'de>,
        field: &'static str,
        text: Option<Cow<'de, str>>,
    ) {
        match field {
            "client_id" => self.client_id = text,
            "app_instance_id" => self.app_instance_id = text,
            "user_id" => {
                let found = text.map_or(Found::Null, Found::Text);
                if found.is_longer_than(limits::USER_ID_CHARACTERS_MAX) {
                    reading.violate(
                        Rule::UserIdTooLong,
                        At::Member(field),
                        format_args!(
                            "user_id may have at most [{}] characters.",
                            limits::USER_ID_CHARACTERS_MAX
                        ),
                    );
                }
            }
            "validation_behavior" => match text.as_deref() {
                Some("ENFORCE_RECOMMENDATIONS") => self.asks_recommendations = true,
                None | Some("RELAXED") => {}
                Some(_) => reading.violate(
                    Rule::ValidationBehaviorInvalid,
                    At::Member(field),
                    format_args!(
                        "validation_behavior has to be RELAXED or ENFORCE_RECOMMENDATIONS."
                    ),
                ),
            },
            _ => {}
        }
    }

    /// The rules that need the whole body.
    pub(super) fn check(&self, reading: &mut Reading<'de>, body_bytes: usize) {
        match reading.stream {
            StreamKind::Web => self.check_client_id(reading),
            StreamKind::App => self.check_app_instance_id(reading),
        }
        if self.events.list.is_empty() && !self.user_data.is_there {
            reading.violate(
                Rule::EventsMissing,
                At::Coarse("events"),
                format_args!("Measurement requires events, or user_data."),
            );
        }
        reading.check_event_count(self.events.list.len());
        if body_bytes > limits::BODY_BYTES_MAX {
            reading.violate(
                Rule::BodyTooLarge,
                At::Nowhere,
                format_args!(
                    "Measurement has [{body_bytes}] bytes. Requests may have at most [{}].",
                    limits::BODY_BYTES_MAX
                ),
            );
        }
    }

    fn check_client_id(&self, reading: &mut Reading<'de>) {
        let path = At::Coarse("client_id");
        match self.client_id.as_deref() {
            None | Some("") => reading.violate(
                Rule::ClientIdMissing,
                path,
                format_args!("Measurement requires a client_id."),
            ),
            Some(id) if self.asks_recommendations && !is_recommended_client_id(id) => {
                let id = Cut(id);
                reading.violate(
                    Rule::ClientIdFormat,
                    path,
                    format_args!(
                        "client_id [{id}] has invalid format. It should be in <number>.<number> format."
                    ),
                );
            }
            Some(_) => {}
        }
    }

    fn check_app_instance_id(&self, reading: &mut Reading<'de>) {
        let path = At::Member("app_instance_id");
        match self.app_instance_id.as_deref() {
            None | Some("") => reading.violate(
                Rule::AppInstanceIdMissing,
                path,
                format_args!("Measurement requires an app_instance_id."),
            ),
            Some(id) if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                reading.violate(
                    Rule::AppInstanceIdFormat,
                    path,
                    format_args!("app_instance_id has to be 32 hexadecimal digits."),
                );
            }
            Some(_) => {}
        }
    }
}

/// Two positive numbers joined by a full stop, or a client ID cookie's full value, which has `GA1.`
/// and a depth before them (G-REF since February 2026).
fn is_recommended_client_id(id: &str) -> bool {
    let bare = id
        .strip_prefix("GA1.")
        .and_then(|rest| rest.split_once('.'))
        .filter(|(depth, _)| depth.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
        .map_or(id, |(_, numbers)| numbers);
    let is_number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()) && text.bytes().any(|byte| byte != b'0')
    };
    bare.split_once('.').is_some_and(|(first, second)| is_number(first) && is_number(second))
}
