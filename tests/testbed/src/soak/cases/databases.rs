//! The database behind control is another one than before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::soak::pace::pause;
use crate::soak::scene::Scene;
use crate::{Control, artifacts};

/// `mpgate restore`, while control runs. Keys that were revoked since stay revoked.
pub(super) fn restored(scene: &mut Scene) -> Result<()> {
    let directory = crate::directory()?;
    let backup = directory.path().join("backup.sqlite");
    let database = scene.stack.control.database();
    mpgate(&["backup", "--database"], &database, "--to", &backup)?;
    while scene.goes_on() {
        for _ in 0..3 {
            scene.cycle()?;
        }
        mpgate(&["restore", "--yes", "--database"], &database, "--from", &backup)?;
        scene.recover(Instant::now())?;
    }
    Ok(())
}

fn mpgate(verb: &[&str], database: &Path, option: &str, backup: &Path) -> Result<()> {
    let mut command = Command::new(artifacts::control()?);
    let output = command.args(verb).arg(database).arg(option).arg(backup).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A copy from before some keys came and went takes the database's place. Control had more revisions
/// than the copy has, so the gate starts over.
pub(super) fn put_back(scene: &mut Scene) -> Result<()> {
    let backup = crate::directory()?;
    scene.stack.control.stop()?;
    let files = database(&scene.stack.control.database());
    copy(&files, backup.path())?;
    scene.stack.control.restart()?;
    while scene.goes_on() {
        for _ in 0..3 {
            scene.cycle()?;
        }
        scene.stack.control.stop()?;
        let file = scene.stack.control.database();
        for newer in database(&file) {
            fs::remove_file(newer)?;
        }
        let name = file.file_name().context("a name")?;
        let directory = file.parent().context("a directory")?.to_owned();
        copy(&database(&backup.path().join(name)), &directory)?;
        scene.stack.control.restart()?;
        scene.recover(Instant::now())?;
    }
    Ok(())
}

/// Control comes up with nothing. The last list stays until the good database is back.
pub(super) fn emptied(scene: &mut Scene) -> Result<()> {
    while scene.goes_on() {
        let directory = crate::directory()?;
        let address = scene.stack.control.address();
        let held = held_empty(scene)?;
        scene.stack.control.stop()?;
        let empty = Control::start_at(address, directory.path())?;
        scene.stack.envoy.replace_gateway_token(&empty.create_gateway_token()?)?;
        scene.stack.envoy.wait_for_metric(
            "mpgate_sync_total",
            &[("result", "held_empty")],
            held + 1.0,
        )?;
        pause(scene.plan.outage());
        drop(empty);
        scene.stack.control.restart()?;
        scene.stack.envoy.replace_gateway_token(&scene.stack.gateway_token)?;
        scene.recover(Instant::now())?;
    }
    Ok(())
}

fn held_empty(scene: &Scene) -> Result<f64> {
    Ok(scene.stack.envoy.metrics()?.sum("mpgate_sync_total", &[("result", "held_empty")]))
}

/// The files of a `SQLite` database.
fn database(file: &Path) -> Vec<PathBuf> {
    let name = file.to_string_lossy().into_owned();
    let files = ["", "-wal", "-shm"].map(|suffix| PathBuf::from(format!("{name}{suffix}")));
    files.into_iter().filter(|file| file.exists()).collect()
}

fn copy(files: &[PathBuf], directory: &Path) -> Result<()> {
    ensure!(!files.is_empty(), "there is no database to copy");
    for file in files {
        fs::copy(file, directory.join(file.file_name().context("a name")?))?;
    }
    Ok(())
}
