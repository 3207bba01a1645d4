//! W3C Trace Context: which trace of the caller's a request belongs to. Log, trail and spans are told.

use axum::http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The caller's span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    /// 32 hexadecimal digits, not all 0.
    trace: String,
    context: SpanContext,
}

impl TraceParent {
    /// The one that `traceparent` names, if it is there once and is right.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        Self::parse(value.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (span, flags) = (parts.next()?, parts.next()?);
        // A later version may have more behind it, this one has not.
        let ends = version != "00" || parts.next().is_none();
        let is_hex = |text: &str, length: usize| {
            text.len() == length
                && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let is_shaped =
            is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
        let is_set = |text: &str| text.bytes().any(|byte| byte != b'0');
        let is_good = is_shaped && ends && version != "ff" && is_set(trace) && is_set(span);
        if !is_good {
            return None;
        }
        let context = SpanContext::new(
            TraceId::from_hex(trace).ok()?,
            SpanId::from_hex(span).ok()?,
            TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
            true,
            TraceState::NONE,
        );
        Some(Self { trace: trace.to_owned(), context })
    }

    /// The digits of the trace's id.
    pub(crate) fn trace_id(&self) -> &str {
        &self.trace
    }

    /// The caller's span, as a parent of ours.
    pub(crate) fn context(&self) -> &SpanContext {
        &self.context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_trace_is_left_alone() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for (text, is_good) in [
            (format!("00-{trace}-{span}-01"), true),
            (format!("00-{trace}-{span}-00"), true),
            (format!("cc-{trace}-{span}-01-what-comes"), true),
            (format!("00-{trace}-{span}-01-more"), false),
            (format!("ff-{trace}-{span}-01"), false),
            (format!("00-{}-{span}-01", trace.to_uppercase()), false),
            (format!("00-{}-{span}-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (format!("00-{trace}-{span}"), false),
            (format!("00-{trace}x-{span}-01"), false),
            (String::new(), false),
        ] {
            let found = TraceParent::parse(&text);
            let id = found.as_ref().map(TraceParent::trace_id);
            assert_eq!(id, is_good.then_some(trace), "{text}");
            let is_sampled = found.is_some_and(|parent| parent.context.is_sampled());
            assert_eq!(is_sampled, is_good && !text.ends_with("-00"), "{text}");
        }
    }
}
