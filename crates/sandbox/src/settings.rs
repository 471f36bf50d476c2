//! What a sandbox is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::tenant::{App, Mailbox, Tenant};

/// Where it listens, what tenant it simulates, what it keeps. The default is ready for use: free ports of 127.0.0.1, a
/// tenant `contoso.test` with one application and two mailboxes, everything in memory.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of the submission endpoint.
    pub submission: SocketAddr,
    /// Of the token endpoint (HTTPS).
    pub login: SocketAddr,
    /// Of the control API (HTTP, no authentication).
    pub control: SocketAddr,
    /// Of a plain SMTP server that takes everything; absent: none.
    pub smart_host: Option<SocketAddr>,
    /// Lets the listeners bind to other addresses than the loopback's. Anybody who reaches the control API rules the sandbox.
    pub allow_remote: bool,
    /// Host names for the server certificate, beside `localhost` and Microsoft's.
    pub names: Vec<String>,
    /// Where the CA, the keys and the first application's identity are kept, so that a configuration lives on over a
    /// restart. Absent: all made anew.
    pub directory: Option<PathBuf>,
    /// The tenant. Where an application has no client id, or no secret and no certificate, one is made up at start;
    /// without any application one is added.
    pub tenant: Tenant,
    /// See there.
    pub retention: Retention,
    /// Whether recipients like `bounce-550@…` cause faults.
    pub address_faults: bool,
    /// Sessions at the same time on each SMTP endpoint; over it 421 4.3.2.
    pub sessions: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            submission: free,
            login: free,
            control: free,
            smart_host: None,
            allow_remote: false,
            names: Vec::new(),
            directory: None,
            tenant: Tenant {
                apps: vec![App {
                    name: "relay".to_owned(),
                    roles: vec!["SMTP.SendAsApp".to_owned()],
                    ..App::default()
                }],
                mailboxes: vec![
                    Mailbox::new("relay@contoso.test").password("relay-password").send_as("*@contoso.test"),
                    Mailbox::new("billing@contoso.test").password("billing-password").alias("invoices@contoso.test"),
                ],
                ..Tenant::default()
            },
            retention: Retention::default(),
            address_faults: true,
            sessions: 5000,
        }
    }
}

/// How much of what arrived is kept for inspection. Older messages make room for newer ones; the counters go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Messages.
    pub messages: usize,
    /// Octets of content in memory, all messages together.
    pub memory: u64,
    /// A message over this size is kept in a temporary file.
    pub in_memory_message: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { messages: 50_000, memory: 256 * 1024 * 1024, in_memory_message: 512 * 1024 }
    }
}
