//! Who is told of what became of a message, and by which way. Not yet here: everything but the types.

use queue::LaneName;
use smtp::ForwardPath;

/// Mail of our own to an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Whom.
    pub to: Vec<ForwardPath>,
    /// One line, any language.
    pub subject: String,
    /// Plain text, lines separated by `\n`.
    pub text: String,
    /// The lane or pool that it should take; `None`: whichever works, those with the recipients' tenant first.
    pub by: Option<LaneName>,
    /// Lanes that it must not take: they are broken.
    pub not_by: Vec<LaneName>,
}

/// Why a notification could not be queued.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotifyError {
    /// No lane is left.
    #[error("no path that works can carry it: {0}")]
    NoPath(String),
    /// The spool did not take it.
    #[error("the spool did not take it: {0}")]
    Spool(queue::SpoolError),
}
