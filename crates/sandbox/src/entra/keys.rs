//! The key that signs access tokens, and what such a token says.

use std::path::Path;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;

use crate::files::{self, FileError};

/// Why tokens cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The directory.
    #[error(transparent)]
    Files(#[from] FileError),
    /// The key in it, or making one.
    #[error("the token signing key cannot be used: {0}")]
    Key(#[from] rcgen::Error),
    /// The same, when it is handed on.
    #[error("the token signing key cannot be used: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
}

/// The claims of a version 1.0 application token, as Exchange Online gets them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) aud: String,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) app_displayname: String,
    pub(crate) appid: String,
    /// `1` by secret, `2` by certificate.
    pub(crate) appidacr: String,
    pub(crate) idtyp: String,
    pub(crate) oid: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
    pub(crate) sub: String,
    pub(crate) tid: String,
    pub(crate) uti: String,
    pub(crate) ver: String,
}

/// Why a token is not taken. Exchange says only 535 5.7.3; the sandbox tells its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFlaw {
    #[error("it is not a token of this sandbox, or was changed")]
    Signature,
    #[error("its audience is not Exchange Online")]
    Audience,
    #[error("it is for another tenant")]
    Tenant,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("it lacks the role SMTP.SendAsApp")]
    Role,
}

/// Signs and verifies.
pub(crate) struct TokenKeys {
    id: String,
    sign: EncodingKey,
    verify: DecodingKey,
    public: Value,
}

impl TokenKeys {
    /// From `directory` if it holds one, else made and, with a directory, kept there.
    pub(crate) fn open(directory: Option<&Path>) -> Result<Self, KeyError> {
        let pem = files::load_or_make::<KeyError>(directory, "token.key", || {
            Ok(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?.serialize_pem())
        })?;
        let pair = KeyPair::from_pem(&pem)?;
        let raw = pair.public_key_raw();
        let id = BASE64_URL_SAFE_NO_PAD
            .encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, raw).as_ref());
        let public = match RSAPublicKey::from_der(raw) {
            Ok((_, key)) => json!({
                "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "x5t": id,
                "n": BASE64_URL_SAFE_NO_PAD.encode(unsigned(key.modulus)),
                "e": BASE64_URL_SAFE_NO_PAD.encode(unsigned(key.exponent)),
            }),
            Err(_) => Value::Null,
        };
        Ok(Self {
            sign: EncodingKey::from_rsa_pem(pem.as_bytes())?,
            verify: DecodingKey::from_rsa_der(raw),
            id,
            public,
        })
    }

    /// The document behind `jwks_uri`.
    pub(crate) fn document(&self) -> Value {
        json!({ "keys": [self.public] })
    }

    /// A signed token.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        let header = Header { kid: Some(self.id.clone()), x5t: Some(self.id.clone()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.sign)
    }

    /// The check that Exchange makes for AUTH XOAUTH2, all but the mailbox.
    pub(crate) fn verify(
        &self,
        token: &str,
        is_tenant: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Result<Claims, TokenFlaw> {
        let mut checks = Validation::new(Algorithm::RS256);
        checks.validate_exp = false; // by the sandbox's own clock, below
        checks.validate_aud = false;
        checks.required_spec_claims.clear();
        let claims =
            jsonwebtoken::decode::<Claims>(token, &self.verify, &checks).map_err(|_| TokenFlaw::Signature)?.claims;
        let now = now.as_second();
        if !EXCHANGE.contains(&claims.aud.trim_end_matches('/')) {
            Err(TokenFlaw::Audience)
        } else if !is_tenant(&claims.tid) {
            Err(TokenFlaw::Tenant)
        } else if now >= claims.exp {
            Err(TokenFlaw::Expired)
        } else if now + 300 < claims.nbf {
            Err(TokenFlaw::NotYetValid)
        } else if !claims.roles.iter().any(|role| role == "SMTP.SendAsApp") {
            Err(TokenFlaw::Role)
        } else {
            Ok(claims)
        }
    }
}

/// Audiences that Exchange Online takes, one per cloud, and its application id.
pub(crate) const EXCHANGE: [&str; 6] = [
    "https://outlook.office365.com",
    "https://outlook.office.com",
    "https://outlook.office365.us",
    "https://outlook-dod.office365.us",
    "https://partner.outlook.cn",
    "00000002-0000-0ff1-ce00-000000000000",
];

/// DER integers carry a leading zero where the highest bit is set; JWK numbers do not.
fn unsigned(number: &[u8]) -> &[u8] {
    match number {
        [0, rest @ ..] => rest,
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            aud: "https://outlook.office365.com".to_owned(),
            iss: "https://sts.windows.net/t/".to_owned(),
            iat: 1000,
            nbf: 1000,
            exp: 4600,
            app_displayname: String::new(),
            appid: "app".to_owned(),
            appidacr: "1".to_owned(),
            idtyp: "app".to_owned(),
            oid: "object".to_owned(),
            roles: vec!["SMTP.SendAsApp".to_owned()],
            sub: "object".to_owned(),
            tid: "t".to_owned(),
            uti: "u".to_owned(),
            ver: "1.0".to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_is_taken_only_whole_in_time_for_exchange_this_tenant_and_the_role() {
        let keys = TokenKeys::open(None).unwrap();
        let check = |change: &dyn Fn(&mut Claims), now: i64| {
            let mut claims = claims();
            change(&mut claims);
            keys.verify(&keys.sign(&claims).unwrap(), |tenant| tenant == "t", at(now)).map(|_| ())
        };
        assert_eq!(check(&|_| (), 2000), Ok(()));
        assert_eq!(check(&|c| c.aud.push('/'), 2000), Ok(()));
        assert_eq!(check(&|_| (), 4600), Err(TokenFlaw::Expired));
        assert_eq!(check(&|_| (), 600), Err(TokenFlaw::NotYetValid));
        assert_eq!(check(&|c| c.aud = "https://graph.microsoft.com".to_owned(), 2000), Err(TokenFlaw::Audience));
        assert_eq!(check(&|c| c.tid = "other".to_owned(), 2000), Err(TokenFlaw::Tenant));
        assert_eq!(check(&|c| c.roles.clear(), 2000), Err(TokenFlaw::Role));
    }

    #[test]
    fn a_token_of_another_key_or_no_token_is_not_taken() {
        let (keys, others) = (TokenKeys::open(None).unwrap(), TokenKeys::open(None).unwrap());
        let token = others.sign(&claims()).unwrap();
        for token in [token.as_str(), "", "a.b.c", "not a token"] {
            assert_eq!(keys.verify(token, |_| true, at(2000)), Err(TokenFlaw::Signature));
        }
    }

    #[test]
    fn the_published_key_verifies_what_was_signed() {
        let keys = TokenKeys::open(None).unwrap();
        let token = keys.sign(&claims()).unwrap();
        let jwk: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys.document()).unwrap();
        let key = jwk.find(&jsonwebtoken::decode_header(&token).unwrap().kid.unwrap()).unwrap();
        let mut checks = Validation::new(Algorithm::RS256);
        checks.validate_exp = false;
        checks.validate_aud = false;
        let read = jsonwebtoken::decode::<Claims>(&token, &DecodingKey::from_jwk(key).unwrap(), &checks).unwrap();
        assert_eq!(read.claims, claims());
    }
}
