//! What stands around the Envoys: the upstream, the authorizers and the change feed, on a thread of their own.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::authorizer;
use crate::keys::{Feed, secret};
use crate::server::{NO_CONTENT, parameter, serve};

/// Where they are.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) upstream: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) http_authorizer: SocketAddr,
    pub(crate) grpc_authorizer: SocketAddr,
    feed: Arc<Mutex<Feed>>,
}

impl Surroundings {
    /// Starts them. They end with this process.
    pub(crate) fn start() -> Result<Self> {
        let feed = Arc::new(Mutex::new(Feed::new(1, "")));
        let (tell, told) = std::sync::mpsc::channel();
        let told_feed = Arc::clone(&feed);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async move {
                if tell.send(all(told_feed).await).is_ok() {
                    std::future::pending::<()>().await;
                }
            });
        });
        told.recv().context("the surroundings did not start")?
    }

    /// What the next gate that asks is told.
    pub(crate) fn publish(&self, feed: Feed) {
        *self.feed.lock().unwrap_or_else(PoisonError::into_inner) = feed;
    }
}

async fn all(feed: Arc<Mutex<Feed>>) -> Result<Surroundings> {
    // The sending key is the first.
    let known: Arc<HashSet<String>> = Arc::new((0..1_000).map(secret).collect());
    let upstream = serve(|_| async { NO_CONTENT.to_vec() }).await?;
    let by_http = Arc::clone(&known);
    let http_authorizer = serve(move |target| {
        let is_known = by_http.contains(parameter(&target, "api_secret"));
        async move {
            let status = if is_known { "200 OK" } else { "401 Unauthorized" };
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into_bytes()
        }
    })
    .await?;
    let grpc_authorizer = authorizer::serve(known).await?;
    let told = Arc::clone(&feed);
    let control = serve(move |target| answer(Arc::clone(&told), target)).await?;
    Ok(Surroundings { upstream, control, http_authorizer, grpc_authorizer, feed })
}

/// Control, as far as a gate asks: the change feed; whatever is reported is taken.
async fn answer(feed: Arc<Mutex<Feed>>, target: String) -> Vec<u8> {
    let mut body = "{}".to_owned();
    if target.starts_with("/v1/allowlist/changes") {
        let number = |name| parameter(&target, name).parse::<usize>().unwrap_or(0);
        let (since, epoch) = (number("since"), parameter(&target, "epoch"));
        let is_news = {
            let feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
            body = feed.page(epoch, since, number("limit"));
            epoch != "bench" || since != feed.head()
        };
        if !is_news {
            tokio::time::sleep(Duration::from_secs(number("wait") as u64)).await;
        }
    }
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}
