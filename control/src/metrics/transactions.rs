//! A store whose transactions are counted.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::Metrics;
use crate::store::{Read, Standing, Store, Stored, Write};

/// Counts, and leaves the rest to the store within.
pub(crate) struct Counted {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Metrics,
}

#[async_trait]
impl Store for Counted {
    async fn read(&self) -> Stored<Box<dyn Read>> {
        self.metrics.0.reads.fetch_add(1, Ordering::Relaxed);
        self.store.read().await
    }

    async fn write(&self) -> Stored<Box<dyn Write>> {
        self.metrics.0.writes.fetch_add(1, Ordering::Relaxed);
        self.store.write().await
    }

    fn watch_head(&self) -> watch::Receiver<Standing> {
        self.store.watch_head()
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
