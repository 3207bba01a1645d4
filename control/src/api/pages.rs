//! Pages that many gateways wait for at once, made once: thousands of them stand at the same revision, and a
//! commit wakes them all.
//!
//! A page is of one snapshot and stays true; it is only kept while it is the newest.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;

use super::problem::Problem;
use crate::changes;
use crate::model::Scope;
use crate::service::{Caller, Question, Service};
use crate::store::{Standing, StoreError};

/// Different questions that are kept. Beyond, all are forgotten; who waits for one still gets it.
const KEPT_MAX: usize = 64;

/// What was made lately.
#[derive(Clone, Default)]
pub(crate) struct Pages(Arc<Mutex<Vec<(Asked, Place)>>>);

/// Those that ask the same are told the same.
#[derive(Clone, PartialEq, Eq)]
struct Asked {
    scope: Scope,
    question: Question,
}

/// Where the page for one question is made, by whoever comes first.
type Place = Arc<tokio::sync::Mutex<Option<Made>>>;

struct Made {
    /// Where the list stood.
    standing: Standing,
    page: Page,
}

/// A page, ready to be sent.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) body: Bytes,
    /// Whether it has nothing new.
    pub(super) is_level: bool,
}

impl Pages {
    /// The page for a question, not older than `standing`. Whoever comes while it is made waits for it.
    pub(super) async fn get(
        &self,
        service: &Service,
        caller: &Caller,
        question: &Question,
        standing: &Standing,
    ) -> Result<Page, Problem> {
        let scope = Scope::of(&caller.principal);
        let epoch = scope.epoch(&standing.epoch);
        let place = self.place(Asked { scope, question: question.clone() });
        let mut made = place.lock().await;
        // One that is level is asked for anew: another process may have moved the head unseen.
        let fits = |it: &&Made| {
            !it.page.is_level && it.standing.epoch == epoch && it.standing.head >= standing.head
        };
        if let Some(made) = made.as_ref().filter(fits) {
            return Ok(made.page.clone());
        }
        let feed = service.changes(caller, question).await?;
        let entries_max = usize::try_from(question.limit).unwrap_or(usize::MAX).saturating_sub(1);
        let body = changes::page(&feed, entries_max).map_err(|it| StoreError::Broken(it.into()))?;
        let page = Page { body: body.into(), is_level: feed.is_level() };
        *made = Some(Made { standing: feed.standing, page: page.clone() });
        Ok(page)
    }

    fn place(&self, asked: Asked) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, place)) = places.iter().find(|(known, _)| *known == asked) {
            return Arc::clone(place);
        }
        if places.len() >= KEPT_MAX {
            places.clear();
        }
        let place = Place::default();
        places.push((asked, Arc::clone(&place)));
        place
    }
}
