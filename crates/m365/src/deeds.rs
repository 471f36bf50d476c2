//! What the relay does by itself about a refusal, in words: for `explain` and for the page of all refusals.
//!
//! In: a row. Out: one or two sentences. Never: anything that the row's action, breaker and excess do not say.

use crate::row::{About, Action, Breaker, Excess, Row, Source, Where};

impl Row {
    /// What the relay does by itself.
    pub fn by_itself(&self) -> String {
        let deed = self.deed();
        match (self.source, self.where_) {
            (Source::Smtp, Where::Ndr) => format!(
                "As a rule Microsoft says this in a report to the sender, after it took the message: the relay's part is done \
                 then. Said to the relay itself: {}",
                lowered(&deed)
            ),
            _ => deed,
        }
    }

    fn deed(&self) -> String {
        if let Some(about) = self.about {
            return about_one(about).to_owned();
        }
        if let Some(excess) = self.excess() {
            return less(excess).to_owned();
        }
        match (self.action, self.breaker()) {
            (Action::RefreshToken, Some(breaker)) => {
                format!(
                    "It takes a fresh token and tries once more at once. Refused again: {}",
                    lowered(&stop(breaker))
                )
            }
            (Action::SwitchRoute, Some(breaker)) => {
                format!("It takes the next path of the tenant; where there is none: {}", lowered(&stop(breaker)))
            }
            (_, Some(breaker)) => stop(breaker),
            (action, None) => without_breaker(action, self.source).to_owned(),
        }
    }
}

fn stop(breaker: Breaker) -> String {
    let what = match breaker {
        Breaker::Path => "Everything that goes by this path",
        Breaker::Credential => "Everything that needs this credential",
        Breaker::Tenant => "All mail of this tenant",
        Breaker::Mailbox => "Everything that is sent as this mailbox",
    };
    format!(
        "{what} waits; no attempt is counted, and nothing bounces. One alert. One message is tried now and then; the first \
         that goes through ends the wait."
    )
}

fn less(excess: Excess) -> &'static str {
    match excess {
        Excess::Connections => {
            "It goes on with fewer connections at once, the message a few seconds later; with success it opens more again. \
             Nothing bounces."
        }
        Excess::Messages => {
            "It goes on with fewer messages a minute; with success it sends more again. Nothing bounces."
        }
        Excess::Recipients => {
            "All mail of this mailbox waits until the window of 24 hours has room again; the time is in `posthouse status`. \
             Nothing bounces."
        }
        Excess::External => {
            "Mail for recipients outside the tenant waits until the window of 24 hours has room again; internal mail goes on. \
             Nothing bounces."
        }
        Excess::ExternalUnderProviderDomain => {
            "Mail from addresses under onmicrosoft.com to recipients outside the tenant waits until the window of 24 hours has \
             room again; other mail goes on. Nothing bounces."
        }
        Excess::Unknown => {
            "It goes on with fewer connections and more slowly; with success it speeds up again. Nothing bounces."
        }
    }
}

fn about_one(about: About) -> &'static str {
    match about {
        About::Sender => {
            "It remembers for a day that this mailbox may not send as this sender, and does not try it again. The message goes \
             once more as the mailbox where `rewrite` allows that; otherwise it is held, and so is what comes after it from \
             this sender. One alert."
        }
        About::Recipient => "Mail for this recipient waits, without using up attempts; mail for others goes on.",
    }
}

fn without_breaker(action: Action, source: Source) -> &'static str {
    match (action, source) {
        (Action::Retry | Action::SlowDown, Source::Entra) => {
            "It asks again with growing waits. A token that still lives is used on; without one the mail waits, and nothing \
             bounces."
        }
        (Action::Bounce, _) => {
            "The recipients that it is said of are given up at once: the sender, or the owner of the client entry, is told. \
             Other recipients get the message."
        }
        (Action::SwitchRoute, _) => {
            "It takes the next path of the tenant; where there is none the message is given up, and the sender, or the owner \
             of the client entry, is told."
        }
        (Action::Split, _) => "The recipients that are left get the message in further, smaller transactions, at once.",
        _ => "It tries again with growing waits, until the message is older than `expire` in `[queue]`.",
    }
}

/// To follow a colon.
fn lowered(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
