//! The control API: JSON over plain HTTP on the loopback, for people with curl and for tests in any language.
//!
//! `help.txt` is its manual, served at `/`. No authentication; bodies must be `application/json`, so that a web page
//! in a browser on this machine cannot send orders.

mod mailboxes;
mod messages;
mod orders;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::endpoints::Endpoints;
use crate::world::World;

/// What the handlers share.
#[derive(Clone)]
struct Desk {
    world: Arc<World>,
    endpoints: Arc<Endpoints>,
}

/// Until `stop`.
pub(crate) async fn serve(world: Arc<World>, endpoints: Endpoints, socket: TcpListener, stop: CancellationToken) {
    let desk = Desk { world, endpoints: Arc::new(endpoints) };
    let served = axum::serve(socket, router(desk)).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::warn!(%error, "sandbox: the control API ended");
    }
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/", get(orders::help))
        .route("/state", get(orders::state))
        .route("/ca.pem", get(orders::ca))
        .route("/configuration", get(orders::configuration))
        .route("/statistics", get(orders::statistics).delete(orders::reset_statistics))
        .route("/clock", get(orders::clock))
        .route("/clock/advance", post(orders::advance))
        .route("/faults", get(orders::faults).post(orders::add_fault).delete(orders::clear_faults))
        .route("/faults/{id}", axum::routing::delete(orders::remove_fault))
        .route("/tenant", get(mailboxes::tenant).patch(mailboxes::change_tenant))
        .route("/apps", get(mailboxes::apps).post(mailboxes::add_app))
        .route("/apps/{id}", get(mailboxes::app).patch(mailboxes::change_app).delete(mailboxes::remove_app))
        .route("/mailboxes", get(mailboxes::all).post(mailboxes::add))
        .route("/mailboxes/{address}", get(mailboxes::one).patch(mailboxes::change).delete(mailboxes::remove))
        .route("/messages", get(messages::list).delete(messages::delete_all))
        .route("/messages/{id}", get(messages::one))
        .route("/messages/{id}/raw", get(messages::raw))
        .with_state(desk)
}

/// What went wrong, for whoever asked.
struct Refusal(StatusCode, String);

impl Refusal {
    fn unknown(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }
    fn wrong(why: impl std::fmt::Display) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, why.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// `patch` laid over `value` as RFC 7396 has it: objects member by member, null removes, anything else replaces.
fn merge(value: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *value = patch;
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    let Some(members) = value.as_object_mut() else { return };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), change);
        }
    }
}

/// The thing with the patch laid over it, if what comes out is still such a thing.
fn patched<T: serde::Serialize + serde::de::DeserializeOwned>(thing: &T, patch: Value) -> Result<T, Refusal> {
    let mut value = serde_json::to_value(thing).map_err(Refusal::wrong)?;
    merge(&mut value, patch);
    serde_json::from_value(value).map_err(Refusal::wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_replaces_members_and_null_removes_them() {
        let mut value = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        merge(&mut value, json!({"a": null, "b": {"c": 4}, "e": [2, 3], "f": {"g": 1}}));
        assert_eq!(value, json!({"b": {"c": 4, "d": 3}, "e": [2, 3], "f": {"g": 1}}));
    }

    #[test]
    fn a_misspelt_member_of_a_patch_is_refused() {
        assert!(patched(&crate::Mailbox::new("a@b.test"), json!({"sendas": []})).is_err());
        let patched = patched(&crate::Mailbox::new("a@b.test"), json!({"limits": {"message_size": 9}}));
        let limits = patched.map(|mailbox| mailbox.limits.unwrap()).unwrap_or_else(|refusal| panic!("{}", refusal.1));
        assert_eq!((limits.message_size, limits.messages_per_minute), (9, 30));
    }
}
