//! `spec.endpoint`: a model server that someone else runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::LocalKeyReference;

/// A server of the OpenAI API that someone else runs: rows are sent to it, and nothing is started for them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSpec {
    /// Where the server is: what clients of the OpenAI API call its base URL, such as `https://llm.example.com/v1`. The `/v1` at its
    /// end may be left out: rows go to `/v1/chat/completions` and its like below the rest. No user, query or key can be in it.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^/?#@\s]+(/[^?#\s]*)?$"))]
    pub url: String,

    /// The name that the server knows the model by: every row is sent with it. Rows name it too, or leave theirs empty.
    #[schemars(length(min = 1, max = 512))]
    pub model: String,

    /// The server's API key, a key of a Secret: sent with each row as `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<LocalKeyReference>,
}
