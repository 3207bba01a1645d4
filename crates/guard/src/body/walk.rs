//! The walk over the JSON: the only place that meets the library's visitor.
//!
//! Each value is handed to a [`Handler`], which says what the place expects. What a place has no use
//! for is walked all the same, so that no second meaning hides there. Names are compared in an arena
//! that all objects share; an object with many of them gets a set, so the walk stays linear.

use core::fmt;
use std::borrow::Cow;
use std::collections::HashSet;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::ambiguity::Ambiguity;
use super::reading::{Reading, Step};

/// Names of one object that are compared one by one; beyond, a set is cheaper.
const NAMES_COMPARED_MAX: usize = 16;

/// What stands at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found<'de> {
    /// `null` as a member's value: the member is absent.
    Null,
    /// `null` as an element of a list: an element that is nothing.
    NullElement,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction or exponent that fits 64 bits.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(Cow<'de, str>),
    /// A list that the place has no use for.
    List,
    /// An object that the place has no use for.
    Object,
}

/// What a place of the body does with what stands there.
pub(super) trait Handler<'de>: Sized {
    /// Takes a scalar, or learns of a list or an object that it has no use for.
    fn value(&mut self, reading: &mut Reading<'de>, found: Found<'de>);

    /// Takes an object. It must read all members.
    fn object<A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        mut members: Members<'de, A>,
    ) -> Result<(), A::Error> {
        while members.next(reading)?.is_some() {
            members.found(reading)?;
        }
        self.value(reading, Found::Object);
        Ok(())
    }
}

/// Walks a whole document.
pub(super) fn read<'de, D: Deserializer<'de>, H: Handler<'de>>(
    reading: &mut Reading<'de>,
    handler: &mut H,
    document: D,
) -> Result<(), D::Error> {
    Node { reading, handler, place: Place::Single }.deserialize(document)
}

/// A place without expectations.
struct Any<'de>(Found<'de>);

impl<'de> Handler<'de> for Any<'de> {
    fn value(&mut self, _: &mut Reading<'de>, found: Found<'de>) {
        self.0 = found;
    }
}

/// The members of an object, in order, no name twice.
pub(super) struct Members<'de, A> {
    map: A,
    /// Where this object's names start in the arena.
    base: usize,
    /// The names, once they are many.
    set: Option<HashSet<Cow<'de, str>>>,
}

impl<'de, A: MapAccess<'de>> Members<'de, A> {
    /// The next name. Its value must be read before the next call.
    pub(super) fn next(
        &mut self,
        reading: &mut Reading<'de>,
    ) -> Result<Option<Cow<'de, str>>, A::Error> {
        let Some(name) = self.map.next_key_seed(Name)? else {
            return Ok(None);
        };
        if self.is_new(reading, name.clone()) {
            return Ok(Some(name));
        }
        Err(reading.stop(Ambiguity::DuplicateKey))
    }

    fn is_new(&mut self, reading: &mut Reading<'de>, name: Cow<'de, str>) -> bool {
        if let Some(set) = &mut self.set {
            return set.insert(name);
        }
        let seen = reading.names.get(self.base..).unwrap_or_default();
        if seen.contains(&name) {
            return false;
        }
        if seen.len() < NAMES_COMPARED_MAX {
            reading.names.push(name);
        } else {
            let mut set: HashSet<_> = reading.names.drain(self.base..).collect();
            set.insert(name);
            self.set = Some(set);
        }
        true
    }

    /// The value, whatever it is.
    pub(super) fn found(&mut self, reading: &mut Reading<'de>) -> Result<Found<'de>, A::Error> {
        let mut any = Any(Found::Null);
        self.map.next_value_seed(Node { reading, handler: &mut any, place: Place::Single })?;
        Ok(any.0)
    }

    /// The value, for this handler, one step down.
    pub(super) fn single<H: Handler<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        step: Step<'de>,
        handler: &mut H,
    ) -> Result<(), A::Error> {
        self.down(reading, step, handler, Place::Single)
    }

    /// The value of a repeated field: the handler gets each element, or the one value.
    pub(super) fn repeated<H: Handler<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        step: Step<'de>,
        handler: &mut H,
    ) -> Result<(), A::Error> {
        self.down(reading, step, handler, Place::Repeated)
    }

    fn down<H: Handler<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        step: Step<'de>,
        handler: &mut H,
        place: Place,
    ) -> Result<(), A::Error> {
        reading.path.push(step);
        self.map.next_value_seed(Node { reading: &mut *reading, handler, place })?;
        reading.path.pop();
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Single,
    Repeated,
    Element,
}

/// A handler at its place: what the library is given for every value.
struct Node<'s, 'de, H> {
    reading: &'s mut Reading<'de>,
    handler: &'s mut H,
    place: Place,
}

impl<'de, H: Handler<'de>> Node<'_, 'de, H> {
    /// Hands over a scalar; the one value of a repeated field is its element 0.
    fn scalar(self, found: Found<'de>) {
        let is_element = self.place == Place::Repeated && found != Found::Null;
        if is_element {
            self.reading.path.push(Step::Index(0));
        }
        self.handler.value(self.reading, found);
        if is_element {
            self.reading.path.pop();
        }
    }

    fn elements<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { reading, handler, .. } = self;
        for index in 0.. {
            reading.path.push(Step::Index(index));
            let node =
                Node { reading: &mut *reading, handler: &mut *handler, place: Place::Element };
            let more = list.next_element_seed(node)?.is_some();
            reading.path.pop();
            if !more {
                break;
            }
        }
        Ok(())
    }
}

impl<'de, H: Handler<'de>> DeserializeSeed<'de> for Node<'_, 'de, H> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, H: Handler<'de>> Visitor<'de> for Node<'_, 'de, H> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        let null = if self.place == Place::Element { Found::NullElement } else { Found::Null };
        self.scalar(null);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Found::Bool(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(Found::Integer(value.into()));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Found::Integer(value.into()));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Found::Float(value));
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<(), E> {
        self.scalar(Found::Text(Cow::Borrowed(value)));
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar(Found::Text(Cow::Owned(value.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.reading.enter()?;
        if self.place == Place::Repeated {
            let Self { reading, handler, place } = self;
            Node { reading: &mut *reading, handler, place }.elements(list)?;
            reading.leave();
            return Ok(());
        }
        let mut any = Any(Found::Null);
        loop {
            let reading = &mut *self.reading;
            let node = Node { reading, handler: &mut any, place: Place::Element };
            if list.next_element_seed(node)?.is_none() {
                break;
            }
        }
        self.reading.leave();
        self.scalar(Found::List);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self { reading, handler, place } = self;
        reading.enter()?;
        let base = reading.names.len();
        let path = reading.path.len();
        if place == Place::Repeated {
            reading.path.push(Step::Index(0));
        }
        handler.object(reading, Members { map, base, set: None })?;
        reading.path.truncate(path);
        reading.names.truncate(base);
        reading.leave();
        Ok(())
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
