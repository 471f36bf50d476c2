//! `posthouse dkim`: new keys with their DNS records, the keys that are configured, and whether the DNS has their records.
//!
//! A key is replaced without a gap: the next one is made and published (`new`), looked for (`check`), then switched to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::dkim::{Algorithm, Domain, Finding, Key, KeySettings, Selector};
use anyhow::{anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use serde::Serialize;

use super::domain::printable;
use super::{ConfigFile, say, say_error, say_json};

/// DKIM keys: make one, list them, check their DNS records
#[derive(Subcommand)]
pub(super) enum Dkim {
    New(New),
    List(List),
    Check(Check),
}

impl Dkim {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::New(new) => new.run(),
            Self::List(list) => list.run(),
            Self::Check(check) => check.run().await,
        }
    }
}

/// Make a key, and say what to publish and what to write into the configuration
///
/// The private key goes into a new file that nobody else can read; nothing is ever overwritten, and nothing else is changed. To
/// replace a key make the next one in the same way: both are published for a while.
#[derive(Args)]
pub(super) struct New {
    /// The domain in the header field From of the mail that is to be signed
    #[arg(value_name = "DOMAIN")]
    domain: Domain,
    /// The name of its record; default: posthouse-, year, month and a letter that is still free
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<Selector>,
    /// Ed25519 only beside an RSA key: not every receiver verifies it
    #[arg(long, value_enum, default_value = "rsa")]
    algorithm: Kind,
    /// Of an RSA key: 2048, 3072 or 4096; default: 2048
    #[arg(long, value_name = "N")]
    bits: Option<usize>,
    /// Where the private key goes; default: the directory of the configuration file
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Rsa,
    Ed25519,
}

impl New {
    fn run(self) -> anyhow::Result<ExitCode> {
        let beside = directory_of(&self.file.config)?;
        let directory = self.out.as_ref().map_or_else(|| Ok(beside.clone()), std::path::absolute)?;
        // A file that is no good yet, or not there, names no keys that matter here.
        let configured = config::load(&self.file.config).map_or_else(|_| Vec::new(), |config| config.dkim);
        let selector = match self.selector.clone() {
            Some(selector) => selector,
            None => free_selector(&self.domain, today(), &configured, &directory)?,
        };
        let settings = KeySettings {
            file: directory.join(file_name(&selector, &self.domain)),
            domain: self.domain.clone(),
            selector,
            sign: false,
            seal: false,
        };
        let (algorithm, bits) = self.kind()?;
        dkim::write_new(&settings.file, &dkim::generate(algorithm, bits)?)?;
        let (key, _) = Key::read(&settings)?;
        say(next_steps(&key, &settings.file, &beside, replaces(&key, &configured)));
        Ok(ExitCode::SUCCESS)
    }

    fn kind(&self) -> anyhow::Result<(Algorithm, usize)> {
        match (self.algorithm, self.bits) {
            (Kind::Rsa, bits) => Ok((Algorithm::RsaSha256, bits.unwrap_or(2048))),
            (Kind::Ed25519, None) => Ok((Algorithm::Ed25519Sha256, 0)),
            (Kind::Ed25519, Some(_)) => bail!("all Ed25519 keys have the same size\n  hint: take --bits out"),
        }
    }
}

/// The keys that the configuration names
#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON for programs, with the DNS records
    #[arg(long)]
    json: bool,
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let keys = configured(config::load(&self.file.config)?.dkim)?;
        if self.json {
            say_json(&keys.iter().map(Listed::new).collect::<Vec<_>>())?;
        } else if keys.is_empty() {
            say("no keys are configured: nothing is signed\n  hint: posthouse dkim new DOMAIN");
        } else {
            keys.iter().for_each(|key| say(line(key)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Compare the DNS records of configured keys with the keys
///
/// The exit status is 0 if receivers can verify what these keys sign, 1 if not.
#[derive(Args)]
pub(super) struct Check {
    /// Only keys of this domain
    #[arg(value_name = "DOMAIN")]
    domain: Option<Domain>,
    /// Only the key with this selector
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<Selector>,
    /// Compare with this in place of what the DNS says: a record that is to be published; once for each, "" for none
    #[arg(long, value_name = "TEXT")]
    txt: Vec<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

/// Whoever knows the TXT records of a name (without its last dot): each as one text, its strings joined. None: no such name,
/// or none there; not being able to find out is an error, in words.
pub(super) trait Txt {
    async fn txt(&self, name: &str) -> Result<Vec<String>, String>;
}

/// What the command line says.
struct Given(Vec<String>);

impl Txt for Given {
    async fn txt(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(self.0.iter().filter(|text| !text.is_empty()).cloned().collect())
    }
}

impl Txt for doctor::Dns {
    async fn txt(&self, name: &str) -> Result<Vec<String>, String> {
        let name = doctor::DomainName::parse(name).map_err(|error| error.to_string())?;
        Ok(self.text(&name).await.known()?.unwrap_or_default())
    }
}

impl Check {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(&self.file.config)?;
        let keys = self.selected(configured(config.dkim)?)?;
        let checked = match (self.txt.is_empty(), keys.len()) {
            (true, _) => check(&keys, &doctor::Dns::new(&config.dns.resolver)?).await,
            (false, 1) => check(&keys, &Given(self.txt)).await,
            (false, several) => {
                bail!("--txt is the record of one key, but {several} are meant\n  hint: name it with --selector")
            }
        };
        if self.json {
            say_json(&checked)?;
        } else {
            checked.iter().for_each(|checked| say(checked.told()));
        }
        Ok(if checked.iter().all(Checked::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn selected(&self, keys: Vec<Configured>) -> anyhow::Result<Vec<Configured>> {
        let meant = |key: &Configured| {
            self.domain.as_ref().is_none_or(|domain| key.settings.domain == *domain)
                && self.selector.as_ref().is_none_or(|selector| key.settings.selector == *selector)
        };
        let keys: Vec<_> = keys.into_iter().filter(meant).collect();
        match keys.is_empty() {
            true => {
                Err(anyhow!("no such key is configured\n  hint: posthouse dkim list shows them, dkim new makes one"))
            }
            false => Ok(keys),
        }
    }
}

async fn check(keys: &[Configured], dns: &impl Txt) -> Vec<Checked> {
    let mut checked = Vec::new();
    for key in keys {
        let listed = Listed::new(key);
        let findings = match dns.txt(&listed.record.name).await {
            Ok(txt) => dkim::compare(&key.key, &txt).iter().map(|finding| Found::new(finding, key)).collect(),
            Err(trouble) => vec![Found::trouble(&listed.record.name, &trouble)],
        };
        checked.push(Checked { key: listed, findings });
    }
    checked
}

/// An entry of the configuration, and what is in its file.
struct Configured {
    settings: KeySettings,
    key: Key,
}

fn configured(keys: Vec<KeySettings>) -> anyhow::Result<Vec<Configured>> {
    let read = |settings: KeySettings| match Key::read(&settings) {
        Ok((key, warning)) => {
            for warning in warning.iter() {
                say_error(&format!("{warning}\n  hint: {}", warning.remedy()));
            }
            Ok(Configured { settings, key })
        }
        Err(error) => Err(error.into()),
    };
    keys.into_iter().map(read).collect()
}

/// A key, for programs.
#[derive(Serialize)]
struct Listed {
    domain: String,
    selector: String,
    algorithm: &'static str,
    bits: usize,
    sign: bool,
    file: PathBuf,
    record: Record,
}

/// Its TXT record.
#[derive(Serialize)]
struct Record {
    name: String,
    value: String,
}

impl Listed {
    fn new(Configured { settings, key }: &Configured) -> Self {
        let record = key.record();
        Self {
            domain: settings.domain.to_string(),
            selector: settings.selector.to_string(),
            algorithm: key.algorithm().as_str(),
            bits: key.bits(),
            sign: settings.sign,
            file: settings.file.clone(),
            record: Record { name: record.name, value: record.value },
        }
    }
}

/// A key and what was found of its record, for programs.
#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    key: Listed,
    findings: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    good: bool,
    what: String,
    remedy: Option<String>,
}

impl Found {
    fn new(finding: &Finding, Configured { settings, key }: &Configured) -> Self {
        let ready = (*finding == Finding::Matches && !settings.sign)
            .then(|| "it does not sign: take `sign = false` out, unless another key has replaced it".to_owned());
        Self { good: finding.is_good(), what: finding.to_string(), remedy: finding.remedy(key).or(ready) }
    }

    fn trouble(name: &str, trouble: &str) -> Self {
        let remedy = "try again; whether a record is published is not known".to_owned();
        Self { good: false, what: format!("cannot ask the DNS for {name}: {trouble}"), remedy: Some(remedy) }
    }
}

impl Checked {
    fn is_good(&self) -> bool {
        self.findings.iter().all(|found| found.good)
    }

    fn told(&self) -> String {
        let mut lines = vec![format!("{} {}:", self.key.domain, self.key.selector)];
        for found in &self.findings {
            lines.push(format!("  {}: {}", if found.good { "good" } else { "bad" }, printable(&found.what)));
            lines.extend(found.remedy.iter().map(|remedy| format!("    hint: {remedy}")));
        }
        lines.join("\n")
    }
}

fn line(Configured { settings, key }: &Configured) -> String {
    let signs = if settings.sign { "signs" } else { "does not sign" };
    format!(
        "{} {}: {}, {} bits, {signs}, {}",
        settings.domain,
        settings.selector,
        key.algorithm().as_str(),
        key.bits(),
        settings.file.display()
    )
}

/// `posthouse-2026-11a`, or the next letter that neither the configuration nor the directory knows for this domain.
fn free_selector(domain: &Domain, today: Date, configured: &[KeySettings], dir: &Path) -> anyhow::Result<Selector> {
    for letter in 'a'..='z' {
        let selector: Selector = format!("posthouse-{:04}-{:02}{letter}", today.year(), today.month()).parse()?;
        let known = configured.iter().any(|key| key.domain == *domain && key.selector == selector);
        if !known && !dir.join(file_name(&selector, domain)).exists() {
            return Ok(selector);
        }
    }
    bail!("all selectors of this month are taken\n  hint: name one with --selector")
}

fn file_name(selector: &Selector, domain: &Domain) -> String {
    format!("{selector}.{domain}.pem")
}

fn directory_of(config: &Path) -> anyhow::Result<PathBuf> {
    let config = std::path::absolute(config)?;
    Ok(config.parent().map(Path::to_owned).unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "a new key is named after the month in which it is made")]
fn today() -> Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Whether the domain has a key of this kind already; one of the other kind it goes beside.
fn replaces(key: &Key, configured: &[KeySettings]) -> bool {
    let mut others = configured.iter().filter(|other| other.domain == *key.domain());
    others.any(|other| Key::read(other).is_ok_and(|(other, _)| other.algorithm() == key.algorithm()))
}

/// From the new key to mail that is signed with it. `beside`: the configuration's directory; `older`: it replaces another.
fn next_steps(key: &Key, file: &Path, beside: &Path, older: bool) -> String {
    let (record, domain, selector) = (key.record(), key.domain(), key.selector());
    let shown = file.strip_prefix(beside).unwrap_or(file).display().to_string();
    let mut text = format!(
        "new key: {} (readable by you alone: the relay's user must own it)\n\n\
         1. Publish this TXT record. The value is one text, whatever its length:\n\n\
         {}\n{}\n\n\
         \x20  The same for a zone file:\n\n{}\n\n\
         2. Add this to the configuration:\n\n\
         [[dkim]]\ndomain = \"{domain}\"\nselector = \"{selector}\"\nkey = {shown:?}\nsign = false\n\n\
         3. Once `posthouse dkim check {domain} --selector {selector}` finds the record, take `sign = false` out and restart the relay.",
        file.display(),
        record.name,
        record.value,
        record.zone(),
    );
    if older {
        text.push_str(
            "\n\n4. In the same change write `sign = false` into the entry of the key that it replaces. Leave that key's record\n   \
             published for 7 days: mail that it signed is still on its way. Then delete record, entry and file.",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(directory: &Path, selector: &str, sign: bool) -> Configured {
        let file = directory.join(selector);
        dkim::write_new(&file, &dkim::generate(Algorithm::Ed25519Sha256, 0).unwrap()).unwrap();
        let (domain, selector) = ("contoso.com".parse().unwrap(), selector.parse().unwrap());
        let settings = KeySettings { domain, selector, file, sign, seal: false };
        let (key, _) = Key::read(&settings).unwrap();
        Configured { settings, key }
    }

    /// Answers by name; none for names it does not know; trouble for one that is to have it.
    struct Zone(Vec<(String, Result<String, String>)>);

    impl Txt for Zone {
        async fn txt(&self, name: &str) -> Result<Vec<String>, String> {
            let answers = self.0.iter().filter(|(known, _)| known == name);
            answers.map(|(_, answer)| answer.clone()).collect()
        }
    }

    #[tokio::test]
    async fn each_key_is_compared_with_its_own_record_and_trouble_is_not_absence() {
        let directory = tempfile::tempdir().unwrap();
        let keys = ["a", "b", "c", "d"].map(|selector| key(directory.path(), selector, selector != "d"));
        let name = |at: usize| keys[at].key.record().name;
        let zone = Zone(vec![
            (name(0), Ok(keys[0].key.record().value)),
            (name(1), Err("no answer in 5 s".to_owned())),
            (name(3), Ok(keys[3].key.record().value)),
        ]);
        let checked = check(&keys, &zone).await;
        let good: Vec<_> = checked.iter().map(Checked::is_good).collect();
        assert_eq!(good, [true, false, false, true]);
        assert_eq!(checked[0].told(), "contoso.com a:\n  good: the published record is that of this key");
        assert!(checked[1].told().contains("bad: cannot ask the DNS for b._domainkey.contoso.com: no answer in 5 s"));
        assert!(checked[2].told().contains("bad: no record is published\n    hint: as long as it is missing"));
        assert!(checked[2].told().ends_with(&keys[2].key.record().value), "{}", checked[2].told());
        assert!(checked[3].told().contains("hint: it does not sign"), "{}", checked[3].told());
        let terminal = Given(vec!["v=DKIM1; s=\u{1b}[2J; p=".to_owned()]);
        let told = check(&keys[..1], &terminal).await.iter().map(Checked::told).collect::<String>();
        assert!(!told.contains('\u{1b}') && told.contains("s=\u{fffd}[2J"), "{told:?}");
    }

    #[test]
    fn the_next_selector_is_one_that_nobody_knows_yet() {
        let directory = tempfile::tempdir().unwrap();
        let domain: Domain = "contoso.com".parse().unwrap();
        let today = jiff::civil::date(2026, 11, 20);
        let next = |configured: &[KeySettings]| {
            free_selector(&domain, today, configured, directory.path()).map(|s| s.to_string())
        };
        assert_eq!(next(&[]).unwrap(), "posthouse-2026-11a");
        std::fs::write(directory.path().join("posthouse-2026-11a.contoso.com.pem"), "").unwrap();
        assert_eq!(next(&[]).unwrap(), "posthouse-2026-11b");
        let b = key(directory.path(), "posthouse-2026-11b", false).settings;
        assert_eq!(next(std::slice::from_ref(&b)).unwrap(), "posthouse-2026-11c");
        let elsewhere = KeySettings { domain: "fabrikam.com".parse().unwrap(), ..b };
        assert_eq!(next(&[elsewhere]).unwrap(), "posthouse-2026-11b");
        for letter in 'a'..='z' {
            std::fs::write(directory.path().join(format!("posthouse-2026-11{letter}.contoso.com.pem")), "").unwrap();
        }
        assert!(next(&[]).unwrap_err().to_string().contains("--selector"));
    }

    #[test]
    fn a_key_replaces_one_of_its_own_kind_and_domain() {
        let directory = tempfile::tempdir().unwrap();
        let ed25519 = key(directory.path(), "a", true);
        let other = key(directory.path(), "b", true).settings;
        assert!(replaces(&ed25519.key, std::slice::from_ref(&other)));
        let foreign = KeySettings { domain: "fabrikam.com".parse().unwrap(), ..other.clone() };
        assert!(!replaces(&ed25519.key, &[foreign]));
        let file = directory.path().join("rsa");
        ::dkim::write_new(&file, &::dkim::generate(Algorithm::RsaSha256, 2048).unwrap()).unwrap();
        assert!(!replaces(&ed25519.key, &[KeySettings { file, ..other }]));
    }

    #[test]
    fn the_next_steps_hold_record_and_entry() {
        let directory = tempfile::tempdir().unwrap();
        let made = key(directory.path(), "s1", false);
        let text = next_steps(&made.key, &made.settings.file, directory.path(), false);
        let entry = "[[dkim]]\ndomain = \"contoso.com\"\nselector = \"s1\"\nkey = \"s1\"\nsign = false\n";
        for part in [entry, &made.key.record().value, &made.key.record().zone(), "\ns1._domainkey.contoso.com\n"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("7 days"));
        let elsewhere = next_steps(&made.key, &made.settings.file, Path::new("/etc/posthouse"), true);
        assert!(elsewhere.contains(&format!("key = \"{}\"", made.settings.file.display())), "{elsewhere}");
        assert!(elsewhere.contains("7 days"));
    }
}
