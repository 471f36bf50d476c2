//! Whether alerts reach anybody.

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/alerts/test`: send a test notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestAlerts {
    /// Only through this channel; absent: through all.
    pub channel: Option<String>,
}

/// What came of it through one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// Its name.
    pub channel: String,
    /// Absent: it went well; otherwise what went wrong, with a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
