//! Parameters, of events and of items. Their names are the sender's own, so `item_id` and `itemId`
//! are two.

use serde::de::MapAccess;

use super::money::Parts;
use super::reading::{At, Reading, Step};
use super::rules::names::{self, NameFault};
use super::rules::required::{self, Param, Set};
use super::rules::{Rule, limits};
use super::violation::Cut;
use super::walk::{Found, Handler, Members};

/// The parameters of an event.
#[derive(Default)]
pub(super) struct Params {
    /// Those that are there, of those that some event requires.
    pub(super) known: Set,
    pub(super) money: Parts,
    pub(super) time: Option<u64>,
}

/// The items of an event.
#[derive(Default)]
pub(super) struct Items {
    pub(super) count: usize,
}

impl<'de> Handler<'de> for Params {
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>) {
        if found != Found::Null {
            reading.wrong_type(At::Here, "an object");
        }
    }

    fn object<A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de, A>,
    ) -> Result<(), A::Error> {
        let mut count = 0_usize;
        while let Some(name) = members.next(reading)? {
            if name == "items" {
                let items = read_items(reading, &mut members)?;
                if items > 0 {
                    self.known.insert(required::ITEMS);
                    count = count.saturating_add(1);
                }
                continue;
            }
            let found = members.found(reading)?;
            if found == Found::Null {
                continue;
            }
            count = count.saturating_add(1);
            if let Some(param) = Param::named(&name) {
                self.known.insert(param);
            }
            reading.check_param(&name, &found);
            self.money.take(&name, &found);
            match name.as_ref() {
                "timestamp_micros" => self.time = reading.check_timestamp(&found, &name),
                "currency" => reading.check_currency(&found),
                _ => {}
            }
        }
        if count > limits::PARAMS_MAX {
            let index = reading.event_index();
            reading.violate(
                Rule::TooManyParams,
                At::Here,
                format_args!(
                    "Event at index: [{index}] has [{count}] parameters. Events may have at most [{}].",
                    limits::PARAMS_MAX
                ),
            );
        }
        Ok(())
    }
}

/// Reads `items`, which may stand among the parameters or beside them, and tells how many there are.
pub(super) fn read_items<'de, A: MapAccess<'de>>(
    reading: &mut Reading<'de>,
    members: &mut Members<'de, A>,
) -> Result<usize, A::Error> {
    let mut items = Items::default();
    members.repeated(reading, Step::Field("items"), &mut items)?;
    if items.count > limits::ITEMS_MAX {
        let index = reading.event_index();
        reading.violate(
            Rule::TooManyItems,
            At::Member("items"),
            format_args!(
                "Event at index: [{index}] has [{}] items. Events may have at most [{}].",
                items.count,
                limits::ITEMS_MAX
            ),
        );
    }
    Ok(items.count)
}

impl<'de> Handler<'de> for Items {
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>) {
        if found != Found::Null {
            self.count = self.count.saturating_add(1);
            reading.wrong_type(At::Here, "an object");
        }
    }

    fn object<A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de, A>,
    ) -> Result<(), A::Error> {
        self.count = self.count.saturating_add(1);
        let mut custom = 0_usize;
        let mut is_named = false;
        while let Some(name) = members.next(reading)? {
            let found = members.found(reading)?;
            if found == Found::Null {
                continue;
            }
            reading.check_param(&name, &found);
            is_named |= name == "item_id" || name == "item_name";
            if !required::is_of_items(&name) {
                custom = custom.saturating_add(1);
            }
        }
        let index = reading.event_index();
        if !is_named {
            reading.violate(
                Rule::ItemUnnamed,
                At::Member("item_id"),
                format_args!(
                    "Event at index: [{index}] has an item that requires [item_id] or [item_name]."
                ),
            );
        }
        if custom > limits::ITEM_CUSTOM_PARAMS_MAX {
            reading.violate(
                Rule::TooManyItemParams,
                At::Here,
                format_args!(
                    "Event at index: [{index}] has an item with [{custom}] custom parameters. Items may have at most [{}].",
                    limits::ITEM_CUSTOM_PARAMS_MAX
                ),
            );
        }
        Ok(())
    }
}

impl Reading<'_> {
    /// Checks a parameter that is there.
    fn check_param(&mut self, name: &str, found: &Found<'_>) {
        if let Some(fault) = names::param(name) {
            self.param_name(name, fault);
        }
        if matches!(found, Found::List | Found::Object) {
            return self.wrong_type(At::Member(name), "text, a number, true or false");
        }
        if required::is_number(name) && !found.is_number() {
            let index = self.event_index();
            self.violate(
                Rule::ParamNotNumber,
                At::Member(name),
                format_args!(
                    "Event at index: [{index}] has parameter [{name}] that is not a number."
                ),
            );
        }
        // The limits of special parameters are all above the common one, so few values get this far.
        if !found.is_longer_than(limits::PARAM_VALUE_CHARACTERS_MAX) {
            return;
        }
        let characters_max = limits::PARAM_VALUE_CHARACTERS_MAX_OF
            .iter()
            .find(|(special, _)| *special == name)
            .map_or(limits::PARAM_VALUE_CHARACTERS_MAX, |(_, characters_max)| *characters_max);
        if found.is_longer_than(characters_max) {
            let index = self.event_index();
            let quoted = Cut(name);
            self.violate(
                Rule::ParamValueTooLong,
                At::Member(name),
                format_args!(
                    "Event at index: [{index}] has parameter [{quoted}] whose value is longer than [{characters_max}] characters."
                ),
            );
        }
    }

    fn param_name(&mut self, name: &str, fault: NameFault) {
        let rule = match fault {
            NameFault::Reserved => Rule::ParamNameReserved,
            _ => Rule::ParamNameInvalid,
        };
        let index = self.event_index();
        let quoted = Cut(name);
        match fault {
            NameFault::Reserved => self.violate(
                rule,
                At::Member(name),
                format_args!(
                    "Event at index: [{index}] has parameter name [{quoted}] which is reserved."
                ),
            ),
            _ => self.violate(
                rule,
                At::Member(name),
                format_args!(
                    "Event at index: [{index}] has invalid parameter name [{quoted}]. {fault}"
                ),
            ),
        }
    }

    fn check_currency(&mut self, found: &Found<'_>) {
        let is_code = match found {
            Found::Text(text) => {
                text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
            }
            // The type has been complained of.
            Found::List | Found::Object => true,
            _ => false,
        };
        if !is_code {
            let index = self.event_index();
            self.violate(
                Rule::CurrencyInvalid,
                At::Member("currency"),
                format_args!(
                    "Event at index: [{index}] has parameter [currency] that is not a currency code of three upper-case letters."
                ),
            );
        }
    }
}
