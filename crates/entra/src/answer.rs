//! What the token endpoint's answer means.
//!
//! Microsoft asks clients to act on the OAuth `error` and the HTTP status, and to take the `AADSTS` number as a diagnosis
//! that may change. So `error` decides, unless the number is known for trouble that passes; the number gives the remedy.

use std::time::Duration;

use m365::{Action, Catalogue, Row};
use secret::SecretString;
use serde::Deserialize;

use crate::TokenError;
use crate::credential::Proof;
use crate::endpoint::Answer;

/// Longest text of the endpoint that we pass on.
const LONGEST_REASON: usize = 1000;
/// Longer lives are not believed.
const LONGEST_LIFE: Duration = Duration::from_secs(48 * 60 * 60);

/// A token, and how long it lives.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) secret: SecretString,
    pub(crate) expires_in: Duration,
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Success {
    access_token: SecretString,
    expires_in: Number,
    token_type: Option<String>,
}

/// Some of Microsoft's endpoints write numbers as strings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

/// RFC 6749 §5.2, and what Microsoft adds.
#[derive(Default, Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Vec<u64>,
    trace_id: Option<String>,
    correlation_id: Option<String>,
    suberror: Option<String>,
}

/// Token or error. What the endpoint repeats of `proof` is taken out of the texts.
pub(crate) fn read(answer: &Answer, catalogue: &Catalogue, proof: &Proof) -> Result<Issued, TokenError> {
    let Answer { host, status, .. } = answer;
    let Some(body) = &answer.body else {
        return Err(unavailable(
            answer,
            format!("{host} answered {status} with more than 64 KiB: not a token endpoint?"),
        ));
    };
    if *status == 200 {
        return issued(body).map_err(|what| {
            unavailable(answer, format!("{host} answered 200, but {what}: is a proxy or a sign-in page in between?"))
        });
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => Err(refused(answer, &refusal, catalogue, proof)),
        Err(_) => Err(not_oauth(answer)),
    }
}

fn issued(body: &[u8]) -> Result<Issued, &'static str> {
    use secret::ExposeSecret;
    let success: Success = serde_json::from_slice(body).map_err(|_| "without a token")?;
    let seconds = match success.expires_in {
        Number::Number(seconds) => Some(seconds),
        Number::Text(text) => text.parse().ok(),
    };
    let expires_in =
        seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or("with a token without life")?;
    if success.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("with a token of another kind than Bearer");
    }
    let token = success.access_token.expose_secret();
    // It becomes part of a SASL response: nothing in it may end a field there.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("with a token of impossible characters");
    }
    Ok(Issued { secret: success.access_token, expires_in: expires_in.min(LONGEST_LIFE) })
}

fn refused(answer: &Answer, refusal: &Refusal, catalogue: &Catalogue, proof: &Proof) -> TokenError {
    let description = proof.redact(&refusal.diagnosis());
    let error = proof.redact(&refusal.error);
    let by_number = catalogue.entra(&error, &description, answer.status);
    let by_name = catalogue.entra(&error, "", 0);
    let passes = |row: Option<&Row>| row.is_some_and(|row| matches!(row.action, Action::Retry | Action::SlowDown));
    let reason = proof.redact(&refusal.words());
    if passing_status(answer.status) || passes(by_number) || passes(by_name) {
        return unavailable(answer, format!("{} answered {}: {reason}", answer.host, answer.status));
    }
    let remedy = by_number.map_or_else(
        || "Look the number up among the error codes of Microsoft Entra, and check the app registration.".to_owned(),
        Row::remedy,
    );
    let code = number(&description).map_or(error, str::to_owned);
    TokenError::Refused { code: printable(&code, 64), reason, remedy, probe_after: Duration::ZERO }
}

impl Refusal {
    /// The description, with the number in it even if Microsoft gave it apart.
    fn diagnosis(&self) -> String {
        match (number(&self.error_description), self.error_codes.first()) {
            (None, Some(code)) => format!("AADSTS{code}: {}", self.error_description),
            _ => self.error_description.clone(),
        }
    }

    /// Microsoft's words, first line, with trace and correlation id.
    fn words(&self) -> String {
        let diagnosis = self.diagnosis();
        let line = diagnosis.lines().next().map(str::trim).filter(|line| !line.is_empty());
        let mut words = line.unwrap_or(&self.error).to_owned();
        let ids =
            [("suberror", &self.suberror), ("trace id", &self.trace_id), ("correlation id", &self.correlation_id)];
        for (name, value) in ids {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty() && !words.contains(value.as_str())) {
                words.push_str(&format!(" ({name} {value})"));
            }
        }
        printable(&words, LONGEST_REASON)
    }
}

/// Neither token nor OAuth error: something else than the token endpoint answered, or it is broken.
fn not_oauth(answer: &Answer) -> TokenError {
    let Answer { host, status, .. } = answer;
    let reason = format!("{host} answered {status} without an OAuth error");
    if passing_status(*status) || *status < 300 {
        return unavailable(answer, reason);
    }
    let remedy =
        "Check the address of the login service and the tenant; if they are right, a proxy or firewall answers in \
                  its place: let this machine reach it."
            .to_owned();
    TokenError::Refused { code: format!("HTTP {status}"), reason, remedy, probe_after: Duration::ZERO }
}

/// Too slow, too much, or broken over there.
fn passing_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

fn unavailable(answer: &Answer, reason: String) -> TokenError {
    TokenError::Unavailable { reason, retry_after: answer.retry_after }
}

/// The first `AADSTS` number of a text.
fn number(text: &str) -> Option<&str> {
    let found = text.find("AADSTS").and_then(|at| text.get(at..))?;
    let digits = found.bytes().skip(6).take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| found.get(..6 + digits)).flatten()
}

/// One line for a log, of bounded length.
pub(crate) fn printable(text: &str, length: usize) -> String {
    text.chars().take(length).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "v3ry+secret/~value";

    fn proof() -> Proof {
        Proof { fields: vec![("client_secret", SECRET.to_owned().into())] }
    }

    fn answered(status: u16, body: &str) -> Result<Issued, TokenError> {
        let body = Some(body.as_bytes().to_vec());
        let answer = Answer { host: "login.example".to_owned(), status, retry_after: None, date: None, body };
        read(&answer, &Catalogue::builtin(), &proof())
    }

    fn kind(status: u16, body: &str) -> String {
        match answered(status, body) {
            Ok(issued) => format!("token for {} s", issued.expires_in.as_secs()),
            Err(TokenError::Refused { code, .. }) => format!("refused {code}"),
            Err(TokenError::Unavailable { .. }) => "unavailable".to_owned(),
            Err(TokenError::Credential { .. }) => "credential".to_owned(),
        }
    }

    #[test]
    fn an_answer_is_a_token_a_refusal_or_trouble_that_passes() {
        for (status, body, meaning) in [
            (200, r#"{"token_type":"Bearer","expires_in":3599,"access_token":"abc"}"#, "token for 3599 s"),
            (200, r#"{"expires_in":"3599","access_token":"abc"}"#, "token for 3599 s"),
            (200, r#"{"expires_in":999999999,"access_token":"abc"}"#, "token for 172800 s"),
            (200, r#"{"token_type":"pop","expires_in":3599,"access_token":"abc"}"#, "unavailable"),
            (200, r#"{"expires_in":0,"access_token":"abc"}"#, "unavailable"),
            (200, r#"{"expires_in":-1,"access_token":"abc"}"#, "unavailable"),
            (200, r#"{"expires_in":3599,"access_token":""}"#, "unavailable"),
            (200, "{\"expires_in\":3599,\"access_token\":\"a\\u0001b\"}", "unavailable"),
            (200, "<html>Sign in to the guest network</html>", "unavailable"),
            (200, "", "unavailable"),
            (204, "", "unavailable"),
            (302, "", "refused HTTP 302"),
            (404, "not here", "refused HTTP 404"),
            (407, "who are you", "refused HTTP 407"),
            (408, "", "unavailable"),
            (429, "", "unavailable"),
            (503, "<html>", "unavailable"),
            (400, r#"{"error":"temporarily_unavailable"}"#, "unavailable"),
            (400, r#"{"error":"invalid_request","error_description":"AADSTS90090: directory"}"#, "unavailable"),
            (400, r#"{"error":"unheard_of","error_description":"AADSTS90013x: no"}"#, "refused AADSTS90013"),
            (400, r#"{"error":"unheard_of"}"#, "refused unheard_of"),
            (401, r#"{"error":"invalid_client","error_codes":[7000215]}"#, "refused AADSTS7000215"),
            (500, r#"{"error":"invalid_client","error_codes":[7000215]}"#, "unavailable"),
        ] {
            assert_eq!(kind(status, body), meaning, "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_has_microsofts_words_the_ids_and_a_remedy() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys for app 'x' are expired.\r\nTrace ID: t","error_codes":[7000222],"trace_id":"t-1","correlation_id":"c-1"}"#;
        let Err(TokenError::Refused { code, reason, remedy, .. }) = answered(401, body) else { panic!("refused") };
        assert_eq!(code, "AADSTS7000222");
        let words = "AADSTS7000222: The provided client secret keys for app 'x' are expired. (trace id t-1) (correlation id c-1)";
        assert_eq!(reason, words);
        assert!(remedy.contains("new credential"), "{remedy}");
    }

    #[test]
    fn a_secret_that_is_repeated_to_us_is_taken_out() {
        let encoded = "v3ry%2Bsecret%2F%7Evalue";
        let body = format!(
            r#"{{"error":"{SECRET}","error_description":"You sent {SECRET}, that is {encoded}","trace_id":"{SECRET}"}}"#
        );
        let error = answered(400, &body).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET) && !shown.contains(encoded), "{shown}");
    }

    #[test]
    fn control_characters_and_length_of_a_text_are_bounded() {
        let body = format!(r#"{{"error":"x","error_description":"a\u001b[31mb{}"}}"#, "y".repeat(5000));
        let text = answered(400, &body).unwrap_err().to_string();
        assert!(text.starts_with("a [31mb") && text.chars().count() <= LONGEST_REASON, "{text}");
    }
}
