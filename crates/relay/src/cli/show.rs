//! `posthouse queue` and `message`: what waits, what became of one message.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use api::{Client, Query, Summary};
use clap::Args;
use jiff::Timestamp;

use super::{Running, operate::Pick, say, say_json, story};

/// What waits in the queue, oldest first
///
/// All conditions that are given must hold. Without --max everything is listed, page by page.
#[derive(Args)]
pub(super) struct Queue {
    #[command(flatten)]
    running: Running,
    #[command(flatten)]
    pick: Pick,
    /// List at most so many
    #[arg(long, value_name = "N")]
    max: Option<usize>,
    /// List settled messages still in the history, newest first, in place of queued ones
    #[arg(long)]
    history: bool,
    /// Print JSON for programs: an array of messages
    #[arg(long)]
    json: bool,
}

impl Queue {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.running.client()?;
        let messages = self.list(&client).await?;
        if self.json {
            say_json(&messages)?;
        } else if messages.is_empty() {
            say("nothing matches");
        } else {
            messages.iter().for_each(|message| say(line(message)));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn list(&self, client: &Client) -> anyhow::Result<Vec<Summary>> {
        let mut messages: Vec<Summary> = Vec::new();
        let mut query: Query = self.pick.filter()?.query(None);
        loop {
            let left = self.max.map_or(1000, |max| max - messages.len());
            if left == 0 {
                return Ok(messages);
            }
            query.max = Some(left.min(1000));
            let page = if self.history { client.history(&query).await? } else { client.queue(&query).await? };
            messages.extend(page.messages);
            match page.next {
                Some(next) => query.from = Some(next),
                None => return Ok(messages),
            }
        }
    }
}

fn line(message: &Summary) -> String {
    let mut text = format!(
        "{}  {}  {:>10}  {} -> {}",
        message.id,
        clock(message.accepted_at),
        story::octets(message.size),
        message.reverse_path,
        recipients(message)
    );
    if let Some(held) = &message.held {
        text.push_str(&format!("\n    HELD: {}", held.reason));
    } else if let Some(due_at) = message.due_at {
        text.push_str(&format!("\n    due {}, attempts {}", clock(due_at), message.attempts));
    }
    let first = message.recipients.first().map(|recipient| story::state(&recipient.state));
    first.into_iter().filter(|state| state != "queued").for_each(|state| text.push_str(&format!("\n    {state}")));
    text
}

fn recipients(message: &Summary) -> String {
    let first = message.recipients.first().map(|recipient| recipient.forward_path.as_str()).unwrap_or_default();
    match message.recipients.len() {
        0 | 1 => first.to_owned(),
        n => format!("{first} and {} more", n - 1),
    }
}

/// The story of one message, with every reply as it was said, and its header section
///
/// Works for queued messages and for settled ones still in the history (their bytes are gone, so there is no header
/// section to show any more).
#[derive(Args)]
pub(super) struct Message {
    /// The id, as in the reply to the device, in the log and in `posthouse queue`
    id: String,
    #[command(flatten)]
    running: Running,
    /// Print the bytes of the message as they lie in the spool, and nothing else
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

impl Message {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.running.client()?;
        if self.raw {
            return print_raw(&client, &self.id).await;
        }
        let message = client.message(&self.id).await?;
        if self.json {
            say_json(&message)?;
            return Ok(ExitCode::SUCCESS);
        }
        say(told(&message));
        if !message.settled {
            say(format!("\n{}", header_section(&client, &self.id).await?.trim_end()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn print_raw(client: &Client, id: &str) -> anyhow::Result<ExitCode> {
    let mut raw = client.raw(id).await?;
    let mut out = std::io::stdout();
    while let Some(piece) = raw.next().await? {
        out.write_all(&piece)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Up to the empty line; at most 256 KiB of it.
async fn header_section(client: &Client, id: &str) -> anyhow::Result<String> {
    let mut raw = client.raw(id).await?;
    let mut head = Vec::new();
    while let Some(piece) = raw.next().await? {
        head.extend_from_slice(&piece);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            head.truncate(end);
            break;
        }
        if head.len() > 256 * 1024 {
            bail!("the header section of {id} does not end within 256 KiB");
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

pub(super) fn told(message: &api::Message) -> String {
    let summary = &message.summary;
    let mut lines = vec![
        format!("{}  {}  accepted {}", summary.id, story::octets(summary.size), clock(summary.accepted_at)),
        format!("  from {} by client entry `{}`{}", summary.reverse_path, summary.client, user(message)),
        format!("  at {} ({}), session {}, {}", message.peer, message.helo, message.session, tls(message)),
    ];
    lines.extend(summary.recipients.iter().map(|r| format!("  to {}: {}", r.forward_path, story::state(&r.state))));
    if let Some(held) = &summary.held {
        lines.push(format!("  HELD: {}", held.reason));
    } else if let Some(due_at) = summary.due_at {
        lines.push(format!("  next attempt {} through {}, {} so far", clock(due_at), summary.lane, summary.attempts));
    }
    lines.push(String::new());
    for event in &message.story {
        let mut told = story::lines(event).into_iter();
        lines.extend(told.next().map(|first| format!("{}  {first}", clock(event.at))));
        lines.extend(told.map(|line| format!("{:19}  {line}", "")));
    }
    lines.join("\n")
}

fn user(message: &api::Message) -> String {
    message.user.as_ref().map(|user| format!(", user {user}")).unwrap_or_default()
}

fn tls(message: &api::Message) -> &str {
    message.tls.as_deref().unwrap_or("no TLS")
}

/// Local time to the second.
pub(super) fn clock(at: Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
