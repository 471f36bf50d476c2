//! State, faults, clock, statistics.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Desk, Refusal};
use crate::faults::{ActiveFault, Fault};
use crate::statistics::Statistics;

pub(super) async fn help(State(desk): State<Desk>) -> String {
    let manual = include_str!("help.txt");
    let endpoints = &desk.endpoints;
    format!(
        "Simulated Microsoft 365\n\n  submission  {}:{} (STARTTLS)\n  login       {}\n  control     {}\n  tenant      {}\n\n{manual}",
        endpoints.submission_host,
        endpoints.submission.port(),
        endpoints.login,
        endpoints.control,
        endpoints.tenant_id
    )
}

pub(super) async fn state(State(desk): State<Desk>) -> Json<Value> {
    let clock = clock(State(desk.clone())).await.0;
    let state = desk.world.state();
    Json(json!({
        "endpoints": *desk.endpoints,
        "clock": clock,
        "tenant": state.tenant,
        "faults": state.faults.active(),
        "messages": state.store.len(),
    }))
}

pub(super) async fn ca(State(desk): State<Desk>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], desk.endpoints.ca_pem.clone())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigurationFor {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
}

pub(super) async fn configuration(State(desk): State<Desk>, Query(wish): Query<ConfigurationFor>) -> String {
    let listen = wish.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 2525)));
    desk.endpoints.configuration(listen, &wish.data_dir.unwrap_or_else(|| "posthouse-data".into()))
}

pub(super) async fn statistics(State(desk): State<Desk>) -> Json<Statistics> {
    Json(desk.world.statistics())
}

pub(super) async fn reset_statistics(State(desk): State<Desk>) -> StatusCode {
    desk.world.reset_statistics();
    StatusCode::NO_CONTENT
}

pub(super) async fn clock(State(desk): State<Desk>) -> Json<Value> {
    let clock = &desk.world.clock;
    Json(json!({ "now": clock.now(), "real": clock.real(), "ahead_secs": clock.offset().as_secs_f64() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Advance {
    seconds: f64,
}

pub(super) async fn advance(State(desk): State<Desk>, Json(order): Json<Advance>) -> Result<Json<Value>, Refusal> {
    let by = Duration::try_from_secs_f64(order.seconds).map_err(|_| Refusal::wrong("the clock goes forward only"))?;
    desk.world.clock.advance(by);
    Ok(clock(State(desk)).await)
}

pub(super) async fn faults(State(desk): State<Desk>) -> Json<Vec<ActiveFault>> {
    Json(desk.world.state().faults.active().to_vec())
}

pub(super) async fn add_fault(
    State(desk): State<Desk>,
    Json(fault): Json<Fault>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let id = desk.world.state().faults.add(fault).map_err(Refusal::wrong)?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

pub(super) async fn clear_faults(State(desk): State<Desk>) -> StatusCode {
    desk.world.state().faults.clear();
    StatusCode::NO_CONTENT
}

pub(super) async fn remove_fault(State(desk): State<Desk>, Path(id): Path<u64>) -> Result<StatusCode, Refusal> {
    let found = desk.world.state().faults.remove(id);
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::unknown("fault")) }
}
