//! Why an attempt got no connection to speak on: the same for every recipient, and never their fault.

use queue::{LaneVerdict, Outcome, Pause, RemoteReply};

/// See the head of this file.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// In one line.
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
    pub(crate) remote: Option<RemoteReply>,
    pub(crate) lane: LaneVerdict,
}

impl Refusal {
    pub(crate) fn new(reason: String, lane: LaneVerdict) -> Box<Self> {
        Box::new(Self { reason, hint: None, remote: None, lane })
    }

    /// Reason and remedy as the pause says them.
    pub(crate) fn paused(pause: Pause) -> Box<Self> {
        Box::new(Self {
            reason: pause.reason.clone(),
            hint: Some(pause.remedy.clone()),
            remote: None,
            lane: LaneVerdict::Paused(pause),
        })
    }

    /// For each recipient.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::Deferred {
            reason: self.reason.clone(),
            hint: self.hint.clone(),
            not_before: None,
            remote: self.remote.clone(),
            counts: false,
        }
    }
}
