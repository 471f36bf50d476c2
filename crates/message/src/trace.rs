//! The `Received:` field that a relay adds (RFC 5321 §4.4, RFC 3848 for the words after `with`).

use std::net::IpAddr;

use jiff::Timestamp;

/// How the message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// EHLO was said (else HELO).
    pub esmtp: bool,
    /// TLS.
    pub tls: bool,
    /// AUTH.
    pub authenticated: bool,
    /// SMTPUTF8 was asked for (RFC 6531 §4.3).
    pub smtputf8: bool,
}

impl Via {
    /// `SMTP`, `ESMTP`, `ESMTPS`, `ESMTPA`, `ESMTPSA`, `UTF8SMTP`, `UTF8SMTPSA` …
    pub fn protocol(self) -> &'static str {
        todo!()
    }
}

/// What a trace field says.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// Argument of EHLO; written only as far as its characters cannot forge anything.
    pub helo: &'a str,
    /// Address of the client.
    pub peer: IpAddr,
    /// Our host name.
    pub by: &'a str,
    /// With.
    pub via: Via,
    /// The id of the message.
    pub id: &'a str,
    /// TLS version and cipher suite, for a comment.
    pub tls: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

impl Received<'_> {
    /// The whole field, folded, CRLF at its end. No `for`: it would show one recipient to the others.
    pub fn field(&self) -> String {
        todo!()
    }
}
