//! Next hops: submission to Exchange Online with OAuth, and the smart host.
//!
//! In: a message's envelope and bytes, for some of its recipients. Out: what became of each, and what that says about the
//! lane. Never: a clock of its own, a retry of its own (but for an idle connection that had died), a bounce for trouble
//! that is ours.

mod attempt;
mod auth;
mod block;
mod classify;
mod connect;
mod content;
mod open;
mod plan;
mod pool;
mod preview;
mod recipients;
mod refusal;
mod refusals;
mod remote_id;
mod report;
mod sender;
mod session;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod throttle;
mod tls;
mod transaction;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use async_trait::async_trait;
use jiff::Timestamp;
use queue::{Attempt, AttemptReport, BodyReader, Transport};
use tokio_util::sync::CancellationToken;

use crate::attempt::Run;
use crate::auth::Login;
use crate::block::Block;
use crate::classify::Rules;
use crate::open::NextHop;
use crate::pool::Pool;
use crate::recipients::Learnt;
use crate::tls::Tls;
use crate::watch::Watch;

pub use preview::{Leaving, Preview, Previewed, Shown, SigningKey, preview};
pub use refusals::Refusals;
pub use sender::{Claims, ClientRules, Clients, Decision, Identity, Keeping, Rewrite, decide};
pub use settings::{Auth, ClientTls, SmtpKind, SmtpSettings, Timeouts};

/// What is wrong with the settings of a next hop.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The extra roots.
    #[error("the CA file {path} cannot be used: {cause}")]
    Ca {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// No name that a certificate could be for.
    #[error("`{0}` is neither a host name nor an address")]
    Host(String),
    /// No roots at all, or TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A next hop that speaks SMTP, with its connections.
pub struct SmtpTransport {
    next_hop: NextHop,
    pool: Pool,
    /// Most recipients of a transaction, as the server's refusals tell.
    recipients: Learnt,
    block: Block,
    /// Senders that were refused.
    refusals: Arc<Refusals>,
    /// Attempts break off.
    abandoned: CancellationToken,
}

impl SmtpTransport {
    /// No connection is made yet. Reads the system's roots and the given ones.
    pub fn new(
        settings: SmtpSettings,
        catalogue: Arc<m365::Catalogue>,
        refusals: Arc<Refusals>,
    ) -> Result<Self, SetupError> {
        let login = Login::new(&settings.auth);
        Self::with_login(settings, catalogue, refusals, login)
    }

    fn with_login(
        settings: SmtpSettings,
        catalogue: Arc<m365::Catalogue>,
        refusals: Arc<Refusals>,
        login: Login,
    ) -> Result<Self, SetupError> {
        let tls = Tls::new(&settings)?;
        let pool = Pool::new(&settings);
        let rules = Rules { kind: settings.kind, catalogue };
        let next_hop = NextHop {
            label: format!("{}:{}", settings.host, settings.port),
            settings,
            tls,
            login,
            rules,
            opened: AtomicU64::new(0),
            proxy_failures: AtomicU32::new(0),
            watch: Watch::default(),
        };
        Ok(Self {
            next_hop,
            pool,
            recipients: Learnt::default(),
            block: Block::default(),
            refusals,
            abandoned: CancellationToken::new(),
        })
    }

    /// Most recipients of a transaction that would like to have so many: by the settings, by what the server says of itself
    /// (LIMITS RCPTMAX), and by what it refused.
    fn recipients_at_once(&self, offered: Option<u32>, wanted: usize) -> usize {
        let allowed = self.recipients_allowed(offered);
        allowed.min(self.recipients.most(wanted.min(allowed)))
    }

    fn recipients_allowed(&self, offered: Option<u32>) -> usize {
        let offered = offered.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        self.next_hop.settings.recipients.min(offered).max(1)
    }
}

impl std::fmt::Debug for SmtpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpTransport").field("lane", &self.next_hop.settings.lane).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for SmtpTransport {
    async fn attempt(&self, attempt: Attempt<'_>, body: BodyReader, now: Timestamp) -> AttemptReport {
        let mut report = Run::attempt(self, attempt, body, now).await;
        self.block.heed(&mut report.lane);
        report
    }

    async fn tend(&self) {
        self.pool.tend().await;
        self.next_hop.watch.look(&self.next_hop.login).await;
    }

    fn credential_replaced(&self) -> bool {
        self.next_hop.watch.take_replaced()
    }

    fn ask_anew(&self) {
        self.next_hop.login.ask_anew();
    }

    fn abandon(&self) {
        self.abandoned.cancel();
    }

    fn refused_senders(&self, now: Timestamp) -> Vec<queue::RefusedSender> {
        let mailbox = self.next_hop.settings.identity.mailbox.as_ref();
        mailbox.map(|mailbox| self.refusals.of_mailbox(mailbox, now)).unwrap_or_default()
    }

    fn connections(&self) -> (usize, usize) {
        self.pool.counts()
    }
}
