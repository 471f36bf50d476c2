//! What a client entry may do once it is in: send as, send to, in which number.
//!
//! In: an entry, and what MAIL, RCPT or the header section says. Out: the lane, the recipient as it is stored; or a refusal that
//! names the entry and the key which would allow it.

use message::{HeaderFacts, Importance};
use queue::{LaneName, Recipient, RecipientState, Routes};
use smtp::{EnhancedStatus, ForwardPath, Mailbox, Notify, RcptParameters, Reply, ReversePath};

use crate::Priority;
use crate::admission::{DENIED, Entry};
use crate::recipients::{either, mapped, original, same};

const NEVER: Notify = Notify { success: false, failure: false, delay: false };
const TOO_MANY_RECIPIENTS: EnhancedStatus = EnhancedStatus::new(4, 5, 3);

impl Entry {
    /// Whether it may send as this, and where that goes.
    pub(crate) fn lane<'a>(&'a self, routes: &'a Routes, path: &ReversePath) -> Result<&'a LaneName, Reply> {
        self.may_send_as(routes, path)?;
        match &self.lane {
            Some(lane) => Ok(lane),
            None => routes.lane(path).ok_or_else(|| no_path(path)),
        }
    }

    /// The null reverse-path may be used by everybody: notifications have no sender to check.
    fn may_send_as(&self, routes: &Routes, path: &ReversePath) -> Result<(), Reply> {
        let Some(mailbox) = path.mailbox() else { return Ok(()) };
        let allowed = match self.senders.as_slice() {
            // Without a lane of its own, what no tenant owns has no way out, and the routes say so.
            [] => self.lane.is_none() || routes.lane(path).is_some(),
            senders => senders.iter().any(|pattern| pattern.matches(mailbox)),
        };
        if allowed {
            return Ok(());
        }
        let text = format!(
            "client \"{}\" may not send as <{mailbox}>: senders of its [[client]] entry must allow it",
            self.name
        );
        Err(Reply::new(550, DENIED, text))
    }

    /// Whether every address of From and Sender is one that it may send as. Without `senders` the header section is its own
    /// affair, and an unusable From is: it is replaced on the way out.
    pub(crate) fn may_be_from<'a>(&self, authors: impl Iterator<Item = &'a Mailbox>) -> Result<(), Reply> {
        if self.senders.is_empty() {
            return Ok(());
        }
        let mut authors = authors.filter(|author| !self.senders.iter().any(|pattern| pattern.matches(author)));
        let Some(author) = authors.next() else { return Ok(()) };
        let text = format!(
            "client \"{}\" may not send mail from <{author}> (header fields From and Sender): senders of its [[client]] entry \
             must allow it",
            self.name
        );
        Err(Reply::new(550, DENIED, text))
    }

    /// The recipient as it will be stored. `others`: those of the same message so far.
    pub(crate) fn recipient(
        &self,
        path: ForwardPath,
        parameters: RcptParameters,
        others: &[Recipient],
    ) -> Result<Recipient, Reply> {
        let forward_path = mapped(&path, self.plus_addresses, &self.recipient_map);
        self.may_reach(&forward_path)?;
        let again = others.iter().any(|other| same(&other.forward_path, &forward_path));
        if !again {
            self.is_not_one_too_many(others.len() as u64 + 1)?;
        }
        let RcptParameters { notify, orcpt } = parameters;
        let orcpt = original(orcpt, &path, &forward_path);
        Ok(Recipient { forward_path, notify, orcpt, archive: false, state: RecipientState::fresh() })
    }

    /// RFC 5321 §4.5.1 wants the postmaster reachable, whoever asks.
    fn may_reach(&self, path: &ForwardPath) -> Result<(), Reply> {
        let Some(mailbox) = path.mailbox() else { return Ok(()) };
        let Some((key, remedy)) = self.forbids(mailbox) else { return Ok(()) };
        tracing::debug!(client = &*self.name, %path, key, "recipient not allowed");
        Err(Reply::new(550, DENIED, format!("client \"{}\" may not send to <{mailbox}>: {remedy}", self.name)))
    }

    /// The key that keeps it from sending there, and what would allow it.
    fn forbids(&self, mailbox: &Mailbox) -> Option<(&'static str, &'static str)> {
        let listed = self.recipients.is_empty() || self.recipients.iter().any(|pattern| pattern.matches(mailbox));
        match &self.internal_only {
            _ if !listed => Some(("recipients", "recipients of its [[client]] entry must allow it")),
            Some(domains) if !domains.contains(&mailbox.domain().to_lowercase()) => Some((
                "internal_only",
                "internal_only of its [[client]] entry allows nothing but domains and internal_domains of the tenant",
            )),
            _ => None,
        }
    }

    /// As one of so many.
    fn is_not_one_too_many(&self, recipients: u64) -> Result<(), Reply> {
        if let Some(most) = self.recipients_per_message.filter(|most| recipients > *most) {
            let text = format!(
                "client \"{}\" may name {most} recipients in a message: send it to the others again (recipients_per_message of \
                 its [[client]] entry)",
                self.name
            );
            return Err(Reply::new(452, TOO_MANY_RECIPIENTS, text));
        }
        self.usage.may_reach(&self.name, recipients)
    }

    /// One more recipient for the copy of the archive: nobody is ever told what became of it. None for what may be a report,
    /// which could lead in a circle, and none where the archive gets the message anyway.
    pub(crate) fn archive_copy(&self, path: &ReversePath, recipients: &[Recipient]) -> Option<Recipient> {
        let archive = ForwardPath::Mailbox(self.archive.clone().filter(|_| *path != ReversePath::Null)?);
        let there = |recipient: &Recipient| match (recipient.forward_path.mailbox(), archive.mailbox()) {
            (Some(one), Some(two)) => one.same_as(two),
            _ => false,
        };
        (!recipients.iter().any(there)).then(|| Recipient {
            forward_path: archive.clone(),
            notify: Some(NEVER),
            orcpt: None,
            archive: true,
            state: RecipientState::fresh(),
        })
    }

    /// All recipients as they are stored. A reverse-path that is in none of our domains, that nobody has named, and that the client
    /// may not write to, is told nothing: a report holds the message, and would carry it past `recipients` and `internal_only`.
    pub(crate) fn stored(&self, routes: &Routes, path: &ReversePath, mut recipients: Vec<Recipient>) -> Vec<Recipient> {
        let reader = path.mailbox().filter(|_| self.report_to.is_none());
        let named =
            |mailbox: &Mailbox| self.senders.iter().any(|pattern| !pattern.is_any() && pattern.matches(mailbox));
        let reached =
            |mailbox: &Mailbox| routes.lane(path).is_some() || named(mailbox) || self.forbids(mailbox).is_none();
        if reader.is_some_and(|reader| !reached(reader)) {
            recipients.iter_mut().for_each(|recipient| recipient.notify = Some(NEVER));
        }
        recipients.extend(self.archive_copy(path, &recipients));
        recipients
    }

    /// Whether a message is urgent.
    pub(crate) fn is_urgent(&self, header: &HeaderFacts) -> bool {
        match self.priority {
            Priority::Urgent => true,
            Priority::Normal => false,
            Priority::AsMarked => header.importance == Importance::High,
        }
    }
}

/// Adds a recipient, or lets it become one with another that has the same mailbox.
pub(crate) fn add(recipients: &mut Vec<Recipient>, recipient: Recipient) {
    match recipients.iter_mut().find(|other| same(&other.forward_path, &recipient.forward_path)) {
        Some(other) => other.notify = either(other.notify, recipient.notify),
        None => recipients.push(recipient),
    }
}

fn no_path(path: &ReversePath) -> Reply {
    let text = match path {
        ReversePath::Null => {
            "this relay has no path for mail with the null reverse-path: a [[tenant]] must come first".to_owned()
        }
        ReversePath::Mailbox(mailbox) => {
            format!("this relay has no path for <{mailbox}>: domains of a [[tenant]] must name {}", mailbox.domain())
        }
    };
    Reply::new(550, DENIED, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientEntry, PlusAddresses};

    fn routes() -> Routes {
        let lane = LaneName("contoso/submission".into());
        Routes::new([("contoso.com".to_owned(), lane.clone())], Some(lane))
    }

    fn patterns(texts: &[&str]) -> Vec<smtp::AddressPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn entry(change: impl FnOnce(&mut ClientEntry)) -> Entry {
        let mut settings = ClientEntry::named("erp");
        change(&mut settings);
        Entry::new(&settings, 1 << 20)
    }

    fn recipient(entry: &Entry, path: &str, others: &[Recipient]) -> Result<Recipient, String> {
        entry.recipient(path.parse().unwrap(), RcptParameters::default(), others).map_err(|reply| reply.to_string())
    }

    #[test]
    fn senders_and_the_tenants_domains_bound_the_reverse_path() {
        let (own, tenants) = (Some("contoso/on-premises"), None);
        //           lane     senders           reverse-path           lane, or what the refusal names
        let table = [
            (tenants, &[][..], "<any@contoso.com>", Ok("contoso/submission")),
            (tenants, &[], "<any@fabrikam.com>", Err("domains of a [[tenant]] must name fabrikam.com")),
            (tenants, &["billing@contoso.com"], "<billing@contoso.com>", Ok("contoso/submission")),
            (tenants, &["billing@contoso.com"], "<>", Ok("contoso/submission")),
            (tenants, &["billing@contoso.com"], "<boss@contoso.com>", Err("senders of its [[client]] entry")),
            (tenants, &["*"], "<a@fabrikam.com>", Err("domains of a [[tenant]] must name fabrikam.com")),
            (own, &[], "<any@contoso.com>", Ok("contoso/on-premises")),
            (own, &[], "<any@fabrikam.com>", Err("senders of its [[client]] entry")),
            (own, &["*"], "<any@fabrikam.com>", Ok("contoso/on-premises")),
            (own, &[], "<>", Ok("contoso/on-premises")),
        ];
        for (lane, senders, path, expected) in table {
            let entry = entry(|settings| {
                settings.lane = lane.map(|lane| LaneName(lane.into()));
                settings.senders = patterns(senders);
            });
            match (entry.lane(&routes(), &path.parse().unwrap()).map(ToString::to_string), expected) {
                (Ok(lane), Ok(expected)) => assert_eq!(lane, expected, "{path}"),
                (Err(reply), Err(words)) => {
                    let text = reply.to_string();
                    assert!(text.starts_with("550 5.7.1") && text.contains(words), "{path} {text}");
                }
                (got, _) => panic!("{lane:?} {senders:?} {path} gave {got:?}"),
            }
        }
    }

    #[test]
    fn senders_bound_every_author_of_the_header_section() {
        let authors = |texts: &[&str]| -> Vec<Mailbox> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let bound = entry(|settings| settings.senders = patterns(&["*@contoso.com"]));
        let verdict =
            |entry: &Entry, texts: &[&str]| entry.may_be_from(authors(texts).iter()).map_err(|r| r.to_string());
        assert_eq!(verdict(&bound, &["a@contoso.com", "B@CONTOSO.com"]), Ok(()));
        assert_eq!(verdict(&bound, &[]), Ok(()), "an unusable From is replaced on the way out");
        let text = verdict(&bound, &["a@contoso.com", "boss@fabrikam.com"]).unwrap_err();
        assert!(
            text.starts_with("550 5.7.1") && text.contains("<boss@fabrikam.com>") && text.contains("senders"),
            "{text}"
        );
        assert_eq!(verdict(&entry(|_| {}), &["boss@fabrikam.com"]), Ok(()));
    }

    #[test]
    fn recipients_are_judged_where_their_mail_really_goes() {
        let listed = entry(|settings| {
            settings.recipients = patterns(&["*@contoso.com"]);
            settings.recipient_map.add("*@old.example", "*@contoso.com").unwrap();
            settings.recipient_map.add("boss@contoso.com", "boss@elsewhere.example").unwrap();
            settings.plus_addresses = PlusAddresses::Strip;
        });
        let internal = entry(|settings| settings.internal_only = Some(vec!["Contoso.com".into()]));
        for (entry, path, expected) in [
            (&listed, "<anna+alarm@contoso.com>", Ok("<anna@contoso.com>")),
            (&listed, "<anna+alarm@old.example>", Ok("<anna@contoso.com>")),
            (&listed, "<boss@contoso.com>", Err("<boss@elsewhere.example>: recipients of its [[client]] entry")),
            (&listed, "<x@fabrikam.com>", Err("recipients of its [[client]] entry")),
            (&listed, "<postmaster>", Ok("<postmaster>")),
            (&internal, "<x@CONTOSO.com>", Ok("<x@CONTOSO.com>")),
            (&internal, "<x@mail.contoso.com>", Err("internal_only of its [[client]] entry")),
            (&internal, "<postmaster>", Ok("<postmaster>")),
        ] {
            match (recipient(entry, path, &[]), expected) {
                (Ok(recipient), Ok(expected)) => assert_eq!(recipient.forward_path.to_string(), expected),
                (Err(text), Err(words)) => assert!(text.starts_with("550 5.7.1") && text.contains(words), "{text}"),
                (got, _) => panic!("{path} gave {got:?}"),
            }
        }
    }

    #[test]
    fn the_number_of_recipients_is_that_of_different_ones() {
        let entry = entry(|settings| {
            settings.recipients_per_message = Some(2);
            settings.plus_addresses = PlusAddresses::Strip;
        });
        let mut recipients = Vec::new();
        for path in ["<a@x.example>", "<a+1@X.example>", "<b@x.example>", "<b+2@x.example>"] {
            let next = recipient(&entry, path, &recipients).unwrap();
            add(&mut recipients, next);
        }
        assert_eq!(recipients.len(), 2);
        let text = recipient(&entry, "<c@x.example>", &recipients).unwrap_err();
        assert!(text.starts_with("452 4.5.3") && text.contains("recipients_per_message"), "{text}");
    }

    #[test]
    fn the_archive_gets_a_copy_that_nobody_is_told_of_and_none_that_could_go_in_a_circle() {
        let entry = entry(|settings| settings.archive = Some("journal@contoso.com".parse().unwrap()));
        let to = |path: &str| vec![recipient(&entry, path, &[]).unwrap()];
        let copy = entry.archive_copy(&"<a@contoso.com>".parse().unwrap(), &to("<b@x.example>")).unwrap();
        assert_eq!((copy.forward_path.to_string().as_str(), copy.archive), ("<journal@contoso.com>", true));
        assert_eq!(copy.notify.unwrap().to_string(), "NEVER");
        assert_eq!(entry.archive_copy(&ReversePath::Null, &to("<b@x.example>")), None);
        assert_eq!(entry.archive_copy(&"<a@contoso.com>".parse().unwrap(), &to("<JOURNAL@contoso.com>")), None);
    }
}
