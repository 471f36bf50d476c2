//! A DNS server on loopback, by UDP and TCP, that answers as a recursive resolver would.
//!
//! In: a zone, one record a line: `name TYPE value`. The types `SERVFAIL` and `SILENT` make any question about that name fail,
//! `SERVFAIL AAAA` one about addresses of version 6.
//! Answers longer than 512 octets are truncated over UDP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector, TLSA};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const UDP_OCTETS: usize = 512;
/// CNAME records that are followed for one question.
const ALIASES: usize = 8;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    questions: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn start(zone: &str) -> Self {
        let zone = Arc::new(Zone::parse(zone));
        // The same port for both: where TCP finds it taken, another one is tried.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let questions = Arc::clone(&zone.questions);
        tokio::spawn(serve_udp(udp, Arc::clone(&zone)));
        tokio::spawn(serve_tcp(tcp, zone));
        Self { address, questions }
    }

    pub(crate) fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Zone>) {
    let mut buffer = [0; 4096];
    while let Ok((octets, peer)) = socket.recv_from(&mut buffer).await {
        let Some(answer) = zone.answer(&buffer[..octets]) else { continue };
        let octets = answer.to_vec().unwrap();
        let octets = if octets.len() > UDP_OCTETS { answer.truncate().to_vec().unwrap() } else { octets };
        let _ = socket.send_to(&octets, peer).await;
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Zone>) {
    while let Ok((stream, _)) = listener.accept().await {
        let zone = Arc::clone(&zone);
        tokio::spawn(async move {
            let _ = converse(stream, &zone).await;
        });
    }
}

async fn converse(mut stream: TcpStream, zone: &Zone) -> std::io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut question).await?;
        if let Some(answer) = zone.answer(&question) {
            let octets = answer.to_vec().unwrap();
            stream.write_u16(u16::try_from(octets.len()).unwrap()).await?;
            stream.write_all(&octets).await?;
        }
    }
}

enum Entry {
    Data(RData),
    ServFail,
    ServFailOfSix,
    Silent,
}

struct Zone {
    entries: HashMap<Name, Vec<Entry>>,
    questions: Arc<AtomicUsize>,
}

impl Zone {
    fn parse(text: &str) -> Self {
        let mut entries: HashMap<Name, Vec<Entry>> = HashMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut parts = line.splitn(3, ' ');
            let (name, kind) = (parts.next().unwrap(), parts.next().unwrap());
            entries.entry(fqdn(name)).or_default().push(entry(kind, parts.next().unwrap_or_default()));
        }
        Self { entries, questions: Arc::default() }
    }

    /// `None`: silence.
    fn answer(&self, octets: &[u8]) -> Option<Message> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        let question = Message::from_vec(octets).ok()?;
        let query = question.queries.first()?.clone();
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.add_query(query.clone());
        answer.metadata.recursion_available = true;
        answer.metadata.response_code = self.fill(&mut answer, &query)?;
        Some(answer)
    }

    fn fill(&self, answer: &mut Message, query: &Query) -> Option<ResponseCode> {
        let mut name = query.name().to_lowercase();
        for _ in 0..ALIASES {
            let mut alias = None;
            for entry in self.entries.get(&name).into_iter().flatten() {
                match entry {
                    Entry::Silent => return None,
                    Entry::ServFail => return Some(ResponseCode::ServFail),
                    Entry::ServFailOfSix if query.query_type() == RecordType::AAAA => {
                        return Some(ResponseCode::ServFail);
                    }
                    Entry::ServFailOfSix => {}
                    Entry::Data(data) if data.record_type() == query.query_type() => {
                        answer.add_answer(Record::from_rdata(name.clone(), 300, data.clone()));
                    }
                    Entry::Data(RData::CNAME(target)) => {
                        answer.add_answer(Record::from_rdata(name.clone(), 300, RData::CNAME(target.clone())));
                        alias = Some(target.0.clone());
                    }
                    Entry::Data(_) => {}
                }
            }
            match alias {
                Some(target) => name = target,
                None => return Some(self.exists(&name)),
            }
        }
        Some(ResponseCode::NoError)
    }

    /// A name exists if it, or something below it, has records.
    fn exists(&self, name: &Name) -> ResponseCode {
        let there = self.entries.keys().any(|known| name.zone_of(known));
        if there { ResponseCode::NoError } else { ResponseCode::NXDomain }
    }
}

fn fqdn(name: &str) -> Name {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).unwrap()
}

fn entry(kind: &str, value: &str) -> Entry {
    Entry::Data(match kind {
        "A" => RData::A(A(value.parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(value.parse().unwrap())),
        "CNAME" => RData::CNAME(CNAME(fqdn(value))),
        "PTR" => RData::PTR(PTR(fqdn(value))),
        "MX" => {
            let (preference, host) = value.split_once(' ').unwrap();
            RData::MX(MX::new(preference.parse().unwrap(), fqdn(host)))
        }
        "TLSA" => {
            let usage = if value == "PKIX" { CertUsage::PkixEe } else { CertUsage::DaneEe };
            RData::TLSA(TLSA::new(usage, Selector::Spki, Matching::Sha256, vec![7; 32]))
        }
        "TXT" => RData::TXT(TXT::from_bytes(value.as_bytes().chunks(255).collect())),
        "SERVFAIL" if value == "AAAA" => return Entry::ServFailOfSix,
        "SERVFAIL" => return Entry::ServFail,
        "SILENT" => return Entry::Silent,
        _ => panic!("the test server has no records of type {kind}"),
    })
}
