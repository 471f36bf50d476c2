//! Listeners, their certificate, and the bounds of sessions.

use std::path::PathBuf;

use inbound::{ListenerSettings, TlsMode, TlsSettings};

use crate::check::Checker;
use crate::read::At;
use crate::written::{self, File, Listener};

impl Checker<'_> {
    /// All but the clients.
    pub(super) fn inbound(&mut self, file: &File, hostname: String, state_dir: PathBuf) -> inbound::Settings {
        inbound::Settings {
            hostname,
            listeners: self.listeners(file),
            clients: Vec::new(),
            tls: self.tls(&file.tls, state_dir),
            limits: limits(&file.limits.value),
        }
    }

    fn listeners(&mut self, file: &File) -> Vec<ListenerSettings> {
        let listeners: Vec<_> = file.listener.value.iter().filter_map(|l| self.listener(&l.value)).collect();
        if file.listener.is_absent() {
            self.sink.error(file.place, "there is no [[listener]]", "add: [[listener]] address = \"0.0.0.0:25\"");
        }
        let named = listeners.iter().map(|(l, place)| (l.name.clone(), *place));
        self.no_twins(named, |name| {
            (format!("two listeners have the name or address \"{name}\""), "each has its own".to_owned())
        });
        let fixed = listeners.iter().filter(|(l, _)| l.address.port() != 0).map(|(l, place)| (l.address, *place));
        let fixed: Vec<_> =
            fixed.filter(|(address, _)| listeners.iter().all(|(l, _)| l.name != address.to_string())).collect();
        self.no_twins(fixed, |address| {
            (format!("two listeners have the address {address}"), "each has its own".to_owned())
        });
        listeners.into_iter().map(|(listener, _)| listener).collect()
    }

    fn listener(&mut self, listener: &Listener) -> Option<(ListenerSettings, crate::problem::Place)> {
        let address = listener.address.as_ref()?;
        let tls = listener.tls.value.0;
        if tls == TlsMode::None && listener.auth_without_tls.value {
            self.sink.warn(
                listener.auth_without_tls.place,
                format!("passwords cross the network in the clear at {}", address.value),
                "offer TLS (`tls = \"opportunistic\"`), unless every device on this listener is unable to speak it",
            );
        }
        let settings = ListenerSettings {
            name: listener.name.as_ref().map_or_else(|| address.value.to_string(), |name| name.value.0.clone()),
            address: address.value,
            tls,
            auth_without_tls: listener.auth_without_tls.value,
        };
        Some((settings, listener.name.as_ref().map_or(address.place, |name| name.place)))
    }

    fn tls(&mut self, tls: &At<written::Tls>, state_dir: PathBuf) -> TlsSettings {
        let (certificate, key) = match (&*tls.value.certificate, &*tls.value.key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = self.pair(certificate, key);
                (Some(certificate), Some(key))
            }
            (None, None) => (None, None),
            _ if tls.value.certificate.is_unread() || tls.value.key.is_unread() => (None, None),
            (Some(one), None) | (None, Some(one)) => {
                self.sink.error(
                    one.place,
                    "[tls] needs both `certificate` and `key`",
                    "without either, a self-signed one is made",
                );
                (None, None)
            }
        };
        let client_ca = tls.value.client_ca.as_ref().map(|file| self.roots(file));
        TlsSettings { certificate, key, client_ca, state_dir }
    }
}

fn limits(limits: &written::Limits) -> inbound::Limits {
    inbound::Limits {
        message_size: limits.message_size.octets(),
        recipients: limits.recipients.number(),
        header_section: usize::try_from(limits.header_section.octets()).unwrap_or(usize::MAX),
        hops: u32::try_from(limits.hops.number()).unwrap_or(u32::MAX),
        messages: limits.messages.number(),
        errors: limits.errors.number(),
        connections: limits.connections.number(),
        connections_per_address: limits.connections_per_address.number(),
        command_timeout: limits.command_timeout.duration(),
        content_timeout: limits.content_timeout.duration(),
        session_timeout: limits.session_timeout.duration(),
        handshake_timeout: limits.handshake_timeout.duration(),
        grace: limits.grace.duration(),
    }
}
