//! Hears of other replicas' commits, and looks by itself now and then: a notification may be lost with the
//! connection that was to bring it.

use core::time::Duration;

use sqlx::postgres::PgListener;
use tokio::time::{sleep, timeout};

use super::{ACQUIRE_TIMEOUT, CHANNEL, PostgresStore};

/// How soon a change is noticed of which nobody told.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Changes in a row of which nobody told, after which the connection is made anew.
const MISSED_MAX: u32 = 2;

/// Keeps the head up to date until the store is closed.
pub(super) async fn listen(store: PostgresStore) {
    let mut listener = None;
    let (mut missed, mut was_told, mut is_there) = (0, true, true);
    while !store.listener.is_closed() {
        if listener.is_none() {
            listener = subscribe(&store).await;
            // What happened before it listened is nobody's to tell: it is looked for at once.
            (missed, was_told) = (0, true);
        }
        let before = store.head.borrow().clone();
        let was_there = is_there;
        is_there = look(&store).await;
        let is_news = *store.head.borrow() != before;
        missed = if is_news && !was_told { missed + 1 } else { 0 };
        if missed >= MISSED_MAX {
            listener = None;
            continue;
        }
        was_told = match &mut listener {
            Some(open) if is_there => match timeout(LOOK_AGAIN, open.try_recv()).await {
                Ok(Ok(Some(_))) => {
                    while open.next_buffered().is_some() {}
                    true
                }
                // What was told meanwhile is lost; the next look finds it.
                Ok(Ok(None) | Err(_)) => {
                    listener = None;
                    false
                }
                Err(_) => false,
            },
            // It is back: listened to at once.
            None if is_there && !was_there => false,
            _ => {
                sleep(LOOK_AGAIN).await;
                false
            }
        };
    }
}

/// Whether the server answered.
async fn look(store: &PostgresStore) -> bool {
    let done = store.look().await;
    if let Err(error) = &done {
        tracing::debug!(%error, "where the list stands could not be read");
    }
    done.is_ok()
}

async fn subscribe(store: &PostgresStore) -> Option<PgListener> {
    let connected = async {
        let mut listener = PgListener::connect_with(&store.listener).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    match timeout(ACQUIRE_TIMEOUT, connected).await {
        Ok(Ok(listener)) => Some(listener),
        Ok(Err(sqlx::Error::PoolClosed)) | Err(_) => None,
        Ok(Err(error)) => {
            tracing::warn!(%error, "changes that others make are looked for only every second");
            None
        }
    }
}
