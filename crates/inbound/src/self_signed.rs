//! The pair that is shown where no certificate is configured: made once, kept, good enough against listeners on the wire.
//!
//! RSA, because the devices that a relay is for often know nothing else.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
    date_time_ymd,
};

use crate::platform;
use crate::tls::TlsError;

/// Valid for so many years; until 2049 dates have the form that every device can read.
const YEARS: i32 = 20;

/// Paths of certificate and key; both are written if one is missing.
pub(crate) fn pair(state_dir: &Path, hostname: &str, now: jiff::Timestamp) -> Result<(PathBuf, PathBuf), TlsError> {
    let dir = state_dir.join("tls");
    let (certificate, key) = (dir.join("self-signed.pem"), dir.join("self-signed.key"));
    if !certificate.exists() || !key.exists() {
        let (certificate_pem, key_pem) = make(hostname, now)?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| TlsError::Write { path, error }
        };
        platform::private_dir(&dir).map_err(failed(&dir))?;
        // The key first: a certificate without its key would never be replaced.
        platform::write_private(&key, key_pem.as_bytes()).map_err(failed(&key))?;
        platform::write_private(&certificate, certificate_pem.as_bytes()).map_err(failed(&certificate))?;
        tracing::info!(certificate = %certificate.display(), "no certificate is configured: made a self-signed one");
    }
    Ok((certificate, key))
}

fn make(hostname: &str, now: jiff::Timestamp) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new([hostname.to_owned()]).or_else(|_| CertificateParams::new([]))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, hostname);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let year = i32::from(now.to_zoned(TimeZone::UTC).year());
    params.not_before = date_time_ymd(year, 1, 1);
    params.not_after = date_time_ymd((year + YEARS).min(2049).max(year + 1), 12, 31);
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    #[test]
    fn the_certificate_names_the_host_and_begins_in_the_past() {
        let (certificate, _) = super::make("relay.contoso.com", "2026-11-20T22:32:07Z".parse().unwrap()).unwrap();
        let pem = parse_x509_pem(certificate.as_bytes()).unwrap().1;
        let certificate = pem.parse_x509().unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=relay.contoso.com");
        assert!(certificate.validity().not_before.to_string().contains("2026"));
        assert!(certificate.validity().not_after.to_string().contains("2046"));
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names, [GeneralName::DNSName("relay.contoso.com")]);
        assert_eq!(certificate.public_key().parsed().unwrap().key_size(), 2048);
    }

    #[test]
    fn a_host_name_that_no_certificate_can_hold_still_gives_a_pair() {
        assert!(super::make("drucker-büro", "2048-12-31T00:00:00Z".parse().unwrap()).is_ok());
    }
}
