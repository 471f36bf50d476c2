//! Who fetches the file. The doctor speaks no HTTP: whoever makes it gives it one of these.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use crate::domain::DomainName;

/// One request over HTTPS, as RFC 8461, section 3.3, wants it: the certificate verified for the host, no redirect followed, at
/// most `LARGEST` octets, within `LONGEST` from beginning to end.
pub trait PolicyFetch: std::fmt::Debug + Send + Sync {
    /// `https://HOST/.well-known/mta-sts.txt`, from one of these addresses.
    fn fetch<'a>(
        &'a self,
        host: &'a DomainName,
        addresses: &'a [IpAddr],
    ) -> Pin<Box<dyn Future<Output = Result<PolicyAnswer, FetchError>> + Send + 'a>>;
}

impl dyn PolicyFetch {
    /// Octets of a policy. RFC 8461, section 3.2.
    pub const LARGEST: usize = 64 * 1024;
    /// Looking up, connecting and reading. A minute is allowed; nobody's terminal waits that long.
    pub const LONGEST: std::time::Duration = std::time::Duration::from_secs(10);
    /// Where the file is.
    pub const PATH: &'static str = "/.well-known/mta-sts.txt";
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyAnswer {
    /// 200 is the only one that counts.
    pub status: u16,
    /// Of a redirect: whereto.
    pub location: Option<String>,
    /// The header field.
    pub content_type: Option<String>,
    /// The content, of a 200.
    pub body: Vec<u8>,
}

/// Why there is no answer. The words are the cause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The server's move: its certificate is not for this host, has expired, or is signed by nobody who is known.
    #[error("the certificate cannot be verified: {0}")]
    Certificate(String),
    /// The server's move.
    #[error("it has more than {} octets", <dyn PolicyFetch>::LARGEST)]
    TooLong,
    /// The link, or the server; from here it cannot be told which.
    #[error("{0}")]
    Unreachable(String),
}
