//! One transaction as the rules see it: each method is one of the rooms beside this file.

use async_trait::async_trait;
use mpgate_contract::{ConsumerId, Digest, Environment, KeyId, StreamId};
use sqlx::{Row as _, Sqlite, Transaction};
use tokio::sync::watch;

use super::{audit, consumers, feed, gateways, keys, principals, reconciliations, streams, usage};
use crate::model::{
    AuditEvent, Consumer, Gateway, GatewayId, KeyEnd, KeyRecord, KeyUse, Millis, Part, Principal,
    PrincipalEnd, Reconciliation, Scope, Seconds, SenderDay, Slice, StreamRecord, Token, TokenId,
    UsageCount, UsageQuery, UsageSum,
};
use crate::names::PrincipalId;
use crate::store::{
    Count, DoneRequest, FeedRows, InUse, Read, Standing, Stored, Write, announce, row,
};
use crate::time;

/// A transaction; dropped, it changes nothing.
pub(super) struct Session {
    transaction: Transaction<'static, Sqlite>,
    head: watch::Sender<Standing>,
    moved: bool,
}

impl Session {
    pub(super) fn new(
        transaction: Transaction<'static, Sqlite>,
        head: watch::Sender<Standing>,
    ) -> Self {
        Self { transaction, head, moved: false }
    }
}

#[async_trait]
impl Read for Session {
    async fn standing(&mut self) -> Stored<Standing> {
        let row = sqlx::query("SELECT epoch, head FROM allowlist")
            .fetch_one(&mut *self.transaction)
            .await?;
        Ok(row::standing(&row)?)
    }

    async fn count(&mut self, what: Count) -> Stored<u64> {
        consumers::count(&mut self.transaction, what).await
    }

    async fn consumer(&mut self, id: &ConsumerId) -> Stored<Option<Consumer>> {
        consumers::find(&mut self.transaction, id).await
    }

    async fn consumers(&mut self, slice: Slice) -> Stored<Part<Consumer>> {
        consumers::list(&mut self.transaction, slice).await
    }

    async fn in_use(&mut self, consumer: &ConsumerId) -> Stored<InUse> {
        consumers::in_use(&mut self.transaction, consumer).await
    }

    async fn stream(
        &mut self,
        consumer: &ConsumerId,
        id: &StreamId,
    ) -> Stored<Option<StreamRecord>> {
        streams::find(&mut self.transaction, consumer, id).await
    }

    async fn active_stream(&mut self, id: &StreamId) -> Stored<Option<StreamRecord>> {
        streams::active(&mut self.transaction, id).await
    }

    async fn streams(&mut self, consumer: &ConsumerId, slice: Slice) -> Stored<Part<StreamRecord>> {
        streams::list(&mut self.transaction, consumer, slice).await
    }

    async fn grants_of(&mut self, id: &StreamId) -> Stored<u64> {
        streams::grants(&mut self.transaction, id).await
    }

    async fn key(&mut self, consumer: &ConsumerId, id: &KeyId) -> Stored<Option<KeyRecord>> {
        keys::find(&mut self.transaction, consumer, id).await
    }

    async fn keys(&mut self, consumer: &ConsumerId, slice: Slice) -> Stored<Part<KeyRecord>> {
        keys::list(&mut self.transaction, consumer, slice).await
    }

    async fn has_digest(&mut self, digest: Digest) -> Stored<bool> {
        keys::has_digest(&mut self.transaction, digest).await
    }

    async fn has_sender(&mut self, sender: &str) -> Stored<bool> {
        keys::has_sender(&mut self.transaction, sender).await
    }

    async fn key_ends(&mut self, after: Seconds, limit: u32) -> Stored<Vec<KeyEnd>> {
        keys::ends(&mut self.transaction, after, limit).await
    }

    async fn uses(&mut self, ids: &[KeyId]) -> Stored<Vec<KeyUse>> {
        keys::uses(&mut self.transaction, ids).await
    }

    async fn places(&mut self, ids: &[KeyId]) -> Stored<Vec<Option<(ConsumerId, Environment)>>> {
        usage::places(&mut self.transaction, ids).await
    }

    async fn usage(&mut self, query: &UsageQuery) -> Stored<Vec<UsageSum>> {
        usage::sums(&mut self.transaction, query).await
    }

    async fn senders(&mut self, consumer: &ConsumerId) -> Stored<Vec<String>> {
        reconciliations::senders(&mut self.transaction, consumer).await
    }

    async fn reconciliations(
        &mut self,
        consumer: &ConsumerId,
        slice: Slice,
    ) -> Stored<Part<Reconciliation>> {
        reconciliations::list(&mut self.transaction, consumer, slice).await
    }

    async fn newest_reconciliations(&mut self, limit: u32) -> Stored<Vec<Reconciliation>> {
        reconciliations::newest(&mut self.transaction, limit).await
    }

    async fn principal(&mut self, id: &PrincipalId) -> Stored<Option<Principal>> {
        principals::find(&mut self.transaction, id).await
    }

    async fn principals(&mut self, slice: Slice) -> Stored<Part<Principal>> {
        principals::list(&mut self.transaction, slice).await
    }

    async fn token(&mut self, digest: Digest) -> Stored<Option<(Principal, Token)>> {
        principals::by_digest(&mut self.transaction, digest).await
    }

    async fn tokens(&mut self, principal: &PrincipalId) -> Stored<Vec<Token>> {
        principals::tokens(&mut self.transaction, principal).await
    }

    async fn token_ends(&mut self, principals: &[PrincipalId]) -> Stored<Vec<Option<Seconds>>> {
        principals::token_ends(&mut self.transaction, principals).await
    }

    async fn principal_ends(&mut self, after: Seconds, limit: u32) -> Stored<Vec<PrincipalEnd>> {
        principals::ends(&mut self.transaction, after, limit).await
    }

    async fn audit(&mut self, slice: Slice, newest_first: bool) -> Stored<Part<AuditEvent>> {
        audit::list(&mut self.transaction, slice, newest_first).await
    }

    async fn audit_event(&mut self, ordinal: u64) -> Stored<Option<AuditEvent>> {
        audit::find(&mut self.transaction, ordinal).await
    }

    async fn change_time_after(&mut self, revision: u64) -> Stored<Option<Seconds>> {
        audit::time_after(&mut self.transaction, revision).await
    }

    async fn request(
        &mut self,
        principal: &PrincipalId,
        request_id: &str,
    ) -> Stored<Option<DoneRequest>> {
        audit::request(&mut self.transaction, principal, request_id).await
    }

    async fn now_millis(&mut self) -> Stored<Millis> {
        Ok(time::now_millis())
    }

    async fn gateways(&mut self, since: Millis) -> Stored<Vec<Gateway>> {
        gateways::list(&mut self.transaction, since).await
    }

    async fn feed(&mut self, after: u64, scope: &Scope, limit: u32) -> Stored<FeedRows> {
        feed::rows(&mut self.transaction, after, scope, limit).await
    }
}

#[async_trait]
impl Write for Session {
    fn reader(&mut self) -> &mut dyn Read {
        self
    }

    async fn next_revision(&mut self) -> Stored<u64> {
        let row = sqlx::query("UPDATE allowlist SET head = head + 1 RETURNING head")
            .fetch_one(&mut *self.transaction)
            .await?;
        self.moved = true;
        Ok(row.try_get("head")?)
    }

    async fn set_epoch(&mut self, epoch: &str) -> Stored<()> {
        sqlx::query("UPDATE allowlist SET epoch = ?")
            .bind(epoch)
            .execute(&mut *self.transaction)
            .await?;
        self.moved = true;
        Ok(())
    }

    async fn insert_consumer(&mut self, consumer: &Consumer) -> Stored<()> {
        consumers::insert(&mut self.transaction, consumer).await
    }

    async fn update_consumer(&mut self, consumer: &Consumer) -> Stored<()> {
        consumers::update(&mut self.transaction, consumer).await
    }

    async fn insert_stream(&mut self, stream: &StreamRecord) -> Stored<()> {
        streams::insert(&mut self.transaction, stream).await
    }

    async fn update_stream(&mut self, stream: &StreamRecord) -> Stored<()> {
        streams::update(&mut self.transaction, stream).await
    }

    async fn insert_key(&mut self, key: &KeyRecord, digest: Digest) -> Stored<()> {
        keys::insert(&mut self.transaction, key, digest).await
    }

    async fn update_key(&mut self, key: &KeyRecord) -> Stored<()> {
        keys::update(&mut self.transaction, key).await
    }

    async fn add_uses(&mut self, uses: &[(KeyId, KeyUse)]) -> Stored<()> {
        keys::add_uses(&mut self.transaction, uses).await
    }

    async fn take_report(
        &mut self,
        principal: &PrincipalId,
        vm: &str,
        sequence: u64,
        now: Seconds,
    ) -> Stored<bool> {
        usage::take_report(&mut self.transaction, principal, vm, sequence, now).await
    }

    async fn add_usage(&mut self, counts: &[UsageCount]) -> Stored<()> {
        usage::add(&mut self.transaction, counts).await
    }

    async fn put_reconciliations(
        &mut self,
        consumer: &ConsumerId,
        of: &SenderDay,
        all: &[Reconciliation],
    ) -> Stored<()> {
        reconciliations::put(&mut self.transaction, consumer, of, all).await
    }

    async fn forget_usage(&mut self, hours: Seconds, vms: Seconds, limit: u32) -> Stored<u64> {
        usage::forget(&mut self.transaction, hours, vms, limit).await
    }

    async fn insert_principal(&mut self, principal: &Principal) -> Stored<()> {
        principals::insert(&mut self.transaction, principal).await
    }

    async fn update_principal(&mut self, principal: &Principal) -> Stored<()> {
        principals::update(&mut self.transaction, principal).await
    }

    async fn insert_token(&mut self, token: &Token, digest: Digest) -> Stored<()> {
        principals::insert_token(&mut self.transaction, token, digest).await
    }

    async fn update_token(&mut self, token: &Token) -> Stored<()> {
        principals::update_token(&mut self.transaction, token).await
    }

    async fn touch_tokens(&mut self, uses: &[(TokenId, Seconds)]) -> Stored<()> {
        principals::touch_tokens(&mut self.transaction, uses).await
    }

    async fn append(&mut self, event: &AuditEvent) -> Stored<u64> {
        audit::append(&mut self.transaction, event).await
    }

    async fn put_request(
        &mut self,
        principal: &PrincipalId,
        request_id: &str,
        request: &DoneRequest,
        now: Seconds,
    ) -> Stored<()> {
        audit::put_request(&mut self.transaction, principal, request_id, request, now).await
    }

    async fn forget_requests(&mut self, before: Seconds) -> Stored<()> {
        audit::forget_requests(&mut self.transaction, before).await
    }

    async fn put_gateways(&mut self, gateways: &[Gateway]) -> Stored<()> {
        gateways::put(&mut self.transaction, gateways).await
    }

    async fn forget_gateways(&mut self, before: Millis) -> Stored<Vec<GatewayId>> {
        gateways::forget(&mut self.transaction, before).await
    }

    async fn crowd_out_gateways(&mut self, before: Millis, places: usize) -> Stored<()> {
        gateways::crowd_out(&mut self.transaction, before, places).await
    }

    async fn commit(mut self: Box<Self>) -> Stored<()> {
        let standing = if self.moved { Some(self.standing().await?) } else { None };
        self.transaction.commit().await?;
        if let Some(standing) = standing {
            announce(&self.head, standing);
        }
        Ok(())
    }
}
