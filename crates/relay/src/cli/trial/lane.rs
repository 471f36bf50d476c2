//! One lane that may carry the message: as whom it leaves there, what it costs, who signs it, what stands in its way, and what
//! receivers will conclude.

use config::{Config, Lane};
use dkim::Keys;
use doctor::{Doctor, DomainName, Forecast, OwnSelector, Sending, Signature, Way};
use inbound::Accepted;
use jiff::Timestamp;
use m365::{Catalogue, Cloud};
use queue::{Cost, LaneSettings, PoolSettings};
use serde::Serialize;
use smtp::{Mailbox, ReversePath};
use transport::{Decision, Identity, Leaving, Preview, Previewed, Shown, SigningKey, SmtpKind, preview};

use super::mail::Mail;
use crate::cli::status::moment;

/// Everything that lanes are asked about.
pub(super) struct Asked<'a> {
    pub(super) config: &'a Config,
    pub(super) mail: &'a Mail,
    pub(super) reverse_path: &'a ReversePath,
    pub(super) accepted: &'a Accepted,
    pub(super) keys: &'a Keys,
    /// Of the running relay, if one answers.
    pub(super) status: Option<&'a api::Status>,
    pub(super) now: Timestamp,
}

/// What would become of the message on one lane.
#[derive(Serialize)]
pub(super) struct LaneReport {
    pub(super) name: String,
    /// In words.
    pub(super) next_hop: String,
    #[serde(flatten)]
    pub(super) sent_as: SentAs,
    pub(super) before: Face,
    /// Missing: it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Face>,
    /// What else is changed, in words.
    pub(super) changes: Vec<String>,
    pub(super) signatures: Vec<Signs>,
    /// Who signs, in words.
    pub(super) signing: String,
    pub(super) budgets: Vec<BudgetReport>,
    /// What keeps the lane from sending now, in words.
    pub(super) in_the_way: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) forecast: Option<Forecast>,
    /// Why there is none although it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) forecast_trouble: Option<String>,
    /// What the doctor is asked; `Err`: why nothing can be asked.
    #[serde(skip)]
    sending: Result<Sending, String>,
}

/// As whom it leaves.
#[derive(Serialize)]
#[serde(tag = "sent_as", rename_all = "kebab-case")]
pub(super) enum SentAs {
    AsItIs,
    Rewritten { to: String, why: String },
    Held { reason: String, remedy: String },
}

/// Who the message says it is from.
#[derive(Serialize, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) reverse_path: String,
    pub(super) from: Option<String>,
    pub(super) sender: Option<String>,
    pub(super) reply_to: Option<String>,
}

/// A DKIM signature of ours.
#[derive(Serialize)]
pub(super) struct Signs {
    pub(super) domain: String,
    pub(super) selector: String,
}

/// What it takes of a budget.
#[derive(Serialize)]
pub(super) struct BudgetReport {
    pub(super) name: String,
    pub(super) takes: u32,
    /// In force: what the running relay has learnt, or else as configured.
    pub(super) limit: u64,
    /// Kept for urgent mail.
    pub(super) reserve: u64,
    /// Spent in the window that ends now; missing: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<u64>,
    /// There is no room for it now; missing: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waits: Option<bool>,
}

impl Asked<'_> {
    /// Those of the pool, in its order.
    pub(super) fn lanes(&self) -> Vec<LaneReport> {
        let Some(pool) = self.config.plan.pool(&self.accepted.pool) else { return Vec::new() };
        let known = |settings: &LaneSettings| self.config.lanes.iter().find(|lane| lane.name == settings.name);
        let lanes = pool.lanes.iter().filter_map(|settings| Some((settings, known(settings)?)));
        lanes.map(|(settings, lane)| self.lane(pool, settings, lane)).collect()
    }

    fn lane(&self, pool: &PoolSettings, settings: &LaneSettings, lane: &Lane) -> LaneReport {
        let name = lane.name.to_string();
        let previewed = Previewed {
            section: &self.mail.section,
            reverse_path: self.reverse_path,
            client: &self.accepted.client,
            clients: &self.config.clients,
            identity: &lane.identity,
            host: &self.config.hostname,
            keys: lane.signs.then_some(self.keys),
            now: self.now,
        };
        let running = self.status.and_then(|status| status.lanes.iter().find(|running| running.name == name));
        let Preview { decision, before, leaving } =
            preview(&previewed, |sender| refused(running?, &lane.identity, sender));
        let signed_by = leaving.as_ref().map(|leaving| leaving.signed_by.as_slice()).unwrap_or_default();
        LaneReport {
            next_hop: next_hop(lane),
            sent_as: decision.into(),
            before: before.into(),
            signatures: signed_by.iter().map(Signs::from).collect(),
            signing: signing(lane, leaving.as_ref()),
            budgets: self.budgets(pool, settings),
            in_the_way: self.in_the_way(&name, running),
            forecast: None,
            forecast_trouble: None,
            sending: self.sending(lane, leaving.as_ref()),
            changes: leaving.as_ref().map(|leaving| leaving.notes.clone()).unwrap_or_default(),
            after: leaving.map(|leaving| leaving.shown.into()),
            name,
        }
    }

    fn budgets(&self, pool: &PoolSettings, lane: &LaneSettings) -> Vec<BudgetReport> {
        let cost = self.cost(pool);
        let plan = &self.config.plan;
        let configured = lane.budgets.iter().filter_map(|name| plan.budgets.iter().find(|one| one.name == *name));
        let report = |budget: &queue::BudgetSettings| {
            let (name, takes) = (budget.name.to_string(), cost.of(budget.counts));
            let running = self.status.and_then(|status| status.budgets.iter().find(|known| known.name == name));
            let (limit, reserve) = running.map_or((budget.limit, budget.reserve), |known| (known.limit, known.reserve));
            let used = running.map(|known| known.used);
            let most = if self.accepted.urgent { limit } else { limit.saturating_sub(reserve) };
            let waits = used.map(|used| takes > 0 && used.saturating_add(u64::from(takes)) > most);
            BudgetReport { name, takes, limit, reserve, used, waits }
        };
        configured.map(report).filter(|budget| budget.takes > 0).collect()
    }

    /// In one transaction, and one more for the copy of an archive.
    fn cost(&self, pool: &PoolSettings) -> Cost {
        let recipients = &self.accepted.recipients;
        let count = |recipients: usize| u32::try_from(recipients).unwrap_or(u32::MAX);
        let archive = recipients.iter().any(|recipient| recipient.archive);
        let external = count(recipients.iter().filter(|one| pool.is_external(&one.forward_path)).count());
        Cost {
            messages: 1 + u32::from(archive),
            recipients: count(recipients.len()),
            external,
            external_under_provider_domain: match pool.may_leave_under_provider_domain(self.reverse_path) {
                true => external,
                false => 0,
            },
        }
    }

    fn in_the_way(&self, name: &String, running: Option<&api::Lane>) -> Vec<String> {
        let resting = running.and_then(|lane| lane.resting.as_ref()).map(|resting| {
            let why = resting.reason.as_deref().unwrap_or("");
            format!("the path rests until {}: {why}", moment(resting.until, self.now))
        });
        let open = self.status.iter().flat_map(|status| &status.breakers);
        let stopping = open.filter(|breaker| breaker.lanes.contains(name)).map(|breaker| {
            let api::Paused { code, reason, remedy, .. } = &breaker.pause;
            format!("{} {} does not work: {code}: {reason}. {remedy}", breaker.scope, breaker.name)
        });
        resting.into_iter().chain(stopping).collect()
    }

    fn sending(&self, lane: &Lane, leaving: Option<&Leaving>) -> Result<Sending, String> {
        let leaving = leaving.ok_or_else(|| "it does not leave".to_owned())?;
        let author = leaving.author.as_ref().ok_or_else(|| "it has no author".to_owned())?;
        let reverse_path = leaving.shown.reverse_path.mailbox();
        Ok(Sending {
            author_domain: domain_of(author)?,
            reverse_path_domain: reverse_path.map(domain_of).transpose()?,
            way: self.way(lane, leaving),
        })
    }

    /// What receivers see of the lane. A smart host's own address stands nowhere in the file.
    fn way(&self, lane: &Lane, leaving: &Leaving) -> Way {
        match lane.kind {
            SmtpKind::Submission => Way::ExchangeOnline(self.cloud(lane)),
            SmtpKind::Smarthost => {
                Way::Direct { address: None, signs: leaving.signed_by.iter().filter_map(signature).collect() }
            }
        }
    }

    fn cloud(&self, lane: &Lane) -> Cloud {
        let of_the_tenant = self.config.sender_domains.iter().find(|domain| domain.tenant == lane.tenant);
        of_the_tenant.map_or(Cloud::default(), |domain| domain.cloud)
    }
}

impl LaneReport {
    pub(super) fn is_held(&self) -> bool {
        matches!(self.sent_as, SentAs::Held { .. })
    }

    /// Asks the DNS what receivers will conclude.
    pub(super) async fn ask(&mut self, doctor: &Doctor) {
        match &self.sending {
            Ok(sending) => self.forecast = Some((*doctor.forecast(sending).await).clone()),
            Err(why) => self.forecast_trouble = Some(why.clone()),
        }
    }
}

/// What the running relay remembers of a sender: the far side's words, and what the catalogue makes of them. What was refused
/// before the configuration named it, or while it did, does not stand any more.
fn refused(lane: &api::Lane, identity: &Identity, sender: &Mailbox) -> Option<(String, String)> {
    let known = lane.refused_senders.iter().find(|known| known.sender.eq_ignore_ascii_case(sender.as_str()))?;
    if known.listed != identity.may_send_as(sender) {
        return None;
    }
    let explanation = Catalogue::builtin().explain(&known.reason).into_iter().next();
    Some((known.reason.clone(), explanation.map(|one| one.remedy).unwrap_or_default()))
}

fn next_hop(lane: &Lane) -> String {
    let kind = match lane.kind {
        SmtpKind::Submission => "submission",
        SmtpKind::Smarthost => "smart host",
    };
    let mailbox = lane.identity.mailbox.as_ref().map(|mailbox| format!(", mailbox {mailbox}")).unwrap_or_default();
    format!("{kind} {}:{}{mailbox}", lane.host, lane.port)
}

fn signing(lane: &Lane, leaving: Option<&Leaving>) -> String {
    let Some(leaving) = leaving else { return "not while it is held".to_owned() };
    let author = leaving.author.as_ref().map(Mailbox::domain).unwrap_or("its author");
    let signed = match (lane.signs, leaving.signed_by.as_slice()) {
        (false, _) => "by Microsoft, if signing is switched on for the domain; not by this relay".to_owned(),
        (true, []) => format!("not by this relay: no [[dkim]] key signs for {author}"),
        (true, keys) => {
            let names: Vec<_> = keys.iter().map(|key| format!("d={} s={}", key.domain, key.selector)).collect();
            format!("by this relay: {}", names.join(", "))
        }
    };
    if leaving.sealed { format!("{signed}; sealed (ARC)") } else { signed }
}

fn signature(key: &SigningKey) -> Option<Signature> {
    let selector = OwnSelector { selector: key.selector.clone(), value: Some(key.record.clone()) };
    Some(Signature { domain: DomainName::parse(&key.domain).ok()?, selector })
}

fn domain_of(mailbox: &Mailbox) -> Result<DomainName, String> {
    DomainName::parse(mailbox.domain()).map_err(|error| format!("nothing can be asked about {mailbox}: {error}"))
}

impl From<Decision> for SentAs {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::AsItIs => Self::AsItIs,
            Decision::Rewrite { to, why } => Self::Rewritten { to: to.to_string(), why },
            Decision::Hold { reason, remedy } => Self::Held { reason, remedy: remedy.trim().to_owned() },
        }
    }
}

impl From<Shown> for Face {
    fn from(Shown { reverse_path, from, sender, reply_to }: Shown) -> Self {
        Self { reverse_path: reverse_path.to_string(), from, sender, reply_to }
    }
}

impl From<&SigningKey> for Signs {
    fn from(key: &SigningKey) -> Self {
        Self { domain: key.domain.clone(), selector: key.selector.clone() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A lane on which a printer goes out as the mailbox.
    pub(in super::super) fn rewritten() -> LaneReport {
        let face = |path: &str, from: &str, sender: Option<&str>, reply_to: Option<&str>| Face {
            reverse_path: path.to_owned(),
            from: Some(from.to_owned()),
            sender: sender.map(str::to_owned),
            reply_to: reply_to.map(str::to_owned),
        };
        LaneReport {
            name: "contoso/submission/relay@contoso.test".to_owned(),
            next_hop: "submission smtp.office365.com:587, mailbox relay@contoso.test".to_owned(),
            sent_as: SentAs::Rewritten { to: "relay@contoso.test".to_owned(), why: "it is foreign".to_owned() },
            before: face("<scan@printer.local>", "scan\u{1b}@printer.local", Some("scan@printer.local"), None),
            after: Some(face("<relay@contoso.test>", "<relay@contoso.test>", None, Some("scan@printer.local"))),
            changes: vec!["a Date was added".to_owned()],
            signatures: Vec::new(),
            signing: "by Microsoft".to_owned(),
            budgets: vec![
                BudgetReport {
                    name: "a day".to_owned(),
                    takes: 2,
                    limit: 10_000,
                    reserve: 500,
                    used: Some(9_499),
                    waits: Some(true),
                },
                BudgetReport { name: "a minute".to_owned(), takes: 1, limit: 30, reserve: 0, used: None, waits: None },
            ],
            in_the_way: vec!["path next does not work".to_owned()],
            forecast: None,
            forecast_trouble: Some("no resolver".to_owned()),
            sending: Err(String::new()),
        }
    }

    #[test]
    fn a_refused_sender_of_the_running_relay_is_found_whatever_its_case_with_a_remedy() {
        let lane: api::Lane = serde_json::from_value(serde_json::json!({
            "name": "next", "configured": true, "active": 0, "connection_permits": 1, "used_this_minute": 0,
            "open_connections": 0, "idle_connections": 0, "queued": 0, "waiting": {"urgent": 0, "new": 0, "deferred": 0},
            "refused_senders": [{"sender": "printer@contoso.test", "until": "2026-11-21T12:00:00Z",
                "reason": "the message was refused: 554 5.2.252 SendAsDenied; relay@contoso.test not allowed to send as printer@contoso.test"}],
        }))
        .unwrap();
        let mut identity = Identity { mailbox: Some("relay@contoso.test".parse().unwrap()), ..Identity::default() };
        let printer = "Printer@contoso.test".parse().unwrap();
        let (words, remedy) = refused(&lane, &identity, &printer).unwrap();
        assert!(words.contains("5.2.252") && remedy.contains("SendAs"), "{words}: {remedy}");
        assert_eq!(refused(&lane, &identity, &"relay@contoso.test".parse().unwrap()), None);
        identity.others.push("printer@contoso.test".parse().unwrap());
        assert_eq!(refused(&lane, &identity, &printer), None, "it was refused before the configuration named it");
    }
}
