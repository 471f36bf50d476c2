//! Questions to the DNS, and answers in which trouble is never taken for absence.
//!
//! In: a name and a type. Out: records; no such name; a name without such records; or trouble, in words. Names are always
//! complete (a final dot), so that no search list of the machine gets between; the machine's hosts file is not read.
//! Every question ends within [`DnsSettings::timeout`].

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Refusal, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::tlsa::CertUsage;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use crate::domain::DomainName;

/// Records of one answer that are looked at; more than any sane zone holds.
const RECORDS: usize = 100;

/// Whom to ask, and how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Recursive resolvers, by UDP, and TCP where an answer is long. Empty: those of the system.
    pub servers: Vec<SocketAddr>,
    /// For one question, all attempts included.
    pub timeout: Duration,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::from_secs(5) }
    }
}

/// There is nobody to ask.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The operator's move: the system names no resolver, or its file cannot be read.
    #[error("the system's DNS settings cannot be used: {0}")]
    System(#[source] NetError),
    /// The resolver could not be made.
    #[error("the resolver cannot be started: {0}")]
    Resolver(#[source] NetError),
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// At least one record.
    Found(T),
    /// There is no such name (NXDOMAIN).
    NoName,
    /// The name exists and has no such records.
    NoData,
    /// Nothing is known: no answer in time, SERVFAIL, an answer that cannot be read. In words.
    Trouble(String),
}

impl<T> Answer<T> {
    /// Records or none; trouble stays an error.
    pub fn known(self) -> Result<Option<T>, String> {
        match self {
            Self::Found(records) => Ok(Some(records)),
            Self::NoName | Self::NoData => Ok(None),
            Self::Trouble(trouble) => Err(trouble),
        }
    }
}

/// An MX record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mx {
    pub(crate) preference: u16,
    /// `None`: the root, a null MX (RFC 7505).
    pub(crate) host: Option<DomainName>,
}

/// The resolver.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
    timeout: Duration,
}

impl Dns {
    /// Nothing is asked yet.
    pub fn new(settings: &DnsSettings) -> Result<Self, DnsError> {
        let (servers, mut options) = match settings.servers.as_slice() {
            [] => {
                let (config, options) = read_system_conf().map_err(DnsError::System)?;
                (config.name_servers().to_vec(), options)
            }
            servers => (servers.iter().map(name_server).collect(), ResolverOpts::default()),
        };
        options.attempts = 1;
        options.timeout = settings.timeout / 2;
        options.use_hosts_file = ResolveHosts::Never;
        options.preserve_intermediates = true;
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(DnsError::Resolver)?;
        Ok(Self { resolver, timeout: settings.timeout })
    }

    /// For whoever brings its own questions (`mail-auth`). It asks the same servers and shares the cache.
    pub fn resolver(&self) -> &TokioResolver {
        &self.resolver
    }

    /// TXT records, the strings of each joined (RFC 7208 §3.3, RFC 6376 §3.6.2.2). Octets that are no UTF-8 are replaced.
    pub async fn text(&self, name: &DomainName) -> Answer<Vec<String>> {
        self.ask(name, RecordType::TXT, |data| match data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        })
        .await
    }

    /// Where the name points by CNAME; only the next step.
    pub async fn alias(&self, name: &DomainName) -> Answer<DomainName> {
        let targets = self.ask(name, RecordType::CNAME, |data| match data {
            RData::CNAME(target) => named(&target.0),
            _ => None,
        });
        match targets.await {
            Answer::Found(targets) => targets.into_iter().next().map_or(Answer::NoData, Answer::Found),
            Answer::NoName => Answer::NoName,
            Answer::NoData => Answer::NoData,
            Answer::Trouble(trouble) => Answer::Trouble(trouble),
        }
    }

    pub(crate) async fn mx(&self, name: &DomainName) -> Answer<Vec<Mx>> {
        self.ask(name, RecordType::MX, |data| match data {
            RData::MX(mx) if mx.exchange.is_root() => Some(Mx { preference: mx.preference, host: None }),
            RData::MX(mx) => named(&mx.exchange).map(|host| Mx { preference: mx.preference, host: Some(host) }),
            _ => None,
        })
        .await
    }

    /// A and AAAA. Trouble with one of them is trouble, unless the other gave something.
    pub async fn addresses(&self, name: &DomainName) -> Answer<Vec<IpAddr>> {
        let (four, six) =
            tokio::join!(self.addresses_of(name, RecordType::A), self.addresses_of(name, RecordType::AAAA));
        match (four, six) {
            (Answer::Found(four), Answer::Found(six)) => Answer::Found(four.into_iter().chain(six).collect()),
            (Answer::Found(found), _) | (_, Answer::Found(found)) => Answer::Found(found),
            (Answer::Trouble(trouble), _) | (_, Answer::Trouble(trouble)) => Answer::Trouble(trouble),
            (Answer::NoName, _) | (_, Answer::NoName) => Answer::NoName,
            (Answer::NoData, Answer::NoData) => Answer::NoData,
        }
    }

    /// Of the kind that `like` is of.
    pub(crate) async fn addresses_like(&self, name: &DomainName, like: IpAddr) -> Answer<Vec<IpAddr>> {
        self.addresses_of(name, if like.is_ipv4() { RecordType::A } else { RecordType::AAAA }).await
    }

    async fn addresses_of(&self, name: &DomainName, kind: RecordType) -> Answer<Vec<IpAddr>> {
        self.ask(name, kind, |data| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .await
    }

    /// Host names of an address.
    pub async fn reverse(&self, address: IpAddr) -> Answer<Vec<DomainName>> {
        self.ask_name(Name::from(address), RecordType::PTR, |data| match data {
            RData::PTR(host) => named(&host.0),
            _ => None,
        })
        .await
    }

    /// Of each TLSA record, whether it is of use for mail (RFC 7672, section 3.1).
    pub(crate) async fn tlsa(&self, name: &DomainName) -> Answer<Vec<bool>> {
        self.ask(name, RecordType::TLSA, |data| match data {
            RData::TLSA(record) => Some(matches!(record.cert_usage, CertUsage::DaneTa | CertUsage::DaneEe)),
            _ => None,
        })
        .await
    }

    async fn ask<T>(&self, name: &DomainName, kind: RecordType, pick: impl Fn(&RData) -> Option<T>) -> Answer<Vec<T>> {
        match Name::from_ascii(name.as_str()) {
            Ok(name) => self.ask_name(name, kind, pick).await,
            Err(error) => Answer::Trouble(format!("{name} cannot be asked for: {error}")),
        }
    }

    async fn ask_name<T>(
        &self,
        mut name: Name,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Answer<Vec<T>> {
        name.set_fqdn(true);
        let asking = tokio::time::timeout(self.timeout, self.asked(name.clone(), kind, pick));
        let answer = asking.await.unwrap_or_else(|_| no_answer());
        if let Answer::Trouble(trouble) = &answer {
            tracing::debug!(%name, %kind, trouble, "a question to the DNS failed");
        }
        answer
    }
}

impl Dns {
    async fn asked<T>(&self, name: Name, kind: RecordType, pick: impl Fn(&RData) -> Option<T>) -> Answer<Vec<T>> {
        match self.resolver.lookup(name, kind).await {
            Err(NetError::Timeout) => no_answer(),
            Err(error) => match self.unfinished(kind, &error).await {
                true => Answer::Trouble("its aliases (CNAME) lead in a circle, or too far".to_owned()),
                false => refused(error),
            },
            Ok(lookup) => {
                let answers = lookup.answers().iter().filter(|record| record.record_type() == kind);
                match answers.filter_map(|record| pick(&record.data)).take(RECORDS).collect::<Vec<_>>() {
                    records if records.is_empty() => Answer::NoData,
                    records => Answer::Found(records),
                }
            }
        }
    }

    /// The resolver follows a few aliases and then says that there are no records, which is not true of a circle: there the last
    /// name is an alias again.
    async fn unfinished(&self, kind: RecordType, error: &NetError) -> bool {
        let NetError::Dns(Refusal::NoRecordsFound(none)) = error else { return false };
        if kind == RecordType::CNAME || none.response_code != ResponseCode::NoError {
            return false;
        }
        let last = none.query.name().clone();
        self.resolver.lookup(last, RecordType::CNAME).await.is_ok_and(|found| !found.answers().is_empty())
    }
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

fn named(name: &Name) -> Option<DomainName> {
    DomainName::parse(&name.to_ascii()).ok()
}

fn no_answer<T>() -> Answer<T> {
    Answer::Trouble("no name server answered in time".to_owned())
}

/// Only two codes say that there is nothing; everything else says nothing.
fn refused<T>(error: NetError) -> Answer<T> {
    match error {
        NetError::Dns(Refusal::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Answer::NoName,
            ResponseCode::NoError => Answer::NoData,
            code => Answer::Trouble(format!("a name server answered: {code}")),
        },
        NetError::Dns(Refusal::ResponseCode(code)) => Answer::Trouble(format!("a name server answered: {code}")),
        error => Answer::Trouble(error.to_string()),
    }
}
