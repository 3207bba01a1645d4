//! The socket: with TLS and without, HTTP/1.1 and HTTP/2, and a certificate that is renewed.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mpgate_testbed::http1::Http1;
use mpgate_testbed::http2::Http2;
use mpgate_testbed::message::Request;
use mpgate_testbed::tls::{Authority, Certificate};
use serde_json::Value;

use crate::harness::{Control, Directory, MPGATE, is_skipped_on_postgres, serve};

const NAME: &str = "localhost";

fn authority(directory: &Directory, name: &str) -> (Authority, Certificate) {
    let place = directory.join(name);
    fs::create_dir_all(&place).expect("a directory");
    let authority = Authority::new(&place).expect("an authority");
    let certificate = authority.issue(NAME, "control").expect("a certificate");
    (authority, certificate)
}

fn serve_tls(directory: &Directory, certificate: &Certificate) -> Command {
    let mut command = serve(directory);
    command.arg("--tls-certificate").arg(&certificate.certificate);
    command.arg("--tls-private-key").arg(&certificate.key);
    command
}

fn address(control: &Control, scheme: &str) -> SocketAddr {
    let address = control.url.strip_prefix(scheme).expect("the scheme");
    address.parse().expect("an address")
}

/// A command that serves with TLS, and the authority to trust.
pub(crate) fn secured(directory: &Directory) -> (Authority, Command) {
    let (authority, certificate) = authority(directory, "tls");
    let command = serve_tls(directory, &certificate);
    (authority, command)
}

/// Asks a control with TLS for something.
pub(crate) fn get(control: &Control, authority: &Authority, path: &str) -> Value {
    done(control, authority, Request::get(path))
}

/// Tells a control with TLS something.
pub(crate) fn post(control: &Control, authority: &Authority, path: &str, body: &str) -> Value {
    let request = Request::post(path).header("content-type", "application/json").body(body);
    done(control, authority, request)
}

fn done(control: &Control, authority: &Authority, request: Request) -> Value {
    let request = request.header("authorization", format!("Bearer {}", control.admin));
    let mut http = authority.http1(address(control, "https://"), NAME).expect("connected");
    let answer = http.send(&request).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn poll(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn each_version_of_http_with_tls_and_without() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let clear = address(&control, "http://");
    let request = Request::get("/healthz");
    let answer = Http1::connect(clear).expect("connected").send(&request).expect("an answer");
    assert_eq!(answer.status, 200);
    let answer = Http2::connect(clear).expect("connected").send(&request).expect("an answer");
    assert_eq!(answer.status, 200);
    drop(control);

    let (authority, certificate) = authority(&directory, "one");
    let control = Control::start_as(&directory, &mut serve_tls(&directory, &certificate));
    let secured = address(&control, "https://");
    let mut http1 = authority.http1(secured, NAME).expect("connected");
    assert_eq!(http1.send(&request).expect("an answer").status, 200);
    let mut http2 = Http2::connect_tls(secured, &authority, NAME).expect("connected");
    assert_eq!(http2.send(&request).expect("an answer").status, 200);
    assert!(Http1::connect(secured).expect("connected").send(&request).is_err(), "in clear");

    let mut command = Command::new(MPGATE);
    command.env_clear().env("MPGATE_TOKEN", &control.admin).args(["principals", "list"]);
    command.arg("--url").arg(control.url.replace("127.0.0.1", NAME));
    let refused = command.output().expect("it runs");
    assert_eq!(refused.status.code(), Some(4), "nobody vouches for the certificate: {refused:?}");
    command.arg("--ca-file").arg(authority.certificate_file());
    let listed = command.output().expect("it runs");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("admin"), "{listed:?}");

    assert!(control.terminate().success(), "open connections do not keep it");
}

#[test]
fn silent_connections_do_not_keep_others_out() {
    let directory = Directory::new();
    let (authority, certificate) = authority(&directory, "one");
    let control = Control::start_as(&directory, &mut serve_tls(&directory, &certificate));
    let secured = address(&control, "https://");
    // More than handshakes are computed at once.
    let silent: Vec<_> =
        (0..300).map(|_| TcpStream::connect(secured).expect("connected")).collect();
    let started = Instant::now();
    let mut http1 = authority.http1(secured, NAME).expect("connected");
    assert_eq!(http1.send(&Request::get("/healthz")).expect("an answer").status, 200);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(silent);
}

#[test]
fn a_renewed_certificate_is_taken_up_and_a_bad_one_is_not() {
    let directory = Directory::new();
    let (old, certificate) = authority(&directory, "old");
    let (new, renewed) = authority(&directory, "new");
    let control = Control::start_as(&directory, &mut serve_tls(&directory, &certificate));
    let secured = address(&control, "https://");
    let shown = |authority: &Authority| {
        let answer = authority
            .http1(secured, NAME)
            .and_then(|mut http| http.send(&Request::get("/healthz")));
        answer.is_ok_and(|answer| answer.status == 200)
    };
    let mut kept = old.http1(secured, NAME).expect("connected");
    assert_eq!(kept.send(&Request::get("/healthz")).expect("an answer").status, 200);
    assert!(shown(&old) && !shown(&new));

    let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
    fs::copy(&renewed.certificate, &certificate.certificate).expect("copied");
    control.signal("-HUP");
    poll("the mismatch is logged", || log().contains("the old one stays in use"));
    assert!(log().contains("control.key"), "{}", log());
    assert!(shown(&old) && !shown(&new));

    fs::copy(&renewed.key, &certificate.key).expect("copied");
    control.signal("-HUP");
    poll("the new certificate is shown", || shown(&new));
    assert!(!shown(&old));
    let answer = kept.send(&Request::get("/healthz")).expect("an answer");
    assert_eq!(answer.status, 200, "an open connection goes on");
}

#[test]
fn without_good_files_it_does_not_start_and_says_which() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let (_, one) = authority(&directory, "one");
    let (_, two) = authority(&directory, "two");
    let mixed = Certificate { certificate: one.certificate.clone(), key: two.key };
    let missing = Certificate { certificate: directory.join("missing.crt"), key: one.key.clone() };
    let mut alone = serve(&directory);
    alone.arg("--tls-certificate").arg(&one.certificate);
    for (mut command, status, told) in [
        (serve_tls(&directory, &mixed), 1, "is not that of the first certificate"),
        (serve_tls(&directory, &missing), 1, "missing.crt"),
        (alone, 2, "--tls-private-key"),
    ] {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it runs");
        let ended = crate::harness::wait(&mut child);
        let mut error = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut error).expect("text");
        assert_eq!(ended.code(), Some(status), "{error}");
        assert!(error.contains(told), "{error}");
    }
    assert!(!directory.join("mpgate.sqlite").exists(), "nothing is left behind");
}

#[test]
fn with_tls_it_may_listen_on_the_network() {
    let directory = Directory::new();
    let (_, certificate) = authority(&directory, "one");
    let mut command = Command::new(MPGATE);
    command.env_clear().current_dir(directory.path());
    command.args(["serve", "--listen", "0.0.0.0:0", "--admin-token-file", "admin-token"]);
    command.env("MPGATE_TLS_CERTIFICATE", &certificate.certificate);
    command.env("MPGATE_TLS_PRIVATE_KEY", &certificate.key);
    let control = Control::start_as(&directory, &mut command);
    assert!(control.url.starts_with("https://0.0.0.0:"), "{}", control.url);
}
