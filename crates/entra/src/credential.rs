//! The credential as it is now: read from where it lies, and turned into the proof that goes with a request.

use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use secret::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::assertion::{self, KeyFiles};
use crate::{AssertionAlgorithm, Credential, TokenError};

/// Tells one credential from another; never leaves memory.
pub(crate) type Fingerprint = [u8; 32];

/// Of certificate and key files.
const LARGEST_FILE: u64 = 64 * 1024;

/// The credential's content.
pub(crate) struct Material {
    pub(crate) fingerprint: Fingerprint,
    kind: Kind,
}

enum Kind {
    Secret(SecretString),
    Certificate {
        files: KeyFiles,
        certificate: Zeroizing<Vec<u8>>,
        key: Zeroizing<Vec<u8>>,
        algorithm: AssertionAlgorithm,
    },
}

/// The fields of the form that prove who asks.
pub(crate) struct Proof {
    pub(crate) fields: Vec<(&'static str, SecretString)>,
}

impl Material {
    /// Blocks for small files.
    pub(crate) fn read(credential: &Credential) -> Result<Self, TokenError> {
        match credential {
            Credential::ClientSecret(place) => {
                let unreadable = |error| TokenError::credential(format!("the client secret: {error}"));
                let secret = place.read().map_err(unreadable)?;
                Ok(Self { fingerprint: fingerprint(&[secret.expose_secret().as_bytes()]), kind: Kind::Secret(secret) })
            }
            Credential::Certificate { certificate, key, algorithm } => {
                let files = KeyFiles { certificate: certificate.clone(), key: key.clone() };
                let (certificate, key) = (read_file(certificate, "certificate")?, read_file(key, "key")?);
                let fingerprint = fingerprint(&[&certificate, &key]);
                Ok(Self { fingerprint, kind: Kind::Certificate { files, certificate, key, algorithm: *algorithm } })
            }
        }
    }

    /// `audience`: the token endpoint's URL.
    pub(crate) fn prove(&self, audience: &str, client_id: &str, now: Timestamp) -> Result<Proof, TokenError> {
        let fields = match &self.kind {
            Kind::Secret(secret) => vec![("client_secret", secret.clone())],
            Kind::Certificate { files, certificate, key, algorithm } => {
                let signer = assertion::Signer::new(files, certificate, key, *algorithm)?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned();
                let assertion = signer.assertion(audience, client_id, now)?;
                vec![("client_assertion_type", kind.into()), ("client_assertion", assertion)]
            }
        };
        Ok(Proof { fields })
    }
}

/// What ends by itself, and when: a certificate says so, a client secret does not. Blocks for a small file.
pub(crate) fn expires_at(credential: &Credential) -> Option<(String, Timestamp)> {
    let Credential::Certificate { certificate, .. } = credential else { return None };
    let ends_at = assertion::ends_at(&read_file(certificate, "certificate").ok()?)?;
    Some((format!("the certificate {}", certificate.display()), ends_at))
}

impl Proof {
    /// Takes the proof out of a text from outside, should the other side have repeated it to us.
    pub(crate) fn redact(&self, text: &str) -> String {
        let secrets = self.fields.iter().filter(|(name, _)| *name != "client_assertion_type");
        secrets.fold(text.to_owned(), |text, (_, secret)| {
            let plain = secret.expose_secret();
            text.replace(plain, "[redacted]").replace(&percent_encoded(plain), "[redacted]")
        })
    }
}

/// As in a form, so that it is found in an echo of the form.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn fingerprint(parts: &[&[u8]]) -> Fingerprint {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_le_bytes());
        context.update(part);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}

fn read_file(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    let wrong = |why: String| TokenError::credential(format!("cannot read the {what} file {}: {why}", path.display()));
    let mut content = Zeroizing::new(Vec::new());
    let opened = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    opened.take(LARGEST_FILE + 1).read_to_end(&mut content).map_err(|error| wrong(error.to_string()))?;
    if content.len() as u64 > LARGEST_FILE {
        return Err(wrong("it is larger than 64 KiB".to_owned()));
    }
    Ok(content)
}
