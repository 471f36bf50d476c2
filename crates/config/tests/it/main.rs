//! The file from outside: what a good one comes to, and what is said about a bad one.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

extern crate posthouse_config as config;

mod bad;
mod dkim;
mod dns;
mod good;
mod plan;
mod telling;

use std::path::Path;

use config::{Config, Errors};

/// A directory with the files that the texts name.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("secret", "s3cret\n"), ("erp.pass", "hunter2\n"), ("empty", ""), ("no.pem", "nothing here\n")]
    {
        std::fs::write(dir.path().join(name), text).unwrap();
        close(&dir.path().join(name));
    }
    for name in ["app", "relay", "ca"] {
        let pair = rcgen::generate_simple_self_signed([format!("{name}.example")]).unwrap();
        std::fs::write(dir.path().join(format!("{name}.pem")), pair.cert.pem()).unwrap();
        std::fs::write(dir.path().join(format!("{name}.key")), pair.signing_key.serialize_pem()).unwrap();
        close(&dir.path().join(format!("{name}.key")));
    }
    dir
}

#[cfg(unix)]
fn close(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[cfg(not(unix))]
fn close(_: &Path) {}

fn parse(text: &str, dir: &Path) -> Result<Config, Errors> {
    config::parse(text, "posthouse.toml", dir)
}

/// The ten lines that are a working relay.
const TEN_LINES: &str = r#"hostname = "relay.contoso.com"
[[listener]]
address = "0.0.0.0:25"
[[client]]
name = "printers"
networks = ["10.20.0.0/16"]
senders = ["*@contoso.com"]
[[tenant]]
name = "contoso"
id = "11111111-2222-3333-4444-555555555555"
domains = ["contoso.com"]
credential = { client_id = "66666666-7777-8888-9999-000000000000", client_secret = { file = "secret" } }
path = [{ kind = "submission", mailbox = "relay@contoso.com" }]
"#;
