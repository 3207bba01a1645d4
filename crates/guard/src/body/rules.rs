//! The protocol's rules, as data: which there are, the limits, the reserved names, the parameters
//! that events require. What reads a body asks these tables; they read nothing themselves.
//!
//! A violation is what the protocol refuses, drops or changes, whether a sender asks for it or not:
//! GA4's default behaviour, `RELAXED`, takes a request whose parameters are too long and loses the
//! parameters, or takes one of last week and moves it to 72 hours ago. A loss in silence is what this gate is
//! there to show. What `RELAXED` takes whole is no violation, unless the body itself asks for
//! `ENFORCE_RECOMMENDATIONS`: that is the shape of a `client_id`, and no other rule so far.
//!
//! Sources: G-REF is Google's protocol reference, G-EV its reference of events, EB the source of
//! Google's Event Builder, HELP its help centre.

pub mod limits;
pub(super) mod names;
pub(super) mod params;
pub(super) mod required;
mod rule;

pub use rule::{Rule, ValidationCode};
