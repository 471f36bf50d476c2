//! The tenant, its applications, its mailboxes.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Desk, Refusal, patched};
use crate::tenant::{App, AppSecret, Mailbox, Tenant};

pub(super) async fn tenant(State(desk): State<Desk>) -> Json<Tenant> {
    Json(desk.world.state().tenant.clone())
}

pub(super) async fn change_tenant(State(desk): State<Desk>, Json(patch): Json<Value>) -> Result<Json<Tenant>, Refusal> {
    let tenant = &mut desk.world.state().tenant;
    *tenant = patched(tenant, patch)?;
    Ok(Json(tenant.clone()))
}

pub(super) async fn apps(State(desk): State<Desk>) -> Json<Vec<App>> {
    Json(desk.world.state().tenant.apps.clone())
}

pub(super) async fn add_app(
    State(desk): State<Desk>,
    Json(mut app): Json<App>,
) -> Result<(StatusCode, Json<App>), Refusal> {
    for id in [&mut app.client_id, &mut app.object_id] {
        if id.is_empty() {
            *id = Uuid::new_v4().to_string();
        }
    }
    if app.secrets.is_empty() && app.certificates.is_empty() {
        app.secrets.push(AppSecret { value: Uuid::new_v4().simple().to_string().into(), expires_at: None });
    }
    let tenant = &mut desk.world.state().tenant;
    if tenant.app(&app.client_id).is_some() {
        return Err(Refusal(StatusCode::CONFLICT, "there is an application with this client id".to_owned()));
    }
    tenant.apps.push(app.clone());
    Ok((StatusCode::CREATED, Json(app)))
}

pub(super) async fn app(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<App>, Refusal> {
    desk.world.state().tenant.app(&id).cloned().map(Json).ok_or_else(|| Refusal::unknown("application"))
}

pub(super) async fn change_app(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    Json(patch): Json<Value>,
) -> Result<Json<App>, Refusal> {
    let apps = &mut desk.world.state().tenant.apps;
    let app = apps.iter_mut().find(|app| app.client_id.eq_ignore_ascii_case(&id));
    let app = app.ok_or_else(|| Refusal::unknown("application"))?;
    *app = patched(app, patch)?;
    Ok(Json(app.clone()))
}

pub(super) async fn remove_app(State(desk): State<Desk>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    let apps = &mut desk.world.state().tenant.apps;
    let before = apps.len();
    apps.retain(|app| !app.client_id.eq_ignore_ascii_case(&id));
    if apps.len() < before { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::unknown("application")) }
}

pub(super) async fn all(State(desk): State<Desk>) -> Json<Vec<Mailbox>> {
    Json(desk.world.state().tenant.mailboxes.clone())
}

pub(super) async fn add(
    State(desk): State<Desk>,
    Json(mailbox): Json<Mailbox>,
) -> Result<(StatusCode, Json<Mailbox>), Refusal> {
    if !mailbox.address.contains('@') {
        return Err(Refusal::wrong("a mailbox has an \"address\" of the form local-part@domain"));
    }
    let tenant = &mut desk.world.state().tenant;
    if tenant.mailbox(&mailbox.address).is_some() {
        return Err(Refusal(StatusCode::CONFLICT, "there is a mailbox with this address".to_owned()));
    }
    tenant.mailboxes.push(mailbox.clone());
    Ok((StatusCode::CREATED, Json(mailbox)))
}

pub(super) async fn one(State(desk): State<Desk>, Path(address): Path<String>) -> Result<Json<Value>, Refusal> {
    let now = desk.world.clock.now();
    let mut state = desk.world.state();
    let mailbox = state.tenant.mailbox(&address).cloned().ok_or_else(|| Refusal::unknown("mailbox"))?;
    let statistics = state.enforcement.statistics(&mailbox.address, now);
    Ok(Json(json!({ "mailbox": mailbox, "statistics": statistics })))
}

pub(super) async fn change(
    State(desk): State<Desk>,
    Path(address): Path<String>,
    Json(patch): Json<Value>,
) -> Result<Json<Mailbox>, Refusal> {
    let mailboxes = &mut desk.world.state().tenant.mailboxes;
    let mailbox = mailboxes.iter_mut().find(|mailbox| mailbox.address.eq_ignore_ascii_case(&address));
    let mailbox = mailbox.ok_or_else(|| Refusal::unknown("mailbox"))?;
    *mailbox = patched(mailbox, patch)?;
    Ok(Json(mailbox.clone()))
}

pub(super) async fn remove(State(desk): State<Desk>, Path(address): Path<String>) -> Result<StatusCode, Refusal> {
    let mailboxes = &mut desk.world.state().tenant.mailboxes;
    let before = mailboxes.len();
    mailboxes.retain(|mailbox| !mailbox.address.eq_ignore_ascii_case(&address));
    if mailboxes.len() < before { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::unknown("mailbox")) }
}
