//! A simulated Microsoft 365: the token endpoint of Entra ID, the submission endpoint of Exchange Online, mailboxes that
//! keep what arrived, faults on demand, a clock that can be moved.
//!
//! In: connections of any mail program, settings, orders of its control API. Out: the answers that Microsoft would give.
//! Never: a connection to anywhere, mail that leaves the machine, a listener off the loopback unless asked for.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use posthouse_sandbox::{Fault, Sandbox, Settings, Step};
//! let sandbox = Sandbox::start(Settings::default()).await?;
//! sandbox.add_fault(Fault::at(Step::End).reply("451 4.7.0 Temporary server error").once())?;
//! let submission = sandbox.endpoints().submission;
//! // … let the program under test send through `submission` …
//! sandbox.arrived(1).await;
//! assert!(sandbox.messages()[0].is_for("bob@example.com"));
//! sandbox.stop().await;
//! # Ok(())
//! # }
//! ```

mod activity;
mod ca;
mod clock;
mod content;
mod control;
mod endpoints;
mod enforcement;
mod entra;
mod exchange;
mod faults;
mod files;
mod header;
mod hidden;
mod sandbox;
mod settings;
mod statistics;
mod store;
mod tenant;
mod world;

pub use activity::{Failing, MailboxStatistics};
pub use ca::{CaError, TlsFault};
pub use clock::Clock;
pub use endpoints::{Account, CA_FILE, Endpoints, SECRET_FILE};
pub use enforcement::{Enforcement, Submission, TenantStatistics};
pub use entra::KeyError;
pub use faults::{Action, ActiveFault, Fault, FaultError, Step};
pub use files::FileError;
pub use hidden::Hidden;
pub use sandbox::{Sandbox, StartError};
pub use settings::{Retention, Settings};
pub use statistics::Statistics;
pub use store::{Message, MessageParameters, Recipient};
pub use tenant::{App, AppSecret, BasicAuth, Limits, Mailbox, RateExcess, Tenant};
