//! `cargo xtask compose-test`: docker-compose.yml and docker-compose.fleet.yml, unchanged, with real containers and
//! real requests.
//!
//! Everything made here carries a name of this run's own and is taken down again, however the run
//! ends. Images that are there already are used as they are and never removed.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use mpgate_testbed::process::end_all;
use mpgate_testbed::skip;

use self::bases::Bases;
use self::engine::Engine;
use self::project::{FLEET, ONE_OF_EACH, Play, Project};
use crate::steps::Steps;
use crate::terminal::Terminal;

mod bases;
mod containment;
mod engine;
mod fleet;
mod inside;
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

    let mut steps = Steps::new(terminal, 11);
    let mut bases = Bases::new(&engine);
    let played = all(&mut steps, &engine, &mut bases, terminal);
    // Tried whatever became of the rest.
    let removed = steps.step("no stand-in is left", || bases.remove());
    played.and(removed)?;
    steps.table();
    Ok(())
}

fn all(
    steps: &mut Steps,
    engine: &Engine,
    bases: &mut Bases<'_>,
    terminal: Terminal,
) -> Result<()> {
    steps.step("public base images, or stand-ins for them", || bases.get())?;
    play(steps, engine, &ONE_OF_EACH, |steps, project| {
        steps
            .step("genuine, spoofed and revoked requests", || walk::requests(project, terminal))?;
        steps.step("stopped and up again", || walk::again(project, terminal))
    })?;
    play(steps, engine, &FLEET, |steps, project| {
        steps.step("two controls and two gates, killed one by one", || {
            fleet::requests(project, terminal)
        })
    })
}

/// Builds a file's images, starts it, asks something of it, and takes it down again in any case.
fn play(
    steps: &mut Steps,
    engine: &Engine,
    play: &'static Play,
    ask: impl FnOnce(&mut Steps, &Project<'_>) -> Result<()>,
) -> Result<()> {
    let project = Project::new(engine, play);
    let begun = || {
        steps.step(&format!("{}: images, from this source", play.file), || project.build())?;
        steps.step("up", || project.up())?;
        ask(steps, &project)
    };
    let played = begun();
    if played.is_err() {
        project.show_ending();
    }
    let gone = steps.step("nothing is left", || {
        project.down()?;
        project.is_gone()
    });
    played.and(gone)
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
