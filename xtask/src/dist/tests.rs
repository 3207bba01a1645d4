//! Cheap parts of a release: the module that the other steps built, and the bills of materials.

use mpgate_testbed::{artifacts, python};
use serde_json::Value;

use super::*;

#[test]
fn the_module_names_no_place_of_this_machine() {
    let module = artifacts::module().expect("the release module");
    let bytes = fs::read(&module).expect("the module");
    names_no_place(&bytes, &toolchain::root()).expect("no place");
    // It would be found: the crates' files are named, under the name that stands for the place.
    let places = b"/cargo/";
    assert!(bytes.windows(places.len()).any(|part| part == places), "nothing was remapped");
}

#[test]
fn a_place_is_found() {
    let root = toolchain::root();
    let text = format!("panicked at {}/src/lib.rs", root.display());
    names_no_place(text.as_bytes(), &root).expect_err("the checkout is named");
}

fn bill(part: Part) -> Value {
    let source = Source::of(&toolchain::root()).expect("a checkout");
    let (package, target) = part.package();
    let sum = sha256(b"");
    let artefact = Artefact { package, target, file: &part.file(), sha256: &sum };
    sbom::describe(&source, &artefact).expect("a bill of materials")
}

#[test]
fn a_bill_of_materials_names_what_is_linked_and_nothing_else() {
    let names = |part| -> Vec<String> {
        let bill = bill(part);
        let components = bill["components"].as_array().expect("components").clone();
        for component in &components {
            let is_ours = component["name"].as_str().is_some_and(|name| name.starts_with("mpgate"));
            assert!(is_ours || component["hashes"][0]["content"].is_string(), "{component}");
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        }
        components
            .iter()
            .map(|component| component["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let (module, control) = (names(Part::Module), names(Part::Control));
    for name in ["mpgate-guard", "mpgate-contract", "proxy-wasm", "serde_json", "sha2"] {
        assert!(module.iter().any(|known| known == name), "{name}");
    }
    for name in ["sqlx", "axum", "mpgate-guard"] {
        assert!(control.iter().any(|known| known == name), "{name}");
        assert!(name.starts_with("mpgate") || !module.iter().any(|known| known == name), "{name}");
    }
    // Of the tests and of the build.
    for name in ["rcgen", "mpgate-testbed", "tempfile", "protox", "cc"] {
        assert!(!module.iter().chain(&control).any(|known| known == name), "{name}");
    }
}

/// Held against the specification's own schema, as the makers of `CycloneDX` publish it with their library.
#[test]
fn the_bills_of_materials_are_valid() {
    const VALIDATE: &str = r#"
import importlib.util, json, pathlib, sys
import jsonschema_rs
place = pathlib.Path(importlib.util.find_spec("cyclonedx").origin).parent / "schema" / "_res"
def load(name): return json.loads((place / name).read_text())
base = "http://cyclonedx.org/schema/"
known = [(base + name + ".SNAPSHOT.schema.json", load(name + ".SNAPSHOT.schema.json")) for name in ("spdx", "jsf-0.82", "cryptography-defs") if (place / (name + ".SNAPSHOT.schema.json")).exists()]
registry = jsonschema_rs.Registry(known)
validator = jsonschema_rs.Draft7Validator(load("bom-1.6.SNAPSHOT.schema.json"), registry=registry)
for file in sys.argv[1:]:
    bill = json.load(open(file))
    for error in validator.iter_errors(bill):
        sys.exit(f"{file}: {error}")
bill["specVersion"] = 1
if validator.is_valid(bill):
    sys.exit("whatever is asked is valid")
"#;
    let python = python::python(&mut |step| println!("{step}")).expect("Python");
    let directory = tempfile::tempdir().expect("a directory");
    let files = Part::ALL.map(|part| {
        let file = directory.path().join(part.file());
        fs::write(&file, bill(part).to_string()).expect("a file");
        file
    });
    let told =
        Command::new(python).args(["-c", VALIDATE]).args(files).output().expect("Python runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn a_program_that_asks_for_a_loader_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("hello.rs");
    fs::write(&source, "fn main() {}").expect("a file");
    for (flag, expected) in [("+crt-static", true), ("-crt-static", false)] {
        let program = directory.path().join(flag);
        let mut rustc = Command::new("rustc");
        rustc.args([&format!("-Ctarget-feature={flag}"), "-o"]);
        told(rustc.arg(&program).arg(&source)).expect("a program");
        assert_eq!(is_static(&program).is_ok(), expected, "{flag}");
    }
    is_static(&source).expect_err("no program");
}
