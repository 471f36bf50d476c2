//! Keys for DKIM signatures: there, usable, each with a record of its own, and for domains whose mail comes through here.

use ::dkim::{Algorithm, Domain, Key, KeyError, KeySettings};
use doctor::DomainName;

use crate::check::Checker;
use crate::problem::Place;
use crate::read::At;
use crate::written::{Dkim, File, Tenant};

/// A key that was read, and where its entry stands.
pub(super) struct Usable {
    pub(super) settings: KeySettings,
    algorithm: Algorithm,
    /// The TXT record that belongs to it.
    pub(super) record: String,
    place: Place,
}

impl Checker<'_> {
    /// In the order of the file.
    pub(super) fn dkim(&mut self, file: &File) -> Vec<Usable> {
        let written = &file.dkim.value;
        self.each_record_has_one_key(written);
        let keys: Vec<_> = written.iter().filter_map(|key| self.key(&key.value, &file.tenant.value)).collect();
        self.one_rsa_key_seals(&keys);
        if !file.dkim.is_unread() && keys.len() == written.len() {
            self.ed25519_does_not_sign_alone(&keys);
        }
        keys
    }

    fn each_record_has_one_key(&mut self, keys: &[At<Dkim>]) {
        let named = keys.iter().filter_map(|key| {
            let (domain, selector) = (key.value.domain.as_ref()?, key.value.selector.as_ref()?);
            Some(((&domain.value, &selector.value), selector.place))
        });
        self.no_twins(named, |(domain, selector)| {
            let remedy = "a record holds one key: make the next one with `posthouse dkim new`, which names it anew";
            (format!("two keys of {domain} have the selector \"{selector}\""), remedy.to_owned())
        });
    }

    /// `None`: unusable, which has been noted.
    fn key(&mut self, written: &Dkim, tenants: &[At<Tenant>]) -> Option<Usable> {
        let (domain, selector, file) = (written.domain.as_ref()?, written.selector.as_ref()?, written.key.as_ref()?);
        self.mail_of_it_comes_through_here(domain, tenants);
        let settings = KeySettings {
            domain: domain.value.clone(),
            selector: selector.value.clone(),
            file: self.resolve(&file.value),
            sign: written.sign.value,
            seal: written.seal.value,
        };
        match Key::read(&settings) {
            Ok((key, warning)) => {
                if let Some(warning) = warning {
                    self.sink.warn(file.place, warning.to_string(), warning.remedy());
                }
                Some(Usable { settings, algorithm: key.algorithm(), record: key.record().value, place: written.place })
            }
            Err(error) => {
                self.sink.error(file.place, error.to_string(), remedy(&error, &settings.domain));
                None
            }
        }
    }

    fn mail_of_it_comes_through_here(&mut self, domain: &At<Domain>, tenants: &[At<Tenant>]) {
        let domains = tenants.iter().flat_map(|tenant| tenant.value.domains.iter()).flat_map(|domains| &domains.value);
        let signed = |own: &str| DomainName::parse(own).is_ok_and(|own| own.is_in(domain.value.as_str()));
        // Where tenants could not be read their domains are not known.
        if !tenants.is_empty() && !domains.into_iter().any(|own| signed(&own.value.0)) {
            let what = format!("neither {} nor a domain below it is in any tenant's `domains`", domain.value);
            self.sink.warn(domain.place, what, "no mail will be signed with this key: is the domain spelt right?");
        }
    }

    fn one_rsa_key_seals(&mut self, keys: &[Usable]) {
        let mut seal = keys.iter().filter(|key| key.settings.seal);
        let first = seal.next();
        if let Some(ed25519) = first.filter(|key| key.algorithm != Algorithm::RsaSha256) {
            self.sink.error(
                ed25519.place,
                "an ARC seal is made with an RSA key",
                "write `seal = true` into the entry of one",
            );
        }
        if let Some(second) = seal.next() {
            self.sink.error(second.place, "two keys have `seal = true`", "a message is sealed once: take one out");
        }
    }

    fn ed25519_does_not_sign_alone(&mut self, keys: &[Usable]) {
        let signs = |key: &&Usable| key.settings.sign;
        for key in keys.iter().filter(signs).filter(|key| key.algorithm == Algorithm::Ed25519Sha256) {
            let domain = &key.settings.domain;
            let mut others = keys.iter().filter(signs).filter(|other| other.settings.domain == *domain);
            if !others.any(|other| other.algorithm == Algorithm::RsaSha256) {
                let what = format!("mail of {domain} is signed with Ed25519 alone, which many receivers do not verify");
                self.sink.warn(key.place, what, format!("add an RSA key beside it: posthouse dkim new {domain}"));
            }
        }
    }
}

fn remedy(error: &KeyError, domain: &Domain) -> String {
    match error {
        KeyError::Read { error, .. } if error.kind() != std::io::ErrorKind::NotFound => {
            "the relay's user must be able to read it, and nobody else".to_owned()
        }
        _ => format!("`posthouse dkim new {domain}` makes a key; the path is relative to the configuration file"),
    }
}
