//! The configuration: the file as written, checked as a whole, and turned into what each component is told.
//!
//! In: `posthouse.toml`. Out: a [`Config`], with warnings; or [`Errors`]: everything that is wrong with the file at once, each
//! with its line and its remedy. Also the reference page of all keys, made from the same tables that read them.
//! Never: a default that depends on anything but the file and the machine's name; a network.

mod check;
mod config;
mod nearest;
mod problem;
mod read;
mod reference;
mod secrets;
mod units;
mod values;
mod words;
mod written;

use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use config::{
    AdminSettings, Application, Config, DnsSettings, Expiring, ExpirySource, Lane, LaneAuth, LogSettings, SenderDomain,
    WatchTimes,
};
pub use problem::{Errors, Problem};
pub use reference::reference_markdown;

use crate::check::Checker;
use crate::problem::{Place, Sink};
use crate::written::File;

/// Reads and checks a file. Relative paths in it are relative to its directory.
pub fn load(path: &Path) -> Result<Config, Errors> {
    parse(&text_of(path)?, &path.display().to_string(), &directory_of(path))
}

/// Checks a text. `file`: its name in problems; relative paths in it are relative to `base_dir`.
pub fn parse(text: &str, file: &str, base_dir: &Path) -> Result<Config, Errors> {
    let mut sink = Sink::new(file, text);
    let written = match read(text, &mut sink) {
        Some(written) => written,
        None => return sink.finish().map(|_| unreachable!("a text that is no TOML has an error")),
    };
    let config = Checker { base_dir, sink: &mut sink }.config(&written);
    sink.finish().map(|warnings| Config { warnings, ..config })
}

/// Where the admin socket of a relay with this file is. Whatever else is wrong with the file does not matter.
pub fn admin_socket(path: &Path) -> Result<PathBuf, Errors> {
    let text = text_of(path)?;
    let mut sink = Sink::new(&path.display().to_string(), &text);
    let Some(written) = read(&text, &mut sink) else {
        return sink.finish().map(|_| unreachable!("a text that is no TOML has an error"));
    };
    let base_dir = directory_of(path);
    let data_dir = base_dir.join(&written.data_dir.value.0);
    Ok(check::admin_socket(&written.admin.value, &data_dir, &base_dir))
}

/// `None`: not TOML, which has been noted.
fn read(text: &str, sink: &mut Sink) -> Option<File> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = Place(error.span().map(|span| span.start));
        sink.error(place, format!("this is not TOML: {}", error.message()), "see https://toml.io for its form");
    }
    errors.is_empty().then(|| File::from_table(table.get_ref(), Place(None), sink))
}

fn text_of(path: &Path) -> Result<String, Errors> {
    std::fs::read_to_string(path).map_err(|error| {
        let mut sink = Sink::new(&path.display().to_string(), "");
        sink.error(Place(None), format!("cannot read the configuration: {error}"), "name another file with --config");
        sink.finish().expect_err("it has just been given one")
    })
}

/// Absolute where possible, so that paths stay good when the working directory changes.
fn directory_of(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.parent().map(Path::to_owned).unwrap_or_default()
}
