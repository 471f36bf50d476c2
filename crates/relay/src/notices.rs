//! What the alerts need of the relay: a memory that survives (the spool's), and a way to leave as mail (the queue manager's).

use std::sync::Arc;

use alert::{Mail, Memory, Post};
use async_trait::async_trait;
use qmgr::{Handle, Notification};
use queue::{LaneName, Spool};
use smtp::{ForwardPath, Mailbox};

/// See [`Memory`]. Keys of the alerts begin with `alert/` by themselves.
pub(crate) struct SpoolMemory(pub(crate) Arc<dyn Spool>);

#[async_trait]
impl Memory for SpoolMemory {
    async fn remember(&self, key: &str, value: Option<&str>) -> Result<(), String> {
        self.0.remember(key, value).await.map_err(|error| error.to_string())
    }

    async fn remembered(&self, prefix: &str) -> Result<Vec<(String, String)>, String> {
        self.0.remembered(prefix).await.map_err(|error| error.to_string())
    }
}

/// See [`Post`].
pub(crate) struct QueuePost(pub(crate) Handle);

#[async_trait]
impl Post for QueuePost {
    async fn mail(&self, mail: Mail) -> Result<(), String> {
        let to = mail.to.iter().map(|to| Mailbox::parse(to).map(ForwardPath::Mailbox));
        let notification = Notification {
            to: to.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
            subject: mail.subject,
            text: mail.text,
            by: mail.by.map(|by| LaneName(by.into())),
            not_by: mail.not_by.into_iter().map(|lane| LaneName(lane.into())).collect(),
        };
        self.0.notify(notification).await.map(drop).map_err(|error| error.to_string())
    }
}
