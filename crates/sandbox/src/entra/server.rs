//! HTTPS in front of the token endpoint, and its faults.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::refusal::{self, Refusal};
use super::request::TokenRequest;
use crate::ca::TlsFault;
use crate::faults::{Action, Circumstance, Step, Struck};
use crate::world::World;

/// Put on a response: the connection is closed in its place.
#[derive(Clone)]
struct Hang;

/// A fault closed the connection.
#[derive(Debug, thiserror::Error)]
#[error("closed on demand")]
struct Closed;

/// Accepts connections until `stop`.
pub(crate) async fn serve(
    world: Arc<World>,
    socket: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let router = router(world.clone());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = connection(world.clone(), router.clone(), stream, tls.clone());
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection => {}
            }
        });
    }
}

async fn connection(world: Arc<World>, router: Router, mut stream: TcpStream, tls: Arc<rustls::ServerConfig>) {
    let struck = world.state().faults.take(Step::TokenTls, Circumstance::default()).unwrap_or_default();
    tokio::time::sleep(struck.delay).await;
    let server = match struck.action {
        Some(Action::Tls(TlsFault::Close)) => return,
        Some(Action::Tls(TlsFault::Garbage)) => {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            return;
        }
        Some(Action::Tls(flaw)) => match world.flawed_tls(flaw) {
            Ok(server) => server,
            Err(_) => return,
        },
        _ => tls,
    };
    let handshake = tokio::time::timeout(Duration::from_secs(30), TlsAcceptor::from(server).accept(stream)).await;
    let Ok(Ok(stream)) = handshake else {
        world.state().statistics.failed_handshakes += 1;
        return;
    };
    let service = hyper_util::service::TowerToHyperService::new(tower::service_fn(move |request| {
        let router = router.clone();
        async move {
            let response: Result<Response, Infallible> = tower::ServiceExt::oneshot(router, request).await;
            match response {
                Ok(response) if response.extensions().get::<Hang>().is_some() => Err(Closed),
                Ok(response) => Ok(response),
                Err(never) => match never {},
            }
        }
    }));
    // An error is the client's going away, or a fault.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(configuration))
        .route("/{tenant}/discovery/v2.0/keys", get(keys))
        .with_state(world)
}

async fn token(
    State(world): State<Arc<World>>,
    Path(tenant): Path<String>,
    form: Result<Form<HashMap<String, String>>, axum::extract::rejection::FormRejection>,
) -> Response {
    let form = form.map(|Form(form)| form);
    let client_id = form.as_ref().ok().and_then(|form| form.get("client_id")).cloned();
    let circumstance = Circumstance { mailbox: client_id.as_deref(), ..Circumstance::default() };
    let struck = world.state().faults.take(Step::Token, circumstance);
    if let Some(Struck { delay, action }) = struck {
        tokio::time::sleep(delay).await;
        if let Some(action) = action {
            return on_demand(&world, &action);
        }
    }
    let answer = match &form {
        Ok(form) => {
            let request = TokenRequest { tenant: &tenant, form, hosts: &world.hosts };
            let mut state = world.state();
            let state = &mut *state;
            request.answer(&state.tenant, &mut state.seen, &world.keys, &world.clock)
        }
        Err(_) => Err(Refusal::new(900144, "The request body must contain the following parameter: 'grant_type'.")),
    };
    match answer {
        Ok(body) => {
            world.state().statistics.tokens_issued += 1;
            ([(header::CACHE_CONTROL, "no-store, no-cache")], Json(body)).into_response()
        }
        Err(refusal) => refuse(&world, &refusal),
    }
}

fn refuse(world: &World, refusal: &Refusal) -> Response {
    let name = format!("AADSTS{}", refusal.number);
    *world.state().statistics.token_refusals.entry(name).or_default() += 1;
    refusal.response(world.clock.real())
}

fn on_demand(world: &World, action: &Action) -> Response {
    match action {
        Action::Aadsts(number) => Refusal::usual(*number).response(world.clock.real()),
        Action::Oauth(error) => refusal::bare(error),
        Action::Http(status) => {
            StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE).into_response()
        }
        Action::Garbage => ([(header::CONTENT_TYPE, "text/html")], "<html>The page is out.</html>").into_response(),
        _ => {
            let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
            response.extensions_mut().insert(Hang);
            response
        }
    }
}

/// What programs read to find the token endpoint and the key.
async fn configuration(
    State(world): State<Arc<World>>,
    Path(tenant): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let named = world.state().tenant.clone();
    if !named.is_called(&tenant) {
        return refuse(&world, &Refusal::usual(90002));
    }
    let named_host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or(named_host).unwrap_or("localhost");
    let base = format!("https://{host}/{}", named.id);
    Json(json!({
        "issuer": format!("{base}/v2.0"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "tenant_region_scope": "EU",
    }))
    .into_response()
}

async fn keys(State(world): State<Arc<World>>) -> Json<Value> {
    Json(world.keys.document())
}
