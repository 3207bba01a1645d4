//! What each operator of Envoy's formats prints: a query and what may be a secret, or neither.

/// An operator as a format has it: `%REQ(:METHOD)%`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operator<'a> {
    name: &'a str,
    argument: Option<&'a str>,
}

/// What it prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prints {
    /// Neither a query nor a secret.
    Harmless,
    /// A path with its query, or a part of the query.
    Query,
    /// What may be a secret by itself.
    Secret,
    /// Nobody here knows.
    Unknown,
}

/// Beside all that begin with `DOWNSTREAM_` or `UPSTREAM_`, which are about connections.
const HARMLESS: &[&str] = &[
    "ACCESS_LOG_TYPE",
    "BYTES_RECEIVED",
    "BYTES_RETRANSMITTED",
    "BYTES_SENT",
    "CLUSTER_METADATA",
    "COMMON_DURATION",
    "CONNECTION_ID",
    "CONNECTION_TERMINATION_DETAILS",
    "CUSTOM_FLAGS",
    "DURATION",
    "DYNAMIC_METADATA",
    "EMIT_TIME",
    "EMIT_TIME_LOCAL",
    "FILTER_CHAIN_NAME",
    "FILTER_STATE",
    "GRPC_STATUS",
    "GRPC_STATUS_NUMBER",
    "HOSTNAME",
    "LOCAL_REPLY_BODY",
    "METADATA",
    "PACKETS_RETRANSMITTED",
    "PROTOCOL",
    "REQUESTED_SERVER_NAME",
    "REQUEST_DURATION",
    "REQUEST_HEADERS_BYTES",
    "REQUEST_TX_DURATION",
    "RESP",
    "RESPONSE_CODE",
    "RESPONSE_CODE_DETAILS",
    "RESPONSE_DURATION",
    "RESPONSE_FLAGS",
    "RESPONSE_FLAGS_LONG",
    "RESPONSE_HEADER",
    "RESPONSE_HEADERS_BYTES",
    "RESPONSE_TRAILER",
    "RESPONSE_TRAILERS_BYTES",
    "RESPONSE_TX_DURATION",
    "ROUNDTRIP_DURATION",
    "ROUTE_NAME",
    "SPAN_ID",
    "START_TIME",
    "START_TIME_LOCAL",
    "STREAM_ID",
    "TLS_JA3_FINGERPRINT",
    "TLS_JA4_FINGERPRINT",
    "TRACE_ID",
    "TRAILER",
    "UNIQUE_ID",
    "VIRTUAL_CLUSTER_NAME",
];

impl<'a> Operator<'a> {
    /// All of a format. What is no operator is text.
    pub(super) fn all(format: &'a str) -> Vec<Self> {
        let (mut all, mut rest) = (Vec::new(), format);
        while let Some((_, after)) = rest.split_once('%') {
            rest = match Self::parse(after) {
                Some((operator, after)) => {
                    all.push(operator);
                    after
                }
                // Two of them are one, as text.
                None => after.strip_prefix('%').unwrap_or(after),
            };
        }
        all
    }

    /// Reads what follows a `%`, and what follows it.
    fn parse(text: &'a str) -> Option<(Self, &'a str)> {
        let is_of_names = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_';
        let (name, rest) = text.split_at_checked(text.find(|it| !is_of_names(it))?)?;
        if name.is_empty() {
            return None;
        }
        let Some(inside) = rest.strip_prefix('(') else {
            return Some((Self { name, argument: None }, end(rest)?));
        };
        inside.match_indices(')').find_map(|(at, _)| {
            let (argument, rest) = inside.split_at_checked(at)?;
            let rest = end(rest.strip_prefix(')')?)?;
            Some((Self { name, argument: Some(argument) }, rest))
        })
    }

    pub(super) fn prints(&self) -> Prints {
        let argument = self.argument.unwrap_or_default();
        match self.name {
            "REQ" | "REQUEST_HEADER" => header(argument),
            "REQ_WITHOUT_QUERY" | "ENVIRONMENT" if may_be_secret(argument) => Prints::Secret,
            "REQ_WITHOUT_QUERY" | "ENVIRONMENT" => Prints::Harmless,
            "PATH" if argument.split(':').next() == Some("NQ") => Prints::Harmless,
            "QUERY_PARAM" if matches!(argument, "measurement_id" | "firebase_app_id") => {
                Prints::Harmless
            }
            "PATH" | "QUERY_PARAM" | "QUERY_PARAMS" => Prints::Query,
            "CEL" => expression(argument),
            name if HARMLESS.contains(&name) => Prints::Harmless,
            name if name.starts_with("DOWNSTREAM_") || name.starts_with("UPSTREAM_") => {
                Prints::Harmless
            }
            _ => Prints::Unknown,
        }
    }
}

impl std::fmt::Display for Operator<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.argument {
            Some(argument) => write!(out, "%{}({argument})%", self.name),
            None => write!(out, "%{}%", self.name),
        }
    }
}

/// What follows an operator: a length, or none, and its `%`.
fn end(text: &str) -> Option<&str> {
    let rest = match text.strip_prefix(':') {
        Some(length) => length.trim_start_matches(|it: char| it.is_ascii_digit()),
        None => text,
    };
    rest.strip_prefix('%')
}

/// A request header, or the other one where that is absent: `X-ENVOY-ORIGINAL-PATH?:PATH`.
fn header(names: &str) -> Prints {
    let lower = names.to_ascii_lowercase();
    let says = ["path", "uri", "url", "query", "referer", "referrer"];
    match says.iter().any(|word| lower.contains(word)) {
        true => Prints::Query,
        false if may_be_secret(names) => Prints::Secret,
        false => Prints::Harmless,
    }
}

/// Whether a header or a variable is called what a secret would be.
fn may_be_secret(names: &str) -> bool {
    let names = names.to_ascii_lowercase();
    ["authorization", "cookie", "password", "secret", "token"].iter().any(|it| names.contains(it))
}

/// An expression of CEL: of the request it may read what has neither path nor headers in it.
fn expression(text: &str) -> Prints {
    const HARMLESS: [&str; 9] =
        ["duration", "host", "id", "method", "protocol", "scheme", "size", "time", "total_size"];
    let is_of_names = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("request") {
        rest = after;
        // `requested_server_name` is another word, and a connection's.
        if before.ends_with(is_of_names) || after.starts_with(is_of_names) {
            continue;
        }
        let member = after.strip_prefix('.').and_then(|it| it.split(|it| !is_of_names(it)).next());
        if member.is_none_or(|member| !HARMLESS.contains(&member)) {
            return Prints::Query;
        }
    }
    Prints::Harmless
}

#[cfg(test)]
mod tests {
    use super::Prints::{Harmless, Query, Secret, Unknown};
    use super::*;

    /// Rows: an operator, and what it prints.
    #[test]
    fn every_operator_is_known_for_what_it_prints() {
        for (format, prints) in [
            ("%REQ(:PATH)%", Query),
            ("%REQ(:path):20%", Query),
            ("%REQ(X-FORWARDED-URI?:PATH)%", Query),
            ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", Query),
            ("%REQ(X-ORIGINAL-URL)%", Query),
            ("%REQ(Referer)%", Query),
            ("%REQUEST_HEADER(:PATH)%", Query),
            ("%REQ(AUTHORIZATION)%", Secret),
            ("%REQ(x-api-secret?user-agent)%", Secret),
            ("%REQ(:METHOD)%", Harmless),
            ("%REQ(X-REQUEST-ID)%", Harmless),
            ("%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH):40%", Harmless),
            ("%REQ_WITHOUT_QUERY(AUTHORIZATION)%", Secret),
            ("%PATH%", Query),
            ("%PATH()%", Query),
            ("%PATH(:PATH)%", Query),
            ("%PATH(WQ:ORIG)%", Query),
            ("%PATH(NQ:PATH):17%", Harmless),
            ("%PATH(NQ)%", Harmless),
            ("%QUERY_PARAM(api_secret)%", Query),
            ("%QUERY_PARAM(measurement_id)%", Harmless),
            ("%QUERY_PARAMS(ORIG)%", Query),
            ("%CEL(request.path)%", Query),
            ("%CEL(request.query)%", Query),
            ("%CEL(request.headers[':path'])%", Query),
            ("%CEL(request['path'])%", Query),
            ("%CEL(request)%", Query),
            ("%CEL(string(request.url_path) + request.path)%", Query),
            ("%CEL(request.method)%", Harmless),
            ("%CEL(connection.requested_server_name)%", Harmless),
            ("%ENVIRONMENT(GA4_API_SECRET)%", Secret),
            ("%ENVIRONMENT(POD_NAME)%", Harmless),
            ("%START_TIME(%Y/%m/%dT%H:%M:%S%z)%", Harmless),
            ("%UPSTREAM_HOST%", Harmless),
            ("%FILTER_STATE(wasm.mpgate.sender:PLAIN)%", Harmless),
            ("%COALESCE({\"operators\": [\"PATH\"]})%", Unknown),
            ("%WHATEVER%", Unknown),
        ] {
            let all = Operator::all(format);
            let [operator] = &*all else { panic!("{format}: {all:?}") };
            assert_eq!(operator.prints(), prints, "{format}");
        }
    }

    #[test]
    fn a_format_is_operators_and_text() {
        let all =
            |format| Operator::all(format).iter().map(ToString::to_string).collect::<Vec<_>>();
        for (format, operators) in [
            ("[%START_TIME%] %PATH(NQ:PATH):17%\n", &["%START_TIME%", "%PATH(NQ:PATH)%"][..]),
            ("100%% %PATH%", &["%PATH%"]),
            ("%%PATH%%", &[]),
            ("%E2%82%AC %s %d %", &["%E2%"]),
            ("%REQ(:PATH) %REQ(:METHOD)%", &["%REQ(:PATH) %REQ(:METHOD)%"]),
            ("%PATH", &[]),
            ("%CEL(f(request.path))%%PATH%", &["%CEL(f(request.path))%", "%PATH%"]),
        ] {
            assert_eq!(all(format), operators, "{format}");
        }
    }
}
