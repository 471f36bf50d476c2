//! Next hops: submission to Exchange Online with OAuth, and the smart host.

mod settings;

pub use settings::{Auth, ClientTls, SmtpKind, SmtpSettings, Timeouts};
