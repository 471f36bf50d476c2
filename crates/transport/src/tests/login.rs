//! AUTH: passwords, tokens, and tokens that are refused.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use entra::{AccessToken, TokenError};
use jiff::Timestamp;
use queue::LaneVerdict;
use secret::{ExposeSecret, Secret};

use super::fixture::{HELLO, TAKEN, attempt, lane, message, named, script, settings};
use super::server::Server;
use crate::Refusals;
use crate::auth::{Login, Tokens};
use crate::{SmtpKind, SmtpSettings, SmtpTransport};

/// Gives out these, one after another is discarded.
struct Given {
    answers: Mutex<VecDeque<Result<AccessToken, TokenError>>>,
    discarded: Mutex<Vec<String>>,
    changed: AtomicBool,
}

fn token(text: &str) -> Result<AccessToken, TokenError> {
    Ok(AccessToken { secret: text.to_owned().into(), expires_at: Timestamp::MAX })
}

#[async_trait]
impl Tokens for Given {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        self.answers.lock().unwrap().front().cloned().unwrap()
    }
    fn discard(&self, token: &AccessToken) -> bool {
        self.discarded.lock().unwrap().push(token.secret.expose_secret().to_owned());
        self.answers.lock().unwrap().pop_front();
        true
    }
    fn describe(&self, _: &AccessToken) -> String {
        "audience https://outlook.test, no roles".to_owned()
    }
    async fn changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }
    fn ask_anew(&self) {}
}

fn with_tokens(answers: Vec<Result<AccessToken, TokenError>>) -> (Arc<Given>, Login) {
    let given = Arc::new(Given {
        answers: Mutex::new(answers.into()),
        discarded: Mutex::default(),
        changed: AtomicBool::new(false),
    });
    let tokens: Arc<dyn Tokens> = given.clone();
    (given, Login::XOAuth2 { user: "relay@contoso.test".to_owned(), tokens })
}

fn password() -> Login {
    Login::Password { username: "relay".to_owned(), password: Secret::Inline("pass".to_owned().into()) }
}

fn offering(auth: &str) -> String {
    HELLO.replace("S: 250-DSN", &format!("S: 250-AUTH {auth}"))
}

/// One message; outcome, verdict, and the report.
async fn check(kind: SmtpKind, login: Login, scripts: &[String]) -> (String, String, queue::AttemptReport) {
    let server = Server::start(scripts).await;
    let wanted = SmtpSettings { kind, ..settings(server.address) };
    let transport =
        SmtpTransport::with_login(wanted, m365::Catalogue::builtin(), Arc::new(Refusals::forgetful()), login).unwrap();
    let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
    let result = (named(&report, 0), lane(&report));
    drop(transport);
    server.followed().await;
    (result.0, result.1, report)
}

const LOGIN: &str = "
C: AUTH LOGIN
S: 334 VXNlcm5hbWU6
C: cmVsYXk=
S: 334 UGFzc3dvcmQ6
C: cGFzcw==";
const PLAIN: &str = "C: AUTH PLAIN AHJlbGF5AHBhc3M=";
const WELCOME: &str = "S: 235 2.7.0 Authentication successful";
/// `user=relay@contoso.test^Aauth=Bearer old^A^A` and the same with `new`.
const OLD: &str = "C: AUTH XOAUTH2 dXNlcj1yZWxheUBjb250b3NvLnRlc3QBYXV0aD1CZWFyZXIgb2xkAQE=";
const NEW: &str = "C: AUTH XOAUTH2 dXNlcj1yZWxheUBjb250b3NvLnRlc3QBYXV0aD1CZWFyZXIgbmV3AQE=";
const UNSUCCESSFUL: &str = "S: 535 5.7.3 Authentication unsuccessful [AM0PR.test 2026-11-20]";

#[tokio::test]
async fn a_password_goes_by_login_to_microsoft_and_by_plain_elsewhere() {
    let both = offering("PLAIN LOGIN");
    let cases = [
        (SmtpKind::Submission, script(&[&both, LOGIN, WELCOME, TAKEN])),
        (SmtpKind::Smarthost, script(&[&both, PLAIN, WELCOME, TAKEN])),
        (SmtpKind::Smarthost, script(&[&offering("LOGIN"), LOGIN, WELCOME, TAKEN])),
    ];
    for (kind, play) in cases {
        let (result, verdict, _) = check(kind, password(), &[play]).await;
        assert_eq!((result.as_str(), verdict.as_str()), ("handed over", "healthy"));
    }
}

#[tokio::test]
async fn a_login_that_is_not_offered_is_not_downgraded() {
    for (kind, login, offer) in [
        (SmtpKind::Submission, password(), offering("PLAIN XOAUTH2")),
        (SmtpKind::Submission, with_tokens(vec![token("old")]).1, offering("LOGIN PLAIN")),
        (SmtpKind::Smarthost, password(), HELLO.to_owned()),
    ] {
        let (result, verdict, _) = check(kind, login, &[offer]).await;
        assert_eq!((result.as_str(), verdict.as_str()), ("waiting", "paused Path auth-not-offered"));
    }
}

#[tokio::test]
async fn a_wrong_password_pauses_the_lane() {
    let play = script(&[
        &offering("LOGIN"),
        LOGIN,
        "S: 535 5.7.139 Authentication unsuccessful, the user credentials were incorrect",
    ]);
    let (result, verdict, report) = check(SmtpKind::Submission, password(), &[play]).await;
    assert_eq!((result.as_str(), verdict.as_str()), ("waiting", "paused Credential 5.7.139"));
    let LaneVerdict::Paused(pause) = report.lane else { unreachable!() };
    assert!(pause.remedy.contains("password"), "{pause:?}");
    let play = script(&[&offering("LOGIN"), LOGIN, "S: 454 4.7.0 Temporary authentication failure"]);
    let (result, verdict, _) = check(SmtpKind::Submission, password(), &[play]).await;
    assert_eq!((result.as_str(), verdict.as_str()), ("waiting", "rest"));
}

#[tokio::test]
async fn a_refused_token_is_discarded_and_a_fresh_one_tried_once() {
    let hello = offering("LOGIN XOAUTH2");
    let (given, login) = with_tokens(vec![token("old"), token("new")]);
    let play = script(&[&hello, OLD, UNSUCCESSFUL, NEW, WELCOME, TAKEN]);
    let (result, verdict, report) = check(SmtpKind::Submission, login, &[play]).await;
    assert_eq!((result.as_str(), verdict.as_str()), ("handed over", "healthy"));
    assert_eq!(*given.discarded.lock().unwrap(), ["old"]);
    let refused = "the server refused the token (535 5.7.3 Authentication unsuccessful [AM0PR.test 2026-11-20])";
    assert_eq!(report.notes, [format!("{refused}: a fresh one was taken")]);

    let unavailable = TokenError::Unavailable { reason: "429".to_owned(), retry_after: None };
    let (_, login) = with_tokens(vec![token("old"), Err(unavailable)]);
    let play = script(&[&hello, OLD, UNSUCCESSFUL]);
    let (result, verdict, report) = check(SmtpKind::Submission, login, &[play]).await;
    assert_eq!((result.as_str(), verdict.as_str()), ("waiting", "rest"));
    assert_eq!(report.notes, [format!("{refused}: no fresh one could be had")]);
}

#[tokio::test]
async fn a_second_refusal_pauses_the_lane_and_tells_what_the_token_says_of_itself() {
    let hello = offering("LOGIN XOAUTH2");
    for kind in [SmtpKind::Submission, SmtpKind::Smarthost] {
        let (given, login) = with_tokens(vec![token("old"), token("new")]);
        let play = script(&[&hello, OLD, UNSUCCESSFUL, NEW, UNSUCCESSFUL]);
        let (result, verdict, report) = check(kind, login, &[play]).await;
        assert_eq!((result.as_str(), verdict.as_str()), ("waiting", "paused Mailbox 5.7.3"));
        assert_eq!(given.discarded.lock().unwrap().len(), 1);
        let LaneVerdict::Paused(pause) = report.lane else { unreachable!() };
        assert!(pause.remedy.contains("no roles"), "{pause:?}");
        assert!(!format!("{pause:?}").contains("Bearer"));
        assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    }
}

#[tokio::test]
async fn a_refusal_that_no_token_can_cure_costs_no_token() {
    let (given, login) = with_tokens(vec![token("old"), token("new")]);
    let refused = "S: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant";
    let play = script(&[&offering("XOAUTH2"), OLD, refused]);
    let (_, verdict, report) = check(SmtpKind::Submission, login, &[play]).await;
    assert_eq!(verdict, "paused Mailbox 5.7.139");
    assert!(given.discarded.lock().unwrap().is_empty());
    let LaneVerdict::Paused(pause) = report.lane else { unreachable!() };
    assert!(pause.remedy.contains("Set-CASMailbox"), "{pause:?}");
}

#[tokio::test]
async fn a_refused_login_is_about_the_password_or_about_the_mailbox_of_the_token() {
    let unsuccessful = "S: 535 5.7.3 Authentication unsuccessful";
    for kind in [SmtpKind::Submission, SmtpKind::Smarthost] {
        let play = script(&[&offering("LOGIN"), LOGIN, unsuccessful]);
        let (_, verdict, _) = check(kind, password(), &[play]).await;
        assert_eq!(verdict, "paused Credential 5.7.3");
        let play = script(&[&offering("XOAUTH2"), OLD, "S: 550 5.7.8 Not this mailbox"]);
        let (_, verdict, _) = check(kind, with_tokens(vec![token("old")]).1, &[play]).await;
        assert_eq!(verdict, "paused Mailbox 5.7.8");
    }
}

#[tokio::test]
async fn proxy_failures_at_auth_pause_the_lane_at_the_third_time() {
    let (_, login) = with_tokens(vec![token("old")]);
    let refused = "S: 451 4.7.0 Temporary server error. Please try again later. PRX4";
    let play = script(&[&offering("XOAUTH2"), OLD, refused]);
    let server = Server::start(&[play.clone(), play.clone(), play]).await;
    let wanted = SmtpSettings { kind: SmtpKind::Submission, ..settings(server.address) };
    let transport =
        SmtpTransport::with_login(wanted, m365::Catalogue::builtin(), Arc::new(Refusals::forgetful()), login).unwrap();
    for verdict in ["rest", "rest", "paused Mailbox 4.7.0"] {
        let report = attempt(&transport, &message(&["anna@contoso.test"])).await;
        assert_eq!((named(&report, 0).as_str(), lane(&report).as_str()), ("waiting", verdict));
    }
    server.followed().await;
}

#[tokio::test]
async fn without_a_token_nobody_is_connected_to() {
    let unavailable = TokenError::Unavailable { reason: "429".to_owned(), retry_after: Some(Duration::from_secs(77)) };
    let (_, _, report) = check(SmtpKind::Submission, with_tokens(vec![Err(unavailable)]).1, &[]).await;
    let LaneVerdict::Rest { wait, .. } = report.lane else { panic!("{report:?}") };
    assert_eq!(wait, Duration::from_secs(77));

    let refused = TokenError::Refused {
        code: "AADSTS7000222".to_owned(),
        reason: "the secret has expired".to_owned(),
        remedy: "make a new one".to_owned(),
        probe_after: Duration::from_secs(600),
    };
    let (result, verdict, report) = check(SmtpKind::Submission, with_tokens(vec![Err(refused)]).1, &[]).await;
    assert_eq!((result.as_str(), verdict.as_str()), ("waiting", "paused Credential AADSTS7000222"));
    let LaneVerdict::Paused(pause) = report.lane else { unreachable!() };
    assert_eq!((pause.remedy.as_str(), pause.probe_after.as_secs()), ("make a new one", 600));

    let credential = TokenError::Credential { reason: "no such file".to_owned() };
    let (_, verdict, _) = check(SmtpKind::Submission, with_tokens(vec![Err(credential)]).1, &[]).await;
    assert_eq!(verdict, "paused Credential credential");
}

#[tokio::test]
async fn an_unreadable_password_pauses_the_lane() {
    let missing = Secret::File("/nonexistent/password".into());
    let login = Login::Password { username: "relay".to_owned(), password: missing };
    let (_, verdict, report) = check(SmtpKind::Smarthost, login, &[]).await;
    assert_eq!(verdict, "paused Credential secret");
    assert!(format!("{:?}", report.lane).contains("/nonexistent/password"));
}
