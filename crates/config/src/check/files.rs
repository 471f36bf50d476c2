//! Files that the configuration names: there, readable, and what they should be.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secret::Secret;

use crate::check::Checker;
use crate::problem::Place;
use crate::read::At;
use crate::secrets::SecretSource;
use crate::values::FilePath;

/// Larger files are not what they should be.
const LARGEST: u64 = 4 << 20;

impl Checker<'_> {
    /// Relative to the configuration file.
    pub(super) fn resolve(&self, path: &FilePath) -> PathBuf {
        self.base_dir.join(&path.0)
    }

    /// The reference; a file that cannot be read is an error, a variable or credential that this process does not have only
    /// a warning: the service may be given it.
    pub(super) fn secret(&mut self, source: &At<SecretSource>) -> Secret {
        let secret = source.value.reference(|path| self.resolve(path));
        match (&source.value, secret.read()) {
            (_, Ok(_)) => self.warn_if_open(&source.value, &secret),
            (SecretSource::File(_, place), Err(error)) => {
                self.sink.error(*place, error.to_string(), "one line, readable by the user that the relay runs as");
            }
            (_, Err(error)) => {
                self.sink.warn(source.place, error.to_string(), "the service that runs the relay must be given it");
            }
        }
        secret
    }

    fn warn_if_open(&mut self, source: &SecretSource, secret: &Secret) {
        if let (SecretSource::File(_, place), Secret::File(path)) = (source, secret)
            && readable_by_all(path)
        {
            let what = format!("everybody on this machine can read the secret in {}", path.display());
            self.sink.warn(*place, what, format!("chmod 600 {}", path.display()));
        }
    }

    /// Roots, PEM.
    pub(super) fn roots(&mut self, path: &At<FilePath>) -> PathBuf {
        let file = self.resolve(&path.value);
        self.certificates(&file, path.place);
        file
    }

    /// A certificate with its chain, and its key: both there, and belonging together.
    pub(super) fn pair(&mut self, certificate: &At<FilePath>, key: &At<FilePath>) -> (PathBuf, PathBuf) {
        let (certificate_file, key_file) = (self.resolve(&certificate.value), self.resolve(&key.value));
        let chain = self.certificates(&certificate_file, certificate.place);
        let private = self.private_key(&key_file, key.place);
        if let (Some(chain), Some(private)) = (chain, private) {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            if let Err(error) = CertifiedKey::from_der(chain, private, &provider) {
                let what = format!("{} is not the key of {}: {error}", key_file.display(), certificate_file.display());
                self.sink.error(key.place, what, "the server's certificate stands first in its file, then the chain");
            }
        }
        (certificate_file, key_file)
    }

    fn certificates(&mut self, file: &Path, place: Place) -> Option<Vec<CertificateDer<'static>>> {
        let pem = self.contents(file, place)?;
        match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
            Ok(chain) if !chain.is_empty() => Some(chain),
            _ => {
                let what = format!("{} holds no certificate in PEM form", file.display());
                self.sink.error(
                    place,
                    what,
                    "it starts with -----BEGIN CERTIFICATE-----; DER and PFX files must be converted",
                );
                None
            }
        }
    }

    fn private_key(&mut self, file: &Path, place: Place) -> Option<PrivateKeyDer<'static>> {
        let pem = self.contents(file, place)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).ok();
        if key.is_none() {
            let what = format!("{} holds no private key in PEM form, or an encrypted one", file.display());
            self.sink.error(place, what, "it starts with -----BEGIN PRIVATE KEY----- (or RSA, or EC)");
        } else if readable_by_all(file) {
            let what = format!("everybody on this machine can read the key in {}", file.display());
            self.sink.warn(place, what, format!("chmod 600 {}", file.display()));
        }
        key
    }

    fn contents(&mut self, file: &Path, place: Place) -> Option<Vec<u8>> {
        let read = std::fs::metadata(file).and_then(|about| match about.len() {
            0..=LARGEST => std::fs::read(file),
            _ => Err(std::io::Error::other("it is larger than 4 MiB")),
        });
        read.map_err(|error| {
            let what = format!("cannot read {}: {error}", file.display());
            self.sink.error(
                place,
                what,
                "the path is relative to the configuration file; the relay's user must be able to read it",
            );
        })
        .ok()
    }
}

#[cfg(unix)]
fn readable_by_all(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn readable_by_all(_: &Path) -> bool {
    false
}
