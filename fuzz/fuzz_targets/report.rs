//! Anything that a remote, a client or a sender may have said, in a report: its lines are legal, its parts are those that we
//! made, and it reads back.
//!
//! Input: texts, each ended by 0xfe; the last one is the message that is returned.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use message::dsn::{About, Action, Recipient, Report, Returned, read, subject};
use message::{AutoSubmitted, Letter};
use smtp::{EnhancedStatus, ForwardPath, Mailbox, Reply, ReversePath};

fn path(text: &str) -> ForwardPath {
    text.parse().unwrap_or(ForwardPath::Postmaster)
}

fuzz_target!(|data: &[u8]| {
    let (choices, data) = data.split_first().unwrap_or((&0, &[]));
    let mut pieces = data.split(|byte| *byte == 0xfe);
    let returned = pieces.next_back().unwrap_or_default();
    let mut next = || String::from_utf8_lossy(pieces.next().unwrap_or_default()).into_owned();
    let action = [Action::Failed, Action::Delayed, Action::Relayed][usize::from(choices % 3)];
    let (to, forward_path, orcpt, envid) = (path(&next()), path(&next()), next().parse().ok(), next().parse().ok());
    let reverse_path = next().parse().unwrap_or(ReversePath::Null);
    let (title, message_id, helo, client, host) = (next(), next(), next(), next(), next());
    let mut reply = Reply::new(550, EnhancedStatus::new(5, 7, 606), next());
    reply.lines.push(next().into());
    let (reason, hint, at) = (next(), next(), Timestamp::UNIX_EPOCH);
    let recipient = Recipient {
        forward_path: &forward_path,
        original: orcpt.as_ref(),
        status: EnhancedStatus::new(5, 7, 606),
        reason: &reason,
        hint: Some(&hint),
        remote: Some((&host, &reply)),
        last_attempt_at: Some(at),
        retry_until: Some(at),
    };
    let report = Report {
        letter: Letter {
            from_name: client.clone(),
            from: Mailbox::parse("postmaster@relay.example").unwrap(),
            to: vec![to],
            subject: subject(action, Some(&title), choices & 4 == 0),
            at,
            message_id: "01ARZ3NDEKTSV@relay.example".to_owned(),
            auto_submitted: AutoSubmitted::Replied,
            in_reply_to: Some(message_id.clone()),
        },
        action,
        about: About {
            reporting_mta: "relay.example",
            id: "01ARZ3NDEKTSA".to_owned(),
            envelope_id: envid.as_ref(),
            helo: &helo,
            peer: Some([127, 0, 0, 1].into()),
            client: &client,
            arrived_at: at,
            reverse_path: &reverse_path,
            subject: Some(&title),
            message_id: Some(&message_id),
        },
        recipients: vec![recipient.clone(), recipient],
        others: 1,
        returned: if choices & 8 == 0 {
            Returned::Message(returned.to_vec())
        } else {
            Returned::Header { octets: returned.to_vec(), cut: choices & 16 == 0 }
        },
        eight_bit: choices & 32 == 0,
    };
    let written = report.write();
    let mut lines = written.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        if lines.peek().is_none() {
            assert!(line.is_empty(), "the last line has no end");
        } else {
            let text = line.strip_suffix(b"\r").expect("a bare LF");
            assert!(
                text.len() <= 998 && !text.contains(&b'\r') && !text.contains(&0),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }
    assert!(written.is_ascii() || report.eight_bit || report.letter.needs_utf8());
    let status = read(&written).expect("our own report");
    assert_eq!(status.recipients.len(), 2);
    for recipient in &status.recipients {
        assert_eq!((recipient.action, recipient.status), (Some(action), Some(EnhancedStatus::new(5, 7, 606))));
        assert_eq!(recipient.log_id.as_deref(), Some("01ARZ3NDEKTSA"));
    }
    assert!(status.original.is_some() && status.text.is_some());
});
