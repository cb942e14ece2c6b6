//! A Hugging Face hub, asked what it says of a model, and for its files.
//!
//! What its answers mean is in `web/meant.rs`.

use std::fmt;

use bytes::Bytes;
use futures::TryStreamExt;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode, Url};

use super::causes::chain;
use super::credentials::{self, Credentials, CredentialsError};
use super::open::HUB;
use super::web::{Authorization, CODE, LONGEST_ANSWER, Request, begins_at, meant};
use crate::engine::repository::most_bytes;

/// More than any answer about a repository needs, in bytes.
const LARGEST: usize = 32 << 20;
/// What it says of them.
const MESSAGE: &str = "x-error-message";

/// A hub, as one who asks it.
#[derive(Clone)]
pub struct ModelHub {
    endpoint: Url,
    token: Option<String>,
}

/// Why a hub does not say what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// It knows the repository, and does not give it to whoever asks; or does not know the token.
    #[error("{0}")]
    Denied(String),
    /// It has no such repository, revision or file; or says so to those who may not see it.
    #[error("{0}")]
    NotFound(String),
    /// It does not answer, or nothing that is understood.
    #[error("{0}")]
    Unreachable(String),
}

impl ModelHub {
    /// The hub that `credentials` name, else huggingface.co.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] for an address that is none.
    pub fn open(credentials: &Credentials) -> Result<Self, CredentialsError> {
        let keys = credentials.keys(&credentials::HUB)?;
        let endpoint = keys.endpoint().unwrap_or(HUB);
        let endpoint =
            Url::parse(endpoint).map_err(|error| keys.bad_value("HF_ENDPOINT", format!("is no URL ({error})")))?;
        Ok(Self {
            endpoint,
            token: keys.get("HF_TOKEN").map(str::to_owned),
        })
    }

    /// Whether it is told who asks.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// What it says of a model's repository: `GET /api/models/REPOSITORY/revision/REVISION`
    /// (<https://huggingface.co/docs/hub/api>).
    ///
    /// # Errors
    ///
    /// [`HubError`].
    pub async fn model(&self, repository: &str, revision: &str) -> Result<Bytes, HubError> {
        let path = ["api", "models"].into_iter().chain(repository.split('/'));
        let request = self.request(path.chain(["revision", revision]))?;
        body(judged(request.any().await)?).await
    }

    /// The same, with size and checksum of each file (`blobs`; `files_metadata` of huggingface_hub's `model_info`).
    ///
    /// # Errors
    ///
    /// [`HubError`].
    pub async fn model_with_files(&self, repository: &str, revision: &str) -> Result<Bytes, HubError> {
        let path = ["api", "models"].into_iter().chain(repository.split('/'));
        let mut url = self.url(path.chain(["revision", revision]))?;
        url.query_pairs_mut().append_pair("blobs", "true");
        body(judged(self.ask(url)?.any().await)?).await
    }

    /// A file of a repository, from a byte on or, where the hub gives no parts, as a whole. What is still to come breaks off after half a minute
    /// of silence.
    ///
    /// # Errors
    ///
    /// [`HubError`].
    pub async fn download(
        &self,
        repository: &str,
        revision: &str,
        file: &str,
        start: u64,
    ) -> Result<Download, HubError> {
        let request = self.request(resolve(repository, revision, file))?;
        let response = judged(request.beginning_at(start).await)?;
        let unknown = || HubError::Unreachable("it does not say which part of a file it gives".to_owned());
        Ok(Download {
            start: begins_at(&response).ok_or_else(unknown)?,
            response,
        })
    }

    /// A small file of a repository: `GET /REPOSITORY/resolve/REVISION/FILE`.
    ///
    /// # Errors
    ///
    /// [`HubError`]; also for a file of more than [`most_bytes`], which is not read to its end.
    pub async fn file(&self, repository: &str, revision: &str, file: &str) -> Result<Bytes, HubError> {
        let request = self.request(resolve(repository, revision, file))?;
        at_most(most_bytes(file), file, judged(request.any().await)?).await
    }

    /// Whether it would give a large file: asked for its first byte.
    ///
    /// # Errors
    ///
    /// [`HubError`].
    pub async fn gives(&self, repository: &str, revision: &str, file: &str) -> Result<(), HubError> {
        let request = self.request(resolve(repository, revision, file))?;
        // The rest is not waited for.
        judged(request.first_byte().await).map(drop)
    }

    fn request<'a>(&self, path: impl Iterator<Item = &'a str>) -> Result<Request, HubError> {
        self.ask(self.url(path)?)
    }

    fn url<'a>(&self, path: impl Iterator<Item = &'a str>) -> Result<Url, HubError> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| HubError::Unreachable("HF_ENDPOINT has no room for a path".to_owned()))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    /// Where it is, without what may be a secret.
    fn shown(&self) -> String {
        let (origin, path) = (self.endpoint.origin(), self.endpoint.path());
        format!("{}{}", origin.ascii_serialization(), path.trim_end_matches('/'))
    }

    fn ask(&self, url: Url) -> Result<Request, HubError> {
        let authorization = match &self.token {
            Some(token) => Authorization::Bearer(token.clone()),
            None => Authorization::None,
        };
        Request::new(url, authorization).map_err(|error| unreachable(&error))
    }
}

/// A file on its way.
#[derive(Debug)]
pub struct Download {
    start: u64,
    response: Response,
}

impl Download {
    /// Where in the file its bytes begin.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The next bytes; none when there are no more, which does not mean that all have come.
    ///
    /// # Errors
    ///
    /// [`HubError`]: the hub broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HubError> {
        let chunk = self.response.chunk().await;
        chunk.map_err(|error| unreachable(&error.without_url()))
    }
}

/// Where it is.
impl fmt::Display for ModelHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for ModelHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelHub")
            .field("endpoint", &self.shown())
            .finish_non_exhaustive()
    }
}

/// The path of a file. Segments are encoded each, so that a slash in a revision is `%2F`, as the hub wants it.
fn resolve<'a>(repository: &'a str, revision: &'a str, file: &'a str) -> impl Iterator<Item = &'a str> {
    let repository = repository.split('/');
    repository.chain(["resolve", revision]).chain(file.split('/'))
}

/// Sorts an answer.
fn judged(answered: object_store::Result<Response>) -> Result<Response, HubError> {
    let response = answered.map_err(|error| match &error {
        // A token that no header takes.
        object_store::Error::Unauthenticated { source, .. } => HubError::Denied(source.to_string()),
        error => unreachable(error),
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let code = text(response.headers(), CODE);
    let said = text(response.headers(), MESSAGE);
    if code.is_none() && said.is_none() {
        // A hub says why. What says nothing is on the way there, or behind it, such as a firewall, or a mirror of files alone.
        return Err(HubError::Unreachable(format!("{status}, which is not said by a hub")));
    }
    let said = format!("{status}{}", said.map(|said| format!(": {said}")).unwrap_or_default());
    Err(match meant(status, response.headers()) {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => HubError::Denied(said),
        StatusCode::NOT_FOUND | StatusCode::GONE => HubError::NotFound(said),
        _ => HubError::Unreachable(said),
    })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())?;
    Some(text[..text.floor_char_boundary(LONGEST_ANSWER)].to_owned())
}

async fn body(response: Response) -> Result<Bytes, HubError> {
    at_most(LARGEST, "its answer", response).await
}

async fn at_most(most: usize, what: &str, response: Response) -> Result<Bytes, HubError> {
    let mut bytes = Vec::new();
    let mut stream = std::pin::pin!(response.bytes_stream());
    while let Some(chunk) = stream
        .try_next()
        .await
        .map_err(|error| unreachable(&error.without_url()))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > most {
            return Err(HubError::Unreachable(format!("{what} has more than {most} bytes")));
        }
    }
    Ok(bytes.into())
}

/// With the causes, as the error itself says only that something failed.
fn unreachable(error: &dyn std::error::Error) -> HubError {
    HubError::Unreachable(chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_hub_has_no_secret() {
        for (endpoint, shown) in [
            ("https://huggingface.co", "https://huggingface.co"),
            ("http://hub.example:8080/mirror/", "http://hub.example:8080/mirror"),
            ("https://user:secret@hub.example/?key=secret", "https://hub.example"),
        ] {
            let endpoint = Url::parse(endpoint).unwrap();
            let hub = ModelHub { endpoint, token: None };
            assert_eq!(hub.to_string(), shown);
            assert!(!format!("{hub:?}").contains("secret"), "{hub:?}");
        }
    }
}
