//! Argon2id hashes held against passwords, in memory that is used again.
//!
//! In: a password, a PHC string. Out: whether they fit. Given back to the allocator each time, the 19 MiB of a hash would stay with
//! whichever thread had them: a flood of logins, refused every one, would leave more than a GiB behind.

use std::sync::{Mutex, PoisonError};

use ::aws_lc_rs::constant_time;
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};

/// Memory is kept up to this, in blocks of 1 KiB; what is larger goes straight back to the system.
const KEPT: usize = 32 * 1024;

/// Of the whole process.
pub(crate) static MEMORY: Memory = Memory(Mutex::new(Vec::new()));

/// What no hash is using right now: as many pieces as there ever were hashes at once.
pub(crate) struct Memory(Mutex<Vec<Vec<Block>>>);

impl Memory {
    /// Whether this is the hash of the password; not, if it is none of argon2.
    pub(crate) fn matches(&self, password: &str, hash: &str) -> bool {
        self.compare(password, hash).unwrap_or(false)
    }

    fn compare(&self, password: &str, hash: &str) -> Option<bool> {
        let hash = PasswordHash::new(hash).ok()?;
        let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = hash.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
        let params = Params::try_from(&hash).ok()?;
        let blocks = params.block_count();
        let mut memory = self.take(blocks);
        let mut computed = vec![0; expected.as_bytes().len()];
        let argon2 = Argon2::new(algorithm, version, params);
        let done = memory.get_mut(..blocks).map(|memory| {
            argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut computed, memory).is_ok()
        });
        self.give(memory);
        Some(done? && constant_time::verify_slices_are_equal(&computed, expected.as_bytes()).is_ok())
    }

    fn take(&self, blocks: usize) -> Vec<Block> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        if memory.len() < blocks {
            // Nothing of the old one is copied.
            memory = Vec::new();
            memory.resize(blocks, Block::new());
        }
        memory
    }

    fn give(&self, memory: Vec<Block>) {
        if memory.len() <= KEPT {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher as _;

    use super::*;

    fn hash(password: &str, (kib, passes, lanes): (u32, u32, u32)) -> String {
        let params = Params::new(kib, passes, lanes, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password(password.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn one_hash_after_another_is_computed_in_the_same_memory() {
        let memory = Memory(Mutex::new(Vec::new()));
        for costs in [(64, 2, 1), (256, 1, 2), (64, 3, 1), (19_456, 2, 1), (8, 1, 1)] {
            let hash = hash("geheim", costs);
            for (password, fits) in [("geheim", true), ("Geheim", false), ("", false), ("geheim", true)] {
                assert_eq!(memory.matches(password, &hash), fits, "{password} {hash}");
            }
        }
        assert_eq!(memory.0.lock().unwrap().len(), 1);
        assert!(!memory.matches("", "geheim") && !memory.matches("", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ"));
    }

    #[test]
    fn large_memory_is_not_kept() {
        let memory = Memory(Mutex::new(Vec::new()));
        assert!(memory.matches("geheim", &hash("geheim", (33 * 1024, 1, 1))));
        assert!(memory.0.lock().unwrap().is_empty());
    }
}
