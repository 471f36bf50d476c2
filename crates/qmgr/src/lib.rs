//! The queue manager: joins queue, spool, transports and clock.

use std::sync::Arc;

use queue::{LaneSettings, RetryPolicy, Routes, Transport};

/// What the queue manager is told.
pub struct Settings {
    /// See there.
    pub retry: RetryPolicy,
    /// Messages in memory for each line of a lane. Default 1,000.
    pub window: usize,
    /// Every lane with its transport.
    pub lanes: Vec<(LaneSettings, Arc<dyn Transport>)>,
    /// For messages whose lane is no longer configured.
    pub routes: Routes,
    /// On shutdown attempts under way may finish within this. Default 30 seconds.
    pub grace: std::time::Duration,
}
