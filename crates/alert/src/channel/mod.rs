//! The ways to people, one file each.
//!
//! In: a bulletin. Out: it has arrived, or why not, what to do about that, and when to try again. Never: a wait without
//! bound, a secret in an error.

mod command;
mod format;
mod mail;
mod syslog;
mod unix;
mod webhook;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::Post;
use crate::notice::Bulletin;
use crate::settings::{Channel, ChannelSettings};

/// Sends bulletins one way.
#[async_trait]
pub(crate) trait Sender: Send + Sync {
    /// It has arrived, as far as that way lets us know.
    async fn send(&self, bulletin: &Bulletin) -> Result<(), Failure>;
}

/// It did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What happened, in one line, without a secret.
    pub(crate) what: String,
    /// What to do, in one line.
    pub(crate) hint: String,
    pub(crate) again: Again,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It may pass: after some seconds, later some minutes.
    Soon,
    /// Not earlier than they said.
    After(Duration),
    /// Somebody must act: now and then.
    Seldom,
}

impl Failure {
    pub(crate) fn soon(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), again: Again::Soon }
    }
    pub(crate) fn seldom(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), again: Again::Seldom }
    }
}

/// The wall clock.
pub(crate) type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Known once the worker runs.
pub(crate) type PostBox = Arc<OnceLock<Arc<dyn Post>>>;

/// The sender of a channel.
pub(crate) fn sender(settings: &ChannelSettings, now: &Now, post: &PostBox) -> Arc<dyn Sender> {
    match settings.channel.clone() {
        Channel::Webhook { url, format, ca } => Arc::new(webhook::Webhook::new(url, format, ca, Arc::clone(now))),
        Channel::Syslog { to, facility } => Arc::new(syslog::Syslog::new(to, facility)),
        Channel::Command { command, timeout } => Arc::new(command::Command::new(command, timeout)),
        Channel::Mail { to, by } => Arc::new(mail::ByMail::new(to, by, Arc::clone(post))),
    }
}
