//! From what is known to what is said of it.
//!
//! In: a row, a refusal of ours, or a code that is unknown. Out: an explanation. Never: a fact that is not in the tables or in
//! RFC 5321 and RFC 3463.

use super::answers::Quoted;
use super::{Certainty, Explanation, Origin};
use crate::own::OwnRefusal;
use crate::row::{Move, Row, Source};

pub(super) fn of_row(answer: String, row: &Row, certainty: Certainty) -> Explanation {
    Explanation {
        answer,
        code: Some(row.code.clone()),
        origin: match row.source {
            Source::Smtp => Origin::Smtp,
            Source::Graph => Origin::Graph,
            Source::Entra => Origin::Entra,
        },
        certainty,
        text: row.text.clone(),
        meaning: row.meaning.clone(),
        whose_move: row.whose_move,
        remedy: row.fix.clone(),
        note: row.note.clone(),
        relay: row.by_itself(),
        keys: Vec::new(),
        evidence: Some(row.evidence),
        reference: row.reference.clone(),
    }
}

pub(super) fn of_ours(answer: String, own: &OwnRefusal, certainty: Certainty) -> Explanation {
    let relay = if own.reply.starts_with('4') {
        "It refused the device's command for now: nothing was accepted, and the device should try again."
    } else {
        "It refused the device's command: nothing was accepted, and nothing waits in the queue."
    };
    Explanation {
        answer,
        code: Some(own.code.clone()),
        origin: Origin::Relay,
        certainty,
        text: Some(own.text.clone()),
        meaning: own.meaning.clone(),
        whose_move: own.whose_move,
        remedy: own.fix.clone(),
        note: None,
        relay: relay.to_owned(),
        keys: own.keys.clone(),
        evidence: None,
        reference: None,
    }
}

pub(super) fn unknown_aadsts(number: &str) -> Explanation {
    let digits = number.trim_start_matches("AADSTS");
    Explanation {
        answer: number.to_owned(),
        code: None,
        origin: Origin::Entra,
        certainty: Certainty::FirstDigit,
        text: None,
        meaning: "A number of Microsoft Entra that this table does not have; the text behind it is Microsoft's diagnosis."
            .to_owned(),
        whose_move: Move::Tenant,
        remedy: format!(
            "Look it up at https://login.microsoftonline.com/error?code={digits}, and check the app registration."
        ),
        note: None,
        relay: "It goes by the OAuth error and the HTTP status instead: what does not pass by itself stops everything that \
                needs this credential, until one attempt succeeds. Nothing bounces."
            .to_owned(),
        keys: Vec::new(),
        evidence: None,
        reference: None,
    }
}

/// What RFC 5321 §4.2.1 and RFC 3463 §3 say of any code.
pub(super) fn by_digit(quoted: &Quoted) -> Option<Explanation> {
    let subject = quoted.status.map(|status| status.subject());
    let about = match subject {
        Some(1) => " It is about an address.",
        Some(2) => " It is about a mailbox.",
        Some(3) => " It is about the receiving mail system.",
        Some(4) => " It is about the network or the routing of mail.",
        Some(5) => " It is about the protocol between the servers.",
        Some(6) => " It is about the content of the message.",
        Some(7) => " It is about security or policy.",
        _ => "",
    };
    let (meaning, whose_move, remedy, relay) = match (quoted.digit()?, subject) {
        (2, _) => (
            "The server said yes.",
            Move::Nobody,
            "Nothing.",
            "It goes on. \"Handed over\" means that the next hop took responsibility; it does not mean delivered.",
        ),
        (4, _) => (
            "Refused for now: the first digit 4 promises that it may be accepted later.",
            Move::Nobody,
            "Nothing at first. If it lasts, read the text: it is the server's own.",
            "What no row of its table knows goes by the first digit: it tries again with growing waits. Before there is a \
             message (greeting, EHLO, STARTTLS, AUTH) it rests or stops the path and tries one message now and then; nothing \
             bounces.",
        ),
        (5, subject) => (
            "Refused for good: the first digit 5 says that the same message will be refused again.",
            match (subject, quoted.number) {
                (Some(1 | 6), _) => Move::Sender,
                (Some(5), _) | (_, Some(500..=504 | 530..=538)) => Move::Relay,
                _ => Move::Recipient,
            },
            "Read the text: it is the server's own, and often names a page or a person to ask.",
            "What no row of its table knows goes by the first digit: the recipients that it is said of are given up, and the \
             sender is told. Before there is a message (greeting, EHLO, STARTTLS, AUTH) it stops the path instead, keeps \
             the mail and tries one message now and then.",
        ),
        _ => return None,
    };
    let more = if quoted.status.is_none() && quoted.text.is_empty() {
        " Many refusals have this reply code: give the whole reply to learn more."
    } else {
        ""
    };
    Some(Explanation {
        answer: quoted.codes(),
        code: None,
        origin: Origin::Smtp,
        certainty: Certainty::FirstDigit,
        text: None,
        meaning: format!("{meaning}{}{about}{more}", quoted.number.map_or("", by_number)),
        whose_move,
        remedy: remedy.to_owned(),
        note: None,
        relay: relay.to_owned(),
        keys: Vec::new(),
        evidence: None,
        reference: None,
    })
}

/// What RFC 5321 §4.2.3 and RFC 4954 §6 say of the reply code.
fn by_number(number: u16) -> &'static str {
    match number {
        421 => " The server closes the connection.",
        450 => " The mailbox cannot be reached now: busy, or greylisted.",
        451 => " The server failed.",
        452 => " The server has no room, or too many recipients were named.",
        454 => " The login, or TLS, cannot be served now.",
        500..=504 => " The server does not understand the command.",
        530 => " The server wants a login, or TLS, first.",
        534 | 538 => " The server wants a stronger login, or TLS before it.",
        535 => " The login is wrong or not allowed.",
        550 => " The mailbox does not exist, or policy forbids it.",
        552 => " The message is too large, or the mailbox is full.",
        553 => " The address is not allowed.",
        554 => " The message, or the whole session, is refused.",
        _ => "",
    }
}
