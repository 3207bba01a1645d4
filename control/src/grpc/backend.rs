//! Where the calls go: authentication and the store, as HTTP has them.

use axum::http::HeaderMap;
use mpgate_contract::{ConsumerId, Environment, Grant, KeyId, SenderName, State, StreamId};

use super::wire::ApiKey;
use crate::api::App;
use crate::api::auth::{self, Permission};
use crate::api::problem::{Problem, Reason};
use crate::keys::{Shown, issue_key};
use crate::store::{KeyRecord, NewKey as StoredKey, Principal, Slice};
use crate::time;

/// Who calls.
pub(super) struct Caller(Principal);

/// A key to create.
pub(super) struct NewKey {
    pub(super) consumer: ConsumerId,
    pub(super) sender: SenderName,
    pub(super) environment: Environment,
    pub(super) nickname: String,
    pub(super) description: String,
}

#[derive(Clone)]
pub(super) struct Backend {
    app: App,
}

impl Caller {
    pub(super) fn may_write(&self, _: &ConsumerId) -> Result<(), Problem> {
        auth::expect_allowed(&self.0, Permission::Administer)
    }
}

impl Backend {
    pub(super) fn new(app: App) -> Self {
        Self { app }
    }

    pub(super) async fn authenticate(
        &self,
        metadata: &HeaderMap,
        _: &tonic::Extensions,
        _: &str,
    ) -> Result<Caller, Problem> {
        auth::authenticate(&self.app, metadata).await.map(Caller)
    }

    pub(super) async fn create(&self, _: &Caller, new: NewKey) -> Result<ApiKey, Problem> {
        let streams = self.streams(&new.consumer, new.environment).await?;
        let issued = issue_key()?;
        let key = StoredKey {
            consumer: &new.consumer,
            digest: issued.digest,
            grant: Grant {
                key_id: issued.id,
                sender: new.sender,
                streams,
                not_before: None,
                expire_time: None,
                events: vec![],
                source_networks: vec![],
                certificate_names: vec![],
                requires: vec![],
            },
            nickname: new.nickname,
            description: new.description,
        };
        let record = self.app.store.create_key(&key, time::now()).await?;
        Ok(resource(record, Some(&issued.secret)))
    }

    pub(super) async fn delete(
        &self,
        _: &Caller,
        consumer: &ConsumerId,
        id: &KeyId,
    ) -> Result<ApiKey, Problem> {
        let record = self.app.store.revoke_key(consumer, id, time::now()).await?;
        Ok(resource(record, None))
    }

    /// The active streams of the consumer in this environment.
    async fn streams(
        &self,
        consumer: &ConsumerId,
        environment: Environment,
    ) -> Result<Vec<StreamId>, Problem> {
        let mut streams = Vec::new();
        let mut next = Some(0);
        while let Some(after) = next {
            let slice = Slice { after, limit: 1_000, show_deleted: false };
            let part = self.app.store.streams(consumer, slice).await?;
            next = part.next;
            streams.extend(part.items.into_iter().filter_map(|record| {
                let wanted =
                    record.state == State::Active && record.stream.environment == environment;
                wanted.then_some(record.stream.id)
            }));
        }
        if streams.is_empty() {
            return Err(Problem::new(
                Reason::FailedPrecondition,
                format!(
                    "The measurement consumer has no data stream in the environment {}; create one first, or \
                     name another environment in the metadata x-mpgate-environment.",
                    environment.label()
                ),
            ));
        }
        Ok(streams)
    }
}

fn resource(record: KeyRecord, secret: Option<&Shown>) -> ApiKey {
    // The way out that HTTP takes: what it serialises to is its text.
    let shown = secret.and_then(|secret| serde_json::to_value(secret).ok());
    ApiKey {
        name: format!("measurementConsumers/{}/apiKeys/{}", record.consumer, record.grant.key_id),
        nickname: record.nickname,
        description: record.description,
        authentication_key: shown
            .and_then(|shown| shown.as_str().map(str::to_owned))
            .unwrap_or_default(),
    }
}
