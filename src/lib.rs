//! The filter: a thin adapter between Envoy and the decision in `mpgate-guard`.
//!
//! ```text
//! request   Envoy -> stream -> guard -> stream -> meters -> Envoy
//! sync      control -> root -> guard -> shared data -> every request's lookup
//! ```
//!
//! This package is the only one that names `proxy_wasm`, and [`host`] the only file that calls it.
//! What is decided is not decided here.
//!
//! Elsewhere than in WebAssembly the package is empty: there is no Envoy to adapt to.

#![cfg(target_arch = "wasm32")]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice
)]

mod gate;
mod host;
mod meters;
mod poller;
mod reporter;
mod root;
mod status;
mod stream;
#[cfg(feature = "trap-for-tests")]
mod trap;
mod watch;

/// What Envoy calls first. The SDK's macro makes a public function; the room keeps it private.
mod export {
    proxy_wasm::main! {{
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
        proxy_wasm::set_root_context(|_| Box::new(super::root::Root::default()));
    }}
}
