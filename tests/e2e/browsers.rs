//! A real browser: a page with a live secret in it sends to the gate in every way a page can. Each is
//! refused as `exposed`, and counted, so that the key's owner learns of the leak.
//!
//! It needs `chromium` on the PATH (Debian's package of that name, about 100 MB). Where it is missing
//! the test says so on standard error and passes: nobody shall need a browser to work on the gate. The
//! header sets of Chromium, Firefox and Safari are rows of the guard's own table in any case.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mpgate_testbed::process::Process;
use mpgate_testbed::stack::{SHOP, Stack};
use mpgate_testbed::{Answer, Upstream, poll, skip};

use crate::terms::counted;

const PATIENCE: Duration = Duration::from_mins(1);

const PAGE: &str = include_str!("browsers/page.html");

fn has_chromium() -> bool {
    let mut asked = Command::new("chromium");
    asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

fn open(page: &str, directory: &Path) -> Process {
    let mut command = Command::new("chromium");
    command
        // As root, and in a container, Chromium's own sandbox does not start.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        // Nobody but the page and the gate is to be asked for anything.
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--disable-sync", "--no-proxy-server"])
        .arg(format!("--user-data-dir={}", directory.join("profile").display()))
        // Keeps it running, so that what the page sends is sent.
        .arg("--remote-debugging-port=0")
        .arg(page);
    Process::start("chromium", command, directory).expect("chromium")
}

#[test]
fn a_page_with_a_live_secret() {
    if !has_chromium() {
        return skip("browsers", "'chromium' is not on the PATH").expect("every test is played");
    }
    let stack = Stack::start().expect("a stack");
    let target = format!(
        "http://{}/mp/collect?measurement_id={SHOP}&api_secret={}",
        stack.envoy.address(),
        stack.billing.secret
    );
    let page = PAGE.replace("{target}", &target);
    let site = Upstream::start(move |request| match request.path().as_str() {
        "/" => {
            let html = vec![("content-type".to_owned(), "text/html".to_owned())];
            Answer::Respond(200, html, page.clone().into_bytes())
        }
        _ => Answer::no_content(),
    })
    .expect("a site");
    let directory = mpgate_testbed::directory().expect("a directory");
    let mut browser = open(&format!("http://{}/", site.address()), directory.path());

    let exposed = [("reason", "exposed"), ("sender", "billing"), ("outcome", "refused")];
    let asked = [("reason", "method_not_allowed"), ("outcome", "refused")];
    browser
        .wait_for("the page's requests", PATIENCE, |_| {
            (counted(&stack, &exposed) >= 4 && counted(&stack, &asked) >= 2).then_some(())
        })
        .expect("all of them");
    let done: BTreeSet<String> =
        ["fetch", "no-cors", "preflight", "header"].map(str::to_owned).into();
    poll::until("the page's reports", PATIENCE, || {
        let paths = site.received().into_iter().map(|request| request.path());
        let told: BTreeSet<String> =
            paths.filter_map(|path| Some(path.strip_prefix("/done?")?.to_owned())).collect();
        (told == done).then_some(())
    })
    .expect("all of them");

    assert_eq!((counted(&stack, &exposed), counted(&stack, &asked)), (4, 2));
    let lines = stack.envoy.wait_for_access_log(6).expect("the access log");
    let mut told: Vec<(&str, u64)> = lines
        .iter()
        .map(|line| {
            (line["method"].as_str().expect("text"), line["status"].as_u64().expect("a status"))
        })
        .collect();
    told.sort_unstable();
    let post = ("POST", 403);
    assert_eq!(told, [("OPTIONS", 405), ("OPTIONS", 405), post, post, post, post]);
    assert!(stack.collector.events().expect("events").is_empty());
}
