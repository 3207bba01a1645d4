//! Reading the trail.

use serde_json::Value;

use super::access::{Caller, Permission};
use super::{Answer, Listed, Listing, Service, resource};
use crate::model::AuditEvent;

impl Service {
    /// Part of the trail: all of it, or what belongs to the consumers that the caller is bound to.
    ///
    /// # Errors
    /// The database failed.
    pub async fn audit(
        &self,
        caller: &Caller,
        listing: Listing,
        newest_first: bool,
    ) -> Answer<Listed> {
        caller.may(Permission::ReadAudit)?;
        let mut read = self.store.read().await?;
        let mut scan = listing.scan();
        while let Some(slice) = scan.next() {
            let part = read.audit(slice, newest_first).await?;
            let shown: Vec<Value> = part
                .items
                .iter()
                .filter(|event| is_shown(caller, event))
                .map(resource::audit_event)
                .collect();
            scan.take(shown, part.next);
        }
        Ok(scan.end())
    }
}

fn is_shown(caller: &Caller, event: &AuditEvent) -> bool {
    match &event.consumer {
        Some(consumer) => caller.sees(Permission::ReadAudit, consumer),
        None => caller.sees_all(Permission::ReadAudit),
    }
}
