//! A run that is killed, with all of its process group, leaves nothing behind for longer than until the next one.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use mpgate_testbed::poll;
use mpgate_testbed::postgres::Cluster;
use rustix::process::{Pid, Signal, kill_process_group};

/// Set in the run that is to be killed.
const VICTIM: &str = "MPGATE_TEST_IS_TO_BE_KILLED";

const SOON: Duration = Duration::from_secs(30);

#[test]
fn what_a_killed_run_leaves_behind_goes() {
    if env::var_os(VICTIM).is_some() {
        return wait_for_the_end();
    }
    let mut victim = Command::new(env::current_exe().expect("this program"));
    victim.args(["--exact", "what_a_killed_run_leaves_behind_goes", "--nocapture"]);
    victim.env(VICTIM, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let mut victim = victim.spawn().expect("a run");
    let told = BufReader::new(victim.stdout.take().expect("its output")).lines();
    let told = told.map(|line| line.expect("a line"));
    let paths: Vec<PathBuf> =
        told.filter(|line| line.starts_with('/')).take(2).map(PathBuf::from).collect();
    let [files, database] = &paths[..] else { panic!("{paths:?}") };
    assert!(files.is_dir() && database.join("data").is_dir());

    let group = i32::try_from(victim.id()).ok().and_then(Pid::from_raw).expect("its group");
    kill_process_group(group, Signal::TERM).expect("its end");
    assert!(!victim.wait().expect("its status").success());
    poll::until("the database to go", SOON, || (!database.exists()).then_some(())).expect("gone");
    assert!(files.is_dir(), "nobody could take it away");
    let own = mpgate_testbed::directory().expect("a directory");
    assert!(!files.exists() && own.path().is_dir());
}

fn wait_for_the_end() {
    let files = mpgate_testbed::directory().expect("a directory");
    let cluster = Cluster::start(false).expect("PostgreSQL");
    println!("\n{}\n{}", files.path().display(), cluster.directory().display());
    let _ended = std::io::stdin().read(&mut [0]);
}
