//! The token source: joins cache, credential and endpoint, and keeps one request in flight.
//!
//! A request runs in a task of its own, so that a caller who goes away takes nothing from the others, and so that a renewal
//! holds up nobody while the old token is good.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use m365::Catalogue;
use telemetry::Metrics;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::answer::{self, Issued};
use crate::cache::{Cache, Decision};
use crate::credential::{self, Fingerprint, Material};
use crate::endpoint::Endpoint;
use crate::{AccessToken, Settings, StandingRefusal, TokenError, claims};

/// Reading the credential and the whole request together; the request alone has less.
const REQUEST_LIMIT: Duration = Duration::from_secs(40);

/// Gives out tokens of one application for one resource. Cheap to clone by `Arc`.
pub struct TokenSource {
    inner: Arc<Inner>,
}

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
type TokenResult = Result<AccessToken, TokenError>;
type Flight = watch::Receiver<Option<TokenResult>>;

struct Inner {
    settings: Settings,
    clock: Clock,
    endpoint: Endpoint,
    catalogue: Arc<Catalogue>,
    metrics: OnceLock<Arc<Metrics>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cache: Cache,
    flight: Option<Flight>,
    skew: Option<SignedDuration>,
}

impl TokenSource {
    /// No request is made yet. Errors: the CA file cannot be read, the authority is no URL, or is not HTTPS.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, TokenError> {
        let endpoint = Endpoint::new(&settings.authority, &settings.tenant, settings.ca.as_deref())?;
        let (catalogue, metrics, state) = (Catalogue::builtin(), OnceLock::new(), Mutex::default());
        Ok(Self { inner: Arc::new(Inner { settings, clock, endpoint, catalogue, metrics, state }) })
    }

    /// Counts its requests there.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        // Set once: a second call changes nothing.
        let _ = self.inner.metrics.set(metrics);
        self
    }

    /// A token with at least five minutes of life: from the cache, or asked for (one request in flight, all wait for it).
    /// When the endpoint gives none, the old one is given out for as long as it has life.
    pub async fn token(&self) -> TokenResult {
        loop {
            let (flight, fallback) = match self.inner.decide() {
                Next::Give(token) => return Ok(token),
                Next::Wait { flight, fallback } => (flight, fallback),
                Next::Remembered { error, fingerprint } => {
                    self.inner.recheck(error, fingerprint).await?;
                    continue;
                }
            };
            let result = join(flight).await;
            return result.or_else(|error| fallback.filter(|old| self.inner.lives(old)).ok_or(error));
        }
    }

    /// The server refused this token: do not give it out again. Returns whether it was the cached one.
    pub fn discard(&self, token: &AccessToken) -> bool {
        self.inner.state().cache.discard(token)
    }

    /// By how much this machine's clock was ahead of the login service's when that answered last; negative: behind. `None`: it
    /// has not answered yet, or did not say its time.
    pub fn clock_skew(&self) -> Option<SignedDuration> {
        self.inner.state().skew
    }

    /// What the application proves itself with, if it says itself when it ends: `the certificate /etc/…/app.pem`. Read anew;
    /// blocks for a small file.
    pub fn expires_at(&self) -> Option<(String, Timestamp)> {
        credential::expires_at(&self.inner.settings.credential)
    }

    /// The last refusal, if no token has come since: also while an old token is still good and nothing else shows that it
    /// cannot be renewed (`AADSTS7000222`: the secret has expired).
    pub fn refusal(&self) -> Option<StandingRefusal> {
        let state = self.inner.state();
        let (error, _, since) = state.cache.standing()?;
        let TokenError::Refused { code, reason, remedy, .. } = error else { return None };
        let (code, reason, remedy) = (code.clone(), reason.clone(), remedy.clone());
        Some(StandingRefusal { code, reason, remedy, since })
    }

    /// Whether another credential lies where the refused (or unreadable) one did. True once; the next token is then asked for
    /// at once. Reads the credential if something was refused, else costs nothing.
    pub async fn changed(&self) -> bool {
        let refused = self.inner.state().cache.standing().map(|(_, fingerprint, _)| fingerprint);
        match refused {
            Some(refused) => self.inner.is_another_than(refused).await.unwrap_or(false),
            None => false,
        }
    }

    /// An operator says that the trouble is cured: the next token is asked for although a refusal is remembered.
    pub fn ask_anew(&self) {
        self.inner.state().cache.ask_anew();
    }

    /// What the token says of itself, for the operator's hint after a `535 5.7.3`: audience, roles, expiry. No secret in it.
    pub fn describe(token: &AccessToken) -> String {
        claims::describe(token)
    }
}

/// Who asks for what; nothing else.
impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { tenant, client_id, scope, .. } = &self.inner.settings;
        let mut shown = f.debug_struct("TokenSource");
        shown.field("tenant", tenant).field("client_id", client_id).field("scope", scope).finish_non_exhaustive()
    }
}

/// What a caller does next.
enum Next {
    Give(AccessToken),
    Wait { flight: Flight, fallback: Option<AccessToken> },
    Remembered { error: TokenError, fingerprint: Option<Fingerprint> },
}

impl Inner {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lives(&self, token: &AccessToken) -> bool {
        self.now() < token.expires_at
    }

    fn decide(self: &Arc<Self>) -> Next {
        let mut state = self.state();
        match state.cache.decide(self.now()) {
            Decision::Give(token) => Next::Give(token),
            Decision::GiveAndRenew(token) => {
                self.flight(&mut state);
                Next::Give(token)
            }
            Decision::Ask { fallback } => Next::Wait { flight: self.flight(&mut state), fallback },
            Decision::Remembered { error, fingerprint } => Next::Remembered { error, fingerprint },
        }
    }

    /// The request under way, or a new one.
    fn flight(self: &Arc<Self>, state: &mut State) -> Flight {
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return flight.clone();
        }
        let (done, flight) = watch::channel(None);
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let result = inner.ask_and_settle().await;
            done.send_replace(Some(result));
        });
        state.flight = Some(flight.clone());
        flight
    }

    /// A refusal, or an unreadable credential, is believed until the credential is another one.
    async fn recheck(&self, error: TokenError, refused: Option<Fingerprint>) -> Result<(), TokenError> {
        if matches!(error, TokenError::Unavailable { .. }) {
            return Err(error);
        }
        if self.is_another_than(refused).await? { Ok(()) } else { Err(error) }
    }

    /// Whether the credential is another one; what was said of the old one is forgotten then.
    async fn is_another_than(&self, refused: Option<Fingerprint>) -> Result<bool, TokenError> {
        let material = self.read_credential().await?;
        if Some(material.fingerprint) == refused {
            return Ok(false);
        }
        info!(client_id = self.settings.client_id, "the credential has changed: a token is asked for again");
        self.state().cache.forget(refused);
        Ok(true)
    }

    async fn ask_and_settle(&self) -> TokenResult {
        let asked_at = self.now();
        let (result, fingerprint) = match timeout(REQUEST_LIMIT, self.ask(asked_at)).await {
            Ok(outcome) => outcome,
            Err(_) => (Err(TokenError::unavailable("no token within 40 seconds")), None),
        };
        let mut state = self.state();
        let recovered = state.cache.in_setback();
        let result = state.cache.settle(asked_at, self.now(), fingerprint, result);
        let fallback = state.cache.expires_at();
        state.flight = None;
        drop(state);
        self.tell(&result, recovered, fallback);
        result
    }

    async fn ask(&self, now: Timestamp) -> (Result<Issued, TokenError>, Option<Fingerprint>) {
        let material = match self.read_credential().await {
            Ok(material) => material,
            Err(error) => return (Err(error), None),
        };
        let fingerprint = Some(material.fingerprint);
        let result = self.ask_with(material, now).await;
        if let Some(metrics) = self.metrics.get() {
            match &result {
                Ok(_) => metrics.token_requested("ok"),
                Err(TokenError::Refused { .. }) => metrics.token_requested("refused"),
                Err(TokenError::Unavailable { .. }) => metrics.token_requested("unavailable"),
                Err(TokenError::Credential { .. }) => {}
            }
        }
        (result, fingerprint)
    }

    async fn ask_with(&self, material: Material, now: Timestamp) -> Result<Issued, TokenError> {
        let Settings { client_id, scope, .. } = &self.settings;
        let (audience, client) = (self.endpoint.url().to_owned(), client_id.clone());
        // Signing takes a millisecond of CPU.
        let proof = blocking(move || material.prove(&audience, &client, now)).await??;
        let response = self.endpoint.post(client_id, scope, &proof).await?;
        self.compare_clocks(now, response.date);
        answer::read(&response, &self.catalogue, &proof)
    }

    /// The answer was dated somewhere between then and now, and dates have whole seconds: half of both is the best guess.
    fn compare_clocks(&self, asked_at: Timestamp, date: Option<Timestamp>) {
        let Some(date) = date else { return };
        let half_way = self.now().duration_since(asked_at).max(SignedDuration::ZERO) / 2;
        let skew = asked_at.duration_since(date) + half_way - SignedDuration::from_millis(500);
        self.state().skew = Some(skew);
    }

    async fn read_credential(&self) -> Result<Material, TokenError> {
        let credential = self.settings.credential.clone();
        match timeout(REQUEST_LIMIT, blocking(move || Material::read(&credential))).await {
            Ok(read) => read?,
            Err(_) => Err(TokenError::credential("the credential could not be read within 40 seconds")),
        }
    }

    /// Callers learn of an error by themselves; only while the old token hides it from them it is said here.
    fn tell(&self, result: &TokenResult, recovered: bool, fallback: Option<Timestamp>) {
        let Settings { tenant, client_id, .. } = &self.settings;
        match (result, fallback) {
            (Ok(token), _) if recovered => {
                info!(tenant, client_id, expires_at = %token.expires_at, "access tokens are given out again");
            }
            (Ok(token), _) => debug!(tenant, client_id, expires_at = %token.expires_at, "access token obtained"),
            (Err(error), Some(until)) => {
                let hint = match error {
                    TokenError::Refused { remedy, .. } => remedy.as_str(),
                    _ => "it is asked for again",
                };
                warn!(tenant, client_id, %until, hint, "the access token cannot be renewed, the old one is used on: {error}");
            }
            (Err(error), None) => debug!(tenant, client_id, "no access token: {error}"),
        }
    }
}

async fn join(mut flight: Flight) -> TokenResult {
    let done = flight.wait_for(Option::is_some).await.ok().and_then(|result| result.clone());
    done.unwrap_or_else(|| Err(TokenError::unavailable("the request for a token was broken off")))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TokenError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| TokenError::unavailable("the request for a token was broken off"))
}
