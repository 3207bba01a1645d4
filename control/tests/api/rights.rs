//! Who may do what, and what is left of it: roles, lives of keys, repeated requests, the trail, tokens
//! and what each gateway is given.

mod adoption;
mod ceilings;
mod denied;
mod filters;
mod gateways;
mod repeats;
mod roles;
mod rotation;
mod rpc;
mod scopes;
mod token_ends;
mod tokens;
mod trail;

use serde_json::{Value, json};

use crate::harness::{Answer, Control};

/// The one that the owner and the bound viewer of these tests are bound to.
pub(crate) const ACME: &str = "/v1/measurementConsumers/acme";

/// Somebody else's.
pub(crate) const OTHER: &str = "/v1/measurementConsumers/other";

/// A member that is a string.
pub(crate) fn text<'a>(resource: &'a Value, member: &str) -> &'a str {
    resource[member].as_str().unwrap_or_else(|| panic!("no {member} in {resource}"))
}

/// The path of a resource.
pub(crate) fn path(resource: &Value) -> String {
    format!("/v1/{}", text(resource, "name"))
}

/// The names in a list.
pub(crate) fn names(list: &Value, member: &str) -> Vec<String> {
    let items = list[member].as_array().unwrap_or_else(|| panic!("no {member} in {list}"));
    items.iter().map(|item| text(item, "name").to_owned()).collect()
}

impl Control {
    /// Consumers `acme` and `other`, each with a production stream: `G-A` and `G-O`.
    pub(crate) async fn two_tenants(&self) {
        self.acme().await;
        self.post("/v1/measurementConsumers?measurementConsumerId=other", json!({})).await.done();
        self.stream("G-A").await;
        self.stream_of(OTHER, "G-O", "production").await;
    }

    pub(crate) async fn stream_of(&self, consumer: &str, id: &str, environment: &str) -> Value {
        let body = json!({"streamId": id, "environment": environment, "upstreamSecret": "none"});
        self.post(&format!("{consumer}/dataStreams"), body).await.done()
    }

    pub(crate) async fn key_of(&self, consumer: &str, sender: &str, stream: &str) -> Value {
        let body = json!({"sender": sender, "dataStreams": [stream]});
        self.post(&format!("{consumer}/apiKeys"), body).await.done()
    }

    /// A new principal's token; `consumers` are ids.
    pub(crate) async fn token(&self, id: &str, role: &str, consumers: &[&str]) -> String {
        let mut body = json!({"principalId": id, "role": role});
        if !consumers.is_empty() {
            let names = consumers.iter().map(|id| format!("measurementConsumers/{id}"));
            body["measurementConsumers"] = names.collect::<Vec<_>>().into();
        }
        text(&self.post("/v1/principals", body).await.done(), "token").to_owned()
    }

    pub(crate) async fn as_(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let body = if matches!(method, "GET" | "HEAD" | "DELETE") { None } else { Some(body) };
        self.call(method, path, Some(token), body.as_ref()).await
    }

    /// The changes in the trail, newest first. What was denied comes into it a moment later.
    pub(crate) async fn trail(&self, token: &str) -> Vec<Value> {
        let changes = "filter=action%20%21%3D%20denied";
        let path = &format!("/v1/auditEvents?orderBy=time%20desc&pageSize=1000&{changes}");
        let list = self.call("GET", path, Some(token), None).await.done();
        list["auditEvents"].as_array().expect("a list").clone()
    }
}
