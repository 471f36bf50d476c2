//! Who is told of trouble, from when on something is trouble, and how senders are told of theirs.

use std::time::Duration;

use alert::{Channel, ChannelSettings, SyslogTarget};
use queue::Plan;
use secret::{ExposeSecret, Secret};
use telemetry::IncidentKind;

use crate::check::Checker;
use crate::config::WatchTimes;
use crate::nearest::nearest;
use crate::problem::Place;
use crate::read::At;
use crate::secrets::SecretSource;
use crate::values::{SyslogServer, Text};
use crate::written::{Alert, File, MailAlert, Reports, Syslog, Watch, Webhook};

/// A program that takes longer hangs.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

const FORMS: &str = "webhook = { url = { file = \"…\" } }, syslog = { to = \"udp://192.0.2.10\" }, command = [\"/path\"] or \
                     mail = { to = [\"it@contoso.com\"] }";

/// The paths that there are, for alerts that name one.
struct Paths<'a> {
    plan: &'a Plan,
    /// Some could not be read, so that not all names are known.
    incomplete: bool,
}

impl Checker<'_> {
    /// In the order of the file. `plan`: what came of the tenants.
    pub(super) fn alerts(&mut self, file: &File, hostname: &str, plan: &Plan) -> alert::Settings {
        let alerts = &file.alert.value;
        let named = alerts.iter().filter_map(|alert| alert.value.name.as_ref()).map(|name| (&name.value.0, name.place));
        self.no_twins(named, |name| (format!("two alerts have the name \"{name}\""), "each has its own".to_owned()));
        let written: usize = file.tenant.value.iter().map(|tenant| tenant.value.path.value.len()).sum();
        let paths = Paths { plan, incomplete: file.tenant.is_unread() || plan.pools.len() != written };
        let channels = alerts.iter().filter_map(|alert| self.alert(&alert.value, &paths)).collect();
        alert::Settings { hostname: hostname.to_owned(), channels }
    }

    fn alert(&mut self, alert: &Alert, paths: &Paths<'_>) -> Option<ChannelSettings> {
        let channel = self.channel(alert, paths);
        Some(ChannelSettings {
            name: alert.name.as_ref()?.value.0.clone(),
            channel: channel?,
            kinds: alert.kinds.value.iter().map(|kind| kind.value.0).collect::<Vec<IncidentKind>>(),
            severity: alert.severity.value.0,
        })
    }

    /// `None`: unusable, which has been noted.
    fn channel(&mut self, alert: &Alert, paths: &Paths<'_>) -> Option<Channel> {
        let Alert { webhook, syslog, command, mail, .. } = alert;
        if webhook.is_unread() || syslog.is_unread() || command.is_unread() || mail.is_unread() {
            return None;
        }
        match (&**webhook, &**syslog, command.value.as_slice(), &**mail) {
            (Some(webhook), None, [], None) => self.webhook(&webhook.value),
            (None, Some(syslog), [], None) => self.syslog(&syslog.value),
            (None, None, [program, ..], None) => Some(self.command(program, &command.value)),
            (None, None, [], Some(mail)) => self.mail(&mail.value, paths),
            _ => {
                self.sink.error(alert.place, "an alert goes in exactly one way", FORMS);
                None
            }
        }
    }

    fn webhook(&mut self, webhook: &Webhook) -> Option<Channel> {
        let ca = webhook.ca.as_ref().map(|ca| self.roots(ca));
        let url = self.web_address(webhook.url.as_ref()?);
        Some(Channel::Webhook { url, format: webhook.format.value.0, ca })
    }

    fn web_address(&mut self, written: &At<SecretSource>) -> Secret {
        let url = self.secret(written);
        // What cannot be read has been noted.
        if let Ok(text) = url.read() {
            let text = text.expose_secret();
            if text.starts_with("http://") {
                let what = "the webhook's address is not under TLS: whoever is on the way can read it and the notices";
                self.sink.warn(written.place, what, "https://…");
            } else if !text.starts_with("https://") || text.contains(char::is_whitespace) {
                self.sink.error(written.place, "the webhook's `url` is no web address", "https://…, on one line");
            }
        }
        url
    }

    fn syslog(&mut self, syslog: &Syslog) -> Option<Channel> {
        let to = match syslog.to.as_ref()?.value.clone() {
            SyslogServer::Udp(server) => SyslogTarget::Udp(server),
            SyslogServer::Tcp(server) => SyslogTarget::Tcp(server),
            SyslogServer::Local(path) => SyslogTarget::Local(path),
        };
        Some(Channel::Syslog { to, facility: syslog.facility.value.0 })
    }

    /// A program without a slash is looked for where the system looks; another one is relative to the file.
    fn command(&mut self, program: &At<Text>, all: &[At<Text>]) -> Channel {
        let mut command: Vec<String> = all.iter().map(|word| word.value.0.clone()).collect();
        if program.value.0.contains('/') {
            let path = self.base_dir.join(&program.value.0);
            if !path.is_file() {
                let remedy =
                    "the first word is the program, the others are its arguments: [\"/usr/local/bin/page\", \"mail\"]";
                self.sink.error(program.place, format!("there is no program {}", path.display()), remedy);
            }
            if let Some(first) = command.first_mut() {
                *first = path.display().to_string();
            }
        }
        Channel::Command { command, timeout: COMMAND_TIMEOUT }
    }

    fn mail(&mut self, mail: &MailAlert, paths: &Paths<'_>) -> Option<Channel> {
        let to = mail.to.as_ref()?;
        if to.value.is_empty() {
            self.sink.error(to.place, "`to` is empty", "to = [\"it@contoso.com\"]");
        }
        if let Some(path) = &*mail.path {
            self.is_a_path(&path.value.0, path.place, paths);
        }
        if paths.plan.pools.len() == 1 && !paths.incomplete {
            self.sink.warn(
                mail.place,
                "this mail goes by the only path that there is: it cannot tell when that path is broken",
                "add a webhook, syslog or a command as well, or a second path, such as a smart host",
            );
        }
        Some(Channel::Mail {
            to: to.value.iter().map(|to| to.value.0.to_string()).collect(),
            by: mail.path.as_ref().map(|path| path.value.0.clone()),
        })
    }

    fn is_a_path(&mut self, name: &str, place: Place, paths: &Paths<'_>) {
        let pools = paths.plan.pools.iter();
        let names =
            || pools.clone().flat_map(|pool| std::iter::once(&pool.name).chain(pool.lanes.iter().map(|l| &l.name)));
        if paths.incomplete || names().any(|known| *known.0 == *name) {
            return;
        }
        let near = nearest(name, names().map(|known| &*known.0));
        let near = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        let known: Vec<_> = pools.clone().map(|pool| format!("\"{}\"", pool.name)).collect();
        let what = format!("`path` is none of the paths here: \"{name}\"{near}");
        self.sink.error(place, what, format!("known here: {}", known.join(", ")));
    }
}

/// What the queue manager looks at.
pub(super) fn watch(watch: &Watch) -> qmgr::WatchSettings {
    qmgr::WatchSettings {
        queue_age: watch.queue_age.duration(),
        queue_length: watch.queue_length.value.0,
        bounce_percent: u8::try_from(watch.bounce_percent.value.0).unwrap_or(100),
        budget_ahead: watch.budget_ahead.duration(),
    }
}

/// And what somebody else does.
pub(super) fn watch_times(watch: &Watch) -> WatchTimes {
    let days = watch.expiry_days.value.iter();
    let mut expiry_days: Vec<u32> = days.map(|day| u32::try_from(day.value.0).unwrap_or(u32::MAX)).collect();
    expiry_days.sort_unstable_by(|one, other| other.cmp(one));
    expiry_days.dedup();
    WatchTimes { clock_skew: watch.clock_skew.duration(), expiry_days }
}

/// For the queue manager.
pub(super) fn reports(reports: &Reports, hostname: &str) -> qmgr::ReportSettings {
    qmgr::ReportSettings {
        hostname: hostname.to_owned(),
        singles: u32::try_from(reports.singles.value.0).unwrap_or(u32::MAX),
        digest: reports.digest.duration(),
        full_limit: reports.full_limit.octets(),
    }
}
