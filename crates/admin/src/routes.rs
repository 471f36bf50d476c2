//! What is answered at which path.

use api::{Done, Order, Page, Probe, Query, Status, TestAlerts, Tested, Word};
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query as FromQuery, State as Of};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use queue::{BodyReader, LaneName};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::State;
use crate::refusal::No;
use crate::{convert, events, orders, ways};

/// Body of a request; an order of a thousand ids has 20 KiB.
const LARGEST_BODY: usize = 256 * 1024;
/// Messages of a page unless asked otherwise.
const PAGE: usize = 100;
/// And at most.
const LARGEST_PAGE: usize = 1_000;

#[derive(Clone)]
struct Shared {
    state: State,
    /// Ends streams.
    stop: CancellationToken,
}

/// Metrics and health: for everybody who can reach the address.
pub fn public_router(state: State) -> Router {
    let shared = Shared { state, stop: CancellationToken::new() };
    answering_otherwise(health_routes()).with_state(shared)
}

/// Everything: for whoever can open the socket. `stop` ends streams.
pub fn full_router(state: State, stop: CancellationToken) -> Router {
    let routes = health_routes()
        .route("/v1/status", get(status))
        .route("/v1/queue", get(queue))
        .route("/v1/history", get(history))
        .route("/v1/messages/{id}", get(message))
        .route("/v1/messages/{id}/raw", get(raw))
        .route("/v1/queue/{word}", post(order))
        .route("/v1/lanes/probe", post(probe))
        .route("/v1/alerts/test", post(test_alerts))
        .route("/v1/events", get(stream_of_events));
    answering_otherwise(routes).with_state(Shared { state, stop })
}

fn health_routes() -> Router<Shared> {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

fn answering_otherwise(routes: Router<Shared>) -> Router<Shared> {
    routes
        .fallback(|| async { No::not_found("there is nothing at this path", Some("the API begins with /v1/")) })
        .method_not_allowed_fallback(|| async { No::method() })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
}

async fn metrics(Of(shared): Of<Shared>) -> Response {
    ([(header::CONTENT_TYPE, Metrics::MEDIA_TYPE)], shared.state.metrics_page().await).into_response()
}

/// Alive: this answer is written and the queue manager's loop turns.
async fn healthz(Of(shared): Of<Shared>) -> Response {
    match shared.state.queue_manager_answers().await {
        true => "ok\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the queue manager does not answer\n").into_response(),
    }
}

/// Ready: mail is taken in and worked on.
async fn readyz(Of(shared): Of<Shared>) -> Response {
    let reasons = shared.state.not_ready().await;
    match reasons.is_empty() {
        true => "ok\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response(),
    }
}

async fn status(Of(shared): Of<Shared>) -> Result<Json<Status>, No> {
    shared.state.status().await.map(Json)
}

async fn queue(Of(shared): Of<Shared>, query: Result<FromQuery<Query>, QueryRejection>) -> Result<Json<Page>, No> {
    let (filter, after, max) = asked(query)?;
    Ok(Json(convert::page(shared.state.spool.list(&filter, after, max).await?)))
}

async fn history(Of(shared): Of<Shared>, query: Result<FromQuery<Query>, QueryRejection>) -> Result<Json<Page>, No> {
    let (filter, before, max) = asked(query)?;
    Ok(Json(convert::page(shared.state.spool.history(&filter, before, max).await?)))
}

type Asked = (queue::Filter, Option<queue::MessageId>, usize);

fn asked(query: Result<FromQuery<Query>, QueryRejection>) -> Result<Asked, No> {
    let FromQuery(query) = query.map_err(|rejection| No::bad_request(rejection.body_text(), None))?;
    let from = query.from.as_deref().map(orders::message_id).transpose()?;
    let max = query.max.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&max) {
        return Err(No::bad_request(format!("a page has 1 to {LARGEST_PAGE} messages, not {max}"), None));
    }
    Ok((convert::filter(query.into()), from, max))
}

async fn message(Of(shared): Of<Shared>, Path(id): Path<String>) -> Result<Json<api::Message>, No> {
    let message = shared.state.spool.find(orders::message_id(&id)?).await?;
    Ok(Json(convert::message(&message)))
}

async fn raw(Of(shared): Of<Shared>, Path(id): Path<String>) -> Result<Response, No> {
    let id = orders::message_id(&id)?;
    let message = shared.state.spool.find(id).await?;
    if message.is_settled() {
        let hint = "what became of it is known, its bytes are not: they are freed when nothing is left to try";
        return Err(No::not_found(format!("message {id} is settled"), Some(hint)));
    }
    let body = shared.state.spool.body(id).await?;
    let about =
        [(header::CONTENT_TYPE, "message/rfc822".to_owned()), (header::CONTENT_LENGTH, body.size().to_string())];
    Ok((about, pieces(body)).into_response())
}

/// A body that turns out to be damaged ends the connection: a reader that counts octets sees that some are missing.
fn pieces(body: BodyReader) -> Body {
    Body::from_stream(stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        match body.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(body))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}

async fn order(
    Of(shared): Of<Shared>,
    word: Result<Path<Word>, PathRejection>,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<Json<Done>, No> {
    let Path(word) = word.map_err(|_| No::not_found("no such order", Some("hold, release, retry or remove")))?;
    let Json(order) = order.map_err(|rejection| No::bad_request(rejection.body_text(), None))?;
    shared.state.carry_out(word, order).await.map(Json)
}

async fn probe(Of(shared): Of<Shared>, lane: Result<Json<Probe>, JsonRejection>) -> Result<StatusCode, No> {
    let Json(Probe { lane }) = lane.map_err(|rejection| No::bad_request(rejection.body_text(), None))?;
    shared.state.queue.probe(&LaneName(lane.into())).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn test_alerts(
    Of(shared): Of<Shared>,
    asked: Result<Json<TestAlerts>, JsonRejection>,
) -> Result<Json<Vec<Tested>>, No> {
    let Json(TestAlerts { channel }) = asked.map_err(|rejection| No::bad_request(rejection.body_text(), None))?;
    let tested = shared.state.alerts.test(channel.as_deref()).await;
    Ok(Json(tested.into_iter().map(ways::tested).collect()))
}

async fn stream_of_events(Of(shared): Of<Shared>) -> Response {
    let body = events::body(shared.state.queue.events(), shared.stop.clone());
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
