//! MTA-STS policies over HTTPS, for the doctor.
//!
//! In: a host and its addresses, as our resolver knows them. Out: what the web server answered, bounded in time and size. Never: a
//! redirect followed, a certificate taken on trust, a proxy asked (it would look the host up by itself).

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use doctor::{DomainName, FetchError, PolicyAnswer, PolicyFetch};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION};
use reqwest::{Certificate, Client, Response, redirect};

const LARGEST: usize = <dyn PolicyFetch>::LARGEST;
const HTTPS: u16 = 443;

/// Fetches them.
#[derive(Debug)]
pub(crate) struct Policies {
    port: u16,
    /// In place of the system's; tests have an authority of their own.
    roots: Option<Certificate>,
}

impl Default for Policies {
    fn default() -> Self {
        Self { port: HTTPS, roots: None }
    }
}

impl PolicyFetch for Policies {
    fn fetch<'a>(
        &'a self,
        host: &'a DomainName,
        addresses: &'a [IpAddr],
    ) -> Pin<Box<dyn Future<Output = Result<PolicyAnswer, FetchError>> + Send + 'a>> {
        Box::pin(async move {
            let limit = <dyn PolicyFetch>::LONGEST;
            let late = || FetchError::Unreachable(format!("no answer within {} seconds", limit.as_secs()));
            tokio::time::timeout(limit, self.answer(host, addresses)).await.unwrap_or_else(|_| Err(late()))
        })
    }
}

impl Policies {
    async fn answer(&self, host: &DomainName, addresses: &[IpAddr]) -> Result<PolicyAnswer, FetchError> {
        let url = format!("https://{host}:{}{}", self.port, <dyn PolicyFetch>::PATH);
        let request = self.client(host, addresses).map_err(|error| failed(&error))?.get(url);
        let response = request.send().await.map_err(|error| failed(&error))?;
        let (status, headers) = (response.status().as_u16(), response.headers());
        let (location, content_type) = (text(headers, &LOCATION), text(headers, &CONTENT_TYPE));
        let body = if status == 200 { body(response).await? } else { Vec::new() };
        Ok(PolicyAnswer { status, location, content_type, body })
    }

    fn client(&self, host: &DomainName, addresses: &[IpAddr]) -> reqwest::Result<Client> {
        // Another part of the process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let addresses: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, self.port)).collect();
        let mut builder = Client::builder()
            .no_proxy()
            .https_only(true)
            .redirect(redirect::Policy::none())
            .resolve_to_addrs(host.as_str(), &addresses)
            .user_agent(concat!("posthouse/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(0);
        if let Some(roots) = &self.roots {
            builder = builder.tls_certs_only([roots.clone()]);
        }
        builder.build()
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > LARGEST {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// A server that knows no such name ends the handshake with an alert: that, too, is about its certificate.
fn failed(error: &reqwest::Error) -> FetchError {
    let cause = causes(error);
    let of_certificate = ["invalid peer certificate", "received fatal alert"].iter().any(|words| cause.contains(words));
    if of_certificate { FetchError::Certificate(cause) } else { FetchError::Unreachable(cause) }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use doctor::{Dns, DnsSettings, Doctor, DomainQuestion, DomainReport};
    use m365::Cloud;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::dns_server::Server;

    const HOST: &str = "mta-sts.d.test";
    const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: a.test\r\nmax_age: 604800\r\n";

    /// Serves one answer at a port of its own; each request's first line comes out.
    struct Web {
        port: u16,
        ca: String,
        requests: mpsc::UnboundedReceiver<String>,
    }

    /// A certificate of an authority of its own.
    struct Issued {
        names: &'static [&'static str],
        /// The last year in which it is good.
        until: i32,
    }

    impl Default for Issued {
        fn default() -> Self {
            Self { names: &[HOST], until: 4000 }
        }
    }

    impl Issued {
        fn acceptor(&self) -> (TlsAcceptor, String) {
            let ca_key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let ca = params.self_signed(&ca_key).unwrap();
            let issuer = Issuer::new(params, ca_key);
            let key = KeyPair::generate().unwrap();
            let names: Vec<_> = self.names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(self.until, 1, 1);
            let certificate = params.signed_by(&key, &issuer).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
            (TlsAcceptor::from(Arc::new(config)), ca.pem())
        }
    }

    impl Web {
        /// `answer`: octets as they go over the wire; `None`: it never answers.
        async fn start(issued: &Issued, answer: Option<Vec<u8>>) -> Self {
            let (acceptor, ca) = issued.acceptor();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let (asked, requests) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(octet) => request.push(octet),
                            Err(_) => break,
                        }
                    }
                    let request = String::from_utf8(request).unwrap();
                    let _ = asked.send(request.lines().next().unwrap_or_default().to_owned());
                    let Some(answer) = &answer else { return std::future::pending().await };
                    let _ = stream.write_all(answer).await;
                    let _ = stream.shutdown().await;
                }
            });
            Self { port, ca, requests }
        }

        fn policies(&self) -> Policies {
            Policies { port: self.port, roots: Some(Certificate::from_pem(self.ca.as_bytes()).unwrap()) }
        }
    }

    fn answer(status: &str, fields: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into()
    }

    async fn fetched(policies: &Policies) -> Result<PolicyAnswer, FetchError> {
        let host = DomainName::parse(HOST).unwrap();
        policies.fetch(&host, &["127.0.0.1".parse().unwrap()]).await
    }

    const PLAIN: &str = "Content-Type: text/plain\r\n";

    #[tokio::test]
    async fn the_file_is_asked_for_by_its_path_and_comes_whole() {
        let mut web = Web::start(&Issued::default(), Some(answer("200 OK", PLAIN, GOOD))).await;
        let answer = fetched(&web.policies()).await.unwrap();
        assert_eq!((answer.status, answer.content_type.as_deref()), (200, Some("text/plain")));
        assert_eq!(answer.body, GOOD.as_bytes());
        assert_eq!(web.requests.recv().await.unwrap(), "GET /.well-known/mta-sts.txt HTTP/1.1");
    }

    #[tokio::test]
    async fn no_redirect_is_followed() {
        let elsewhere = Web::start(&Issued::default(), Some(answer("200 OK", PLAIN, GOOD))).await;
        let to = format!("Location: https://{HOST}:{}/policy\r\n", elsewhere.port);
        let web = Web::start(&Issued::default(), Some(answer("302 Found", &to, GOOD))).await;
        let answer = fetched(&web.policies()).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (302, 0));
        assert!(answer.location.is_some_and(|location| location.ends_with("/policy")));
        let mut requests = elsewhere.requests;
        assert!(requests.try_recv().is_err(), "somebody followed it");
    }

    #[tokio::test]
    async fn a_certificate_must_be_in_date_of_that_name_and_of_an_authority_that_is_known() {
        let other = Web::start(&Issued::default(), None).await;
        for (issued, ca, words) in [
            (Issued { names: &["d.test"], ..Issued::default() }, None, "not valid for name"),
            (Issued { until: 2001, ..Issued::default() }, None, "expired"),
            (Issued::default(), Some(&other), "invalid peer certificate"),
        ] {
            let mut web = Web::start(&issued, Some(answer("200 OK", PLAIN, GOOD))).await;
            let roots = ca.unwrap_or(&web).policies().roots;
            let error = fetched(&Policies { roots, ..web.policies() }).await.unwrap_err();
            assert!(matches!(&error, FetchError::Certificate(why) if why.contains(words)), "{words}: {error:?}");
            assert!(web.requests.try_recv().is_err());
        }
    }

    #[tokio::test]
    async fn what_is_too_long_or_broken_off_is_no_policy() {
        let whole = "x".repeat(LARGEST);
        for (body, expected) in [(whole.clone(), None), (format!("{whole}x"), Some(FetchError::TooLong))] {
            let web = Web::start(&Issued::default(), Some(answer("200 OK", PLAIN, &body))).await;
            assert_eq!(fetched(&web.policies()).await.err(), expected);
        }
        let mut cut = answer("200 OK", PLAIN, GOOD);
        cut.truncate(cut.len() - 5);
        let web = Web::start(&Issued::default(), Some(cut)).await;
        let error = fetched(&web.policies()).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
    }

    #[tokio::test]
    async fn nobody_there_is_trouble_and_no_word_on_the_certificate() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = fetched(&Policies { port, roots: None }).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_given_up_in_time() {
        let web = Web::start(&Issued::default(), None).await;
        let started = tokio::time::Instant::now();
        let error = fetched(&web.policies()).await.unwrap_err();
        assert!(matches!(&error, FetchError::Unreachable(why) if why.contains("10 seconds")), "{error:?}");
        assert!(started.elapsed() <= Duration::from_secs(11), "{:?}", started.elapsed());
    }

    /// Through the doctor: the addresses are those of its resolver.
    async fn examined(web: &Web) -> Arc<DomainReport> {
        let zone = format!(
            "d.test MX 0 a.test\na.test A 192.0.2.1\n_mta-sts.d.test TXT v=STSv1; id=1;\n{HOST} CNAME web.test\nweb.test A 127.0.0.1"
        );
        let server = Server::start(&zone).await;
        let settings = DnsSettings { servers: vec![server.address], timeout: Duration::from_secs(20) };
        let doctor = Doctor::new(Dns::new(&settings).unwrap()).fetching(Arc::new(web.policies()));
        let domain = DomainName::parse("d.test").unwrap();
        doctor.domain(&DomainQuestion::new(domain, Cloud::Worldwide, "relay.contoso.com")).await
    }

    #[tokio::test]
    async fn the_doctor_judges_what_was_fetched() {
        for (issued, answer, expected) in [
            (Issued::default(), answer("200 OK", PLAIN, GOOD), "mta-sts-policy-ok"),
            (Issued::default(), answer("404 Not Found", PLAIN, GOOD), "mta-sts-policy-missing"),
            (Issued::default(), answer("200 OK", "Content-Type: text/html\r\n", GOOD), "mta-sts-policy-type"),
            (
                Issued { names: &["d.test"], ..Issued::default() },
                answer("200 OK", PLAIN, GOOD),
                "mta-sts-policy-certificate",
            ),
        ] {
            let web = Web::start(&issued, Some(answer)).await;
            let report = examined(&web).await;
            let ids: Vec<_> = report.mta_sts.findings.iter().map(|finding| finding.id).collect();
            assert_eq!(ids, ["mta-sts-ok", expected, "tls-rpt-none"], "{report:#?}");
        }
    }
}
