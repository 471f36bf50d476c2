//! The suite, run against the embedded backend, once with bodies in memory and once with no memory for them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use queue::Spool;
use spool::suite::{Backend, FixedClock};
use spool::{Embedded, Settings};
use telemetry::Metrics;

struct Directory {
    dir: tempfile::TempDir,
    memory: u64,
}

pub(crate) fn open(dir: PathBuf, memory: u64) -> Arc<dyn Spool> {
    let settings = Settings { dir, reserve: 1 << 20, memory, history: 1000 };
    Arc::new(Embedded::open(settings, Arc::new(FixedClock::new()), Arc::new(Metrics::default())).unwrap())
}

#[async_trait]
impl Backend for Directory {
    async fn open(&self) -> Arc<dyn Spool> {
        open(self.dir.path().to_owned(), self.memory)
    }
}

macro_rules! in_memory_and_in_files {
    ($($promise:ident,)*) => {
        mod in_memory {$(
            #[tokio::test]
            async fn $promise() {
                let dir = tempfile::tempdir().unwrap();
                spool::suite::$promise(&super::Directory { dir, memory: 16 << 20 }).await;
            }
        )*}
        mod in_files {$(
            #[tokio::test]
            async fn $promise() {
                let dir = tempfile::tempdir().unwrap();
                spool::suite::$promise(&super::Directory { dir, memory: 0 }).await;
            }
        )*}
    };
}

spool::promises!(in_memory_and_in_files);
