//! A VM that traps between a request and its answer: nobody is left to strip that answer.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use mpgate_testbed::stack::{CLUB, SHOP, purchase};
use mpgate_testbed::{Answer, Stack, Upstream, http1, poll};

use super::capabilities::withhold;
use super::way::{Caught, Way, try_open};

const SOON: Duration = Duration::from_secs(20);

/// An upstream that repeats the URL; for one stream only when it is told to go on.
fn waiting() -> (Upstream, Sender<()>) {
    let (go, told) = channel();
    let told = Mutex::new(told);
    let upstream = Upstream::start(move |request| {
        if request.path().contains(CLUB) {
            // Ends with the test at the latest.
            let _told = told.lock().map(|told| told.recv());
        }
        Answer::redirect(&format!("https://elsewhere.example{}", request.path()))
    });
    (upstream.expect("an upstream"), go)
}

#[test]
fn an_answer_that_nobody_can_strip_does_not_pass() {
    let (upstream, go) = waiting();
    let trap = Way::new("a trap while answering", Caught::Unavailable, |config| {
        withhold(config, "proxy_send_local_response", "FAIL_RELOAD");
    });
    let builder = Stack::builder().concurrency(1).upstream(upstream.address());
    let (stack, listeners) = try_open(builder, vec![trap]).expect("a stack");
    let shop = purchase(SHOP, &stack.billing.secret);
    // Without a list it could not say so: it may not answer at all.
    let listed = || (listeners[0].send(&shop).status == 301).then_some(());
    poll::until("a list", SOON, listed).expect("a list");

    let (address, genuine) = (listeners[0].address(), purchase(CLUB, &stack.crm.secret));
    let asked = thread::spawn(move || http1::send(address, &genuine));
    let arrived = || upstream.received().iter().any(|one| one.path().contains(CLUB)).then_some(());
    poll::until("the request at the upstream", SOON, arrived).expect("a request");
    assert_eq!(listeners[0].send(&purchase(SHOP, "guess")).status, 503, "it did not trap");
    go.send(()).expect("told");
    let answer = asked.join().expect("no panic").expect("an answer");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("location"), None, "{answer:?}");
}
