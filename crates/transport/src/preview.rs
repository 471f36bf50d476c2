//! What would become of a message on one lane, without sending it: as whom, its header section, its signatures.
//!
//! In: a header section, its envelope's reverse-path, what is known of lane and client. Out: what an attempt would decide and
//! write, by the same functions. Never: a look at the far side; whether it takes that is not known here.

use dkim::Keys;
use jiff::Timestamp;
use message::{Authors, ContentFacts, Outgoing, Section, outgoing};
use smtp::{Mailbox, ReversePath};

use crate::content::{Made, Shape, signing};
use crate::sender::{Claims, ClientRules, Clients, Decision, Identity, NO_RULES, decide};

/// Stands for the id that a message would get when it is accepted: 13 characters, as those have.
const ID: &str = "0000000000000";

/// A message that somebody asks about, and the lane that would carry it.
#[derive(Clone, Copy, Debug)]
pub struct Previewed<'a> {
    /// As the client would send it, the empty line after it included.
    pub section: &'a [u8],
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// Name of the client entry.
    pub client: &'a str,
    /// What all entries say.
    pub clients: &'a Clients,
    /// As whom the lane may send.
    pub identity: &'a Identity,
    /// Our name.
    pub host: &'a str,
    /// Those that sign on this lane; `None`: the next hop does, or nobody.
    pub keys: Option<&'a Keys>,
    /// When it would be accepted.
    pub now: Timestamp,
}

/// What would become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// As whom it leaves.
    pub decision: Decision,
    /// Who it says it is from, as it came.
    pub before: Shown,
    /// As it leaves; `None`: it is held.
    pub leaving: Option<Leaving>,
}

/// Who a message says it is from, where readers look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Of the envelope.
    pub reverse_path: ReversePath,
    /// Values of header fields, unfolded, octets that are no UTF-8 replaced: of the first `From`, if there is one.
    pub from: Option<String>,
    /// The same of `Sender`.
    pub sender: Option<String>,
    /// The same of `Reply-To`.
    pub reply_to: Option<String>,
}

/// A message as it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Who it now says it is from.
    pub shown: Shown,
    /// The first of its authors: whose domain SPF, DKIM and DMARC speak for.
    pub author: Option<Mailbox>,
    /// What was changed, in words.
    pub notes: Vec<String>,
    /// A DKIM signature each.
    pub signed_by: Vec<SigningKey>,
    /// It gets an ARC seal, if it has none that is broken.
    pub sealed: bool,
}

/// A key that signs, by what receivers see of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// `d=`.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// Value of the TXT record that belongs there.
    pub record: String,
}

/// See the head of this file. `refused`: the refusal that stands against a sender on this lane, as words and remedy.
pub fn preview(message: &Previewed<'_>, refused: impl Fn(&Mailbox) -> Option<(String, String)>) -> Preview {
    let Previewed { section, reverse_path, client, identity, .. } = *message;
    let authors = message::authors(&Section::parse(section, ID));
    let claims = Claims { reverse_path, authors: &authors, client, ours: false };
    let decision = decide(claims, identity, message.rules(), refused);
    let leaving = match &decision {
        Decision::Hold { .. } => None,
        Decision::AsItIs => Some(leaving(message, &authors, &decision, None)),
        Decision::Rewrite { to, .. } => Some(leaving(message, &authors, &decision, Some(to.clone()))),
    };
    Preview { before: Shown::of(section, reverse_path.clone()), decision, leaving }
}

impl<'a> Previewed<'a> {
    fn rules(&self) -> &'a ClientRules {
        self.clients.get(self.client).unwrap_or(&NO_RULES)
    }
}

fn leaving(message: &Previewed<'_>, incoming: &Authors, decision: &Decision, sent_as: Option<Mailbox>) -> Leaving {
    let facts = ContentFacts::default();
    let made = Made {
        client: message.client,
        rules: message.rules(),
        identity: message.identity,
        host: message.host,
        reverse_path: message.reverse_path,
        accepted_at: message.now,
        facts: &facts,
        smtputf8: !message.section.is_ascii(),
    };
    let shape = Shape::new(&made, sent_as);
    let Outgoing { octets, notes, authors, .. } = outgoing(message.section, incoming, &shape.header(ID, None));
    let signing = message.keys.and_then(|keys| signing(keys, &authors));
    Leaving {
        shown: Shown::of(&octets, decision.reverse_path(message.reverse_path)),
        author: authors.from.into_iter().next().map(|author| author.mailbox),
        notes,
        signed_by: signing.iter().flat_map(dkim::Signing::keys).map(SigningKey::of).collect(),
        sealed: message.keys.is_some_and(|keys| keys.sealing().is_some()),
    }
}

impl Shown {
    fn of(section: &[u8], reverse_path: ReversePath) -> Self {
        let section = Section::parse(section, ID);
        let value = |name: &str| {
            let field = section.fields().iter().find(|field| field.is(name))?;
            Some(String::from_utf8_lossy(&field.unfolded()).trim().to_owned())
        };
        let (from, sender, reply_to) = (value("from"), value("sender"), value("reply-to"));
        Self { reverse_path, from, sender, reply_to }
    }
}

impl SigningKey {
    fn of(key: &dkim::Key) -> Self {
        Self { domain: key.domain().to_string(), selector: key.selector().to_string(), record: key.record().value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::Rewrite;

    const SECTION: &[u8] = b"From: \"Printer 3\" <scan@printer.local>\r\nSender: scan@printer.local\r\n\
        Date: Fri, 20 Nov 2026 22:32:07 +0000\r\nMessage-ID: <1@printer.local>\r\n\r\n";

    fn keys(domain: &str) -> (tempfile::TempDir, Keys) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key.pem");
        dkim::write_new(&file, &dkim::generate(dkim::Algorithm::Ed25519Sha256, 0).unwrap()).unwrap();
        let (domain, selector) = (domain.parse().unwrap(), "s1".parse().unwrap());
        let keys = Keys::load(&[dkim::KeySettings { domain, selector, file, sign: true, seal: false }]).unwrap();
        (directory, keys)
    }

    fn previewed(rewrite: Rewrite, keys: Option<&Keys>, refused: Option<&str>) -> Preview {
        let mailbox = Some("relay@contoso.test".parse().unwrap());
        let identity = Identity { mailbox, others: Vec::new(), rewrite };
        let message = Previewed {
            section: SECTION,
            reverse_path: &"<scan@printer.local>".parse().unwrap(),
            client: "printers",
            clients: &Clients::new([("printers".into(), ClientRules::default())].into()),
            identity: &identity,
            host: "relay.contoso.test",
            keys,
            now: Timestamp::UNIX_EPOCH,
        };
        let standing = |sender: &Mailbox| {
            refused
                .filter(|refused| *refused == sender.as_str())
                .map(|_| ("refused".to_owned(), "Grant it.".to_owned()))
        };
        preview(&message, standing)
    }

    #[test]
    fn a_rewritten_message_is_shown_before_and_after_and_signed_for_its_new_author() {
        let (_directory, keys) = keys("contoso.test");
        let preview = previewed(Rewrite::WhenRefusedOtherwise, Some(&keys), None);
        let from = "\"Printer 3\" <scan@printer.local>";
        let before = Shown {
            reverse_path: "<scan@printer.local>".parse().unwrap(),
            from: Some(from.to_owned()),
            sender: Some("scan@printer.local".to_owned()),
            reply_to: None,
        };
        assert_eq!(preview.before, before);
        let leaving = preview.leaving.unwrap();
        assert_eq!(leaving.shown.reverse_path.to_string(), "<relay@contoso.test>");
        assert_eq!(leaving.shown.from.as_deref(), Some("Printer 3 <relay@contoso.test>"));
        assert_eq!(leaving.shown.sender, None);
        assert_eq!(leaving.shown.reply_to.as_deref(), Some("Printer 3 <scan@printer.local>"));
        assert_eq!(leaving.author.unwrap().as_str(), "relay@contoso.test");
        assert_eq!(leaving.signed_by.len(), 1);
        assert_eq!(leaving.signed_by[0].domain, "contoso.test");
        assert!(leaving.signed_by[0].record.starts_with("v=DKIM1"), "{:?}", leaving.signed_by);
        assert!(!leaving.sealed);
    }

    #[test]
    fn a_message_that_goes_as_it_is_keeps_what_it_shows_and_is_not_signed_for_a_stranger() {
        let (_directory, keys) = keys("contoso.test");
        let preview = previewed(Rewrite::Never, Some(&keys), None);
        let leaving = preview.leaving.unwrap();
        assert_eq!(leaving.shown, preview.before);
        assert_eq!(leaving.signed_by, []);
    }

    #[test]
    fn a_message_whose_sender_was_refused_here_does_not_leave() {
        let preview = previewed(Rewrite::Never, None, Some("scan@printer.local"));
        assert!(matches!(preview.decision, Decision::Hold { .. }), "{:?}", preview.decision);
        assert_eq!(preview.leaving, None);
    }
}
