//! Every row of the catalogue of refusals, given by the simulated Microsoft 365 at the place where it is met, to the real
//! transport with real tokens: the right outcome for the message, the right thing stopped or slowed down, and the text there.
//!
//! What is right is said here, by [`expected`], from what the row says of itself: it is the specification.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use m365::{About, Action, Breaker, Catalogue, Class, Row, Source, Where};
use queue::{
    Attempt, AttemptReport, Clock, Counted, Excess, Journal, LaneVerdict, Message, NewMessage, Origin, Outcome,
    Recipient, RecipientState, Scope, Spool, SpoolError, Transport,
};
use sandbox::{Fault, Sandbox, Step};
use smtp::{EnhancedStatus, Reply, ReplyCode};
use telemetry::Metrics;
use transport::{SmtpSettings, SmtpTransport};

/// What a refusal comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The recipient is given up; nothing about the lane.
    Bounced,
    /// Tried again by the schedule; nothing about the lane.
    TriedAgain,
    /// The message alone waits, without counting.
    SetAside,
    /// Waits without counting, and so does the lane, for seconds.
    Rests,
    /// Waits without counting: too much of this.
    Throttled(Excess),
    /// Waits without counting until this works.
    Stopped(Scope),
}

/// The specification. `early`: before there is a message; `permanent`: the reply is a 5yz.
fn expected(row: &Row, early: bool, permanent: bool, transient_of_server: bool) -> Expected {
    if let (Some(_), false) = (row.about, early) {
        return Expected::SetAside;
    }
    if let Some(excess) = row.excess() {
        return Expected::Throttled(too_much(excess));
    }
    if let Some(breaker) = row.breaker() {
        return Expected::Stopped(scope(breaker));
    }
    match row.action {
        // A refusal of the session says nothing about a message.
        Action::Bounce | Action::SwitchRoute | Action::Split if early => Expected::Stopped(Scope::Path),
        Action::Retry if early || transient_of_server => Expected::Rests,
        Action::Retry => Expected::TriedAgain,
        // There is one recipient here, so nothing is left to split, and no other path.
        Action::Bounce | Action::SwitchRoute | Action::Split if permanent => Expected::Bounced,
        Action::Bounce | Action::SwitchRoute | Action::Split => Expected::TriedAgain,
        Action::SlowDown | Action::StopRoute | Action::StopSender | Action::RefreshToken => {
            panic!("says neither what stops nor what is too much: {row:#?}")
        }
    }
}

fn scope(breaker: Breaker) -> Scope {
    match breaker {
        Breaker::Path => Scope::Path,
        Breaker::Credential => Scope::Credential,
        Breaker::Tenant => Scope::Tenant,
        Breaker::Mailbox => Scope::Mailbox,
    }
}

fn too_much(excess: m365::Excess) -> Excess {
    match excess {
        m365::Excess::Connections => Excess::Connections,
        m365::Excess::Messages => Excess::Of(Counted::Messages),
        m365::Excess::Recipients => Excess::Of(Counted::Recipients),
        m365::Excess::External => Excess::Of(Counted::External),
        m365::Excess::ExternalUnderProviderDomain => Excess::Of(Counted::ExternalUnderProviderDomain),
        m365::Excess::Unknown => Excess::Unknown,
    }
}

/// Where the simulated Exchange says it.
fn met_at(row: &Row) -> Step {
    let reply = row.reply.as_deref().unwrap_or_default();
    let text = row.text.as_deref().unwrap_or_default();
    match row.code.as_str() {
        "*" | "4.7.66" | "5.7.511" => Step::Connect,
        "4.3.2" if text.contains("per resource forest") || text.contains("not accepting network") => Step::Connect,
        "5.0.0" | "5.5.2" | "5.3.3" | "5.7.506" => Step::Hello,
        "5.5.4" if text.contains("domain name") => Step::Hello,
        "5.7.4" | "5.7.30" | "5.7.139" | "5.5.121-127" => Step::Auth,
        "4.7.0" if text.contains("authentication") => Step::Auth,
        _ if reply == "535" => Step::Auth,
        "5.7.57" | "5.7.0" | "5.1.7" | "5.1.8" | "5.7.501" | "5.7.60" | "5.5.4" => Step::Mail,
        "5.7.1" if reply == "530" || text.contains("as this sender") => Step::Mail,
        "4.5.3" | "5.5.3" | "5.5.0" | "5.7.64" | "5.4.1" | "5.7.504" => Step::Rcpt,
        code if code.starts_with("5.1.") && row.excess().is_none() => Step::Rcpt,
        _ => Step::End,
    }
}

fn is_early(step: Step) -> bool {
    matches!(step, Step::Connect | Step::Hello | Step::Auth)
}

/// The reply that the row describes, as on the wire.
fn reply(row: &Row) -> (u16, Option<EnhancedStatus>, String) {
    let first = row.code.split_once('-').map_or(row.code.as_str(), |(first, _)| first);
    let status: Option<EnhancedStatus> = first.parse().ok();
    let number = match row.reply.as_deref() {
        None => 550,
        Some(written) => written.split('/').next().unwrap().replace("xx", "50").parse().unwrap(),
    };
    // "…" stands for what varies.
    (number, status, row.text.as_deref().unwrap().replace('…', "x"))
}

#[derive(Debug)]
struct RealClock {
    started_at: Timestamp,
    started: tokio::time::Instant,
}

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        self.started_at + SignedDuration::try_from(self.started.elapsed()).unwrap()
    }
}

#[derive(Debug)]
struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    async fn last_byte(&self, _recipients: &[u32]) -> Result<(), SpoolError> {
        Ok(())
    }
}

/// A sandbox, a message in a spool, and what a path is made from.
struct Bench {
    sandbox: Sandbox,
    clock: Arc<dyn Clock>,
    config: config::Config,
    spool: Arc<spool::Embedded>,
    message: Message,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let sandbox = Sandbox::start(sandbox::Settings::default()).await.unwrap();
        let clock: Arc<dyn Clock> =
            Arc::new(RealClock { started_at: sandbox.clock().now(), started: tokio::time::Instant::now() });
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        sandbox.endpoints().write_files(&data).unwrap();
        let file = directory.path().join("posthouse.toml");
        std::fs::write(&file, sandbox.endpoints().configuration("127.0.0.1:0".parse().unwrap(), &data)).unwrap();
        let config = config::load(&file).unwrap();
        let (settings, for_spool) = (config.spool.clone(), Arc::clone(&clock));
        let open = move || spool::Embedded::open(settings, for_spool, Arc::new(Metrics::default()));
        let spool = Arc::new(tokio::task::spawn_blocking(open).await.unwrap().unwrap());
        let message = enqueued(&spool, clock.now(), &config).await;
        Self { sandbox, clock, config, spool, message, _directory: directory }
    }

    /// The one path of the configuration, with a token source of its own.
    fn settings(&self) -> SmtpSettings {
        let source = |settings: &entra::Settings| {
            let clock = Arc::clone(&self.clock);
            entra::TokenSource::new(settings.clone(), Arc::new(move || clock.now()))
        };
        self.config.transports(source, None).unwrap().into_iter().next().unwrap().1
    }

    async fn attempt(&self, settings: SmtpSettings) -> AttemptReport {
        let transport =
            SmtpTransport::new(settings, Catalogue::builtin(), Arc::new(transport::Refusals::forgetful())).unwrap();
        let attempt = Attempt { message: &self.message, recipients: vec![0], transactions: 1, journal: &NoJournal };
        let body = self.spool.body(self.message.id).await.unwrap();
        transport.attempt(attempt, body, self.clock.now()).await
    }
}

async fn enqueued(spool: &spool::Embedded, now: Timestamp, config: &config::Config) -> Message {
    let mut writer = spool.body_writer(None).unwrap();
    let id = writer.id();
    writer.write(b"From: relay@contoso.test\r\nMessage-ID: <1@contoso.test>\r\n\r\nText.\r\n").await.unwrap();
    let body = writer.finish().await.unwrap();
    let origin = Origin {
        client: "test".into(),
        user: None,
        peer: "127.0.0.1:40000".parse().unwrap(),
        helo: "test".to_owned(),
        tls: None,
        session: "test".to_owned(),
    };
    let recipient = Recipient {
        forward_path: "<anna@example.com>".parse().unwrap(),
        notify: None,
        orcpt: None,
        archive: false,
        state: RecipientState::fresh(),
    };
    let new = NewMessage {
        id,
        accepted_at: now,
        origin,
        reverse_path: "<relay@contoso.test>".parse().unwrap(),
        body: smtp::BodyType::default(),
        smtputf8: false,
        ret: None,
        envid: None,
        recipients: vec![recipient],
        header: message::HeaderFacts::default(),
        content: message::ContentFacts::default(),
        urgent: false,
        lane: config.plan.pools[0].name.clone(),
        hold: None,
        report_to: None,
        report_of: None,
    };
    spool.enqueue(new, body).await.unwrap()
}

/// What it came to, and the text that goes to people.
fn came_to(report: &AttemptReport) -> (Expected, String) {
    let [(recipients, outcome)] = &report.results[..] else { panic!("{report:#?}") };
    assert_eq!(recipients, &[0]);
    let (counts, later, hint) = match outcome {
        Outcome::Bounced { status, hint, .. } => {
            assert_eq!(status.class(), 5, "{report:#?}");
            return (Expected::Bounced, hint.clone().unwrap_or_default());
        }
        Outcome::Deferred { counts, not_before, hint, .. } => (*counts, not_before.is_some(), hint.clone()),
        other => panic!("{other:?}"),
    };
    let mut text = hint.unwrap_or_default();
    let what = match &report.lane {
        LaneVerdict::Paused(pause) => {
            assert!(!counts, "{report:#?}");
            text.push_str(&pause.remedy);
            Expected::Stopped(pause.scope)
        }
        LaneVerdict::Throttled(throttle) => {
            // How long a budget of a day takes to have room again, the ledger knows.
            let budget = matches!(throttle.what, Excess::Of(_));
            assert!(!counts && (budget || throttle.wait.is_some_and(|wait| !wait.is_zero())), "{report:#?}");
            text.push_str(&throttle.remedy);
            Expected::Throttled(throttle.what)
        }
        LaneVerdict::Rest { reason, .. } => {
            assert!(!counts, "{report:#?}");
            text.push_str(reason);
            Expected::Rests
        }
        LaneVerdict::Healthy | LaneVerdict::Neutral if counts => Expected::TriedAgain,
        LaneVerdict::Healthy | LaneVerdict::Neutral => {
            assert!(later, "neither counted nor told when: {report:#?}");
            Expected::SetAside
        }
    };
    (what, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_smtp_row_comes_to_what_it_says_of_itself() {
    let bench = Bench::start().await;
    let catalogue = Catalogue::builtin();
    let settings = bench.settings();
    let rows: Vec<&Row> = catalogue.rows().iter().filter(|row| row.source == Source::Smtp).collect();
    assert!(rows.len() > 150);
    let mut wrong = Vec::new();
    for row in rows {
        let (number, status, text) = reply(row);
        let step = met_at(row);
        let parsed = Reply { code: ReplyCode::new(number).unwrap(), status, lines: vec![text.clone().into()] };
        let known = catalogue.smtp(Where::Submission, &parsed);
        assert!(known.is_some_and(|known| std::ptr::eq(known, row)), "{row:#?}\nis taken for {known:#?}");
        let wire = format!("{number} {} {text}", status.map(|status| status.to_string()).unwrap_or_default());
        bench.sandbox.clear_faults();
        bench.sandbox.add_fault(Fault::at(step).reply(&wire.replace("  ", " "))).unwrap();
        let tokens = bench.sandbox.statistics().tokens_issued;
        let report = bench.attempt(settings.clone()).await;
        let (came_to, told) = came_to(&report);
        let wanted = expected(row, is_early(step), number >= 500, number == 421);
        if came_to != wanted || !told.contains(&row.fix) {
            wrong.push(format!("{wire}: wanted {wanted:?} at {step:?}, not {came_to:?}; told: {told}"));
        }
        // Refused with a token, which may have been an old one: a fresh one is tried before anything stops.
        if row.action == Action::RefreshToken && step == Step::Auth {
            assert!(bench.sandbox.statistics().tokens_issued > tokens, "{wire}: no fresh token was taken");
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_entra_row_stops_the_credential_or_lets_the_lane_rest_and_never_bounces() {
    let bench = Bench::start().await;
    let catalogue = Catalogue::builtin();
    let rows: Vec<&Row> = catalogue.rows().iter().filter(|row| row.source == Source::Entra).collect();
    assert!(rows.iter().filter(|row| !row.code.starts_with("AADSTS")).count() > 15);
    for row in rows {
        let fault = Fault::at(Step::Token);
        let fault = match row.code.as_str() {
            "429" => fault.action(sandbox::Action::Http(429)),
            "5xx" => fault.action(sandbox::Action::Http(502)),
            code if code.starts_with("AADSTS") => {
                let number = code.trim_start_matches("AADSTS").parse().unwrap();
                fault.action(sandbox::Action::Aadsts(number))
            }
            error => fault.action(sandbox::Action::Oauth(error.to_owned())),
        };
        bench.sandbox.clear_faults();
        bench.sandbox.add_fault(fault).unwrap();
        let report = bench.attempt(bench.settings()).await;
        let (came_to, told) = came_to(&report);
        let stops = row.breaker().is_some();
        let wanted = if stops { Expected::Stopped(Scope::Credential) } else { Expected::Rests };
        assert_eq!(came_to, wanted, "{row:#?}\n{report:#?}");
        let text = if stops { row.fix.as_str() } else { row.code.trim_end_matches("xx") };
        assert!(told.contains(text), "{text:?} is not in {told:?}");
    }
}

/// No path by Graph exists yet: what it would go by.
#[test]
fn every_graph_row_is_found_by_its_answer_and_says_what_it_comes_to() {
    let catalogue = Catalogue::builtin();
    for row in catalogue.rows().iter().filter(|row| row.source == Source::Graph) {
        let status: u16 = row.reply.as_deref().unwrap().parse().unwrap();
        let code = if row.code == "200" { "" } else { &row.code };
        let found = catalogue.graph(status, code, row.text.as_deref().unwrap());
        assert!(found.is_some_and(|found| std::ptr::eq(found, row)), "{row:#?}\nfound {found:#?}");
        let comes_to = expected(row, false, status < 500 && status != 429, false);
        let kept = matches!(row.class, Class::Transient | Class::Throttle | Class::Auth);
        assert!(!(kept && comes_to == Expected::Bounced), "{row:#?}");
        assert_eq!(comes_to == Expected::SetAside, row.about == Some(About::Sender), "{row:#?}");
        assert!(!row.by_itself().is_empty() && !row.fix.is_empty());
    }
}
