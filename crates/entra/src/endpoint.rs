//! The token endpoint over HTTPS: one request, bounded in time and size, no redirects.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, Response, Url, redirect};
use secret::ExposeSecret;

use crate::TokenError;
use crate::credential::Proof;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const WHOLE_LIMIT: Duration = Duration::from_secs(30);
/// An answer has about 2 KiB, with many roles 10.
const LARGEST_BODY: usize = 64 * 1024;
const LARGEST_CA_FILE: u64 = 1024 * 1024;

/// Where tokens are asked for.
pub(crate) struct Endpoint {
    client: Client,
    url: Url,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) host: String,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// By the clock over there.
    pub(crate) date: Option<Timestamp>,
    /// `None`: larger than the limit.
    pub(crate) body: Option<Vec<u8>>,
}

impl Endpoint {
    pub(crate) fn new(authority: &str, tenant: &str, ca: Option<&Path>) -> Result<Self, TokenError> {
        let url = token_url(authority, tenant)?;
        // Another part of the process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(WHOLE_LIMIT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("posthouse/", env!("CARGO_PKG_VERSION")))
            // One request an hour: a kept connection would be dead by then.
            .pool_max_idle_per_host(0);
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let client = with_roots(builder, ca)?.build();
        let failed =
            |error| TokenError::credential(format!("cannot set up TLS towards the login service: {}", causes(&error)));
        Ok(Self { client: client.map_err(failed)?, url })
    }

    pub(crate) fn url(&self) -> &str {
        self.url.as_str()
    }

    pub(crate) async fn post(&self, client_id: &str, scope: &str, proof: &Proof) -> Result<Answer, TokenError> {
        let mut form = vec![("client_id", client_id), ("scope", scope), ("grant_type", "client_credentials")];
        form.extend(proof.fields.iter().map(|(name, value)| (*name, value.expose_secret())));
        let response = self.client.post(self.url.clone()).form(&form).send().await;
        let response = response.map_err(|error| self.unreachable(error))?;
        let status = response.status().as_u16();
        let (retry_after, date) = (retry_after(&response), date(&response));
        let body = read_body(response).await.map_err(|error| self.unreachable(error))?;
        Ok(Answer { host: self.host().to_owned(), status, retry_after, date, body })
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// In words that say where to look. The URL is left out: `host` says enough.
    fn unreachable(&self, error: reqwest::Error) -> TokenError {
        let (host, cause) = (self.host(), causes(&error));
        TokenError::unavailable(if cause.contains("invalid peer certificate") {
            format!(
                "the certificate of {host} is not trusted ({cause}); where a proxy inspects TLS, exempt {host} or add the \
                 proxy's CA to the system's roots or as `ca` under [tenant.endpoints]"
            )
        } else if error.is_timeout() {
            format!("no answer from {host} in time; check that port 443 is open towards it, and the proxy ({cause})")
        } else if error.is_connect() {
            format!("cannot connect to {host}: {cause}; check DNS, firewall and proxy")
        } else {
            format!("the request to {host} failed: {cause}")
        })
    }
}

fn token_url(authority: &str, tenant: &str) -> Result<Url, TokenError> {
    let wrong = |why: &str| TokenError::credential(format!("the login service's address {authority:?} {why}"));
    let mut url = Url::parse(authority).map_err(|error| wrong(&format!("is no URL: {error}")))?;
    if url.scheme() != "https" && !is_loopback(&url) {
        return Err(wrong("is not https: the application's secret would go over the network in clear"));
    }
    let segments = ["oauth2", "v2.0", "token"];
    match url.path_segments_mut() {
        Ok(mut path) => path.pop_if_empty().push(tenant).extend(segments),
        Err(()) => return Err(wrong("is no URL of a server")),
    };
    Ok(url)
}

/// Never sent to a proxy, and may do without TLS.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn with_roots(builder: ClientBuilder, ca: Option<&Path>) -> Result<ClientBuilder, TokenError> {
    let Some(path) = ca else { return Ok(builder) };
    let unusable = || TokenError::credential(format!("there is no PEM certificate in the CA file {}", path.display()));
    let unreadable = |error| TokenError::credential(format!("cannot read the CA file {}: {error}", path.display()));
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_CA_FILE).read_to_end(&mut pem));
    read.map_err(unreadable)?;
    let roots = Certificate::from_pem_bundle(&pem).map_err(|_| unusable())?;
    if roots.is_empty() { Err(unusable()) } else { Ok(builder.tls_certs_merge(roots)) }
}

/// In seconds; the form with a date is not used by this service.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// RFC 9110 §6.6.1, in the form that every server writes today.
fn date(response: &Response) -> Option<Timestamp> {
    let value = response.headers().get(DATE)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(value).ok()
}

async fn read_body(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LARGEST_BODY {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The innermost words are the ones that help.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let inner = cause.to_string();
    if inner.is_empty() || std::ptr::addr_eq(cause, error) { "broken off".to_owned() } else { inner }
}
