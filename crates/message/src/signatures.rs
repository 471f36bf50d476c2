//! The signatures that a message came with, and whether they still hold after a change.
//!
//! In: its header section. Out: which fields each signature covers (RFC 6376 §3.5, RFC 8617 §4.1.2). Never: a verification.

use std::collections::HashSet;

use crate::encoding::{clean, text_of};
use crate::section::Section;

/// Signatures that are looked at.
const SIGNATURES: usize = 16;

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    signed: Vec<Signed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signed {
    /// `DKIM-Signature` or `ARC-Message-Signature`
    kind: &'static str,
    domain: String,
    /// The value of `h=`, in lower case.
    fields: String,
    /// It covers no octet of the body (`l=0`). Of a longer `l=` nobody knows here whether a change lies behind it.
    header_only: bool,
}

impl Signatures {
    pub(crate) fn of(section: &Section<'_>) -> Self {
        let mut found = Self::default();
        for field in section.fields() {
            for kind in ["DKIM-Signature", "ARC-Message-Signature"] {
                if field.is(kind) && found.signed.len() < SIGNATURES {
                    found.signed.push(Signed::read(kind, &text_of(&field.unfolded())));
                }
            }
        }
        found
    }

    /// Which of them the change breaks, in words; `None` if all hold. `changed_fields` as in
    /// [`Outgoing`](crate::Outgoing), `body_changed`: an octet of the body is another, line ends included; `signed_part`: of what a
    /// signature in the body covers ([`BodyPlan::breaks_signed_part`](crate::mime::BodyPlan::breaks_signed_part)).
    pub fn broken_by(&self, changed_fields: &[String], body_changed: bool, signed_part: bool) -> Option<String> {
        let changed: HashSet<&str> = changed_fields.iter().map(String::as_str).collect();
        let mut broken: Vec<String> = Vec::new();
        for signed in &self.signed {
            let field = signed.fields.split(':').map(str::trim).find(|field| changed.contains(field));
            let cause = match field {
                Some(field) => field,
                None if body_changed && !signed.header_only => "the body",
                None => continue,
            };
            broken.push(format!("{} of {} ({cause} was changed)", signed.kind, signed.domain));
        }
        if signed_part {
            broken.push("the signature of a part of the body (it was changed)".to_owned());
        }
        broken.dedup();
        (!broken.is_empty()).then(|| format!("no longer holds: {}", broken.join("; ")))
    }
}

impl Signed {
    fn read(kind: &'static str, value: &str) -> Self {
        let tag = |name: &str| {
            let tags = value.split(';').filter_map(|tag| tag.split_once('='));
            tags.into_iter().find(|(tag, _)| tag.trim() == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let domain: String = clean(&tag("d")).trim().chars().take(255).collect();
        let domain = if domain.is_empty() { "an unnamed domain".to_owned() } else { domain };
        Self { kind, domain, fields: tag("h").to_ascii_lowercase(), header_only: tag("l").trim().parse() == Ok(0_u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_until_what_it_covers_is_changed() {
        let text = "DKIM-Signature: v=1; a=rsa-sha256; d=contoso.com; s=x;\r\n h=From:To:\r\n Subject; bh=x; b=y\r\n\
            \r\n";
        let signatures = Signatures::of(&Section::parse(text.as_bytes(), "x"));
        let broken = |fields: &[&str], body| {
            signatures.broken_by(&fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>(), body, false)
        };
        assert_eq!(broken(&["date", "x-original-from"], false), None);
        assert_eq!(
            broken(&["subject"], false).as_deref(),
            Some("no longer holds: DKIM-Signature of contoso.com (subject was changed)")
        );
        assert!(broken(&[], true).unwrap().ends_with("DKIM-Signature of contoso.com (the body was changed)"));
        assert_eq!(broken(&["to"], true), broken(&["to"], false), "it was broken already");
        let none = Signatures::of(&Section::parse(b"A: b\r\n\r\n", "x"));
        assert_eq!(none.broken_by(&["to".to_owned()], true, false), None);
        assert!(none.broken_by(&[], true, true).unwrap().contains("the signature of a part"));
    }

    #[test]
    fn a_signature_over_nothing_of_the_body_holds_when_the_body_is_changed() {
        let of = |length: &str| {
            let text = format!("DKIM-Signature: v=1; d=contoso.com; h=From : To; l={length}; b=y\r\n\r\n");
            let signatures = Signatures::of(&Section::parse(text.as_bytes(), "x"));
            let broken = |fields: &[String], body| signatures.broken_by(fields, body, false).is_some();
            (broken(&[], true), broken(&["to".to_owned()], false))
        };
        assert_eq!(of(" 0 "), (false, true));
        for length in ["1", "00000000000000000000000000001", "", "x"] {
            assert_eq!(of(length), (true, true), "{length}");
        }
    }
}
