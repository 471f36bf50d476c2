//! Patterns of names and certificates, and the certificate that a client's handshake has proved.

use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Names taken from a certificate; one with more is no device's.
const NAMES: usize = 100;

/// `name`, or `*.domain` (any depth below the domain, not the domain itself); compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NamePattern {
    /// This name.
    Exact(String),
    /// What is below this domain.
    Below(String),
}

/// Not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a pattern of names: write printer.contoso.com, or *.contoso.com for all below contoso.com")]
pub struct NamePatternError(pub String);

/// How well a pattern fits: the greater, the better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameMatch {
    /// Not at all.
    #[default]
    None,
    /// By a wildcard; with the octets of its domain.
    Below(usize),
    /// Name for name.
    Exact,
}

impl NamePattern {
    /// How well this name fits.
    pub fn fits(&self, name: &str) -> NameMatch {
        match self {
            Self::Exact(wanted) if name.eq_ignore_ascii_case(wanted) => NameMatch::Exact,
            Self::Below(domain) if is_below(name, domain) => NameMatch::Below(domain.len()),
            _ => NameMatch::None,
        }
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    let Some(at) = name.len().checked_sub(domain.len()).filter(|at| *at > 1) else { return false };
    let (label, end) = (name.get(..at), name.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(domain)) && label.is_some_and(|label| label.ends_with('.'))
}

impl FromStr for NamePattern {
    type Err = NamePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |domain| (domain, true));
        let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c) || (!below && "[]:".contains(c));
        let whole = name.split('.').all(|label| !label.is_empty()) && name.len() <= 255;
        if !whole || !name.chars().all(fits) {
            return Err(NamePatternError(text.to_owned()));
        }
        let name = name.to_ascii_lowercase();
        Ok(if below { Self::Below(name) } else { Self::Exact(name) })
    }
}

impl std::fmt::Display for NamePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// SHA-256 of a certificate in DER. As text `AB:CD:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of this certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        let mut octets = [0; 32];
        octets.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(octets)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, octet) in self.0.iter().enumerate() {
            write!(f, "{}{octet:02X}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// Not a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons")]
pub struct FingerprintError(pub String);

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || FingerprintError(text.to_owned());
        let digits: Vec<u32> = text.chars().filter(|c| *c != ':').map_while(|c| c.to_digit(16)).collect();
        if digits.len() != 64 || text.chars().filter(|c| *c != ':').count() != 64 {
            return Err(wrong());
        }
        let mut octets = [0; 32];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            let value = pair.iter().fold(0, |value, digit| value << 4 | digit);
            *octet = u8::try_from(value).map_err(|_| wrong())?;
        }
        Ok(Self(octets))
    }
}

/// Which certificates of clients are meant: one by its fingerprint, or all that a trusted authority made out for a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificatePattern {
    /// `sha256:AB:CD:…`: this one, whoever made it, however old it is.
    Pin(Fingerprint),
    /// A name in it (a DNS name of its subjectAltName, or its common name), if it leads to `TlsSettings::client_ca` and is valid.
    Name(NamePattern),
}

impl FromStr for CertificatePattern {
    type Err = CertificatePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("sha256:") {
            Some(fingerprint) => Ok(Self::Pin(fingerprint.parse()?)),
            None => Ok(Self::Name(text.parse()?)),
        }
    }
}

/// Not a pattern of certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificatePatternError {
    /// After `sha256:`.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// Otherwise.
    #[error(transparent)]
    Name(#[from] NamePatternError),
}

impl std::fmt::Display for CertificatePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pin(fingerprint) => write!(f, "sha256:{fingerprint}"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A certificate whose key the client has shown to possess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Known to the world; what a pin is compared with.
    pub fingerprint: Fingerprint,
    /// Its DNS names and its common name. Empty unless it leads to `TlsSettings::client_ca` and is valid now.
    pub names: Vec<String>,
    /// Why its names do not count, in words; `None`: they do.
    pub distrust: Option<String>,
}

/// The names in a certificate, whoever made it.
pub(crate) fn names_in(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let dns = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok().map(str::to_owned));
    dns.chain(common).take(NAMES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_without_regard_to_case_and_wildcards_only_below() {
        for (pattern, name, expected) in [
            ("printer.contoso.com", "PRINTER.contoso.com", NameMatch::Exact),
            ("printer.contoso.com", "xprinter.contoso.com", NameMatch::None),
            ("*.contoso.com", "a.b.Contoso.COM", NameMatch::Below(11)),
            ("*.contoso.com", "contoso.com", NameMatch::None),
            ("*.contoso.com", ".contoso.com", NameMatch::None),
            ("*.contoso.com", "notcontoso.com", NameMatch::None),
            ("[10.0.0.7]", "[10.0.0.7]", NameMatch::Exact),
            ("copier", "copier", NameMatch::Exact),
        ] {
            assert_eq!(pattern.parse::<NamePattern>().unwrap().fits(name), expected, "{pattern} {name}");
        }
        for text in ["", "*", "*.", "a*.b", "*.*.com", "a..b", "a b", "*.[x]"] {
            assert!(text.parse::<NamePattern>().is_err(), "{text}");
        }
        assert!(NameMatch::Exact > NameMatch::Below(99) && NameMatch::Below(9) > NameMatch::Below(8));
    }

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons_and_written_with_them() {
        let text = "AB:".repeat(31) + "0c";
        let pin: CertificatePattern = format!("sha256:{text}").parse().unwrap();
        assert_eq!(pin.to_string(), format!("sha256:{}", text.to_uppercase()));
        assert_eq!(format!("sha256:{}", text.replace(':', "")).parse(), Ok(pin));
        for bad in ["sha256:", "sha256:AB", &format!("sha256:{text}0"), &format!("sha256:{}", text.replace('c', "g"))] {
            assert!(matches!(bad.parse::<CertificatePattern>(), Err(CertificatePatternError::Fingerprint(_))), "{bad}");
        }
    }

    #[test]
    fn the_names_of_a_certificate_are_its_dns_names_and_its_common_name() {
        let mut params = rcgen::CertificateParams::new(["a.contoso.com".to_owned(), "*.b.example".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Copier 7");
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        assert_eq!(names_in(made.der()), ["a.contoso.com", "*.b.example", "Copier 7"]);
        assert!(names_in(&CertificateDer::from(vec![0x30, 0x80, 1])).is_empty());
    }
}
