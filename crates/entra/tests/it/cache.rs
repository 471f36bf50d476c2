//! One token for many callers, renewed early, kept through trouble.

use posthouse_entra::TokenError;
use secret::ExposeSecret;
use std::sync::Arc;

use crate::server::{CLIENT, SECRET, START, Script, Server, TENANT, source, until};

#[tokio::test]
async fn a_token_is_asked_for_once_and_then_given_from_the_cache() {
    let server = Server::start().await;
    let (source, clock) = source(&server);
    assert_eq!(server.requests().len(), 0);
    for second in [0, 10, 2_699] {
        clock.set(second);
        let token = source.token().await.unwrap();
        assert_eq!(token.secret.expose_secret(), "token-1");
        assert_eq!(token.expires_at.as_second(), START + 3_600);
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].target, format!("/{TENANT}/oauth2/v2.0/token"));
    for (field, value) in [
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("grant_type", "client_credentials"),
        ("scope", "https://outlook.office365.com/.default"),
    ] {
        assert_eq!(requests[0].form[field], value);
    }
}

#[tokio::test]
async fn a_hundred_callers_share_one_request() {
    let server = Server::start().await;
    let (source, _) = source(&server);
    let gate = server.close_gate();
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let source = Arc::clone(&source);
            tokio::spawn(async move { source.token().await })
        })
        .collect();
    until(|| server.requests().len() == 1).await;
    drop(gate);
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().secret.expose_secret(), "token-1");
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_hundred_callers_share_one_refusal() {
    let server = Server::start().await;
    let (source, _) = source(&server);
    server.refuse("invalid_client", "AADSTS7000215: Invalid client secret provided.");
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let source = Arc::clone(&source);
            tokio::spawn(async move { source.token().await })
        })
        .collect();
    for caller in callers {
        let error = caller.await.unwrap().unwrap_err();
        assert!(matches!(error, TokenError::Refused { ref code, .. } if code == "AADSTS7000215"), "{error:?}");
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_the_request_from_nobody() {
    let server = Server::start().await;
    let (source, _) = source(&server);
    let gate = server.close_gate();
    let first = tokio::spawn({
        let source = Arc::clone(&source);
        async move { source.token().await }
    });
    until(|| server.requests().len() == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    drop(gate);
    assert_eq!(source.token().await.unwrap().secret.expose_secret(), "token-1");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_old_token_is_renewed_without_holding_up_anybody() {
    let server = Server::start().await;
    let (source, clock) = source(&server);
    source.token().await.unwrap();
    clock.set(2_700);
    let gate = server.close_gate();
    for _ in 0..10 {
        assert_eq!(source.token().await.unwrap().secret.expose_secret(), "token-1");
    }
    until(|| server.requests().len() == 2).await;
    drop(gate);
    loop {
        if source.token().await.unwrap().secret.expose_secret() == "token-2" {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_token_with_less_than_five_minutes_is_not_given_out_while_the_endpoint_works() {
    let server = Server::start().await;
    let (source, clock) = source(&server);
    source.token().await.unwrap();
    clock.set(3_301);
    assert_eq!(source.token().await.unwrap().secret.expose_secret(), "token-2");
}

#[tokio::test]
async fn a_good_token_is_kept_through_an_outage_and_a_refusal() {
    let server = Server::start().await;
    let (source, clock) = source(&server);
    source.token().await.unwrap();
    for script in [Script::HangUp, Script::Say(503, "", String::new()), Script::Say(200, "", "<html>".to_owned())] {
        server.script(script);
        for second in [2_700, 3_000, 3_301, 3_500] {
            clock.set(second);
            assert_eq!(source.token().await.unwrap().secret.expose_secret(), "token-1");
        }
    }
    server.refuse("invalid_client", "AADSTS7000222: expired");
    clock.set(3_569);
    assert_eq!(source.token().await.unwrap().secret.expose_secret(), "token-1");
    // Spent: now the refusal is said.
    clock.set(3_570);
    source.token().await.unwrap_err();
    server.script(Script::Tokens(3_600));
    clock.set(10_000);
    source.token().await.unwrap();
}

#[tokio::test]
async fn a_discarded_token_is_not_given_out_again() {
    let server = Server::start().await;
    let (source, _) = source(&server);
    let token = source.token().await.unwrap();
    assert!(source.discard(&token));
    assert!(!source.discard(&token));
    assert_eq!(source.token().await.unwrap().secret.expose_secret(), "token-2");
    assert!(!source.discard(&token));
    assert_eq!(source.token().await.unwrap().secret.expose_secret(), "token-2");
}
