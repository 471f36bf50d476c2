//! What the answers are made of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alert::Desk;
use jiff::Timestamp;
use qmgr::Handle;
use queue::{Clock, Spool};
use telemetry::Metrics;

/// The parts of a running relay that can be asked.
#[derive(Clone)]
pub struct State {
    /// The queue manager.
    pub queue: Handle,
    /// Where incidents are told.
    pub alerts: Desk,
    /// Where accepted mail is.
    pub spool: Arc<dyn Spool>,
    /// See there.
    pub metrics: Arc<Metrics>,
    /// See there.
    pub clock: Arc<dyn Clock>,
    /// Our name.
    pub hostname: String,
    /// Of the program.
    pub version: String,
    /// Name and address of each listener, as bound.
    pub listeners: Vec<(String, SocketAddr)>,
    /// Whether the listeners take connections: true once they are bound, false as soon as they stop, for whatever reason.
    pub listening: Arc<AtomicBool>,
    /// When this process started.
    pub started_at: Timestamp,
}
