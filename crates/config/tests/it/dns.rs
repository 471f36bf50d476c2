//! `[dns]`, and what the doctor is asked about a sender domain.

use std::net::IpAddr;
use std::time::Duration;

use dkim::{Algorithm, Key, generate, write_new};
use doctor::{DomainName, OwnSelector, Signature, Way};
use m365::Cloud;

use crate::{TEN_LINES, directory, parse};

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

#[test]
fn without_a_table_the_systems_resolvers_are_asked_and_senders_are_looked_at() {
    let config = parse(TEN_LINES, directory().path()).unwrap();
    assert_eq!((config.dns.resolver, config.dns.warn), (doctor::DnsSettings::default(), true));
    assert!(config.dns.addresses.is_empty());
}

#[test]
fn every_key_of_the_table_arrives() {
    let table = "[dns]\nservers = [\"192.0.2.53:53\", \"[2001:db8::53]:5353\"]\ntimeout = \"2s\"\n\
                 addresses = [\"203.0.113.10\", \"2001:db8::10\"]\nwarn = false\n";
    let config = parse(&format!("{TEN_LINES}{table}"), directory().path()).unwrap();
    let servers = ["192.0.2.53:53", "[2001:db8::53]:5353"].map(|server| server.parse().unwrap()).to_vec();
    assert_eq!(config.dns.resolver, doctor::DnsSettings { servers, timeout: Duration::from_secs(2) });
    let addresses: [IpAddr; 2] = ["203.0.113.10", "2001:db8::10"].map(|address| address.parse().unwrap());
    assert_eq!(config.dns.addresses, addresses);
    assert!(!config.dns.warn);
    assert_eq!(config.warnings, []);
}

#[test]
fn addresses_that_receivers_never_see_are_warned_of_and_twins_are_errors() {
    let dir = directory();
    let config = parse(
        &format!(
            "{TEN_LINES}[dns]\naddresses = [\"10.0.0.1\", \"203.0.113.1\", \"fd00::1\", \"100.64.0.1\", \"100.128.0.1\"]\n"
        ),
        dir.path(),
    );
    let warnings: Vec<_> = config.unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("receivers never see 10.0.0.1")), "{warnings:?}");
    let table = "[dns]\nservers = [\"192.0.2.53:53\", \"192.0.2.53:53\", \"192.0.2.54\"]\n";
    let errors = parse(&format!("{TEN_LINES}{table}"), dir.path()).unwrap_err().to_string();
    assert!(errors.contains("the resolver 192.0.2.53:53 is named twice"), "{errors}");
    assert!(errors.contains("is not an IP address with a port: \"192.0.2.54\""), "{errors}");
}

#[test]
fn a_question_knows_cloud_initial_domain_ways_and_addresses() {
    let text = TEN_LINES.replace(
        "domains = [\"contoso.com\"]",
        "cloud = \"gcc-high\"\ndomains = [\"contoso.com\"]\ninternal_domains = [\"contoso.mail.onmicrosoft.us\", \"contoso.onmicrosoft.us\"]",
    );
    let text = text
        .replace("relay@contoso.com\" }]", "relay@contoso.com\" }, { kind = \"smarthost\", address = \"h.example\" }]");
    let config = parse(&format!("{text}[dns]\naddresses = [\"203.0.113.10\"]\n"), directory().path()).unwrap();
    let question = config.question(name("contoso.com"));
    assert_eq!((question.cloud, question.hello.as_str()), (Cloud::GccHigh, "relay.contoso.com"));
    assert_eq!(question.tenant_initial_domain, Some(name("contoso.onmicrosoft.us")));
    assert_eq!(question.ways, [Way::ExchangeOnline(Cloud::GccHigh), Way::Direct { address: None, signs: Vec::new() }]);
    assert_eq!(question.addresses, ["203.0.113.10".parse::<IpAddr>().unwrap()]);
    let unknown = config.question(name("fabrikam.com"));
    assert_eq!((unknown.cloud, unknown.ways, unknown.tenant_initial_domain), (Cloud::GccHigh, Vec::new(), None));
}

#[test]
fn a_smart_hosts_way_knows_the_keys_that_sign_and_exchange_onlines_does_not() {
    let dir = directory();
    for file in ["a.pem", "next.pem", "shop.pem"] {
        write_new(&dir.path().join(file), &generate(Algorithm::RsaSha256, 2048).unwrap()).unwrap();
    }
    let entry = |domain: &str, selector: &str, more: &str| {
        format!("[[dkim]]\ndomain = \"{domain}\"\nselector = \"{selector}\"\nkey = \"{selector}.pem\"\n{more}\n")
    };
    let text = TEN_LINES
        .replace("domains = [\"contoso.com\"]", "domains = [\"contoso.com\", \"x.contoso.com\", \"shop.contoso.com\"]")
        .replace("relay@contoso.com\" }]", "relay@contoso.com\" }, { kind = \"smarthost\", address = \"h.example\" }]")
        + &entry("contoso.com", "a", "")
        + &entry("contoso.com", "next", "sign = false")
        + &entry("shop.contoso.com", "shop", "");
    let config = parse(&text, dir.path()).unwrap();
    let signature = |at: usize| {
        let (key, _) = Key::read(&config.dkim[at]).unwrap();
        let selector = OwnSelector { selector: key.selector().to_string(), value: Some(key.record().value) };
        Signature { domain: name(key.domain().as_str()), selector }
    };
    for (domain, signer) in [("contoso.com", 0), ("x.contoso.com", 0), ("shop.contoso.com", 2)] {
        let direct = Way::Direct { address: None, signs: vec![signature(signer)] };
        let expected = [Way::ExchangeOnline(Cloud::Worldwide), direct];
        assert_eq!(config.question(name(domain)).ways, expected, "{domain}");
    }
}
