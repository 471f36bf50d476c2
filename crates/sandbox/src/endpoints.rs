//! Where a sandbox is reached and with what, and the relay's configuration that says so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::files::{self, FileError};
use crate::hidden::Hidden;
use crate::tenant::Tenant;

/// Everything that a program needs in order to use a sandbox. `Debug` shows no secret; as JSON, and in the
/// configuration's files, secrets are given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoints {
    /// In place of `https://login.microsoftonline.com`.
    pub login: String,
    /// The socket behind it.
    pub login_address: SocketAddr,
    /// In place of `smtp.office365.com:587`.
    pub submission: SocketAddr,
    /// The name to verify its certificate with.
    pub submission_host: String,
    /// A plain SMTP server that takes everything, if it was asked for.
    pub smart_host: Option<SocketAddr>,
    /// The control API.
    pub control: String,
    /// The root to trust.
    pub ca_pem: String,
    /// Directory id.
    pub tenant_id: String,
    /// Accepted domains.
    pub domains: Vec<String>,
    /// Of the first application.
    pub client_id: String,
    /// Of the first application; empty if it has only certificates.
    pub client_secret: Hidden,
    /// Those at the start.
    pub mailboxes: Vec<Account>,
}

/// A mailbox that can be signed in to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Sign-in name.
    pub address: String,
    /// For AUTH LOGIN.
    pub password: Option<Hidden>,
}

impl Account {
    pub(crate) fn all(tenant: &Tenant) -> Vec<Self> {
        let account =
            |mailbox: &crate::Mailbox| Self { address: mailbox.address.clone(), password: mailbox.password.clone() };
        tenant.mailboxes.iter().map(account).collect()
    }
}

/// Where [`Endpoints::write_files`] puts the CA.
pub const CA_FILE: &str = "sandbox-ca.pem";
/// Where [`Endpoints::write_files`] puts the client secret.
pub const SECRET_FILE: &str = "sandbox-secret";

impl Endpoints {
    /// A relay's `posthouse.toml` that sends through this sandbox. It names the two files that
    /// [`Endpoints::write_files`] puts into the same directory.
    pub fn configuration(&self, listen: SocketAddr, data_dir: &Path) -> String {
        let text = |text: &str| toml_string(text);
        let path = |name: &str| toml_string(&data_dir.join(name).to_string_lossy());
        let domains: Vec<String> = self.domains.iter().map(|domain| text(domain)).collect();
        let senders: Vec<String> = self.domains.iter().map(|domain| text(&format!("*@{domain}"))).collect();
        let mailbox = self.mailboxes.first().map_or("", |account| account.address.as_str());
        format!(
            "data_dir = {data_dir}\n\n\
             [[listener]]\naddress = {listen}\n\n\
             [[client]]\nname = \"this machine\"\nnetworks = [\"127.0.0.0/8\", \"::1/128\"]\nsenders = [{senders}]\n\n\
             [[tenant]]\nname = \"sandbox\"\nid = {id}\ndomains = [{domains}]\n\
             credential = {{ client_id = {client_id}, client_secret = {{ file = {secret} }} }}\n\
             mailbox = [{{ address = {mailbox}, granted = [{senders}] }}]\n\
             path = [{{ kind = \"submission\", mailbox = {mailbox} }}]\n\
             endpoints = {{ login = {login}, submission = {submission}, ca = {ca} }}\n\n\
             [dns]\nwarn = false\n",
            data_dir = toml_string(&data_dir.to_string_lossy()),
            listen = text(&listen.to_string()),
            senders = senders.join(", "),
            id = text(&self.tenant_id),
            domains = domains.join(", "),
            client_id = text(&self.client_id),
            secret = path(SECRET_FILE),
            mailbox = text(mailbox),
            login = text(&self.login),
            submission = text(&format!("{}:{}", self.submission_host, self.submission.port())),
            ca = path(CA_FILE),
        )
    }

    /// Writes the CA and the client secret into `directory`, readable by the owner alone; says where.
    pub fn write_files(&self, directory: &Path) -> Result<[PathBuf; 2], FileError> {
        let paths = [directory.join(CA_FILE), directory.join(SECRET_FILE)];
        files::write_private(&paths[0], &self.ca_pem)?;
        files::write_private(&paths[1], self.client_secret.as_str())?;
        Ok(paths)
    }
}

/// As a basic string of TOML.
fn toml_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_valid_toml_even_with_odd_paths() {
        let endpoints = Endpoints {
            login: "https://localhost:1".to_owned(),
            login_address: "127.0.0.1:1".parse().unwrap(),
            submission: "127.0.0.1:2".parse().unwrap(),
            submission_host: "localhost".to_owned(),
            smart_host: None,
            control: "http://127.0.0.1:3".to_owned(),
            ca_pem: "pem".to_owned(),
            tenant_id: "tenant".to_owned(),
            domains: vec!["contoso.test".to_owned()],
            client_id: "client".to_owned(),
            client_secret: "secret".into(),
            mailboxes: vec![Account { address: "relay@contoso.test".to_owned(), password: None }],
        };
        let text = endpoints.configuration("127.0.0.1:2525".parse().unwrap(), Path::new("/tmp/a \"b\" \\c"));
        let table: toml::Table = text.parse().unwrap();
        let tenant = &table["tenant"][0];
        assert_eq!(table["listener"][0]["address"].as_str(), Some("127.0.0.1:2525"));
        assert_eq!(tenant["endpoints"]["submission"].as_str(), Some("localhost:2"));
        assert_eq!(tenant["endpoints"]["ca"].as_str(), Some("/tmp/a \"b\" \\c/sandbox-ca.pem"));
        assert_eq!(tenant["path"][0]["mailbox"].as_str(), Some("relay@contoso.test"));
        assert!(!text.contains("secret = \"secret\""));
    }

    #[test]
    fn debug_output_shows_no_secret() {
        assert!(
            !format!("{:?}", Account { address: String::new(), password: Some("hunter2".into()) }).contains("hunter2")
        );
    }
}
