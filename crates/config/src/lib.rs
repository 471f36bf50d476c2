//! The configuration: the file as written, checked as a whole, and turned into what each component is told.
//!
//! In: `posthouse.toml`. Out: a [`Config`], with warnings; or [`Errors`]: everything that is wrong with the file at once, each
//! with its line and its remedy. Also the reference page of all keys, made from the same tables that read them.
//! Never: a default that depends on anything but the file and the machine's name; a network.

mod config;
mod problem;

use std::path::Path;

pub use config::{AdminSettings, Application, Config, Lane, LaneAuth, LogSettings};
pub use problem::{Errors, Problem};

/// Reads and checks a file. Relative paths in it are relative to its directory.
pub fn load(path: &Path) -> Result<Config, Errors> {
    let _ = path;
    todo!()
}

/// Checks a text. `file`: its name in problems; relative paths in it are relative to `base_dir`.
pub fn parse(text: &str, file: &str, base_dir: &Path) -> Result<Config, Errors> {
    let _ = (text, file, base_dir);
    todo!()
}

/// The reference page of all keys, in Markdown.
pub fn reference_markdown() -> String {
    todo!()
}
