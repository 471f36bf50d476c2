//! A domain with its keys, and the signing of whole messages.

use std::sync::OnceLock;

use posthouse_dkim::{Algorithm, KeySettings, Keys, SignError, Signing, generate};
use tempfile::TempDir;

pub(crate) struct Site {
    pub(crate) keys: Keys,
    _directory: TempDir,
}

/// 2026-11-20T22:32:07Z
pub(crate) const NOW: i64 = 1_795_213_927;

impl Site {
    /// contoso.test with an RSA and an Ed25519 key, made once: RSA keys take their time.
    pub(crate) fn contoso() -> &'static Self {
        static SITE: OnceLock<Site> = OnceLock::new();
        SITE.get_or_init(|| {
            let rsa = generate(Algorithm::RsaSha256, 2048).unwrap();
            let ed25519 = generate(Algorithm::Ed25519Sha256, 0).unwrap();
            Self::with("contoso.test", &[("rsa", rsa.expose()), ("ed", ed25519.expose())])
        })
    }

    /// With keys given as selector and PEM.
    pub(crate) fn with(domain: &str, keys: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = |(selector, pem): &(&str, &str)| {
            let file = directory.path().join(selector);
            std::fs::write(&file, pem).unwrap();
            KeySettings {
                domain: domain.parse().unwrap(),
                selector: selector.parse().unwrap(),
                file,
                sign: true,
                seal: *selector == "rsa",
            }
        };
        let settings: Vec<_> = keys.iter().map(settings).collect();
        Self { keys: Keys::load(&settings).unwrap(), _directory: directory }
    }

    /// Name and value of each.
    pub(crate) fn records(&self) -> Vec<(String, String)> {
        let records = self.keys.all().into_iter().map(|key| key.record());
        records.map(|record| (record.name, record.value)).collect()
    }

    pub(crate) fn signing(&self) -> Signing {
        self.keys.signing(self.keys.all()[0].domain().as_str()).unwrap()
    }

    /// The fields for a message, given in pieces.
    pub(crate) fn fields<'a>(
        &self,
        section: &[u8],
        body: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<u8>, SignError> {
        let mut signing = self.signing();
        signing.header(section);
        body.into_iter().for_each(|piece| signing.body(piece));
        signing.finish(jiff::Timestamp::from_second(NOW).unwrap())
    }

    /// The message with its signatures in front.
    pub(crate) fn signed(&self, section: &str, body: &str) -> Vec<u8> {
        let fields = self.fields(section.as_bytes(), [body.as_bytes()]).unwrap();
        [&fields, section.as_bytes(), b"\r\n", body.as_bytes()].concat()
    }
}
