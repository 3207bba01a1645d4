//! One transaction as the rules see it: each method is one of the rooms beside this file.

use std::sync::Arc;

use async_trait::async_trait;
use mpgate_contract::{ConsumerId, Digest, Environment, KeyId, StreamId};
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::sync::watch;

use super::{
    CHANNEL, Health, audit, consumers, failure, feed, gateways, keys, lineage, principals,
    reconciliations, streams, usage,
};
use crate::model::{
    AuditEvent, Consumer, Gateway, GatewayId, KeyEnd, KeyRecord, KeyUse, Millis, Part, Principal,
    PrincipalEnd, Reconciliation, Scope, Seconds, SenderDay, Slice, StreamRecord, Token, TokenId,
    UsageCount, UsageQuery, UsageSum,
};
use crate::names::PrincipalId;
use crate::store::row::Columns as _;
use crate::store::{
    Count, DoneRequest, FeedRows, InUse, Read, Standing, StoreError, Stored, Write, announce,
};

/// A transaction; dropped, it changes nothing.
pub(super) struct Session {
    transaction: Transaction<'static, Postgres>,
    head: watch::Sender<Standing>,
    health: Arc<Health>,
    moved: bool,
}

impl Session {
    pub(super) fn new(
        transaction: Transaction<'static, Postgres>,
        head: watch::Sender<Standing>,
        health: Arc<Health>,
    ) -> Self {
        Self { transaction, head, health, moved: false }
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Who waits for the head is told after the commit.
    pub(super) fn mark_moved(&mut self) {
        self.moved = true;
    }

    pub(super) fn expect_version(&self, version: i32) -> Stored<()> {
        self.health.expect_version(version)
    }
}

#[async_trait]
impl Read for Session {
    async fn standing(&mut self) -> Stored<Standing> {
        let asked = async { Ok(lineage::look(&mut self.transaction).await?) };
        self.health.within(asked).await?.expect_same()
    }

    async fn count(&mut self, what: Count) -> Stored<u64> {
        self.health.within(consumers::count(&mut self.transaction, what)).await
    }

    async fn consumer(&mut self, id: &ConsumerId) -> Stored<Option<Consumer>> {
        self.health.within(consumers::find(&mut self.transaction, id)).await
    }

    async fn consumers(&mut self, slice: Slice) -> Stored<Part<Consumer>> {
        self.health.within(consumers::list(&mut self.transaction, slice)).await
    }

    async fn in_use(&mut self, consumer: &ConsumerId) -> Stored<InUse> {
        self.health.within(consumers::in_use(&mut self.transaction, consumer)).await
    }

    async fn stream(
        &mut self,
        consumer: &ConsumerId,
        id: &StreamId,
    ) -> Stored<Option<StreamRecord>> {
        self.health.within(streams::find(&mut self.transaction, consumer, id)).await
    }

    async fn active_stream(&mut self, id: &StreamId) -> Stored<Option<StreamRecord>> {
        self.health.within(streams::active(&mut self.transaction, id)).await
    }

    async fn streams(&mut self, consumer: &ConsumerId, slice: Slice) -> Stored<Part<StreamRecord>> {
        self.health.within(streams::list(&mut self.transaction, consumer, slice)).await
    }

    async fn grants_of(&mut self, id: &StreamId) -> Stored<u64> {
        self.health.within(streams::grants(&mut self.transaction, id)).await
    }

    async fn key(&mut self, consumer: &ConsumerId, id: &KeyId) -> Stored<Option<KeyRecord>> {
        self.health.within(keys::find(&mut self.transaction, consumer, id)).await
    }

    async fn keys(&mut self, consumer: &ConsumerId, slice: Slice) -> Stored<Part<KeyRecord>> {
        self.health.within(keys::list(&mut self.transaction, consumer, slice)).await
    }

    async fn has_digest(&mut self, digest: Digest) -> Stored<bool> {
        self.health.within(keys::has_digest(&mut self.transaction, digest)).await
    }

    async fn has_sender(&mut self, sender: &str) -> Stored<bool> {
        self.health.within(keys::has_sender(&mut self.transaction, sender)).await
    }

    async fn key_ends(&mut self, after: Seconds, limit: u32) -> Stored<Vec<KeyEnd>> {
        self.health.within(keys::ends(&mut self.transaction, after, limit)).await
    }

    async fn uses(&mut self, ids: &[KeyId]) -> Stored<Vec<KeyUse>> {
        self.health.within(keys::uses(&mut self.transaction, ids)).await
    }

    async fn places(&mut self, ids: &[KeyId]) -> Stored<Vec<Option<(ConsumerId, Environment)>>> {
        self.health.within(usage::places(&mut self.transaction, ids)).await
    }

    async fn usage(&mut self, query: &UsageQuery) -> Stored<Vec<UsageSum>> {
        self.health.within(usage::sums(&mut self.transaction, query)).await
    }

    async fn senders(&mut self, consumer: &ConsumerId) -> Stored<Vec<String>> {
        self.health.within(reconciliations::senders(&mut self.transaction, consumer)).await
    }

    async fn reconciliations(
        &mut self,
        consumer: &ConsumerId,
        slice: Slice,
    ) -> Stored<Part<Reconciliation>> {
        self.health.within(reconciliations::list(&mut self.transaction, consumer, slice)).await
    }

    async fn newest_reconciliations(&mut self, limit: u32) -> Stored<Vec<Reconciliation>> {
        self.health.within(reconciliations::newest(&mut self.transaction, limit)).await
    }

    async fn principal(&mut self, id: &PrincipalId) -> Stored<Option<Principal>> {
        self.health.within(principals::find(&mut self.transaction, id)).await
    }

    async fn principals(&mut self, slice: Slice) -> Stored<Part<Principal>> {
        self.health.within(principals::list(&mut self.transaction, slice)).await
    }

    async fn token(&mut self, digest: Digest) -> Stored<Option<(Principal, Token)>> {
        self.health.within(principals::by_digest(&mut self.transaction, digest)).await
    }

    async fn tokens(&mut self, principal: &PrincipalId) -> Stored<Vec<Token>> {
        self.health.within(principals::tokens(&mut self.transaction, principal)).await
    }

    async fn token_ends(&mut self, principals: &[PrincipalId]) -> Stored<Vec<Option<Seconds>>> {
        self.health.within(principals::token_ends(&mut self.transaction, principals)).await
    }

    async fn principal_ends(&mut self, after: Seconds, limit: u32) -> Stored<Vec<PrincipalEnd>> {
        self.health.within(principals::ends(&mut self.transaction, after, limit)).await
    }

    async fn audit(&mut self, slice: Slice, newest_first: bool) -> Stored<Part<AuditEvent>> {
        self.health.within(audit::list(&mut self.transaction, slice, newest_first)).await
    }

    async fn audit_event(&mut self, ordinal: u64) -> Stored<Option<AuditEvent>> {
        self.health.within(audit::find(&mut self.transaction, ordinal)).await
    }

    async fn change_time_after(&mut self, revision: u64) -> Stored<Option<Seconds>> {
        self.health.within(audit::time_after(&mut self.transaction, revision)).await
    }

    async fn request(
        &mut self,
        principal: &PrincipalId,
        request_id: &str,
    ) -> Stored<Option<DoneRequest>> {
        self.health.within(audit::request(&mut self.transaction, principal, request_id)).await
    }

    async fn now_millis(&mut self) -> Stored<Millis> {
        self.health.within(gateways::now_millis(&mut self.transaction)).await
    }

    async fn gateways(&mut self, since: Millis) -> Stored<Vec<Gateway>> {
        self.health.within(gateways::list(&mut self.transaction, since)).await
    }

    async fn feed(&mut self, after: u64, scope: &Scope, limit: u32) -> Stored<FeedRows> {
        self.health.within(feed::rows(&mut self.transaction, after, scope, limit)).await
    }
}

#[async_trait]
impl Write for Session {
    fn reader(&mut self) -> &mut dyn Read {
        self
    }

    async fn next_revision(&mut self) -> Stored<u64> {
        let asked = async {
            let row = sqlx::query("UPDATE allowlist SET head = head + 1 RETURNING head")
                .fetch_one(&mut *self.transaction)
                .await?;
            Ok(row.count("head")?)
        };
        let revision = self.health.within(asked).await?;
        self.moved = true;
        Ok(revision)
    }

    async fn set_epoch(&mut self, epoch: &str) -> Stored<()> {
        let asked = async {
            sqlx::query("UPDATE allowlist SET epoch = $1")
                .bind(epoch)
                .execute(&mut *self.transaction)
                .await?;
            Ok(())
        };
        self.health.within(asked).await?;
        self.moved = true;
        Ok(())
    }

    async fn insert_consumer(&mut self, consumer: &Consumer) -> Stored<()> {
        self.health.within(consumers::insert(&mut self.transaction, consumer)).await
    }

    async fn update_consumer(&mut self, consumer: &Consumer) -> Stored<()> {
        self.health.within(consumers::update(&mut self.transaction, consumer)).await
    }

    async fn insert_stream(&mut self, stream: &StreamRecord) -> Stored<()> {
        self.health.within(streams::insert(&mut self.transaction, stream)).await
    }

    async fn update_stream(&mut self, stream: &StreamRecord) -> Stored<()> {
        self.health.within(streams::update(&mut self.transaction, stream)).await
    }

    async fn insert_key(&mut self, key: &KeyRecord, digest: Digest) -> Stored<()> {
        self.health.within(keys::insert(&mut self.transaction, key, digest)).await
    }

    async fn update_key(&mut self, key: &KeyRecord) -> Stored<()> {
        self.health.within(keys::update(&mut self.transaction, key)).await
    }

    async fn add_uses(&mut self, uses: &[(KeyId, KeyUse)]) -> Stored<()> {
        self.health.within(keys::add_uses(&mut self.transaction, uses)).await
    }

    async fn take_report(
        &mut self,
        principal: &PrincipalId,
        vm: &str,
        sequence: u64,
        now: Seconds,
    ) -> Stored<bool> {
        self.health
            .within(usage::take_report(&mut self.transaction, principal, vm, sequence, now))
            .await
    }

    async fn add_usage(&mut self, counts: &[UsageCount]) -> Stored<()> {
        self.health.within(usage::add(&mut self.transaction, counts)).await
    }

    async fn put_reconciliations(
        &mut self,
        consumer: &ConsumerId,
        of: &SenderDay,
        all: &[Reconciliation],
    ) -> Stored<()> {
        self.health.within(reconciliations::put(&mut self.transaction, consumer, of, all)).await
    }

    async fn forget_usage(&mut self, hours: Seconds, vms: Seconds, limit: u32) -> Stored<u64> {
        self.health.within(usage::forget(&mut self.transaction, hours, vms, limit)).await
    }

    async fn insert_principal(&mut self, principal: &Principal) -> Stored<()> {
        self.health.within(principals::insert(&mut self.transaction, principal)).await
    }

    async fn update_principal(&mut self, principal: &Principal) -> Stored<()> {
        self.health.within(principals::update(&mut self.transaction, principal)).await
    }

    async fn insert_token(&mut self, token: &Token, digest: Digest) -> Stored<()> {
        self.health.within(principals::insert_token(&mut self.transaction, token, digest)).await
    }

    async fn update_token(&mut self, token: &Token) -> Stored<()> {
        self.health.within(principals::update_token(&mut self.transaction, token)).await
    }

    async fn touch_tokens(&mut self, uses: &[(TokenId, Seconds)]) -> Stored<()> {
        self.health.within(principals::touch_tokens(&mut self.transaction, uses)).await
    }

    async fn append(&mut self, event: &AuditEvent) -> Stored<u64> {
        self.health.within(audit::append(&mut self.transaction, event)).await
    }

    async fn put_request(
        &mut self,
        principal: &PrincipalId,
        request_id: &str,
        request: &DoneRequest,
        now: Seconds,
    ) -> Stored<()> {
        self.health
            .within(audit::put_request(&mut self.transaction, principal, request_id, request, now))
            .await
    }

    async fn forget_requests(&mut self, before: Seconds) -> Stored<()> {
        self.health.within(audit::forget_requests(&mut self.transaction, before)).await
    }

    async fn put_gateways(&mut self, gateways: &[Gateway]) -> Stored<()> {
        self.health.within(gateways::put(&mut self.transaction, gateways)).await
    }

    async fn forget_gateways(&mut self, before: Millis) -> Stored<Vec<GatewayId>> {
        self.health.within(gateways::forget(&mut self.transaction, before)).await
    }

    async fn crowd_out_gateways(&mut self, before: Millis, places: usize) -> Stored<()> {
        self.health.within(gateways::crowd_out(&mut self.transaction, before, places)).await
    }

    async fn commit(mut self: Box<Self>) -> Stored<()> {
        let standing = if self.moved { Some(self.standing().await?) } else { None };
        if standing.is_some() {
            let told = async {
                sqlx::query("SELECT pg_notify($1, '')")
                    .bind(CHANNEL)
                    .execute(&mut *self.transaction)
                    .await?;
                Ok(())
            };
            self.health.within(told).await?;
        }
        let Self { transaction, head, health, .. } = *self;
        let committed = async { Ok(transaction.commit().await?) };
        health.within(committed).await.map_err(|error| match error {
            StoreError::Unavailable(error) if failure::is_of_the_connection(&error) => {
                StoreError::Uncertain(error)
            }
            error => error,
        })?;
        if let Some(standing) = standing {
            announce(&head, standing);
        }
        Ok(())
    }
}
