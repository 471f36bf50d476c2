//! RFC 5424 messages: by UDP (RFC 5426), by TCP with octet counting (RFC 6587), or to a local datagram socket. One for each
//! notice.
//!
//! What a program needs stands in the structured data, what a person reads in the message. UDP and local sockets cannot say
//! that nobody listens; TCP can, as far as the connection shows it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use telemetry::Severity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

use super::{Failure, Sender, unix};
use crate::notice::{Bulletin, Notice, State};
use crate::settings::{Facility, Server, SyslogTarget};

const LIMIT: Duration = Duration::from_secs(15);
/// How long a TCP peer may take to show that it refuses.
const LINGER: Duration = Duration::from_secs(1);
/// RFC 5426 §3.2: what receivers should take.
const LONGEST_DATAGRAM: usize = 2048;
const LONGEST_FRAME: usize = 8192;
/// The number that IANA keeps for examples: we have none of our own.
const STRUCTURED_DATA: &str = "posthouse@32473";
/// RFC 5424 §6.4: before text that is not plain ASCII.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// One server or socket.
pub(crate) struct Syslog {
    to: SyslogTarget,
    facility: Facility,
}

impl Syslog {
    pub(crate) fn new(to: SyslogTarget, facility: Facility) -> Self {
        Self { to, facility }
    }

    async fn deliver(&self, bulletin: &Bulletin) -> io::Result<()> {
        let longest = if matches!(self.to, SyslogTarget::Tcp(_)) { LONGEST_FRAME } else { LONGEST_DATAGRAM };
        let message = |notice| message(&bulletin.host, self.facility, notice, longest);
        let messages: Vec<String> = bulletin.notices.iter().map(message).collect();
        match &self.to {
            SyslogTarget::Udp(to) => send_udp(to, &messages).await,
            SyslogTarget::Tcp(to) => send_tcp(to, &messages).await,
            SyslogTarget::Local(path) => {
                for message in &messages {
                    unix::send(path, message.as_bytes()).await?;
                }
                Ok(())
            }
        }
    }

    fn place(&self) -> String {
        match &self.to {
            SyslogTarget::Udp(to) => format!("udp://{to}"),
            SyslogTarget::Tcp(to) => format!("tcp://{to}"),
            SyslogTarget::Local(path) => path.display().to_string(),
        }
    }
}

#[async_trait]
impl Sender for Syslog {
    async fn send(&self, bulletin: &Bulletin) -> Result<(), Failure> {
        let hint = "check that the syslog server listens there and no firewall is in between";
        match timeout(LIMIT, self.deliver(bulletin)).await {
            Ok(sent) => {
                sent.map_err(|error| Failure::soon(format!("cannot send to syslog at {}: {error}", self.place()), hint))
            }
            Err(_) => Err(Failure::soon(format!("syslog at {} took nothing for 15 s", self.place()), hint)),
        }
    }
}

/// A server that does not listen is not noticed, so of several addresses one must do: IPv4 first, which is served everywhere.
async fn send_udp(to: &Server, messages: &[String]) -> io::Result<()> {
    let mut addresses: Vec<SocketAddr> = lookup_host((to.host.as_str(), to.port)).await?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut sent = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for address in addresses {
        sent = send_datagrams(address, messages).await;
        if sent.is_ok() {
            break;
        }
    }
    sent
}

async fn send_datagrams(to: SocketAddr, messages: &[String]) -> io::Result<()> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    for message in messages {
        socket.send_to(message.as_bytes(), to).await?;
    }
    Ok(())
}

/// There is no answer in this protocol: a connection that is closed in order is all that can be seen.
async fn send_tcp(to: &Server, messages: &[String]) -> io::Result<()> {
    let mut stream = TcpStream::connect((to.host.as_str(), to.port)).await?;
    let frames: String = messages.iter().map(|message| format!("{} {message}", message.len())).collect();
    stream.write_all(frames.as_bytes()).await?;
    stream.shutdown().await?;
    match timeout(LINGER, stream.read(&mut [0; 64])).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// One message of at most so many octets.
fn message(host: &str, facility: Facility, notice: &Notice, longest: usize) -> String {
    let priority = code(facility) * 8 + severity(notice);
    let at = notice.at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    let (host, process) = (header(host, 255), std::process::id());
    let data = structured_data(notice);
    let text = match notice.advice() {
        Some(remedy) => format!("{} What to do: {remedy}", sentence(notice.headline())),
        None => notice.headline(),
    };
    let mark = if text.is_ascii() { "" } else { BYTE_ORDER_MARK };
    let kind = notice.kind.name();
    cut(format!("<{priority}>1 {at} {host} posthouse {process} {kind} {data} {mark}{text}"), longest)
}

fn sentence(text: String) -> String {
    if text.ends_with(['.', '!', '?', ')']) { text } else { text + "." }
}

/// RFC 5424 §6.2.1, table 1.
fn code(facility: Facility) -> u8 {
    match facility {
        Facility::User => 1,
        Facility::Mail => 2,
        Facility::Daemon => 3,
        Facility::Local(number) => 16 + number.min(7),
    }
}

/// RFC 5424 §6.2.1, table 2: critical, warning, notice.
fn severity(notice: &Notice) -> u8 {
    match (notice.state, notice.severity) {
        (State::Closed | State::Test, _) => 5,
        (State::Open | State::Flapping, Severity::Critical) => 2,
        (State::Open | State::Flapping, Severity::Warning) => 4,
    }
}

/// RFC 5424 §6.3: a field of the header is printable ASCII without spaces, or `-`.
fn header(text: &str, longest: usize) -> &str {
    let fits = !text.is_empty() && text.len() <= longest && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { text } else { "-" }
}

/// It is bounded so that it never fills the datagram: an element that is cut would not be one.
fn structured_data(notice: &Notice) -> String {
    let state = match notice.state {
        State::Open => "open",
        State::Closed => "closed",
        State::Flapping => "flapping",
        State::Test => "test",
    };
    let (since, lanes) = (notice.since.to_string(), notice.lanes.join(" "));
    let parameters = [
        ("state", state),
        ("kind", notice.kind.name()),
        ("about", &notice.about),
        ("severity", notice.severity.name()),
        ("code", notice.code.as_deref().unwrap_or_default()),
        ("since", &since),
        ("lanes", &lanes),
    ];
    let given = parameters.into_iter().filter(|(_, value)| !value.is_empty());
    let given: String = given.map(|(name, value)| format!(" {name}=\"{}\"", escaped(value, 300))).collect();
    format!("[{STRUCTURED_DATA}{given}]")
}

/// RFC 5424 §6.3.3: `"`, `\` and `]` are escaped. At most so many octets.
fn escaped(value: &str, longest: usize) -> String {
    let mut text = String::new();
    for char in value.chars() {
        let escape = if matches!(char, '"' | '\\' | ']') { "\\" } else { "" };
        if text.len() + escape.len() + char.len_utf8() > longest {
            break;
        }
        text.push_str(escape);
        text.push(char);
    }
    text
}

/// At the end of a character.
fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::notice::samples;

    fn golden(state: &str, priority: u8, at: &str, text: &str) -> String {
        format!(
            "<{priority}>1 {at} relay.contoso.com posthouse {} breaker [posthouse@32473 state=\"{state}\" kind=\"breaker\" \
             about=\"credential contoso/1111\" severity=\"critical\" code=\"AADSTS7000222\" \
             since=\"2026-11-21T01:36:00Z\" lanes=\"contoso/submission\"] {text}",
            std::process::id()
        )
    }

    fn at(address: SocketAddr) -> Server {
        Server { host: address.ip().to_string(), port: address.port() }
    }

    fn both() -> Bulletin {
        samples::bulletin(vec![samples::opened(), samples::closed()])
    }

    fn goldens() -> [String; 2] {
        let text = "the client secret has expired: mail of contoso waits";
        [
            golden(
                "open",
                18,
                "2026-11-21T01:36:00.000000Z",
                &format!("CRITICAL: {text}. What to do: make a new secret & put it into <secret>"),
            ),
            golden(
                "closed",
                21,
                "2026-11-21T03:41:30.000000Z",
                &format!("OVER after 2 h 5 min: {text} (a probe went through)"),
            ),
        ]
    }

    #[tokio::test]
    async fn by_udp_each_notice_is_a_datagram() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let syslog = Syslog::new(SyslogTarget::Udp(at(server.local_addr().unwrap())), Facility::Mail);
        syslog.send(&both()).await.unwrap();
        for expected in goldens() {
            let mut datagram = [0; 4096];
            let length = server.recv(&mut datagram).await.unwrap();
            assert_eq!(std::str::from_utf8(&datagram[..length]).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_name_is_resolved_when_something_is_sent() {
        let (datagrams, stream) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0"));
        let stream = stream.await.unwrap();
        let local = |port| Server { host: "localhost".to_owned(), port };
        let udp = SyslogTarget::Udp(local(datagrams.local_addr().unwrap().port()));
        Syslog::new(udp, Facility::Mail).send(&both()).await.unwrap();
        assert!(datagrams.recv(&mut [0; 4096]).await.unwrap() > 0);
        let tcp = Syslog::new(SyslogTarget::Tcp(local(stream.local_addr().unwrap().port())), Facility::Mail);
        let bulletin = both();
        let (sent, accepted) = tokio::join!(tcp.send(&bulletin), stream.accept());
        assert!(sent.is_ok() && accepted.is_ok());
    }

    #[test]
    fn a_server_is_written_with_brackets_where_it_needs_them() {
        let written = |host: &str| Server { host: host.to_owned(), port: 514 }.to_string();
        assert_eq!(
            ["logs.example", "192.0.2.1", "::1"].map(written),
            ["logs.example:514", "192.0.2.1:514", "[::1]:514"]
        );
    }

    #[tokio::test]
    async fn by_tcp_each_notice_is_a_counted_frame() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let syslog = Syslog::new(SyslogTarget::Tcp(at(server.local_addr().unwrap())), Facility::Mail);
        let reading = async {
            let mut text = String::new();
            server.accept().await.unwrap().0.read_to_string(&mut text).await.unwrap();
            text
        };
        let bulletin = both();
        let (sent, text) = tokio::join!(syslog.send(&bulletin), reading);
        sent.unwrap();
        let mut rest = text.as_str();
        for expected in goldens() {
            let (length, after) = rest.split_once(' ').unwrap();
            let (frame, next) = after.split_at(length.parse().unwrap());
            assert_eq!(frame, expected);
            rest = next;
        }
        assert_eq!(rest, "");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn to_a_local_socket_each_notice_is_a_datagram() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let server = tokio::net::UnixDatagram::bind(&path).unwrap();
        Syslog::new(SyslogTarget::Local(path), Facility::Mail).send(&both()).await.unwrap();
        for expected in goldens() {
            let mut datagram = [0; 4096];
            let length = server.recv(&mut datagram).await.unwrap();
            assert_eq!(std::str::from_utf8(&datagram[..length]).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let failure = Syslog::new(SyslogTarget::Tcp(at(gone)), Facility::Mail).send(&both()).await.unwrap_err();
        assert!(failure.what.starts_with(&format!("cannot send to syslog at tcp://{gone}: ")), "{failure:?}");
        #[cfg(unix)]
        {
            let local = Syslog::new(SyslogTarget::Local("/nowhere/log".into()), Facility::Mail);
            assert!(local.send(&both()).await.unwrap_err().what.contains("/nowhere/log"));
        }
    }

    #[test]
    fn values_are_escaped_and_text_beyond_ascii_has_its_mark() {
        let about = "a\"b\\c]d".to_owned();
        let notice = Notice { about, what: "größer".to_owned(), ..samples::opened() };
        let text = message("host with spaces", Facility::Local(3), &notice, LONGEST_FRAME);
        assert!(text.starts_with(&format!("<{}>1 ", 19 * 8 + 2)), "{text}");
        assert!(text.contains(" - posthouse "), "{text}");
        assert!(text.contains(r#"about="a\"b\\c\]d""#), "{text}");
        assert!(text.contains("] \u{feff}CRITICAL: größer."), "{text}");
    }

    #[test]
    fn a_message_is_never_longer_than_what_is_taken_and_its_data_is_never_cut() {
        let long = Notice {
            about: "]".repeat(300),
            what: "ü".repeat(1000),
            lanes: vec!["\"".repeat(200); 50],
            code: Some("\\".repeat(200)),
            ..samples::opened()
        };
        let text = message(&"h".repeat(255), Facility::Mail, &long, LONGEST_DATAGRAM);
        assert!(text.len() <= LONGEST_DATAGRAM, "{}", text.len());
        assert!(text.contains("\"] \u{feff}CRITICAL: ü"), "{text}");
    }

    #[test]
    fn the_priority_says_how_urgent_it_is() {
        let warning = Notice { severity: Severity::Warning, ..samples::opened() };
        let test = Notice { state: State::Test, ..samples::opened() };
        let flapping = Notice { state: State::Flapping, ..samples::opened() };
        let severities =
            [samples::opened(), warning, samples::closed(), test, flapping].map(|notice| severity(&notice));
        assert_eq!(severities, [2, 4, 5, 5, 2]);
        let facilities = [Facility::User, Facility::Mail, Facility::Daemon, Facility::Local(0), Facility::Local(9)];
        assert_eq!(facilities.map(code), [1, 2, 3, 16, 23]);
    }
}
