//! `posthouse retry|hold|release|remove`: operators' words, for one message or for many.

use std::process::ExitCode;

use anyhow::{anyhow, bail};
use api::{Done, Filter, Order, Selection, Word};
use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::{Running, say, say_error, say_json};

/// Which messages, by what is known of them.
#[derive(Args, Clone, Default)]
pub(super) struct Pick {
    /// Only mail from reverse-paths that contain this text
    #[arg(long, value_name = "TEXT")]
    sender: Option<String>,
    /// Only mail to forward-paths that contain this text
    #[arg(long, value_name = "TEXT")]
    recipient: Option<String>,
    /// Only mail of this client entry
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Only mail for this path, as `posthouse status` names it
    #[arg(long, value_name = "PATH")]
    lane: Option<String>,
    /// Only held mail
    #[arg(long, conflicts_with = "not_held")]
    held: bool,
    /// Only mail that is not held
    #[arg(long)]
    not_held: bool,
    /// Only mail accepted longer ago than this, e.g. 90m, 4h, 2d
    #[arg(long, value_name = "AGE")]
    older_than: Option<String>,
}

impl Pick {
    pub(super) fn filter(&self) -> anyhow::Result<Filter> {
        let pick = self.clone();
        Ok(Filter {
            lane: pick.lane,
            held: if self.held { Some(true) } else { self.not_held.then_some(false) },
            sender: pick.sender,
            recipient: pick.recipient,
            client: pick.client,
            older_than: self.older_than.as_deref().map(before).transpose()?,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "an age on the command line counts from now")]
fn before(age: &str) -> anyhow::Result<Timestamp> {
    let age: SignedDuration = age.parse().map_err(|_| anyhow!("`{age}` is no age\n  hint: write 90m, 4h or 2d"))?;
    Ok(Timestamp::now().checked_sub(age)?)
}

/// Which messages, by id or by what is known of them.
#[derive(Args, Clone)]
pub(super) struct Targets {
    /// Ids of messages, as `posthouse queue` prints them
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    pick: Pick,
    /// Everything in the queue
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    running: Running,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

impl Targets {
    fn selection(&self) -> anyhow::Result<Selection> {
        let filter = self.pick.filter()?;
        match (self.ids.is_empty(), filter.is_empty(), self.all) {
            (false, true, false) => Ok(Selection::Ids(self.ids.clone())),
            (true, false, false) => Ok(Selection::Filter(filter)),
            (true, true, true) => Ok(Selection::All),
            (true, true, false) => bail!("which messages?\n  hint: give ids, conditions such as --sender, or --all"),
            _ => bail!("give either ids, or conditions, or --all"),
        }
    }

    async fn order(self, word: Word, reason: Option<String>, past: &str) -> anyhow::Result<ExitCode> {
        let order = Order { messages: self.selection()?, reason };
        let done = self.running.client()?.order(word, &order).await?;
        if self.json {
            say_json(&done)?;
        } else {
            report(&done, past);
        }
        Ok(if done.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn report(done: &Done, past: &str) {
    say(format!("{past}: {} of {}", done.done, done.matched));
    for failure in &done.failures {
        say_error(&format!("{}: {}", failure.id, failure.error));
    }
}

/// Try messages now, whatever their schedule says
///
/// With --path, in place of messages: try one message now although the path rests, or something that it needs does not work
/// (`OPEN` in `posthouse status`). If it goes through, all mail that waited for it goes on. NAME is a path, a pool (each of its
/// paths is tried) or what stands after OPEN, such as `credential contoso/6666…` (each path that it stops is tried).
#[derive(Args)]
pub(super) struct Retry {
    #[command(flatten)]
    targets: Targets,
    /// Probe this path, pool or breaker now, as `posthouse status` names it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["ids", "all"])]
    path: Option<String>,
}

impl Retry {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let Some(path) = &self.path else { return self.targets.order(Word::Retry, None, "to be tried now").await };
        self.targets.running.client()?.probe(path).await?;
        say(format!("{path}: one message is tried now"));
        Ok(ExitCode::SUCCESS)
    }
}

/// Keep messages in the queue without trying them, until they are released
#[derive(Args)]
pub(super) struct Hold {
    #[command(flatten)]
    targets: Targets,
    /// Why, for the message's story
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Hold {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        self.targets.order(Word::Hold, self.reason, "held").await
    }
}

/// Let held messages go on
#[derive(Args)]
pub(super) struct Release {
    #[command(flatten)]
    targets: Targets,
}

impl Release {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        self.targets.order(Word::Release, None, "released").await
    }
}

/// Take messages out of the queue for good; nobody is told, and their bytes are gone
///
/// What was removed stays in the history (`posthouse queue --history`) and in the counters.
#[derive(Args)]
pub(super) struct Remove {
    #[command(flatten)]
    targets: Targets,
}

impl Remove {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        self.targets.order(Word::Remove, None, "removed").await
    }
}
