use std::{fmt, str::FromStr};

/// Where a model server takes a row's request: the values of `url` that a row may have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
}

/// A `url` that is none of [`Endpoint::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not one of /v1/chat/completions, /v1/completions, /v1/embeddings")]
pub struct UnknownEndpoint;

impl Endpoint {
    /// Every endpoint that a row may name.
    pub const ALL: [Self; 3] = [Self::ChatCompletions, Self::Completions, Self::Embeddings];

    /// The path on the server, equal to the row's `url`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }
}

impl FromStr for Endpoint {
    type Err = UnknownEndpoint;

    fn from_str(url: &str) -> Result<Self, UnknownEndpoint> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == url)
            .ok_or(UnknownEndpoint)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_reads_back_and_nothing_else_does() {
        for endpoint in Endpoint::ALL {
            assert_eq!(endpoint.path().parse(), Ok(endpoint));
        }
        for url in [
            "",
            "/v1/responses",
            "/v1/completions/",
            "https://api.openai.com/v1/completions",
        ] {
            assert_eq!(url.parse::<Endpoint>(), Err(UnknownEndpoint), "{url}");
        }
    }
}
