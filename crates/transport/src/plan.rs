//! What of a message goes on the wire of this very session, and for whom it cannot.
//!
//! In: the message, what its content in its present form demands, recipients, what the server offers. Out: a transaction, and a
//! bounce for those whom the server cannot serve. Never silent: parameters that were asked for and are left out are named.
//! RFC 1870 §6.1 (SIZE), RFC 6152 §3 (8BITMIME), RFC 6531 §3.1 (SMTPUTF8), RFC 3030 §3 (BINARYMIME).

use std::collections::HashMap;

use queue::{Message, Outcome, Recipient};
use smtp::client::Transaction;
use smtp::{
    BodyType, EnhancedStatus, Extensions, ForwardPath, MailParameters, Notify, OriginalRecipient, RcptParameters,
    ReversePath,
};

use crate::content::Demands;

/// See the head of this file. Indices are those of the message's recipients.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Not the message's own: reports of the far side would not reach whoever sent it.
    stand_in: bool,
    reverse_path: ReversePath,
    pub(crate) send: Vec<u32>,
    pub(crate) refused: Vec<(Vec<u32>, Outcome)>,
    smtputf8: bool,
    body: BodyType,
    size: u64,
}

/// Why a server cannot take a message.
struct Lack {
    status: EnhancedStatus,
    reason: String,
    hint: &'static str,
}

/// What is sent: the message under this reverse-path, in a form that demands this.
#[derive(Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) message: &'a Message,
    pub(crate) reverse_path: ReversePath,
    pub(crate) demands: Demands,
}

/// Sorts the recipients; makes no transaction yet, because not all may fit into one.
pub(crate) fn plan(sent: Sent<'_>, recipients: Vec<u32>, offered: &Extensions, host: &str) -> Plan {
    let Sent { message, reverse_path, demands: Demands { size, eight_bit, smtputf8 } } = sent;
    let body = match body_type(eight_bit, offered, host).and_then(|body| fits(size, offered, host).map(|()| body)) {
        Ok(body) => body,
        Err(lack) => {
            let refused = vec![(recipients, lack.outcome())];
            return Plan {
                stand_in: false,
                reverse_path,
                send: Vec::new(),
                refused,
                smtputf8: false,
                body: BodyType::SevenBit,
                size,
            };
        }
    };
    let wide = |index: &u32| recipient(message, *index).is_some_and(|one| !is_ascii(&one.forward_path));
    let whole = smtputf8 || !reverse_path.is_ascii();
    let stand_in = reverse_path != message.reverse_path;
    if offered.smtputf8 {
        let original = |index: &u32| recipient(message, *index).is_some_and(|one| !original_is_ascii(one));
        let wished = message.smtputf8 && offered.dsn;
        let smtputf8 = whole || recipients.iter().any(wide) || (wished && recipients.iter().any(original));
        return Plan { stand_in, reverse_path, send: recipients, refused: Vec::new(), smtputf8, body, size };
    }
    let (refused, send) = recipients.into_iter().partition(|index| whole || wide(index));
    let refused: Vec<u32> = refused;
    let refused = if refused.is_empty() { Vec::new() } else { vec![(refused, no_smtputf8(host).outcome())] };
    Plan { stand_in, reverse_path, send, refused, smtputf8: false, body, size }
}

impl Plan {
    /// The envelope for some of `send`.
    pub(crate) fn transaction(&self, message: &Message, recipients: &[u32], offered: &Extensions) -> Transaction {
        let dsn = offered.dsn && !self.stand_in;
        let never = |notify: &Notify| !(notify.success || notify.failure || notify.delay);
        let of_rcpt = |one: &Recipient| RcptParameters {
            notify: one.notify.filter(|notify| dsn || (offered.dsn && never(notify))),
            // RFC 6533 §3: one in UTF-8 only goes with SMTPUTF8.
            orcpt: match &one.orcpt {
                Some(orcpt) => Some(orcpt.clone()).filter(|_| dsn && (self.smtputf8 || original_is_ascii(one))),
                None => original_of(one).filter(|_| dsn),
            },
        };
        Transaction {
            reverse_path: self.reverse_path.clone(),
            parameters: MailParameters {
                size: offered.size.is_some().then_some(self.size),
                body: self.body,
                smtputf8: self.smtputf8,
                ret: message.ret.filter(|_| dsn),
                envid: message.envid.clone().filter(|_| dsn),
                auth: None,
            },
            recipients: recipients
                .iter()
                .filter_map(|index| recipient(message, *index))
                .map(|one| (one.forward_path.clone(), of_rcpt(one)))
                .collect(),
        }
    }

    /// Whether the far side sees to the notifications that were asked for.
    pub(crate) fn notifies(&self, offered: &Extensions) -> bool {
        offered.dsn && !self.stand_in
    }

    /// What the client asked for and is not passed on, each with its reason: for the story.
    pub(crate) fn left_out(
        &self,
        message: &Message,
        recipients: &[u32],
        offered: &Extensions,
        host: &str,
    ) -> Vec<String> {
        let dsn = if offered.dsn && !self.stand_in { Vec::new() } else { dsn_asked(message, recipients) };
        let body = match (message.body, self.body) {
            (BodyType::BinaryMime, _) => {
                Some("BODY=BINARYMIME left out: the message goes as text, encoded where it must be")
            }
            (BodyType::EightBitMime, BodyType::SevenBit) => Some("BODY=8BITMIME left out: the message is 7-bit"),
            _ => None,
        };
        let smtputf8 = (message.smtputf8 && !self.smtputf8).then_some("SMTPUTF8 left out: nothing there needs it");
        let reports = (!dsn.is_empty()).then(|| match self.stand_in {
            true => format!("{} left out: what {host} reports would go to the mailbox", dsn.join(", ")),
            false => format!("{} left out: {host} does not offer DSN, so reports may not come", dsn.join(", ")),
        });
        let wide = |index: &u32| recipient(message, *index).is_some_and(|one| !original_is_ascii(one));
        let original = (offered.dsn && !self.smtputf8 && recipients.iter().any(wide))
            .then_some("ORCPT left out where it is not ASCII: the message goes without SMTPUTF8");
        let others = body.into_iter().chain(smtputf8).chain(original).map(str::to_owned);
        reports.into_iter().chain(others).collect()
    }
}

/// Takes from `recipients` those that do not fit into one transaction.
pub(crate) fn surplus(
    message: &Message,
    recipients: &mut Vec<u32>,
    most: usize,
    most_of_a_domain: Option<usize>,
) -> Vec<u32> {
    let of_a_domain = most_of_a_domain.unwrap_or(usize::MAX);
    if recipients.len() <= most.min(of_a_domain) {
        return Vec::new();
    }
    if most_of_a_domain.is_none() {
        return recipients.split_off(most);
    }
    let mut taken = 0;
    let mut of_domain: HashMap<String, usize> = HashMap::new();
    recipients
        .extract_if(.., |index| {
            let domain = recipient(message, *index).map(domain).unwrap_or_default();
            let of_this = of_domain.entry(domain).or_default();
            let fits = taken < most && *of_this < of_a_domain;
            taken += usize::from(fits);
            *of_this += usize::from(fits);
            !fits
        })
        .collect()
}

fn domain(recipient: &Recipient) -> String {
    match &recipient.forward_path {
        ForwardPath::Postmaster => String::new(),
        ForwardPath::Mailbox(mailbox) => mailbox.domain().to_ascii_lowercase(),
    }
}

/// Where notifications were asked for, whoever makes them should name the recipient as the client did (RFC 3461 §5.2.1):
/// the address may be another one by then. `None`: nobody will be notified, or there is no ASCII form of it.
fn original_of(recipient: &Recipient) -> Option<OriginalRecipient> {
    let ForwardPath::Mailbox(mailbox) = &recipient.forward_path else { return None };
    let asked = recipient.notify.is_some_and(|Notify { success, failure, delay }| success || failure || delay);
    (asked && mailbox.is_ascii()).then(|| OriginalRecipient::rfc822(mailbox)).flatten()
}

/// Parameters of RFC 3461 that the client gave, for the message and for any of these recipients. Of copies for an archive
/// nobody asked for anything.
fn dsn_asked(message: &Message, recipients: &[u32]) -> Vec<&'static str> {
    if recipients.iter().all(|index| is_archive(message, *index)) {
        return Vec::new();
    }
    let any =
        |asked: fn(&Recipient) -> bool| recipients.iter().filter_map(|index| recipient(message, *index)).any(asked);
    let asked = [
        (message.ret.is_some(), "RET"),
        (message.envid.is_some(), "ENVID"),
        (any(|one| one.notify.is_some()), "NOTIFY"),
        (any(|one| one.orcpt.is_some()), "ORCPT"),
    ];
    asked.into_iter().filter_map(|(asked, name)| asked.then_some(name)).collect()
}

pub(crate) fn recipient(message: &Message, index: u32) -> Option<&Recipient> {
    message.recipients.get(usize::try_from(index).ok()?)
}

/// The copy for an archive has a transaction of its own.
pub(crate) fn is_archive(message: &Message, index: u32) -> bool {
    recipient(message, index).is_some_and(|recipient| recipient.archive)
}

fn original_is_ascii(recipient: &Recipient) -> bool {
    recipient.orcpt.as_ref().is_none_or(OriginalRecipient::is_ascii)
}

fn is_ascii(path: &ForwardPath) -> bool {
    match path {
        ForwardPath::Postmaster => true,
        ForwardPath::Mailbox(mailbox) => mailbox.is_ascii(),
    }
}

/// DATA alone is used: a binary message goes as text, its parts encoded anew where they must be.
fn body_type(eight_bit: bool, offered: &Extensions, host: &str) -> Result<BodyType, Lack> {
    match (eight_bit, offered.eight_bit_mime) {
        (false, _) => Ok(BodyType::SevenBit),
        (true, true) => Ok(BodyType::EightBitMime),
        (true, false) => Err(Lack {
            status: EnhancedStatus::new(5, 6, 3),
            reason: format!(
                "the message has 8-bit characters that cannot be encoded, and {host} does not offer 8BITMIME"
            ),
            hint: "The sending program must encode it (quoted-printable or base64), or the next hop be replaced.",
        }),
    }
}

/// The message cannot take the form that this server needs without losing something.
pub(crate) fn lost(why: &str, host: &str) -> Outcome {
    let lack = Lack {
        status: EnhancedStatus::new(5, 6, 3),
        reason: format!("the message cannot be handed to {host} without loss: {why}"),
        hint: "The sending program must encode it (quoted-printable or base64), or the next hop be replaced.",
    };
    lack.outcome()
}

fn fits(size: u64, offered: &Extensions, host: &str) -> Result<(), Lack> {
    match offered.size {
        Some(most) if most > 0 && size > most => Err(Lack {
            status: EnhancedStatus::new(5, 3, 4),
            reason: format!("the message has {size} octets, and {host} takes at most {most}"),
            hint: "Send a smaller message, or raise the limit there.",
        }),
        _ => Ok(()),
    }
}

fn no_smtputf8(host: &str) -> Lack {
    Lack {
        status: EnhancedStatus::new(5, 6, 7),
        reason: format!(
            "the message needs SMTPUTF8 (an address or its header section is not ASCII), and {host} does not offer it"
        ),
        hint: "Use an ASCII address, or a next hop that knows internationalised mail.",
    }
}

impl Lack {
    fn outcome(self) -> Outcome {
        Outcome::Bounced { status: self.status, reason: self.reason, hint: Some(self.hint.to_owned()), remote: None }
    }
}
