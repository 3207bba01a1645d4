//! Where a request comes from: addresses that nobody can write into a header, and names in client
//! certificates that Envoy has verified.

use std::net::{IpAddr, SocketAddr, TcpStream};

use mpgate_testbed::http1::Http1;
use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{LISTENER_NAME, SHOP, Stack, purchase};
use mpgate_testbed::tls::{Authority, Certificate};
use mpgate_testbed::{EnvoyConfig, IssuedKey, Response, http1};
use serde_json::json;

use crate::terms;

fn networks(stack: &Stack, sender: &str, networks: &[&str]) -> IssuedKey {
    terms::key(stack, sender, &[SHOP], &json!({"sourceNetworks": networks}))
}

fn said(answer: &Response) -> (u16, String) {
    (answer.status, answer.reason())
}

#[test]
fn a_source_address_is_the_connections_own() {
    let stack = Stack::start().expect("a stack");
    let office = networks(&stack, "office", &["127.0.0.2", "192.0.2.0/24", "2001:db8::/32"]);
    let request = purchase(SHOP, &office.secret);
    let from = |source: &str| -> Http1<TcpStream> {
        let source: IpAddr = source.parse().expect("an address");
        Http1::connect_from(source, stack.envoy.address()).expect("a connection")
    };
    let refused = (403, "source_not_granted".to_owned());
    for forged in ["127.0.0.2", "192.0.2.7", "2001:db8::7", "192.0.2.7, 127.0.0.2", "127.0.0.2:80"]
    {
        let forged = request
            .clone()
            .header("x-forwarded-for", forged)
            .header("forwarded", format!("for={forged}"))
            .header("x-real-ip", forged)
            .header("true-client-ip", forged)
            .header("x-envoy-external-address", forged);
        assert_eq!(
            said(&from("127.0.0.1").send(&forged).expect("an answer")),
            refused,
            "{forged:?}"
        );
        let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
        assert_eq!(said(&http2.send(&forged).expect("an answer")), refused, "{forged:?}");
    }
    assert_eq!(from("127.0.0.2").send(&request).expect("an answer").status, 204);
    assert_eq!(said(&from("127.0.0.3").send(&request).expect("an answer")), refused);
    let away = request.header("x-forwarded-for", "203.0.113.1");
    assert_eq!(from("127.0.0.2").send(&away).expect("an answer").status, 204);
    assert_eq!(stack.collector.wait_for_events(2).expect("events").len(), 2);
}

#[test]
fn networks_of_both_families_as_a_balancer_tells_them() {
    let behind_a_balancer = |config: &mut EnvoyConfig| {
        let kind =
            "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
        config.listener()?["listener_filters"] = json!([{
            "name": "envoy.filters.listener.proxy_protocol",
            "typed_config": {"@type": kind},
        }]);
        Ok(())
    };
    let stack = Stack::builder().edit(behind_a_balancer).start().expect("a stack");
    let rows = [
        ("203.0.113.0/24", "203.0.113.0", true),
        ("203.0.113.0/24", "203.0.113.255", true),
        ("203.0.113.0/24", "203.0.114.0", false),
        ("203.0.113.7", "203.0.113.7", true),
        ("203.0.113.7", "203.0.113.8", false),
        ("203.0.113.0/24", "::ffff:203.0.113.7", true),
        ("::ffff:203.0.113.0/120", "203.0.113.7", true),
        ("::ffff:203.0.113.0/120", "::ffff:203.0.113.7", true),
        ("::ffff:203.0.113.0/120", "::ffff:203.0.114.7", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::", false),
        ("2001:db8::7", "2001:db8::7", true),
        ("2001:db8::7", "2001:db8::8", false),
        ("0.0.0.0/0", "2001:db8::7", false),
        ("::/0", "203.0.113.7", false),
        ("0.0.0.0/0", "::ffff:203.0.113.7", true),
    ];
    for (index, (network, source, granted)) in rows.into_iter().enumerate() {
        let key = networks(&stack, &format!("sender-{index}"), &[network]);
        let family = if source.contains(':') { "TCP6" } else { "TCP4" };
        let here = if source.contains(':') { "2001:db8::1" } else { "192.0.2.1" };
        let request = format!(
            "PROXY {family} {source} {here} 4711 80\r\n\
             POST /mp/collect?measurement_id={SHOP}&api_secret={} HTTP/1.1\r\nhost: gate\r\n\
             x-forwarded-for: 203.0.113.7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            key.secret
        );
        let answer = http1::send_bytes(stack.envoy.address(), request.as_bytes());
        let expected = if granted { (204, "") } else { (403, "source_not_granted") };
        let answer = answer.unwrap_or_else(|error| panic!("{source} in {network}: {error:#}"));
        assert_eq!((answer.status, &*answer.reason()), expected, "{source} in {network}");
    }
}

/// A stack that asks for client certificates and takes connections without one too.
fn asking_for_certificates(directory: &std::path::Path) -> Stack {
    let authority = directory.join("authority.crt");
    let asks = move |config: &mut EnvoyConfig| {
        let tls = "/filter_chains/0/transport_socket/typed_config/common_tls_context";
        let tls = config.listener()?.pointer_mut(tls).expect("a TLS context");
        tls["validation_context"] = json!({"trusted_ca": {"filename": authority}});
        Ok(())
    };
    let builder = Stack::builder().config("production.yaml").directory(directory);
    builder.edit(asks).start().expect("a stack")
}

#[test]
fn names_in_client_certificates() {
    let directory = mpgate_testbed::directory().expect("a directory");
    let stack = asking_for_certificates(directory.path());
    let (gate, authority) = (stack.envoy.address(), stack.authority().expect("an authority"));
    let named = |sender: &str, names: &[&str]| {
        terms::key(&stack, sender, &[SHOP], &json!({"certificateNames": names}))
    };
    let billing = "billing.example.com";
    let spiffe = "spiffe://example.com/billing";
    let dns = named("by-dns", &[billing]);
    let uri = named("by-uri", &[spiffe]);
    let either = named("by-either", &["other.example.com", spiffe]);
    let anybody = terms::key(&stack, "anybody", &[SHOP], &json!({}));

    let issue = |file: &str, names: &[&str]| -> Certificate {
        authority.issue_for("a sender", names, file).expect("a certificate")
    };
    let of_dns = issue("dns", &[billing]);
    let of_uri = issue("uri", &[spiffe]);
    let of_both = issue("both", &[spiffe, billing]);
    let of_other = issue("another", &["other.example.com"]);
    let of_nothing = authority.issue_for(billing, &[], "nothing").expect("a certificate");
    let of_second = issue("second", &["first.example.com", billing]);

    let rows: [(&str, &IssuedKey, Option<&Certificate>, bool); 15] = [
        ("no certificate", &dns, None, false),
        ("no certificate, and none asked for", &anybody, None, true),
        ("a certificate, and none asked for", &anybody, Some(&of_dns), true),
        ("the DNS name", &dns, Some(&of_dns), true),
        ("the URI", &uri, Some(&of_uri), true),
        ("both, by DNS name", &dns, Some(&of_both), true),
        ("both, by URI", &uri, Some(&of_both), true),
        ("one of two names of the grant", &either, Some(&of_uri), true),
        ("the other of them", &either, Some(&of_other), true),
        ("neither of them", &either, Some(&of_dns), false),
        ("another name", &dns, Some(&of_other), false),
        ("the URI where a DNS name is asked for", &dns, Some(&of_uri), false),
        ("the common name only", &dns, Some(&of_nothing), false),
        ("a certificate without names", &uri, Some(&of_nothing), false),
        // Envoy shows the module the first DNS name and the first URI only.
        ("a second DNS name", &dns, Some(&of_second), false),
    ];
    for (name, key, certificate, granted) in rows {
        let request = purchase(SHOP, &key.secret).header("x-forwarded-client-cert", billing);
        let expected = if granted { (204, "") } else { (403, "certificate_not_granted") };
        let answers = [
            authority
                .http1_as(gate, LISTENER_NAME, certificate)
                .and_then(|mut client| client.send(&request.clone().header("connection", "close"))),
            Http2::connect_tls_as(gate, authority, LISTENER_NAME, certificate)
                .and_then(|mut client| client.send(&request)),
        ];
        for answer in answers {
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!((answer.status, &*answer.reason()), expected, "{name}");
        }
    }
    assert_stranger_is_not_heard(gate, authority, &dns);
    let granted = rows.iter().filter(|(.., granted)| *granted).count();
    assert_eq!(stack.collector.events().expect("events").len(), 2 * granted);
}

/// The right name, signed by somebody else.
fn assert_stranger_is_not_heard(gate: SocketAddr, ours: &Authority, key: &IssuedKey) {
    let directory = mpgate_testbed::directory().expect("a directory");
    let theirs = Authority::new(directory.path()).expect("an authority");
    let forged = theirs.issue("billing.example.com", "forged").expect("a certificate");
    let answer = ours
        .http1_as(gate, LISTENER_NAME, Some(&forged))
        .and_then(|mut client| client.send(&purchase(SHOP, &key.secret)));
    assert!(answer.is_err(), "the handshake fails: {answer:?}");
}
