//! Events: their names in order, and what the protocol says of each.

use super::Event;
use super::json::{Found, Stop};
use super::params::Params;
use super::reading::{At, Reading, Step};
use super::rules::names::{self, NameFault};
use super::rules::params::{Param, Set};
use super::rules::required;
use super::rules::{Rule, limits};
use super::violation::Cut;
use super::walk::{Handler, Members};

/// The fields of an event. `timestamp_micros` and `items` are not in the reference, but Google's own
/// Event Builder sends them there.
const FIELDS: &[&str] = &["name", "params", "timestamp_micros", "items"];

/// The events of a body.
#[derive(Default)]
pub(super) struct Events<'de> {
    pub(super) list: Vec<Event<'de>>,
}

impl<'de> Handler<'de> for Events<'de> {
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>) {
        if found != Found::Null {
            reading.wrong_type(At::Here, "an event");
            self.list.push(Event { name: None, money: None, time: None });
        }
    }

    fn object(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de>,
    ) -> Result<(), Stop> {
        let (mut name, mut time) = (None, None);
        let mut params = Params::default();
        while let Some(field) = members.field(reading, FIELDS)? {
            match field {
                "name" => name = reading.text(field)?,
                "params" => reading.single(Step::Field(field), &mut params)?,
                "timestamp_micros" => time = reading.timestamp(field)?,
                _ => {
                    if reading.items()? > 0 {
                        params.known.insert(Param::Items);
                    }
                }
            }
        }
        if let Some(name) = &name {
            reading.check_event(name, params.known);
        } else {
            let index = reading.event_index();
            reading.violate(
                Rule::EventNameMissing,
                At::Member("name"),
                format_args!("Event at index: [{index}] requires a name."),
            );
        }
        let (money, time) = (params.money.money(), time.or(params.time));
        self.list.push(Event { name, money, time });
        Ok(())
    }
}

impl Events<'_> {
    /// Events that do not say when they happened did so when the body says.
    pub(super) fn date(&mut self, time: Option<u64>) {
        for event in &mut self.list {
            event.time = event.time.or(time);
        }
    }
}

impl Reading<'_> {
    fn check_event(&mut self, name: &str, params: Set) {
        let index = self.event_index();
        if let Some(fault) = names::event(name, self.stream) {
            self.event_name(name, index, fault);
        }
        for param in required::missing(name, params) {
            let param = param.name();
            let path = format!("params.{param}");
            self.violate(
                Rule::ParamMissing,
                At::Member(&path),
                format_args!(
                    "Event at index: [{index}] with name [{name}] requires parameter [{param}]."
                ),
            );
        }
    }

    fn event_name(&mut self, name: &str, index: usize, fault: NameFault) {
        let path = At::Coarse("events");
        let name = Cut(name);
        match fault {
            NameFault::Reserved => self.violate(
                Rule::EventNameReserved,
                path,
                format_args!("Event at index: [{index}] has name [{name}] which is reserved."),
            ),
            NameFault::AppOnly => self.violate(
                Rule::EventAppOnly,
                path,
                format_args!(
                    "Event at index: [{index}] has name [{name}] which is reserved for app streams."
                ),
            ),
            _ => self.violate(
                Rule::EventNameInvalid,
                path,
                format_args!("Event at index: [{index}] has invalid name [{name}]. {fault}"),
            ),
        }
    }

    /// Checks how many events there are.
    pub(super) fn check_event_count(&mut self, count: usize) {
        if count > limits::EVENTS_MAX {
            self.violate(
                Rule::TooManyEvents,
                At::Coarse("events"),
                format_args!(
                    "Measurement has [{count}] events. Requests may have at most [{}].",
                    limits::EVENTS_MAX
                ),
            );
        }
    }
}
