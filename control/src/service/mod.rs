//! The rules: who may do what, what may be changed and how it is recorded. HTTP and gRPC are two ways to
//! the same methods; a database is behind `store`.
//!
//! A change, its trace and its revision are one transaction. Permission comes before existence.

mod access;
mod advice;
mod audit;
mod authenticate;
mod change;
mod completeness;
mod consumers;
mod denials;
mod feed;
mod filter;
mod gateways;
mod gauges;
mod grant;
mod keys;
mod limits;
mod lives;
mod principals;
mod reconcile;
mod registry;
mod resource;
mod rotation;
mod streams;
mod tokens;
mod usage;

use std::sync::Arc;

use crate::model::{Refusal, Slice};
use crate::store::{Store, StoreError};

pub use access::{Caller, Permission};
pub use change::{Mutation, Once, Outcome};
pub use feed::{Feed, Question};
pub use filter::{Filter, FilterError};
pub use gateways::{GatewayList, LIVE_SECONDS};
pub(crate) use gauges::{GatewayGauge, Gauges};
pub use keys::{Adopted, NewKey, Streams};
pub use limits::Limits;
pub(crate) use principals::CONSUMERS_MAX as PRINCIPAL_CONSUMERS_MAX;
pub use principals::NewPrincipal;
pub use reconcile::{PostedTotal, TOTALS_MAX};
pub use registry::Greeting;
pub use rotation::{OVERLAP_DEFAULT, Rotation};
pub use streams::NewStream;
pub use tokens::{TokenEnd, TokenRotation};
pub use usage::UsageQuestion;

/// Everything that control does. Clones share it.
#[derive(Clone)]
pub struct Service {
    store: Arc<dyn Store>,
    gateways: Arc<registry::Registry>,
    denials: Arc<denials::Denials>,
    limits: Limits,
}

/// Why it was not done. Nothing was changed.
#[derive(Debug)]
pub enum Error {
    /// The caller's doing.
    Refused(Refusal),
    /// The database did not do as asked.
    Store(StoreError),
    /// The operating system has no random bytes.
    NoRandom(getrandom::Error),
}

impl core::fmt::Display for Error {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Refused(refusal) => write!(out, "refused: {refusal:?}"),
            Self::Store(error) => error.fmt(out),
            Self::NoRandom(error) => write!(out, "no random bytes: {error}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<getrandom::Error> for Error {
    fn from(error: getrandom::Error) -> Self {
        Self::NoRandom(error)
    }
}

/// What a method of the service answers.
pub type Answer<T> = Result<T, Error>;

/// What is wanted of a list.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Which part.
    pub slice: Slice,
    /// Which items of it.
    pub filter: Filter,
}

/// Part of a list, as the API shows it.
#[derive(Debug)]
pub struct Listed {
    /// The resources, oldest first.
    pub items: Vec<serde_json::Value>,
    /// Where the next part goes on, if there is one.
    pub next: Option<u64>,
}

impl Service {
    /// The service over a database.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, limits: Limits) -> Self {
        Self { store, gateways: Arc::default(), denials: Arc::default(), limits }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Answer<()> {
        self.store.read().await?.standing().await?;
        Ok(())
    }
}
