//! `CreateApiKey` and `DeleteApiKey`: the order of the checks, the words of a request, the answer.
//!
//! The order is that of the API this is compatible with: who calls, whether the name can be read, whether
//! the caller may, whether the rest is right, whether it is there. So nobody is told what exists who may
//! not know.

use std::time::Instant;

use axum::http::{HeaderMap, HeaderValue};
use mpgate_contract::{ConsumerId, KeyId};
use tonic::{Code, Request, Response, Status};
use tracing::Instrument as _;

use super::backend::{Backend, NewKey};
use super::sender::{environment, sender};
use super::status::{Refused, Subject};
use super::wire::api_keys_server::ApiKeys;
use super::wire::{ApiKey, CreateApiKeyRequest, DeleteApiKeyRequest};
use crate::api::input::{DESCRIPTION_CHARS_MAX, DISPLAY_NAME_CHARS_MAX};
use crate::api::observe::{CalledBy, request_id};
use crate::api::trace::TraceParent;
use crate::problem::{Problem, Reason};
use crate::service::{Caller, Permission};
use crate::traces;

/// The id of a call, for its answer, the log and the trail.
const REQUEST_ID: &str = "x-request-id";

/// The service.
pub(super) struct Methods {
    backend: Backend,
}

impl Methods {
    pub(super) fn new(backend: Backend) -> Self {
        Self { backend }
    }

    /// Does a call in a task of its own: a panic ends it and nothing else, and a change that was begun goes
    /// on when its caller hangs up, so that what was committed is also announced.
    async fn call<M, F>(
        &self,
        method: &'static str,
        request: Request<M>,
        work: impl FnOnce(Call, M) -> F,
    ) -> Result<Response<ApiKey>, Status>
    where
        F: Future<Output = Result<ApiKey, Refused>> + Send + 'static,
    {
        let started = Instant::now();
        let (metadata, extensions, message) = request.into_parts();
        let metadata = metadata.into_headers();
        let id = request_id(&metadata);
        let parent = TraceParent::of(&metadata);
        let span = traces::rpc_span(method, &id, parent.as_ref());
        let called_by = CalledBy::default();
        let call = Call {
            backend: self.backend.clone(),
            metadata,
            extensions,
            id: id.clone(),
            called_by: called_by.clone(),
        };
        let answer = tokio::spawn(work(call, message).instrument(span.clone()))
            .await
            .unwrap_or_else(|_| Err(Refused::new(&Problem::internal(), None)));
        let code = answer.as_ref().err().map_or(Code::Ok, |refused| refused.status.code());
        self.backend.metrics().grpc(method, word(code));
        let principal = called_by.name();
        traces::called(&span, code, principal);
        let trace_id = traces::id(&span, parent.as_ref());
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if matches!(code, Code::Internal | Code::Unavailable) {
            tracing::error!(
                request_id = id,
                trace_id,
                principal,
                method,
                code = ?code,
                duration_ms,
                "rpc"
            );
        } else if !answer.as_ref().is_err_and(|refused| refused.is_logged) {
            tracing::info!(
                request_id = id,
                trace_id,
                principal,
                method,
                code = ?code,
                duration_ms,
                "rpc"
            );
        }
        let mut answer = answer.map(Response::new).map_err(|refused| refused.status);
        if let Ok(value) = id.parse() {
            match &mut answer {
                Ok(response) => response.metadata_mut().insert(REQUEST_ID, value),
                Err(status) => status.metadata_mut().insert(REQUEST_ID, value),
            };
        }
        answer
    }
}

/// A code as gRPC's own documents write it.
const fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::Unknown => "UNKNOWN",
    }
}

#[tonic::async_trait]
impl ApiKeys for Methods {
    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<ApiKey>, Status> {
        self.call("CreateApiKey", request, |call, message| async move {
            let parent = message.parent.clone();
            let subject = Subject {
                reason: "MEASUREMENT_CONSUMER_NOT_FOUND",
                metadata: vec![("measurementConsumer", parent.as_str())],
            };
            call.create(message).await.map_err(|problem| Refused::new(&problem, Some(&subject)))
        })
        .await
    }

    async fn delete_api_key(
        &self,
        request: Request<DeleteApiKeyRequest>,
    ) -> Result<Response<ApiKey>, Status> {
        self.call("DeleteApiKey", request, |call, message| async move {
            let id = message.name.rsplit('/').next().unwrap_or_default();
            let subject = Subject {
                reason: "API_KEY_NOT_FOUND",
                metadata: vec![("apiKey", message.name.as_str()), ("externalApiKeyId", id)],
            };
            call.delete(&message.name)
                .await
                .map_err(|problem| Refused::new(&problem, Some(&subject)))
        })
        .await
    }
}

/// One call.
struct Call {
    backend: Backend,
    metadata: HeaderMap<HeaderValue>,
    extensions: tonic::Extensions,
    id: String,
    called_by: CalledBy,
}

impl Call {
    async fn caller(&self) -> Result<Caller, Problem> {
        let caller = self.backend.authenticate(&self.metadata, &self.extensions, &self.id).await?;
        self.called_by.is(&caller.principal.id);
        Ok(caller)
    }

    /// Whether the caller may change this consumer's keys. Who may not is in the trail.
    fn expect(
        &self,
        caller: &Caller,
        consumer: &ConsumerId,
        method: &str,
        resource: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        let allowed = caller.may_to(Permission::Write, consumer);
        if allowed.is_err() {
            self.backend.note_denied(caller, method, resource());
        }
        Ok(allowed?)
    }

    async fn create(self, message: CreateApiKeyRequest) -> Result<ApiKey, Problem> {
        let caller = self.caller().await?;
        let consumer = message
            .parent
            .strip_prefix("measurementConsumers/")
            .and_then(|id| ConsumerId::parse(id).ok())
            .ok_or_else(|| {
                let rule =
                    "The parent is the name of a measurement consumer: measurementConsumers/{id}.";
                Problem::field("parent", rule)
            })?;
        self.expect(&caller, &consumer, "CreateApiKey", || {
            format!("measurementConsumers/{consumer}/apiKeys")
        })?;
        let given = message.api_key.ok_or_else(|| {
            Problem::field("api_key", "api_key is required: a nickname at least.")
        })?;
        let nickname = words("api_key.nickname", given.nickname, DISPLAY_NAME_CHARS_MAX)?;
        if nickname.trim().is_empty() {
            return Err(Problem::field("api_key.nickname", "The nickname is blank; name the key."));
        }
        let new = NewKey {
            consumer,
            sender: sender(&self.metadata, &nickname)?,
            environment: environment(&self.metadata)?,
            nickname,
            description: words("api_key.description", given.description, DESCRIPTION_CHARS_MAX)?,
        };
        self.backend.create(&caller, new).await
    }

    async fn delete(self, name: &str) -> Result<ApiKey, Problem> {
        let caller = self.caller().await?;
        let (consumer, id) = key_name(name).ok_or_else(|| {
            let rule = "The name is that of an API key: measurementConsumers/{id}/apiKeys/{id}.";
            Problem::field("name", rule)
        })?;
        let id = KeyId::parse(id);
        self.expect(&caller, &consumer, "DeleteApiKey", || {
            let id = id.as_ref().map_or("-", KeyId::as_str);
            format!("measurementConsumers/{consumer}/apiKeys/{id}")
        })?;
        // What cannot be an id is not there.
        let id = id.map_err(|_| {
            Problem::new(Reason::NotFound, "The measurement consumer has no such API key.")
        })?;
        self.backend.delete(&caller, &consumer, &id).await
    }
}

fn key_name(name: &str) -> Option<(ConsumerId, &str)> {
    let (consumer, key) = name.strip_prefix("measurementConsumers/")?.split_once("/apiKeys/")?;
    let readable = !key.is_empty() && !key.contains('/');
    readable.then_some((ConsumerId::parse(consumer).ok()?, key))
}

/// Words for people, by the rule that HTTP has for them.
fn words(field: &str, text: String, chars_max: usize) -> Result<String, Problem> {
    crate::api::input::expect_words(&text, chars_max)
        .map_err(|detail| Problem::field(field, detail))?;
    Ok(text)
}
