//! `spec.endpoint.url`: where a server is that someone else runs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hyper::Uri;

use crate::openai::Endpoint;

/// The path below which servers of the `OpenAI` API have theirs; clients are told it as a part of the base URL.
const VERSION: &str = "/v1";

/// The address of a server, without the version and the slash at its end: rows go to paths below it. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointUrl(Arc<str>);

/// What is wrong with `spec.endpoint.url`. No message repeats what may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointUrlError {
    /// Neither `http://` nor `https://`.
    #[error("is no address: write https://HOST/v1, or http://HOST:PORT/v1 inside the cluster")]
    NotWeb,
    /// A user, and perhaps a password.
    #[error(
        "has a user in it, which everybody may read: put the key into a Secret and name it in spec.endpoint.apiKeySecretRef"
    )]
    User,
    /// Something after `?` or `#`.
    #[error(
        "has a query or a fragment: write the base URL alone, and name a key's Secret in spec.endpoint.apiKeySecretRef"
    )]
    Query,
}

impl EndpointUrl {
    /// The whole address for rows of this kind.
    #[must_use]
    pub fn of(&self, endpoint: Endpoint) -> String {
        self.at(endpoint.path())
    }

    /// The list of models, which says that somebody is there.
    #[must_use]
    pub fn models(&self) -> String {
        self.at("/v1/models")
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is sent can be read on the way.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.starts_with("http://")
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl FromStr for EndpointUrl {
    type Err = EndpointUrlError;

    fn from_str(text: &str) -> Result<Self, EndpointUrlError> {
        if text.contains(['?', '#']) {
            return Err(EndpointUrlError::Query);
        }
        let uri: Uri = text.parse().map_err(|_| EndpointUrlError::NotWeb)?;
        let authority = uri.authority().ok_or(EndpointUrlError::NotWeb)?;
        if authority.as_str().contains('@') {
            return Err(EndpointUrlError::User);
        }
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_host_alone = authority.as_str() == authority.host();
        if !is_web || authority.host().is_empty() || !(is_host_alone || uri.port_u16().is_some()) {
            return Err(EndpointUrlError::NotWeb);
        }
        let base = text.trim_end_matches('/');
        let base = base.strip_suffix(VERSION).unwrap_or(base).trim_end_matches('/');
        Ok(Self(base.into()))
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_to_the_same_paths_with_and_without_the_version() {
        for (text, chat) in [
            (
                "https://api.example.com/v1",
                "https://api.example.com/v1/chat/completions",
            ),
            (
                "https://api.example.com/v1/",
                "https://api.example.com/v1/chat/completions",
            ),
            ("https://api.example.com", "https://api.example.com/v1/chat/completions"),
            (
                "http://vllm.models.svc:8000/",
                "http://vllm.models.svc:8000/v1/chat/completions",
            ),
            (
                "https://example.com/openai/v1",
                "https://example.com/openai/v1/chat/completions",
            ),
            (
                "https://example.com/openai/",
                "https://example.com/openai/v1/chat/completions",
            ),
            ("http://[fd00::1]:8000/v1", "http://[fd00::1]:8000/v1/chat/completions"),
        ] {
            let url: EndpointUrl = text.parse().unwrap_or_else(|error| panic!("{text} {error}"));
            assert_eq!(url.of(Endpoint::ChatCompletions), chat, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_or_would_show_a_secret_is_refused() {
        for (text, error) in [
            ("api.example.com/v1", EndpointUrlError::NotWeb),
            ("ftp://api.example.com", EndpointUrlError::NotWeb),
            ("https://", EndpointUrlError::NotWeb),
            ("https://host:99999/v1", EndpointUrlError::NotWeb),
            ("https://a b/v1", EndpointUrlError::NotWeb),
            ("https://me:key@api.example.com/v1", EndpointUrlError::User),
            ("https://api.example.com/v1?key=visible", EndpointUrlError::Query),
            ("https://api.example.com/v1#a", EndpointUrlError::Query),
        ] {
            assert_eq!(text.parse::<EndpointUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn only_plain_http_can_be_read_on_the_way() {
        let is_plain = |text: &str| text.parse::<EndpointUrl>().map(|url| url.is_plain());
        assert_eq!(is_plain("http://vllm:8000"), Ok(true));
        assert_eq!(is_plain("https://vllm:8000"), Ok(false));
    }
}
