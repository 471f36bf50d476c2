//! A DNS server for the binary: the doctor's, on a runtime of its own.

use std::net::SocketAddr;

use tokio::runtime::Runtime;

#[allow(dead_code, reason = "the doctor's tests ask it more")]
#[path = "../../../../doctor/tests/it/server.rs"]
mod server;

/// Runs until it is dropped.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

impl DnsServer {
    /// A zone: one record a line, `name TYPE value`.
    pub(crate) fn start(zone: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(server::Server::start(zone));
        Self { address: server.address, _runtime: runtime }
    }

    /// To be asked in place of the system's: a table for the configuration.
    pub(crate) fn table(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\ntimeout = \"20s\"\n", self.address)
    }
}
