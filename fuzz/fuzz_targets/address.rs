//! Any text as an address, a path, or parameters: what is read is written and read back the same, and cannot leave its line.
#![no_main]

use std::fmt::{Debug, Display};

use libfuzzer_sys::fuzz_target;
use smtp::{EnvelopeId, ForwardPath, MailParameters, Mailbox, Notify, OriginalRecipient, RcptParameters, ReversePath};

fn check<T: Display + Debug + PartialEq, E: Debug + PartialEq>(text: &str, read: impl Fn(&str) -> Result<T, E>) {
    if let Ok(value) = read(text) {
        let written = value.to_string();
        assert!(!written.contains(|it: char| it.is_ascii_control()), "{written:?}");
        assert_eq!(read(&written), Ok(value), "{text:?} written as {written:?}");
    }
}

fuzz_target!(|text: &str| {
    check(text, str::parse::<Mailbox>);
    check(text, str::parse::<ReversePath>);
    check(text, str::parse::<ForwardPath>);
    check(text, str::parse::<EnvelopeId>);
    check(text, str::parse::<OriginalRecipient>);
    check(text, str::parse::<Notify>);
    check(text, MailParameters::parse);
    check(text, RcptParameters::parse);
    if let Ok(mailbox) = Mailbox::parse(text) {
        assert_eq!(mailbox.as_str(), text);
        assert_eq!(format!("{}@{}", mailbox.local_part(), mailbox.domain()), text);
        assert!(mailbox.same_as(&mailbox));
    }
});
