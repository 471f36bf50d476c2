//! A few reports, then one digest of the rest: for owners of devices, and for senders whose reports come from a mailbox, of
//! which each costs a part of what that mailbox may send.
//!
//! In: failures and delays. Out: which of them are told singly; the others are kept in the spool, under keys of ours, until
//! their digest leaves. Never: more single reports to one reader, or to an owner for one cause, than are allowed within the
//! time of a digest; an entry lost by a crash; a digest without bounds.
//!
//! All state is in the spool. Chunks of a digest are read, changed and written by one task at a time.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use queue::{Message, SpoolError};
use serde::{Deserialize, Serialize};
use smtp::ForwardPath;

use super::carrier::{self, Carrier};
use super::cause;
use super::fate::Fate;
use super::{letter, post, table};
use crate::context::Context;

/// When single reports were made: `report/single/<reader>/<cause>`, and `report/single/<reader>/all`.
const SINGLES: &str = "report/single/";
const ALL: &str = "all";
/// Single reports to one reader, whatever their causes: so many times those for one cause, and never more than the second
/// number, whose times the spool can remember under one key.
const CAUSES: u32 = 10;
const MOST: u32 = 1_000;
/// Chunks of digests: `report/digest/<reader>/<number>`.
const DIGESTS: &str = "report/digest/";
/// A chunk with so many octets gets no more entries: each is written anew with every entry, and the spool takes 64 KiB.
const CHUNK: usize = 8 * 1_024;
/// Chunks of a digest; what comes after is only counted.
const CHUNKS: usize = 32;
/// Octets kept of each text of an entry, and of each text of a cause.
const SHORT: usize = 120;
const LONG: usize = 1_024;
/// Recipients named of one message.
const NAMED: usize = 3;

/// What becomes of the recipients of one message.
pub(super) struct Shared {
    /// Told now.
    pub(super) single: Vec<Fate>,
    /// So many others are in the digest.
    pub(super) digested: usize,
}

/// A part of what a reader will be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub(super) to: ForwardPath,
    pub(super) tenant: String,
    /// Of the digest: that of its first chunk counts.
    pub(super) since: Timestamp,
    pub(super) causes: Vec<Cause>,
    pub(super) entries: Vec<Entry>,
    /// Of causes that have no room here.
    #[serde(default)]
    pub(super) beyond: u32,
}

/// Why, told once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cause {
    pub(super) key: String,
    pub(super) action: String,
    pub(super) status: smtp::EnhancedStatus,
    pub(super) reason: String,
    #[serde(default)]
    pub(super) hint: Option<String>,
    /// Recipients that have no entry.
    #[serde(default)]
    pub(super) more: u32,
}

/// A message that suffered from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) cause: String,
    pub(super) client: String,
    pub(super) sender: String,
    pub(super) recipients: Vec<String>,
    /// Recipients that are not named.
    #[serde(default)]
    pub(super) others: u32,
    pub(super) at: Timestamp,
}

/// Decides about the recipients of one message; durable when it returns.
pub(super) async fn share(
    context: &Context,
    message: &Message,
    to: &ForwardPath,
    fates: Vec<Fate>,
    now: Timestamp,
) -> Result<Shared, SpoolError> {
    let tenant = carrier::tenant(context, message).unwrap_or_default();
    let reader = cause::name(&[tenant, &to.to_string()]);
    let mut causes: BTreeMap<String, Vec<Fate>> = BTreeMap::new();
    fates.into_iter().for_each(|fate| causes.entry(cause::key(&fate)).or_default().push(fate));
    let singles = context.reports.singles;
    let _book = context.digests.lock().await;
    let mut all = Singles::read(context, &reader, ALL, singles.saturating_mul(CAUSES).min(MOST), now).await?;
    let may_be_single = all.have_room();
    let mut shared = Shared { single: Vec::new(), digested: 0 };
    for (cause, fates) in causes {
        if may_be_single && (message.report_to.is_none() || is_new(context, &reader, &cause, now).await?) {
            shared.single.extend(fates);
        } else {
            let mut digest = Tail::read(context, &reader).await?;
            digest.add(message, (to, tenant), &cause, &fates, now);
            digest.store(context).await?;
            shared.digested += fates.len();
        }
    }
    if !shared.single.is_empty() {
        all.note(context, now).await?;
    }
    shared.single.sort_by_key(|fate| fate.index);
    Ok(shared)
}

/// Whether one more single report may be made for that cause, which is noted.
async fn is_new(context: &Context, reader: &str, cause: &str, now: Timestamp) -> Result<bool, SpoolError> {
    let mut singles = Singles::read(context, reader, cause, context.reports.singles.min(MOST), now).await?;
    let room = singles.have_room();
    if room {
        singles.note(context, now).await?;
    }
    Ok(room)
}

/// When single reports of a kind were made, of late.
struct Singles {
    key: String,
    made: Vec<Timestamp>,
    most: usize,
}

impl Singles {
    async fn read(context: &Context, reader: &str, what: &str, most: u32, now: Timestamp) -> Result<Self, SpoolError> {
        let key = format!("{SINGLES}{reader}/{what}");
        let known = context.spool.remembered(&key).await?;
        let known = known.iter().find(|(name, _)| *name == key);
        let mut made: Vec<Timestamp> =
            known.and_then(|(_, value)| serde_json::from_str(value).ok()).unwrap_or_default();
        made.retain(|at| is_recent(context, *at, now));
        Ok(Self { key, made, most: usize::try_from(most).unwrap_or(usize::MAX) })
    }

    fn have_room(&self) -> bool {
        self.made.len() < self.most
    }

    async fn note(&mut self, context: &Context, now: Timestamp) -> Result<(), SpoolError> {
        self.made.push(now);
        context.spool.remember(&self.key, serde_json::to_string(&self.made).ok().as_deref()).await
    }
}

/// Within the time of a digest, whichever way the clock was set.
fn is_recent(context: &Context, at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).unsigned_abs() < context.reports.digest
}

/// The end of one reader's digest, to which entries are added.
struct Tail {
    reader: String,
    /// Chunks there are.
    count: usize,
    /// The last one, and how many octets it has.
    last: Option<(Chunk, usize)>,
    changed: bool,
}

impl Tail {
    async fn read(context: &Context, reader: &str) -> Result<Self, SpoolError> {
        let known = context.spool.remembered(&format!("{DIGESTS}{reader}/")).await?;
        let last = known.last().and_then(|(_, value)| Some((serde_json::from_str(value).ok()?, value.len())));
        Ok(Self { reader: reader.to_owned(), count: known.len(), last, changed: false })
    }

    /// A message that is told of again after a crash is there already, and not added.
    fn add(
        &mut self,
        message: &Message,
        (to, tenant): (&ForwardPath, &str),
        cause: &str,
        fates: &[Fate],
        now: Timestamp,
    ) {
        let Some(first) = fates.first() else { return };
        let entry = entry(message, cause, fates, now);
        let same = |known: &Entry| {
            (&known.id, &known.cause, &known.recipients) == (&entry.id, &entry.cause, &entry.recipients)
        };
        if self.last.as_ref().is_some_and(|(chunk, _)| chunk.entries.iter().any(same)) {
            return;
        }
        let has_room = self.last.as_ref().is_some_and(|(_, octets)| *octets < CHUNK);
        let grows = self.count < CHUNKS;
        if !has_room && (grows || self.last.is_none()) {
            let since = self.last.as_ref().map_or(now, |(chunk, _)| chunk.since);
            let (to, tenant) = (to.clone(), tenant.to_owned());
            self.last = Some((Chunk { to, tenant, since, causes: Vec::new(), entries: Vec::new(), beyond: 0 }, 0));
            self.count += 1;
        }
        let Some((chunk, _)) = &mut self.last else { return };
        self.changed = true;
        let count = u32::try_from(fates.len()).unwrap_or(u32::MAX);
        let known = chunk.causes.iter_mut().find(|known| known.key == cause);
        match (has_room || grows, known) {
            (true, Some(_)) => chunk.entries.push(entry),
            (true, None) => {
                chunk.causes.push(cause_of(cause, first));
                chunk.entries.push(entry);
            }
            (false, Some(known)) => known.more = known.more.saturating_add(count),
            (false, None) => chunk.beyond = chunk.beyond.saturating_add(count),
        }
    }

    async fn store(&self, context: &Context) -> Result<(), SpoolError> {
        let Some((chunk, _)) = self.last.as_ref().filter(|_| self.changed) else { return Ok(()) };
        let value = serde_json::to_string(chunk).map_err(|error| SpoolError::Failed(error.to_string()))?;
        let key = format!("{DIGESTS}{}/{:04}", self.reader, self.count.saturating_sub(1));
        context.spool.remember(&key, Some(&value)).await
    }
}

/// All of one reader's digest.
struct Digest {
    reader: String,
    keys: Vec<String>,
    chunks: Vec<Chunk>,
}

impl Digest {
    fn of(reader: String, known: Vec<(String, String)>) -> Self {
        let chunks = known.iter().filter_map(|(_, value)| serde_json::from_str(value).ok()).collect();
        Self { reader, chunks, keys: known.into_iter().map(|(key, _)| key).collect() }
    }

    async fn forget(&self, context: &Context) -> Result<(), SpoolError> {
        for key in &self.keys {
            context.spool.remember(key, None).await?;
        }
        Ok(())
    }
}

fn entry(message: &Message, cause: &str, fates: &[Fate], now: Timestamp) -> Entry {
    let recipients = fates.iter().filter_map(|fate| message.recipients.get(fate.index));
    let named = recipients.take(NAMED).map(|recipient| kept(&recipient.forward_path.to_string(), SHORT));
    Entry {
        id: message.id.to_string(),
        cause: cause.to_owned(),
        client: kept(&message.origin.client, SHORT),
        sender: kept(&message.reverse_path.to_string(), SHORT),
        recipients: named.collect(),
        others: u32::try_from(fates.len().saturating_sub(NAMED)).unwrap_or(u32::MAX),
        at: now,
    }
}

fn cause_of(key: &str, fate: &Fate) -> Cause {
    Cause {
        key: key.to_owned(),
        action: fate.action.keyword().to_owned(),
        status: fate.status,
        reason: kept(&fate.reason, LONG),
        hint: fate.hint.as_deref().map(|hint| kept(hint, LONG)),
        more: 0,
    }
}

fn kept(text: &str, octets: usize) -> String {
    let end = text.floor_char_boundary(octets);
    text.get(..end).unwrap_or(text).replace(char::is_control, " ")
}

/// What the task that sends digests knows between two rounds.
#[derive(Default)]
pub(super) struct Rounds {
    /// Readers whose digest has no way to go: told once.
    stuck: HashSet<String>,
}

impl Rounds {
    /// Sends what is due, forgets what is old.
    pub(super) async fn round(&mut self, context: &Context) {
        let _book = context.digests.lock().await;
        if let Err(error) = self.due(context).await {
            tracing::debug!(%error, "digests of reports could not all be seen to; again in a moment");
        }
    }

    async fn due(&mut self, context: &Context) -> Result<(), SpoolError> {
        let now = context.clock.now();
        for (key, value) in context.spool.remembered(SINGLES).await? {
            let made: Vec<Timestamp> = serde_json::from_str(&value).unwrap_or_default();
            if !made.iter().any(|at| is_recent(context, *at, now)) {
                context.spool.remember(&key, None).await?;
            }
        }
        let mut readers: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for (key, value) in context.spool.remembered(DIGESTS).await? {
            let reader =
                key.strip_prefix(DIGESTS).and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
            readers.entry(reader).or_default().push((key, value));
        }
        self.stuck.retain(|reader| readers.contains_key(reader));
        for (reader, known) in readers {
            let digest = Digest::of(reader, known);
            match digest.chunks.first() {
                Some(first) if is_recent(context, first.since, now) => {}
                Some(first) => self.send(context, &digest, first, now).await?,
                None => {
                    tracing::warn!(keys = ?digest.keys, "a digest of reports cannot be read; it is given up");
                    digest.forget(context).await?;
                }
            }
        }
        Ok(())
    }

    async fn send(
        &mut self,
        context: &Context,
        digest: &Digest,
        first: &Chunk,
        now: Timestamp,
    ) -> Result<(), SpoolError> {
        let Some(carrier) = carrier::of_tenant(context, &first.tenant) else {
            if self.stuck.insert(digest.reader.clone()) {
                tracing::warn!(
                    to = %first.to,
                    tenant = first.tenant,
                    "a digest of reports waits: no path of the tenant carries mail of the relay's own; hint: configure one \
                     with a mailbox, or a smart host that takes the null reverse-path"
                );
            }
            return Ok(());
        };
        let id = queue(context, digest, first, &carrier, now).await?;
        tracing::info!(report = %id, to = %first.to, lane = %carrier.pool, "a digest of reports is queued");
        digest.forget(context).await
    }
}

async fn queue(
    context: &Context,
    digest: &Digest,
    first: &Chunk,
    carrier: &Carrier,
    now: Timestamp,
) -> Result<queue::MessageId, SpoolError> {
    let to = std::slice::from_ref(&first.to);
    post::post(context, carrier, to, None, |id| {
        let (subject, text) = table::digest(&context.reports.hostname, &digest.chunks, now);
        let letter = letter(context, carrier, to, subject, id);
        post::Draft { needs_utf8: letter.needs_utf8(), octets: letter.with_text(&text) }
    })
    .await
}
