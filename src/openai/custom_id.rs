use std::fmt;

use serde::{Deserialize, Serialize};

/// A row's own name, unique in its data set: any string but the empty one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CustomId(String);

/// A `custom_id` was the empty string.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a custom_id cannot be empty")]
pub struct EmptyCustomId;

impl CustomId {
    /// The id as it stands in the row, escapes resolved.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CustomId {
    type Error = EmptyCustomId;

    fn try_from(id: String) -> Result<Self, EmptyCustomId> {
        if id.is_empty() {
            return Err(EmptyCustomId);
        }
        Ok(Self(id))
    }
}

impl From<CustomId> for String {
    fn from(id: CustomId) -> Self {
        id.0
    }
}

impl fmt::Display for CustomId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
