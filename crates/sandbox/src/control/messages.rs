//! The messages that arrived.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Desk, Refusal};
use crate::store::Message;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Who signed in.
    mailbox: Option<String>,
    /// Any recipient.
    recipient: Option<String>,
    /// Part of the subject.
    subject: Option<String>,
    /// Only later ones than this id.
    after: Option<u64>,
    /// At most so many, the newest.
    limit: Option<usize>,
}

impl Filter {
    fn takes(&self, message: &Message) -> bool {
        let same = |wanted: &Option<String>, own: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| own.is_some_and(|own| own.eq_ignore_ascii_case(wanted)))
        };
        same(&self.mailbox, message.mailbox.as_deref())
            && self.recipient.as_ref().is_none_or(|recipient| message.is_for(recipient))
            && self.subject.as_ref().is_none_or(|part| {
                message.subject.as_ref().is_some_and(|subject| subject.to_lowercase().contains(&part.to_lowercase()))
            })
            && self.after.is_none_or(|after| message.id > after)
    }
}

pub(super) async fn list(State(desk): State<Desk>, Query(filter): Query<Filter>) -> Json<Vec<Arc<Message>>> {
    let state = desk.world.state();
    let limit = filter.limit.unwrap_or(1000);
    let mut found: Vec<_> =
        state.store.all().rev().filter(|message| filter.takes(message)).take(limit).cloned().collect();
    found.reverse();
    Json(found)
}

pub(super) async fn one(State(desk): State<Desk>, Path(id): Path<u64>) -> Result<Json<Arc<Message>>, Refusal> {
    desk.world.state().store.one(id).map(Json).ok_or_else(|| Refusal::unknown("message"))
}

pub(super) async fn raw(State(desk): State<Desk>, Path(id): Path<u64>) -> Result<impl IntoResponse, Refusal> {
    let message = desk.world.state().store.one(id).ok_or_else(|| Refusal::unknown("message"))?;
    let raw = message.raw().map_err(|error| {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("the content of message {id} cannot be read: {error}"))
    })?;
    Ok(([(header::CONTENT_TYPE, "message/rfc822")], raw))
}

pub(super) async fn delete_all(State(desk): State<Desk>) -> Json<Value> {
    Json(json!({ "deleted": desk.world.state().store.clear() }))
}
