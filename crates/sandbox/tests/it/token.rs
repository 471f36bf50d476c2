//! The token endpoint: good requests, and every way to be refused.

use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use posthouse_sandbox::{Action, AppSecret, Fault, Sandbox, Settings, Step, TlsFault};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};

use crate::talk::{http, start};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A request that differs from a good one: `None` leaves a field out.
async fn request(sandbox: &Sandbox, tenant: &str, changes: &[(&str, Option<&str>)]) -> (u16, Value) {
    let endpoints = sandbox.endpoints();
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", &endpoints.client_id),
        ("client_secret", endpoints.client_secret.as_str()),
        ("scope", "https://outlook.office365.com/.default"),
    ];
    for (name, value) in changes {
        form.retain(|(field, _)| field != name);
        form.extend(value.map(|value| (*name, value)));
    }
    let url = format!("{}/{tenant}/oauth2/v2.0/token", endpoints.login);
    let answer = http(endpoints).post(url).form(&form).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_secret_gets_a_token_for_exchange_with_the_role() {
    let sandbox = start().await;
    for tenant in [sandbox.endpoints().tenant_id.as_str(), "contoso.test", "contoso.onmicrosoft.com"] {
        let (status, body) = request(&sandbox, tenant, &[]).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 3599);
        let claims = claims_of(body["access_token"].as_str().unwrap());
        assert_eq!(claims["aud"], "https://outlook.office365.com");
        assert_eq!(claims["roles"], json!(["SMTP.SendAsApp"]));
        assert_eq!(claims["tid"], json!(sandbox.endpoints().tenant_id));
        assert_eq!(claims["appid"], json!(sandbox.endpoints().client_id));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3599);
    }
    assert_eq!(sandbox.statistics().tokens_issued, 3);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_wrong_request_is_refused_with_entras_number_and_json() {
    let sandbox = start().await;
    let tenant = sandbox.endpoints().tenant_id.clone();
    let other = "99999999-2222-3333-4444-555555555555";
    for (tenant, changes, status, error, number) in [
        (other, &[][..], 400, "invalid_request", 90002),
        ("fabrikam.test", &[], 400, "invalid_request", 90002),
        ("nonsense", &[], 400, "invalid_request", 900023),
        ("common", &[], 400, "invalid_request", 50059),
        (&tenant, &[("client_id", Some(other))], 400, "unauthorized_client", 700016),
        (&tenant, &[("client_id", None)], 400, "invalid_request", 900144),
        (&tenant, &[("client_secret", Some("wrong"))], 401, "invalid_client", 7000215),
        (&tenant, &[("client_secret", None)], 401, "invalid_client", 7000218),
        (&tenant, &[("scope", Some("SMTP.Send"))], 400, "invalid_scope", 70011),
        (&tenant, &[("scope", Some("https://a/.default https://b/.default"))], 400, "invalid_scope", 70011),
        (&tenant, &[("scope", Some("https://unknown.test/.default"))], 400, "invalid_resource", 500011),
        (&tenant, &[("scope", None)], 400, "invalid_request", 900144),
        (&tenant, &[("grant_type", Some("password"))], 400, "unsupported_grant_type", 70003),
        (&tenant, &[("grant_type", None)], 400, "invalid_request", 900144),
        (&tenant, &[("client_assertion", Some("x"))], 400, "invalid_request", 900144),
        (
            &tenant,
            &[("client_assertion", Some("x")), ("client_assertion_type", Some(ASSERTION_TYPE))],
            401,
            "invalid_client",
            50027,
        ),
    ] {
        let (got_status, body) = request(&sandbox, tenant, changes).await;
        assert_eq!((got_status, body["error"].as_str()), (status, Some(error)), "{changes:?} {body}");
        assert_eq!(body["error_codes"], json!([number]), "{body}");
        let description = body["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{number}: ")), "{description}");
        let tail = format!(
            " Trace ID: {} Correlation ID: {} Timestamp: {}",
            body["trace_id"].as_str().unwrap(),
            body["correlation_id"].as_str().unwrap(),
            body["timestamp"].as_str().unwrap()
        );
        assert!(description.ends_with(&tail), "{description}");
    }
    let statistics = sandbox.statistics();
    assert_eq!(statistics.token_refusals["AADSTS7000215"], 1);
    assert_eq!(statistics.tokens_issued, 0);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_secret_expires_with_the_virtual_clock() {
    let sandbox = start().await;
    let end = sandbox.clock().now() + jiff::SignedDuration::from_hours(24);
    sandbox.change_tenant(|tenant| {
        let secret = AppSecret { value: "short-lived".into(), expires_at: Some(end) };
        tenant.apps[0].secrets.push(secret);
    });
    let changes = [("client_secret", Some("short-lived"))];
    let tenant = sandbox.endpoints().tenant_id.clone();
    assert_eq!(request(&sandbox, &tenant, &changes).await.0, 200);
    sandbox.advance(Duration::from_secs(86_400));
    let (status, body) = request(&sandbox, &tenant, &changes).await;
    assert_eq!((status, &body["error_codes"]), (401, &json!([7000222])));
    sandbox.stop().await;
}

/// A certificate with its key, and how its assertions differ from good ones.
struct Signer {
    pem: String,
    key: EncodingKey,
}

impl Signer {
    fn new() -> Self {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let pem = CertificateParams::new(vec!["relay".to_owned()]).unwrap().self_signed(&pair).unwrap().pem();
        Self { pem, key: EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap() }
    }

    fn assertion(&self, sandbox: &Sandbox, algorithm: Algorithm, change: impl FnOnce(&mut Value)) -> String {
        let der = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        let thumbprint = |algorithm| Some(BASE64_URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(algorithm, &der)));
        let mut header = Header::new(algorithm);
        match algorithm {
            Algorithm::PS256 => header.x5t_s256 = thumbprint(&aws_lc_rs::digest::SHA256),
            _ => header.x5t = thumbprint(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY),
        }
        let endpoints = sandbox.endpoints();
        let now = sandbox.clock().real().as_second();
        let mut claims = json!({
            "aud": format!("{}/{}/oauth2/v2.0/token", endpoints.login, endpoints.tenant_id),
            "iss": endpoints.client_id,
            "sub": endpoints.client_id,
            "jti": uuid::Uuid::new_v4().to_string(),
            "nbf": now,
            "exp": now + 600,
        });
        change(&mut claims);
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

async fn assert_with(sandbox: &Sandbox, assertion: &str) -> (u16, Value) {
    let changes = [
        ("client_secret", None),
        ("client_assertion_type", Some(ASSERTION_TYPE)),
        ("client_assertion", Some(assertion)),
    ];
    let (status, body) = request(sandbox, &sandbox.endpoints().tenant_id.clone(), &changes).await;
    (status, body["error_codes"][0].clone())
}

#[tokio::test]
async fn an_assertion_is_verified_in_all_its_parts() {
    let (sandbox, signer) = (start().await, Signer::new());
    sandbox.change_tenant(|tenant| tenant.apps[0].certificates.push(signer.pem.clone()));
    for algorithm in [Algorithm::PS256, Algorithm::RS256] {
        let good = signer.assertion(&sandbox, algorithm, |_| ());
        assert_eq!(assert_with(&sandbox, &good).await, (200, Value::Null));
        assert_eq!(assert_with(&sandbox, &good).await, (401, json!(700027)), "the second use");
        let now = sandbox.clock().real().as_second();
        for (change, number) in [
            (
                Box::new(|claims: &mut Value| claims["aud"] = json!("https://login.test/other/oauth2/v2.0/token"))
                    as Box<dyn FnOnce(&mut Value)>,
                700023,
            ),
            (Box::new(|claims| claims["iss"] = json!("somebody")), 700021),
            (Box::new(|claims| claims["sub"] = json!("somebody")), 700021),
            (Box::new(move |claims| claims["exp"] = json!(now - 301)), 700024),
            (Box::new(move |claims| claims["nbf"] = json!(now + 400)), 700024),
        ] {
            let assertion = signer.assertion(&sandbox, algorithm, change);
            assert_eq!(assert_with(&sandbox, &assertion).await, (401, json!(number)));
        }
        let stranger = Signer { pem: signer.pem.clone(), key: Signer::new().key };
        let forged = stranger.assertion(&sandbox, algorithm, |_| ());
        assert_eq!(assert_with(&sandbox, &forged).await, (401, json!(700027)), "another key");
        let unregistered = Signer::new().assertion(&sandbox, algorithm, |_| ());
        assert_eq!(assert_with(&sandbox, &unregistered).await, (401, json!(700027)), "another certificate");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn moving_the_clock_does_not_make_assertions_stale() {
    let (sandbox, signer) = (start().await, Signer::new());
    sandbox.change_tenant(|tenant| tenant.apps[0].certificates.push(signer.pem.clone()));
    sandbox.advance(Duration::from_secs(86_400));
    let good = signer.assertion(&sandbox, Algorithm::PS256, |_| ());
    assert_eq!(assert_with(&sandbox, &good).await, (200, Value::Null));
    sandbox.stop().await;
}

#[tokio::test]
async fn the_endpoint_fails_on_demand_and_recovers() {
    let sandbox = start().await;
    let tenant = sandbox.endpoints().tenant_id.clone();
    for (action, status, error) in [
        (Action::Aadsts(7000222), 401, Some("invalid_client")),
        (Action::Aadsts(90033), 503, Some("temporarily_unavailable")),
        (Action::Aadsts(50196), 500, Some("server_error")),
        (Action::Oauth("invalid_client".to_owned()), 401, Some("invalid_client")),
        (Action::Oauth("unheard_of".to_owned()), 400, Some("unheard_of")),
        (Action::Http(502), 502, None),
        (Action::Garbage, 200, None),
    ] {
        sandbox.add_fault(Fault::at(Step::Token).action(action).once()).unwrap();
        let (got, body) = request(&sandbox, &tenant, &[]).await;
        assert_eq!((got, body["error"].as_str()), (status, error));
        assert_eq!(request(&sandbox, &tenant, &[]).await.0, 200);
    }
    assert_eq!(sandbox.statistics().faults, 7);
    sandbox.stop().await;
}

#[tokio::test]
async fn the_endpoint_hangs_up_or_fails_its_handshake_on_demand() {
    let sandbox = start().await;
    let endpoints = sandbox.endpoints();
    let url = format!("{}/{}/oauth2/v2.0/token", endpoints.login, endpoints.tenant_id);
    let mut faults = vec![Fault::at(Step::Token).action(Action::Disconnect)];
    let flaws = [TlsFault::Close, TlsFault::Garbage, TlsFault::Untrusted, TlsFault::WrongName, TlsFault::Expired];
    faults.extend(flaws.map(|flaw| Fault::at(Step::TokenTls).action(Action::Tls(flaw))));
    for fault in faults {
        let id = sandbox.add_fault(fault.clone()).unwrap();
        let failed = http(endpoints).post(&url).form(&[("grant_type", "x")]).send().await;
        assert!(failed.is_err(), "{fault:?}");
        assert!(sandbox.remove_fault(id));
    }
    let answered = http(endpoints).post(&url).form(&[("grant_type", "x")]).send().await.unwrap();
    assert_eq!(answered.status(), 400);
    sandbox.stop().await;
}

#[tokio::test]
async fn the_endpoint_is_slow_on_demand() {
    let sandbox = start().await;
    let endpoints = sandbox.endpoints();
    sandbox.add_fault(Fault::at(Step::Token).delay(Duration::from_secs(3600))).unwrap();
    let url = format!("{}/{}/oauth2/v2.0/token", endpoints.login, endpoints.tenant_id);
    let request = http(endpoints).post(&url).form(&[("grant_type", "x")]).timeout(Duration::from_millis(500));
    assert!(request.send().await.unwrap_err().is_timeout());
    sandbox.stop().await;
}

#[tokio::test]
async fn identity_and_authority_live_in_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { directory: Some(directory.path().join("new")), ..Settings::default() };
    let first = Sandbox::start(settings.clone()).await.unwrap();
    let second = Sandbox::start(settings).await.unwrap();
    let known = |sandbox: &Sandbox| {
        let endpoints = sandbox.endpoints();
        (endpoints.ca_pem.clone(), endpoints.client_id.clone(), endpoints.client_secret.clone())
    };
    assert_eq!(known(&first), known(&second));
    assert_ne!(known(&first), known(&start().await));
}
