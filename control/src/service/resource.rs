//! Resources as the API shows them and as the trail keeps them: AIP names, lowerCamelCase members,
//! RFC 3339 times. Never a secret, never a digest. A member without a value is absent.

use mpgate_contract::{ConsumerId, KeyId, State};
use serde_json::{Map, Value, json};

use crate::model::{
    AuditEvent, Consumer, Gateway, KeyRecord, KeyState, KeyUse, Measure, Principal, Reconciliation,
    Seconds, StreamRecord, Token,
};
use crate::time::{to_seconds, to_text};

/// A JSON object whose `null`s and empty lists are left out.
fn object(members: Value) -> Value {
    let Value::Object(members) = members else { return members };
    let told = |value: &Value| !value.is_null() && value.as_array().is_none_or(|it| !it.is_empty());
    Value::Object(members.into_iter().filter(|(_, value)| told(value)).collect::<Map<_, _>>())
}

fn life(active: bool, end: &'static str) -> &'static str {
    if active { "ACTIVE" } else { end }
}

/// A measurement consumer.
pub(super) fn consumer(consumer: &Consumer) -> Value {
    object(json!({
        "name": format!("measurementConsumers/{}", consumer.id),
        "displayName": consumer.display_name,
        "state": life(consumer.delete_time.is_none(), "DELETED"),
        "createTime": to_text(consumer.create_time),
        "deleteTime": consumer.delete_time.map(to_text),
        "etag": format!("v{}", consumer.version),
    }))
}

/// A data stream.
pub(super) fn stream(record: &StreamRecord) -> Value {
    let stream = &record.stream;
    object(json!({
        "name": format!("measurementConsumers/{}/dataStreams/{}", stream.consumer, stream.id),
        "streamId": stream.id,
        "displayName": record.display_name,
        "environment": stream.environment,
        "mode": stream.mode,
        "protocolRules": stream.protocol_rules,
        "silent": stream.silent,
        "upstreamSecret": stream.upstream_secret.to_string(),
        "state": life(record.state == State::Active, "REVOKED"),
        "revision": record.revision,
        "createTime": to_text(record.create_time),
        "updateTime": to_text(record.update_time),
        "etag": format!("r{}", record.revision),
    }))
}

/// The full name of a key.
pub(super) fn key_name(record: &KeyRecord, id: &KeyId) -> String {
    format!("measurementConsumers/{}/apiKeys/{id}", record.consumer)
}

/// An API key.
pub(super) fn key(record: &KeyRecord, now: Seconds) -> Value {
    let grant = &record.grant;
    let name = |id: &KeyId| key_name(record, id);
    object(json!({
        "name": name(&grant.key_id),
        "nickname": record.nickname,
        "description": record.description,
        "sender": grant.sender,
        "environment": record.environment,
        "dataStreams": grant.streams,
        "events": grant.events,
        "sourceNetworks": grant.source_networks,
        "certificateNames": grant.certificate_names,
        "notBefore": grant.not_before.and_then(|time| Seconds::try_from(time).ok()).map(to_text),
        "expireTime": record.end().map(to_text),
        "state": key_state(record, now),
        "origin": record.origin.label(),
        "predecessor": record.predecessor.as_ref().map(name),
        "successor": record.successor.as_ref().map(name),
        "revision": record.revision,
        "createTime": to_text(record.create_time),
        "revokeTime": record.revoke_time.map(to_text),
        "etag": format!("r{}", record.revision),
    }))
}

fn key_state(record: &KeyRecord, now: Seconds) -> &'static str {
    match record.state {
        KeyState::Revoked => "REVOKED",
        KeyState::Disabled => "DISABLED",
        KeyState::Active if record.is_expired(now) => "EXPIRED",
        KeyState::Active => "ACTIVE",
    }
}

/// An API key with what the gates saw of it, and what that advises.
pub(super) fn seen_key(
    record: &KeyRecord,
    key_use: KeyUse,
    advice: &[&'static str],
    now: Seconds,
) -> Value {
    let mut resource = key(record, now);
    let seen = object(json!({
        "lastUseTime": key_use.last_accept_time.map(to_text),
        "lastRefuseTime": key_use.last_refuse_time.map(to_text),
        "advice": advice,
    }));
    if let (Value::Object(members), Value::Object(seen)) = (&mut resource, seen) {
        members.extend(seen);
    }
    resource
}

/// A principal, and when the last of its tokens ends by itself.
pub(super) fn principal(principal: &Principal, token_end: Option<Seconds>) -> Value {
    let consumers = principal.consumers.iter().map(|id| format!("measurementConsumers/{id}"));
    object(json!({
        "name": format!("principals/{}", principal.id),
        "displayName": principal.display_name,
        "role": principal.role.label(),
        "measurementConsumers": consumers.collect::<Vec<_>>(),
        "environment": principal.environment,
        "state": life(principal.revoke_time.is_none(), "REVOKED"),
        "createTime": to_text(principal.create_time),
        "expireTime": token_end.map(to_text),
        "revokeTime": principal.revoke_time.map(to_text),
        "etag": format!("v{}", principal.version),
    }))
}

/// One of a principal's tokens.
pub(super) fn token(token: &Token, now: Seconds) -> Value {
    let state = match (token.revoke_time, token.is_in_force(now)) {
        (Some(_), _) => "REVOKED",
        (None, true) => "ACTIVE",
        (None, false) => "EXPIRED",
    };
    object(json!({
        "name": format!("principals/{}/tokens/{}", token.principal, token.id),
        "state": state,
        "createTime": to_text(token.create_time),
        "expireTime": token.expire_time.map(to_text),
        "revokeTime": token.revoke_time.map(to_text),
        "lastUseTime": token.last_use_time.map(to_text),
    }))
}

/// One event of the trail.
pub(super) fn audit_event(event: &AuditEvent) -> Value {
    object(json!({
        "name": format!("auditEvents/{}", event.ordinal),
        "time": to_text(event.time),
        "principal": event.principal.as_ref().map(|id| format!("principals/{id}")),
        "source": event.source,
        "action": event.action.label(),
        "resource": event.resource,
        "measurementConsumer":
            event.consumer.as_ref().map(|id| format!("measurementConsumers/{id}")),
        "status": event.denial.as_ref().map(|_| "PERMISSION_DENIED"),
        "method": event.denial.as_ref().map(|denial| &denial.method),
        "count": event.denial.as_ref().map(|denial| denial.count),
        "requestId": event.request_id,
        "revision": event.revision,
        "before": event.before,
        "after": event.after,
    }))
}

/// A gateway, as it last spoke. Of the consumers it serves, only these are named: the rest is not for
/// everybody to know.
pub(super) fn gateway(
    gateway: &Gateway,
    served: Vec<&ConsumerId>,
    head: u64,
    state: &str,
) -> Value {
    let consumers = served.into_iter().map(|id| format!("measurementConsumers/{id}"));
    object(json!({
        "name": format!("gateways/{}", gateway.id),
        "principal": format!("principals/{}", gateway.id.principal),
        "instance": gateway.id.instance,
        "gate": gateway.id.gate,
        "node": gateway.node,
        "version": gateway.version,
        "capabilities": gateway.capabilities,
        "environment": gateway.scope.environment,
        "measurementConsumers": consumers.collect::<Vec<_>>(),
        "revision": gateway.revision,
        "lag": head.saturating_sub(gateway.revision),
        "lastSeenTime": to_text(to_seconds(gateway.last_seen_millis)),
        "state": state,
    }))
}

/// A total beside what the gates had counted.
pub(super) fn reconciliation(one: &Reconciliation) -> Value {
    let gap = |posted: i64, counted: Option<i64>| counted.map(|it| posted.saturating_sub(it));
    let (state, reason) = match one.measure {
        Measure::Measured => ("MEASURED", None),
        Measure::Partly => ("PARTLY_MEASURED", None),
        Measure::BodiesNotRead => ("UNMEASURED", Some("BODIES_NOT_READ")),
        Measure::EventNotNamed => ("UNMEASURED", Some("EVENT_NOT_NAMED")),
    };
    let values = one.values.iter().map(|value| {
        object(json!({
            "currency": value.currency,
            "valueMicros": value.micros,
            "gateValueMicros": value.gate_micros,
            "gapValueMicros": gap(value.micros, value.gate_micros),
        }))
    });
    object(json!({
        "sender": one.of.sender,
        "stream": one.of.stream,
        "event": one.event,
        "day": crate::time::to_day(one.of.day),
        "state": state,
        "unmeasuredReason": reason,
        "count": one.count,
        "gateCount": one.gate_count,
        "gapEvents": gap(one.count, one.gate_count),
        "completenessRatio": one.completeness(),
        "values": values.collect::<Vec<_>>(),
        "principal": format!("principals/{}", one.principal),
        "reconcileTime": to_text(one.reconcile_time),
    }))
}
