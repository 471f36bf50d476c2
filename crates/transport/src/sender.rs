//! As whom a message leaves: as it is, as the mailbox of its path, or not at all for now.
//!
//! In: who it says it is from, what the path may send as, what its client allows, what was refused before. Out: a decision
//! with its reason. Nothing here changes a message.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use message::{Authors, FieldName, HeaderEdits, Rewriting, Template};
use smtp::{AddressPattern, Mailbox, ReversePath};

/// When the sender of a message is rewritten to the mailbox of its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewrite {
    /// Never: what the far side refuses is held.
    #[default]
    Never,
    /// When the far side would refuse it otherwise: it is neither the path's mailbox nor an alias of it, nor granted to it; or
    /// it was refused before.
    WhenRefusedOtherwise,
    /// Always.
    Always,
}

/// As whom a path may send.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The mailbox that logs in; `None`: the next hop does not know us by one.
    pub mailbox: Option<Mailbox>,
    /// What it may send as besides: its aliases, and what SendAs was granted on.
    pub others: Vec<AddressPattern>,
    /// Where the client does not say otherwise.
    pub rewrite: Rewrite,
}

impl Identity {
    /// Whether the far side lets this path send so, as far as the configuration knows.
    /// Of a server that knows us by no mailbox everything is believed.
    pub fn may_send_as(&self, sender: &Mailbox) -> bool {
        let Some(mailbox) = &self.mailbox else { return true };
        mailbox.same_as(sender) || self.others.iter().any(|pattern| pattern.matches(sender))
    }
}

/// What a client entry says about its mail on the way out.
#[derive(Clone, Debug, Default)]
pub struct ClientRules {
    /// `None`: as the path says.
    pub rewrite: Option<Rewrite>,
    /// What a sender is rewritten to; `None`: the path's mailbox.
    pub rewrite_to: Option<Mailbox>,
    /// How a rewritten message shows who it was.
    pub keeping: Keeping,
    /// Header fields to add, replace, remove.
    pub edits: HeaderEdits,
}

/// How a rewritten message shows who it was.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// The display name.
    pub display: Template,
    /// Reply-To is set to the original sender, where the message has none.
    pub reply_to: bool,
    /// The field that keeps the original From; `None`: none does.
    pub field: Option<FieldName>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            display: Template::default(),
            reply_to: true,
            field: Some(FieldName::parse("X-Original-From").expect("it is one")),
        }
    }
}

/// Of all clients, by the names of their entries.
pub type Clients = Arc<BTreeMap<Arc<str>, ClientRules>>;

/// For mail of our own.
pub(crate) static OUR_RULES: LazyLock<ClientRules> = LazyLock::new(ClientRules::default);
/// For mail of clients that the configuration does not name any more: nobody has allowed us to rewrite it.
pub(crate) static NO_RULES: LazyLock<ClientRules> =
    LazyLock::new(|| ClientRules { rewrite: Some(Rewrite::Never), ..ClientRules::default() });

/// As whom it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Reverse-path, From and Sender as they are.
    AsItIs,
    /// Reverse-path and From become this mailbox.
    Rewrite {
        /// Which.
        to: Mailbox,
        /// In words.
        why: String,
    },
    /// It waits for an operator.
    Hold {
        /// The far side's words.
        reason: String,
        /// What to do.
        remedy: String,
    },
}

impl Decision {
    /// The reverse-path under which a message goes; the null one stays what it is.
    pub(crate) fn reverse_path(&self, path: &ReversePath) -> ReversePath {
        match (self, path) {
            (Self::Rewrite { to, .. }, ReversePath::Mailbox(_)) => ReversePath::Mailbox(to.clone()),
            (_, path) => path.clone(),
        }
    }
}

/// Who a message says it is from.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// Of the envelope.
    pub reverse_path: &'a ReversePath,
    /// Of the header section.
    pub authors: &'a Authors,
    /// Whose it is: name of the client entry.
    pub client: &'a str,
    /// A report of ours: from the path's own mailbox, or with the null reverse-path.
    pub ours: bool,
}

impl Claims<'_> {
    /// Reverse-path, From and Sender, each address once.
    pub(crate) fn senders(&self) -> Vec<Mailbox> {
        let mut senders: Vec<Mailbox> = Vec::new();
        for sender in self.reverse_path.mailbox().into_iter().chain(self.authors.identities()) {
            if !senders.iter().any(|known| known.same_as(sender)) {
                senders.push(sender.clone());
            }
        }
        senders
    }
}

/// Decides. `refused`: the refusal that stands against a sender, as words and remedy.
pub fn decide(
    claims: Claims<'_>,
    identity: &Identity,
    rules: &ClientRules,
    refused: impl Fn(&Mailbox) -> Option<(String, String)>,
) -> Decision {
    let policy = rules.rewrite.unwrap_or(identity.rewrite);
    let may_be = |to: &&Mailbox| identity.may_send_as(to) && refused(to).is_none();
    let target = rules.rewrite_to.as_ref().filter(may_be).or(identity.mailbox.as_ref());
    let senders = claims.senders();
    let standing = senders.iter().find_map(|sender| Some((sender, refused(sender)?)));
    let foreign = senders.iter().find(|sender| !identity.may_send_as(sender));
    let why = match (policy, &standing) {
        _ if claims.ours => None,
        (Rewrite::Always, _) => {
            let other = target.and_then(|to| senders.iter().find(|sender| !sender.same_as(to)));
            other.map(|sender| format!("{sender} is rewritten, as all mail of client \"{}\"", claims.client))
        }
        (Rewrite::WhenRefusedOtherwise, Some((sender, _))) => Some(format!("{sender} was refused here before")),
        (Rewrite::WhenRefusedOtherwise, None) => foreign.map(|sender| {
            format!("{sender} is neither an alias of the mailbox nor granted to it, as far as the configuration says")
        }),
        (Rewrite::Never, _) => None,
    };
    match (why, target, standing) {
        (Some(why), Some(to), _) => Decision::Rewrite { to: to.clone(), why },
        (_, _, Some((sender, refused))) => hold(claims.client, identity, sender, &refused),
        _ => Decision::AsItIs,
    }
}

/// Mail of a client that the configuration does not name any more, from a sender that the far side would refuse: nobody says
/// whether it may be rewritten, and to try it as it is would be a refusal for nothing. `None`: there is no such sender.
pub(crate) fn orphaned(claims: Claims<'_>, identity: &Identity) -> Option<Decision> {
    let sender = claims.senders().into_iter().find(|sender| !identity.may_send_as(sender))?;
    let client = claims.client;
    let reason = format!(
        "the configuration has no [[client]] \"{client}\" any more, which would say whether {sender} may be rewritten, and \
         {} may not send as it, as far as the configuration says",
        by(identity)
    );
    let remedy = format!(
        "Put [[client]] \"{client}\" into the configuration again and restart the relay, then `posthouse release --client \
         \"{client}\" --held`. Without the entry, release sends the mail as it is."
    );
    Some(Decision::Hold { reason, remedy })
}

fn by(identity: &Identity) -> String {
    identity.mailbox.as_ref().map_or_else(|| "this path".to_owned(), |mailbox| format!("mailbox {mailbox}"))
}

/// What is said of a message that waits because its sender was refused.
fn hold(client: &str, identity: &Identity, sender: &Mailbox, (words, remedy): &(String, String)) -> Decision {
    let reason = format!("{} may not send as {sender}: {words}", by(identity));
    let remedy = format!(
        "{remedy} Or let the relay rewrite the sender: rewrite = \"when-refused-otherwise\" in [[client]] \"{client}\". Then \
         `posthouse release --client \"{client}\" --held`."
    );
    Decision::Hold { reason, remedy }
}

impl ClientRules {
    /// For the header section of a message of this client.
    pub(crate) fn rewriting(&self, to: Mailbox) -> Rewriting {
        let Keeping { display, reply_to, field } = &self.keeping;
        Rewriting { to, display: display.clone(), reply_to: *reply_to, keep_in: field.clone() }
    }
}

#[cfg(test)]
mod tests {
    use message::Author;

    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        text.parse().unwrap()
    }

    fn authors(from: &[&str], sender: Option<&str>) -> Authors {
        let author = |address: &str| Author { name: None, mailbox: mailbox(address) };
        Authors {
            from: from.iter().map(|address| author(address)).collect(),
            sender: sender.map(author),
            ..Authors::default()
        }
    }

    /// `as is`, `rewrite`, `hold`.
    fn decided(
        policy: Rewrite,
        reverse_path: &str,
        from: &[&str],
        sender: Option<&str>,
        refused: &str,
    ) -> &'static str {
        let identity = Identity {
            mailbox: Some(mailbox("relay@contoso.test")),
            others: vec!["scan@contoso.test".parse().unwrap(), "*@erp.contoso.test".parse().unwrap()],
            rewrite: policy,
        };
        let (reverse_path, authors) = (reverse_path.parse().unwrap(), authors(from, sender));
        let claims = Claims { reverse_path: &reverse_path, authors: &authors, client: "printers", ours: false };
        let refusal = |sender: &Mailbox| {
            (sender.as_str() == refused).then(|| ("554 5.2.252 SendAsDenied".to_owned(), "Grant SendAs.".to_owned()))
        };
        match decide(claims, &identity, &ClientRules::default(), refusal) {
            Decision::AsItIs => "as is",
            Decision::Rewrite { to, .. } => {
                assert_eq!(to.as_str(), "relay@contoso.test");
                "rewrite"
            }
            Decision::Hold { .. } => "hold",
        }
    }

    /// Policy, reverse-path, From, Sender, refused before, decided.
    type Case<'a> = (Rewrite, &'a str, &'a [&'a str], Option<&'a str>, &'a str, &'a str);

    #[test]
    fn what_the_far_side_would_refuse_is_rewritten_and_nothing_else() {
        use Rewrite::{Always, Never, WhenRefusedOtherwise};
        let (own, alias, granted, foreign) =
            ("relay@contoso.test", "scan@contoso.test", "x@erp.contoso.test", "printer@contoso.test");
        let table: [Case<'_>; 15] = [
            (WhenRefusedOtherwise, own, &[own], None, "", "as is"),
            (WhenRefusedOtherwise, alias, &[granted], Some(own), "", "as is"),
            (WhenRefusedOtherwise, own, &["RELAY@contoso.TEST"], None, "", "as is"),
            (WhenRefusedOtherwise, foreign, &[own], None, "", "rewrite"),
            (WhenRefusedOtherwise, own, &[foreign], None, "", "rewrite"),
            (WhenRefusedOtherwise, own, &[own, foreign], None, "", "rewrite"),
            (WhenRefusedOtherwise, own, &[own], Some(foreign), "", "rewrite"),
            (WhenRefusedOtherwise, "<>", &[own], None, "", "as is"),
            (WhenRefusedOtherwise, "<>", &[foreign], None, "", "rewrite"),
            (WhenRefusedOtherwise, alias, &[alias], None, alias, "rewrite"),
            (Never, foreign, &[foreign], None, "", "as is"),
            (Never, foreign, &[foreign], None, foreign, "hold"),
            (Always, own, &[own], None, "", "as is"),
            (Always, alias, &[own], None, "", "rewrite"),
            (Always, granted, &[granted], None, "", "rewrite"),
        ];
        for (policy, reverse_path, from, sender, refused, expected) in table {
            let got = decided(policy, reverse_path, from, sender, refused);
            assert_eq!(got, expected, "{policy:?} {reverse_path} {from:?} {sender:?} refused: {refused}");
        }
    }

    #[test]
    fn a_client_goes_before_its_path_and_without_a_mailbox_there_is_nothing_to_rewrite_to() {
        let (reverse_path, authors) = ("a@b.test".parse().unwrap(), authors(&["a@b.test"], None));
        let claims = Claims { reverse_path: &reverse_path, authors: &authors, client: "printers", ours: false };
        let rules =
            |rewrite, to: Option<&str>| ClientRules { rewrite, rewrite_to: to.map(mailbox), ..ClientRules::default() };
        let identity = Identity { rewrite: Rewrite::Always, ..Identity::default() };
        let decide = |rules: &ClientRules| decide(claims, &identity, rules, |_| None);
        assert_eq!(decide(&rules(None, None)), Decision::AsItIs);
        assert_eq!(decide(&rules(Some(Rewrite::Never), Some("c@d.test"))), Decision::AsItIs);
        assert!(
            matches!(decide(&rules(None, Some("c@d.test"))), Decision::Rewrite { to, .. } if to.as_str() == "c@d.test")
        );
        let ours = Claims { ours: true, ..claims };
        assert_eq!(super::decide(ours, &identity, &rules(None, Some("c@d.test")), |_| None), Decision::AsItIs);
    }

    #[test]
    fn a_held_message_says_what_to_grant_what_to_set_and_how_to_go_on() {
        let (reverse_path, authors) = ("a@b.test".parse().unwrap(), authors(&["a@b.test"], None));
        let claims = Claims { reverse_path: &reverse_path, authors: &authors, client: "printers", ours: false };
        let refused = |_: &Mailbox| Some(("554 5.2.252 SendAsDenied".to_owned(), "Grant SendAs.".to_owned()));
        let Decision::Hold { reason, remedy } = decide(claims, &Identity::default(), &ClientRules::default(), refused)
        else {
            panic!("it is held");
        };
        assert!(reason.contains("a@b.test") && reason.contains("5.2.252"), "{reason}");
        for part in ["Grant SendAs.", "when-refused-otherwise", "[[client]] \"printers\"", "posthouse release"] {
            assert!(remedy.contains(part), "{part}: {remedy}");
        }
    }
}
