//! DKIM from the new key to mail that others verify: mail-auth, and dkimpy where Python has it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sandbox::Settings;

use crate::harness::dns::DnsServer;
use crate::harness::sink::{Sink, Taken};
use crate::harness::smtp::{Session, accepted};
use crate::harness::{NO_DNS, Relay, command, smart_host};
use crate::refusals::Simulated;
use crate::{dkimpy, judge};

/// What `posthouse dkim new` says, to be pasted.
pub(crate) struct NewKey {
    /// Name and value of the TXT record.
    pub(crate) record: (String, String),
    /// Of the configuration, with `sign = false`.
    pub(crate) entry: String,
}

/// A relay before a smart host that takes everything, with keys.
struct Site {
    directory: tempfile::TempDir,
    config: PathBuf,
    sink: Sink,
    /// The sizes that MAIL named.
    sizes: Arc<Mutex<Vec<usize>>>,
}

impl NewKey {
    pub(crate) fn make(config: &std::path::Path, arguments: &[&str]) -> Self {
        let made = command(&[&["dkim", "new"], arguments, &["--config", config.to_str().unwrap()]].concat());
        assert!(made.status.success(), "{made:?}");
        let text = String::from_utf8(made.stdout).unwrap();
        let after = |head: &str| {
            let at = text.split("\n\n").skip_while(|part| !part.starts_with(head)).nth(1);
            at.unwrap_or_else(|| panic!("{head} is not in\n{text}")).to_owned()
        };
        let record = after("1. Publish this TXT record");
        let (name, value) = record.split_once('\n').unwrap();
        let entry = format!("\n{}\n", after("2. Add this to the configuration"));
        assert!(entry.ends_with("sign = false\n"), "{entry}");
        Self { record: (name.to_owned(), value.to_owned()), entry }
    }

    /// As it is once the record is published.
    pub(crate) fn signing(&self) -> String {
        self.entry.replace("sign = false\n", "")
    }

    /// For a zone of the test server.
    pub(crate) fn zone(&self) -> String {
        format!("{} TXT {}\n", self.record.0, self.record.1)
    }
}

impl Site {
    /// `more`: the end of the configuration, within the path.
    fn new(more: &str) -> Self {
        let sizes: Arc<Mutex<Vec<usize>>> = Arc::default();
        let said = Arc::clone(&sizes);
        let sink = Sink::scripted(move |line| {
            let size = line.strip_prefix("MAIL ").and_then(|mail| mail.split(" SIZE=").nth(1));
            said.lock().unwrap().extend(size.map(|size| size.split(' ').next().unwrap().parse::<usize>().unwrap()));
            None
        });
        let (directory, config) = smart_host(sink.address, more);
        Self { directory, config, sink, sizes }
    }

    /// An RSA and an Ed25519 key that sign.
    fn with_keys(more: &str) -> (Self, [NewKey; 2]) {
        let site = Self::new(more);
        let keys = ["rsa", "ed25519"].map(|kind| site.key(&["--selector", kind, "--algorithm", kind]));
        keys.iter().for_each(|key| site.append(&key.signing()));
        (site, keys)
    }

    fn key(&self, arguments: &[&str]) -> NewKey {
        let keys = self.directory.path().join("keys");
        std::fs::create_dir_all(&keys).unwrap();
        NewKey::make(&self.config, &[&["contoso.test", "--out", keys.to_str().unwrap()], arguments].concat())
    }

    fn append(&self, text: &str) {
        self.replace("", "", text);
    }

    fn replace(&self, from: &str, to: &str, more: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        let text = if from.is_empty() { text } else { text.replacen(from, to, 1) };
        std::fs::write(&self.config, text + more).unwrap();
    }

    /// The nth message at the next hop, of which MAIL gave the size in octets.
    fn taken(&self, nth: usize) -> Taken {
        let taken = self.sink.wait_for(nth + 1).remove(nth);
        assert_eq!(self.sizes.lock().unwrap()[nth], taken.content.len(), "SIZE of {}", taken.subject());
        taken
    }
}

fn records(keys: &[NewKey]) -> Vec<(String, String)> {
    keys.iter().map(|key| key.record.clone()).collect()
}

/// Signatures of exactly these keys, all good to both judges.
fn verify(message: &Taken, keys: &[NewKey]) {
    let selectors = keys.iter().map(|key| key.record.0.split('.').next().unwrap());
    let expected: Vec<_> = selectors.map(|selector| format!("{selector} pass")).collect();
    let content = message.content.as_bytes();
    assert_eq!(judge::verdicts(content, &records(keys)), expected, "{}", message.subject());
    if dkimpy::installed() {
        assert_eq!(dkimpy::verdicts(content, &records(keys)), vec!["pass"; keys.len()], "{}", message.subject());
    }
}

fn mail(relay: &Relay, content: &str) {
    let reply = Session::open(relay.address(0)).mail("anna@contoso.test", &["bert@example.test"], content);
    assert!(reply.starts_with("250 "), "{reply}");
}

#[test]
fn what_both_keys_sign_verifies_in_every_shape() {
    let (site, keys) = Site::with_keys("");
    let relay = Relay::start(&site.config);
    let head = "From: Anna <anna@contoso.test>\r\nTo: bert@example.test\r\nSubject:";
    let long = "x".repeat(2_000);
    let lines = format!("{}\r\n", "0123456789 abcdef \t".repeat(4)).repeat(270_000);
    let messages = [
        format!("{head} plain\r\n\r\nGuten Tag,\r\n.\tdot  and blanks \t\r\n\r\n\r\n"),
        format!("{head} empty\r\n\r\n"),
        format!("{head} bare line feeds\r\n\r\none\ntwo\nthree\r\n{long}\r\nend"),
        format!(
            "{head} umlauts\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e\n{long}\u{e4}\r\n"
        ),
        "Subject: no author, no date\r\n\r\nx".to_owned(),
        format!("{head} folded\r\n  over\r\n\tlines\r\nReferences: <1@x>\r\n <2@x>\r\n\r\nx"),
        format!("{head} large\r\n\r\n{lines}"),
    ];
    for (nth, message) in messages.iter().enumerate() {
        mail(&relay, message);
        verify(&site.taken(nth), &keys);
    }
    let [.., bare, _, _, _, large] = &site.sink.taken()[..] else { panic!() };
    assert!(bare.content.to_ascii_lowercase().contains("quoted-printable"), "it was encoded anew: {}", bare.content);
    assert!(large.content.len() > 20_000_000);
    let tampered = Taken { content: bare.content.replacen("three", "four", 1), ..bare.clone() };
    let verdicts = judge::verdicts(tampered.content.as_bytes(), &records(&keys));
    assert!(verdicts.iter().all(|verdict| !verdict.ends_with("pass")), "{verdicts:?}");
}

#[test]
fn a_body_without_a_last_line_end_is_signed_with_one() {
    let (site, keys) = Site::with_keys("");
    let relay = Relay::start(&site.config);
    let mut session = Session::open(relay.address(0));
    for command in ["MAIL FROM:<anna@contoso.test>", "RCPT TO:<bert@example.test>"] {
        assert!(session.say(command).starts_with("250 "));
    }
    let content = "From: <anna@contoso.test>\r\nSubject: cut\r\n\r\nno line end";
    session.send(format!("BDAT {} LAST\r\n{content}", content.len()).as_bytes()).unwrap();
    assert!(session.reply().unwrap().starts_with("250 "));
    let taken = site.sink.wait_for(1).remove(0);
    // MAIL names the octets of the message; its last line end is only added for the final dot.
    assert_eq!(*site.sizes.lock().unwrap(), [taken.content.len() - 2]);
    assert!(taken.content.ends_with("\r\n\r\nno line end\r\n"), "{}", taken.content);
    verify(&taken, &keys);
}

#[test]
fn an_author_that_was_rewritten_is_signed_for_as_the_new_one() {
    let (site, keys) = Site::with_keys("");
    let rewriting = "senders = [\"*\"]\ntenant = \"contoso\"\nrewrite = \"always\"\nrewrite_to = \"scan@contoso.test\"";
    site.replace("senders = [\"*@contoso.test\"]", rewriting, "");
    let relay = Relay::start(&site.config);
    let content = "From: \"Printer 3\" <scan@printer-3.local>\r\nSubject: Scan\r\n\r\nSee the attachment.";
    let reply = Session::open(relay.address(0)).mail("scan@printer-3.local", &["bert@example.test"], content);
    assert!(reply.starts_with("250 "), "{reply}");
    let taken = site.taken(0);
    assert_eq!(taken.from, "scan@contoso.test");
    assert!(taken.content.contains("<scan@contoso.test>"), "{}", taken.content);
    verify(&taken, &keys);
}

#[test]
fn an_author_in_unicode_is_signed_for_by_the_key_of_the_a_labels() {
    let site = Site::new("");
    let key = NewKey::make(&site.config, &["xn--mnchen-3ya.test", "--selector", "rsa"]);
    site.replace("domains = [\"contoso.test\"]", "domains = [\"contoso.test\", \"m\u{fc}nchen.test\"]", &key.signing());
    site.replace("senders = [\"*@contoso.test\"]", "senders = [\"*\"]\ntenant = \"contoso\"", "");
    let relay = Relay::start(&site.config);
    let mut session = Session::open(relay.address(0));
    for command in ["MAIL FROM:<anna@m\u{fc}nchen.test> SMTPUTF8", "RCPT TO:<bert@example.test>", "DATA"] {
        assert!(session.say(command).starts_with(['2', '3']), "{command}");
    }
    let reply = session.say("From: <anna@m\u{fc}nchen.test>\r\nSubject: labels\r\n\r\nx\r\n.");
    assert!(reply.starts_with("250 "), "{reply}");
    let taken = site.taken(0);
    assert!(taken.content.contains("d=xn--mnchen-3ya.test;"), "{}", taken.content);
    verify(&taken, &[key]);
}

#[test]
fn two_transactions_of_a_message_carry_the_same_signature() {
    let (site, keys) = Site::with_keys("recipients_per_message = 1\n");
    let relay = Relay::start(&site.config);
    accepted(relay.address(0), "anna@contoso.test", &["one@example.test", "two@example.test"], "twice");
    let [one, two] = [site.taken(0), site.taken(1)];
    assert_ne!(one.to, two.to);
    assert_eq!(one.content, two.content);
    verify(&one, &keys);
}

#[test]
fn a_key_is_replaced_without_a_gap() {
    let site = Site::new("");
    let old = site.key(&["--selector", "old"]);
    site.append(&old.signing());
    let new = site.key(&["--selector", "new"]);
    site.append(&new.entry);
    let relay = Relay::start(&site.config);
    accepted(relay.address(0), "anna@contoso.test", &["bert@example.test"], "before");
    verify(&site.taken(0), std::slice::from_ref(&old));

    let check = |zone: &str| {
        let server = DnsServer::start(zone);
        let before = std::fs::read_to_string(&site.config).unwrap();
        site.replace(NO_DNS, "", &server.table());
        let told = command(&["dkim", "check", "--config", site.config.to_str().unwrap()]);
        std::fs::write(&site.config, before).unwrap();
        (told.status.success(), String::from_utf8(told.stdout).unwrap())
    };
    let (good, told) = check(&old.zone());
    assert!(
        !good && told.contains("contoso.test old:\n  good:") && told.contains("contoso.test new:\n  bad:"),
        "{told}"
    );
    assert!(told.contains(&new.record.1), "the record to publish is in it: {told}");
    let (good, told) = check(&format!("{} TXT {}\n{}", new.record.0, old.record.1, old.zone()));
    assert!(!good && told.contains("contoso.test new:\n  bad:"), "another key's record: {told}");
    let (good, told) = check(&(old.zone() + &new.zone()));
    assert!(good && told.matches("  good:").count() == 2 && told.contains("it does not sign"), "{told}");

    relay.stop();
    site.replace(&old.signing(), &old.entry, "");
    site.replace(&new.entry, &new.signing(), "");
    let relay = Relay::start(&site.config);
    accepted(relay.address(0), "anna@contoso.test", &["bert@example.test"], "after");
    verify(&site.taken(1), &[new]);
}

#[test]
fn a_replaced_key_file_is_taken_up_while_the_relay_runs() {
    let site = Site::new("");
    let [first, second] = ["first", "second"].map(|selector| site.key(&["--selector", selector]));
    site.append(&first.signing());
    let relay = Relay::start(&site.config);
    let file = |selector: &str| site.directory.path().join(format!("keys/{selector}.contoso.test.pem"));
    std::fs::rename(file("second"), file("first")).unwrap();
    relay.log.wait_for("the key was replaced", |line| (line["message"] == "DKIM key replaced").then_some(()));
    accepted(relay.address(0), "anna@contoso.test", &["bert@example.test"], "replaced");
    // The selector stays.
    let now = NewKey { record: (first.record.0.clone(), second.record.1), entry: String::new() };
    let taken = site.taken(0);
    verify(&taken, &[now]);
    assert_ne!(judge::verdicts(taken.content.as_bytes(), &[first.record]), ["first pass"]);
}

#[test]
fn a_sealed_message_verifies_whoever_its_author_is() {
    let (site, keys) = Site::with_keys("");
    site.replace(&keys[0].signing(), &format!("{}seal = true\n", keys[0].signing()), "");
    site.replace("senders = [\"*@contoso.test\"]", "senders = [\"*\"]\ntenant = \"contoso\"", "");
    let relay = Relay::start(&site.config);
    for (nth, (from, signatures)) in [("anna@contoso.test", 2), ("guest@elsewhere.test", 0)].into_iter().enumerate() {
        accepted(relay.address(0), from, &["bert@example.test"], from);
        let taken = site.taken(nth);
        let content = taken.content.as_bytes();
        assert_eq!(judge::chain_verdict(content, &records(&keys)), "pass 1", "{}", taken.content);
        assert_eq!(judge::verdicts(content, &records(&keys)).len(), signatures);
        if dkimpy::installed() {
            let mut expected = vec!["pass"; signatures];
            expected.push("arc pass success");
            assert_eq!(dkimpy::verdicts(content, &records(&keys)), expected, "{}", taken.content);
        }
    }
}

#[test]
fn exchange_online_signs_what_goes_by_submission_and_the_relay_does_not() {
    let simulated = Simulated::start_with(Settings::default(), "");
    let key = NewKey::make(&simulated.config, &["contoso.test", "--selector", "rsa"]);
    let text = std::fs::read_to_string(&simulated.config).unwrap();
    std::fs::write(&simulated.config, text + &key.signing()).unwrap();
    let relay = Relay::start(&simulated.config);
    relay
        .log
        .wait_for("the key was read", |line| (line["message"] == "DKIM key" && line["sign"] == true).then_some(()));
    accepted(relay.address(0), "anna@contoso.test", &["bert@example.test"], "by submission");
    simulated.arrived(1);
    let raw = simulated.sandbox.messages()[0].raw().unwrap();
    let text = String::from_utf8_lossy(&raw);
    assert!(text.contains("Subject: by submission") && !text.contains("DKIM-Signature:"), "{text}");
    relay.kill();
    simulated.stop();
}
