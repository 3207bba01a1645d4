//! What the metrics show of the present moment: one cheap question for each. No caller: the page has a listener
//! of its own, and says nothing that is secret.

use super::gateways::is_live;
use super::{Answer, Service};
use crate::model::{GatewayId, KeyEnd, PrincipalEnd, Reconciliation, Seconds};
use crate::time;

/// Keys, principals, and events that were reconciled, that the metrics have series for. Beyond, the ones that end last, and
/// the last by name, have none.
const SERIES_MAX: u32 = 10_000;

/// The present moment.
pub(crate) struct Gauges {
    pub(crate) head: u64,
    pub(crate) gateways: Vec<GatewayGauge>,
    /// Questions of gateways that this process had no room to list.
    pub(crate) unlisted: u64,
    pub(crate) keys: Vec<KeyEnd>,
    pub(crate) principals: Vec<PrincipalEnd>,
    pub(crate) reconciliations: Vec<Reconciliation>,
}

/// How one gateway is.
pub(crate) struct GatewayGauge {
    pub(crate) id: GatewayId,
    pub(crate) node: String,
    pub(crate) revision: u64,
    pub(crate) last_seen_time: Seconds,
    pub(crate) behind_seconds: Seconds,
    pub(crate) is_live: bool,
}

impl Service {
    /// What the metrics show.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn gauges(&self) -> Answer<Gauges> {
        let mut read = self.store.read().await?;
        let head = read.standing().await?.head;
        let known = self.known_gateways(&mut *read).await?;
        let now = time::to_seconds(known.now);
        let mut gateways = Vec::new();
        for gateway in known.gateways {
            let missing_since = if gateway.revision >= head {
                None
            } else if gateway.revision == 0 {
                Some(now.saturating_sub(self.gateways.empty_for(&gateway.id).unwrap_or(0)))
            } else {
                read.change_time_after(gateway.revision).await?
            };
            let is_live = is_live(&gateway, known.now);
            gateways.push(GatewayGauge {
                id: gateway.id,
                node: gateway.node,
                revision: gateway.revision,
                last_seen_time: time::to_seconds(gateway.last_seen_millis),
                behind_seconds: missing_since.map_or(0, |since| now.saturating_sub(since).max(0)),
                is_live,
            });
        }
        let keys = read.key_ends(now, SERIES_MAX).await?;
        let principals = read.principal_ends(now, SERIES_MAX).await?;
        let reconciliations = read.newest_reconciliations(SERIES_MAX).await?;
        let unlisted = self.gateways.unlisted();
        Ok(Gauges { head, gateways, unlisted, keys, principals, reconciliations })
    }
}
