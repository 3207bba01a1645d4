//! A list that comes with the configuration: served at once, giving way to control's, and never a way
//! back behind a revocation. And a list that has grown too old.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mpgate_testbed::stack::{CONSUMER, SHOP, Stack};
use mpgate_testbed::{Control, EnvoyConfig, IssuedKey, envoy, poll};
use serde_json::{Value, json};

use super::pushed::Pushed;
use super::relay::Relay;
use super::{SOON, answer, wait_for_answer};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// What `mpgate allowlist export` writes, a few entries a page.
fn export(control: &Control, export_time: u64) -> Value {
    let (mut pages, mut epoch, mut since) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/v1/allowlist/changes?epoch={epoch}&since={since}&limit=2&wait=0");
        let page: Value = control.call("GET", &path, None).and_then(|a| a.json()).expect("a page");
        page["epoch"].as_str().expect("an epoch").clone_into(&mut epoch);
        since = page["to"].as_u64().expect("an end");
        let is_last = page["to"] == page["head"];
        pages.push(page);
        if is_last {
            return json!({"export_time": export_time, "pages": pages});
        }
    }
}

/// A control beside the stack's, with one stream, and a key for each name.
fn elsewhere<const N: usize>(senders: [&str; N]) -> (tempfile::TempDir, Control, [IssuedKey; N]) {
    let files = mpgate_testbed::directory().expect("a directory");
    let control = Control::start(files.path()).expect("a control");
    control.create_consumer(CONSUMER).expect("a consumer");
    control.create_stream(CONSUMER, SHOP, None, "none").expect("a stream");
    let keys = senders.map(|name| control.create_key(CONSUMER, name, &[SHOP]).expect("a key"));
    (files, control, keys)
}

fn with(
    gate: impl FnOnce(&mut Value) + 'static,
) -> impl FnOnce(&mut EnvoyConfig) -> anyhow::Result<()> {
    move |config| {
        gate(config.gate()?);
        Ok(())
    }
}

#[test]
fn it_is_in_force_before_control_is_and_then_gives_way() {
    let (_files, seed, [kept, leaked]) = elsewhere(["kept", "leaked"]);
    let list = export(&seed, now());
    let (front, lease) = envoy::nowhere().expect("an address");
    let configured = list.clone();
    let stack = Stack::builder()
        .edit(with(move |gate| gate["allowlist"] = configured))
        .control(front)
        .without_list()
        .start()
        .expect("a stack");
    // Control is not there. From the first request on the list is.
    assert_eq!(answer(&stack, SHOP, &kept.secret).0, 204);
    assert_eq!(answer(&stack, SHOP, &leaked.secret).0, 204);
    assert_eq!(answer(&stack, SHOP, "guess").1, "unknown_secret");
    let page = stack.envoy.status().expect("a page");
    assert_eq!((&page["origin"], &page["entries"]["keys"]), (&json!("inline"), &json!(2)));

    // The same control as wrote it: it goes on from there, with one page and no reset.
    seed.delete_key(&leaked.name).expect("deleted");
    drop(lease);
    let _relay = Relay::at(front, &seed);
    wait_for_answer(&stack, SHOP, &leaked.secret, 403, "revoked");
    assert_eq!(answer(&stack, SHOP, &kept.secret).0, 204);
    let page = stack.envoy.status().expect("a page");
    assert_eq!((&page["origin"], &page["epoch"]), (&json!("control"), &list["pages"][0]["epoch"]));
}

#[test]
fn pushed_again_it_undoes_no_revocation_and_a_newer_one_takes_over() {
    let (_files, seed, [kept, leaked]) = elsewhere(["kept", "leaked"]);
    let old = export(&seed, now());
    let gate = |control: bool, list: &Value, senders: u64| {
        let mut gate = json!({"gate": "pushed", "allowlist": list, "senders_max": senders});
        if control {
            gate["control"] = json!({"cluster": "mpgate_control"});
        }
        gate
    };
    let pushed = Pushed::new();
    let (front, lease) = envoy::nowhere().expect("an address");
    let add = pushed.edit(&gate(true, &old, 1));
    let stack = Stack::builder().edit(add).control(front).without_list().start().expect("a stack");
    assert_eq!(pushed.answer(SHOP, &leaked.secret).0, 204);
    drop(lease);
    let relay = Relay::at(front, &seed);
    seed.delete_key(&leaked.name).expect("deleted");
    let gone = || (pushed.answer(SHOP, &leaked.secret).1 == "revoked").then_some(());
    poll::until("the revocation", SOON, gone).expect("revoked");

    // The same list again, with control, without it, and with a later time on the old list. Which of them
    // is in force shows in Envoy's own count of what it took.
    let taken = || stack.envoy.stat("extension_config_discovery.http_filter.mpgate.config_reload");
    let later = {
        let mut list = old.clone();
        list["export_time"] = (now() + 1_000).into();
        list
    };
    for (name, configuration) in [
        ("with control", gate(true, &old, 2)),
        ("without control", gate(false, &old, 3)),
        ("without control, touched", gate(false, &later, 4)),
    ] {
        let before = taken().expect("a stat");
        pushed.push(&configuration);
        let reloaded = || {
            // While it changes, and after: the good key passes and the dead one does not.
            assert_eq!(pushed.answer(SHOP, &kept.secret).0, 204, "{name}");
            assert_eq!(pushed.answer(SHOP, &leaked.secret).1, "revoked", "{name}");
            (taken().expect("a stat") > before).then_some(())
        };
        poll::until(name, SOON, reloaded).expect(name);
        for _ in 0..20 {
            assert_eq!(pushed.answer(SHOP, &kept.secret).0, 204, "{name}");
            assert_eq!(pushed.answer(SHOP, &leaked.secret).1, "revoked", "{name}");
        }
    }

    // Control is not asked any more. A list that knows more takes over, what it lacks goes.
    drop(relay);
    let young = seed.create_key(CONSUMER, "young", &[SHOP]).expect("a key");
    seed.delete_key(&kept.name).expect("deleted");
    pushed.push(&gate(false, &export(&seed, now()), 5));
    let there = || (pushed.answer(SHOP, &young.secret).0 == 204).then_some(());
    poll::until("the newer list", SOON, there).expect("in force");
    assert_eq!(pushed.answer(SHOP, &kept.secret).1, "revoked");
    assert_eq!(pushed.answer(SHOP, &leaked.secret).1, "revoked");

    // A list at fault is refused by name, and the configuration with it.
    let mut cut = export(&seed, now());
    cut["pages"].as_array_mut().expect("pages").pop();
    pushed.push(&gate(false, &cut, 6));
    let told = || stack.envoy.log().contains("is the last one and ends at revision").then_some(());
    poll::until("the refusal", SOON, told).expect("told");
    assert_eq!(pushed.answer(SHOP, &young.secret).0, 204);
}

#[test]
fn a_list_grows_stale_and_news_makes_it_young() {
    const MOST: u64 = 60;
    let (_files, seed, [kept]) = elsewhere(["kept"]);
    // Too old in a quarter of a minute: Envoy has to be up by then, on a busy machine too.
    let list = export(&seed, now() + 15 - MOST);
    let (front, lease) = envoy::nowhere().expect("an address");
    let deny = move |gate: &mut Value| {
        gate["allowlist"] = list;
        gate["max_staleness_seconds"] = MOST.into();
        gate["when_stale"] = "deny".into();
        gate["ready"] = true.into();
    };
    let stack = Stack::builder().edit(with(deny)).control(front).without_list().start();
    let stack = stack.expect("a stack");
    assert_eq!(answer(&stack, SHOP, &kept.secret).0, 204, "it is young enough yet");
    wait_for_answer(&stack, SHOP, &kept.secret, 503, "list_stale");
    // The log says so for the whole Envoy, and each worker finds out within a tick.
    stack.envoy.wait_for_metric("mpgate_allowlist_stale", &[], 1.0).expect("told");
    let everywhere = || {
        let guess = mpgate_testbed::stack::purchase(SHOP, "guess");
        (0..20).all(|_| {
            let told = stack.send(&guess).expect("an answer");
            told.reason() == "list_stale"
                && told.status == 503
                && told.header("retry-after").is_some()
        })
    };
    poll::until("all workers", SOON, || everywhere().then_some(())).expect("told");
    assert_eq!(stack.envoy.status().expect("a page")["stale"], true);
    let log = stack.envoy.log();
    assert_eq!(log.matches("the list is stale").count(), 1, "said once: {log}");

    drop(lease);
    let _relay = Relay::at(front, &seed);
    wait_for_answer(&stack, SHOP, &kept.secret, 204, "");
    let young = || {
        let page = stack.envoy.status().expect("a page");
        (page["stale"] == false).then_some(())
    };
    poll::until("no staleness", SOON, young).expect("young");
    let stale = stack.envoy.metrics().expect("metrics").sum("mpgate_allowlist_stale", &[]);
    assert!(stale < 0.5);
}

#[test]
fn alone_and_stale_the_last_list_stays_unless_told_otherwise() {
    let (_files, seed, [kept]) = elsewhere(["kept"]);
    let days_old = export(&seed, now() - Duration::from_hours(72).as_secs());
    for (when_stale, mode, status, reason) in [
        (None, "enforce", 204, ""),
        (Some("last_list"), "enforce", 204, ""),
        (Some("deny"), "enforce", 503, "list_stale"),
        (Some("deny"), "dry_run", 204, ""),
        (Some("deny"), "off", 204, ""),
    ] {
        let list = days_old.clone();
        let alone = move |gate: &mut Value| {
            let members = gate.as_object_mut().expect("members");
            members.remove("control");
            members.insert("allowlist".to_owned(), list);
            members.insert("mode".to_owned(), mode.into());
            if let Some(word) = when_stale {
                members.insert("when_stale".to_owned(), word.into());
            }
        };
        let stack = Stack::builder().concurrency(1).edit(with(alone)).without_list().start();
        let stack = stack.expect("a stack");
        let got = answer(&stack, SHOP, &kept.secret);
        assert_eq!((got.0, &*got.1), (status, reason), "{when_stale:?} {mode}");
        stack.envoy.wait_for_metric("mpgate_allowlist_stale", &[], 1.0).expect("told");
        assert!(super::results(&stack.envoy, "unreachable") < 0.5, "nobody was asked");
    }
}
