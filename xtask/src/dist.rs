//! `cargo xtask dist`: everything that a release consists of, in one directory. The same commit gives the same
//! bytes, whatever the checkout is called and whoever builds it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use mpgate_testbed::toolchain::{self, WASM_TARGET};

use self::sbom::Artefact;
use crate::build::setup_release;
use crate::oci;
use crate::release::{self, CONTROL_TARGET, Source, VERSION, sha256, told};
use crate::steps::Steps;
use crate::terminal::Terminal;

mod sbom;
pub(crate) mod twice;

const EXAMPLES: &str = "\
Examples:
  cargo xtask dist                          all of it, in target/dist
  cargo xtask dist --directory /tmp/release
  cargo xtask dist --only module            the module, its bill of materials and its image
  cargo xtask dist --twice                  built in two clean checkouts, and compared byte by byte";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Where to put it; target/dist by default
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// One artefact only
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Build HEAD in two clean checkouts of different names and compare; keeps neither
    #[arg(long, conflicts_with = "directory")]
    twice: bool,
}

/// An artefact and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// The filter: module, bill of materials, OCI image.
    Module,
    /// The control service and command line: static program, bill of materials, OCI image.
    Control,
}

impl Part {
    pub(crate) const ALL: [Self; 2] = [Self::Module, Self::Control];

    fn file(self) -> String {
        match self {
            Self::Module => format!("mpgate-{VERSION}.wasm"),
            Self::Control => format!("mpgate-{VERSION}-x86_64-linux"),
        }
    }

    fn build(self, root: &Path, target: &Path) -> Result<PathBuf> {
        match self {
            Self::Module => release::module(root, target),
            Self::Control => release::control(root, target),
        }
    }

    /// Its package, and what that is built for.
    pub(crate) const fn package(self) -> (&'static str, &'static str) {
        match self {
            Self::Module => ("mpgate", WASM_TARGET),
            Self::Control => ("mpgate-control", CONTROL_TARGET),
        }
    }
}

pub(crate) fn run(options: &Options, terminal: Terminal) -> Result<()> {
    let parts = options.only.map_or(Part::ALL.to_vec(), |part| vec![part]);
    if options.twice {
        return twice::run(&parts, terminal);
    }
    let source = Source::of(&toolchain::root())?;
    let target = toolchain::target_directory();
    let directory = options.directory.clone().unwrap_or_else(|| target.join("dist"));
    let mut steps = Steps::new(terminal, 2 + parts.len());
    setup_release(&parts, &mut steps)?;
    let built = build(&parts, &source, &target, &mut steps)?;
    let files = steps
        .step("images, bills of materials and sums", || collect(&source, &built, &directory))?;
    steps.table();
    println!();
    for (name, sum) in &files {
        println!("{sum}  {name}");
    }
    println!("{}", terminal.faint(&format!("in {}", directory.display())));
    if source.is_dirty {
        println!("{} this checkout holds what is not committed: no release", terminal.bad("!"));
    }
    Ok(())
}

/// Only the images, for whoever builds them by `cargo xtask oci`.
pub(crate) fn images(directory: Option<&Path>, terminal: Terminal) -> Result<()> {
    let source = Source::of(&toolchain::root())?;
    let target = toolchain::target_directory();
    let directory = directory.map_or_else(|| target.join("oci"), Path::to_owned);
    let mut steps = Steps::new(terminal, 4);
    setup_release(&Part::ALL, &mut steps)?;
    let built = build(&Part::ALL, &source, &target, &mut steps)?;
    let written = steps.step("images", || {
        fs::create_dir_all(&directory)?;
        built
            .iter()
            .map(|(part, file)| image(*part, &source, file, &directory))
            .collect::<Result<Vec<_>>>()
    })?;
    for image in written {
        println!("{}:{VERSION}@{}", terminal.strong(image.name), image.digest);
        println!("  {}", image.layout.display());
        println!("  {}", image.archive.display());
    }
    Ok(())
}

fn build(
    parts: &[Part],
    source: &Source,
    target: &Path,
    steps: &mut Steps,
) -> Result<Vec<(Part, PathBuf)>> {
    let all = parts.iter().map(|&part| {
        let what = match part {
            Part::Module => "the filter, as a release module",
            Part::Control => "the control service, as a static program",
        };
        steps.step(what, || Ok((part, part.build(&source.root, target)?)))
    });
    all.collect()
}

fn image(part: Part, source: &Source, file: &Path, directory: &Path) -> Result<oci::Written> {
    match part {
        Part::Module => oci::gate(source, file, directory),
        Part::Control => oci::control(source, file, directory),
    }
}

/// Puts the artefacts in place with what belongs to them; answers the sums of all files.
pub(crate) fn collect(
    source: &Source,
    built: &[(Part, PathBuf)],
    directory: &Path,
) -> Result<BTreeMap<String, String>> {
    fs::create_dir_all(directory)?;
    let mut names = Vec::new();
    for (part, file) in built {
        if *part == Part::Control {
            is_static(file)?;
            starts(file)?;
        }
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        names_no_place(&bytes, &source.root).with_context(|| file.display().to_string())?;
        let name = part.file();
        fs::write(directory.join(&name), &bytes)?;
        let mode = if *part == Part::Control { 0o755 } else { 0o644 };
        fs::set_permissions(directory.join(&name), fs::Permissions::from_mode(mode))?;
        let (package, target) = part.package();
        let sum = sha256(&bytes);
        let artefact = Artefact { package, target, file: &name, sha256: &sum };
        let bill = serde_json::to_string_pretty(&sbom::describe(source, &artefact)?)?;
        let bill_name = format!("{name}.cdx.json");
        fs::write(directory.join(&bill_name), bill + "\n")?;
        let image = image(*part, source, file, directory)?;
        // The directory says the same as the tar.
        fs::remove_dir_all(&image.layout)?;
        let tar = image.archive.file_name().context("an archive")?.to_string_lossy().into_owned();
        names.extend([name, bill_name, tar]);
    }
    let mut sums = BTreeMap::new();
    for name in names {
        let sum = sha256(&fs::read(directory.join(&name))?);
        sums.insert(name, sum);
    }
    let list: Vec<String> = sums.iter().map(|(name, sum)| format!("{sum}  {name}")).collect();
    fs::write(directory.join("SHA256SUMS"), list.join("\n") + "\n")?;
    Ok(sums)
}

/// Neither the checkout, nor the home directory, nor cargo's is named in what is shipped.
pub(crate) fn names_no_place(bytes: &[u8], root: &Path) -> Result<()> {
    let home = std::env::home_dir();
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let rust = told(Command::new("rustc").args(["--print", "sysroot"]))?;
    let places = [Some(root.to_owned()), home, cargo, Some(PathBuf::from(rust))];
    for place in places.into_iter().flatten() {
        let place = place.to_string_lossy().into_owned();
        // `/` and `/root` stand in many a text that is no path of anybody's.
        let wanted = format!("{}/", place.trim_end_matches('/'));
        let is_found =
            wanted.len() > 1 && bytes.windows(wanted.len()).any(|part| part == wanted.as_bytes());
        ensure!(
            !is_found,
            "{wanted} stands in it: it was not built by xtask, or cargo names a place that release.rs does not know"
        );
    }
    Ok(())
}

/// Whether a program asks for no loader: it would not run in an image that holds nothing else.
fn is_static(program: &Path) -> Result<()> {
    let bytes = fs::read(program)?;
    // ELF64, little endian: the program headers' place, size and number; PT_INTERP is 3.
    let number = |at: usize, length: usize| -> Result<usize> {
        let field = bytes.get(at..at + length).context("no ELF file")?;
        Ok(field.iter().rev().fold(0, |value, byte| (value << 8) | usize::from(*byte)))
    };
    ensure!(bytes.starts_with(b"\x7fELF\x02\x01"), "{} is no ELF64 file", program.display());
    let (first, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        if number(first + index * size, 4)? == 3 {
            bail!("{} asks for a loader: it is not static", program.display());
        }
    }
    Ok(())
}

/// Whether a program starts at all, and is the one of this version.
fn starts(program: &Path) -> Result<()> {
    let told = told(Command::new(program).arg("--version").env_clear())?;
    ensure!(told == format!("mpgate {VERSION}"), "{} says '{told}'", program.display());
    Ok(())
}

#[cfg(test)]
mod tests;
