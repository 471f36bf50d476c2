//! Answers, and that trouble is none.

use std::time::Duration;

use posthouse_doctor::{Answer, Dns, DnsSettings};

use crate::server::Server;
use crate::world::{dns, name};

const ZONE: &str = "
a.test TXT one
a.test TXT two
empty.a.test A 192.0.2.1
broken.test SERVFAIL
silent.test SILENT
alias.test CNAME a.test
loop.test CNAME pool.test
pool.test CNAME loop.test
dangling.test CNAME nobody.test
host.test A 192.0.2.2
host.test AAAA 2001:db8::2
2.2.0.192.in-addr.arpa PTR host.test
";

#[tokio::test]
async fn records_absence_and_trouble_are_three_things() {
    let dns = dns(&Server::start(ZONE).await);
    for (domain, expected) in [
        ("a.test", Answer::Found(vec!["one".to_owned(), "two".to_owned()])),
        ("A.Test.", Answer::Found(vec!["one".to_owned(), "two".to_owned()])),
        ("alias.test", Answer::Found(vec!["one".to_owned(), "two".to_owned()])),
        ("empty.a.test", Answer::NoData),
        ("nobody.test", Answer::NoName),
        ("dangling.test", Answer::NoName),
    ] {
        assert_eq!(dns.text(&name(domain)).await, expected, "{domain}");
    }
    for domain in ["broken.test", "loop.test"] {
        let answer = dns.text(&name(domain)).await;
        assert!(matches!(answer, Answer::Trouble(_)), "{domain}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_trouble_and_ends_in_time() {
    let server = Server::start(ZONE).await;
    let timeout = Duration::from_secs(5);
    let dns = Dns::new(&DnsSettings { servers: vec![server.address], timeout }).unwrap();
    let started = tokio::time::Instant::now();
    let answer = dns.text(&name("silent.test")).await;
    assert!(matches!(answer, Answer::Trouble(_)), "{answer:?}");
    assert!(started.elapsed() <= timeout + Duration::from_millis(100), "{:?}", started.elapsed());
}

#[tokio::test]
async fn addresses_and_names_are_found_both_ways() {
    let dns = dns(&Server::start(ZONE).await);
    let addresses = ["192.0.2.2", "2001:db8::2"].map(|address| address.parse().unwrap());
    assert_eq!(dns.addresses(&name("host.test")).await, Answer::Found(addresses.to_vec()));
    assert_eq!(dns.reverse(addresses[0]).await, Answer::Found(vec![name("host.test")]));
    assert_eq!(dns.reverse("192.0.2.3".parse().unwrap()).await, Answer::NoName);
    assert_eq!(dns.alias(&name("alias.test")).await, Answer::Found(name("a.test")));
    assert_eq!(dns.alias(&name("host.test")).await, Answer::NoData);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_into_udp_comes_by_tcp_whole() {
    let long = "v=spf1 ".to_owned() + &"ip4:192.0.2.1 ".repeat(200) + "-all";
    let dns = dns(&Server::start(&format!("long.test TXT {long}")).await);
    assert_eq!(dns.text(&name("long.test")).await, Answer::Found(vec![long]));
}
