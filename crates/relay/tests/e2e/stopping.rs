//! A graceful stop: what is under way may finish, the rest waits.

use crate::harness::sink::{Sink, dead_address};
use crate::harness::smtp::{Session, accepted};
use crate::harness::{Relay, smart_host};

#[test]
fn an_idle_session_gets_421_and_the_relay_ends_with_success() {
    let (_directory, config) = smart_host(dead_address(), "");
    let relay = Relay::start(&config);
    let mut idle = Session::open(relay.address(0));
    relay.signal("TERM");
    assert!(idle.reply().unwrap().starts_with("421 4.3.2 "));
    assert!(relay.stop().success());
}

#[test]
fn a_session_inside_a_message_may_finish_it() {
    let (_directory, config) = smart_host(dead_address(), "");
    let relay = Relay::start(&config);
    let mut session = Session::open(relay.address(0));
    for command in ["MAIL FROM:<a@contoso.test>", "RCPT TO:<b@example.test>", "DATA"] {
        assert!(session.say(command).starts_with(['2', '3']));
    }
    session.send(b"Subject: last\r\n\r\n").unwrap();
    relay.signal("TERM");
    relay.log.wait_for("the stop has begun", |line| {
        line["message"].as_str().filter(|message| message.starts_with("stopping")).map(drop)
    });
    let reply = session.say("body\r\n.");
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(relay.stop().success());
    let sink = Sink::start();
    let text = std::fs::read_to_string(&config).unwrap();
    let old =
        text.lines().find(|line| line.trim().starts_with("address = \"127.0.0.1:") && !line.contains(":0\"")).unwrap();
    std::fs::write(&config, text.replace(old.trim(), &format!("address = \"{}\"", sink.address))).unwrap();
    let _relay = Relay::start(&config);
    assert_eq!(sink.wait_for(1)[0].subject(), "last");
}

#[test]
fn queued_mail_survives_a_stop_and_a_kill() {
    let next_hop = dead_address();
    let (_directory, config) = smart_host(next_hop, "");
    let relay = Relay::start(&config);
    accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "first");
    assert!(relay.stop().success());
    let relay = Relay::start(&config);
    accepted(relay.address(0), "a@contoso.test", &["b@example.test"], "second");
    relay.kill();
    let sink = Sink::at(next_hop);
    let relay = Relay::start(&config);
    let mut subjects: Vec<_> = sink.wait_for(2).iter().map(|taken| taken.subject().to_owned()).collect();
    subjects.sort();
    assert_eq!(subjects, ["first", "second"]);
    assert_eq!(relay.drained()["conserved"], true);
}
