//! What every change may carry: an id that makes it safe to send twice, and the state it is about.

use clap::Args;
use serde_json::{Map, Value};

/// For what comes into being.
#[derive(Debug, Args)]
pub(super) struct Once {
    /// A UUID of your choice: sent again with the same one, the change is not made twice
    #[arg(long, value_name = "UUID")]
    request_id: Option<String>,
}

/// For what is there already.
#[derive(Debug, Args)]
pub(super) struct Mutation {
    #[command(flatten)]
    once: Once,
    /// Change it only if it still is what `get` showed with this etag
    #[arg(long)]
    etag: Option<String>,
}

impl Once {
    /// Whether an id was chosen: each change has its own.
    pub(super) const fn is_chosen(&self) -> bool {
        self.request_id.is_some()
    }

    /// As parameters of the query, beside others.
    pub(super) fn query<'a>(&'a self, beside: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let id = self.request_id.as_deref().map(|id| ("requestId", id));
        beside.iter().copied().chain(id).collect()
    }
}

impl Mutation {
    /// As parameters of the query.
    pub(super) fn query(&self) -> Vec<(&str, &str)> {
        let etag = self.etag.as_deref().map(|etag| ("etag", etag));
        self.once.query(etag.as_slice())
    }

    /// The parameters of a custom method, whose etag is a member of its body.
    pub(super) fn custom(&self, mut body: Map<String, Value>) -> (Vec<(&str, &str)>, Value) {
        if let Some(etag) = &self.etag {
            body.insert("etag".to_owned(), etag.as_str().into());
        }
        (self.once.query(&[]), body.into())
    }
}
