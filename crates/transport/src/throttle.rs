//! What servers say when it is too much or too fast, where no catalogue knows their words; and how long they ask us to wait.
//!
//! In: a reply. Out: what was too much, or nothing. Carefully: a 4yz alone means nothing, and a word inside another one
//! ("temporarily", "moderate") is none. Postfix, Exim, Sendmail, Gmail and Amazon were listened to.

use std::time::Duration;

use queue::{Counted, Excess};
use smtp::Reply;

/// More patience than this is not given for being asked.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What was too much, if the reply says that something was.
pub(crate) fn recognised(reply: &Reply) -> Option<Excess> {
    if !may_be_one(reply) {
        return None;
    }
    let text = reply.text().to_ascii_lowercase();
    let words = Words::of(&text);
    let rate = words.any(&["rate", "rates", "ratelimit", "ratelimited"]);
    if connections(&words) {
        Some(Excess::Connections)
    } else if messages(&words, rate) {
        Some(Excess::Of(Counted::Messages))
    } else {
        (rate || words.any_starts("throttl")).then_some(Excess::Unknown)
    }
}

fn connections(words: &Words<'_>) -> bool {
    let what = ["connection", "connections", "session", "sessions"];
    words.too_many(&what)
        || (words.any(&["concurrent", "simultaneous"]) && words.any(&what))
        || words.follow(&["connection", "rate"])
        || words.follow(&["connection", "limit"])
        || words.follow(&["number", "of", "connections"])
}

fn messages(words: &Words<'_>, rate: bool) -> bool {
    let what = ["message", "messages", "mail", "mails", "email", "emails"];
    let limited = words.any(&["limit", "limits", "limited", "exceeded", "exceeds"]);
    words.too_many(&what) || (rate && limited && words.any(&what))
}

/// The server as a whole, or its policy: 421, or 4.3.2, 4.7.x, or without a status what Amazon and older servers use.
/// A status of another kind is about a mailbox or an address: "receiving mail at a rate" with 4.2.1 is not about us.
fn may_be_one(reply: &Reply) -> bool {
    let about_us = match reply.status {
        None => true,
        Some(status) => status.subject() == 7 || (status.subject(), status.detail()) == (3, 2),
    };
    matches!(reply.code.get(), 421 | 450 | 451 | 452 | 454) && about_us
}

/// "Try again in 5 minutes", "retry after 300 seconds": how long, at most a day.
pub(crate) fn asked_for(reply: &Reply) -> Option<Duration> {
    let text = reply.text().to_ascii_lowercase();
    let words = Words::of(&text);
    if !words.any(&["again", "retry", "wait"]) {
        return None;
    }
    let mut pairs = words.0.iter().zip(words.0.iter().skip(1));
    let seconds = pairs.find_map(|(number, unit)| number.parse::<u64>().ok()?.checked_mul(seconds_of(unit)?));
    seconds.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds).min(LONGEST))
}

fn seconds_of(unit: &str) -> Option<u64> {
    match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "min" | "mins" | "minute" | "minutes" => Some(60),
        "h" | "hour" | "hours" => Some(3600),
        _ => None,
    }
}

/// Letters and digits that stand together.
struct Words<'t>(Vec<&'t str>);

impl<'t> Words<'t> {
    fn of(text: &'t str) -> Self {
        Self(text.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect())
    }

    fn any(&self, wanted: &[&str]) -> bool {
        self.0.iter().any(|word| wanted.contains(word))
    }

    fn any_starts(&self, start: &str) -> bool {
        self.0.iter().any(|word| word.starts_with(start))
    }

    /// "Too many of these", with at most two words between: "too many errors on this connection" is about errors.
    fn too_many(&self, what: &[&str]) -> bool {
        self.0.windows(2).enumerate().any(|(at, pair)| {
            matches!(pair, ["too", "many" | "much"])
                && self.0.iter().skip(at + 2).take(3).any(|word| what.contains(word))
        })
    }

    fn follow(&self, wanted: &[&str]) -> bool {
        self.0.windows(wanted.len()).any(|words| words == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(line: &str) -> Reply {
        let (code, text) = line.split_once(' ').unwrap();
        let mut parser = smtp::ReplyParser::new();
        parser.push(format!("{code} {text}\r\n").as_bytes()).unwrap().1.unwrap()
    }

    #[test]
    fn servers_that_want_less_are_understood_and_others_are_not_mistaken_for_them() {
        let messages = Some(Excess::Of(Counted::Messages));
        for (line, wanted) in [
            ("421 4.7.0 mx.test Error: too many connections from 192.0.2.1", Some(Excess::Connections)),
            ("421 Too many concurrent SMTP connections; please try again later.", Some(Excess::Connections)),
            ("421 4.3.2 Connection rate limit exceeded.", Some(Excess::Connections)),
            ("452 4.3.2 Connection rate limit exceeded. (Too fast)", Some(Excess::Connections)),
            ("421 4.7.0 Too many simultaneous sessions", Some(Excess::Connections)),
            ("450 4.7.1 Error: too much mail from 192.0.2.1", messages),
            ("451 4.7.1 You have sent too many messages, slow down", messages),
            ("450 4.7.1 Message rate limit exceeded: 30 messages", messages),
            ("421 4.7.28 Our system has detected an unusual rate of unsolicited mail", Some(Excess::Unknown)),
            ("454 Throttling failure: Maximum sending rate exceeded.", Some(Excess::Unknown)),
            ("451 4.7.1 Rate limited, retry in 60 seconds", Some(Excess::Unknown)),
            // About a mailbox, an address, or nothing that was too much.
            ("450 4.2.1 The user is receiving mail at a rate that prevents additional messages", None),
            ("450 4.1.8 Too many messages for a sender without a domain", None),
            ("421 4.3.2 Busy", None),
            ("421 4.7.0 Temporarily deferred, generated by the moderator", None),
            ("451 4.7.1 Greylisted, try again in 300 seconds", None),
            ("421 4.7.0 Too many errors on this connection", None),
            ("450 4.7.1 Client host rejected: cannot find your hostname", None),
            ("452 4.5.3 Too many recipients", None),
            ("421 4.4.2 Connection timed out: exceeded 300 s", None),
            ("550 5.7.1 Rate limit exceeded", None),
            ("554 Too many connections", None),
        ] {
            assert_eq!(recognised(&reply(line)), wanted, "{line}");
        }
    }

    #[test]
    fn the_patience_that_is_asked_for_is_read_within_bounds() {
        for (line, seconds) in [
            ("450 4.7.1 Greylisted, try again in 300 seconds", Some(300)),
            ("451 4.7.500 Server busy. Please try again in 5 minutes.", Some(300)),
            ("421 Wait 2 hours", Some(7200)),
            ("450 4.2.0 Retry after 45s", None),
            ("450 4.2.0 Retry after 45 s", Some(45)),
            ("450 4.2.0 Try again in 900 hours", Some(86_400)),
            ("450 4.2.0 Try again in 99999999999999999999 seconds", None),
            ("450 4.2.0 Try again in 18446744073709551615 hours", None),
            ("450 4.2.0 Try again in 0 seconds", None),
            ("450 4.2.0 Try again later", None),
            ("421 4.4.2 Idle for 300 seconds", None),
        ] {
            assert_eq!(asked_for(&reply(line)).map(|wait| wait.as_secs()), seconds, "{line}");
        }
    }
}
