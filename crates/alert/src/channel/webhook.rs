//! HTTP POST. The URL is a secret: nothing but its host is ever said.
//!
//! Arrived is 2xx. 429 and 503 are tried again when they say; a refusal that will not pass by itself (most of 4xx, a
//! redirect) now and then, so that a corrected URL is found. URL, CA and roots are read each time: alerts are rare, and a
//! replaced file is taken up.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, Response, Url, redirect};
use secret::{ExposeSecret, Secret};

use super::{Again, Failure, Now, Sender, format};
use crate::notice::{Bulletin, line};
use crate::settings::WebhookFormat;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const WHOLE_LIMIT: Duration = Duration::from_secs(30);
const LARGEST_CA_FILE: u64 = 1024 * 1024;
const LARGEST_ANSWER: usize = 4096;
const LONGEST_WORDS: usize = 200;

/// One URL.
pub(crate) struct Webhook {
    url: Secret,
    format: WebhookFormat,
    ca: Option<PathBuf>,
    now: Now,
    limit: Duration,
}

impl Webhook {
    pub(crate) fn new(url: Secret, format: WebhookFormat, ca: Option<PathBuf>, now: Now) -> Self {
        Self { url, format, ca, now, limit: WHOLE_LIMIT }
    }

    /// Reads files: off the runtime's threads.
    async fn prepare(&self) -> Result<(Client, Url), Failure> {
        let (secret, ca, limit) = (self.url.clone(), self.ca.clone(), self.limit);
        let prepared = tokio::task::spawn_blocking(move || {
            let url = url(&secret)?;
            Ok((client(&url, ca.as_deref(), limit)?, url))
        });
        prepared.await.unwrap_or_else(|_| Err(Failure::soon("the request was broken off", "")))
    }

    async fn judge(&self, response: Response, url: &Url) -> Result<(), Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let after = retry_after(response.headers(), (self.now)());
        let words = without_secret(words(response).await, url);
        let host = host(url);
        let what = match words.as_str() {
            "" => format!("{host} answered {status}"),
            words => format!("{host} answered {status}: {words}"),
        };
        let again = match (status.as_u16(), after) {
            (429 | 503, Some(after)) => Again::After(after),
            (408 | 425 | 429 | 500.., _) => Again::Soon,
            _ => Again::Seldom,
        };
        Err(Failure { what, hint: self.hint(status.as_u16()), again })
    }

    fn hint(&self, status: u16) -> String {
        let place = &self.url;
        match status {
            300..=399 => format!("redirects are not followed: put the final address into {place}"),
            400 | 415 | 422 => {
                format!("the service does not take this body: is `format` right for the URL in {place}?")
            }
            401 | 403 | 404 | 410 => {
                format!("the URL is not valid (any more): make a new webhook there and put its URL into {place}")
            }
            407 => "the proxy wants a login: exempt the host from it, or name another proxy".to_owned(),
            _ => "the service has trouble or limits us: the alert is tried again".to_owned(),
        }
    }
}

#[async_trait]
impl Sender for Webhook {
    async fn send(&self, bulletin: &Bulletin) -> Result<(), Failure> {
        let (client, url) = self.prepare().await?;
        let body = format::body(self.format, bulletin);
        let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        match request.send().await {
            Ok(response) => self.judge(response, &url).await,
            Err(error) => Err(unreachable(&error, host(&url))),
        }
    }
}

fn url(secret: &Secret) -> Result<Url, Failure> {
    let hint = || format!("put the webhook's whole URL (`https://…`) into {secret}");
    let text = secret.read().map_err(|error| Failure::seldom(error.to_string(), hint()))?;
    let url = Url::parse(text.expose_secret().trim()).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    url.filter(Url::has_host).ok_or_else(|| Failure::seldom(format!("there is no URL in {secret}"), hint()))
}

fn client(url: &Url, ca: Option<&Path>, limit: Duration) -> Result<Client, Failure> {
    // Another part of the process may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .timeout(limit)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("posthouse/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(0);
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    let hint = "check the file that `ca` names: PEM, with the certificate of the authority";
    let builder = with_roots(builder, ca).map_err(|what| Failure::seldom(what, hint))?;
    builder.build().map_err(|error| Failure::seldom(format!("cannot set up TLS: {}", causes(&error)), hint))
}

fn with_roots(builder: ClientBuilder, ca: Option<&Path>) -> Result<ClientBuilder, String> {
    use std::io::Read;
    let Some(path) = ca else { return Ok(builder) };
    let mut pem = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST_CA_FILE).read_to_end(&mut pem));
    read.map_err(|error| format!("cannot read the CA file {}: {error}", path.display()))?;
    let roots = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if roots.is_empty() {
        return Err(format!("there is no PEM certificate in the CA file {}", path.display()));
    }
    Ok(builder.tls_certs_merge(roots))
}

/// Never sent to a proxy.
fn is_loopback(url: &Url) -> bool {
    let host = host(url).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

/// The first line of the answer's body: services say there what they do not like.
async fn words(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend(chunk.iter().take(LARGEST_ANSWER - body.len()));
        if body.len() == LARGEST_ANSWER {
            break;
        }
    }
    let text = String::from_utf8_lossy(&body);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    // A page for people says nothing that helps here.
    if first.starts_with("<") { String::new() } else { line(first, LONGEST_WORDS) }
}

/// What a service repeats of the URL is taken out.
fn without_secret(words: String, url: &Url) -> String {
    let values = url.query_pairs().map(|(_, value)| value.into_owned());
    let segments = url.path_segments().into_iter().flatten().map(str::to_owned);
    let whole = [Some(url.path()), url.query()].into_iter().flatten().map(str::to_owned);
    let mut parts: Vec<String> = whole.chain(values).chain(segments).filter(|part| part.len() >= 4).collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.iter().fold(words, |words, part| words.replace(part, "[…]"))
}

/// In words that say where to look. The URL is left out: the host says enough.
fn unreachable(error: &reqwest::Error, host: &str) -> Failure {
    let cause = causes(error);
    if cause.contains("invalid peer certificate") {
        let hint = "add the authority that signed it to the system's roots or as `ca` of the channel; where a proxy inspects \
                    TLS, that is the proxy's";
        Failure::soon(format!("the certificate of {host} is not trusted ({cause})"), hint)
    } else if error.is_timeout() {
        Failure::soon(format!("no answer from {host} in time ({cause})"), "check the firewall and the proxy towards it")
    } else if error.is_connect() {
        Failure::soon(format!("cannot connect to {host}: {cause}"), "check DNS, firewall and proxy")
    } else {
        Failure::soon(format!("the request to {host} failed: {cause}"), "check the proxy, if there is one")
    }
}

/// The innermost words are the ones that help, and have no URL in them.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let inner = cause.to_string();
    if inner.is_empty() || std::ptr::addr_eq(cause, error) { "broken off".to_owned() } else { inner }
}

#[cfg(test)]
mod tests;
