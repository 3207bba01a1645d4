//! What people send with: Node's fetch, Python, curl, as real programs. Each gets its event through
//! and reads the refusal of a spoofed one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mpgate_testbed::Stack;
use mpgate_testbed::process::Process;
use mpgate_testbed::stack::SHOP;

const PATIENCE: Duration = Duration::from_mins(1);

const BODY: &str = r#"{"client_id":"1.2","events":[{"name":"login","params":{"method":"café"}}]}"#;

/// What curl 7.88 makes, now and then, of an answer that came before it had sent its body: the gate
/// refuses by the head, and Envoy tells it (`RST_STREAM`, `NO_ERROR`; RFC 9113, 8.1) that the body is
/// not wanted. Only refusals are affected; the access log tells that this one was.
const STREAM_ERROR: &str = "curl: (92)";

/// Node's own fetch; the target is in the environment, so that no secret stands in a list of processes.
const NODE: &str = "fetch(process.env.TARGET, {method: 'POST', body: process.env.BODY})
    .then(async (answer) => console.log(answer.status, await answer.text()));";

const PYTHON: &str = "import os, urllib.error, urllib.request
body = os.environ['BODY'].encode()
try:
    answer = urllib.request.urlopen(os.environ['TARGET'], data=body)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())";

/// A program that sends one event.
struct Sender {
    name: &'static str,
    program: &'static str,
    /// Its arguments; `{config}` is a file for curl.
    arguments: &'static [&'static str],
    /// What curl's file says besides the target and the body.
    options: &'static str,
    protocol: &'static str,
}

const SENDERS: [Sender; 6] = [
    Sender {
        name: "Node's fetch",
        program: "node",
        arguments: &["--eval", NODE],
        options: "",
        protocol: "HTTP/1.1",
    },
    Sender {
        name: "Python's urllib",
        program: "python3",
        arguments: &["-c", PYTHON],
        options: "",
        protocol: "HTTP/1.1",
    },
    curl("curl", "", "HTTP/1.1"),
    curl("curl over HTTP/2", "http2-prior-knowledge", "HTTP/2"),
    curl("curl, in chunks", "header = \"transfer-encoding: chunked\"", "HTTP/1.1"),
    curl("curl that asks first", "header = \"expect: 100-continue\"", "HTTP/1.1"),
];

const fn curl(name: &'static str, options: &'static str, protocol: &'static str) -> Sender {
    let arguments = &["--silent", "--show-error", "--config", "{config}"];
    Sender { name, program: "curl", arguments, options, protocol }
}

#[test]
fn the_programs_that_people_send_with() {
    for (program, package) in [
        ("node", "Node.js 18 or later (Debian: apt install nodejs)"),
        ("python3", "Python 3 (Debian: apt install python3)"),
        ("curl", "curl (Debian: apt install curl)"),
    ] {
        let runs = Command::new(program).arg("--version").output();
        assert!(
            runs.is_ok_and(|output| output.status.success()),
            "'{program}' does not run here: install {package}"
        );
    }
    let stack = Stack::start().expect("a stack");
    let files = mpgate_testbed::directory().expect("a directory");
    for (index, sender) in SENDERS.iter().enumerate() {
        let told = send(&stack, sender, &stack.billing.secret, files.path());
        assert!(told.contains("204"), "{}: {told}", sender.name);
        let events = stack.collector.wait_for_events(1).expect("an event");
        stack.collector.forget().expect("forgotten");
        assert_eq!(events.len(), 1, "{}", sender.name);
        assert_eq!(events[0].path(), format!("/mp/collect?measurement_id={SHOP}"));
        assert_eq!(events[0].header("x-mpgate-sender"), Some("billing"), "{}", sender.name);
        assert_eq!(events[0].body(), BODY, "{}", sender.name);
        assert!(!events[0].contains(&stack.billing.secret), "{}", sender.name);

        let told = send(&stack, sender, "guessed", files.path());
        let missed = sender.protocol == "HTTP/2" && told.contains(STREAM_ERROR);
        let read = told.contains("401") && told.contains("unknown_secret");
        assert!(read || missed, "{}: {told}", sender.name);
        assert!(stack.collector.events().expect("events").is_empty(), "{}", sender.name);

        let lines = stack.envoy.wait_for_access_log(2 * (index + 1)).expect("the access log");
        let mut statuses = Vec::new();
        for line in &lines[2 * index..] {
            assert_eq!(line["protocol"], sender.protocol, "{}", sender.name);
            statuses.push(line["status"].as_u64());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [Some(204), Some(401)], "{}", sender.name);
    }
}

/// Runs the program and answers what it printed.
fn send(stack: &Stack, sender: &Sender, secret: &str, files: &Path) -> String {
    let target = format!(
        "http://{}/mp/collect?measurement_id={SHOP}&api_secret={secret}",
        stack.envoy.address()
    );
    let config = files.join("curl");
    let body = BODY.replace('"', "\\\"");
    let options = sender.options;
    let told = format!(
        "url = \"{target}\"\ndata-binary = \"{body}\"\nwrite-out = \" %{{http_code}}\"\n{options}\n"
    );
    fs::write(&config, told).expect("a file for curl");
    let config = config.to_string_lossy();
    let mut command = Command::new(sender.program);
    command.args(sender.arguments.iter().map(|argument| argument.replace("{config}", &config)));
    command.env("TARGET", &target).env("BODY", BODY);
    // Nobody's proxy or configuration.
    command.env("NO_PROXY", "*").env("no_proxy", "*").env("CURL_HOME", files);
    let mut process = Process::start("sender", command, files).expect(sender.name);
    let ended = process.wait_for(sender.name, PATIENCE, |process| {
        // What it prints last is its answer.
        let out = process.stdout() + &process.stderr();
        ["204", "401", STREAM_ERROR].iter().any(|last| out.contains(last)).then_some(out)
    });
    let out = ended.unwrap_or_else(|error| panic!("{}: {error:#}", sender.name));
    assert!(!process.stderr().contains(secret), "{}: {}", sender.name, process.stderr());
    out
}
