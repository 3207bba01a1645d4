//! The walk over the JSON: which value is handed to whom, and that no name stands twice.
//!
//! Each place that expects a structure has a [`Handler`]. What a place has no use for is walked all the
//! same, so that no second meaning hides there. Names are compared in an arena that all objects
//! share; an object with many of them gets a set, so the walk stays linear.

#![expect(
    clippy::inline_always,
    reason = "calls between the steps of a member cost a third of the walk"
)]

use std::borrow::Cow;
use std::collections::HashSet;

use super::ambiguity::Ambiguity;
use super::field::{self, Field};
use super::json::{Found, Stop};
use super::key::Key;
use super::reading::{Reading, Step};
use super::rules::params::{Param, Set};

/// Names of one object that are compared one by one; beyond, a set is cheaper.
const NAMES_COMPARED_MAX: usize = 16;

/// What a place of the body does with what stands there.
pub(super) trait Handler<'de> {
    /// Takes a scalar, or learns of a list or an object that it has no use for.
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>);

    /// Takes an object. It must read all members.
    fn object(&mut self, reading: &mut Reading<'de>, members: Members<'de>) -> Result<(), Stop> {
        members.pass(reading)?;
        self.value(reading, Found::Object);
        Ok(())
    }
}

/// A name, and which parameter it is, of those that the protocol knows.
type Named<'de> = (Cow<'de, str>, Option<Param>);

/// The members of an object, in order, no name twice. After each name its value must be read.
pub(super) struct Members<'de> {
    is_first: bool,
    /// The fields that were there, by their index.
    fields: u32,
    /// The parameters that were there, of those that the protocol knows.
    params: Set,
    /// Where this object's other names start in the arena.
    base: usize,
    /// The other names, once they are many.
    set: Option<HashSet<Cow<'de, str>>>,
}

impl<'de> Members<'de> {
    fn new(base: usize) -> Self {
        Self { is_first: true, fields: 0, params: Set::default(), base, set: None }
    }

    /// The next name.
    pub(super) fn next(
        &mut self,
        reading: &mut Reading<'de>,
    ) -> Result<Option<Cow<'de, str>>, Stop> {
        let Some(name) = self.name(reading)? else {
            return Ok(None);
        };
        self.remember(reading, name.clone())?;
        reading.json.colon()?;
        Ok(Some(name))
    }

    /// The next name, and which parameter it is.
    #[inline(always)]
    pub(super) fn param(&mut self, reading: &mut Reading<'de>) -> Result<Option<Named<'de>>, Stop> {
        let Some(name) = self.name(reading)? else {
            return Ok(None);
        };
        let param = Param::named(&name);
        match param {
            Some(param) if self.params.insert(param) => {}
            Some(_) => return Err(reading.json.stop(Ambiguity::DuplicateKey)),
            None => self.remember(reading, name.clone())?,
        }
        reading.json.colon()?;
        Ok(Some((name, param)))
    }

    /// The next name that is a field's. Others are complained of and passed over.
    pub(super) fn field(
        &mut self,
        reading: &mut Reading<'de>,
        fields: &'static [&'static str],
    ) -> Result<Option<&'static str>, Stop> {
        while let Some(name) = self.name(reading)? {
            match field::find(fields, &name) {
                Field::Known(index, field) => {
                    let bit = 1_u32.wrapping_shl(index);
                    if self.fields & bit != 0 {
                        return Err(reading.json.stop(Ambiguity::DuplicateKey));
                    }
                    self.fields |= bit;
                    reading.json.colon()?;
                    return Ok(Some(field));
                }
                Field::Lookalike => return Err(reading.json.stop(Ambiguity::LookalikeKey)),
                Field::Unknown => {
                    reading.unknown_member(&name);
                    self.remember(reading, name)?;
                    reading.json.colon()?;
                    reading.found()?;
                }
            }
        }
        Ok(None)
    }

    /// Reads what is left and keeps nothing.
    fn pass(mut self, reading: &mut Reading<'de>) -> Result<(), Stop> {
        while let Some(name) = self.name(reading)? {
            self.remember(reading, name)?;
            reading.json.colon()?;
            reading.found()?;
        }
        Ok(())
    }

    #[inline(always)]
    fn name(&mut self, reading: &mut Reading<'de>) -> Result<Option<Cow<'de, str>>, Stop> {
        reading.json.name(core::mem::take(&mut self.is_first))
    }

    /// Compares a name with the object's others, and keeps it for those that follow.
    fn remember(&mut self, reading: &mut Reading<'de>, name: Cow<'de, str>) -> Result<(), Stop> {
        let is_new = match &mut self.set {
            Some(set) => set.insert(name),
            None => self.is_new(reading, name),
        };
        if is_new { Ok(()) } else { Err(reading.json.stop(Ambiguity::DuplicateKey)) }
    }

    fn is_new(&mut self, reading: &mut Reading<'de>, name: Cow<'de, str>) -> bool {
        let key = Key::of(&name);
        let seen = reading.names.get(self.base..).unwrap_or_default();
        let is_same = |(other, text): &(Key, Cow<'_, str>)| {
            *other == key && (key.is_whole() || *text == name)
        };
        if seen.iter().any(is_same) {
            return false;
        }
        if seen.len() < NAMES_COMPARED_MAX {
            reading.names.push((key, name));
        } else {
            let mut set: HashSet<_> =
                reading.names.drain(self.base..).map(|(_, name)| name).collect();
            set.insert(name);
            self.set = Some(set);
        }
        true
    }
}

impl<'de> Reading<'de> {
    /// Reads the whole document for this handler.
    pub(super) fn document(&mut self, handler: &mut dyn Handler<'de>) -> Result<(), Stop> {
        let found = self.json.value()?;
        self.hand(handler, found)?;
        self.json.end()
    }

    /// Reads a value, whatever it is.
    #[inline(always)]
    pub(super) fn found(&mut self) -> Result<Found<'de>, Stop> {
        let found = self.json.value()?;
        match found {
            Found::List => self.pass_list()?,
            Found::Object => {
                let base = self.enter()?;
                Members::new(base).pass(self)?;
                self.leave(base);
            }
            _ => {}
        }
        Ok(found)
    }

    /// Reads a value for this handler, one step down.
    pub(super) fn single(
        &mut self,
        step: Step<'de>,
        handler: &mut dyn Handler<'de>,
    ) -> Result<(), Stop> {
        self.path.push(step);
        let found = self.json.value()?;
        self.hand(handler, found)?;
        self.path.pop();
        Ok(())
    }

    /// Reads the value of a repeated field: the handler gets each element, or the one value, which is
    /// element 0.
    pub(super) fn repeated(
        &mut self,
        step: Step<'de>,
        handler: &mut dyn Handler<'de>,
    ) -> Result<(), Stop> {
        self.path.push(step);
        match self.json.value()? {
            Found::Null => handler.value(self, Found::Null),
            Found::List => self.elements(handler)?,
            one => {
                self.path.push(Step::Index(0));
                self.hand(handler, one)?;
                self.path.pop();
            }
        }
        self.path.pop();
        Ok(())
    }

    fn elements(&mut self, handler: &mut dyn Handler<'de>) -> Result<(), Stop> {
        let base = self.enter()?;
        for index in 0.. {
            if !self.json.element(index == 0)? {
                break;
            }
            self.path.push(Step::Index(index));
            match self.json.value()? {
                Found::Object => self.object(handler)?,
                Found::Null => handler.value(self, Found::NullElement),
                found => self.hand(handler, found)?,
            }
            self.path.pop();
        }
        self.leave(base);
        Ok(())
    }

    /// Hands over what was found, once it is read to its end.
    fn hand(&mut self, handler: &mut dyn Handler<'de>, found: Found<'de>) -> Result<(), Stop> {
        match found {
            Found::Object => return self.object(handler),
            Found::List => self.pass_list()?,
            _ => {}
        }
        handler.value(self, found);
        Ok(())
    }

    fn object(&mut self, handler: &mut dyn Handler<'de>) -> Result<(), Stop> {
        let base = self.enter()?;
        handler.object(self, Members::new(base))?;
        self.leave(base);
        Ok(())
    }

    fn pass_list(&mut self) -> Result<(), Stop> {
        let base = self.enter()?;
        let mut is_first = true;
        while self.json.element(is_first)? {
            is_first = false;
            self.found()?;
        }
        self.leave(base);
        Ok(())
    }
}
