//! The `Received:` field that a relay adds (RFC 5321 §4.4, RFC 3848 for the words after `with`).
//!
//! In: what is known of the session. Out: one header field as text. Never: a character of the client's that could end
//! the field, open a comment or look like a clause of ours.

use std::fmt::Write;
use std::net::IpAddr;

use jiff::Timestamp;

/// Octets of a HELO argument that are written: a domain has no more (RFC 5321 §4.5.3.1.2).
const HELO_OCTETS: usize = 255;

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
    /// `SMTP`, `ESMTP`, `ESMTPS`, `ESMTPA`, `ESMTPSA`, `UTF8SMTP`, `UTF8SMTPSA` … The registry has no words for TLS or
    /// AUTH without EHLO.
    pub fn protocol(self) -> &'static str {
        match (self.smtputf8, self.esmtp, self.tls, self.authenticated) {
            (true, _, false, false) => "UTF8SMTP",
            (true, _, false, true) => "UTF8SMTPA",
            (true, _, true, false) => "UTF8SMTPS",
            (true, _, true, true) => "UTF8SMTPSA",
            (false, false, _, _) => "SMTP",
            (false, true, false, false) => "ESMTP",
            (false, true, false, true) => "ESMTPA",
            (false, true, true, false) => "ESMTPS",
            (false, true, true, true) => "ESMTPSA",
        }
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
    /// The whole field, folded, CRLF at its end. No `for`: it would show one recipient to the others. A line is longer
    /// than 77 columns only where a single name is.
    pub fn field(&self) -> String {
        let mut field = Folded::new("Received:");
        field.word("from");
        field.word(&helo(self.helo));
        field.word(&match self.peer.to_canonical() {
            IpAddr::V4(address) => format!("([{address}])"),
            IpAddr::V6(address) => format!("([IPv6:{address}])"),
        });
        field.line();
        field.word("by");
        field.word(self.by);
        field.word("with");
        field.word(self.via.protocol());
        if let Some(tls) = self.tls {
            field.word(&format!("({})", comment(tls)));
        }
        field.line();
        field.word("id");
        field.word(self.id);
        field.text.push(';');
        field.word(&self.at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string());
        field.text.push_str("\r\n");
        field.text
    }
}

/// A header field in the making: words, each on the line where it fits.
struct Folded {
    text: String,
    column: usize,
}

impl Folded {
    fn new(name: &str) -> Self {
        let mut text = String::with_capacity(320);
        text.push_str(name);
        Self { column: text.len(), text }
    }

    fn word(&mut self, word: &str) {
        if self.column > 1 && self.column + 1 + word.len() > 77 {
            self.line();
        }
        if self.column > 1 {
            self.text.push(' ');
            self.column += 1;
        }
        self.text.push_str(word);
        self.column += word.len();
    }

    /// Goes on in a continuation line.
    fn line(&mut self) {
        self.text.push_str("\r\n ");
        self.column = 1;
    }
}

/// A domain or an address literal as it is; anything else with `?` for what neither may hold, so that no blank,
/// parenthesis, semicolon or line end of the client's stands in the field.
fn helo(name: &str) -> String {
    let inside = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(literal) = inside
        && literal.len() < HELO_OCTETS
        && literal.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'-'))
    {
        return name.to_owned();
    }
    let harmless = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':') { c } else { '?' };
    let text: String = name.chars().take(HELO_OCTETS).map(harmless).collect();
    if text.is_empty() { "unknown".to_owned() } else { text }
}

/// Text that may stand in a comment.
fn comment(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        let harmless = c == ' ' || (c.is_ascii_graphic() && !matches!(c, '(' | ')' | '\\'));
        let _ = clean.write_char(if harmless { c } else { '?' });
    }
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn via(esmtp: bool, tls: bool, authenticated: bool, smtputf8: bool) -> Via {
        Via { esmtp, tls, authenticated, smtputf8 }
    }

    fn example(helo: &str) -> Received<'_> {
        Received {
            helo,
            peer: "10.20.0.7".parse().unwrap(),
            by: "relay.contoso.com",
            via: via(true, true, false, false),
            id: "01ARZ3NDEKTSV",
            tls: Some("TLSv1.3 TLS13_AES_256_GCM_SHA384"),
            at: Timestamp::from_second(1_795_213_927).unwrap(),
        }
    }

    #[test]
    fn the_field_reads_as_rfc_5321_wants_it() {
        let expected = "Received: from printer.contoso.com ([10.20.0.7])\r\n \
                        by relay.contoso.com with ESMTPS (TLSv1.3 TLS13_AES_256_GCM_SHA384)\r\n \
                        id 01ARZ3NDEKTSV; Fri, 20 Nov 2026 22:32:07 +0000\r\n";
        assert_eq!(example("printer.contoso.com").field(), expected);
    }

    #[test]
    fn with_names_the_protocol_by_the_registry() {
        let words = [
            (via(false, false, false, false), "SMTP"),
            (via(true, false, false, false), "ESMTP"),
            (via(true, false, true, false), "ESMTPA"),
            (via(true, true, false, false), "ESMTPS"),
            (via(true, true, true, false), "ESMTPSA"),
            (via(true, false, false, true), "UTF8SMTP"),
            (via(true, true, true, true), "UTF8SMTPSA"),
        ];
        for (via, word) in words {
            assert_eq!(via.protocol(), word);
        }
    }

    #[test]
    fn an_ipv6_peer_is_an_address_literal_and_a_mapped_one_is_ipv4() {
        let with = |peer: &str| Received { peer: peer.parse().unwrap(), ..example("x") }.field();
        assert!(with("2001:db8::7").contains("from x ([IPv6:2001:db8::7])"));
        assert!(with("::ffff:192.0.2.1").contains("from x ([192.0.2.1])"));
    }

    #[test]
    fn helo_text_cannot_forge_a_clause() {
        let field = example("x) by relay.contoso.com with ESMTP id 0000000000000; (").field();
        assert!(field.starts_with("Received: from x??by?relay.contoso.com?with?ESMTP?id?0000000000000???"), "{field}");
        assert_eq!(helo("[10.1.2.3]"), "[10.1.2.3]");
        assert_eq!(helo("[IPv6:::1]"), "[IPv6:::1]");
        assert_eq!(helo("[1.2.3.4) (]"), "?1.2.3.4????");
        assert_eq!(helo(""), "unknown");
    }

    proptest! {
        #[test]
        fn whatever_helo_says_the_field_stays_one_field_of_short_lines(name in "\\PC{0,40}|[ -~\\r\\n\\t]{0,60}", v6: [u16; 8]) {
            let field = Received { peer: IpAddr::V6(v6.into()), ..example(&name) }.field();
            let lines: Vec<&str> = field.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            prop_assert!(lines.iter().all(|line| line.len() < 78 && !line.contains(['\r', '\n'])), "{}", field);
            prop_assert!(lines[1..].iter().all(|line| line.starts_with(' ') && !line.trim().is_empty()));
            prop_assert_eq!(field.matches(" id ").count(), 1);
            prop_assert_eq!(field.matches(" by ").count(), 1);
        }
    }
}
