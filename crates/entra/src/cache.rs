//! The token that is held, and what is remembered of failures. Pure: `now` comes in.
//!
//! Life of a token: given out; from three quarters of its life on (but at least five minutes before its end) renewed behind
//! the scenes; in its last five minutes callers wait for the renewal; when that fails, the token is used to its last half
//! minute. Failures: no request before a wait is over, which grows from one failure to the next.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secret::ExposeSecret;

use crate::answer::Issued;
use crate::credential::Fingerprint;
use crate::{AccessToken, TokenError};

/// So much life is left in a token that is given out while the endpoint works.
const FRESH: Duration = m365::limits::TOKEN_LIFE_LEFT;
/// With less left it is not given out at all: a session begun with it would be refused.
const SPENT: Duration = Duration::from_secs(30);
/// After a refusal, the last one from then on.
const REFUSED: [Duration; 6] = seconds([30, 60, 120, 300, 600, 900]);
/// After a failure of network or endpoint.
const UNAVAILABLE: [Duration; 6] = seconds([1, 2, 5, 10, 30, 60]);
/// An endpoint that asks for a longer wait is asked again all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

const fn seconds<const N: usize>(numbers: [u64; N]) -> [Duration; N] {
    let mut durations = [Duration::ZERO; N];
    let mut index = 0;
    while index < N {
        #[expect(clippy::indexing_slicing, reason = "below N, and checked by the compiler: only called in constants")]
        {
            durations[index] = Duration::from_secs(numbers[index]);
        }
        index += 1;
    }
    durations
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    held: Option<Held>,
    setback: Option<Setback>,
}

/// What a caller gets.
#[derive(Debug)]
pub(crate) enum Decision {
    Give(AccessToken),
    GiveAndRenew(AccessToken),
    /// Ask and wait; the fallback is for when that fails.
    Ask {
        fallback: Option<AccessToken>,
    },
    /// No request now. The fingerprint is that of the credential which failed, if it could be read.
    Remembered {
        error: TokenError,
        fingerprint: Option<Fingerprint>,
    },
}

#[derive(Debug)]
struct Held {
    token: AccessToken,
    renew_at: Timestamp,
    stale_at: Timestamp,
    spent_at: Timestamp,
}

/// The last request failed.
#[derive(Debug)]
struct Setback {
    error: TokenError,
    fingerprint: Option<Fingerprint>,
    at: Timestamp,
    /// When the first of its kind in a row came.
    since: Timestamp,
    wait: Duration,
    failures: usize,
}

impl Cache {
    pub(crate) fn decide(&self, now: Timestamp) -> Decision {
        let resting = self.setback.as_ref().and_then(|setback| Some((setback, setback.rest(now)?)));
        match (self.held.as_ref().filter(|held| now < held.spent_at), resting) {
            (Some(held), _) if now < held.renew_at => Decision::Give(held.token.clone()),
            (Some(held), Some(_)) => Decision::Give(held.token.clone()),
            (Some(held), None) if now < held.stale_at => Decision::GiveAndRenew(held.token.clone()),
            (held, None) => Decision::Ask { fallback: held.map(|held| held.token.clone()) },
            (None, Some((setback, rest))) => {
                Decision::Remembered { error: resting_error(&setback.error, rest), fingerprint: setback.fingerprint }
            }
        }
    }

    /// Takes in what came of a request.
    pub(crate) fn settle(
        &mut self,
        asked_at: Timestamp,
        now: Timestamp,
        fingerprint: Option<Fingerprint>,
        result: Result<Issued, TokenError>,
    ) -> Result<AccessToken, TokenError> {
        match result {
            Ok(issued) => {
                let held = Held::new(issued, asked_at);
                let token = held.token.clone();
                (self.held, self.setback) = (Some(held), None);
                Ok(token)
            }
            Err(error) => {
                let setback = Setback::new(error, fingerprint, now, self.setback.as_ref());
                let error = resting_error(&setback.error, setback.wait);
                self.setback = Some(setback);
                Err(error)
            }
        }
    }

    /// Another credential is there than the one that failed.
    pub(crate) fn forget(&mut self, failed: Option<Fingerprint>) {
        self.setback.take_if(|setback| setback.fingerprint == failed);
    }

    /// The wait after a failure is over; how many there were is remembered.
    pub(crate) fn ask_anew(&mut self) {
        if let Some(setback) = &mut self.setback {
            setback.wait = Duration::ZERO;
        }
    }

    pub(crate) fn discard(&mut self, token: &AccessToken) -> bool {
        let secret = token.secret.expose_secret();
        self.held.take_if(|held| held.token.secret.expose_secret() == secret).is_some()
    }

    /// The refusal, or what is wrong with the credential, as long as no token came after it.
    pub(crate) fn standing(&self) -> Option<(&TokenError, Option<Fingerprint>, Timestamp)> {
        let setback = self.setback.as_ref()?;
        let passes = matches!(setback.error, TokenError::Unavailable { .. });
        (!passes).then_some((&setback.error, setback.fingerprint, setback.since))
    }

    pub(crate) fn in_setback(&self) -> bool {
        self.setback.is_some()
    }

    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|held| held.token.expires_at)
    }
}

impl Held {
    fn new(issued: Issued, asked_at: Timestamp) -> Self {
        let life = issued.expires_in;
        let fresh = FRESH.min(life / 4);
        // 75 % of the life, or five minutes before its end if that is earlier; a short life at its half.
        let renew = (life * 3 / 4).min(life.saturating_sub(FRESH)).max(life / 2);
        let after = |duration: Duration| later(asked_at, duration);
        Self {
            renew_at: after(renew),
            stale_at: after(life.saturating_sub(fresh)),
            spent_at: after(life.saturating_sub(SPENT.min(life / 10))),
            token: AccessToken { secret: issued.secret, expires_at: after(life) },
        }
    }
}

impl Setback {
    fn new(error: TokenError, fingerprint: Option<Fingerprint>, at: Timestamp, before: Option<&Self>) -> Self {
        let again = |before: &&Self| {
            before.fingerprint == fingerprint && std::mem::discriminant(&before.error) == std::mem::discriminant(&error)
        };
        let (failures, since) = before.filter(again).map_or((0, at), |before| (before.failures + 1, before.since));
        let step = |waits: &[Duration; 6]| waits.get(failures).or(waits.last()).copied().unwrap_or_default();
        let wait = match &error {
            TokenError::Refused { .. } => step(&REFUSED),
            TokenError::Unavailable { retry_after, .. } => step(&UNAVAILABLE).max(retry_after.unwrap_or_default()),
            TokenError::Credential { .. } => step(&UNAVAILABLE),
        };
        Self { error, fingerprint, at, since, wait: wait.min(LONGEST_WAIT), failures }
    }

    /// How long no request is made yet. A clock that was set back does not prolong it.
    fn rest(&self, now: Timestamp) -> Option<Duration> {
        let passed = Duration::try_from(now.duration_since(self.at)).ok()?;
        self.wait.checked_sub(passed).filter(|rest| !rest.is_zero())
    }
}

/// The remembered error with the wait that is left of it.
fn resting_error(error: &TokenError, rest: Duration) -> TokenError {
    let mut error = error.clone();
    match &mut error {
        TokenError::Unavailable { retry_after, .. } => *retry_after = Some(rest),
        TokenError::Refused { probe_after, .. } => *probe_after = rest,
        TokenError::Credential { .. } => {}
    }
    error
}

fn later(from: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| from.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn issued(secret: &str, life: u64) -> Issued {
        Issued { secret: secret.to_owned().into(), expires_in: Duration::from_secs(life) }
    }

    fn refused() -> TokenError {
        let (code, reason, remedy) = ("AADSTS7000215".to_owned(), "wrong".to_owned(), "right it".to_owned());
        TokenError::Refused { code, reason, remedy, probe_after: Duration::ZERO }
    }

    /// One letter for the decision, and the token given.
    fn decided(cache: &Cache, second: i64) -> String {
        let name = |token: &AccessToken| token.secret.expose_secret().to_owned();
        match cache.decide(at(second)) {
            Decision::Give(token) => format!("give {}", name(&token)),
            Decision::GiveAndRenew(token) => format!("renew {}", name(&token)),
            Decision::Ask { fallback } => format!("ask {}", fallback.as_ref().map(name).unwrap_or_default()),
            Decision::Remembered { error: TokenError::Refused { probe_after, .. }, .. } => {
                format!("refused {}", probe_after.as_secs())
            }
            Decision::Remembered { error: TokenError::Unavailable { retry_after, .. }, .. } => {
                format!("unavailable {}", retry_after.unwrap().as_secs())
            }
            Decision::Remembered { .. } => "credential".to_owned(),
        }
    }

    #[test]
    fn a_token_goes_through_its_life() {
        let mut cache = Cache::default();
        assert_eq!(decided(&cache, 0), "ask ");
        cache.settle(at(0), at(1), None, Ok(issued("a", 3_600))).unwrap();
        for (second, decision) in [
            (0, "give a"),
            (2_699, "give a"),
            (2_700, "renew a"),
            (3_299, "renew a"),
            (3_300, "ask a"),
            (3_569, "ask a"),
            (3_570, "ask "),
        ] {
            assert_eq!(decided(&cache, second), decision, "{second}");
        }
    }

    #[test]
    fn a_token_of_a_minute_is_not_renewed_at_once() {
        let mut cache = Cache::default();
        cache.settle(at(0), at(0), None, Ok(issued("a", 60))).unwrap();
        for (second, decision) in [(0, "give a"), (29, "give a"), (30, "renew a"), (45, "ask a"), (54, "ask ")] {
            assert_eq!(decided(&cache, second), decision, "{second}");
        }
    }

    #[test]
    fn while_requests_rest_the_old_token_is_given_out_to_its_end() {
        let mut cache = Cache::default();
        cache.settle(at(0), at(0), None, Ok(issued("a", 3_600))).unwrap();
        cache.settle(at(3_290), at(3_290), None, Err(refused())).unwrap_err();
        assert_eq!(decided(&cache, 3_319), "give a");
        assert_eq!(decided(&cache, 3_320), "ask a");
        cache.settle(at(3_560), at(3_560), None, Err(refused())).unwrap_err();
        assert_eq!(decided(&cache, 3_569), "give a");
        assert_eq!(decided(&cache, 3_570), "refused 50");
    }

    #[test]
    fn waits_grow_to_their_last_step_and_begin_anew_with_another_credential() {
        let (mut cache, mut now) = (Cache::default(), 0);
        for wait in [30, 60, 120, 300, 600, 900, 900] {
            cache.settle(at(now), at(now), Some([1; 32]), Err(refused())).unwrap_err();
            assert_eq!(decided(&cache, now), format!("refused {wait}"));
            assert_eq!(decided(&cache, now + wait), "ask ");
            now += wait;
        }
        cache.settle(at(now), at(now), Some([2; 32]), Err(refused())).unwrap_err();
        assert_eq!(decided(&cache, now), "refused 30");
        cache.forget(Some([1; 32]));
        assert_eq!(decided(&cache, now), "refused 30");
        cache.forget(Some([2; 32]));
        assert_eq!(decided(&cache, now), "ask ");
    }

    #[test]
    fn a_longer_wait_is_kept_if_the_endpoint_asks_for_it_within_bounds() {
        let mut cache = Cache::default();
        for (asked, wait) in [(None, 1), (Some(0), 2), (Some(120), 120), (Some(1_000_000), 3_600)] {
            let retry_after = asked.map(Duration::from_secs);
            let error = TokenError::Unavailable { reason: "busy".to_owned(), retry_after };
            cache.settle(at(0), at(0), None, Err(error)).unwrap_err();
            assert_eq!(decided(&cache, 0), format!("unavailable {wait}"));
        }
    }

    #[test]
    fn whoever_asks_anew_ends_the_wait_and_the_next_one_is_longer_all_the_same() {
        let mut cache = Cache::default();
        cache.settle(at(0), at(0), None, Err(refused())).unwrap_err();
        assert_eq!(decided(&cache, 1), "refused 29");
        cache.ask_anew();
        assert_eq!(decided(&cache, 1), "ask ");
        assert!(cache.standing().is_some(), "it is still the last word");
        cache.settle(at(1), at(1), None, Err(refused())).unwrap_err();
        assert_eq!(decided(&cache, 1), "refused 60");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_prolong_a_wait() {
        let mut cache = Cache::default();
        cache.settle(at(0), at(1_000_000), None, Err(refused())).unwrap_err();
        assert_eq!(decided(&cache, 0), "ask ");
    }

    #[test]
    fn only_the_token_that_is_held_can_be_discarded() {
        let mut cache = Cache::default();
        let first = cache.settle(at(0), at(0), None, Ok(issued("a", 3_600))).unwrap();
        cache.settle(at(1), at(1), None, Ok(issued("b", 3_600))).unwrap();
        assert!(!cache.discard(&first));
        assert_eq!(decided(&cache, 2), "give b");
        let Decision::Give(second) = cache.decide(at(2)) else { panic!("b is held") };
        assert!(cache.discard(&second));
        assert_eq!(decided(&cache, 2), "ask ");
    }
}
