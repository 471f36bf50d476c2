//! Faults written into the recipient's address, so that any mail program can cause them.
//!
//! `VERB[-ARGUMENT…][-at-STEP][-xCOUNT][+anything]@any.domain`:
//!
//! | address | what happens |
//! |---|---|
//! | `defer-451@`, `defer-450-4.2.1@` | this reply to RCPT; the enhanced status code may be given |
//! | `bounce-550@`, `bounce-550-5.1.10@` | the same with 5yz |
//! | `…-at-end@`, `…-at-data@` | the reply comes there instead |
//! | `throttle-432@` | `432 4.3.2 Concurrent connections limit exceeded` after the content |
//! | `slow-10s@`, `slow-500ms@` | so long a wait before the reply to the content (`-at-rcpt`, `-at-data`: there) |
//! | `drop-at-rcpt@`, `drop-at-data@`, `drop-at-end@` | the connection is closed in place of the reply; the message is not stored |
//! | `drop-at-stored@` | the connection is closed in place of the reply to a message that *was* stored |
//! | `drop-after-5000@` | the connection is closed after so many octets of content |
//! | `…-x2@` | only the first two times for this very address, then all is well |
//! | `…+anything@` | the same; a fresh address with a count of its own |

use std::time::Duration;

use super::{Action, Step, parse_reply};

/// What an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressFault {
    pub(crate) at: Step,
    pub(crate) action: Option<Action>,
    pub(crate) delay: Duration,
    pub(crate) times: Option<u64>,
}

impl AddressFault {
    /// `None` if the address asks for nothing.
    pub(crate) fn parse(address: &str) -> Option<Self> {
        let (local_part, _) = address.rsplit_once('@')?;
        let lower = local_part.to_ascii_lowercase();
        let text = lower.split_once('+').map_or(lower.as_str(), |(text, _)| text);
        let (text, times) = match text.rsplit_once("-x") {
            Some((before, count)) => (before, Some(count.parse().ok()?)),
            None => (text, None),
        };
        let (text, place) = match text.rsplit_once("-at-") {
            Some((before, place)) => (before, Some(place)),
            None => (text, None),
        };
        let (verb, argument) = text.split_once('-').unwrap_or((text, ""));
        let step = |usual: Step| match place {
            None => Some(usual),
            Some("rcpt") => Some(Step::Rcpt),
            Some("data") => Some(Step::Data),
            Some("end") => Some(Step::End),
            Some(_) => None,
        };
        let (at, action, delay) = match verb {
            "defer" | "bounce" => (step(Step::Rcpt)?, Some(Action::Reply(refusal(verb, argument)?)), Duration::ZERO),
            "throttle" => (step(Step::End)?, Some(Action::Reply(throttle(argument)?)), Duration::ZERO),
            "slow" => (step(Step::End)?, None, duration(argument)?),
            "drop" => {
                let (at, action) = drop_connection(argument, place)?;
                (at, Some(action), Duration::ZERO)
            }
            _ => return None,
        };
        Some(Self { at, action, delay, times })
    }
}

fn drop_connection(argument: &str, place: Option<&str>) -> Option<(Step, Action)> {
    if let Some(octets) = argument.strip_prefix("after-") {
        return Some((Step::Content, Action::DisconnectAfter(octets.parse().ok()?)));
    }
    match (argument, place) {
        ("", Some("rcpt")) => Some((Step::Rcpt, Action::Disconnect)),
        ("", Some("data")) => Some((Step::Data, Action::Disconnect)),
        ("", Some("end") | None) => Some((Step::End, Action::Disconnect)),
        ("", Some("stored")) => Some((Step::End, Action::StoreThenDisconnect)),
        _ => None,
    }
}

/// `451` or `451-4.2.1` as a reply that fits the verb.
fn refusal(verb: &str, argument: &str) -> Option<String> {
    let (code, status) = argument.split_once('-').unwrap_or((argument, ""));
    let class = if verb == "defer" { '4' } else { '5' };
    if !code.starts_with(class) {
        return None;
    }
    let status = match (status, code) {
        ("", "452") => "4.3.1",
        ("", "421") => "4.3.2",
        ("", _) if verb == "defer" => "4.7.0",
        ("", _) => "5.1.10",
        (given, _) => given,
    };
    let text = if verb == "defer" {
        "Temporary server error. Please try again later. The address asked for it."
    } else {
        "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup. The address asked for it."
    };
    let reply = format!("{code} {status} {text}");
    parse_reply(&reply).ok().filter(|reply| reply.status.is_some()).map(|_| reply)
}

fn throttle(argument: &str) -> Option<String> {
    match argument {
        "432" | "" => Some(
            "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information."
                .to_owned(),
        ),
        "554" => Some("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException".to_owned()),
        "451" => Some("451 4.7.500 Server busy. Please try again later.".to_owned()),
        _ => None,
    }
}

/// `10s`, `500ms`, `2m`; at most an hour.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => number,
        "s" | "" => number.checked_mul(1000)?,
        "m" => number.checked_mul(60_000)?,
        _ => return None,
    };
    Some(Duration::from_millis(milliseconds.min(3_600_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply_of(address: &str) -> Option<(Step, String)> {
        let fault = AddressFault::parse(address)?;
        match fault.action? {
            Action::Reply(text) => Some((fault.at, text.split(' ').take(2).collect::<Vec<_>>().join(" "))),
            _ => None,
        }
    }

    #[test]
    fn replies_are_named_by_code_and_place() {
        for (address, step, reply) in [
            ("defer-451@x.test", Step::Rcpt, "451 4.7.0"),
            ("defer-450-4.2.1@x.test", Step::Rcpt, "450 4.2.1"),
            ("Defer-451-at-end-x3@x.test", Step::End, "451 4.7.0"),
            ("bounce-550@x.test", Step::Rcpt, "550 5.1.10"),
            ("bounce-554-5.6.0-at-end+tag@x.test", Step::End, "554 5.6.0"),
            ("bounce-550-at-data@x.test", Step::Data, "550 5.1.10"),
            ("throttle-432@x.test", Step::End, "432 4.3.2"),
            ("throttle-554@x.test", Step::End, "554 5.2.0"),
        ] {
            assert_eq!(reply_of(address), Some((step, reply.to_owned())), "{address}");
        }
    }

    #[test]
    fn connections_are_dropped_where_the_address_says() {
        for (address, step, action) in [
            ("drop-at-rcpt@x.test", Step::Rcpt, Action::Disconnect),
            ("drop-at-data@x.test", Step::Data, Action::Disconnect),
            ("drop-at-end-x1@x.test", Step::End, Action::Disconnect),
            ("drop-at-stored@x.test", Step::End, Action::StoreThenDisconnect),
            ("drop-after-5000@x.test", Step::Content, Action::DisconnectAfter(5000)),
        ] {
            let fault = AddressFault::parse(address).unwrap();
            assert_eq!((fault.at, fault.action), (step, Some(action)), "{address}");
        }
        assert_eq!(AddressFault::parse("drop-at-end-x1@x.test").unwrap().times, Some(1));
    }

    #[test]
    fn waits_have_units() {
        for (address, delay) in [("slow-10s@x.test", 10_000), ("slow-500ms@x.test", 500), ("slow-2m@x.test", 120_000)] {
            assert_eq!(AddressFault::parse(address).unwrap().delay, Duration::from_millis(delay), "{address}");
        }
    }

    #[test]
    fn ordinary_addresses_ask_for_nothing() {
        for address in [
            "relay@contoso.test",
            "defer@x.test",
            "defer-550@x.test",
            "bounce-451@x.test",
            "slow@x.test",
            "drop-x@x.test",
            "bounce-550-at-lunch@x.test",
            "defer-4511@x.test",
            "max-x@x.test",
            "no-domain",
            "bounce-550-nonsense@x.test",
        ] {
            assert_eq!(AddressFault::parse(address), None, "{address}");
        }
    }
}
