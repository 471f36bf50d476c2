//! The Simple Mail Transfer Protocol as values: addresses, parameters, replies, and the two machines that speak it.
//!
//! In: bytes of the peer and the answers of the driver. Out: bytes for the peer and what the driver must do next.
//! Never: a socket, a file, a clock, a thread, an async runtime. Any conversation can therefore be replayed in a test,
//! split at every byte.
//!
//! RFC 5321 (SMTP), 1870 (SIZE), 2034 (ENHANCEDSTATUSCODES), 2920 (PIPELINING), 3030 (CHUNKING, BINARYMIME), 3207
//! (STARTTLS), 3461 (DSN), 3463 (enhanced status codes), 4954 (AUTH), 6152 (8BITMIME), 6531 (SMTPUTF8), 9422 (LIMITS).

mod address;
mod auth;
pub mod client;
mod content;
mod extensions;
mod parameters;
mod reply;
pub mod server;

pub use address::{AddressError, AddressPattern, AddressPatternError, ForwardPath, Mailbox, ReversePath};
pub use auth::{Credentials, Mechanism};
pub use content::{DotStuffer, DotUnstuffer, Unstuffed};
pub use extensions::Extensions;
pub use parameters::{
    BodyType, EnvelopeId, MailParameters, Notify, OriginalRecipient, ParameterError, ParametersError, RcptParameters,
    Ret,
};
pub use reply::{EnhancedStatus, Reply, ReplyCode, ReplyError, ReplyParser};
