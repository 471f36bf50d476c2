//! The client assertion: a short-lived JWT, signed with the application's key, in place of a secret.
//!
//! "Microsoft identity platform application authentication certificate credentials": PS256 with `x5t#S256`; RS256 with
//! `x5t` is the older form, still accepted, for keys that cannot do PSS. RFC 7523 §3 gives the claims.

use std::path::PathBuf;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secret::SecretString;
use serde_json::json;
use tracing::warn;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{AssertionAlgorithm, TokenError};

/// Microsoft asks for five to ten minutes.
const LIFE_SECS: i64 = 600;
/// Our clock may be a little ahead of theirs.
const CLOCK_SKEW_SECS: i64 = 60;
/// From here on the log speaks of the certificate's end.
const EXPIRY_WARNING_SECS: i64 = 14 * 24 * 60 * 60;

/// Where certificate and key are from, for messages.
#[derive(Clone)]
pub(crate) struct KeyFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Certificate and key, read and found to be a pair when they sign.
pub(crate) struct Signer<'a> {
    files: &'a KeyFiles,
    certificate: CertificateDer<'static>,
    key: KeyPair,
    algorithm: AssertionAlgorithm,
}

impl<'a> Signer<'a> {
    pub(crate) fn new(
        files: &'a KeyFiles,
        certificate: &[u8],
        key: &[u8],
        algorithm: AssertionAlgorithm,
    ) -> Result<Self, TokenError> {
        let certificate = CertificateDer::from_pem_slice(certificate).map_err(|_| {
            TokenError::credential(format!("there is no PEM certificate in {}", files.certificate.display()))
        })?;
        let key = read_key(key).ok_or_else(|| {
            let path = files.key.display();
            TokenError::credential(format!(
                "there is no usable RSA key in {path}: PEM (PKCS#8 or PKCS#1), 2048 bits or more, without a passphrase"
            ))
        })?;
        Ok(Self { files, certificate, key, algorithm })
    }

    /// The assertion, ready to be sent.
    pub(crate) fn assertion(
        &self,
        audience: &str,
        client_id: &str,
        now: Timestamp,
    ) -> Result<SecretString, TokenError> {
        let (_, parsed) = X509Certificate::from_der(&self.certificate)
            .map_err(|error| self.unusable(&format!("cannot be read: {error}")))?;
        self.check_expiry(&parsed, now)?;
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(self.header()), encode(claims(audience, client_id, now)));
        let signature = self.sign(signed.as_bytes())?;
        self.check_pair(&parsed, signed.as_bytes(), &signature)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature)).into())
    }

    fn header(&self) -> serde_json::Value {
        let thumbprint = |algorithm| URL_SAFE_NO_PAD.encode(digest(algorithm, &self.certificate));
        match self.algorithm {
            AssertionAlgorithm::Ps256 => json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint(&SHA256) }),
            AssertionAlgorithm::Rs256 => {
                json!({ "alg": "RS256", "typ": "JWT", "x5t": thumbprint(&SHA1_FOR_LEGACY_USE_ONLY) })
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match self.algorithm {
            AssertionAlgorithm::Ps256 => &RSA_PSS_SHA256,
            AssertionAlgorithm::Rs256 => &RSA_PKCS1_SHA256,
        };
        let signing = self.key.sign(padding, &SystemRandom::new(), message, &mut signature);
        let failed = |_| TokenError::credential(format!("the key in {} does not sign", self.files.key.display()));
        signing.map(|()| signature).map_err(failed)
    }

    /// The endpoint would only say that the signature is wrong.
    fn check_pair(&self, parsed: &X509Certificate<'_>, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        let algorithm = match self.algorithm {
            AssertionAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
            AssertionAlgorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        let public = UnparsedPublicKey::new(algorithm, &parsed.public_key().subject_public_key.data);
        let key = self.files.key.display();
        public
            .verify(message, signature)
            .map_err(|_| self.unusable(&format!("does not belong to the key in {key}: they are not a pair")))
    }

    fn check_expiry(&self, parsed: &X509Certificate<'_>, now: Timestamp) -> Result<(), TokenError> {
        let ends = parsed.validity().not_after.timestamp();
        let left = ends - now.as_second();
        let shown = Timestamp::from_second(ends).map_or_else(|_| ends.to_string(), |end| end.to_string());
        if left <= 0 {
            return Err(self.unusable(&format!(
                "ended on {shown}, and it is {now} by this machine's clock: make a new one and upload it to the app registration"
            )));
        }
        if left < EXPIRY_WARNING_SECS {
            let certificate = self.files.certificate.display();
            warn!(%certificate, "the certificate of the application ends on {shown}: make a new one and upload it to the app registration");
        }
        Ok(())
    }

    fn unusable(&self, why: &str) -> TokenError {
        TokenError::credential(format!("the certificate in {} {why}", self.files.certificate.display()))
    }
}

/// When the first certificate of the PEM ends; `None` if there is none that can be read.
pub(crate) fn ends_at(pem: &[u8]) -> Option<Timestamp> {
    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, parsed) = X509Certificate::from_der(&certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

fn claims(audience: &str, client_id: &str, now: Timestamp) -> serde_json::Value {
    let now = now.as_second();
    json!({
        "aud": audience,
        "iss": client_id,
        "sub": client_id,
        "jti": uuid::Uuid::new_v4().to_string(),
        "nbf": now - CLOCK_SKEW_SECS,
        "iat": now,
        "exp": now + LIFE_SECS,
    })
}

fn read_key(pem: &[u8]) -> Option<KeyPair> {
    match PrivateKeyDer::from_pem_slice(pem).ok()? {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).ok(),
        _ => None,
    }
}
