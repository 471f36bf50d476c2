//! Checks user names and passwords of AUTH.
//!
//! An unknown user costs what a known one costs; logins are checked two at once, hashes off the runtime's threads, so that
//! nobody else's session waits for them. Addresses that guess must wait longer and longer, also when they guess on many
//! connections at once; so must users that are guessed from many addresses. Where a user has logged in rightly of late it is
//! at home: there its own wrong passwords count against it, and nothing that others guess, there or elsewhere.
//! A password that was right is known for a few minutes, by a keyed hash of it, so that an application which logs in for every
//! message does not cost a whole argon2id each time. Nothing here prints a password.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::aws_lc_rs::{constant_time, hmac};
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, Version};
use ipnet::IpNet;
use secret::{ExposeSecret, Secret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::lockout::LockOut;
use crate::matching::as_peers_come;
use crate::{ClientEntry, Verifier, hashes};

/// Logins checked at once: argon2id holds a core for tens of milliseconds, and 19 MiB.
const AT_ONCE: usize = 2;
/// Logins that may wait for their turn …
const WAITING: usize = 80;
/// … and how many of them from where they are not at home: a flood of guesses leaves room for the others.
const WAITING_STRANGERS: usize = 64;
/// How long one waits for its turn.
const LONGEST_TURN: Duration = Duration::from_secs(30);
/// How long a right password is known.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Right passwords known at once.
const REMEMBERED_AT_ONCE: usize = 1024;
/// Wrong passwords from an address before it must wait.
const FREE_GUESSES: u32 = 5;
/// Wrong passwords of a user, from wherever, before others than those who know it must wait.
const FREE_GUESSES_OF_A_USER: u32 = 20;
/// How long a user's right login speaks for the address that it came from.
const AT_HOME: Duration = Duration::from_secs(24 * 60 * 60);
/// Users with the addresses that they are at home at; over it nobody new is added until one has passed.
const HOMES: usize = 4096;

/// Whom AUTH proved.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: Arc<str>,
    /// Indices of the client entries that have this user, with the password that was right.
    pub(crate) entries: Arc<[usize]>,
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
    /// Too often guessed.
    Wait(Duration, Guessed),
    /// Too many logins at once.
    Busy,
    /// The secret to compare with cannot be read; in words.
    Broken(String),
}

/// What has been guessed too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guessed {
    /// By this address, any user.
    ByAddress,
    /// From any address, this user.
    OfUser,
}

/// All users of all client entries.
#[derive(Debug)]
pub(crate) struct Logins {
    by_name: HashMap<Arc<str>, Vec<Candidate>>,
    /// Any hash: computed for users that have none, where there are hashes at all.
    decoy: Option<Arc<str>>,
    queue: Semaphore,
    strangers: Semaphore,
    slots: Arc<Semaphore>,
    key: hmac::Key,
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
    guessers: LockOut<IpAddr>,
    /// Apart by whether the guesses come from the networks of an entry that has the user: those of the Internet keep nobody out
    /// there.
    guessed: LockOut<(Arc<str>, bool)>,
    /// Users that there are none of, by a keyed hash: they wait like the others, so that nobody can tell who exists.
    guessed_in_vain: LockOut<[u8; 32]>,
    guessed_at_home: LockOut<Home>,
    /// Until when a user is at home at an address.
    homes: Mutex<HashMap<Home, Instant>>,
}

/// A user, and the very address that it has logged in from: devices that share a user share a link as well.
type Home = (Arc<str>, IpAddr);

#[derive(Debug)]
struct Candidate {
    entry: usize,
    check: Check,
    networks: Vec<IpNet>,
}

#[derive(Clone, Debug)]
enum Check {
    Hash(Arc<str>),
    Secret(Secret),
}

impl Logins {
    pub(crate) fn new(clients: &[ClientEntry]) -> Result<Self, PasswordHashError> {
        let mut by_name: HashMap<Arc<str>, Vec<Candidate>> = HashMap::new();
        let mut decoy: Option<Arc<str>> = None;
        for (entry, client) in clients.iter().enumerate() {
            let networks: Vec<IpNet> = client.networks.iter().map(as_peers_come).collect();
            for user in &client.users {
                let check = match &user.password {
                    Verifier::Argon2id(hash) if is_argon2id(hash) => {
                        Check::Hash(decoy.insert(Arc::from(hash.as_str())).clone())
                    }
                    Verifier::Argon2id(_) => return Err(PasswordHashError(user.name.clone())),
                    Verifier::Secret(secret) => Check::Secret(secret.clone()),
                };
                by_name.entry(user.name.as_str().into()).or_default().push(Candidate {
                    entry,
                    check,
                    networks: networks.clone(),
                });
            }
        }
        Ok(Self {
            by_name,
            decoy,
            queue: Semaphore::new(WAITING),
            strangers: Semaphore::new(WAITING_STRANGERS),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            key: random_key(),
            remembered: Mutex::default(),
            guessers: LockOut::new(FREE_GUESSES),
            guessed: LockOut::new(FREE_GUESSES_OF_A_USER),
            guessed_in_vain: LockOut::new(FREE_GUESSES_OF_A_USER),
            guessed_at_home: LockOut::new(FREE_GUESSES),
            homes: Mutex::default(),
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
        if let Some(answer) = self.at_once(peer, name, &password) {
            return answer;
        }
        let _stranger = match self.home(peer, name) {
            Some(_) => None,
            None => match self.strangers.try_acquire() {
                Ok(place) => Some(place),
                Err(_) => return Login::Busy,
            },
        };
        let Ok(_place) = self.queue.try_acquire() else { return Login::Busy };
        let turn = tokio::time::timeout(LONGEST_TURN, self.slots.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Login::Busy };
        // Others from there may have been answered meanwhile.
        if let Some(answer) = self.at_once(peer, name, &password) {
            return answer;
        }
        let login = self.compare(name, &password, &Arc::new(turn)).await;
        match &login {
            Login::Right(user) => self.welcome(peer, user),
            Login::Wrong => self.note_guess(peer, name),
            _ => {}
        }
        login
    }

    /// What needs no turn. Who must wait is told nothing of a password, however well it is known: or it could guess on meanwhile.
    fn at_once(&self, peer: IpAddr, name: &str, password: &SecretString) -> Option<Login> {
        self.wait(peer, name).or_else(|| self.remembered(name, password).map(Login::Right))
    }

    /// Every entry that has this user is tried: each may know another password of the same name.
    async fn compare(&self, name: &str, password: &SecretString, turn: &Arc<OwnedSemaphorePermit>) -> Login {
        let known = self.by_name.get_key_value(name);
        let (mut entries, mut hashes) = (Vec::new(), HashMap::new());
        for Candidate { entry, check, .. } in known.iter().flat_map(|(_, candidates)| *candidates) {
            let right = match check {
                Check::Hash(hash) => match hashes.get(hash) {
                    Some(right) => *right,
                    None => {
                        let right = hash_matches(hash.clone(), password.clone(), turn.clone()).await;
                        hashes.insert(hash.clone(), right);
                        right
                    }
                },
                Check::Secret(secret) => match self.secret_matches(secret, password).await {
                    Ok(right) => right,
                    Err(error) => return Login::Broken(error),
                },
            };
            entries.extend(right.then_some(*entry));
        }
        if let Some(decoy) = self.decoy.clone().filter(|_| hashes.is_empty()) {
            hash_matches(decoy, password.clone(), turn.clone()).await;
        }
        let right = hashes.iter().filter(|(_, right)| **right);
        right.for_each(|(hash, _)| self.remember(name, hash, password));
        match known {
            Some((name, _)) if !entries.is_empty() => {
                Login::Right(User { name: name.clone(), entries: entries.into() })
            }
            _ => Login::Wrong,
        }
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
        let entries: Arc<[usize]> = candidates.iter().filter(known).map(|candidate| candidate.entry).collect();
        // Where a secret is to be read, only reading it tells whether its entry has the same password.
        let whole = candidates.iter().all(|candidate| matches!(candidate.check, Check::Hash(_)));
        (whole && !entries.is_empty()).then(|| User { name: name.clone(), entries })
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
        self.keyed(&[name, hash, password.expose_secret()])
    }

    /// A hash of texts that only this process can make.
    fn keyed(&self, texts: &[&str]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in texts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut tag = [0; 32];
        tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }

    fn wait(&self, peer: IpAddr, name: &str) -> Option<Login> {
        if let Some(home) = self.home(peer, name) {
            return Some(Login::Wait(self.guessed_at_home.wait(&home)?, Guessed::ByAddress));
        }
        if let Some(wait) = self.guessers.wait(&guesser(peer)) {
            return Some(Login::Wait(wait, Guessed::ByAddress));
        }
        let wait = match self.by_name.get_key_value(name) {
            Some((name, of_it)) => self.guessed.wait(&(name.clone(), is_near(of_it, peer))),
            None => self.guessed_in_vain.wait(&self.keyed(&[name])),
        };
        Some(Login::Wait(wait?, Guessed::OfUser))
    }

    /// What is guessed at home is told to that home alone: it keeps neither the user out elsewhere, nor others there.
    fn note_guess(&self, peer: IpAddr, name: &str) {
        if let Some(home) = self.home(peer, name) {
            return self.guessed_at_home.note(home);
        }
        self.guessers.note(guesser(peer));
        match self.by_name.get_key_value(name) {
            Some((name, of_it)) => self.guessed.note((name.clone(), is_near(of_it, peer))),
            None => self.guessed_in_vain.note(self.keyed(&[name])),
        }
    }

    /// Forgives the address when somebody comes home there, and only then: or whoever has one password could guess others
    /// for ever. What others guess of this user still counts.
    fn welcome(&self, peer: IpAddr, user: &User) {
        let home = (user.name.clone(), peer);
        let was_at_home = self.home(peer, &user.name).is_some();
        if was_at_home {
            self.guessed_at_home.forgive(&home);
        } else {
            self.guessers.forgive(&guesser(peer));
        }
        let now = Instant::now();
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        if homes.len() >= HOMES {
            homes.retain(|_, until| *until > now);
        }
        if homes.len() < HOMES || was_at_home {
            homes.insert(home, now + AT_HOME);
        }
    }

    /// Where the user of this name is at home, if that is here.
    fn home(&self, peer: IpAddr, name: &str) -> Option<Home> {
        let (name, _) = self.by_name.get_key_value(name)?;
        let home = (name.clone(), peer);
        let homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        homes.get(&home).is_some_and(|until| *until > Instant::now()).then_some(home)
    }
}

/// The turn ends with the work, whether or not somebody still waits for it.
async fn hash_matches(hash: Arc<str>, password: SecretString, turn: Arc<OwnedSemaphorePermit>) -> bool {
    let task = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        hashes::MEMORY.matches(password.expose_secret(), &hash)
    });
    task.await.unwrap_or(false)
}

/// In a network of an entry that has the user.
fn is_near(of_it: &[Candidate], peer: IpAddr) -> bool {
    of_it.iter().flat_map(|candidate| &candidate.networks).any(|network| network.contains(&peer))
}

/// Who guesses: of IPv6 a whole link, since a machine there has as many addresses as it likes.
fn guesser(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// The argon2id hash of a password, salted, as a PHC string: what [`Verifier::Argon2id`] takes. Costs 19 MiB and two passes, as
/// OWASP's "Password Storage Cheat Sheet" recommends. An `Err` is the library's: no memory, no random octets.
pub fn hash_password(password: &str) -> Result<String, argon2::password_hash::Error> {
    let params = Params::new(19_456, 2, 1, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon2.hash_password(password.as_bytes())?.to_string())
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
    use crate::lockout::GUESSERS;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn hash(password: &str) -> String {
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        cheap.hash_password(password.as_bytes()).unwrap().to_string()
    }

    fn inline(password: &str) -> Verifier {
        Verifier::Secret(Secret::Inline(SecretString::from(password.to_owned())))
    }

    fn logins(users: Vec<(&str, Verifier)>) -> Logins {
        let users = users.into_iter().map(|(name, password)| UserSettings { name: name.into(), password }).collect();
        Logins::new(&[ClientEntry { users, ..ClientEntry::named("it") }]).unwrap()
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

    #[tokio::test]
    async fn what_is_hashed_here_lets_in_here() {
        let (one, two) = (hash_password("s3cret").unwrap(), hash_password("s3cret").unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != two, "{one} {two}");
        let logins = logins(vec![("erp", Verifier::Argon2id(one))]);
        assert!(matches!(try_once(&logins, "erp", "s3cret").await, Login::Right(_)));
        assert!(matches!(try_once(&logins, "erp", "s3cret ").await, Login::Wrong));
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
        assert!(
            matches!(try_once(&logins, "erp", "one").await, Login::Wait(wait, Guessed::ByAddress) if wait == Duration::from_secs(1))
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(try_once(&logins, "erp", "x").await, Login::Wrong));
        assert!(
            matches!(try_once(&logins, "erp", "one").await, Login::Wait(wait, Guessed::ByAddress) if wait == Duration::from_secs(2))
        );
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
            assert!(answers.iter().all(|answer| matches!(answer, Login::Wrong | Login::Wait(..))), "{answers:?}");
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
        assert!(matches!(check("2001:db8::ffff".to_owned(), "one").await, Login::Wait(..)));
        assert!(matches!(check("2001:db8:0:1::1".to_owned(), "one").await, Login::Right(_)), "another link");
        for host in 0..FREE_GUESSES {
            assert!(matches!(check(format!("2001:db8:0:1::{}", 2 + host), "x").await, Login::Wrong));
        }
        assert!(matches!(check("2001:db8:0:1::2".to_owned(), "one").await, Login::Wait(..)));
        assert!(matches!(check("2001:db8:0:1::1".to_owned(), "one").await, Login::Right(_)), "at home");
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_count_however_many_addresses_have_guessed() {
        let logins = logins(vec![("erp", inline("one"))]);
        for address in 0..GUESSERS as u32 {
            logins.note_guess(IpAddr::V4(address.into()), "nobody");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        for _ in 0..FREE_GUESSES {
            assert!(matches!(try_once(&logins, "erp", "x").await, Login::Wrong));
        }
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Wait(..)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_that_is_guessed_from_everywhere_waits_but_not_where_it_is_at_home() {
        let logins = logins(vec![("erp", inline("one")), ("crm", inline("two"))]);
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Right(_)));
        let from = |host: u32| IpAddr::V4((0x0a00_0000 + host).into());
        for host in 0..FREE_GUESSES_OF_A_USER {
            assert!(matches!(logins.check(from(host), "erp", "x".to_owned()).await, Login::Wrong));
        }
        let elsewhere = from(FREE_GUESSES_OF_A_USER);
        let waits = |login| matches!(login, Login::Wait(_, Guessed::OfUser));
        assert!(waits(logins.check(elsewhere, "erp", "one".to_owned()).await));
        assert!(matches!(logins.check(elsewhere, "crm", "two".to_owned()).await, Login::Right(_)), "only that user");
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Right(_)), "at home");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(matches!(logins.check(elsewhere, "erp", "one".to_owned()).await, Login::Right(_)), "the wait is over");
        tokio::time::advance(AT_HOME).await;
        for host in 0..=FREE_GUESSES_OF_A_USER {
            logins.check(from(host), "erp", "x".to_owned()).await;
        }
        assert!(waits(try_once(&logins, "erp", "one").await), "at home no longer");
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_at_home_keep_nobody_out_elsewhere() {
        let logins = logins(vec![("erp", inline("one"))]);
        for _ in 0..2 * FREE_GUESSES_OF_A_USER {
            assert!(matches!(try_once(&logins, "erp", "one").await, Login::Right(_)));
            assert!(matches!(try_once(&logins, "erp", "x").await, Login::Wrong));
        }
        let elsewhere = logins.check("10.0.0.1".parse().unwrap(), "erp", "one".to_owned()).await;
        assert!(matches!(elsewhere, Login::Right(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_guesses_next_door_keeps_nobody_out_who_is_at_home_there() {
        let logins = logins(vec![("erp", inline("one")), ("crm", inline("two"))]);
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Right(_)));
        for guess in 0..3 * FREE_GUESSES {
            try_once(&logins, if guess % 2 == 0 { "crm" } else { "nobody" }, "x").await;
        }
        assert!(matches!(try_once(&logins, "crm", "two").await, Login::Wait(_, Guessed::ByAddress)));
        assert!(
            matches!(try_once(&logins, "erp", "one").await, Login::Right(_)),
            "a device with an old password is not"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_password_cannot_guess_those_of_the_neighbours_for_ever() {
        for at_home in [true, false] {
            let logins = logins(vec![("erp", inline("one")), ("crm", inline("two"))]);
            if at_home {
                assert!(matches!(try_once(&logins, "crm", "two").await, Login::Right(_)));
            }
            let mut answered = 0;
            for _ in 0..100 {
                assert!(matches!(try_once(&logins, "erp", "one").await, Login::Right(_)));
                answered += u32::from(matches!(try_once(&logins, "crm", "x").await, Login::Wrong));
            }
            assert!(answered <= FREE_GUESSES_OF_A_USER, "{answered} guesses were answered");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_that_does_not_exist_cannot_be_told_by_its_wait() {
        let logins = logins(vec![("erp", inline("one"))]);
        for name in ["erp", "nobody"] {
            for host in 0..FREE_GUESSES_OF_A_USER {
                let peer = IpAddr::V4((0x0a00_0000 + host).into());
                assert!(matches!(logins.check(peer, name, "x".to_owned()).await, Login::Wrong), "{name}");
            }
            let wait = logins.check("10.9.9.9".parse().unwrap(), name, "x".to_owned()).await;
            assert!(matches!(wait, Login::Wait(_, Guessed::OfUser)), "{name}: {wait:?}");
            tokio::time::advance(Duration::from_secs(60 * 60)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_strangers_leaves_room_for_those_who_are_at_home() {
        let logins = Arc::new(logins(vec![("erp", inline("one"))]));
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Right(_)));
        let busy = logins.slots.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap();
        let ask = |peer: IpAddr, password: &'static str| {
            let logins = logins.clone();
            tokio::spawn(async move { logins.check(peer, "erp", password.to_owned()).await })
        };
        let flood: Vec<_> =
            (0..2 * WAITING as u32).map(|host| ask(IpAddr::V4((0x0a00_0000 + host).into()), "x")).collect();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let at_home = ask(PEER, "one");
        tokio::task::yield_now().await;
        drop(busy);
        assert!(matches!(at_home.await.unwrap(), Login::Right(_)));
        for login in flood {
            assert!(!matches!(login.await.unwrap(), Login::Right(_)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_that_is_known_is_no_answer_to_whoever_must_wait() {
        let logins = logins(vec![("erp", Verifier::Argon2id(hash("one")))]);
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Right(_)));
        let guesser: IpAddr = "10.0.0.1".parse().unwrap();
        for _ in 0..FREE_GUESSES {
            assert!(matches!(logins.check(guesser, "erp", "x".to_owned()).await, Login::Wrong));
        }
        let login = logins.check(guesser, "erp", "one".to_owned()).await;
        assert!(matches!(login, Login::Wait(..)), "or it could guess as fast as it likes: {login:?}");
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Right(_)), "at home");
        for _ in 0..FREE_GUESSES {
            try_once(&logins, "erp", "x").await;
        }
        assert!(matches!(try_once(&logins, "erp", "one").await, Login::Wait(..)), "guessed at home");
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_from_outside_keep_nobody_out_of_the_networks_of_its_entry() {
        let users = vec![UserSettings { name: "erp".into(), password: inline("one") }];
        let networks = vec!["10.0.0.0/8".parse().unwrap()];
        let logins = Logins::new(&[ClientEntry { users, networks, ..ClientEntry::named("it") }]).unwrap();
        let check = async |address: String, password: &str| {
            logins.check(address.parse().unwrap(), "erp", password.to_owned()).await
        };
        for host in 0..FREE_GUESSES_OF_A_USER {
            assert!(matches!(check(format!("192.0.2.{host}"), "x").await, Login::Wrong));
        }
        assert!(matches!(check("198.51.100.1".to_owned(), "one").await, Login::Wait(_, Guessed::OfUser)));
        for host in 0..FREE_GUESSES_OF_A_USER {
            assert!(
                matches!(check(format!("10.1.1.{host}"), "x").await, Login::Wrong),
                "inside nobody has guessed yet"
            );
        }
        assert!(matches!(check("10.2.2.2".to_owned(), "one").await, Login::Wait(_, Guessed::OfUser)));
    }

    #[tokio::test]
    async fn a_user_of_several_entries_is_one_of_those_whose_password_was_right() {
        let (shared, other) = (hash("one"), hash("two"));
        let entry = |name: &str, password: Verifier| ClientEntry {
            users: vec![UserSettings { name: "erp".into(), password }],
            ..ClientEntry::named(name)
        };
        let logins = Logins::new(&[
            entry("inside", Verifier::Argon2id(shared.clone())),
            entry("other", Verifier::Argon2id(other)),
            entry("outside", Verifier::Argon2id(shared)),
        ])
        .unwrap();
        for _ in 0..2 {
            let Login::Right(user) = try_once(&logins, "erp", "one").await else { panic!("it is right") };
            assert_eq!(*user.entries, [0, 2], "also when it is known");
        }
        let Login::Right(user) = try_once(&logins, "erp", "two").await else { panic!("it is right") };
        assert_eq!(*user.entries, [1]);
    }
}
