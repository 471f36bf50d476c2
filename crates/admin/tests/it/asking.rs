//! What the typed client gets to know, and what it can have done.

use api::{ClientError, Event, Filter, Order, Query, RecipientState, Selection, Step, Word};

use crate::memory::BYTES;
use crate::running::{BUDGET, CREDENTIAL, LANE, Running, message};

async fn with_three() -> Running {
    let running = Running::start().await;
    running.spool.put(message(1, "<scan@contoso.com>"));
    running.spool.put(message(2, "<erp@contoso.com>"));
    running.spool.put(message(3, "<>"));
    running
}

fn filter(sender: &str) -> Selection {
    Selection::Filter(Filter { sender: Some(sender.to_owned()), ..Filter::default() })
}

fn order(messages: Selection) -> Order {
    Order { messages, reason: None }
}

fn refusal(error: ClientError) -> (u16, String) {
    match error {
        ClientError::Refused { status, refusal } => (status, refusal.error),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_status_tells_of_every_part() {
    let running = with_three().await;
    let status = running.client.status().await.unwrap();
    assert_eq!(
        (status.version.as_str(), status.hostname.as_str(), status.uptime_seconds),
        ("1.2.3", "relay.contoso.com", 90)
    );
    assert!(status.ready, "{:?}", status.not_ready);
    assert_eq!(status.listeners[0].address.to_string(), "127.0.0.1:2525");
    assert_eq!((status.counters.messages, status.counters.queued, status.counters.conserved), (3, 6, true));
    let lane = &status.lanes[0];
    assert_eq!((lane.name.as_str(), lane.configured, lane.queued), (LANE, true, 3));
    assert_eq!((lane.pool.as_str(), lane.connection_permits, lane.connection_ceiling), (LANE, 3, 3));
    assert_eq!((lane.messages_per_minute, lane.budgets.as_slice()), (Some(30), [BUDGET.to_owned()].as_slice()));
    let budget = &status.budgets[0];
    assert_eq!((budget.name.as_str(), budget.counts.as_str(), budget.window_seconds), (BUDGET, "messages", 60));
    assert_eq!((budget.limit, budget.ceiling, budget.reserve, &budget.learnt), (30, 30, 0, &None));
    assert_eq!(status.forecasts[0].messages, 3);
    assert_eq!((status.breakers.len(), status.incidents.len(), &lane.paused), (0, 0, &None));
}

#[tokio::test]
async fn lists_come_in_pages_and_by_filter() {
    let running = with_three().await;
    let first = running.client.queue(&Query { max: Some(2), ..Query::default() }).await.unwrap();
    assert_eq!(first.messages.len(), 2);
    let rest = running.client.queue(&Query { max: Some(2), from: first.next, ..Query::default() }).await.unwrap();
    assert_eq!((rest.messages.len(), rest.next), (1, None));
    assert_eq!(rest.messages[0].reverse_path, "<>");
    let scans = Query { sender: Some("scan@".to_owned()), held: Some(false), ..Query::default() };
    let scans = running.client.queue(&scans).await.unwrap().messages;
    assert_eq!(scans.len(), 1);
    assert_eq!(scans[0].recipients[1].forward_path, "<ben@contoso.com>");
    assert_eq!(scans[0].recipients[1].state, RecipientState::Queued { last: None, unconfirmed: false });
    let (status, error) =
        refusal(running.client.queue(&Query { max: Some(1001), ..Query::default() }).await.unwrap_err());
    assert_eq!((status, error.as_str()), (400, "a page has 1 to 1000 messages, not 1001"));
}

#[tokio::test]
async fn a_message_is_told_whole_and_its_bytes_are_given() {
    let running = with_three().await;
    let id = running.client.queue(&Query::default()).await.unwrap().messages[0].id.clone();
    let message = running.client.message(&id.to_lowercase()).await.unwrap();
    assert_eq!((message.summary.id.as_str(), message.settled, message.helo.as_str()), (id.as_str(), false, "printer"));
    assert_eq!(message.story[0].step, Step::Accepted);
    let mut raw = running.client.raw(&id).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = raw.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes, BYTES);
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_not_there() {
    let running = Running::start().await;
    let error = running.client.message("0000000000009").await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let (status, error) = refusal(running.client.message("../status").await.unwrap_err());
    assert_eq!(status, 400);
    assert!(error.starts_with("`../status` is not a message id"), "{error}");
    assert!(running.client.probe("contoso/nowhere").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn orders_go_by_filter_by_id_or_to_all() {
    let running = with_three().await;
    let hold = Order { messages: filter("contoso.com"), reason: Some("quarter end".to_owned()) };
    let done = running.client.order(Word::Hold, &hold).await.unwrap();
    assert_eq!((done.matched, done.done, done.failures.len()), (2, 2, 0));
    let held = running.client.queue(&Query { held: Some(true), ..Query::default() }).await.unwrap().messages;
    assert_eq!(held.len(), 2);
    assert_eq!(held[0].held.as_ref().unwrap().reason, "quarter end");
    let ids = vec![held[0].id.clone(), "0000000000009".to_owned()];
    let done = running.client.order(Word::Remove, &order(Selection::Ids(ids))).await.unwrap();
    assert_eq!((done.matched, done.done, done.failures[0].id.as_str()), (2, 1, "0000000000009"));
    let done = running.client.order(Word::Release, &order(Selection::All)).await.unwrap();
    assert_eq!((done.matched, done.done), (1, 1), "only held messages are meant: {:?}", done.failures);
}

#[tokio::test]
async fn a_filter_without_a_condition_removes_nothing() {
    let running = with_three().await;
    let nothing = order(Selection::Filter(Filter::default()));
    let (status, error) = refusal(running.client.order(Word::Remove, &nothing).await.unwrap_err());
    assert_eq!((status, error.as_str()), (400, "a filter without a condition would match every message"));
    assert_eq!(running.client.queue(&Query::default()).await.unwrap().messages.len(), 3);
}

#[tokio::test]
async fn what_happens_can_be_watched_until_the_relay_stops() {
    let running = with_three().await;
    let mut events = running.client.events().await.unwrap();
    running.client.order(Word::Retry, &order(filter("scan@"))).await.unwrap();
    let mut steps = Vec::new();
    loop {
        let Some(Event::Message { id, what, recipients, settled, .. }) = events.next().await.unwrap() else {
            panic!("{steps:?}")
        };
        assert_eq!(recipients.len(), 2);
        steps.push(what.step);
        if settled {
            let message = running.client.message(&id).await.unwrap();
            let RecipientState::HandedOver { remote, .. } = &message.summary.recipients[0].state else {
                panic!("{message:?}")
            };
            assert_eq!((remote.code, remote.remote_id.as_deref()), (250, Some("<1@test>")));
            assert_eq!(message.summary.due_at, None);
            assert!(running.client.raw(&id).await.unwrap_err().is_not_found());
            assert_eq!(running.client.history(&Query::default()).await.unwrap().messages[0].id, id);
            break;
        }
    }
    let Some(Step::Attempted { lane, took_ms: 7, outcomes, notes }) = steps.last() else { panic!("{steps:?}") };
    assert_eq!(*notes, ["on foot"]);
    assert_eq!((lane.as_str(), outcomes[0].outcome.as_str(), outcomes[0].recipients.len()), (LANE, "handed-over", 2));
    running.stop().await;
    assert!(events.next().await.unwrap().is_none());
}

#[tokio::test]
async fn what_does_not_work_is_an_event_a_breaker_and_an_incident_until_it_works_again() {
    let running = Running::start().await;
    let mut events = running.client.events().await.unwrap();
    running.spool.put(message(1, "<broken@contoso.com>"));
    running.client.order(Word::Retry, &order(Selection::All)).await.unwrap();
    let opened = loop {
        if let Event::BreakerOpened(opened) = events.next().await.unwrap().unwrap() {
            break opened;
        }
    };
    assert_eq!(
        (opened.scope.as_str(), opened.name.as_str(), opened.lanes.as_slice()),
        ("credential", CREDENTIAL, [LANE.to_owned()].as_slice())
    );
    let status = running.client.status().await.unwrap();
    assert_eq!(status.breakers.first(), Some(&opened));
    assert_eq!((opened.pause.code.as_str(), opened.pause.remedy.as_str()), ("AADSTS7000222", "make a new one"));
    assert_eq!(status.lanes[0].paused.as_ref(), Some(&opened.pause));
    let incident = &status.incidents[0];
    assert_eq!((incident.kind.as_str(), incident.about.as_str()), ("breaker", "credential contoso/6666"));
    assert_eq!((incident.severity.as_str(), incident.code.as_deref()), ("critical", Some("AADSTS7000222")));

    running.client.order(Word::Remove, &order(Selection::All)).await.unwrap();
    running.spool.put(message(2, "<well@contoso.com>"));
    running.client.order(Word::Retry, &order(Selection::All)).await.unwrap();
    running.client.probe("credential contoso/6666").await.unwrap();
    loop {
        if let Event::BreakerClosed { scope, name, .. } = events.next().await.unwrap().unwrap() {
            assert_eq!((scope.as_str(), name.as_str()), ("credential", CREDENTIAL));
            break;
        }
    }
    let status = running.client.status().await.unwrap();
    assert_eq!((status.breakers.len(), status.incidents.len(), &status.lanes[0].paused), (0, 0, &None));
}

#[tokio::test]
async fn alerts_are_tested_through_one_channel_or_all() {
    let running = Running::start().await;
    let tested = running.client.test_alerts(None).await.unwrap();
    let told: Vec<_> = tested.iter().map(|tested| (tested.channel.as_str(), tested.error.is_none())).collect();
    assert_eq!(told, [("well", true), ("ill", false)]);
    let tested = running.client.test_alerts(Some("ill")).await.unwrap();
    assert_eq!((tested.len(), tested[0].channel.as_str()), (1, "ill"));
    let tested = running.client.test_alerts(Some("nobody")).await.unwrap();
    assert!(tested[0].error.as_ref().unwrap().contains("there are: well, ill"), "{tested:?}");
}

#[tokio::test]
async fn where_no_relay_is_the_client_says_so_and_what_to_do() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let error = api::Client::unix(&socket).unwrap().status().await.unwrap_err();
    assert!(error.is_unreachable());
    let text = error.to_string();
    assert!(text.starts_with(&format!("no relay answers at {}: ", socket.display())), "{text}");
    assert!(text.ends_with("hint: is `posthouse serve` running, and may you use its socket?"), "{text}");
}
