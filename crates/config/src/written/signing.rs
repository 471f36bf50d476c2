//! The table about signatures: which key signs for which domain.

use dkim::{Domain, Selector};

use crate::read::{Defaulted, Required, table};
use crate::values::FilePath;

table! {
    /// A key for DKIM signatures. Mail is signed by all keys of the domain in its header field From, or else of the nearest domain
    /// above that has any. `posthouse dkim new contoso.com` makes a key, its DNS record and its entry here; a key file that is replaced
    /// is taken up without a restart.
    Dkim "[[dkim]]" {
        /// For whom it signs (`d=`): the domain and those below it.
        domain: Required<Domain>, example "\"contoso.com\"";
        /// Under which its record is published (`s=`): `SELECTOR._domainkey.DOMAIN`.
        selector: Required<Selector>, example "\"posthouse-2026-11a\"";
        /// The private key: RSA of 2048 bits or more, or Ed25519; PEM, not encrypted.
        key: Required<FilePath>, example "\"posthouse-2026-11a.contoso.com.pem\"";
        /// Whether it signs. `false` while its record is being published, until `posthouse dkim check` finds it, and for a key that
        /// another has replaced.
        sign: Defaulted<bool>, default "true";
        /// Whether all mail that passes is sealed with it (ARC, RFC 8617), whoever the author is: for receivers that see it after others
        /// have changed it. One RSA key at most. What was sealed before goes on as it is. Exchange Online heeds the seals of domains that
        /// the tenant trusts (`Set-ArcConfig -ArcTrustedSealers`).
        seal: Defaulted<bool>, default "false";
    }
}
