//! `cargo xtask compose-test`: docker-compose.yml, unchanged, with real containers and real requests.
//!
//! Everything made here carries a name of this run's own and is taken down again, however the run
//! ends. Images that are there already are used as they are and never removed.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use mpgate_testbed::process::end_all;
use mpgate_testbed::skip;

use self::bases::Bases;
use self::engine::Engine;
use self::project::Project;
use crate::steps::Steps;
use crate::terminal::Terminal;

mod bases;
mod engine;
mod project;
mod stand_in;
mod walk;
mod watch;

/// Set by the first Ctrl-C: from then on everything is only taken down.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

pub(crate) fn run(terminal: Terminal) -> Result<()> {
    let engine = match Engine::find() {
        Ok(engine) => engine,
        Err(lacks) => return skip("compose-test", lacks),
    };
    take_down_on_ctrl_c()?;
    println!("{engine}");

    let mut steps = Steps::new(terminal, 6);
    let mut bases = Bases::new(&engine);
    let project = Project::new(&engine);
    let walked = all_steps(&mut steps, &mut bases, &project, terminal);
    if walked.is_err() {
        project.show_ending();
    }
    let gone = steps.step("nothing is left", || {
        // Each is tried, whatever became of the others.
        let (down, removed) = (project.down(), bases.remove());
        down.and(removed).and_then(|()| project.is_gone())
    });
    walked.and(gone)?;
    steps.table();
    Ok(())
}

fn all_steps(
    steps: &mut Steps,
    bases: &mut Bases<'_>,
    project: &Project<'_>,
    terminal: Terminal,
) -> Result<()> {
    steps.step("public base images, or stand-ins for them", || bases.get())?;
    steps.step("images, from this source", || project.build())?;
    steps.step("up", || project.up())?;
    steps.step("genuine, spoofed and revoked requests", || walk::requests(project, terminal))?;
    steps.step("stopped and up again", || walk::again(project, terminal))
}

/// Fails after Ctrl-C, so that nothing new is begun.
fn go_on() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::SeqCst), "interrupted");
    Ok(())
}

/// The first ends what runs, which fails the step it runs in. Taking down is not interrupted: a second
/// one would leave containers behind.
fn take_down_on_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            eprintln!("\nbeing taken down; wait a moment");
        } else {
            end_all();
        }
    })?;
    Ok(())
}
