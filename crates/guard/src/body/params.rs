//! Parameters, of events and of items. Their names are the sender's own, so `item_id` and `itemId`
//! are two.

use super::json::{Found, Stop};
use super::money::Parts;
use super::reading::{At, Reading, Step};
use super::rules::names::{self, NameFault};
use super::rules::params::{NUMBERS, OF_ITEMS, Param, Set};
use super::rules::{Rule, limits};
use super::violation::Cut;
use super::walk::{Handler, Members};

/// The parameters of an event.
#[derive(Default)]
pub(super) struct Params {
    /// Those that are there, of those that the protocol knows.
    pub(super) known: Set,
    pub(super) money: Parts,
    pub(super) time: Option<u64>,
}

impl Params {
    fn take(&mut self, reading: &mut Reading<'_>, param: Param, found: &Found<'_>) {
        match param {
            Param::Value => self.money.take_value(found),
            Param::Currency => {
                self.money.take_currency(found);
                reading.check_currency(found);
            }
            Param::TimestampMicros => self.time = reading.check_timestamp(found, param.name()),
            _ => {}
        }
    }
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

    fn object(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de>,
    ) -> Result<(), Stop> {
        let mut count = 0_usize;
        while let Some((name, param)) = members.param(reading)? {
            if param == Some(Param::Items) {
                let items = reading.items()?;
                if items > 0 {
                    self.known.insert(Param::Items);
                    count = count.saturating_add(1);
                }
                continue;
            }
            let found = reading.found()?;
            if found == Found::Null {
                continue;
            }
            count = count.saturating_add(1);
            reading.check_param(&name, param, &found);
            if let Some(param) = param {
                self.known.insert(param);
                self.take(reading, param, &found);
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

impl<'de> Handler<'de> for Items {
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
        let mut custom = 0_usize;
        let mut there = Set::default();
        while let Some((name, param)) = members.param(reading)? {
            let found = reading.found()?;
            if found == Found::Null {
                continue;
            }
            reading.check_param(&name, param, &found);
            match param {
                Some(param) if OF_ITEMS.has(param) => {
                    there.insert(param);
                }
                _ => custom = custom.saturating_add(1),
            }
        }
        let index = reading.event_index();
        if !there.has(Param::ItemId) && !there.has(Param::ItemName) {
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
    /// Reads `items`, which may stand among the parameters or beside them, and tells how many there are.
    pub(super) fn items(&mut self) -> Result<usize, Stop> {
        let mut items = Items::default();
        self.repeated(Step::Field("items"), &mut items)?;
        let count = items.count;
        if count > limits::ITEMS_MAX {
            let index = self.event_index();
            self.violate(
                Rule::TooManyItems,
                At::Member("items"),
                format_args!(
                    "Event at index: [{index}] has [{count}] items. Events may have at most [{}].",
                    limits::ITEMS_MAX
                ),
            );
        }
        Ok(count)
    }

    /// Checks a parameter that is there.
    #[expect(clippy::inline_always, reason = "it is a tenth of the walk as a call")]
    #[inline(always)]
    fn check_param(&mut self, name: &str, param: Option<Param>, found: &Found<'_>) {
        // The protocol's own names are good.
        if param.is_none()
            && let Some(fault) = names::param(name)
        {
            self.param_name(name, fault);
        }
        let has_to_be_number = param.is_some_and(|param| NUMBERS.has(param));
        match found {
            Found::Number(_) => {}
            Found::List | Found::Object => {
                self.wrong_type(At::Member(name), "text, a number, true or false");
            }
            _ => {
                if has_to_be_number && !found.is_number() {
                    self.param_not_number(name);
                }
                // The limits of special parameters are all above the common one, so few get this far.
                if found.is_longer_than(limits::PARAM_VALUE_CHARACTERS_MAX) {
                    self.check_length(name, found);
                }
            }
        }
    }

    fn param_not_number(&mut self, name: &str) {
        let index = self.event_index();
        self.violate(
            Rule::ParamNotNumber,
            At::Member(name),
            format_args!("Event at index: [{index}] has parameter [{name}] that is not a number."),
        );
    }

    fn check_length(&mut self, name: &str, found: &Found<'_>) {
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
