//! Values that are written as text, each checked once and of its own type from then on.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use argon2::password_hash::phc::PasswordHash;
use ipnet::IpNet;
use toml::de::DeValue;

use crate::problem::{Complaint, Sink};
use crate::read::{Read, Sort, Spot, wrong_type};

/// A value that is written as a string.
pub(crate) trait FromText: Sized {
    /// What it is, with its article.
    const IS: &'static str;
    /// What is wrong otherwise, in words that go after the key's name.
    fn from_text(text: &str) -> Result<Self, Complaint>;
    /// For the reference page.
    fn sort_words() -> String {
        Self::IS.trim_start_matches("an ").trim_start_matches("a ").to_owned()
    }
}

impl<T: FromText> Read for T {
    fn sort() -> Sort {
        Sort::Value(T::sort_words())
    }
    fn read(value: &DeValue<'_>, at: &Spot<'_>, sink: &mut Sink) -> Option<Self> {
        let Some(text) = value.as_str() else {
            sink.complain(at.place, wrong_type(at.key, &format!("{} in quotes", T::IS), value));
            return None;
        };
        T::from_text(text)
            .map_err(|complaint| {
                let what = format!("`{}` {}", at.key, complaint.what);
                sink.complain(at.place, Complaint { what, ..complaint });
            })
            .ok()
    }
}

impl Read for bool {
    fn sort() -> Sort {
        Sort::Value("true or false".to_owned())
    }
    fn read(value: &DeValue<'_>, at: &Spot<'_>, sink: &mut Sink) -> Option<Self> {
        if value.as_bool().is_none() {
            sink.complain(at.place, wrong_type(at.key, "true or false", value));
        }
        value.as_bool()
    }
}

fn is_not<T: FromText>(text: &str, remedy: &str) -> Complaint {
    Complaint::new(format!("is not {}: \"{text}\"", T::IS), remedy)
}

/// Text without controls, not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl FromText for Text {
    const IS: &'static str = "a text";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            return Err(Complaint::new("is empty or holds control characters", "write it in plain characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The name of a thing in this file: it becomes part of lane names, of logs, of labels of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl FromText for Name {
    const IS: &'static str = "a name";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let fits = |c: char| c.is_alphanumeric() || "-_.@:+[] ".contains(c);
        if text.is_empty() || text.trim() != text || text.len() > 100 || !text.chars().all(fits) {
            return Err(is_not::<Self>(text, "letters, digits, blanks and - _ . @ : + [ ], at most 100 of them"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A path in the file system, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePath(pub(crate) PathBuf);

impl FromText for FilePath {
    const IS: &'static str = "a path";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        if text.is_empty() || text.contains('\0') {
            return Err(is_not::<Self>(text, "relative paths are relative to this file's directory"));
        }
        Ok(Self(PathBuf::from(text)))
    }
}

impl FromText for SocketAddr {
    const IS: &'static str = "an IP address with a port";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        text.parse().map_err(|_| is_not::<Self>(text, "for example \"0.0.0.0:25\", \"[::]:465\" or \"127.0.0.1:8025\""))
    }
}

impl FromText for IpAddr {
    const IS: &'static str = "an IP address";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        text.parse().map_err(|_| is_not::<Self>(text, "for example \"203.0.113.10\" or \"2001:db8::10\""))
    }
}

impl FromText for IpNet {
    const IS: &'static str = "a network";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let net = text.parse().or_else(|_| text.parse().map(|address: IpAddr| Self::from(address)));
        let net: Self =
            net.map_err(|_| is_not::<Self>(text, "for example \"10.20.0.0/16\", \"fd00::/8\" or \"10.20.0.7\""))?;
        if net != net.trunc() {
            let what = format!("has bits set beyond its prefix: \"{text}\"");
            return Err(Complaint::new(
                what,
                format!("write \"{}\", or \"{}\" for the one address", net.trunc(), net.addr()),
            ));
        }
        Ok(net)
    }
}

/// A domain name with a dot, lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Domain(pub(crate) String);

impl FromText for Domain {
    const IS: &'static str = "a domain";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        if !is_domain(text) || !text.contains('.') {
            return Err(is_not::<Self>(
                text,
                "for example \"contoso.com\"; international names in their xn-- form or as UTF-8",
            ));
        }
        Ok(Self(text.to_lowercase()))
    }
}

impl FromText for dkim::Domain {
    const IS: &'static str = "a domain";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let remedy = "for example \"contoso.com\"; international names in their xn-- form";
        text.parse().map_err(|_| is_not::<Self>(text, remedy))
    }
}

impl FromText for dkim::Selector {
    const IS: &'static str = "a selector";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let remedy = "letters, digits and hyphens, for example \"posthouse-2026-11a\"";
        text.parse().map_err(|_| is_not::<Self>(text, remedy))
    }
}

/// The name of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(pub(crate) String);

impl FromText for HostName {
    const IS: &'static str = "a host name";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let ascii = text.is_ascii() && is_domain(text) && text.parse::<IpAddr>().is_err();
        if !ascii {
            return Err(is_not::<Self>(text, "the relay's full name in DNS, for example \"relay.contoso.com\""));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Labels of letters (also beyond ASCII), digits and inner hyphens.
pub(crate) fn is_domain(text: &str) -> bool {
    let inner = |c: char| c == '-' || (c.is_alphanumeric() && (!c.is_ascii() || c.is_ascii_alphanumeric()));
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A mailbox, as in `user@domain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) smtp::Mailbox);

impl FromText for Address {
    const IS: &'static str = "a mailbox";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let mailbox = smtp::Mailbox::parse(text);
        mailbox.map(Self).map_err(|error| is_not::<Self>(text, &error.to_string()))
    }
}

/// `user@domain`, `*@domain`, `*@*.domain` or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) pattern: smtp::AddressPattern,
}

impl FromText for Pattern {
    const IS: &'static str = "an address pattern";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let domain = text.rsplit_once('@').map_or("contoso.com", |(_, domain)| domain);
        let pattern = text.parse().ok().filter(|_| is_domain(domain.trim_start_matches("*.")));
        let remedy = "one of \"user@domain\", \"*@domain\", \"*@*.domain\" (its subdomains) and \"*\" (all)";
        let pattern = pattern.ok_or_else(|| is_not::<Self>(text, remedy))?;
        Ok(Self { text: text.to_owned(), pattern })
    }
}

impl Pattern {
    /// The domain that it speaks of, and whether it means the domain's subdomains; `None`: all.
    pub(crate) fn domain(&self) -> Option<(&str, bool)> {
        let (_, domain) = self.text.rsplit_once('@')?;
        Some(domain.strip_prefix("*.").map_or((domain, false), |domain| (domain, true)))
    }
}

/// Which criteria of a client must hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Match(pub(crate) inbound::Condition);

impl FromText for Match {
    const IS: &'static str = "a condition";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let remedy = "the words network, user, certificate, helo and listener with `and`, `or` and parentheses, for example \
                      \"network and (user or certificate)\"";
        text.parse().map(Self).map_err(|error| Complaint::new(format!("cannot be \"{text}\": {error}"), remedy))
    }
}

impl FromText for inbound::NamePattern {
    const IS: &'static str = "a name or a pattern of names";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        text.parse().map_err(|_| is_not::<Self>(text, "a name, or \"*.contoso.com\" for all below contoso.com"))
    }
}

impl FromText for inbound::CertificatePattern {
    const IS: &'static str = "a certificate";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let remedy = "its fingerprint, \"sha256:AB:CD:…\" (`openssl x509 -noout -fingerprint -sha256`), or a name in it, \
                      \"printer.contoso.com\" or \"*.contoso.com\"";
        text.parse().map_err(|error| Complaint::new(format!("is not {}: {error}", Self::IS), remedy))
    }
}

/// How a rewritten message shows who it was.
#[derive(Clone, Debug)]
pub(crate) struct Display(pub(crate) message::Template);

impl FromText for Display {
    const IS: &'static str = "a display name";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        message::Template::parse(text).map(Self).map_err(|error| is_not::<Self>(text, &error.to_string()))
    }
}

/// Name of a header field that may be edited.
#[derive(Clone, Debug)]
pub(crate) struct Field(pub(crate) message::FieldName);

impl FromText for Field {
    const IS: &'static str = "a header field to edit";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        message::FieldName::parse(text).map(Self).map_err(|error| is_not::<Self>(text, &error.to_string()))
    }
}

/// Name of the field that keeps the original From, or none.
#[derive(Clone, Debug)]
pub(crate) struct Kept(pub(crate) Option<message::FieldName>);

impl FromText for Kept {
    const IS: &'static str = "a header field";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        match text {
            "" => Ok(Self(None)),
            name => Field::from_text(name).map(|Field(name)| Self(Some(name))),
        }
    }
}

/// A host and perhaps its port: `smtp.example:1587`, `192.0.2.1`, `[2001:db8::1]:25`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl FromText for HostPort {
    const IS: &'static str = "a host, with or without a port";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let bad =
            || is_not::<Self>(text, "for example \"exchange.example:25\", \"192.0.2.1\" or \"[2001:db8::1]:587\"");
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port: None });
        }
        let (host, port) = match text.rsplit_once(':').filter(|_| !text.ends_with(']')) {
            Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?)),
            None => (text, None),
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match bracketed.map(str::parse::<std::net::Ipv6Addr>) {
            Some(Ok(address)) => Ok(Self { host: address.to_string(), port }),
            None if is_domain(host) => Ok(Self { host: host.to_owned(), port }),
            _ => Err(bad()),
        }
    }
}

/// Base URL of an HTTPS service, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpsUrl(pub(crate) String);

impl FromText for HttpsUrl {
    const IS: &'static str = "an https URL";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let url = text.trim_end_matches('/');
        let rest = url.strip_prefix("https://").unwrap_or_default();
        if rest.is_empty() || rest.contains(|c: char| c.is_whitespace() || c.is_control() || "?#@".contains(c)) {
            return Err(is_not::<Self>(
                text,
                "for example \"https://login.microsoftonline.com\"; credentials only travel under TLS",
            ));
        }
        Ok(Self(url.to_owned()))
    }
}

/// PHC string of argon2id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Argon2id(pub(crate) String);

impl FromText for Argon2id {
    const IS: &'static str = "an argon2id hash";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let hash =
            PasswordHash::new(text).ok().filter(|hash| hash.algorithm.as_str() == "argon2id" && hash.hash.is_some());
        if hash.is_none() {
            let remedy = "it starts with \"$argon2id$v=19$\"; `posthouse password` makes one";
            return Err(Complaint::new(format!("is not {}", Self::IS), remedy));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A day of the calendar: `2027-01-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day(pub(crate) jiff::civil::Date);

impl FromText for Day {
    const IS: &'static str = "a day";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let whole = text.len() == "2027-01-31".len();
        let day = text.parse().ok().filter(|_| whole);
        day.map(Self).ok_or_else(|| is_not::<Self>(text, "year, month and day, as in \"2027-01-31\""))
    }
}

/// Where syslog messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SyslogServer {
    /// A datagram each.
    Udp(alert::Server),
    /// A stream.
    Tcp(alert::Server),
    /// A socket of this machine.
    Local(PathBuf),
}

impl FromText for SyslogServer {
    const IS: &'static str = "a syslog server";
    fn from_text(text: &str) -> Result<Self, Complaint> {
        let remedy = "for example \"udp://192.0.2.10:514\", \"tcp://logs.example:601\" or \"/dev/log\"";
        let server = match text.split_once("://") {
            Some(("udp", server)) => server_or(server, 514).map(Self::Udp),
            Some(("tcp", server)) => server_or(server, 601).map(Self::Tcp),
            None if text.starts_with('/') && !text.contains('\0') => Some(Self::Local(PathBuf::from(text))),
            _ => None,
        };
        server.ok_or_else(|| is_not::<Self>(text, remedy))
    }
}

fn server_or(text: &str, port: u16) -> Option<alert::Server> {
    let written = HostPort::from_text(text).ok()?;
    Some(alert::Server { host: written.host, port: written.port.unwrap_or(port) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits<T: FromText>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(T::from_text(text).is_ok(), "{text} is {}", T::IS);
        }
        for text in bad {
            assert!(T::from_text(text).is_err(), "{text:?} is not {}", T::IS);
        }
    }

    #[test]
    fn each_kind_of_text_takes_what_it_should() {
        fits::<Domain>(
            &["contoso.com", "a.b-c.de", "müller.de", "xn--mller-kva.de"],
            &["contoso", "-a.com", "a..b", "", "a b.c", "a_b.c"],
        );
        fits::<HostName>(&["relay.contoso.com", "localhost"], &["", "relay_1", "10.0.0.1", "a.b.", "é.fr"]);
        fits::<Pattern>(
            &["*", "*@contoso.com", "*@*.contoso.com", "billing@contoso.com"],
            &[
                "",
                "contoso.com",
                "*contoso.com",
                "b*@contoso.com",
                "@contoso.com",
                "*@",
                "*@*",
                "a@*contoso.com",
                "a@*.contoso.com",
            ],
        );
        fits::<HostPort>(
            &["smtp.example:1587", "h", "192.0.2.1:25", "[::1]:25", "::1"],
            &["", ":25", "h:0", "h:x", "[h]:25", "h:99999"],
        );
        fits::<HttpsUrl>(
            &["https://login.example:8443", "https://a/"],
            &["http://a", "https://", "https://u@h", "https://h?x"],
        );
        fits::<Name>(&["printers", "10.0.0.1:25", "Drucker-Süd", "this machine"], &["", " a", "a/b", "a\n"]);
    }

    #[test]
    fn days_and_syslog_servers_are_whole_or_refused() {
        fits::<Day>(
            &["2027-01-31", "2028-02-29"],
            &["", "2027-02-29", "31.01.2027", "2027-01-31T00:00:00Z", "2027-1-31"],
        );
        fits::<SyslogServer>(
            &[
                "udp://192.0.2.10:514",
                "udp://192.0.2.10",
                "tcp://[::1]:601",
                "tcp://::1",
                "udp://logs.example",
                "/dev/log",
            ],
            &["", "udp://a b:514", "192.0.2.10:514", "udp://192.0.2.10:0", "tls://192.0.2.10", "tcp://a/b", "dev/log"],
        );
        let server = SyslogServer::from_text("tcp://[::1]").unwrap();
        assert_eq!(server, SyslogServer::Tcp(alert::Server { host: "::1".to_owned(), port: 601 }));
    }

    #[test]
    fn a_network_with_stray_bits_is_told_what_was_meant() {
        let complaint = <IpNet as FromText>::from_text("10.20.0.7/16").unwrap_err();
        assert!(complaint.remedy.unwrap().contains("\"10.20.0.0/16\""));
        assert_eq!(<IpNet as FromText>::from_text("10.20.0.7").unwrap().to_string(), "10.20.0.7/32");
    }

    #[test]
    fn only_a_whole_argon2id_hash_is_one() {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$U2x1Z2dpc2ggYnV0IHNhZmUsIHRoaXMgaXMgYSBoYXNo";
        fits::<Argon2id>(
            &[hash],
            &[
                "hunter2",
                "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$U2x1Z2dpc2g",
                "$argon2id$v=19$m=19456,t=2,p=1",
            ],
        );
    }
}
