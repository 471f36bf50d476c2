//! What a trial says of a message is what a session says to it, word for word.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use inbound::{ClientEntry, PlusAddresses, Question, Settings, TlsMode, TrialStep, Verdict, trial};
use message::{ScanLimits, Scanner};

use crate::client::Client;
use crate::relay::{Relay, entry, listener, printers, routes, settings, shake_hands, user};

/// A message and the session that brings it.
#[derive(Clone, Debug)]
struct Case {
    listener: &'static str,
    tls: bool,
    user: Option<&'static str>,
    helo: &'static str,
    from: &'static str,
    to: Vec<&'static str>,
    size: Option<u64>,
    content: &'static str,
}

const USUAL: &str = "From: printer@contoso.com\r\n\r\n";

/// The usual message, from whom nothing is unusual.
fn usual() -> Case {
    Case {
        listener: "smtp",
        tls: false,
        user: None,
        helo: "printer.contoso.com",
        from: "<printer@contoso.com>",
        to: vec!["<boss@contoso.com>"],
        size: Some(100),
        content: USUAL,
    }
}

fn with_entries(dir: &std::path::Path) -> Settings {
    let mut settings = settings(dir);
    settings.listeners.push(listener("plain", TlsMode::None));
    settings.listeners[3].auth_without_tls = true;
    settings.limits.message_size = 100_000;
    settings.limits.recipients = 3;
    settings.limits.errors = 4;
    settings.limits.hops = 2;
    let narrow = ClientEntry {
        helo: vec!["*.narrow.example".parse().unwrap()],
        require_tls: true,
        size: Some(1000),
        recipients_per_message: Some(1),
        internal_only: Some(vec!["contoso.com".into()]),
        plus_addresses: PlusAddresses::Strip,
        archive: Some("journal@contoso.com".parse().unwrap()),
        ..ClientEntry { name: "narrow".into(), ..printers() }
    };
    let erp = ClientEntry {
        users: vec![user("erp", "s3cret")],
        senders: vec!["printer@contoso.com".parse().unwrap()],
        recipients_per_day: Some(2),
        ..entry("erp")
    };
    let mut both = ClientEntry { users: vec![user("both", "s3cret")], ..printers() };
    both.name = "both".into();
    both.networks = vec!["10.0.0.0/8".parse().unwrap()];
    both.condition = Some("network and user".parse().unwrap());
    settings.clients = vec![narrow, erp, both];
    let mut office = ClientEntry { listeners: vec!["smtp".into(), "required".into(), "plain".into()], ..printers() };
    office.recipient_map.add("old@contoso.com", "boss@contoso.com").unwrap();
    settings.clients.push(office);
    settings
}

/// The replies that count: the first refusal; else those to each RCPT, and the last.
async fn in_a_session(relay: &Relay, case: &Case) -> (Vec<String>, String) {
    let implicit = case.listener == "submissions";
    let mut client = match implicit {
        true => {
            Client::new(shake_hands(Box::new(relay.connect(case.listener).await), &[&rustls::version::TLS13]).await)
        }
        false => relay.client(case.listener).await,
    };
    assert!(client.reply().await.starts_with("220"));
    if case.tls && !implicit {
        client.say("EHLO first").await;
        let reply = client.say("STARTTLS").await;
        if !reply.starts_with("220") {
            return (Vec::new(), reply);
        }
        client = Client::new(shake_hands(client.into_stream(), &[&rustls::version::TLS13]).await);
    }
    let mut lines = vec![format!("EHLO {}", case.helo)];
    lines.extend(case.user.map(|name| format!("AUTH PLAIN {}", BASE64_STANDARD.encode(format!("\0{name}\0s3cret")))));
    let size = case.size.map(|size| format!(" SIZE={size}")).unwrap_or_default();
    lines.push(format!("MAIL FROM:{}{size}", case.from));
    for line in lines {
        let reply = client.say(&line).await;
        if !reply.starts_with('2') {
            return (Vec::new(), reply);
        }
    }
    let mut replies = Vec::new();
    for to in &case.to {
        let reply = client.say(&format!("RCPT TO:{to}")).await;
        replies.push(reply.clone());
        if reply.starts_with("421") {
            return (replies, reply);
        }
    }
    if replies.iter().all(|reply| !reply.starts_with('2')) {
        let first = replies[0].clone();
        return (replies, first);
    }
    client.script(&[("DATA", "354")]).await;
    let last = client.say(&format!("{}.", case.content)).await;
    (replies, last)
}

fn in_a_trial(settings: &Settings, case: &Case) -> (Vec<String>, String) {
    let mut scanner = Scanner::new(ScanLimits::default(), &settings.hostname);
    scanner.push(case.content.as_bytes()).unwrap();
    let question = Question {
        peer: "127.0.0.1".parse().unwrap(),
        listener: Some(case.listener.to_owned()),
        user: case.user.map(str::to_owned),
        certificate: None,
        helo: case.helo.to_owned(),
        tls: case.tls,
        reverse_path: case.from.parse().unwrap(),
        forward_paths: case.to.iter().map(|to| to.parse().unwrap()).collect(),
        size: case.size,
        header: Some(scanner.finish().0),
    };
    let trial = trial(settings, &routes(), &question);
    let reply = |step: &TrialStep| match &step.verdict {
        Verdict::Passed => "250 2.1.5 Recipient OK".to_owned(),
        Verdict::Refused(reply) => reply.to_string(),
    };
    let replies = trial.steps.iter().filter(|step| step.subject == "recipient").map(reply).collect();
    (replies, trial.reply.to_string())
}

/// A reply of several lines, as an operator reads it.
fn on_one_line(reply: &str) -> String {
    let mut lines = reply.lines();
    let first = lines.next().unwrap_or_default().replacen('-', " ", usize::from(reply.contains('\n')));
    lines.fold(first, |text, line| format!("{text} {}", line.get(10..).unwrap_or_default()))
}

#[tokio::test]
async fn a_trial_says_what_a_session_says() {
    let mut cases = Vec::new();
    for listener in ["smtp", "required", "plain", "submissions"] {
        for tls in [false, true] {
            for user in [None, Some("erp"), Some("both"), Some("nobody")] {
                let implicit = listener == "submissions";
                cases.push(Case { listener, tls: tls || implicit, user, ..usual() });
                cases.push(Case { listener, tls: tls || implicit, user, helo: "a.narrow.example", ..usual() });
            }
        }
    }
    let erp = || Case { tls: true, user: Some("erp"), ..usual() };
    let narrow = || Case { tls: true, helo: "A.narrow.example", ..usual() };
    for from in [
        "<>",
        "<PRINTER@contoso.com>",
        "<\"printer\"@contoso.com>",
        "<boss@fabrikam.com>",
        "<@a,@b:printer@contoso.com>",
    ] {
        cases.extend([usual(), erp(), narrow()].map(|case| Case { from, ..case }));
    }
    for to in [
        vec!["<boss@contoso.com>", "<BOSS@contoso.com>", "<boss@CONTOSO.com>", "<a@contoso.com>"],
        vec!["<a@b.example>", "<b@b.example>", "<c@b.example>", "<d@b.example>", "<e@b.example>", "<f@b.example>"],
        vec!["<a+1@contoso.com>", "<a+2@contoso.com>", "<postmaster>"],
        vec!["<a@b.example>", "<a@contoso.com>"],
        vec!["<old@contoso.com>", "<boss@contoso.com>", "<\"a b\"@contoso.com>"],
        vec![
            "<a@[127.0.0.1]>",
            "<a@contoso.com.b.example>",
            "<\"x@contoso.com\"@b.example>",
            "<x%b.example@contoso.com>",
        ],
    ] {
        cases.extend([usual(), erp(), narrow()].map(|case| Case { to: to.clone(), ..case }));
    }
    for size in [None, Some(1000), Some(1001), Some(100_000), Some(100_001), Some(u64::MAX)] {
        cases.extend([usual(), erp(), narrow()].map(|case| Case { size, ..case }));
    }
    for content in [
        "From: boss@contoso.com\r\n\r\n",
        "From: printer@contoso.com\r\nFrom: boss@contoso.com\r\n\r\n",
        "From: printer@contoso.com\r\nSender: boss@contoso.com\r\n\r\n",
        "From: gr\u{fc}n@b\u{fc}cher.example\r\n\r\n",
        "Received: x\r\nReceived: x\r\nReceived: x\r\n\r\n",
        "Subject: no author\r\n\r\n",
    ] {
        cases.extend([usual(), erp(), narrow()].map(|case| Case { content, ..case }));
    }
    for helo in ["", "x", "narrow.example", "b\u{fc}cher.narrow.example"] {
        cases.push(Case { helo, ..usual() });
        cases.push(Case { helo, listener: "submissions", tls: true, ..usual() });
    }
    let dir = tempfile::tempdir().unwrap();
    let settings = with_entries(dir.path());
    let mut differing = Vec::new();
    for case in cases {
        // Each its own: what one has sent, or guessed, counts for the next.
        let relay = Relay::bind(settings.clone());
        let (told, said) = (in_a_trial(&settings, &case), in_a_session(&relay, &case).await);
        let each: Vec<_> = said.0.iter().map(|reply| on_one_line(reply)).collect();
        let last = on_one_line(&said.1);
        let same = match told.1 == "250 2.0.0 OK queued" {
            true => last.starts_with("250 2.0.0 OK queued as"),
            false => told.1 == last,
        };
        if told.0 != each || !same {
            differing.push(format!("{case:?}\n  trial   {told:?}\n  session {:?}", (each, last)));
        }
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
}
