//! Checks user names and passwords of AUTH.
//!
//! An unknown user costs what a known one costs; logins are checked two at once, hashes off the runtime's threads; addresses
//! that guess must wait longer and longer, also when they guess on many connections at once. A password that was right is known for a few minutes, by a keyed hash of it, so that
//! an application which logs in for every message does not cost a whole argon2id each time. Nothing here prints a password.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::aws_lc_rs::{constant_time, hmac};
use argon2::{Argon2, PasswordHash, PasswordVerifier};
use secret::{ExposeSecret, Secret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::{ClientEntry, Verifier};

/// Logins checked at once: argon2id holds a core for tens of milliseconds, and 19 MiB.
const AT_ONCE: usize = 2;
/// Logins that may wait for their turn.
const WAITING: usize = 64;
/// How long one waits for its turn.
const LONGEST_TURN: Duration = Duration::from_secs(30);
/// How long a right password is known.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Right passwords known at once.
const REMEMBERED_AT_ONCE: usize = 1024;
/// Wrong passwords from an address before it must wait.
const FREE_GUESSES: u32 = 5;
/// The longest wait after a wrong password.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Guesses of an address are forgotten after this.
const GUESSES_FORGOTTEN: Duration = Duration::from_secs(600);
/// Addresses whose guesses are counted; over it the one that was longest silent is forgotten.
const GUESSERS: usize = 4096;

/// Whom AUTH proved.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: Arc<str>,
    /// Index of its client entry.
    pub(crate) entry: usize,
}

/// A user whose password could never be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("password_hash of user {0:?} is not an argon2id hash: it must begin with $argon2id$ and be whole")]
pub struct PasswordHashError(pub String);

/// What came of a login.
#[derive(Debug)]
pub(crate) enum Login {
    Right(User),
    Wrong,
    /// This address has guessed too often.
    Wait(Duration),
    /// Too many logins at once.
    Busy,
    /// The secret to compare with cannot be read; in words.
    Broken(String),
}

/// All users of all client entries.
#[derive(Debug)]
pub(crate) struct Logins {
    by_name: HashMap<Arc<str>, Vec<Candidate>>,
    /// Any hash: computed for users that have none, where there are hashes at all.
    decoy: Option<Arc<str>>,
    queue: Semaphore,
    slots: Arc<Semaphore>,
    key: hmac::Key,
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
    guesses: Mutex<HashMap<IpAddr, Guesses>>,
}

#[derive(Debug)]
struct Candidate {
    entry: usize,
    check: Check,
}

#[derive(Clone, Debug)]
enum Check {
    Hash(Arc<str>),
    Secret(Secret),
}

#[derive(Debug)]
struct Guesses {
    wrong: u32,
    last: Instant,
}

impl Logins {
    pub(crate) fn new(clients: &[ClientEntry]) -> Result<Self, PasswordHashError> {
        let mut by_name: HashMap<Arc<str>, Vec<Candidate>> = HashMap::new();
        let mut decoy: Option<Arc<str>> = None;
        for (entry, client) in clients.iter().enumerate() {
            for user in &client.users {
                let check = match &user.password {
                    Verifier::Argon2id(hash) if is_argon2id(hash) => {
                        Check::Hash(decoy.insert(Arc::from(hash.as_str())).clone())
                    }
                    Verifier::Argon2id(_) => return Err(PasswordHashError(user.name.clone())),
                    Verifier::Secret(secret) => Check::Secret(secret.clone()),
                };
                by_name.entry(user.name.as_str().into()).or_default().push(Candidate { entry, check });
            }
        }
        Ok(Self {
            by_name,
            decoy,
            queue: Semaphore::new(WAITING),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            key: random_key(),
            remembered: Mutex::default(),
            guesses: Mutex::default(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether this name stands in the configuration, and may therefore stand in a log.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Checks a login. Takes tens of milliseconds, or its turn among others.
    pub(crate) async fn check(&self, peer: IpAddr, name: &str, password: String) -> Login {
        let password = SecretString::from(password);
        if let Some(user) = self.remembered(name, &password) {
            return Login::Right(user);
        }
        if let Some(wait) = self.wait(peer) {
            return Login::Wait(wait);
        }
        let Ok(_place) = self.queue.try_acquire() else { return Login::Busy };
        let turn = tokio::time::timeout(LONGEST_TURN, self.slots.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Login::Busy };
        // Others from there may have been answered meanwhile.
        if let Some(user) = self.remembered(name, &password) {
            return Login::Right(user);
        }
        if let Some(wait) = self.wait(peer) {
            return Login::Wait(wait);
        }
        let login = self.compare(name, &password, &Arc::new(turn)).await;
        match &login {
            Login::Right(_) => self.forgive(peer),
            Login::Wrong => self.note_guess(peer),
            _ => {}
        }
        login
    }

    async fn compare(&self, name: &str, password: &SecretString, turn: &Arc<OwnedSemaphorePermit>) -> Login {
        let mut hashed = false;
        if let Some((name, candidates)) = self.by_name.get_key_value(name) {
            for candidate in candidates {
                let right = match &candidate.check {
                    Check::Hash(hash) => {
                        hashed = true;
                        hash_matches(hash.clone(), password.clone(), turn.clone()).await
                    }
                    Check::Secret(secret) => match self.secret_matches(secret, password).await {
                        Ok(right) => right,
                        Err(error) => return Login::Broken(error),
                    },
                };
                if right {
                    if let Check::Hash(hash) = &candidate.check {
                        self.remember(name, hash, password);
                    }
                    return Login::Right(User { name: name.clone(), entry: candidate.entry });
                }
            }
        }
        if let Some(decoy) = self.decoy.clone().filter(|_| !hashed) {
            hash_matches(decoy, password.clone(), turn.clone()).await;
        }
        Login::Wrong
    }

    /// Compares hashes under our own key: neither content nor length can be told from the time it takes.
    async fn secret_matches(&self, secret: &Secret, password: &SecretString) -> Result<bool, String> {
        let source = secret.clone();
        let read = match source {
            Secret::Inline(secret) => Ok(secret),
            other => tokio::task::spawn_blocking(move || other.read()).await.map_err(|error| error.to_string())?,
        };
        let expected = read.map_err(|error| error.to_string())?;
        let keyed = |text: &SecretString| hmac::sign(&self.key, text.expose_secret().as_bytes());
        let (expected, given) = (keyed(&expected), keyed(password));
        Ok(constant_time::verify_slices_are_equal(expected.as_ref(), given.as_ref()).is_ok())
    }

    fn remembered(&self, name: &str, password: &SecretString) -> Option<User> {
        let (name, candidates) = self.by_name.get_key_value(name)?;
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let known = |candidate: &&Candidate| match &candidate.check {
            Check::Hash(hash) => remembered.get(&self.tag(name, hash, password)).is_some_and(|until| *until > now),
            Check::Secret(_) => false,
        };
        let candidate = candidates.iter().find(known)?;
        Some(User { name: name.clone(), entry: candidate.entry })
    }

    fn remember(&self, name: &str, hash: &str, password: &SecretString) {
        let tag = self.tag(name, hash, password);
        let now = Instant::now();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_AT_ONCE {
            remembered.retain(|_, until| *until > now);
        }
        if remembered.len() < REMEMBERED_AT_ONCE {
            remembered.insert(tag, now + REMEMBERED);
        }
    }

    /// What a right login is known by.
    fn tag(&self, name: &str, hash: &str, password: &SecretString) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name, hash, password.expose_secret()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut tag = [0; 32];
        tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }

    fn wait(&self, peer: IpAddr) -> Option<Duration> {
        let guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        let guessed = guesses.get(&guesser(peer)).filter(|guessed| guessed.wrong >= FREE_GUESSES)?;
        let doubled = Duration::from_secs(1 << (guessed.wrong - FREE_GUESSES).min(10)).min(LONGEST_WAIT);
        (guessed.last + doubled).checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    fn note_guess(&self, peer: IpAddr) {
        let (now, peer) = (Instant::now(), guesser(peer));
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        if guesses.len() >= GUESSERS && !guesses.contains_key(&peer) {
            guesses.retain(|_, guessed| now.duration_since(guessed.last) < GUESSES_FORGOTTEN);
            if guesses.len() >= GUESSERS {
                let oldest = guesses.iter().min_by_key(|(_, guessed)| guessed.last).map(|(address, _)| *address);
                oldest.and_then(|address| guesses.remove(&address));
            }
        }
        let guessed = guesses.entry(peer).or_insert(Guesses { wrong: 0, last: now });
        if now.duration_since(guessed.last) >= GUESSES_FORGOTTEN {
            guessed.wrong = 0;
        }
        guessed.wrong = guessed.wrong.saturating_add(1);
        guessed.last = now;
    }

    fn forgive(&self, peer: IpAddr) {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner).remove(&guesser(peer));
    }
}

/// The turn ends with the work, whether or not somebody still waits for it.
async fn hash_matches(hash: Arc<str>, password: SecretString, turn: Arc<OwnedSemaphorePermit>) -> bool {
    let task = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        Argon2::default().verify_password(password.expose_secret().as_bytes(), &*hash).is_ok()
    });
    task.await.unwrap_or(false)
}

/// Who guesses: of IPv6 a whole link, since a machine there has as many addresses as it likes.
fn guesser(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

fn is_argon2id(hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| hash.algorithm.as_str() == "argon2id" && hash.hash.is_some())
}

fn random_key() -> hmac::Key {
    let random = ::aws_lc_rs::rand::SystemRandom::new();
    hmac::Key::generate(hmac::HMAC_SHA256, &random).expect("the system gives random octets, or nothing works")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::User as UserSettings;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn hash(password: &str) -> String {
        use argon2::{Algorithm, Params, PasswordHasher, Version};
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        cheap.hash_password(password.as_bytes()).unwrap().to_string()
    }

    fn inline(password: &str) -> Verifier {
        Verifier::Secret(Secret::Inline(SecretString::from(password.to_owned())))
    }

    fn logins(users: Vec<(&str, Verifier)>) -> Logins {
        let users = users.into_iter().map(|(name, password)| UserSettings { name: name.into(), password }).collect();
        Logins::new(&[ClientEntry {
            name: "it".into(),
            networks: Vec::new(),
            users,
            require_both: false,
            senders: Vec::new(),
            owner: None,
            report_to: None,
            size: None,
            urgent: false,
        }])
        .unwrap()
    }

    async fn try_once(logins: &Logins, name: &str, password: &str) -> Login {
        logins.check(PEER, name, password.to_owned()).await
    }

    #[tokio::test]
    async fn only_the_right_password_of_the_right_user_is_right() {
        let logins = logins(vec![("erp", Verifier::Argon2id(hash("one"))), ("crm", inline("two"))]);
        for (name, password, right) in [
            ("erp", "one", true),
            ("erp", "one", true),
            ("crm", "two", true),
            ("erp", "two", false),
            ("crm", "one", false),
            ("crm", "twoo", false),
            ("nobody", "one", false),
            ("erp", "", false),
        ] {
            let login = try_once(&logins, name, password).await;
            assert_eq!(matches!(login, Login::Right(user) if &*user.name == name), right, "{name} {password}");
        }
    }

    #[test]
    fn a_hash_that_no_password_can_match_is_refused_at_once() {
        for (hash, good) in [
            (hash("one"), true),
            (hash("one").replace("argon2id", "argon2i"), false),
            (hash("one").rsplit_once('$').unwrap().0.to_owned(), false),
            ("{SHA}x".to_owned(), false),
        ] {
            assert_eq!(is_argon2id(&hash), good, "{hash}");
        }
    }

    #[tokio::test]
    async fn a_right_password_is_known_for_five_minutes_and_a_wrong_one_never() {
        let logins = logins(vec![("erp", Verifier::Argon2id(hash("one")))]);
        let known = |password: &str| logins.remembered("erp", &SecretString::from(password.to_owned())).is_some();
        try_once(&logins, "erp", "two").await;
        try_once(&logins, "erp", "one").await;
        assert!(known("one") && !known("two"));
        tokio::time::pause();
        tokio::time::advance(REMEMBERED).await;
        assert!(!known("one"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_guesses_must_wait_longer_and_longer() {
        let logins = logins(vec![("erp", inline("one"))]);
        for _ in 0..FREE_GUESSES {
            assert!(matches!(try_once(&logins, "erp", "x").await, Login::Wrong));
        }
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Wait(wait) if wait == Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(try_once(&logins, "erp", "x").await, Login::Wrong));
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Wait(wait) if wait == Duration::from_secs(2)));
        let elsewhere = logins.check("192.0.2.2".parse().unwrap(), "erp", "one".to_owned()).await;
        assert!(matches!(elsewhere, Login::Right(_)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Right(_)));
        assert!(matches!(try_once(&logins, "erp", "x").await, Login::Wrong), "forgiven");
    }

    #[tokio::test]
    async fn a_replaced_secret_counts_at_once_and_a_missing_one_is_our_trouble() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let logins = logins(vec![("erp", Verifier::Secret(Secret::File(file.path().to_owned())))]);
        std::fs::write(file.path(), "one\n").unwrap();
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Right(_)));
        std::fs::write(file.path(), "two\n").unwrap();
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Wrong));
        assert!(matches!(try_once(&logins, "erp", "two").await, Login::Right(_)));
        std::fs::remove_file(file.path()).unwrap();
        assert!(matches!(try_once(&logins, "erp", "two").await, Login::Broken(_)));
    }

    #[tokio::test]
    async fn guesses_on_many_connections_at_once_count_like_guesses_in_a_row() {
        for verifier in [inline("one"), Verifier::Argon2id(hash("one"))] {
            let logins = Arc::new(logins(vec![("erp", verifier), ("crm", Verifier::Argon2id(hash("two")))]));
            let mut guesses = tokio::task::JoinSet::new();
            for guess in 0..50 {
                let logins = logins.clone();
                guesses.spawn(async move { logins.check(PEER, "erp", format!("guess {guess}")).await });
            }
            let answers = guesses.join_all().await;
            let wrong = answers.iter().filter(|answer| matches!(answer, Login::Wrong)).count();
            let most = FREE_GUESSES as usize + AT_ONCE - 1;
            assert!(wrong <= most, "{wrong} guesses were answered");
            assert!(answers.iter().all(|answer| matches!(answer, Login::Wrong | Login::Wait(_))), "{answers:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_of_ipv6_guesses_as_one() {
        let logins = logins(vec![("erp", inline("one"))]);
        let check = |address: String, password: &'static str| {
            let logins = &logins;
            async move { logins.check(address.parse().unwrap(), "erp", password.to_owned()).await }
        };
        for host in 0..FREE_GUESSES {
            assert!(matches!(check(format!("2001:db8::{host}"), "x").await, Login::Wrong));
        }
        assert!(matches!(check("2001:db8::ffff".to_owned(), "one").await, Login::Wait(_)));
        assert!(matches!(check("2001:db8:0:1::1".to_owned(), "one").await, Login::Right(_)), "another link");
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_count_however_many_addresses_have_guessed() {
        let logins = logins(vec![("erp", inline("one"))]);
        for address in 0..GUESSERS as u32 {
            logins.note_guess(IpAddr::V4(address.into()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        for _ in 0..FREE_GUESSES {
            assert!(matches!(try_once(&logins, "erp", "x").await, Login::Wrong));
        }
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Wait(_)));
        assert_eq!(logins.guesses.lock().unwrap().len(), GUESSERS);
    }
}
