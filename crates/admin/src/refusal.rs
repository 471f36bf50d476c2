//! Answers that say no, as the API promises them.

use api::Refusal;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use qmgr::OperatorError;
use queue::SpoolError;

/// A status and the words that go with it.
#[derive(Debug)]
pub(crate) struct No {
    status: StatusCode,
    refusal: Refusal,
}

impl No {
    fn new(status: StatusCode, code: &str, error: impl Into<String>, hint: Option<&str>) -> Self {
        Self { status, refusal: Refusal { code: code.to_owned(), error: error.into(), hint: hint.map(str::to_owned) } }
    }
    /// The request makes no sense.
    pub(crate) fn bad_request(error: impl Into<String>, hint: Option<&str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", error, hint)
    }
    /// There is no such thing.
    pub(crate) fn not_found(error: impl Into<String>, hint: Option<&str>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", error, hint)
    }
    /// The path is known, the method is not.
    pub(crate) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "bad-request", "this path does not take this method", None)
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        (self.status, Json(self.refusal)).into_response()
    }
}

impl From<SpoolError> for No {
    fn from(error: SpoolError) -> Self {
        let text = error.to_string();
        match error {
            SpoolError::NotFound(_) => {
                Self::not_found(text, Some("settled messages are forgotten after the time that `history` says"))
            }
            SpoolError::Leased(_) => Self::new(StatusCode::CONFLICT, "busy", text, Some("try again in a moment")),
            SpoolError::Full(_) | SpoolError::Closed(_) | SpoolError::Damaged { .. } | SpoolError::Failed(_) => {
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "spool",
                    text,
                    Some("`posthouse status` says how the spool is"),
                )
            }
        }
    }
}

impl From<OperatorError> for No {
    fn from(error: OperatorError) -> Self {
        let text = error.to_string();
        match error {
            OperatorError::NotFound(_) | OperatorError::NoLane(_) => Self::not_found(text, None),
            OperatorError::Spool(error) => error.into(),
            OperatorError::Stopped => Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting-down", text, None),
            OperatorError::Settled(_)
            | OperatorError::Held { .. }
            | OperatorError::NoPath { .. }
            | OperatorError::Busy(_) => Self::new(StatusCode::CONFLICT, "busy", text, None),
        }
    }
}
