//! The database behind control is another one than before: empty, or an older copy.

use std::fs;
use std::path::{Path, PathBuf};

use mpgate_testbed::Control;
use mpgate_testbed::stack::{CLUB, CONSUMER, SHOP, Stack};

use super::{answer, results, wait_for_answer};

#[test]
fn an_empty_list_of_a_new_epoch_is_held_until_it_is_filled() {
    let mut stack = Stack::start().expect("a stack");
    let revoked = stack.issue("till", &[SHOP]).expect("a key");
    stack.revoke(&revoked).expect("revoked");
    let files = mpgate_testbed::directory().expect("a directory");
    let address = stack.control.address();
    stack.control.kill();
    let fresh = Control::start_at(address, files.path()).expect("a control with a new database");
    let token = fresh.create_gateway_token().expect("a token");
    stack.envoy.replace_gateway_token(&token).expect("written");

    stack
        .envoy
        .wait_for_metric("mpgate_sync_total", &[("result", "held_empty")], 3.0)
        .expect("held");
    let assert_old_list = |when: &str| {
        assert_eq!(answer(&stack, SHOP, &stack.billing.secret).0, 204, "{when}");
        assert_eq!(answer(&stack, CLUB, &stack.crm.secret).0, 204, "{when}");
        assert_eq!(answer(&stack, SHOP, &revoked.secret).1, "revoked", "{when}");
        assert_eq!(answer(&stack, SHOP, "guessed").1, "unknown_secret", "{when}");
    };
    assert_old_list("held");
    assert!(stack.envoy.log().contains("held_empty"), "it is said aloud");
    // A consumer alone is nothing that the gate could use.
    fresh.create_consumer(CONSUMER).expect("a consumer");
    let held = results(&stack.envoy, "held_empty");
    stack
        .envoy
        .wait_for_metric("mpgate_sync_total", &[("result", "held_empty")], held + 2.0)
        .expect("held");
    assert_old_list("with a consumer");

    fresh.create_stream(CONSUMER, SHOP, None, "none").expect("a stream");
    let key = fresh.create_key(CONSUMER, "billing", &[SHOP]).expect("a key");
    wait_for_answer(&stack, SHOP, &key.secret, 204, "");
    // What was of the old epoch is swept; its keys are nobody's.
    for old in [&stack.billing.secret, &revoked.secret] {
        wait_for_answer(&stack, SHOP, old, 401, "unknown_secret");
    }
    wait_for_answer(&stack, CLUB, &stack.crm.secret, 401, "unknown_secret");
    fresh.delete_key(&key.name).expect("deleted");
    wait_for_answer(&stack, SHOP, &key.secret, 403, "revoked");
}

#[test]
fn a_database_from_before_resets_the_list_to_what_it_says() {
    let mut stack = Stack::start().expect("a stack");
    let till = stack.issue("till", &[SHOP]).expect("a key");
    stack.control.kill();
    let files = mpgate_testbed::directory().expect("a directory");
    copy(&database(&stack.control.database()), files.path());
    stack.control.restart().expect("control");

    let late = stack.issue("late", &[SHOP]).expect("a key");
    stack.revoke(&till).expect("revoked");
    stack.set_mode(CLUB, Some("dry_run")).expect("a mode");
    wait_for_answer(&stack, CLUB, "guessed", 204, "");
    assert_eq!(answer(&stack, SHOP, &late.secret).0, 204);
    assert_eq!(answer(&stack, SHOP, &till.secret).1, "revoked");

    stack.control.kill();
    for file in database(&stack.control.database()) {
        fs::remove_file(file).expect("removed");
    }
    let directory = stack.control.database().parent().expect("its directory").to_owned();
    copy(&database(&files.path().join("control.sqlite")), &directory);
    stack.control.restart().expect("control with the older database");

    // What the copy does not know is unknown, what it knows as good is good again.
    wait_for_answer(&stack, SHOP, &late.secret, 401, "unknown_secret");
    wait_for_answer(&stack, SHOP, &till.secret, 204, "");
    wait_for_answer(&stack, CLUB, "guessed", 401, "unknown_secret");
    assert_eq!(answer(&stack, SHOP, &stack.billing.secret).0, 204);
    // And from there it goes on.
    let revision = stack.control.delete_key(&till.name).expect("deleted");
    assert!(revision <= late.revision + 1, "the revisions did go back");
    wait_for_answer(&stack, SHOP, &till.secret, 403, "revoked");
    let next = stack.control.create_key(CONSUMER, "next", &[SHOP]).expect("a key");
    wait_for_answer(&stack, SHOP, &next.secret, 204, "");
}

/// The files of a `SQLite` database.
fn database(file: &Path) -> Vec<PathBuf> {
    let name = file.to_string_lossy().into_owned();
    let files = ["", "-wal", "-shm"].map(|suffix| PathBuf::from(format!("{name}{suffix}")));
    files.into_iter().filter(|file| file.exists()).collect()
}

fn copy(files: &[PathBuf], directory: &Path) {
    assert!(!files.is_empty(), "there is a database");
    for file in files {
        fs::copy(file, directory.join(file.file_name().expect("a name"))).expect("copied");
    }
}
