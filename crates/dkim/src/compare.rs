//! Whether what the DNS says belongs to a key.
//!
//! In: the TXT records at the key's name, each as one text. Out: findings, each with its remedy. Never: the DNS itself.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::key::Key;

/// What was found at the name of a key's record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Signatures of this key can be verified.
    #[error("the published record is that of this key")]
    Matches,
    /// `t=y`: receivers may treat signed mail as unsigned (RFC 6376 §3.6.1).
    #[error("the record says t=y: the domain is only testing DKIM")]
    Testing,
    /// No TXT record.
    #[error("no record is published")]
    Missing,
    /// Which one counts is undefined (RFC 6376 §3.6.2.2).
    #[error("{0} TXT records are published under this name, and receivers take any of them")]
    Several(usize),
    /// Not a list of tags, or one that a receiver must ignore.
    #[error("the record cannot be read: {0}")]
    Syntax(String),
    /// Empty `p=`.
    #[error("the record says that the key was revoked (p= is empty)")]
    Revoked,
    /// `k=`
    #[error("the record is for a key of the type \"{published}\", but this one is of the type \"{ours}\"")]
    OtherType {
        /// What stands in `k=`.
        published: String,
        /// What should.
        ours: &'static str,
    },
    /// The start of the right key.
    #[error("the record was cut: {published} of {whole} characters of the key in p= are there")]
    Cut {
        /// Characters of `p=`.
        published: usize,
        /// It should have.
        whole: usize,
    },
    /// Another key.
    #[error("the record is that of another key")]
    Differs,
    /// `h=`
    #[error("the record does not allow SHA-256 (h={0})")]
    NoSha256(String),
    /// `s=`
    #[error("the record is not for mail (s={0})")]
    NotForMail(String),
}

impl Finding {
    /// Whether receivers can verify signatures in spite of it.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Matches | Self::Testing)
    }

    /// What to do; `None` where nothing is.
    pub fn remedy(&self, key: &Key) -> Option<String> {
        let record = key.record();
        let publish = format!("a TXT record {} with the value {}", record.name, record.value);
        Some(match self {
            Self::Matches => return None,
            Self::Testing => "publish the record without t=y once mail arrives as it should".to_owned(),
            Self::Missing => {
                format!("as long as it is missing the key must not sign (sign = false): publish {publish}")
            }
            Self::Several(_) => format!("delete all of them but one: {publish}"),
            Self::Revoked => "a key that was revoked stays so: make another with `posthouse dkim new`".to_owned(),
            Self::Differs => format!("if this file is the right one, publish {publish}; if not, name the right file"),
            Self::Cut { .. } => {
                format!("some DNS providers want strings of at most 255 characters: publish {}", record.zone())
            }
            Self::Syntax(_) | Self::OtherType { .. } | Self::NoSha256(_) | Self::NotForMail(_) => {
                format!("replace it by {publish}")
            }
        })
    }
}

/// Compares what is published at the name of the key's record with the key. `txt`: one text for each TXT record, its strings
/// joined without anything between. Never empty; good if all findings are.
pub fn compare(key: &Key, txt: &[String]) -> Vec<Finding> {
    match txt {
        [] => vec![Finding::Missing],
        [record] => match Tags::parse(record) {
            Ok(tags) => tags.findings(key),
            Err(why) => vec![Finding::Syntax(why)],
        },
        several => vec![Finding::Several(several.len())],
    }
}

/// RFC 6376 §3.2
struct Tags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Tags<'a> {
    fn parse(record: &'a str) -> Result<Self, String> {
        if let Some(odd) = record.chars().find(|c| matches!(c, '"' | '\\')) {
            return Err(format!("there is a {odd} in it, left over from the syntax of zone files"));
        }
        let mut tags: Vec<(&str, &str)> = Vec::new();
        for tag in record.trim_end().trim_end_matches(';').split(';') {
            let (name, value) = tag.split_once('=').ok_or_else(|| format!("\"{}\" is no tag", tag.trim()))?;
            let (name, value) = (name.trim(), value.trim());
            if tags.iter().any(|(other, _)| *other == name) {
                return Err(format!("{name}= stands there twice"));
            }
            tags.push((name, value));
        }
        let tags = Self(tags);
        tags.version().map(|()| tags)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    fn version(&self) -> Result<(), String> {
        match (self.get("v"), self.0.first()) {
            (None | Some("DKIM1"), Some(("v", _))) | (None, _) => Ok(()),
            (Some("DKIM1"), _) => Err("v=DKIM1 does not stand first".to_owned()),
            (Some(other), _) => Err(format!("v={other} is not v=DKIM1")),
        }
    }

    fn findings(&self, key: &Key) -> Vec<Finding> {
        let mut findings = vec![self.key(key)];
        let lists = |name, wanted: &[&str]| {
            self.get(name).filter(|list| !list.split(':').any(|item| wanted.contains(&item.trim()))).map(str::to_owned)
        };
        findings.extend(lists("h", &["sha256"]).map(Finding::NoSha256));
        findings.extend(lists("s", &["*", "email"]).map(Finding::NotForMail));
        let flags = self.get("t").unwrap_or_default();
        findings.extend(flags.split(':').any(|flag| flag.trim() == "y").then_some(Finding::Testing));
        findings
    }

    fn key(&self, key: &Key) -> Finding {
        let Some(published) = self.get("p") else {
            return Finding::Syntax("there is no p=".to_owned());
        };
        let ours = key.algorithm().key_type();
        let type_ = self.get("k").unwrap_or("rsa");
        let published: String = published.split_ascii_whitespace().collect();
        let whole = key.published();
        if published.is_empty() {
            Finding::Revoked
        } else if type_ != ours {
            Finding::OtherType { published: type_.to_owned(), ours }
        } else if published != whole && whole.starts_with(&published) {
            Finding::Cut { published: published.len(), whole: whole.len() }
        } else {
            match BASE64_STANDARD.decode(&published) {
                Err(error) => Finding::Syntax(format!("p= is not base64: {error}")),
                Ok(der) if der == key.public() || key.public_pkcs1() == Some(&der) => Finding::Matches,
                Ok(_) => Finding::Differs,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Algorithm, generate};

    fn key(algorithm: Algorithm) -> Key {
        let pem = generate(algorithm, 2048).unwrap();
        Key::from_pem("contoso.com".parse().unwrap(), "s1".parse().unwrap(), pem.expose().as_bytes()).unwrap()
    }

    #[test]
    fn findings_and_remedies() {
        let (rsa, ed) = (key(Algorithm::RsaSha256), key(Algorithm::Ed25519Sha256));
        let (rsa_p, ed_p) = (rsa.published(), ed.published());
        let other = key(Algorithm::RsaSha256).published();
        let pkcs1 = BASE64_STANDARD.encode(rsa.public_pkcs1().unwrap());
        let check = |key: &Key, record: &str, expected: &[Finding]| {
            let found = compare(key, &[record.to_owned()]);
            assert_eq!(found, expected, "{record}");
            assert_eq!(found.iter().all(|finding| finding.remedy(key).is_none()), expected == [Finding::Matches]);
        };
        let syntax = |why: &str| [Finding::Syntax(why.to_owned())];
        check(&rsa, &rsa.record().value, &[Finding::Matches]);
        check(&ed, &ed.record().value, &[Finding::Matches]);
        check(&rsa, &format!("p={rsa_p}"), &[Finding::Matches]);
        check(&rsa, &format!("v=DKIM1;k=rsa;p={pkcs1};"), &[Finding::Matches]);
        let spaced = format!("v=DKIM1 ; h=sha1:sha256; s=email; n=note; t=s; p={} {} ; ", &rsa_p[..9], &rsa_p[9..]);
        check(&rsa, &spaced, &[Finding::Matches]);
        check(&rsa, &format!("v=DKIM1; t=s:y; p={rsa_p}"), &[Finding::Matches, Finding::Testing]);
        check(&rsa, &format!("v=DKIM1; p={other}"), &[Finding::Differs]);
        check(&rsa, "v=DKIM1; p=", &[Finding::Revoked]);
        let cut = Finding::Cut { published: 237, whole: rsa_p.len() };
        check(&rsa, &rsa.record().value[..255], &[cut]);
        let wrong = |published: &str, ours| Finding::OtherType { published: published.to_owned(), ours };
        check(&rsa, &format!("v=DKIM1; k=ed25519; p={ed_p}"), &[wrong("ed25519", "rsa")]);
        check(&ed, &format!("v=DKIM1; p={ed_p}"), &[wrong("rsa", "ed25519")]);
        check(&rsa, &format!("h=sha1; p={rsa_p}"), &[Finding::Matches, Finding::NoSha256("sha1".to_owned())]);
        check(&rsa, &format!("s=other; p={rsa_p}"), &[Finding::Matches, Finding::NotForMail("other".to_owned())]);
        check(&rsa, "v=spf1 -all", &syntax("v=spf1 -all is not v=DKIM1"));
        check(&rsa, "hello", &syntax("\"hello\" is no tag"));
        check(&rsa, "", &syntax("\"\" is no tag"));
        check(&rsa, "v=DKIM1; k=rsa", &syntax("there is no p="));
        check(&rsa, &format!("p={rsa_p}; v=DKIM1"), &syntax("v=DKIM1 does not stand first"));
        check(&rsa, &format!("v=DKIM1; p={rsa_p}; p="), &syntax("p= stands there twice"));
        let escaped = format!("v=DKIM1\\; p={rsa_p}");
        check(&rsa, &escaped, &syntax("there is a \\ in it, left over from the syntax of zone files"));
        assert!(matches!(&compare(&rsa, &["p=#".to_owned()])[..], [Finding::Syntax(why)] if why.contains("base64")));
    }

    #[test]
    fn there_is_exactly_one_record() {
        let key = key(Algorithm::Ed25519Sha256);
        assert_eq!(compare(&key, &[]), [Finding::Missing]);
        let twice = [key.record().value, key.record().value];
        assert_eq!(compare(&key, &twice), [Finding::Several(2)]);
        let remedy = Finding::Missing.remedy(&key).unwrap();
        assert!(remedy.contains("s1._domainkey.contoso.com") && remedy.contains(&key.record().value), "{remedy}");
    }
}
