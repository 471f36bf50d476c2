//! What a server offered in its EHLO reply.

use crate::Mechanism;

/// Parsed from the lines after the first of a 250 reply to EHLO. Unknown keywords are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// PIPELINING, RFC 2920.
    pub pipelining: bool,
    /// SIZE, RFC 1870: `Some(0)` is "no fixed limit".
    pub size: Option<u64>,
    /// 8BITMIME, RFC 6152.
    pub eight_bit_mime: bool,
    /// BINARYMIME, RFC 3030.
    pub binary_mime: bool,
    /// CHUNKING, RFC 3030.
    pub chunking: bool,
    /// SMTPUTF8, RFC 6531.
    pub smtputf8: bool,
    /// DSN, RFC 3461.
    pub dsn: bool,
    /// ENHANCEDSTATUSCODES, RFC 2034.
    pub enhanced_status_codes: bool,
    /// STARTTLS, RFC 3207.
    pub starttls: bool,
    /// AUTH, RFC 4954, also in the old `AUTH=` form; mechanisms we speak, in the server's order.
    pub auth: Vec<Mechanism>,
    /// LIMITS RCPTMAX, RFC 9422.
    pub limit_recipients: Option<u32>,
    /// LIMITS MAILMAX, RFC 9422.
    pub limit_messages: Option<u32>,
}
