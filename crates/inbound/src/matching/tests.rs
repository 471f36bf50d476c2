//! Which entry counts, by table; and which entries could not be told apart.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::Verifier;

const PIN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";

/// An entry from a line such as `network=10.0.0.0/8 user=erp helo=*.a.example match=network and user`.
pub(crate) fn entry(line: &str) -> ClientEntry {
    let (criteria, condition) = line.split_once("match=").map_or((line, None), |(left, right)| (left, Some(right)));
    let mut entry = ClientEntry::named(line);
    for word in criteria.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap();
        match key {
            "network" => entry.networks.push(value.parse().unwrap()),
            "user" => entry.users.push(User { name: value.into(), password: Verifier::Argon2id(String::new()) }),
            "certificate" => entry.certificates.push(value.parse().unwrap()),
            "helo" => entry.helo.push(value.parse().unwrap()),
            "listener" => entry.listeners.push(value.into()),
            other => panic!("no criterion {other}"),
        }
    }
    entry.condition = condition.map(|text| text.parse().unwrap());
    entry
}

fn certificate(names: &[&str]) -> PeerCertificate {
    let CertificatePattern::Pin(fingerprint) = PIN.parse().unwrap() else { panic!("it is a pin") };
    PeerCertificate::trusted(fingerprint, names.iter().map(|name| (*name).to_owned()).collect())
}

/// Which of the entries fit a session, the most specific one first. `user`: logged in as a user of all of them.
fn order(lines: &[&str], peer: &str, user: bool, shown: Option<&PeerCertificate>, helo: &str) -> Vec<String> {
    let entries: Vec<_> = lines.iter().map(|line| entry(line)).collect();
    let with_user = entries.iter().enumerate().filter(|(_, entry)| !entry.users.is_empty()).map(|(at, _)| at);
    let user = user.then(|| crate::logins::User { name: Arc::from("erp"), entries: with_user.collect() });
    let facts = Facts {
        peer: peer.parse().unwrap(),
        listener: "office",
        helo,
        tls: true,
        user: user.as_ref(),
        certificate: shown,
    };
    let matchers: Vec<_> = entries.iter().map(Matcher::new).collect();
    let asked = matchers.iter().enumerate().map(|(at, matcher)| (matcher.specificity(at, &facts), at));
    let mut fit: Vec<_> = asked.filter(|(specificity, at)| matchers[*at].lets_in(specificity)).collect();
    fit.sort();
    fit.iter().rev().map(|(_, at)| lines[*at].to_owned()).collect()
}

#[test]
fn each_criterion_is_more_specific_than_all_after_it() {
    let pin = format!("certificate={PIN}");
    let lines = [
        "network=10.0.0.0/8 listener=office",
        "network=10.0.0.0/8 helo=*.contoso.com",
        "network=10.0.0.0/8 helo=*.a.contoso.com",
        "network=10.0.0.0/8 helo=p.a.contoso.com",
        "network=10.1.0.0/16",
        "network=10.1.2.3/32",
        "user=erp",
        "user=erp network=10.0.0.0/8",
        "certificate=*.contoso.com",
        "certificate=p.contoso.com",
        &pin,
    ];
    let shown = certificate(&["p.contoso.com"]);
    let mut expected: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    expected.reverse();
    assert_eq!(order(&lines, "10.1.2.3", true, Some(&shown), "P.A.contoso.com"), expected);
    let reversed: Vec<&str> = lines.iter().rev().copied().collect();
    assert_eq!(
        order(&reversed, "10.1.2.3", true, Some(&shown), "P.A.contoso.com"),
        expected,
        "whatever the order of the file"
    );
}

#[test]
fn what_lets_in_is_what_the_condition_says() {
    let both = "network=10.0.0.0/8 user=erp match=network and user";
    let either = "network=10.0.0.0/8 user=erp";
    let third = "network=10.0.0.0/8 user=erp certificate=*.contoso.com match=network and (user or certificate)";
    let named = "user=erp helo=*.contoso.com";
    let shown = certificate(&["p.contoso.com"]);
    //           entry   inside user certificate
    let table = [
        (both, true, false, false, false),
        (both, false, true, false, false),
        (both, true, true, false, true),
        (either, true, false, false, true),
        (either, false, true, false, true),
        (either, false, false, false, false),
        (third, true, false, false, false),
        (third, true, true, false, true),
        (third, true, false, true, true),
        (third, false, true, true, false),
        (named, false, true, false, true),
        (named, true, false, true, false),
    ];
    for (line, inside, user, with_certificate, expected) in table {
        let peer = if inside { "10.1.2.3" } else { "192.0.2.1" };
        let shown = with_certificate.then_some(&shown);
        assert_eq!(!order(&[line], peer, user, shown, "a.contoso.com").is_empty(), expected, "{line} {inside} {user}");
    }
}

#[test]
fn a_network_of_mapped_addresses_is_the_network_of_ipv4() {
    let lines = ["network=::ffff:10.1.0.0/112"];
    assert_eq!(order(&lines, "10.1.2.3", false, None, "").len(), 1);
    assert!(order(&lines, "10.2.2.3", false, None, "").is_empty());
}

#[test]
fn names_that_no_authority_vouches_for_do_not_count_but_pins_do() {
    let unknown = PeerCertificate { names: Vec::new(), distrust: Some("unknown issuer".into()), ..certificate(&[]) };
    assert!(order(&["certificate=p.contoso.com"], "192.0.2.1", false, Some(&unknown), "").is_empty());
    let pin = format!("certificate={PIN}");
    assert_eq!(order(&[&pin], "192.0.2.1", false, Some(&unknown), "").len(), 1);
}

#[test]
fn only_entries_that_a_session_could_fit_alike_tie() {
    for (one, two, tie) in [
        ("network=10.0.0.0/8", "network=10.0.0.0/8", true),
        ("network=10.0.0.0/8", "network=::ffff:10.0.0.0/104", true),
        ("network=10.0.0.0/8", "network=10.1.0.0/16", false),
        ("network=10.0.0.0/8", "network=10.0.0.0/8 network=10.1.0.0/16", true),
        ("network=10.0.0.0/8", "network=10.0.0.0/8 network=10.0.0.0/9 network=10.128.0.0/9", false),
        ("network=10.0.0.0/8", "network=192.168.0.0/16", false),
        ("network=10.0.0.0/8", "network=10.0.0.0/8 user=erp match=network and user", false),
        ("network=10.0.0.0/8", "network=10.0.0.0/8 user=erp", true),
        ("network=10.0.0.0/8 user=a match=network and user", "network=10.0.0.0/8 user=b match=network and user", false),
        ("network=10.0.0.0/8 user=a match=network and user", "network=10.0.0.0/8 user=a match=network and user", true),
        (
            "network=10.0.0.0/8 user=a match=network and user",
            "network=10.1.0.0/16 user=a match=network and user",
            false,
        ),
        ("user=a", "user=a", true),
        ("user=a", "user=b", false),
        ("user=a", "user=a network=10.0.0.0/8", true),
        ("network=10.0.0.0/8 helo=a.b", "network=10.0.0.0/8 helo=c.d", false),
        ("network=10.0.0.0/8 helo=a.b", "network=10.0.0.0/8 helo=A.B", true),
        ("network=10.0.0.0/8 helo=*.b", "network=10.0.0.0/8 helo=a.b", false),
        ("network=10.0.0.0/8 listener=x", "network=10.0.0.0/8 listener=y", false),
        ("network=10.0.0.0/8 listener=x", "network=10.0.0.0/8", false),
        ("certificate=a.b", "certificate=a.b", true),
        ("certificate=a.b", "certificate=*.b", false),
        ("certificate=a.b", "certificate=c.d", false),
    ] {
        let found = ties(&[entry(one), entry(two)]);
        assert_eq!(!found.is_empty(), tie, "{one} | {two}");
        assert_eq!(ties(&[entry(two), entry(one)]).len(), found.len(), "the order is no matter: {one} | {two}");
    }
}

/// Entries of all that a session of [`sessions`] could show.
fn any_entry(name: &'static str) -> impl Strategy<Value = ClientEntry> {
    use proptest::collection::vec;
    use proptest::sample::{select, subsequence};
    let networks =
        ["10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/17", "10.1.128.0/17", "10.1.2.3/32", "::ffff:10.1.0.0/112", "fd00::/8"];
    let networks = subsequence(networks.map(|text| text.parse::<IpNet>().unwrap()).to_vec(), 0..=3);
    let users = subsequence(vec!["erp", "crm"], 0..=2);
    let certificates = subsequence(vec!["a.b.c", "*.b.c", "*.c", PIN], 0..=2);
    let helo = subsequence(vec!["x.y.z", "*.y.z", "*.z"], 0..=2);
    let listeners = subsequence(vec!["office", "outside"], 0..=2);
    let condition = vec((select(vec!["and", "or"]), select(Criterion::ALL.to_vec())), 1..5);
    let given = (networks, users, certificates, helo, listeners);
    (given, proptest::option::of(condition)).prop_map(
        move |((networks, users, certificates, helo, listeners), words)| {
            let condition = words.map(|words| {
                let words = words.iter().map(|(word, criterion)| format!("{word} {}", criterion.word()));
                words.collect::<Vec<_>>().join(" ").split_once(' ').unwrap().1.parse().unwrap()
            });
            let user = |name: &str| User { name: name.into(), password: Verifier::Argon2id(String::new()) };
            ClientEntry {
                networks,
                users: users.into_iter().map(user).collect(),
                certificates: certificates.iter().map(|text| text.parse().unwrap()).collect(),
                helo: helo.iter().map(|text| text.parse().unwrap()).collect(),
                listeners: listeners.into_iter().map(str::to_owned).collect(),
                condition,
                ..ClientEntry::named(name)
            }
        },
    )
}

/// Calls `look` with every session that differs for entries of [`any_entry`].
fn sessions(entries: &[ClientEntry], mut look: impl FnMut(&Facts<'_>)) {
    let with = |name: &str| {
        let has = |entry: &ClientEntry| entry.users.iter().any(|user| user.name == name);
        let entries = entries.iter().enumerate().filter(|(_, entry)| has(entry)).map(|(at, _)| at);
        crate::logins::User { name: name.into(), entries: entries.collect() }
    };
    let users = [None, Some(with("erp")), Some(with("crm"))];
    let names = [&["a.b.c"][..], &["d.b.c"], &["d.c"], &[]];
    let pinned = names.iter().map(|names| Some(certificate(names)));
    let other = names
        .iter()
        .map(|names| Some(PeerCertificate { fingerprint: "FF".repeat(32).parse().unwrap(), ..certificate(names) }));
    let certificates: Vec<_> = pinned.chain(other).chain([None]).collect();
    for peer in ["10.9.9.9", "10.1.1.1", "10.1.200.1", "10.1.2.3", "fd00::1", "192.0.2.1"] {
        for (user, certificate) in users.iter().flat_map(|user| certificates.iter().map(move |shown| (user, shown))) {
            for (helo, listener) in ["x.y.z", "w.y.z", "w.z", "w"]
                .iter()
                .flat_map(|helo| ["office", "outside", "third"].iter().map(move |listener| (helo, listener)))
            {
                let (user, certificate) = (user.as_ref(), certificate.as_ref());
                look(&Facts { peer: peer.parse().unwrap(), listener, helo, tls: true, user, certificate });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn two_entries_tie_where_some_session_fits_both_alike_and_nowhere_else(
        one in any_entry("one"), two in any_entry("two")
    ) {
        let entries = [one, two];
        let matchers = [Matcher::new(&entries[0]), Matcher::new(&entries[1])];
        let mut alike = false;
        sessions(&entries, |facts| {
            let [one, two] = [matchers[0].specificity(0, facts), matchers[1].specificity(1, facts)];
            alike |= one == two && matchers[0].lets_in(&one) && matchers[1].lets_in(&two);
        });
        prop_assert_eq!(!ties(&entries).is_empty(), alike);
    }

    #[test]
    fn which_entry_counts_does_not_hang_on_their_order(
        one in any_entry("one"), two in any_entry("two"), three in any_entry("three")
    ) {
        let forth = [one, two, three];
        prop_assume!(ties(&forth).is_empty());
        let back: Vec<_> = forth.iter().rev().cloned().collect();
        let [ahead, reversed] = [&forth[..], &back].map(|entries| crate::admission::Admission::new(entries, 1));
        sessions(&forth, |facts| {
            let user = facts.user.map(|user| crate::logins::User {
                entries: user.entries.iter().map(|at| 2 - at).collect(),
                ..user.clone()
            });
            let backwards = Facts { user: user.as_ref(), ..*facts };
            let names = [ahead.entry(facts), reversed.entry(&backwards)].map(|found| found.map(|entry| entry.name.clone()).ok());
            assert_eq!(names[0], names[1], "{facts:?}");
            let fits = ahead.fits(facts).filter(|fit| fit.lets_in).count();
            assert_eq!(fits > 0, names[0].is_some(), "whoever fits is let in: {facts:?}");
        });
    }
}
