//! Would this address pass? The whole of RFC 7208, by `mail-auth`, over our resolver.

use std::net::IpAddr;
use std::time::Duration;

use mail_auth::spf::verify::SpfParameters;
use mail_auth::{MessageAuthenticator, SpfResult};

use crate::dns::Dns;
use crate::domain::DomainName;

/// Below the 20 seconds after which `mail-auth` calls a slow DNS a broken record.
const LONGEST: Duration = Duration::from_secs(15);

/// What receivers conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressResult {
    Pass,
    /// `-`: refused, or as good as.
    Fail,
    SoftFail,
    Neutral,
    None,
    /// The record is broken.
    PermError,
    /// The DNS made trouble: nothing is known.
    Unknown,
}

/// For mail from `postmaster@domain`: records that tell local-parts apart are not looked through.
pub(crate) async fn evaluate(dns: &Dns, domain: &DomainName, address: IpAddr) -> AddressResult {
    let sender = format!("postmaster@{domain}");
    let authenticator = MessageAuthenticator(dns.resolver().clone());
    let parameters = SpfParameters::verify_mail_from(address, domain.as_str(), domain.as_str(), &sender);
    match tokio::time::timeout(LONGEST, authenticator.verify_spf(parameters)).await {
        Err(_) => AddressResult::Unknown,
        Ok(output) => match output.result() {
            SpfResult::Pass => AddressResult::Pass,
            SpfResult::Fail => AddressResult::Fail,
            SpfResult::SoftFail => AddressResult::SoftFail,
            SpfResult::Neutral => AddressResult::Neutral,
            SpfResult::None => AddressResult::None,
            SpfResult::PermError => AddressResult::PermError,
            SpfResult::TempError => AddressResult::Unknown,
        },
    }
}
