//! What changed after a revision. Epoch, head and rows come from one snapshot.

use mpgate_contract::Ask;
use sqlx::Row as _;

use super::{Store, read};
use crate::store::{Feed, Standing, StoreError};

impl Store {
    /// Up to `limit` keys and up to `limit` streams that changed after what was asked for.
    ///
    /// # Errors
    /// The database failed.
    pub async fn changes(&self, ask: &Ask, limit: u32) -> Result<Feed, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let row =
            sqlx::query("SELECT epoch, head FROM allowlist").fetch_one(&mut *snapshot).await?;
        let standing = Standing { epoch: row.try_get("epoch")?, head: row.try_get("head")? };
        let reset = ask.epoch != standing.epoch || ask.since > standing.head;
        let from = if reset { 0 } else { ask.since };
        let mut feed = Feed { standing, from, reset, keys: vec![], streams: vec![] };
        if from == feed.standing.head {
            return Ok(feed);
        }
        let after = i64::try_from(from).map_err(read::broken)?;
        let rows =
            sqlx::query("SELECT * FROM api_keys WHERE revision > ? ORDER BY revision LIMIT ?")
                .bind(after)
                .bind(limit)
                .fetch_all(&mut *snapshot)
                .await?;
        feed.keys = rows.iter().map(read::feed_key).collect::<Result<_, _>>()?;
        let rows =
            sqlx::query("SELECT * FROM streams WHERE revision > ? ORDER BY revision LIMIT ?")
                .bind(after)
                .bind(limit)
                .fetch_all(&mut *snapshot)
                .await?;
        feed.streams = rows.iter().map(read::feed_stream).collect::<Result<_, _>>()?;
        Ok(feed)
    }
}
