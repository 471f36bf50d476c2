//! What only the calendar and the clock know: certificates and secrets that end, and a clock that is wrong.
//!
//! In: the configuration's days and files, what the token sources saw, `now`. Out: incidents, opened in stages as the end
//! comes nearer, closed when it is far again. Files are read once an hour, the rest is looked at every minute. Never: a
//! request of its own, an end that is told because nothing is known.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::{Config, Expiring, ExpirySource, WatchTimes};
use entra::TokenSource;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use queue::{Clock, LaneName};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use telemetry::{Incident, IncidentKind, Incidents, Severity};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use transport::{Auth, SmtpSettings};
use x509_parser::prelude::{FromDer, X509Certificate};

const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Files are read at every so manieth look.
const READ_EVERY: u64 = 60;
/// From here on it is urgent.
const URGENT: SignedDuration = SignedDuration::from_hours(7 * 24);
const DAY_SECS: i64 = 86_400;
const LARGEST_FILE: u64 = 1024 * 1024;
/// The login service's number for a secret that has ended.
const SECRET_ENDED: &str = "AADSTS7000222";
const CLOCK: &str = "this machine's clock";

/// Looks after the calendar and the clock.
pub(crate) struct Watch {
    times: WatchTimes,
    expiring: Vec<Expiring>,
    applications: Vec<Application>,
    incidents: Arc<dyn Incidents>,
    clock: Arc<dyn Clock>,
}

/// Who asks for tokens, and which lanes need them.
struct Application {
    tenant: String,
    lanes: Vec<String>,
    tokens: Arc<TokenSource>,
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Trouble, and its stage.
    Trouble(Incident, u32),
    /// There is none, with a word on it.
    Fine(String),
    /// It cannot be known now.
    Unknown,
}

/// What the application's token source knows.
#[derive(Debug, PartialEq, Eq)]
enum Tokens {
    /// It was not asked yet since the start.
    Unknown,
    Given,
    /// The secret has ended: the service's words, and what to do.
    Ended {
        reason: String,
        remedy: String,
    },
}

impl Watch {
    /// `lanes`: what [`Config::transports`] gave, in its order.
    pub(crate) fn new(
        config: &Config,
        lanes: &[(LaneName, SmtpSettings)],
        incidents: Arc<dyn Incidents>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (times, expiring) = (config.watch_times.clone(), config.expiring.clone());
        Self { times, expiring, applications: applications(config, lanes), incidents, clock }
    }

    /// Until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ends = Vec::new();
        for look in 0_u64.. {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            if look.is_multiple_of(READ_EVERY) {
                ends = read_ends(self.expiring.clone()).await;
            }
            self.look(&ends);
        }
    }

    /// `ends`: of what is expiring, in the same order.
    fn look(&self, ends: &[Option<Timestamp>]) {
        let now = self.clock.now();
        let skews = self.applications.iter().map(|application| application.tokens.clock_skew());
        self.say(IncidentKind::Clock, CLOCK, clock(skews, self.times.clock_skew));
        for (expiring, end) in self.expiring.iter().zip(ends) {
            let application = self.applications.iter().find(|application| application.needs(expiring));
            let (tokens, lanes) = known(application);
            let found = match tokens {
                Tokens::Ended { reason, remedy } => ended(&expiring.what, reason, remedy, lanes),
                tokens => self.by_date(expiring, *end, &tokens, lanes, now),
            };
            self.say(IncidentKind::Expiry, &expiring.what, found);
        }
        for application in self.applications.iter().filter(|application| !self.has_a_day(application)) {
            let what = format!("client secret of {}", application.tenant);
            let (tokens, lanes) = known(Some(application));
            let found = match tokens {
                Tokens::Ended { reason, remedy } => ended(&what, reason, remedy, lanes),
                Tokens::Given => Found::Fine("tokens are given again".to_owned()),
                Tokens::Unknown => Found::Unknown,
            };
            self.say(IncidentKind::Expiry, &what, found);
        }
    }

    fn by_date(
        &self,
        expiring: &Expiring,
        end: Option<Timestamp>,
        tokens: &Tokens,
        lanes: Vec<String>,
        now: Timestamp,
    ) -> Found {
        let Some(end) = end else { return Found::Unknown };
        match (expiry(&expiring.what, end, now, &self.times.expiry_days), tokens) {
            (None, Tokens::Unknown) if !lanes.is_empty() => Found::Unknown,
            (None, _) => Found::Fine(format!("it ends on {} now", day(end))),
            (Some((mut incident, stage)), _) => {
                incident.remedy = remedy(expiring);
                incident.lanes = if end <= now { lanes } else { Vec::new() };
                Found::Trouble(incident, stage)
            }
        }
    }

    fn has_a_day(&self, application: &Application) -> bool {
        self.expiring.iter().any(|expiring| application.needs(expiring))
    }

    fn say(&self, kind: IncidentKind, about: &str, found: Found) {
        match found {
            Found::Trouble(incident, stage) => self.incidents.open_stage(incident, stage),
            Found::Fine(how) => self.incidents.close(kind, about, &how),
            Found::Unknown => {}
        }
    }
}

impl Application {
    /// Whether this secret or certificate is its own.
    fn needs(&self, expiring: &Expiring) -> bool {
        expiring.tenant.as_ref() == Some(&self.tenant)
    }
}

/// One for each token source; its lanes share it.
fn applications(config: &Config, lanes: &[(LaneName, SmtpSettings)]) -> Vec<Application> {
    let mut all: Vec<Application> = Vec::new();
    for (lane, (name, settings)) in config.lanes.iter().zip(lanes) {
        let Auth::XOAuth2 { tokens, .. } = &settings.auth else { continue };
        match all.iter_mut().find(|application| Arc::ptr_eq(&application.tokens, tokens)) {
            Some(application) => application.lanes.push(name.to_string()),
            None => {
                let (tenant, lanes) = (lane.tenant.clone(), vec![name.to_string()]);
                all.push(Application { tenant, lanes, tokens: Arc::clone(tokens) });
            }
        }
    }
    all
}

/// What is known of an application's tokens, and its lanes.
fn known(application: Option<&Application>) -> (Tokens, Vec<String>) {
    let Some(Application { tokens, lanes, .. }) = application else { return (Tokens::Unknown, Vec::new()) };
    let known = match tokens.refusal() {
        Some(refusal) if refusal.code == SECRET_ENDED => {
            Tokens::Ended { reason: refusal.reason, remedy: refusal.remedy }
        }
        // Refused for another reason: it says nothing of the secret's end.
        Some(_) => Tokens::Unknown,
        None if tokens.clock_skew().is_some() => Tokens::Given,
        None => Tokens::Unknown,
    };
    (known, lanes.clone())
}

/// In the order of `expiring`; `None` where it cannot be read.
async fn read_ends(expiring: Vec<Expiring>) -> Vec<Option<Timestamp>> {
    let read = move || expiring.iter().map(|expiring| end(&expiring.source)).collect();
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

fn end(source: &ExpirySource) -> Option<Timestamp> {
    match source {
        ExpirySource::Date(day) => day.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp()),
        ExpirySource::Certificate(path) => certificate_end(path),
    }
}

/// Of the first certificate in the file. That a file cannot be read is told by whoever needs it.
fn certificate_end(path: &Path) -> Option<Timestamp> {
    use std::io::Read;
    let mut pem = Vec::new();
    std::fs::File::open(path).ok()?.take(LARGEST_FILE).read_to_end(&mut pem).ok()?;
    let certificate = CertificateDer::from_pem_slice(&pem).ok()?;
    let (_, parsed) = X509Certificate::from_der(&certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

/// The incident of an end that is near, without a remedy; its stage grows with each of `days` that is passed, and with the
/// end itself. `None`: it is far.
fn expiry(what: &str, end: Timestamp, now: Timestamp, days: &[u32]) -> Option<(Incident, u32)> {
    let left = end.duration_since(now);
    let passed = days.iter().filter(|days| left <= SignedDuration::from_secs(i64::from(**days) * DAY_SECS)).count();
    let over = left <= SignedDuration::ZERO;
    let stage = u32::try_from(passed + usize::from(over)).unwrap_or(u32::MAX);
    if stage == 0 {
        return None;
    }
    let (whole_days, day) = (left.abs().as_secs() / DAY_SECS, day(end));
    let said = match (over, whole_days) {
        (true, _) => format!("{what}: it has ended on {day}"),
        (false, 0) => format!("{what}: it ends within a day, on {day}"),
        (false, 1) => format!("{what}: it ends in one day, on {day}"),
        (false, days) => format!("{what}: it ends in {days} days, on {day}"),
    };
    let severity = if left <= URGENT { Severity::Critical } else { Severity::Warning };
    Some((incident(IncidentKind::Expiry, what, severity, said), stage))
}

/// The service says that it has ended, whatever the configuration says.
fn ended(what: &str, reason: String, remedy: String, lanes: Vec<String>) -> Found {
    let said = format!("{what}: it has ended, the login service gives no tokens for it: {reason}");
    let incident = incident(IncidentKind::Expiry, what, Severity::Critical, said);
    Found::Trouble(Incident { remedy, lanes, code: Some(SECRET_ENDED.to_owned()), ..incident }, u32::MAX)
}

/// By the login services' clocks: the largest difference counts.
fn clock(skews: impl Iterator<Item = Option<SignedDuration>>, limit: Duration) -> Found {
    let mut none = true;
    let known: Vec<SignedDuration> = skews.inspect(|_| none = false).flatten().collect();
    let Some(skew) = known.into_iter().max_by_key(|skew| skew.unsigned_abs()) else {
        return if none { Found::Fine("nothing depends on it any more".to_owned()) } else { Found::Unknown };
    };
    if skew.unsigned_abs() <= limit {
        return Found::Fine("it agrees with the login service's again".to_owned());
    }
    let severity = if skew.unsigned_abs() > limit.saturating_mul(2) { Severity::Critical } else { Severity::Warning };
    let direction = if skew.is_negative() { "behind" } else { "ahead of" };
    let said = format!(
        "{CLOCK} is {} {direction} the login service's: tokens may be refused, and times in logs and messages are wrong",
        difference(skew.unsigned_abs())
    );
    let remedy = if cfg!(windows) {
        "synchronise it: w32tm /resync; then: w32tm /query /status"
    } else {
        "synchronise it: timedatectl set-ntp true (or start chronyd); then: timedatectl status"
    };
    let incident = incident(IncidentKind::Clock, CLOCK, severity, said);
    Found::Trouble(Incident { remedy: remedy.to_owned(), ..incident }, 0)
}

/// `40 seconds`, `12 minutes`, `3 hours`
fn difference(skew: Duration) -> String {
    match skew.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    }
}

fn remedy(expiring: &Expiring) -> String {
    match &expiring.source {
        ExpirySource::Date(_) => {
            let catalogue = m365::Catalogue::builtin();
            catalogue.entra("invalid_client", SECRET_ENDED, 401).map(m365::Row::remedy).unwrap_or_default()
        }
        ExpirySource::Certificate(path) if expiring.tenant.is_some() => format!(
            "make a new certificate and key; upload the certificate (Entra admin centre > App registrations > the app > \
             Certificates & secrets > Certificates > Upload certificate), wait a few minutes, then replace {} and its key: no \
             restart is needed",
            path.display()
        ),
        ExpirySource::Certificate(path) => {
            format!("get a new certificate and replace {} and its key: no restart is needed", path.display())
        }
    }
}

fn incident(kind: IncidentKind, about: &str, severity: Severity, what: String) -> Incident {
    let (about, remedy) = (about.to_owned(), String::new());
    Incident { kind, about, severity, what, remedy, code: None, lanes: Vec::new() }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: [u32; 5] = [60, 30, 14, 7, 1];
    const LIMIT: Duration = Duration::from_secs(300);

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    /// Stage, severity and words of something that ends in so many hours.
    fn ends_in(hours: i64) -> Option<(u32, Severity, String)> {
        let end = now() + SignedDuration::from_hours(hours);
        expiry("the secret", end, now(), &DAYS).map(|(incident, stage)| (stage, incident.severity, incident.what))
    }

    #[test]
    fn an_end_comes_nearer_in_stages_and_is_urgent_from_a_week_on() {
        use Severity::{Critical, Warning};
        for (hours, stage, severity, words) in [
            (60 * 24, 1, Warning, "the secret: it ends in 60 days, on 2027-01-20"),
            (31 * 24, 1, Warning, "the secret: it ends in 31 days, on 2026-12-22"),
            (30 * 24, 2, Warning, "the secret: it ends in 30 days, on 2026-12-21"),
            (8 * 24, 3, Warning, "the secret: it ends in 8 days, on 2026-11-29"),
            (7 * 24, 4, Critical, "the secret: it ends in 7 days, on 2026-11-28"),
            (47, 4, Critical, "the secret: it ends in one day, on 2026-11-23"),
            (23, 5, Critical, "the secret: it ends within a day, on 2026-11-22"),
            (0, 6, Critical, "the secret: it has ended on 2026-11-21"),
            (-100, 6, Critical, "the secret: it has ended on 2026-11-17"),
        ] {
            assert_eq!(ends_in(hours), Some((stage, severity, words.to_owned())), "{hours} h");
        }
        assert_eq!(ends_in(60 * 24 + 1), None);
    }

    #[test]
    fn without_days_only_the_end_itself_is_told() {
        let near = now() + SignedDuration::from_hours(1);
        assert_eq!(expiry("the secret", near, now(), &[]), None);
        assert_eq!(expiry("the secret", now(), now(), &[]).unwrap().1, 1);
    }

    fn skewed(seconds: &[Option<i64>]) -> Found {
        clock(seconds.iter().map(|skew| skew.map(SignedDuration::from_secs)), LIMIT)
    }

    #[test]
    fn a_clock_is_wrong_beyond_the_limit_in_either_direction() {
        let Found::Trouble(incident, _) = skewed(&[Some(3), None, Some(-420)]) else { panic!("wrong") };
        assert_eq!(incident.severity, Severity::Warning);
        assert!(incident.what.starts_with("this machine's clock is 7 minutes behind the login"), "{}", incident.what);
        let Found::Trouble(incident, _) = skewed(&[Some(7200)]) else { panic!("wrong") };
        assert_eq!(incident.severity, Severity::Critical);
        assert!(incident.what.contains("2 hours ahead of"), "{}", incident.what);
        assert!(matches!(skewed(&[Some(300), Some(-300)]), Found::Fine(_)));
    }

    #[test]
    fn a_clock_that_nobody_compared_yet_is_neither_right_nor_wrong() {
        assert_eq!(skewed(&[None, None]), Found::Unknown);
        assert!(matches!(skewed(&[]), Found::Fine(_)));
    }

    #[test]
    fn every_remedy_says_where_to_click_or_what_to_replace() {
        let remedies = [
            (Some("contoso"), ExpirySource::Date("2027-01-31".parse().unwrap())),
            (Some("contoso"), ExpirySource::Certificate("/etc/app.pem".into())),
            (None, ExpirySource::Certificate("/etc/tls.pem".into())),
        ]
        .map(|(tenant, source)| remedy(&Expiring { what: String::new(), tenant: tenant.map(str::to_owned), source }));
        let said = ["New client secret", "Upload certificate", "replace /etc/tls.pem"];
        assert!(remedies.iter().zip(said).all(|(remedy, said)| remedy.contains(said)), "{remedies:?}");
        assert!(remedies[1].contains("/etc/app.pem"));
    }

    /// A watch over this file alone.
    fn watch(path: &Path) -> (Watch, Arc<telemetry::Recorded>) {
        let recorded = Arc::new(telemetry::Recorded::default());
        #[derive(Debug)]
        struct Still;
        impl Clock for Still {
            fn now(&self) -> Timestamp {
                now()
            }
        }
        let source = ExpirySource::Certificate(path.to_owned());
        let watch = Watch {
            times: WatchTimes { clock_skew: LIMIT, expiry_days: DAYS.to_vec() },
            expiring: vec![Expiring { what: "TLS certificate of the listeners".to_owned(), tenant: None, source }],
            applications: Vec::new(),
            incidents: Arc::clone(&recorded) as Arc<dyn Incidents>,
            clock: Arc::new(Still),
        };
        (watch, recorded)
    }

    fn write_certificate(path: &Path, year: i32, month: u8, day: u8) {
        let mut params = rcgen::CertificateParams::new(vec!["relay.test".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, month, day);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        std::fs::write(path, certificate.pem()).unwrap();
    }

    /// What one look tells of expiry.
    async fn looked(watch: &Watch, recorded: &telemetry::Recorded) -> Vec<String> {
        watch.look(&read_ends(watch.expiring.clone()).await);
        let told = recorded.take().into_iter();
        let told = told.map(|told| match told {
            telemetry::Told::Open(incident) => format!("open {}", incident.what),
            telemetry::Told::Close(kind, about) => format!("close {kind} {about}"),
        });
        told.filter(|told| !told.contains("clock")).collect()
    }

    #[tokio::test]
    async fn a_certificate_that_is_replaced_is_over_and_one_that_is_unreadable_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.pem");
        let (watch, recorded) = watch(&path);
        write_certificate(&path, 2026, 12, 1);
        let open = "open TLS certificate of the listeners: it ends in 9 days, on 2026-12-01";
        assert_eq!(looked(&watch, &recorded).await, [open]);
        std::fs::write(&path, "half a fi").unwrap();
        assert!(looked(&watch, &recorded).await.is_empty());
        write_certificate(&path, 2030, 12, 1);
        assert_eq!(looked(&watch, &recorded).await, ["close expiry TLS certificate of the listeners"]);
    }

    #[test]
    fn a_secret_that_the_service_says_has_ended_is_urgent_whatever_its_day_is() {
        let found = ended("client secret of contoso/1", "AADSTS7000222: …".to_owned(), "renew".to_owned(), vec![]);
        let Found::Trouble(incident, stage) = found else { panic!("trouble") };
        assert_eq!(
            (incident.severity, incident.code.as_deref(), stage),
            (Severity::Critical, Some(SECRET_ENDED), u32::MAX)
        );
    }
}
