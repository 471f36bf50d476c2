//! From the file as written to the settings as used: cross checks, defaults that depend on something, paths made absolute.
//!
//! Whatever is wrong is noted and the check goes on with what is left, so that all errors come at once.

mod budgets;
mod clients;
mod criteria;
mod dkim;
mod dns;
mod files;
mod listeners;
mod login;
mod machine;
mod paths;
mod rights;
mod sending;
mod telling;
mod tenants;

use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;
use std::time::Duration;

use queue::RetryPolicy;

use crate::config::{AdminSettings, Config, Expiring, ExpirySource, LogSettings};
use crate::problem::{Place, Sink};
use crate::read::At;
use crate::units::{Lasting, Size, Whole};
use crate::words::SpoolKind;
use crate::written::{Admin, File, Queue, Spool};

/// What the checks share.
pub(crate) struct Checker<'a> {
    /// Of the configuration file.
    pub(crate) base_dir: &'a Path,
    pub(crate) sink: &'a mut Sink,
}

impl Checker<'_> {
    /// The whole file. What comes out is only good if nothing was noted as an error.
    pub(crate) fn config(&mut self, file: &File) -> Config {
        let hostname = self.hostname(&file.hostname);
        let data_dir = self.resolve(&file.data_dir.value);
        let limits = &file.limits.value;
        let mut inbound = self.inbound(file, hostname.clone(), data_dir.clone());
        let tenants = self.tenants(&file.tenant);
        inbound.clients = self.clients(file, &inbound, &tenants.plan);
        let clients = self.sending(file, &inbound.clients, &tenants);
        let keys = self.dkim(file);
        let alerts = self.alerts(file, &hostname, &tenants.plan);
        if file.client.is_absent() {
            self.sink.warn(
                file.place,
                "no [[client]] may relay: every message will be refused",
                "add an entry, for example: [[client]] name = \"printers\" networks = [\"10.20.0.0/16\"]",
            );
        }
        let listeners_certificate = inbound.tls.certificate.clone().map(|file| Expiring {
            what: "TLS certificate of the listeners".to_owned(),
            tenant: None,
            source: ExpirySource::Certificate(file),
        });
        Config {
            inbound,
            spool: self.spool(&file.spool.value, &data_dir),
            retry: self.retry(&file.queue.value),
            window: file.queue.value.window.number(),
            history: file.queue.value.history.duration(),
            grace: limits.grace.duration(),
            sender_domains: dns::sender_domains(file, &keys),
            dkim: keys.into_iter().map(|key| key.settings).collect(),
            plan: tenants.plan,
            clients,
            lanes: tenants.lanes,
            routes: tenants.routes,
            watch: telling::watch(&file.watch.value),
            watch_times: telling::watch_times(&file.watch.value),
            expiring: listeners_certificate.into_iter().chain(tenants.expiring).collect(),
            reports: telling::reports(&file.reports.value, &hostname),
            alerts,
            dns: self.dns(&file.dns.value),
            admin: self.admin(&file.admin.value, &data_dir),
            log: LogSettings {
                filter: file.log.value.level.value.0.clone(),
                format: file.log.value.format.as_ref().map(|format| format.value.0),
            },
            warnings: Vec::new(),
            applications: tenants.applications,
            data_dir,
            hostname,
        }
    }

    fn spool(&mut self, spool: &Spool, data_dir: &Path) -> spool::Settings {
        // The only one so far; another will want other settings here.
        let SpoolKind::Embedded = spool.kind.value.0;
        spool::Settings {
            dir: data_dir.join("spool"),
            reserve: spool.reserve.octets(),
            memory: spool.memory.octets(),
            history: spool.history_messages.value.0,
        }
    }

    fn retry(&mut self, queue: &Queue) -> RetryPolicy {
        let intervals: Vec<Duration> = queue.retry.value.iter().map(At::duration).collect();
        if queue.retry.is_absent() {
            self.sink.error(
                queue.retry.place,
                "`retry` is empty",
                "give at least one wait, for example [\"1m\", \"15m\", \"1h\"]",
            );
        }
        if queue.warn.duration() >= queue.expire.duration() {
            self.sink.warn(
                queue.warn.place,
                "`warn` is not before `expire`: a message is given up before it is noted as delayed",
                "make `warn` shorter than `expire`",
            );
        }
        RetryPolicy {
            intervals,
            jitter_percent: u8::try_from(queue.jitter.value.0).unwrap_or(u8::MAX),
            expire: queue.expire.duration(),
            warn: queue.warn.duration(),
        }
    }

    fn admin(&mut self, admin: &Admin, data_dir: &Path) -> AdminSettings {
        let socket = admin_socket(admin, data_dir, self.base_dir);
        if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
            self.sink.error(
                admin.socket.as_ref().map_or(admin.place, |socket| socket.place),
                format!("the admin socket's path {} is longer than {LONGEST_SOCKET_PATH} octets", socket.display()),
                "[admin] socket = \"/run/posthouse/admin.sock\"",
            );
        }
        let address = admin.address.as_ref().map(|address| address.value);
        if let Some(address) = &*admin.address
            && !address.value.ip().is_loopback()
        {
            self.sink.warn(
                address.place,
                format!("metrics and health are open to everybody who reaches {}", address.value),
                "there is no authentication: bind it to 127.0.0.1, or see to it that only monitoring gets there",
            );
        }
        AdminSettings { socket: cfg!(unix).then_some(socket), address }
    }

    /// Notes every value that stands there twice.
    pub(crate) fn no_twins<K: Hash + Eq>(
        &mut self,
        values: impl IntoIterator<Item = (K, Place)>,
        complaint: impl Fn(&K) -> (String, String),
    ) {
        let mut seen = HashMap::new();
        for (value, place) in values {
            if seen.contains_key(&value) {
                let (what, remedy) = complaint(&value);
                self.sink.error(place, what, remedy);
            }
            seen.insert(value, ());
        }
    }
}

/// `sun_path` has 108 octets, the last is NUL.
const LONGEST_SOCKET_PATH: usize = 107;

/// Where the admin socket is, or would be.
pub(crate) fn admin_socket(admin: &Admin, data_dir: &Path, base_dir: &Path) -> std::path::PathBuf {
    match &*admin.socket {
        Some(socket) => base_dir.join(&socket.value.0),
        None => data_dir.join("admin.sock"),
    }
}

impl<const MIN: u64, const MAX: u64> At<Lasting<MIN, MAX>> {
    pub(crate) fn duration(&self) -> Duration {
        self.value.0
    }
}

impl<const MIN: u64, const MAX: u64> At<Size<MIN, MAX>> {
    pub(crate) fn octets(&self) -> u64 {
        self.value.0
    }
}

impl<const MIN: u64, const MAX: u64> At<Whole<MIN, MAX>> {
    pub(crate) fn number(&self) -> usize {
        usize::try_from(self.value.0).unwrap_or(usize::MAX)
    }
}
