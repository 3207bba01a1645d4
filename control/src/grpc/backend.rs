//! Where the calls go: the authentication and the rules that HTTP has.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use mpgate_contract::{ConsumerId, Environment, KeyId, SenderName};
use serde_json::Value;

use super::wire::ApiKey;
use crate::api::App;
use crate::api::auth;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::service::{self, Caller, Mutation, Outcome, Streams};

/// The service's full name, before that of a method.
const SERVICE: &str = "wfa.measurement.api.v2alpha.ApiKeys";

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

impl Backend {
    pub(super) fn new(app: App) -> Self {
        Self { app }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.app.metrics
    }

    pub(super) async fn authenticate(
        &self,
        metadata: &HeaderMap,
        extensions: &tonic::Extensions,
        request_id: &str,
    ) -> Result<Caller, Problem> {
        let source: Option<IpAddr> =
            extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        auth::authenticate(&self.app, metadata, source, request_id.to_owned()).await
    }

    /// The caller was told that it may not.
    pub(super) fn note_denied(&self, caller: &Caller, method: &str, resource: String) {
        self.app.service.note_denied(caller, format!("{SERVICE}/{method}"), resource);
    }

    pub(super) async fn create(&self, caller: &Caller, new: NewKey) -> Result<ApiKey, Problem> {
        let mutation = Mutation { caller, once: None, etag: None };
        let key = service::NewKey {
            consumer: new.consumer,
            sender: new.sender,
            streams: Streams::AllOf(new.environment),
            events: vec![],
            source_networks: vec![],
            certificate_names: vec![],
            not_before: None,
            expire_time: None,
            nickname: new.nickname,
            description: new.description,
        };
        Ok(message(&self.app.service.create_key(&mutation, key).await?))
    }

    pub(super) async fn delete(
        &self,
        caller: &Caller,
        consumer: &ConsumerId,
        id: &KeyId,
    ) -> Result<ApiKey, Problem> {
        let mutation = Mutation { caller, once: None, etag: None };
        Ok(message(&self.app.service.revoke_key(&mutation, consumer, id).await?))
    }
}

fn message(outcome: &Outcome) -> ApiKey {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // The way out that HTTP takes: what the secret serialises to is its text.
    let secret = outcome.secret.as_ref().and_then(|secret| serde_json::to_value(secret).ok());
    ApiKey {
        name: text(&outcome.resource["name"]),
        nickname: text(&outcome.resource["nickname"]),
        description: text(&outcome.resource["description"]),
        authentication_key: secret.as_ref().map(text).unwrap_or_default(),
    }
}
