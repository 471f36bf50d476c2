//! A client assertion: a JWT that the application signed with the key of a registered certificate.
//!
//! Its validity is judged by real time, since the other side stamped it; see [`Clock::real`].

use std::collections::{HashSet, VecDeque};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::refusal::Refusal;
use crate::clock::Clock;
use crate::tenant::{App, Tenant};

/// Clocks may differ by this much.
const SKEW_SECS: i64 = 300;
/// Ids of assertions that are remembered.
const REMEMBERED: usize = 10_000;

#[derive(Deserialize)]
struct AssertionClaims {
    aud: String,
    iss: String,
    sub: String,
    exp: i64,
    nbf: Option<i64>,
    jti: Option<String>,
}

/// The `jti` of assertions that were used.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    /// False if it was there before.
    fn remember(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// Signature, then whom it names, then when.
pub(crate) fn verify(
    assertion: &str,
    app: &App,
    tenant: &Tenant,
    hosts: &[String],
    seen: &mut Seen,
    clock: &Clock,
) -> Result<(), Refusal> {
    let header = jsonwebtoken::decode_header(assertion).map_err(|_| Refusal::usual(50027))?;
    if ![Algorithm::PS256, Algorithm::RS256].contains(&header.alg) {
        return Err(not_registered("", app, "The algorithm is neither PS256 nor RS256."));
    }
    let thumbprint = header
        .x5t_s256
        .as_deref()
        .or(header.x5t.as_deref())
        .ok_or_else(|| not_registered("", app, "The header has neither 'x5t#S256' nor 'x5t'."))?;
    let certificate =
        registered(app, thumbprint).ok_or_else(|| not_registered(thumbprint, app, "The key was not found."))?;
    let (_, certificate) = X509Certificate::from_der(&certificate)
        .map_err(|_| not_registered(thumbprint, app, "The registered certificate cannot be read."))?;
    if certificate.validity().not_after.timestamp() <= clock.now().as_second() {
        return Err(not_registered(thumbprint, app, "The key used is expired."));
    }
    let key = DecodingKey::from_rsa_der(&certificate.public_key().subject_public_key.data);
    let mut checks = Validation::new(header.alg);
    checks.validate_exp = false;
    checks.validate_aud = false;
    checks.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<AssertionClaims>(assertion, &key, &checks)
        .map_err(|_| not_registered(thumbprint, app, "Client assertion contains an invalid signature."))?
        .claims;
    check_names(&claims, app, tenant, hosts)?;
    check_time(&claims, clock)?;
    match &claims.jti {
        Some(jti) if !seen.remember(jti) => {
            Err(not_registered(thumbprint, app, "An assertion with this 'jti' was used before."))
        }
        _ => Ok(()),
    }
}

fn check_names(claims: &AssertionClaims, app: &App, tenant: &Tenant, hosts: &[String]) -> Result<(), Refusal> {
    if !claims.iss.eq_ignore_ascii_case(&app.client_id) || !claims.sub.eq_ignore_ascii_case(&app.client_id) {
        return Err(Refusal::new(
            700021,
            format!(
                "Client assertion application identifier doesn't match 'client_id' parameter. Issuer '{}', subject '{}'.",
                claims.iss, claims.sub
            ),
        ));
    }
    if audience_fits(&claims.aud, tenant, hosts) {
        return Ok(());
    }
    Err(Refusal::new(
        700023,
        format!(
            "Client assertion audience claim does not match Realm issuer. Review the documentation at \
             https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials. \
             Audience '{}'.",
            claims.aud
        ),
    ))
}

/// The URL of the token endpoint, under any name of the tenant and of the host; Microsoft's own host names are taken too.
fn audience_fits(audience: &str, tenant: &Tenant, hosts: &[String]) -> bool {
    let Some((authority, path)) = audience.strip_prefix("https://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_matches(['[', ']']);
    let host_known = hosts.iter().any(|known| known == host) || host.starts_with("login.");
    let named = path.strip_suffix("/oauth2/v2.0/token").or_else(|| path.strip_suffix("/v2.0"));
    host_known && named.is_some_and(|name| tenant.is_called(name))
}

fn check_time(claims: &AssertionClaims, clock: &Clock) -> Result<(), Refusal> {
    let now = clock.real().as_second();
    let too_early = claims.nbf.is_some_and(|nbf| now + SKEW_SECS < nbf);
    if !too_early && now < claims.exp.saturating_add(SKEW_SECS) {
        return Ok(());
    }
    let text = |second: i64| {
        jiff::Timestamp::from_second(second)
            .map_or_else(|_| second.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%S.0000000Z").to_string())
    };
    Err(Refusal::new(
        700024,
        format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry \
             time of assertion {}. Review the documentation at \
             https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
            text(now),
            claims.nbf.map_or_else(|| "(none)".to_owned(), text),
            text(claims.exp)
        ),
    ))
}

/// DER of the registered certificate with this thumbprint, SHA-256 or SHA-1.
fn registered(app: &App, thumbprint: &str) -> Option<Vec<u8>> {
    app.certificates.iter().find_map(|pem| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let fits = [&SHA256, &SHA1_FOR_LEGACY_USE_ONLY]
            .iter()
            .any(|algorithm| BASE64_URL_SAFE_NO_PAD.encode(digest(algorithm, &der)) == thumbprint);
        fits.then(|| der.to_vec())
    })
}

fn not_registered(thumbprint: &str, app: &App, reason: &str) -> Refusal {
    Refusal::new(
        700027,
        format!(
            "The certificate with identifier used to sign the client assertion is not registered on application. \
             [Reason - {reason}, Thumbprint of key used by client: '{thumbprint}', Configured keys: {} for app '{}'].",
            app.certificates.len(),
            app.client_id
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audience_is_the_token_endpoint_of_this_tenant() {
        let tenant = Tenant::default();
        let hosts = ["localhost".to_owned(), "::1".to_owned()];
        for (audience, fits) in [
            (format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", tenant.id), true),
            (format!("https://localhost:8443/{}/oauth2/v2.0/token", tenant.id), true),
            (format!("https://[::1]:8443/{}/oauth2/v2.0/token", tenant.id), true),
            ("https://localhost/contoso.test/v2.0".to_owned(), true),
            ("https://localhost/fabrikam.test/oauth2/v2.0/token".to_owned(), false),
            ("https://elsewhere.test/contoso.test/oauth2/v2.0/token".to_owned(), false),
            ("http://localhost/contoso.test/oauth2/v2.0/token".to_owned(), false),
            (tenant.id.clone(), false),
        ] {
            assert_eq!(audience_fits(&audience, &tenant, &hosts), fits, "{audience}");
        }
    }

    #[test]
    fn an_id_is_new_once_and_the_memory_is_bounded() {
        let mut seen = Seen::default();
        assert!(seen.remember("first"));
        assert!(!seen.remember("first"));
        for number in 0..REMEMBERED {
            seen.remember(&number.to_string());
        }
        assert_eq!(seen.ids.len(), REMEMBERED);
        assert!(seen.remember("first"));
    }
}
