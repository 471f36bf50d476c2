//! What a server offered in its EHLO reply.
//!
//! In: a reply to EHLO. Out: what may be used. Never: an error; what is not understood is not used.

use crate::{Mechanism, Reply};

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

impl Extensions {
    /// Of a positive reply to EHLO; keywords in any case.
    pub fn parse(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.lines.iter().skip(1) {
            extensions.read_line(line);
        }
        extensions
    }

    fn read_line(&mut self, line: &str) {
        let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
        let Some(keyword) = words.next() else { return };
        match keyword.to_ascii_uppercase().as_str() {
            "PIPELINING" => self.pipelining = true,
            "SIZE" => self.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0)),
            "8BITMIME" => self.eight_bit_mime = true,
            "BINARYMIME" => self.binary_mime = true,
            "CHUNKING" => self.chunking = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "DSN" => self.dsn = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "STARTTLS" => self.starttls = true,
            "AUTH" => self.read_mechanisms(words),
            "LIMITS" => self.read_limits(line),
            _ => {}
        }
    }

    fn read_mechanisms<'a>(&mut self, keywords: impl Iterator<Item = &'a str>) {
        for mechanism in keywords.filter_map(Mechanism::from_keyword) {
            if !self.auth.contains(&mechanism) {
                self.auth.push(mechanism);
            }
        }
    }

    fn read_limits(&mut self, line: &str) {
        for (name, value) in line.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
            match name.to_ascii_uppercase().as_str() {
                "RCPTMAX" => self.limit_recipients = value.parse().ok(),
                "MAILMAX" => self.limit_messages = value.parse().ok(),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&'static str]) -> Extensions {
        let mut reply = Reply::plain(250, "PIPELINING in the first line is a greeting");
        reply.lines.extend(lines.iter().map(|&line| line.into()));
        Extensions::parse(&reply)
    }

    #[test]
    fn keywords_are_read_in_any_case_and_unknown_ones_passed_over() {
        let read =
            parse(&["pipelining", "SIZE 157286400", "x-foo SIZE 1", "", "8BitMime", "LIMITS RCPTMAX=100 mailmax=7 X"]);
        let expected = Extensions {
            pipelining: true,
            size: Some(157_286_400),
            eight_bit_mime: true,
            limit_recipients: Some(100),
            limit_messages: Some(7),
            ..Extensions::default()
        };
        assert_eq!(read, expected);
        assert_eq!(parse(&[]), Extensions::default());
        assert_eq!(parse(&["SIZE"]).size, Some(0));
    }

    #[test]
    fn mechanisms_keep_the_servers_order_in_both_forms_of_auth() {
        let read = parse(&["AUTH=LOGIN PLAIN", "AUTH GSSAPI XOAUTH2 LOGIN"]);
        assert_eq!(read.auth, [Mechanism::Login, Mechanism::Plain, Mechanism::XOAuth2]);
    }
}
