//! Mail of our own: its header section, and a body of plain text.
//!
//! In: who writes to whom, what about. Out: the message as octets. Never: a reply to it from a machine, as far as RFC 3834
//! can prevent that; a field that came from outside.

use jiff::Timestamp;
use smtp::{ForwardPath, Mailbox};

use crate::encoding::{clean, field, phrase, quoted_printable, unfolded, unstructured};

/// RFC 5322 §2.1.1: text is written as it is if no line is longer.
const COLUMNS: usize = 78;
/// A Message-ID that is longer, or has other characters than it may have, is not referred to.
const REFERENCE: usize = 250;

/// The header section of mail that a machine writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Display name of the author.
    pub from_name: String,
    /// Address of the author.
    pub from: Mailbox,
    /// At least one.
    pub to: Vec<ForwardPath>,
    /// Any language.
    pub subject: String,
    /// `Date`
    pub at: Timestamp,
    /// `Message-ID`, without its brackets.
    pub message_id: String,
    /// See there.
    pub auto_submitted: AutoSubmitted,
    /// The value of the `Message-ID` field of the message that it is about.
    pub in_reply_to: Option<String>,
}

/// RFC 3834 §5
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoSubmitted {
    /// `auto-generated`
    Generated,
    /// `auto-replied`
    Replied,
}

impl Letter {
    /// Whether it can go only where SMTPUTF8 is spoken: an address is not ASCII.
    pub fn needs_utf8(&self) -> bool {
        !self.from.is_ascii() || !self.to.iter().all(ForwardPath::is_ascii)
    }

    /// The message with this text; lines are separated by `\n`.
    pub fn with_text(&self, text: &str) -> Vec<u8> {
        let mut written = self.fields();
        text_part(&mut written, text);
        written.into_bytes()
    }

    /// All fields but those of MIME that describe the content.
    pub(crate) fn fields(&self) -> String {
        let mut text = String::with_capacity(1_024);
        field(&mut text, "Date", &date(self.at));
        field(&mut text, "From", &format!("{} <{}>", phrase(&self.from_name), self.from));
        let to: Vec<String> = self.to.iter().map(|to| self.address(to)).collect();
        field(&mut text, "To", &to.join(", "));
        field(&mut text, "Subject", &unstructured(&self.subject));
        unfolded(&mut text, "Message-ID", &format!("<{}>", self.message_id));
        if let Some(id) = self.in_reply_to.as_deref().and_then(reference) {
            unfolded(&mut text, "In-Reply-To", id);
            unfolded(&mut text, "References", id);
        }
        let auto_submitted = match self.auto_submitted {
            AutoSubmitted::Generated => "auto-generated",
            AutoSubmitted::Replied => "auto-replied",
        };
        field(&mut text, "Auto-Submitted", auto_submitted);
        field(&mut text, "MIME-Version", "1.0");
        text
    }

    /// `<postmaster>` has no domain; ours is meant.
    fn address(&self, path: &ForwardPath) -> String {
        match path {
            ForwardPath::Postmaster => format!("postmaster@{}", self.from.domain()),
            ForwardPath::Mailbox(mailbox) => mailbox.to_string(),
        }
    }
}

/// A body part of plain text, its fields included. Control characters become blanks.
pub(crate) fn text_part(into: &mut String, text: &str) {
    let text =
        text.split('\n').map(|line| clean(line.strip_suffix('\r').unwrap_or(line))).collect::<Vec<_>>().join("\n");
    let plain = |line: &str| line.len() <= COLUMNS && line.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    if text.lines().all(plain) && !text.lines().any(|line| line.ends_with(' ')) {
        into.push_str("Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n");
        for line in text.lines() {
            into.push_str(line);
            into.push_str("\r\n");
        }
    } else {
        into.push_str("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n");
        into.push_str(&quoted_printable(text.as_bytes()));
    }
}

/// `Sat, 21 Nov 2026 01:46:35 +0000`
pub(crate) fn date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// The first id of a Message-ID field, if it is one.
fn reference(value: &str) -> Option<&str> {
    let start = value.find('<')?;
    let (id, _) = value.get(start..)?.split_once('>')?;
    let sound = id.len() > 1 && id.len() < REFERENCE && id.bytes().skip(1).all(|b| b.is_ascii_graphic() && b != b'<');
    sound.then(|| value.get(start..=start + id.len())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            from_name: "Mail Delivery System".to_owned(),
            from: Mailbox::parse("postmaster@relay.contoso.com").unwrap(),
            to: vec!["<anna@contoso.com>".parse().unwrap(), ForwardPath::Postmaster],
            subject: "Störung".to_owned(),
            at: Timestamp::from_second(1_795_225_595).unwrap(),
            message_id: "01ARZ3NDEKTSV@relay.contoso.com".to_owned(),
            auto_submitted: AutoSubmitted::Generated,
            in_reply_to: Some(" <1@contoso.com> (x)".to_owned()),
        }
    }

    #[test]
    fn a_letter_has_the_fields_that_mail_needs() {
        let expected = "Date: Sat, 21 Nov 2026 01:46:35 +0000\r\n\
            From: Mail Delivery System <postmaster@relay.contoso.com>\r\n\
            To: anna@contoso.com, postmaster@relay.contoso.com\r\n\
            Subject: =?utf-8?Q?St=C3=B6rung?=\r\n\
            Message-ID: <01ARZ3NDEKTSV@relay.contoso.com>\r\n\
            In-Reply-To: <1@contoso.com>\r\n\
            References: <1@contoso.com>\r\n\
            Auto-Submitted: auto-generated\r\n\
            MIME-Version: 1.0\r\n\
            Content-Type: text/plain; charset=us-ascii\r\n\
            Content-Transfer-Encoding: 7bit\r\n\r\n\
            Hello\r\n\r\nworld\r\n";
        assert_eq!(String::from_utf8(letter().with_text("Hello\n\nworld")).unwrap(), expected);
    }

    #[test]
    fn other_text_is_quoted_and_read_back_by_others() {
        let text = format!("Grüße {}\nx \n= .\n", "lang ".repeat(40));
        let written = letter().with_text(&text);
        assert!(written.is_ascii());
        let read = mail_parser::MessageParser::default().parse(&written).unwrap();
        assert_eq!(read.subject(), Some("Störung"));
        assert_eq!(read.body_text(0).unwrap().replace("\r\n", "\n"), text);
    }

    #[test]
    fn a_text_has_no_control_characters() {
        let written = letter().with_text("a\u{1b}[2Jb\r\n\0c");
        assert!(String::from_utf8(written).unwrap().ends_with("\r\n\r\na [2Jb\r\n c\r\n"));
    }

    #[test]
    fn only_what_is_an_id_is_referred_to() {
        let table = [
            ("<a@b>", Some("<a@b>")),
            ("<a@b> <c@d>", Some("<a@b>")),
            ("a@b", None),
            ("<a b@c>", None),
            ("<>", None),
            ("<a@b", None),
            ("<grün@b>", None),
            ("<<a@b>", None),
        ];
        for (value, expected) in table {
            assert_eq!(reference(value), expected, "{value}");
        }
        assert_eq!(reference(&format!("<{}>", "a".repeat(300))), None);
    }
}
