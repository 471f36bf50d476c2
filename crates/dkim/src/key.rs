//! A private key: read from PEM, made anew, and used. What it is made of leaves this file only as PEM for a new file.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject};

use crate::name::{Domain, Selector};
use crate::sys;

/// How a signature is made (`a=`). Both hash with SHA-256, so that the body is hashed once for all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RFC 6376 §3.3.1: understood everywhere.
    RsaSha256,
    /// RFC 8463: short keys and signatures; not every receiver knows it, so it goes beside an RSA key.
    Ed25519Sha256,
}

/// Where a key is, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// Mail of this domain and of those below it is signed (`d=`).
    pub domain: Domain,
    /// Under which the public key is published (`s=`).
    pub selector: Selector,
    /// The private key: PEM, PKCS#8 or PKCS#1, not encrypted.
    pub file: PathBuf,
    /// Whether it signs. `false`: its record is still being published, or has been replaced and will go.
    pub sign: bool,
    /// Whether it seals (ARC) all mail that passes, whoever the author is. One RSA key at most.
    pub seal: bool,
}

/// Why a key cannot be used, made or kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file.
    #[error("cannot read the DKIM key {path}: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// What is in it.
    #[error("the DKIM key {path} cannot be used: {error}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: PemError,
    },
    /// A new key.
    #[error("cannot write the new DKIM key {path}: {error}")]
    Write {
        /// Where.
        path: PathBuf,
        /// The system's words; a file that is there is never overwritten.
        error: std::io::Error,
    },
    /// A new key.
    #[error("RSA keys are made with 2048, 3072 or 4096 bits, not {0}")]
    Bits(usize),
    /// The library's generator.
    #[error("the cryptographic library cannot make a key")]
    Generate,
}

/// Why a PEM text holds no key that can be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// No private key, or an encrypted one.
    #[error("it holds no private key in PEM ({0}); an encrypted one must be decrypted first")]
    Pem(pem::Error),
    /// RFC 8301 §3.2 asks for 2048; the library refuses less.
    #[error("it is an RSA key of less than 2048 bits, or of more than 8192")]
    Bits,
    /// An elliptic curve of another kind, or broken.
    #[error("it is neither an RSA nor an Ed25519 key, or it is damaged ({0})")]
    Kind(String),
}

/// No reason to refuse a key, but worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyWarning {
    /// By the group, or by everybody.
    OpenToOthers(PathBuf),
}

/// A private key with the names under which its public half is published. Neither prints what is secret.
pub struct Key {
    domain: Domain,
    selector: Selector,
    private: Private,
}

enum Private {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key as PEM (PKCS#8), for a new file.
pub struct PrivatePem(String);

/// Larger files are no keys.
const LARGEST: u64 = 64 << 10;

impl Algorithm {
    /// As in `a=`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
        }
    }

    /// As in `k=` of the record.
    pub fn key_type(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa",
            Self::Ed25519Sha256 => "ed25519",
        }
    }
}

impl Key {
    /// Reads its file.
    pub fn read(settings: &KeySettings) -> Result<(Self, Option<KeyWarning>), KeyError> {
        let path = &settings.file;
        let (pem, warning) = contents(path).map_err(|error| KeyError::Read { path: path.clone(), error })?;
        let key = Self::from_pem(settings.domain.clone(), settings.selector.clone(), &pem);
        Ok((key.map_err(|error| KeyError::Unusable { path: path.clone(), error })?, warning))
    }

    /// The first private key of a PEM text.
    pub fn from_pem(domain: Domain, selector: Selector, pem: &[u8]) -> Result<Self, PemError> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(PemError::Pem)?;
        Ok(Self { domain, selector, private: Private::from_der(&der)? })
    }

    /// `d=`
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// `s=`
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// `a=`
    pub fn algorithm(&self) -> Algorithm {
        match self.private {
            Private::Rsa(_) => Algorithm::RsaSha256,
            Private::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// Of the modulus; 256 for Ed25519.
    pub fn bits(&self) -> usize {
        match &self.private {
            Private::Rsa(pair) => pair.public_modulus_len() * 8,
            Private::Ed25519(_) => 256,
        }
    }

    /// As published in `p=`: SubjectPublicKeyInfo for RSA (RFC 6376 §3.6.1 with its erratum 3017), the bare key for Ed25519
    /// (RFC 8463 §4).
    pub(crate) fn public(&self) -> Vec<u8> {
        match &self.private {
            Private::Rsa(pair) => {
                let info: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a parsed RSA key can be encoded");
                info.as_ref().to_vec()
            }
            Private::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// RSA as RSAPublicKey, the other form that verifiers take in `p=`.
    pub(crate) fn public_pkcs1(&self) -> Option<&[u8]> {
        match &self.private {
            Private::Rsa(pair) => Some(pair.public_key().as_ref()),
            Private::Ed25519(_) => None,
        }
    }

    /// The value of `b=`. RFC 8463 §3: Ed25519 signs the hash as if it were the message.
    pub(crate) fn sign(&self, canonical: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match &self.private {
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), canonical, &mut signature)?;
                Ok(signature)
            }
            Private::Ed25519(pair) => Ok(pair.try_sign(digest(&SHA256, canonical).as_ref())?.as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {}, {})", self.selector, self.domain, self.algorithm().as_str())
    }
}

impl fmt::Debug for PrivatePem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivatePem(…)")
    }
}

impl fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::OpenToOthers(path) = self;
        write!(f, "others on this machine can read or replace the DKIM key {}", path.display())
    }
}

impl KeyWarning {
    /// What to do.
    pub fn remedy(&self) -> String {
        let Self::OpenToOthers(path) = self;
        format!("chmod 600 {}", path.display())
    }
}

impl Private {
    fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, PemError> {
        let rsa = match der {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => match Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()) {
                Ok(pair) => return Ok(Self::Ed25519(pair)),
                Err(_) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            },
            _ => return Err(PemError::Kind("an elliptic curve that DKIM does not use".to_owned())),
        };
        rsa.map(Self::Rsa).map_err(|rejected| match rejected.to_string() {
            why if matches!(why.as_str(), "TooSmall" | "TooLarge") => PemError::Bits,
            why => PemError::Kind(why),
        })
    }
}

/// A new private key. `bits` counts for RSA alone: 2048, 3072 or 4096.
pub fn generate(algorithm: Algorithm, bits: usize) -> Result<PrivatePem, KeyError> {
    let der = match algorithm {
        Algorithm::RsaSha256 => {
            let pair = RsaKeyPair::generate(size(bits)?).map_err(|Unspecified| KeyError::Generate)?;
            AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)
        }
        // Version 1: OpenSSL before 3.2 and Python's tools read no other.
        Algorithm::Ed25519Sha256 => Ed25519KeyPair::generate().and_then(|pair| pair.as_der()),
    };
    der.map(|der| PrivatePem::new(der.as_ref())).map_err(|Unspecified| KeyError::Generate)
}

/// Keeps a new private key: readable by its owner alone, on stable storage. Never overwrites; leaves no part of one behind.
pub fn write_new(path: &Path, pem: &PrivatePem) -> Result<(), KeyError> {
    let write = |file: &mut std::fs::File| {
        file.write_all(pem.0.as_bytes())?;
        file.sync_all()?;
        sys::sync_directory_of(path)
    };
    whole_or_not(path, write).map_err(|error| KeyError::Write { path: path.to_owned(), error })
}

/// What cannot be written (the disk is full) would stand in the way of the next try.
fn whole_or_not(path: &Path, write: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut file = sys::create_private(path)?;
    write(&mut file).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(path);
    })
}

impl PrivatePem {
    fn new(der: &[u8]) -> Self {
        let mut text = "-----BEGIN PRIVATE KEY-----\n".to_owned();
        for line in BASE64_STANDARD.encode(der).as_bytes().chunks(64) {
            text.extend(line.iter().copied().map(char::from));
            text.push('\n');
        }
        text.push_str("-----END PRIVATE KEY-----\n");
        Self(text)
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn size(bits: usize) -> Result<KeySize, KeyError> {
    match bits {
        2048 => Ok(KeySize::Rsa2048),
        3072 => Ok(KeySize::Rsa3072),
        4096 => Ok(KeySize::Rsa4096),
        _ => Err(KeyError::Bits(bits)),
    }
}

/// Mode and content are those of the same open file.
fn contents(path: &Path) -> std::io::Result<(Vec<u8>, Option<KeyWarning>)> {
    let file = std::fs::File::open(path)?;
    let open = sys::open_to_others(&file.metadata()?);
    let mut pem = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut pem)?;
    if pem.len() as u64 > LARGEST {
        return Err(std::io::Error::other("it is larger than 64 KiB"));
    }
    Ok((pem, open.then(|| KeyWarning::OpenToOthers(path.to_owned()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pem: &str) -> Result<Key, PemError> {
        Key::from_pem("contoso.com".parse().unwrap(), "s1".parse().unwrap(), pem.as_bytes())
    }

    fn settings(file: PathBuf) -> KeySettings {
        let (domain, selector) = ("contoso.com".parse().unwrap(), "s1".parse().unwrap());
        KeySettings { domain, selector, file, sign: true, seal: false }
    }

    #[test]
    fn new_keys_are_written_once_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        for (algorithm, bits) in [(Algorithm::RsaSha256, 2048), (Algorithm::Ed25519Sha256, 256)] {
            let path = directory.path().join(algorithm.key_type());
            let pem = generate(algorithm, bits).unwrap();
            write_new(&path, &pem).unwrap();
            let (key, warning) = Key::read(&settings(path.clone())).unwrap();
            assert_eq!((key.algorithm(), key.bits(), warning), (algorithm, bits, None));
            let error = write_new(&path, &generate(Algorithm::Ed25519Sha256, 0).unwrap()).unwrap_err();
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), pem.expose());
        }
    }

    #[test]
    fn a_key_that_cannot_be_written_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let full = |file: &mut std::fs::File| {
            file.write_all(b"-----BEGIN")?;
            Err(std::io::ErrorKind::StorageFull.into())
        };
        assert_eq!(whole_or_not(&path, full).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        assert!(!path.exists());
        write_new(&path, &generate(Algorithm::Ed25519Sha256, 0).unwrap()).unwrap();
        whole_or_not(&path, |_| panic!("it is there")).unwrap_err();
        assert!(path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn new_keys_are_readable_by_their_owner_alone_and_others_are_told_of() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        write_new(&path, &generate(Algorithm::Ed25519Sha256, 0).unwrap()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o620, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let (_, warning) = Key::read(&settings(path.clone())).unwrap();
            assert_eq!(warning, Some(KeyWarning::OpenToOthers(path.clone())), "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_file_and_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let check = |content: &[u8], expected: &str| {
            let path = directory.path().join("key.pem");
            std::fs::write(&path, content).unwrap();
            let error = Key::read(&settings(path)).unwrap_err().to_string();
            assert!(error.contains("key.pem") && error.contains(expected), "{error}");
        };
        check(b"", "no private key in PEM");
        check(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "neither an RSA nor an Ed25519 key");
        check(include_bytes!("../tests/it/rsa-1024.pem"), "less than 2048 bits");
        check(include_bytes!("../tests/it/p256.pem"), "neither an RSA nor an Ed25519 key");
        check(&vec![b'x'; 65537], "larger than 64 KiB");
    }

    #[test]
    fn nothing_secret_is_printed() {
        let pem = generate(Algorithm::Ed25519Sha256, 0).unwrap();
        let line = pem.expose().lines().nth(1).unwrap().to_owned();
        let shown = format!("{pem:?} {:?}", key(pem.expose()).unwrap());
        assert_eq!(shown, "PrivatePem(…) Key(s1 contoso.com, ed25519-sha256)");
        assert!(!shown.contains(&line));
    }

    #[test]
    fn rsa_keys_have_a_size_that_everybody_verifies() {
        for bits in [0, 512, 1024, 2047, 8192] {
            assert!(matches!(generate(Algorithm::RsaSha256, bits), Err(KeyError::Bits(refused)) if refused == bits));
        }
    }
}
