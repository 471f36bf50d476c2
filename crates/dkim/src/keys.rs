//! All keys, by domain: who signs for an author, and replaced key files taken up while the relay runs.
//!
//! A bad new file never replaces a good old key.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::key::{Key, KeyError, KeySettings};
use crate::name::{a_labels, itself_and_parents};
use crate::seal::Sealing;
use crate::signing::Signing;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Keys {
    by_domain: BTreeMap<String, Vec<Slot>>,
}

/// One configured key.
#[derive(Debug)]
struct Slot {
    settings: KeySettings,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    key: Arc<Key>,
    /// Of the file that was last tried.
    tried: Stamp,
    /// At the last look.
    seen: Stamp,
}

/// Modification time and length; `None` where there is no file.
type Stamp = Option<(SystemTime, u64)>;

/// Which keys sign for an author: those of the domain in the header field From, in A-labels or not, or else of the nearest
/// domain above it that has any which sign. `that_sign`: those of a domain in lower case.
pub fn signers<K>(author_domain: &str, that_sign: impl Fn(&str) -> Vec<K>) -> Vec<K> {
    let Some(author) = a_labels(author_domain) else { return Vec::new() };
    itself_and_parents(&author).map(that_sign).find(|keys| !keys.is_empty()).unwrap_or_default()
}

impl Keys {
    /// Reads them all. Those that others can read are named in the log.
    pub fn load(settings: &[KeySettings]) -> Result<Self, KeyError> {
        let mut keys = Self::default();
        for settings in settings {
            let slot = Slot::load(settings.clone())?;
            keys.by_domain.entry(settings.domain.as_str().to_owned()).or_default().push(slot);
        }
        Ok(keys)
    }

    /// What signs a message of this author, see [`signers`]. `None`: the message goes unsigned.
    pub fn signing(&self, author_domain: &str) -> Option<Signing> {
        let keys = signers(author_domain, |domain| self.that_sign(domain));
        (!keys.is_empty()).then(|| Signing::new(keys))
    }

    /// What seals a message, whoever its author is: the first key that is to. `None`: messages go unsealed.
    pub fn sealing(&self) -> Option<Sealing> {
        let sealer = self.by_domain.values().flatten().find(|slot| slot.settings.seal)?;
        Some(Sealing::new(sealer.key()))
    }

    /// Looks whether key files have changed and, once one is the same at two looks, loads it. Reads files.
    pub fn look(&self) {
        self.by_domain.values().flatten().for_each(Slot::look);
    }

    /// All of them, those that do not sign included.
    pub fn all(&self) -> Vec<Arc<Key>> {
        self.by_domain.values().flatten().map(Slot::key).collect()
    }

    fn that_sign(&self, domain: &str) -> Vec<Arc<Key>> {
        let slots = self.by_domain.get(domain).into_iter().flatten();
        slots.filter(|slot| slot.settings.sign).map(Slot::key).collect()
    }
}

impl Slot {
    fn load(settings: KeySettings) -> Result<Self, KeyError> {
        let stamp = stamp(&settings.file);
        let key = read(&settings)?;
        tracing::info!(domain = %settings.domain, selector = %settings.selector, sign = settings.sign, "DKIM key");
        let state = Mutex::new(State { key: Arc::new(key), tried: stamp, seen: stamp });
        Ok(Self { settings, state })
    }

    fn key(&self) -> Arc<Key> {
        Arc::clone(&self.state.lock().unwrap_or_else(PoisonError::into_inner).key)
    }

    fn look(&self) {
        let stamp = stamp(&self.settings.file);
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let at_rest = state.seen == stamp;
            state.seen = stamp;
            if !at_rest || state.tried == stamp {
                return;
            }
            state.tried = stamp;
        }
        // The lock is not held meanwhile: messages go on being signed with the old key.
        match read(&self.settings) {
            Ok(key) => {
                tracing::info!(domain = %self.settings.domain, selector = %self.settings.selector, "DKIM key replaced");
                self.state.lock().unwrap_or_else(PoisonError::into_inner).key = Arc::new(key);
            }
            Err(error) => tracing::warn!(
                %error,
                "a DKIM key's file has changed and cannot be used: the old key goes on signing; replace it again"
            ),
        }
    }
}

fn read(settings: &KeySettings) -> Result<Key, KeyError> {
    let (key, warning) = Key::read(settings)?;
    if let Some(warning) = warning {
        tracing::warn!(hint = warning.remedy(), "{warning}");
    }
    Ok(key)
}

fn stamp(path: &Path) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Algorithm, generate, write_new};

    struct Directory(tempfile::TempDir);

    impl Directory {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn key(&self, domain: &str, selector: &str, sign: bool) -> KeySettings {
            let file = self.0.path().join(format!("{selector}.{domain}.pem"));
            write_new(&file, &generate(Algorithm::Ed25519Sha256, 0).unwrap()).unwrap();
            KeySettings {
                domain: domain.parse().unwrap(),
                selector: selector.parse().unwrap(),
                file,
                sign,
                seal: false,
            }
        }
    }

    #[test]
    fn the_nearest_domain_with_a_key_that_signs_signs() {
        let directory = Directory::new();
        let keys = Keys::load(&[
            directory.key("contoso.com", "a", true),
            directory.key("contoso.com", "b", true),
            directory.key("contoso.com", "next", false),
            directory.key("shop.contoso.com", "c", true),
            directory.key("new.contoso.com", "d", false),
            directory.key("xn--mnchen-3ya.example", "e", true),
        ])
        .unwrap();
        let check = |author: &str, expected: &[&str]| {
            let signing = keys.signing(author);
            let selectors: Vec<_> = signing.iter().flat_map(Signing::keys).map(|key| key.selector().as_str()).collect();
            assert_eq!(selectors, expected, "{author}");
        };
        check("contoso.com", &["a", "b"]);
        check("Contoso.COM.", &["a", "b"]);
        check("x.y.contoso.com", &["a", "b"]);
        check("shop.contoso.com", &["c"]);
        check("a.shop.contoso.com", &["c"]);
        check("new.contoso.com", &["a", "b"]);
        for munich in
            ["xn--mnchen-3ya.example", "münchen.example", "MÜNCHEN.example.", "rathaus.münchen\u{3002}example"]
        {
            check(munich, &["e"]);
        }
        for foreign in [
            "com",
            "",
            "fabrikam.com",
            "xcontoso.com",
            "contoso.com.evil.example",
            "münchen",
            "\u{2024}münchen.example.com",
        ] {
            check(foreign, &[]);
        }
    }

    #[test]
    fn the_key_that_is_to_seal_seals_and_without_one_nothing_is_sealed() {
        let directory = Directory::new();
        let mut settings = vec![directory.key("contoso.com", "a", true), directory.key("contoso.com", "b", false)];
        assert!(Keys::load(&settings).unwrap().sealing().is_none());
        settings[1].seal = true;
        let sealing = Keys::load(&settings).unwrap().sealing().unwrap();
        assert!(format!("{sealing:?}").contains("b contoso.com"), "{sealing:?}");
    }

    #[test]
    fn replaced_files_are_taken_up_once_they_are_at_rest_and_bad_ones_never() {
        let directory = Directory::new();
        let settings = directory.key("contoso.com", "a", true);
        let keys = Keys::load(std::slice::from_ref(&settings)).unwrap();
        let public = || keys.all()[0].public();
        let first = public();
        std::fs::write(&settings.file, "no key").unwrap();
        keys.look();
        keys.look();
        assert_eq!(public(), first, "the old one stays");
        std::fs::remove_file(&settings.file).unwrap();
        keys.look();
        keys.look();
        assert_eq!(public(), first, "even without a file");
        write_new(&settings.file, &generate(Algorithm::RsaSha256, 2048).unwrap()).unwrap();
        keys.look();
        assert_eq!(public(), first, "perhaps still being written");
        keys.look();
        assert_ne!(public(), first);
    }

    #[test]
    fn one_bad_key_fails_them_all_with_its_name() {
        let directory = Directory::new();
        let mut settings = vec![directory.key("contoso.com", "a", true), directory.key("contoso.com", "b", true)];
        settings[1].file.set_file_name("gone.pem");
        assert!(Keys::load(&settings).unwrap_err().to_string().contains("gone.pem"));
    }
}
