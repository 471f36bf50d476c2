//! The first part: for a person who has sent something, perhaps without knowing that a relay has it. Which recipients, why,
//! what to do; then the details that whoever runs the relay will ask for.

use smtp::{EnhancedStatus, ForwardPath, ReversePath};

use super::returned::Third;
use super::{About, Action, Recipient, Report, Returned};
use crate::encoding::{clean, cut, readable};

/// Columns of a line, as far as words allow.
const COLUMNS: usize = 72;
/// Recipients named of one group, and groups.
const NAMED: usize = 20;
const GROUPS: usize = 20;
/// Octets of a reason, a hint, a reply, a subject, a name.
const SAID: usize = 2_048;
const SHORT: usize = 200;

/// The subject of a report. `notice`: it comes from an ordinary mailbox, and must say itself who speaks.
pub fn subject(action: Action, original: Option<&str>, notice: bool) -> String {
    let what = match action {
        Action::Failed => "Not delivered",
        Action::Delayed => "Delayed",
        Action::Delivered => "Delivered",
        Action::Relayed | Action::Expanded => "Handed on",
    };
    let who = if notice { "Notice from the mail relay: " } else { "" };
    let original = original.map(|subject| cut(&readable(subject), SHORT)).filter(|subject| !subject.is_empty());
    format!("{who}{what}: {}", original.as_deref().unwrap_or("a message without a subject"))
}

/// What a sender can do about such a status, where nobody has said anything better (RFC 3463).
pub fn advice(status: EnhancedStatus) -> &'static str {
    match (status.class(), status.subject(), status.detail()) {
        (4, 4, 7) => {
            "The relay has tried for as long as it may. If the message still matters, send it again once the cause above \
             is cured."
        }
        (_, 1, 7 | 8) => "The sender's address is refused. Check the address that the device or program sends as.",
        (_, 1, _) => "Check the recipient's address for mistakes, correct it, and send the message again.",
        (_, 2, 2) => {
            "The recipient's mailbox is full. Reach the recipient by another way, and send the message again later."
        }
        (_, 2 | 3, 3 | 4) => "The message is too large. Send it in parts, or share the files by a link.",
        (_, 2, _) => "The recipient's mailbox does not take mail. Ask the recipient, or reach them by another way.",
        (_, 6, _) => {
            "The content of the message cannot be carried there. Send it in a simpler form: plain ASCII text, or another \
             program."
        }
        (_, 7, _) => {
            "The message was refused by a rule. Show this message to your administrator, or ask the recipient to allow \
             mail from you."
        }
        _ => "Show this message to whoever runs the mail relay.",
    }
}

pub(super) fn of(report: &Report<'_>, third: &Third) -> String {
    let mut text = Text(String::with_capacity(2_048));
    text.paragraph("", &opening(report));
    let groups = groups(&report.recipients);
    for group in groups.iter().take(GROUPS) {
        group_of(&mut text, report.action, group);
    }
    if groups.len() > GROUPS {
        text.paragraph("", "There are more causes; the second part of this message lists every recipient.");
    }
    text.paragraph("", &closing(report));
    text.details(report);
    text.paragraph("", &returned(report, third));
    text.0
}

/// Recipients that have fared alike.
fn groups<'a, 'r>(recipients: &'r [Recipient<'a>]) -> Vec<Vec<&'r Recipient<'a>>> {
    let mut groups: Vec<Vec<&Recipient<'_>>> = Vec::new();
    for recipient in recipients {
        let alike = |group: &&mut Vec<&Recipient<'_>>| group.first().is_some_and(|first| are_alike(first, recipient));
        // Never more than one above those that are shown, so that many causes cost no more than few.
        let known = groups.len() > GROUPS;
        match groups.iter_mut().find(alike) {
            Some(group) => group.push(recipient),
            None if known => {}
            None => groups.push(vec![recipient]),
        }
    }
    groups
}

fn are_alike(one: &Recipient<'_>, other: &Recipient<'_>) -> bool {
    one.reason == other.reason && one.hint == other.hint && one.status == other.status
}

fn opening(report: &Report<'_>) -> String {
    let what = match report.action {
        Action::Failed => "could not be delivered to",
        Action::Delayed => "has not been delivered yet to",
        Action::Delivered => "was delivered to",
        Action::Relayed | Action::Expanded => "was handed on for",
    };
    let count = match report.recipients.len() {
        1 => "this recipient".to_owned(),
        count => format!("these {count} recipients"),
    };
    let relay = clean(report.about.reporting_mta);
    let sender = report.about.reverse_path.mailbox();
    let own = |to: &ForwardPath| to.mailbox().zip(sender).is_some_and(|(to, sender)| to.same_as(sender));
    let whose = if report.letter.to.iter().any(own) {
        "Your message".to_owned()
    } else {
        format!("A message from {} (\"{}\")", address(report.about.reverse_path), short(report.about.client))
    };
    format!("This is the mail relay {relay}. {whose} {what} {count}:")
}

fn group_of(text: &mut Text, action: Action, group: &[&Recipient<'_>]) {
    let Some(first) = group.first() else { return };
    for recipient in group.iter().take(NAMED) {
        text.line("    ", &forward_path(recipient.forward_path));
    }
    if group.len() > NAMED {
        text.line("    ", &format!("and {} more, listed in the second part of this message", group.len() - NAMED));
    }
    text.0.push('\n');
    if matches!(action, Action::Failed | Action::Delayed) {
        text.paragraph("  ", &format!("Why: {}", said(first.reason)));
        let hint = first.hint.map_or_else(|| advice(first.status).to_owned(), said);
        text.paragraph("  ", &format!("What to do: {hint}"));
    }
    if let Some((host, reply)) = first.remote {
        let host = short(host.split_whitespace().next().unwrap_or("the next server"));
        let reply = said(&reply.to_string());
        match said(first.reason).contains(&reply) {
            true => text.paragraph("  ", &format!("Said by: {host}")),
            false => text.paragraph("  ", &format!("{host} said: {reply}")),
        }
    }
}

fn closing(report: &Report<'_>) -> String {
    let others = match report.others {
        0 => String::new(),
        1 => " The message has one other recipient, of whom this does not tell.".to_owned(),
        others => format!(" The message has {others} other recipients, of whom this does not tell."),
    };
    let until = report.recipients.iter().filter_map(|recipient| recipient.retry_until).max();
    let what = match (report.action, until) {
        (Action::Failed, _) => {
            "The relay does not try again. Once the cause is removed, send the message again. If you cannot do that, show \
             this to whoever runs the relay."
                .to_owned()
        }
        (Action::Delayed, until) => {
            let until = until.map(|at| format!(" until {}", time(at))).unwrap_or_default();
            format!(
                "You need not do anything, and should not send the message again: the relay keeps it and tries further{until}. \
                 You will hear if it has to give up."
            )
        }
        (Action::Delivered, _) => "It lies in the mailbox.".to_owned(),
        (Action::Relayed | Action::Expanded, _) => {
            "The server that has it now does not confirm deliveries: this is the last confirmation that you will get.".to_owned()
        }
    };
    format!("{what}{others}")
}

fn returned(report: &Report<'_>, third: &Third) -> String {
    let why = match &report.returned {
        Returned::Nothing(why) => return format!("Nothing of the message is returned: {}", said(why)),
        _ if third.whole => "The message is attached.",
        Returned::Message(_) => "The header section of the message is attached; the whole of it cannot go by this way.",
        Returned::Header { cut: true, .. } => "The first part of the header section of the message is attached.",
        Returned::Header { cut: false, .. } => "The header section of the message is attached.",
    };
    format!("{why} This notice was written by a machine; nobody reads answers to it.")
}

/// The text in the making.
struct Text(String);

impl Text {
    /// Words, each line indented, and an empty line.
    fn paragraph(&mut self, indent: &str, words: &str) {
        let mut column = 0;
        for word in words.split_whitespace() {
            if column > 0 && column + 1 + word.len() > COLUMNS {
                self.0.push('\n');
                column = 0;
            }
            let before = if column == 0 { indent } else { " " };
            self.0.push_str(before);
            self.0.push_str(word);
            column += before.len() + word.len();
        }
        self.0.push_str("\n\n");
    }

    fn line(&mut self, indent: &str, text: &str) {
        self.0.push_str(indent);
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn details(&mut self, report: &Report<'_>) {
        let About { id, client, arrived_at, reverse_path, subject, message_id, .. } = &report.about;
        self.line("", "The message:");
        self.line("  Id at the relay: ", &short(id));
        self.line("  From:            ", &address(reverse_path));
        let subject = subject.map(|subject| short(&readable(subject))).filter(|subject| !subject.trim().is_empty());
        self.line("  Subject:         ", subject.as_deref().unwrap_or("(none)"));
        let peer = report.about.peer.map(|peer| format!(" [{peer}]")).unwrap_or_default();
        self.line("  Received:        ", &format!("{}, from \"{}\"{peer}", time(*arrived_at), short(client)));
        if let Some(id) = message_id {
            self.line("  Message-ID:      ", &short(id));
        }
        self.0.push('\n');
    }
}

fn forward_path(path: &ForwardPath) -> String {
    path.mailbox().map_or_else(|| "postmaster".to_owned(), |mailbox| clean(mailbox.as_str()))
}

fn address(path: &ReversePath) -> String {
    path.mailbox().map_or_else(|| "<>".to_owned(), |mailbox| clean(mailbox.as_str()))
}

fn said(text: &str) -> String {
    cut(&clean(text), SAID)
}

fn short(text: &str) -> String {
    cut(&clean(text), SHORT)
}

fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
