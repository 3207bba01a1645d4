//! What must hold for any bytes. Each room has one `check`, which panics if something does not hold:
//! the fuzz targets call it with bytes nobody thought of, and the tests of `mpgate-guard` with those
//! of the committed corpus.
//!
//! `cargo +nightly fuzz run body` runs one. A new find goes through `cargo +nightly fuzz tmin` and is
//! committed to `corpus/`, so that the tests keep it.
//!
//! What is compared with is written to be obvious, not to be fast, and shares nothing with the code
//! under test but the lexer.

pub mod body;
pub mod pages;
pub mod query;
pub mod reports;
pub mod request;
pub mod settings;
