//! Where a forward-path really goes: plus-addresses and the recipient map of a client entry.
//!
//! In: a forward-path as RCPT gave it. Out: the one that is stored, judged and sent to. Never: more than one for one.

use std::collections::HashMap;

use smtp::{ForwardPath, Mailbox, Notify, OriginalRecipient};

/// What becomes of `+tag` in a local-part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlusAddresses {
    /// It stays.
    #[default]
    Keep,
    /// `anna+alarm@contoso.com` becomes `anna@contoso.com`. A quoted local-part stays.
    Strip,
}

/// Old addresses and domains, and what became of them. Compared without regard to case; an address comes before its domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientMap {
    mailboxes: HashMap<String, Target>,
    domains: HashMap<String, Target>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Mailbox(Mailbox),
    /// The local-part stays.
    Domain(String),
}

/// Why a pair is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientMapError {
    /// What is mapped.
    #[error("`{0}` is neither user@domain nor *@domain")]
    From(String),
    /// Where to.
    #[error("`{0}` is neither user@domain nor *@domain")]
    To(String),
    /// It stands there already.
    #[error("`{0}` is mapped twice")]
    Twice(String),
}

impl RecipientMap {
    /// Adds a pair: `user@domain` or `*@domain` on both sides; `*` on the right keeps the local-part.
    pub fn add(&mut self, from: &str, to: &str) -> Result<(), RecipientMapError> {
        let target = match to.strip_prefix("*@") {
            Some(domain) => Target::Domain(domain_of(domain).ok_or_else(|| RecipientMapError::To(to.to_owned()))?),
            None => Target::Mailbox(to.parse().map_err(|_| RecipientMapError::To(to.to_owned()))?),
        };
        let bad = || RecipientMapError::From(from.to_owned());
        let before = match from.strip_prefix("*@") {
            Some(domain) => self.domains.insert(domain_of(domain).ok_or_else(bad)?.to_lowercase(), target),
            None => {
                let from: Mailbox = from.parse().map_err(|_| bad())?;
                self.mailboxes.insert(from.as_str().to_lowercase(), target)
            }
        };
        if before.is_some() { Err(RecipientMapError::Twice(from.to_owned())) } else { Ok(()) }
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.mailboxes.is_empty() && self.domains.is_empty()
    }

    fn map(&self, mailbox: &Mailbox) -> Option<Mailbox> {
        let exact = self.mailboxes.get(&mailbox.as_str().to_lowercase());
        match exact.or_else(|| self.domains.get(&mailbox.domain().to_lowercase()))? {
            Target::Mailbox(to) => Some(to.clone()),
            // A longer domain may make an address too long: then it stays as it is.
            Target::Domain(domain) => Mailbox::parse(&format!("{}@{domain}", mailbox.local_part())).ok(),
        }
    }
}

fn domain_of(text: &str) -> Option<String> {
    let example: Mailbox = format!("x@{text}").parse().ok()?;
    Some(example.domain().to_owned()).filter(|domain| !domain.contains('*'))
}

/// See the head of this file. The rules of the map are used once: what comes out is not mapped again.
pub(crate) fn mapped(path: &ForwardPath, plus: PlusAddresses, map: &RecipientMap) -> ForwardPath {
    let ForwardPath::Mailbox(given) = path else { return path.clone() };
    let stripped = if plus == PlusAddresses::Strip { without_tag(given) } else { None };
    let mailbox = stripped.as_ref().unwrap_or(given);
    ForwardPath::Mailbox(map.map(mailbox).unwrap_or_else(|| mailbox.clone()))
}

fn without_tag(mailbox: &Mailbox) -> Option<Mailbox> {
    let local = mailbox.local_part();
    let (user, _) = local.split_once('+').filter(|(user, _)| !user.is_empty() && !local.starts_with('"'))?;
    Mailbox::parse(&format!("{user}@{}", mailbox.domain())).ok()
}

/// ORCPT of a recipient whose forward-path has changed: what the client gave, else the address as it was (RFC 3461 §4.2).
pub(crate) fn original(
    given: Option<OriginalRecipient>,
    before: &ForwardPath,
    after: &ForwardPath,
) -> Option<OriginalRecipient> {
    let changed = || before.mailbox().filter(|_| before != after).and_then(OriginalRecipient::rfc822);
    given.or_else(changed)
}

/// Two recipients with one mailbox: whether they are the same to us. Only the domain is without regard to case, since whose
/// local-parts these are is not known here.
pub(crate) fn same(one: &ForwardPath, two: &ForwardPath) -> bool {
    match (one, two) {
        (ForwardPath::Mailbox(one), ForwardPath::Mailbox(two)) => {
            one.local_part() == two.local_part() && one.domain().eq_ignore_ascii_case(two.domain())
        }
        _ => one == two,
    }
}

/// NOTIFY of two recipients that have become one: what either wants. Without NOTIFY that is failure and delay (RFC 3461 §4.1).
pub(crate) fn either(one: Option<Notify>, two: Option<Notify>) -> Option<Notify> {
    let usual = Notify { success: false, failure: true, delay: true };
    let (one, two) = match (one, two) {
        (None, None) => return None,
        (one, two) => (one.unwrap_or(usual), two.unwrap_or(usual)),
    };
    Some(Notify {
        success: one.success || two.success,
        failure: one.failure || two.failure,
        delay: one.delay || two.delay,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> RecipientMap {
        let mut map = RecipientMap::default();
        pairs.iter().for_each(|(from, to)| map.add(from, to).unwrap());
        map
    }

    #[test]
    fn addresses_come_before_domains_and_a_star_keeps_the_local_part() {
        let map = map(&[
            ("old@contoso.com", "new@contoso.com"),
            ("*@old.example", "*@contoso.com"),
            ("boss@old.example", "ceo@contoso.com"),
            ("*@all.example", "desk@contoso.com"),
            ("new@contoso.com", "newest@contoso.com"),
        ]);
        for (given, plus, expected) in [
            ("OLD@Contoso.com", PlusAddresses::Keep, "new@contoso.com"),
            ("Anna@old.Example", PlusAddresses::Keep, "Anna@contoso.com"),
            ("boss@old.example", PlusAddresses::Keep, "ceo@contoso.com"),
            ("x@all.example", PlusAddresses::Keep, "desk@contoso.com"),
            ("other@contoso.com", PlusAddresses::Keep, "other@contoso.com"),
            ("old+tag@contoso.com", PlusAddresses::Keep, "old+tag@contoso.com"),
            ("old+tag@contoso.com", PlusAddresses::Strip, "new@contoso.com"),
            ("anna+a+b@x.example", PlusAddresses::Strip, "anna@x.example"),
            ("+a@x.example", PlusAddresses::Strip, "+a@x.example"),
            ("\"a+b\"@x.example", PlusAddresses::Strip, "\"a+b\"@x.example"),
        ] {
            let path: ForwardPath = given.parse().unwrap();
            assert_eq!(mapped(&path, plus, &map).to_string(), format!("<{expected}>"), "{given}");
        }
        assert_eq!(mapped(&ForwardPath::Postmaster, PlusAddresses::Strip, &map), ForwardPath::Postmaster);
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        let mut map = map(&[("a@b.example", "c@d.example")]);
        for (from, to, expected) in [
            ("b.example", "a@b.example", RecipientMapError::From("b.example".into())),
            ("*", "a@b.example", RecipientMapError::From("*".into())),
            ("*@*.example", "a@b.example", RecipientMapError::From("*@*.example".into())),
            ("x@b.example", "*", RecipientMapError::To("*".into())),
            ("A@B.example", "x@d.example", RecipientMapError::Twice("A@B.example".into())),
        ] {
            assert_eq!(map.add(from, to), Err(expected), "{from} {to}");
        }
    }

    #[test]
    fn the_original_recipient_is_kept_when_the_address_changes() {
        let (before, after): (ForwardPath, ForwardPath) =
            ("<a+b@x.example>".parse().unwrap(), "<c@d>".parse().unwrap());
        let written = |given| original(given, &before, &after).map(|original| original.to_string());
        assert_eq!(written(None).as_deref(), Some("rfc822;a+2Bb@x.example"));
        let given = OriginalRecipient::try_from("rfc822;z@x".to_owned()).unwrap();
        assert_eq!(written(Some(given)).as_deref(), Some("rfc822;z@x"));
        assert_eq!(original(None, &before, &before), None);
    }

    #[test]
    fn one_recipient_wants_what_either_of_two_wanted() {
        let never = Some(Notify { success: false, failure: false, delay: false });
        let success = Some(Notify { success: true, failure: false, delay: false });
        let words = |notify: Option<Notify>| notify.map(|notify| notify.to_string());
        assert_eq!(words(either(None, None)), None);
        assert_eq!(words(either(never, never)).as_deref(), Some("NEVER"));
        assert_eq!(words(either(never, success)).as_deref(), Some("SUCCESS"));
        assert_eq!(words(either(None, never)).as_deref(), Some("FAILURE,DELAY"));
    }
}
