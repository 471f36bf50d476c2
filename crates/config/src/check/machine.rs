//! The machine's own name, where the file gives none.

use crate::check::Checker;
use crate::problem::Place;
use crate::read::At;
use crate::values::{FromText, HostName};

const REMEDY: &str = "hostname = \"relay.contoso.com\": the relay's full name in DNS";

impl Checker<'_> {
    /// Our name in EHLO.
    pub(super) fn hostname(&mut self, written: &Option<At<HostName>>) -> String {
        let (name, place, whose) = match written {
            Some(name) => (name.value.0.clone(), name.place, "`hostname`"),
            None => (machine_name(), Place(None), "the machine's name"),
        };
        if HostName::from_text(&name).is_err() {
            self.sink.error(place, format!("{whose} \"{name}\" cannot be used as our name in EHLO"), REMEDY);
        } else if !name.contains('.') {
            self.sink.warn(
                place,
                format!("{whose} \"{name}\" has no domain; some servers refuse such a name in EHLO"),
                REMEDY,
            );
        }
        name
    }
}

#[cfg(unix)]
fn machine_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

#[cfg(not(unix))]
fn machine_name() -> String {
    std::env::var_os("COMPUTERNAME").and_then(|name| name.into_string().ok()).unwrap_or_default()
}
