//! Any bytes as a report: never a panic, and nothing comes out that is no text of one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::dsn::read;

fuzz_target!(|data: &[u8]| {
    let Ok(status) = read(data) else { return };
    assert!(!status.recipients.is_empty() && status.recipients.len() <= 5_001);
    for recipient in &status.recipients {
        let pairs = [&recipient.original, &recipient.recipient, &recipient.diagnostic].into_iter().flatten();
        let texts = [&recipient.remote_mta, &recipient.log_id].into_iter().flatten();
        for text in pairs.flat_map(|(kind, text)| [kind, text]).chain(texts) {
            assert!(!text.contains(char::is_control) && text.len() <= 16_384, "{text:?}");
        }
    }
});
