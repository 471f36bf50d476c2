//! Metrics, health, logs, the service manager: what the relay shows, and that it is true.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::sink::Sink;
use crate::harness::smtp::{Session, accepted};
use crate::harness::{PATIENCE, Relay, smart_host};

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_count_what_happened_with_units_in_their_names() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "[admin]\naddress = \"127.0.0.1:0\"");
    let relay = Relay::start(&config);
    accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "counted");
    relay.drained();
    let page = get(relay.http(), "/metrics");
    for line in [
        "posthouse_messages_accepted_total 1",
        "posthouse_queue_messages 0",
        "posthouse_conservation_gap",
        "posthouse_spool_sync_seconds_count",
        "outcome=\"handed-over\"",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[test]
fn health_and_readiness_answer() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "[admin]\naddress = \"127.0.0.1:0\"");
    let relay = Relay::start(&config);
    assert!(get(relay.http(), "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(relay.http(), "/readyz").starts_with("HTTP/1.1 200"));
    assert!(get(relay.http(), "/v1/queue").starts_with("HTTP/1.1 404"), "the API is not served over TCP");
}

#[test]
fn one_id_leads_from_the_session_to_the_outcome() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let relay = Relay::start(&config);
    let id = accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "followed");
    relay.drained();
    let about = relay.log.text().lines().filter(|line| line.contains(&id)).map(str::to_owned).collect::<Vec<_>>();
    assert!(about.len() >= 2, "{}", relay.log.text());
    assert!(about.iter().any(|line| line.contains("session")), "{about:?}");
    assert!(about.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn the_service_manager_is_told_when_mail_is_taken() {
    let sink = Sink::start();
    let (directory, config) = smart_host(sink.address, "");
    let path = directory.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let _relay = Relay::start_with(&config, |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    let mut buffer = [0; 256];
    let read = socket.recv(&mut buffer).unwrap();
    assert!(String::from_utf8_lossy(&buffer[..read]).contains("READY=1"));
}

#[test]
fn a_socket_of_the_service_manager_is_taken_over() {
    if !crate::clients::installed("python3") {
        return;
    }
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    // systemd's protocol (sd_listen_fds): the socket is descriptor 3, the variables name the process that is to take it.
    let script = "import os, socket, sys\n\
                  listener = socket.create_server(('127.0.0.1', 0))\n\
                  os.dup2(listener.fileno(), 3)\n\
                  os.set_inheritable(3, True)\n\
                  os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='given')\n\
                  print(listener.getsockname()[1], flush=True)\n\
                  os.execv(sys.argv[1], sys.argv[1:])\n";
    let text = std::fs::read_to_string(&config).unwrap().replace("[[listener]]\n", "[[listener]]\nname = \"given\"\n");
    std::fs::write(&config, text).unwrap();
    let (relay, port) = Relay::start_by("python3", &["-c", script], &config);
    assert_eq!(relay.address(0).port(), port);
    accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "through a given socket");
    sink.wait_for(1);
}

#[test]
fn a_listener_on_ipv6_takes_mail() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("SKIPPED: this machine has no IPv6");
        return;
    }
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"127.0.0.1:0\"", "\"[::1]:0\"").replace("127.0.0.0/8", "::1/128")).unwrap();
    let relay = Relay::start(&config);
    accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "over IPv6");
    assert!(sink.wait_for(1)[0].content.contains("[IPv6:::1]"), "{:?}", sink.taken());
}

/// A relay that begins with this `ulimit -n`.
fn with_descriptors(limit: &str, config: &std::path::Path) -> Relay {
    let script = format!("ulimit {limit}; echo 0; exec \"$0\" \"$@\"");
    Relay::start_by("sh", &["-c", &script], config).0
}

#[test]
fn with_few_descriptors_fewer_connections_are_taken_and_mail_still_flows() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let relay = with_descriptors("-n 200", &config);
    let mut sessions: Vec<_> = (0..100).map(|_| Session::open(relay.address(0))).collect();
    let mut told = String::new();
    let one_more = TcpStream::connect(relay.address(0)).unwrap();
    one_more.set_read_timeout(Some(PATIENCE)).unwrap();
    (&one_more).read_to_string(&mut told).unwrap();
    assert!(told.starts_with("421 4.3.2"), "{told}");
    let line = format!("{}\r\n", "x".repeat(998));
    let reply = sessions[0].mail(
        "a@contoso.test",
        &["b@example.test"],
        &format!("Subject: large\r\n\r\n{}", line.repeat(2000)),
    );
    assert!(reply.starts_with("250"), "{reply}");
    sink.wait_for(1);
}

#[test]
fn the_soft_limit_of_descriptors_is_raised() {
    let sink = Sink::start();
    let (_directory, config) = smart_host(sink.address, "");
    let relay = with_descriptors("-Sn 100", &config);
    let sessions: Vec<_> = (0..150).map(|_| Session::open(relay.address(0))).collect();
    assert_eq!(sessions.len(), 150);
}
