//! What a token says of itself. Never trusted, only told: the server that refuses a token does not say why.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secret::ExposeSecret;
use serde_json::{Map, Value};

use crate::AccessToken;
use crate::answer::printable;

/// Longest value that is told.
const LONGEST: usize = 200;

pub(crate) fn describe(token: &AccessToken) -> String {
    match claims(token.secret.expose_secret()) {
        Some(claims) => told(&claims),
        None => format!("an opaque token, good until {}", token.expires_at),
    }
}

/// The middle part of a JWT.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let decoded = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&decoded).ok()
}

fn told(claims: &Map<String, Value>) -> String {
    let claim = |name: &str| claims.get(name).map(shown).filter(|value| !value.is_empty());
    let rights = match (claim("roles"), claim("scp")) {
        (Some(roles), _) => format!("roles {roles}"),
        (None, Some(scopes)) => format!("delegated scopes {scopes}"),
        (None, None) => "no roles (right only where Exchange grants SMTP.SendAsApp by role assignment)".to_owned(),
    };
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let expiry = claims.get("exp").and_then(Value::as_i64).and_then(|second| Timestamp::from_second(second).ok());
    format!(
        "audience {}, {rights}, tenant {}, application {}, expires {}",
        or_none(claim("aud")),
        or_none(claim("tid")),
        or_none(claim("appid").or_else(|| claim("azp"))),
        or_none(expiry.map(|expiry| expiry.to_string())),
    )
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    printable(&text, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(payload: &str) -> String {
        let secret = format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(payload));
        describe(&AccessToken { secret: secret.into(), expires_at: Timestamp::UNIX_EPOCH })
    }

    #[test]
    fn the_claims_that_explain_a_refusal_are_told() {
        let text = described(
            r#"{"aud":"https://outlook.office365.com","roles":["SMTP.SendAsApp","Mail.Send"],"tid":"t","appid":"a","exp":1800000000}"#,
        );
        let expected = "audience https://outlook.office365.com, roles SMTP.SendAsApp Mail.Send, tenant t, application a, \
                        expires 2027-01-15T08:00:00Z";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_token_without_rights_says_so() {
        assert!(described(r#"{"aud":"x"}"#).contains("no roles"));
        assert!(described(r#"{"aud":"x","scp":"SMTP.Send"}"#).contains("delegated scopes SMTP.Send"));
    }

    #[test]
    fn what_is_no_jwt_is_called_opaque_and_not_shown() {
        for secret in ["EwBwA8l6BAAU", "a.b.c", "..", "a.!!!.c", "a.bnVsbA.c"] {
            let token = AccessToken { secret: secret.to_owned().into(), expires_at: Timestamp::UNIX_EPOCH };
            assert_eq!(describe(&token), "an opaque token, good until 1970-01-01T00:00:00Z", "{secret}");
        }
    }

    #[test]
    fn hostile_claims_are_one_short_line() {
        let text = described(&format!(r#"{{"aud":"a\r\n{}","exp":"soon","roles":7,"tid":null}}"#, "b".repeat(5000)));
        assert!(text.len() < 1000 && !text.contains('\n'), "{text}");
    }
}
