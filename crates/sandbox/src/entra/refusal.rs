//! How the token endpoint says no: Entra's error numbers, their OAuth errors and HTTP statuses, and the JSON around them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// As in `AADSTS7000215`.
    pub(crate) number: u32,
    text: String,
}

impl Refusal {
    /// With the words that go with this occasion.
    pub(crate) fn new(number: u32, text: impl Into<String>) -> Self {
        Self { number, text: text.into() }
    }

    /// With the words that usually go with this number; for faults on demand.
    pub(crate) fn usual(number: u32) -> Self {
        let row = TABLE.iter().find(|row| row.number == number);
        Self::new(number, row.map_or("The sandbox was asked for this error.", |row| row.text))
    }

    fn error(&self) -> &'static str {
        TABLE.iter().find(|row| row.number == self.number).map_or("invalid_request", |row| row.error)
    }

    fn status(&self) -> StatusCode {
        if self.number == 90055 { StatusCode::TOO_MANY_REQUESTS } else { status_of(self.error()) }
    }

    /// As Entra sends it.
    pub(crate) fn response(&self, now: Timestamp) -> Response {
        let [trace, correlation] = [(); 2].map(|()| Uuid::new_v4().to_string());
        let timestamp = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let body = json!({
            "error": self.error(),
            "error_description": format!(
                "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}",
                self.number, self.text
            ),
            "error_codes": [self.number],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.number),
        });
        let mut response = (self.status(), axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
        if self.status() == StatusCode::TOO_MANY_REQUESTS || self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// An error of RFC 6749 §5.2 and nothing else: no number, no description.
pub(crate) fn bare(error: &str) -> Response {
    (status_of(error), axum::Json(json!({ "error": error }))).into_response()
}

fn status_of(error: &str) -> StatusCode {
    match error {
        "invalid_client" => StatusCode::UNAUTHORIZED,
        "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

struct Row {
    number: u32,
    error: &'static str,
    text: &'static str,
}

const fn row(number: u32, error: &'static str, text: &'static str) -> Row {
    Row { number, error, text }
}

/// The numbers that an application asking for a token can meet.
const TABLE: &[Row] = &[
    row(40010, "temporarily_unavailable", "The identity provider had a transient error."),
    row(50000, "server_error", "There was an error issuing a token."),
    row(50001, "invalid_resource", "The resource is disabled or does not exist."),
    row(50012, "invalid_client", "Authentication failed: the signature of the assertion could not be verified."),
    row(50013, "invalid_grant", "The assertion is not valid."),
    row(50020, "unauthorized_client", "The account is from another identity provider."),
    row(50027, "invalid_client", "The JWT token is invalid or malformed."),
    row(50033, "temporarily_unavailable", "A transient database error has occurred."),
    row(50053, "invalid_grant", "The account is locked because of too many wrong sign-ins."),
    row(
        50059,
        "invalid_request",
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    row(50105, "invalid_grant", "The application is not assigned to a role for the application."),
    row(50194, "unauthorized_client", "The application is not configured as a multi-tenant application."),
    row(50196, "server_error", "The server terminated an operation because it met a loop of token requests."),
    row(53003, "interaction_required", "Access has been blocked by Conditional Access policies."),
    row(65001, "invalid_grant", "The administrator has not consented to use the application."),
    row(70001, "unauthorized_client", "The application is not found or not enabled in the directory."),
    row(70002, "invalid_client", "Error validating credentials."),
    row(70003, "unsupported_grant_type", "The app requested an unsupported grant type."),
    row(70011, "invalid_scope", "The provided value for the input parameter 'scope' is not valid."),
    row(70021, "invalid_request", "No matching federated identity record found for the presented assertion."),
    row(
        90002,
        "invalid_request",
        "Tenant not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.",
    ),
    row(90006, "temporarily_unavailable", "An external server error occurred that may be retried."),
    row(90012, "temporarily_unavailable", "The request has timed out."),
    row(90014, "invalid_request", "The required field is missing."),
    row(90024, "temporarily_unavailable", "The request budget was exceeded for a moment."),
    row(90033, "temporarily_unavailable", "A transient error has occurred. Please try again."),
    row(90055, "invalid_client", "The tenant has sent too many requests."),
    row(90094, "access_denied", "The grant requires administrator permission."),
    row(500011, "invalid_resource", "The resource principal was not found in the tenant."),
    row(500014, "invalid_resource", "The service principal for the resource is disabled."),
    row(501051, "invalid_grant", "The application is not assigned to a role for the resource."),
    row(
        650052,
        "invalid_resource",
        "The app needs access to a service that your organization has not subscribed to or enabled.",
    ),
    row(700016, "unauthorized_client", "The application was not found in the directory."),
    row(700021, "invalid_client", "The client assertion application identifier does not match 'client_id' parameter."),
    row(700022, "invalid_request", "The scope names more than one resource."),
    row(700023, "invalid_client", "The client assertion audience claim does not match the realm issuer."),
    row(700024, "invalid_client", "Client assertion is not within its valid time range."),
    row(
        700027,
        "invalid_client",
        "The certificate with identifier used to sign the client assertion is not registered on application.",
    ),
    row(
        900023,
        "invalid_request",
        "The specified tenant identifier is neither a valid DNS name, nor a valid external domain.",
    ),
    row(900144, "invalid_request", "The request body must contain a parameter that is missing."),
    row(900382, "invalid_request", "Confidential client is not supported in cross cloud request."),
    row(
        1002012,
        "invalid_scope",
        "Client credential flows must have a scope value with /.default suffixed to the resource identifier.",
    ),
    row(7000112, "unauthorized_client", "The application is disabled."),
    row(
        7000215,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.",
    ),
    row(
        7000216,
        "invalid_client",
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
    ),
    row(
        7000218,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    row(
        7000222,
        "invalid_client",
        "The provided client secret keys are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.",
    ),
];
