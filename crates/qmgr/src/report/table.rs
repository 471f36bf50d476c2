//! The words of a digest: what happened, one explanation for each cause, a table of the messages.

use std::fmt::Write;

use jiff::Timestamp;
use message::dsn::{Action, advice};

use super::digest::{Cause, Chunk, Entry};

/// Lines of the table, of all causes together.
const LINES: usize = 1_000;

/// Subject and text.
pub(super) fn digest(hostname: &str, chunks: &[Chunk], now: Timestamp) -> (String, String) {
    let causes = causes(chunks);
    let failed = Action::Failed.keyword();
    let (failures, delays): (Vec<_>, Vec<_>) = causes.iter().partition(|cause| cause.cause.action == failed);
    let count = |causes: &[&Told<'_>]| causes.iter().map(|cause| cause.recipients()).sum::<u64>();
    let beyond: u64 = chunks.iter().map(|chunk| u64::from(chunk.beyond)).sum();
    let (failures, delays) = (count(&failures), count(&delays));
    let what = match (failures + beyond, delays) {
        (0, delays) => format!("{delays} delayed"),
        (failures, 0) => format!("{failures} not delivered"),
        (failures, delays) => format!("{failures} not delivered, {delays} delayed"),
    };
    let since = chunks.first().map_or(now, |chunk| chunk.since);
    let mut text = format!(
        "This is the mail relay {hostname}.\n\n\
         Mail from you, or from devices and programs that report to you, fares badly:\n\
         {what} (recipients), from {} to {}.\n\
         Each cause is explained once, with the messages that suffered from it.\n",
        time(since),
        time(now)
    );
    let mut room = LINES;
    for (number, cause) in causes.iter().enumerate() {
        cause.write(&mut text, number + 1, &mut room);
    }
    if beyond > 0 {
        let _ = writeln!(text, "\nThere are {beyond} recipients more, for whom there was no room here.");
    }
    text.push_str(
        "\n`posthouse message ID` on the relay tells the whole story of a message.\n\
         This notice was written by a machine; nobody reads answers to it.\n",
    );
    (format!("Mail relay {hostname}: {what}"), text)
}

/// A cause, and all that suffered from it.
struct Told<'a> {
    cause: &'a Cause,
    entries: Vec<&'a Entry>,
    more: u64,
}

/// A cause may be in several chunks. Those from which most suffer come first.
fn causes(chunks: &[Chunk]) -> Vec<Told<'_>> {
    let mut told: Vec<Told<'_>> = Vec::new();
    for cause in chunks.iter().flat_map(|chunk| &chunk.causes) {
        let more = u64::from(cause.more);
        match told.iter_mut().find(|known| known.cause.key == cause.key) {
            Some(known) => known.more += more,
            None => {
                let all = chunks.iter().flat_map(|chunk| &chunk.entries);
                let entries = all.filter(|entry| entry.cause == cause.key).collect();
                told.push(Told { cause, entries, more });
            }
        }
    }
    told.sort_by_key(|told| std::cmp::Reverse(told.recipients()));
    told
}

impl Told<'_> {
    fn recipients(&self) -> u64 {
        let of = |entry: &&Entry| entry.recipients.len() as u64 + u64::from(entry.others);
        self.entries.iter().map(of).sum::<u64>() + self.more
    }

    // Writing into a string does not fail.
    fn write(&self, text: &mut String, number: usize, room: &mut usize) {
        let Cause { action, status, reason, hint, .. } = self.cause;
        let recipients = match self.recipients() {
            1 => "1 recipient".to_owned(),
            count => format!("{count} recipients"),
        };
        let _ = writeln!(text, "\n\nCause {number}: {recipients} {action}, status {status}\n");
        let _ = writeln!(text, "  Why: {reason}\n");
        let _ = writeln!(text, "  What to do: {}\n", hint.as_deref().unwrap_or_else(|| advice(*status)));
        let _ = writeln!(text, "  When (UTC)           Id             Client            From -> To");
        for entry in self.entries.iter().take(*room) {
            let others = if entry.others > 0 { format!(" and {} more", entry.others) } else { String::new() };
            let at = entry.at.strftime("%Y-%m-%d %H:%M:%S");
            let Entry { id, client, sender, recipients, .. } = entry;
            let _ = writeln!(text, "  {at}  {id}  {client:<16}  {sender} -> {}{others}", recipients.join(", "));
        }
        let unlisted = self.entries.len().saturating_sub(*room) as u64 + self.more;
        *room = room.saturating_sub(self.entries.len());
        if unlisted > 0 {
            let _ = writeln!(text, "  and {unlisted} more");
        }
    }
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
