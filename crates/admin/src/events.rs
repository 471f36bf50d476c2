//! The stream of events: one JSON object a line, until one side ends it.

use std::sync::Arc;
use std::time::Duration;

use api::Event;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::{convert, ways};

/// After a silence of this length an empty line is sent, so that a reader that has gone is noticed.
const SILENCE: Duration = Duration::from_secs(15);

struct Line {
    events: Receiver<Arc<qmgr::Event>>,
    stop: CancellationToken,
}

/// The body of the answer.
pub(crate) fn body(events: Receiver<Arc<qmgr::Event>>, stop: CancellationToken) -> Body {
    let lines = stream::unfold(Line { events, stop }, |mut line| async move {
        let next = line.next().await?;
        Some((Ok::<_, std::convert::Infallible>(next), line))
    });
    Body::from_stream(lines)
}

impl Line {
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            event = self.events.recv() => match event {
                Ok(event) => Some(written(&event_of(&event))),
                Err(RecvError::Lagged(events)) => Some(written(&Event::Missed { events })),
                Err(RecvError::Closed) => None,
            },
            () = tokio::time::sleep(SILENCE) => Some(Bytes::from_static(b"\n")),
        }
    }
}

fn written(event: &Event) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn event_of(event: &qmgr::Event) -> Event {
    match event {
        qmgr::Event::Message(message) => of_message(message),
        qmgr::Event::BreakerOpened { breaker, lanes, pause, at } => {
            let probe_at = at.checked_add(pause.probe_after).unwrap_or(Timestamp::MAX);
            Event::BreakerOpened(ways::breaker(breaker, lanes, pause, *at, probe_at))
        }
        qmgr::Event::BreakerClosed { breaker, open_for, .. } => Event::BreakerClosed {
            scope: breaker.scope.to_string(),
            name: breaker.name.to_string(),
            after_seconds: open_for.as_secs(),
        },
    }
}

fn of_message(message: &qmgr::MessageEvent) -> Event {
    let recipients: Vec<String> = message.recipients.iter().map(ToString::to_string).collect();
    Event::Message {
        id: message.id.to_string(),
        reverse_path: message.reverse_path.to_string(),
        what: convert::story_event(&message.what, &recipients),
        recipients,
        lane: message.lane.to_string(),
        settled: message.message_settled,
    }
}
