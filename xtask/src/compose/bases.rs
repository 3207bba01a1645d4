//! The public images that the Dockerfile builds on, and the fleet's database: those that are here, else the registry's, else
//! stand-ins under their very names. Removes the stand-ins and what was built on them, nothing else.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use mpgate_testbed::prometheus::yaml;
use mpgate_testbed::toolchain;

use super::engine::{Engine, lines, output, shown, shown_to_the_end};
use super::project::FLEET;
use super::stand_in;

const DOCKERFILE: &str = "deploy/compose/Dockerfile";

/// The base images of this run.
pub(super) struct Bases<'a> {
    engine: &'a Engine,
    /// Names of stand-ins that were made, with their ids.
    made: BTreeMap<String, String>,
}

impl<'a> Bases<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine, made: BTreeMap::new() }
    }

    /// Sees to it that each image has its name here.
    pub(super) fn get(&mut self) -> Result<()> {
        let path = toolchain::root().join(DOCKERFILE);
        let dockerfile = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let database = database()?;
        for name in named(&dockerfile).into_iter().chain([&*database]) {
            if self.id(name).is_ok() {
                println!("  {name}: is here, and is used as it is");
                continue;
            }
            println!("  {name}: asking the registry");
            if shown(self.engine.docker(&["pull", "--quiet", name])).is_ok() {
                continue;
            }
            println!("  {name}: not to be had, so here comes a stand-in");
            stand_in::make(self.engine, name)?;
            self.made.insert(name.to_owned(), self.id(name)?);
        }
        Ok(())
    }

    /// Removes the stand-ins, and first what the classic builder has left on top of them.
    pub(super) fn remove(&mut self) -> Result<()> {
        let mut result = Ok(());
        for image in self.tips()? {
            // With an image go those of its parents that have no name and no other child.
            let removed = output(&mut self.engine.docker(&["image", "rm", &image]));
            result = result.and(removed.map(drop));
        }
        for (name, _) in std::mem::take(&mut self.made) {
            let removed = shown_to_the_end(self.engine.docker(&["image", "rm", &name]));
            result = result.and(removed);
        }
        result
    }

    fn id(&self, name: &str) -> Result<String> {
        let inspect = ["image", "inspect", "--format", "{{.Id}}", name];
        Ok(output(&mut self.engine.docker(&inspect))?.trim().to_owned())
    }

    /// Images that descend from a stand-in and that nothing descends from.
    fn tips(&self) -> Result<Vec<String>> {
        if self.made.is_empty() {
            return Ok(Vec::new());
        }
        let ids =
            lines(&mut self.engine.docker(&["image", "ls", "--all", "--quiet", "--no-trunc"]))?;
        let mut inspect =
            self.engine.docker(&["image", "inspect", "--format", "{{.Id}} {{.Parent}}"]);
        let pairs = lines(inspect.args(ids))?;
        let parents: BTreeMap<&str, &str> =
            pairs.iter().filter_map(|pair| pair.split_once(' ')).collect();
        Ok(tips(&parents, |id| self.made.values().any(|made| made == id)))
    }
}

/// The one image that is started as it is.
fn database() -> Result<String> {
    let file = yaml(&toolchain::root().join(FLEET.file))?;
    let image = file["services"]["database"]["image"].as_str();
    Ok(image.with_context(|| format!("{} names no image of its database", FLEET.file))?.to_owned())
}

/// The images that a Dockerfile starts from and that are none of its own stages.
fn named(dockerfile: &str) -> Vec<&str> {
    let mut stages: Vec<&str> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for line in dockerfile.lines() {
        let mut words = line.split_whitespace();
        let (Some("FROM"), Some(name)) = (words.next(), words.next()) else { continue };
        if !stages.contains(&name) && !names.contains(&name) {
            names.push(name);
        }
        stages.extend(words.nth(1));
    }
    names
}

/// Of images and their parents: those below a root, whatever the depth, that have no child.
fn tips(parents: &BTreeMap<&str, &str>, is_root: impl Fn(&str) -> bool) -> Vec<String> {
    let below = |id: &str| {
        let mut at = id;
        while let Some(parent) = parents.get(at) {
            if is_root(parent) {
                return true;
            }
            at = parent;
        }
        false
    };
    let childless = |id: &str| parents.values().all(|parent| *parent != id);
    parents.keys().filter(|id| below(id) && childless(id)).map(|id| (*id).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::stand_in::SUITE;
    use super::*;

    #[test]
    fn a_stage_is_no_image() {
        let dockerfile = "FROM rust:1.2.3 AS build\nRUN echo FROM x\nFROM debian:1.0 AS service\n\
                          FROM service AS a\nFROM debian:1.0 AS b\nCOPY --from=build /x /x\n";
        assert_eq!(named(dockerfile), ["rust:1.2.3", "debian:1.0"]);
    }

    #[test]
    fn the_images_are_of_the_versions_that_the_tests_use() {
        let read = |path| fs::read_to_string(toolchain::root().join(path)).expect("a file");
        let (dockerfile, pinned) = (read(DOCKERFILE), read("rust-toolchain.toml"));
        let channel = pinned.split('"').nth(1).expect("a channel");
        let rust = format!("rust:{channel}-slim-{SUITE}");
        let debian = format!("debian:{SUITE}-");
        let envoy = format!("envoyproxy/envoy:v{}", toolchain::ENVOY_VERSION);
        let names = named(&dockerfile);
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names.iter().any(|name| name.starts_with("prom/prometheus:v2.")), "{names:?}");
        let database = database().expect("an image");
        assert!(database.starts_with("postgres:15.") && database.ends_with(SUITE), "{database}");
        assert!(names.contains(&&*rust), "{rust}: {names:?}");
        assert!(names.contains(&&*envoy), "{envoy}: {names:?}");
        assert!(names.iter().any(|name| name.starts_with(&debian)), "{debian}: {names:?}");
    }

    #[test]
    fn the_tips_of_a_stand_in_and_of_nothing_else() {
        let parents = BTreeMap::from([
            ("stand-in", ""),
            ("step", "stand-in"),
            ("tip", "step"),
            ("other tip", "step"),
            ("theirs", ""),
            ("their tip", "theirs"),
        ]);
        assert_eq!(tips(&parents, |id| id == "stand-in"), ["other tip", "tip"]);
        assert!(tips(&parents, |id| id == "gone").is_empty());
    }
}
