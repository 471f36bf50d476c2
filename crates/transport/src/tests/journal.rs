//! A journal that is looked into, and can fail; and what is written there before the last byte goes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use queue::{Journal, SpoolError};

/// What was noted, transaction by transaction.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    noted: Mutex<Vec<Vec<u32>>>,
    pub(crate) fails: AtomicBool,
}

impl Notes {
    pub(crate) fn noted(&self) -> Vec<Vec<u32>> {
        self.noted.lock().unwrap().clone()
    }
}

#[async_trait]
impl Journal for Notes {
    async fn last_byte(&self, recipients: &[u32]) -> Result<(), SpoolError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(SpoolError::Closed("the disk is full".to_owned()));
        }
        self.noted.lock().unwrap().push(recipients.to_vec());
        Ok(())
    }
}
