//! Has the linker write the numbers of the release module in as few bytes as they need, not in five each.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, wanted: &str| env::var(name).is_ok_and(|value| value == wanted);
    if is("CARGO_CFG_TARGET_ARCH", "wasm32") && is("PROFILE", "release") {
        // It refuses to where debug information is kept; names may stay.
        for argument in ["--compress-relocations", "--strip-debug"] {
            println!("cargo::rustc-link-arg-cdylib={argument}");
        }
    }
}
