//! Refusals are remembered, trouble passes, and no text has a secret in it.

use std::sync::Arc;
use std::time::Duration;

use posthouse_entra::{Credential, TokenError, TokenSource};
use secret::{ExposeSecret, Secret};

use crate::server::{Clock, SECRET, START, Script, Server, settings, source};

#[tokio::test]
async fn a_refusal_is_not_asked_for_again_before_its_time() {
    let server = Server::start().await;
    let (source, clock) = source(&server);
    server.refuse("invalid_client", "AADSTS7000215: Invalid client secret provided.");
    let mut now = 0;
    for (number, wait) in [30, 60, 120, 300, 600, 900, 900].into_iter().enumerate() {
        for (second, left) in [(now, wait), (now + 1, wait - 1), (now + wait - 1, 1)] {
            clock.set(second);
            let error = source.token().await.unwrap_err();
            let TokenError::Refused { code, probe_after, remedy, reason } = error else { panic!("{error:?}") };
            assert_eq!((code.as_str(), probe_after.as_secs()), ("AADSTS7000215", u64::try_from(left).unwrap()));
            assert!(remedy.contains("secret VALUE"), "{remedy}");
            assert!(reason.ends_with("(trace id trace-1)"), "{reason}");
        }
        assert_eq!(server.requests().len(), number + 1);
        now += wait;
    }
    server.script(Script::Tokens(3_600));
    clock.set(now);
    source.token().await.unwrap();
}

#[tokio::test]
async fn a_new_secret_is_tried_at_once_and_the_same_one_is_not() {
    let server = Server::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let credential = Credential::ClientSecret(Secret::File(file.path().to_owned()));
    let source = TokenSource::new(settings(&server, credential), Clock::default().closure()).unwrap();
    server.refuse("invalid_client", "AADSTS7000222: expired");
    source.token().await.unwrap_err();
    // Written anew, the same: no request.
    std::fs::write(file.path(), "old\n").unwrap();
    source.token().await.unwrap_err();
    assert_eq!(server.requests().len(), 1);
    // Missing: said as it is.
    std::fs::remove_file(file.path()).unwrap();
    let error = source.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Credential { .. }), "{error:?}");
    // Another one: asked at once, and when it is refused too, remembered as well.
    std::fs::write(file.path(), "other").unwrap();
    for _ in 0..3 {
        source.token().await.unwrap_err();
    }
    assert_eq!(server.requests().len(), 2);
    server.script(Script::Tokens(3_600));
    std::fs::write(file.path(), "new").unwrap();
    source.token().await.unwrap();
    let sent: Vec<String> = server.requests().iter().map(|request| request.form["client_secret"].clone()).collect();
    assert_eq!(sent, ["old", "other", "new"]);
}

#[tokio::test]
async fn a_secret_that_appears_is_read_without_a_wait() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let credential = Credential::ClientSecret(Secret::File(path.clone()));
    let source = TokenSource::new(settings(&server, credential), Clock::default().closure()).unwrap();
    for _ in 0..3 {
        let error = source.token().await.unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert_eq!(server.requests().len(), 0);
    std::fs::write(&path, "here").unwrap();
    source.token().await.unwrap();
}

#[tokio::test]
async fn trouble_rests_shortly_and_as_long_as_the_endpoint_asks() {
    let server = Server::start().await;
    let (source, clock) = source(&server);
    let rest = |error| match error {
        TokenError::Unavailable { retry_after, .. } => retry_after.unwrap(),
        other => panic!("{other:?}"),
    };
    server.script(Script::HangUp);
    assert_eq!(rest(source.token().await.unwrap_err()), Duration::from_secs(1));
    assert_eq!(rest(source.token().await.unwrap_err()), Duration::from_secs(1));
    assert_eq!(server.requests().len(), 1);
    clock.set(1);
    server.script(Script::Say(429, "retry-after: 120\r\n", String::new()));
    assert_eq!(rest(source.token().await.unwrap_err()), Duration::from_secs(120));
    clock.set(120);
    assert_eq!(rest(source.token().await.unwrap_err()), Duration::from_secs(1));
    assert_eq!(server.requests().len(), 2);
    clock.set(121);
    server.script(Script::Tokens(3_600));
    source.token().await.unwrap();
}

#[tokio::test]
async fn nobody_listening_is_trouble_that_says_where() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = Server::start().await;
    server.authority = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (source, _) = source(&server);
    let error = source.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().starts_with("cannot connect to 127.0.0.1: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_says_nothing_is_given_up() {
    let server = Server::start().await;
    let (source, _) = source(&server);
    server.script(Script::Silence);
    let before = tokio::time::Instant::now();
    let error = source.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
    assert!(before.elapsed() <= Duration::from_secs(41), "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_huge_answer_is_not_read() {
    let server = Server::start().await;
    let (source, _) = source(&server);
    let token = format!(r#"{{"access_token":"{}","expires_in":3600}}"#, "x".repeat(64 * 1024));
    server.script(Script::Say(200, "", token));
    let error = source.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("more than 64 KiB"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, other) = (Server::start().await, Server::start().await);
    let (source, _) = source(&server);
    let location: &'static str = format!("location: {}/x\r\n", other.authority).leak();
    server.script(Script::Say(307, location, String::new()));
    let error = source.token().await.unwrap_err();
    assert!(matches!(error, TokenError::Refused { ref code, .. } if code == "HTTP 307"), "{error:?}");
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn a_login_service_without_tls_is_refused_beyond_this_machine() {
    let server = Server::start().await;
    for authority in ["http://login.example", "http://192.0.2.1:80", "ftp://login.example", "login.example", "data:x"] {
        let credential = Credential::ClientSecret(Secret::Inline(SECRET.to_owned().into()));
        let mut settings = settings(&server, credential);
        settings.authority = authority.to_owned();
        let error = TokenSource::new(settings, Clock::default().closure()).unwrap_err();
        assert!(matches!(error, TokenError::Credential { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn no_text_has_the_secret_or_the_token_in_it() {
    let server = Server::start().await;
    let (source, clock) = source(&server);
    let token = source.token().await.unwrap();
    let mut shown = vec![format!("{source:?} {token:?} {}", TokenSource::describe(&token))];
    assert!(!shown[0].contains(token.secret.expose_secret()), "{shown:?}");
    source.discard(&token);
    let echo =
        r#"{"error":"invalid_client","error_description":"AADSTS7000215: S3cret~that/must+not be.shown is wrong"}"#;
    for (number, script) in [
        Script::Say(401, "", echo.to_owned()),
        Script::Say(503, "", echo.to_owned()),
        Script::Say(400, "", format!("client_secret={SECRET}")),
        Script::HangUp,
    ]
    .into_iter()
    .enumerate()
    {
        server.script(script);
        clock.set(10_000 * (i64::try_from(number).unwrap() + 1));
        let error = source.token().await.unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }
    assert!(shown.iter().all(|text| !text.contains("S3cret") && !text.contains("must")), "{shown:#?}");
}

#[tokio::test]
async fn requests_are_counted_by_their_end() {
    let server = Server::start().await;
    let clock = Clock::default();
    let credential = Credential::ClientSecret(Secret::Inline(SECRET.to_owned().into()));
    let metrics = Arc::new(telemetry::Metrics::default());
    let source = TokenSource::new(settings(&server, credential), clock.closure()).unwrap();
    let source = source.with_metrics(Arc::clone(&metrics));
    let token = source.token().await.unwrap();
    source.discard(&token);
    server.script(Script::HangUp);
    source.token().await.unwrap_err();
    clock.set(60);
    server.refuse("invalid_client", "AADSTS7000222: expired");
    for _ in 0..5 {
        source.token().await.unwrap_err();
    }
    let page = metrics.render();
    for result in ["ok", "unavailable", "refused"] {
        assert!(page.contains(&format!("posthouse_token_requests_total{{result=\"{result}\"}} 1\n")), "{page}");
    }
}

#[tokio::test]
async fn a_refusal_stands_until_a_token_comes_also_while_the_old_one_is_good() {
    let server = Server::start().await;
    let (source, clock) = source(&server);
    assert_eq!(source.refusal(), None);
    source.token().await.unwrap();
    server.refuse("invalid_client", "AADSTS7000222: The provided client secret keys are expired.");
    for second in [3_400, 3_450] {
        clock.set(second);
        source.token().await.unwrap();
    }
    let refusal = source.refusal().unwrap();
    assert_eq!((refusal.code.as_str(), refusal.since.as_second()), ("AADSTS7000222", START + 3_400));
    assert!(refusal.reason.contains("expired") && !refusal.remedy.is_empty(), "{refusal:?}");

    server.script(Script::HangUp);
    clock.set(4_000);
    source.token().await.unwrap_err();
    assert_eq!(source.refusal(), None, "the network is another matter");
    server.script(Script::Tokens(3_600));
    clock.set(5_000);
    source.token().await.unwrap();
    assert_eq!(source.refusal(), None);
}

#[tokio::test]
async fn another_credential_in_the_place_of_a_refused_one_is_noticed_once() {
    let server = Server::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let credential = Credential::ClientSecret(Secret::File(file.path().to_owned()));
    let source = TokenSource::new(settings(&server, credential), Clock::default().closure()).unwrap();
    assert!(!source.changed().await, "nothing was refused");
    server.refuse("invalid_client", "AADSTS7000215: Invalid client secret provided.");
    source.token().await.unwrap_err();
    assert!(!source.changed().await, "it is the refused one");
    std::fs::write(file.path(), "").unwrap();
    assert!(!source.changed().await, "it cannot be read");
    std::fs::write(file.path(), "new").unwrap();
    assert!(source.changed().await);
    assert!(!source.changed().await, "told once");
    server.script(Script::Tokens(3_600));
    source.token().await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn the_clock_is_compared_with_every_answer_that_says_its_time() {
    let server = Server::start().await;
    let (source, clock) = source(&server);
    assert_eq!(source.clock_skew(), None);
    // The tests' start is 08:00:00. A date stands for the second that begins with it.
    for (date, second, skew) in [
        ("date: Fri, 15 Jan 2027 08:00:00 GMT\r\n", 0, Some(-500)),
        ("date: Fri, 15 Jan 2027 07:50:00 GMT\r\n", 1_000, Some(1_599_500)),
        ("date: yesterday\r\n", 2_000, Some(1_599_500)),
        ("date: Fri, 15 Jan 2027 09:00:00 GMT\r\n", 3_000, Some(-600_500)),
    ] {
        server.script(Script::Say(503, date, String::new()));
        clock.set(second);
        source.token().await.unwrap_err();
        assert_eq!(source.clock_skew().map(|skew| skew.as_millis()), skew, "{date}");
    }
}
