//! One file of a web server, asked for in parts.

use std::ops::Range;
use std::time::SystemTime;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::{Error, Result};
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_MATCH, LAST_MODIFIED, RANGE};
use reqwest::{Client, Response, StatusCode, Url};

use super::meant::meant;
use crate::storage::is_outage;
use crate::storage::network::{FIRST_BACKOFF, LONGEST_BACKOFF, RETRIES, RETRY_FOR, web_client};

/// The most of a refusal's text that is repeated, in bytes: it may be a page of HTML.
pub const LONGEST_ANSWER: usize = 512;

/// What a server is told of who asks. No other host than that of the URI is told, wherever it sends us on to (reqwest's
/// `redirect::remove_sensitive_headers`).
pub enum Authorization {
    None,
    Bearer(String),
    /// A user's name and password.
    Basic(String, String),
}

/// How to ask for a file.
pub struct Request {
    client: Client,
    url: Url,
    authorization: Authorization,
    /// How long an outage is waited for.
    patience: ExponentialBuilder,
}

/// What is known of a file besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// In bytes.
    pub size: u64,
    pub etag: Option<String>,
    /// The beginning of 1970 when the server does not say.
    pub last_modified: SystemTime,
}

/// Some bytes of a file.
#[derive(Debug)]
pub struct Part {
    pub bytes: Bytes,
    /// Where they begin.
    pub start: u64,
    pub facts: Facts,
}

/// What a server says to a request for a part.
#[derive(Debug)]
pub enum Answer {
    /// What was asked for, or as much as there is.
    Part(Part),
    /// Everything, though a part was asked for; or a part of nobody knows how much.
    NoRanges,
}

impl Request {
    /// Asks for `url`.
    ///
    /// # Errors
    ///
    /// There is no certificate to trust anybody by.
    pub fn new(url: Url, authorization: Authorization) -> Result<Self> {
        let client = web_client(&url).map_err(|error| Error::Generic {
            store: STORE,
            source: error.into(),
        })?;
        let patience = ExponentialBuilder::default()
            .with_min_delay(FIRST_BACKOFF)
            .with_max_delay(LONGEST_BACKOFF)
            .with_max_times(RETRIES)
            .with_total_delay(Some(RETRY_FOR))
            .with_jitter();
        Ok(Self {
            client,
            url,
            authorization,
            patience,
        })
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Asks for a part, or for its beginning if the file ends before.
    ///
    /// # Errors
    ///
    /// What the server answered, as `object_store` sorts it.
    pub async fn send(&self, range: Range<u64>, etag: Option<&str>) -> Result<Answer> {
        let mut headers = HeaderMap::new();
        insert(
            &mut headers,
            RANGE,
            &format!("bytes={}-{}", range.start, range.end.saturating_sub(1)),
        )?;
        if let Some(etag) = etag {
            insert(&mut headers, IF_MATCH, etag)?;
        }
        let once = || self.send_once(&headers);
        once.retry(self.patience).when(is_outage).await
    }

    async fn send_once(&self, headers: &HeaderMap) -> Result<Answer> {
        let response = self.ask(headers.clone()).await?;
        let range = response.headers().get(CONTENT_RANGE);
        let range = range.and_then(|range| ContentRange::parse(range.to_str().ok()?));
        let (start, size) = match (response.status(), range) {
            (
                StatusCode::PARTIAL_CONTENT,
                Some(ContentRange {
                    start: Some(start),
                    size,
                }),
            ) => (start, size),
            // Nothing is there to begin with.
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(ContentRange { start: None, size: 0 })) => (0, 0),
            // How large the file is must be known before it is read (RFC 9110, section 14.4, lets a server not know).
            (StatusCode::PARTIAL_CONTENT, None) if of_unknown_size(&response) => return Ok(Answer::NoRanges),
            (StatusCode::PARTIAL_CONTENT, _) => return Err(failed("its Content-Range says no place and size")),
            (StatusCode::OK, _) => return Ok(Answer::NoRanges),
            _ => return Err(refusal(response).await),
        };
        let facts = facts(response.headers(), size);
        let bytes = if size == 0 {
            Bytes::new()
        } else {
            response.bytes().await.map_err(broken)?
        };
        Ok(Answer::Part(Part { bytes, start, facts }))
    }

    /// Asks for everything; the body is still to come.
    ///
    /// # Errors
    ///
    /// What the server answered, as `object_store` sorts it.
    pub async fn whole(&self) -> Result<Response> {
        let once = async || {
            let response = self.ask(HeaderMap::new()).await?;
            match response.status() {
                StatusCode::OK => Ok(response),
                _ => Err(refusal(response).await),
            }
        };
        once.retry(self.patience).when(is_outage).await
    }

    /// Asks for everything, and takes any answer but one that says that the server cannot now.
    ///
    /// # Errors
    ///
    /// The server does not answer, or cannot now.
    pub async fn any(&self) -> Result<Response> {
        self.any_with(&HeaderMap::new()).await
    }

    /// The same for the first byte alone, where the server gives parts.
    ///
    /// # Errors
    ///
    /// The server does not answer, or cannot now.
    pub async fn first_byte(&self) -> Result<Response> {
        let mut headers = HeaderMap::new();
        insert(&mut headers, RANGE, "bytes=0-0")?;
        self.any_with(&headers).await
    }

    /// The same for all from a byte on; where the server gives no parts, or gives another one, everything.
    ///
    /// # Errors
    ///
    /// The server does not answer, or cannot now.
    pub async fn beginning_at(&self, start: u64) -> Result<Response> {
        let mut headers = HeaderMap::new();
        if start > 0 {
            insert(&mut headers, RANGE, &format!("bytes={start}-"))?;
        }
        self.any_with(&headers).await
    }

    async fn any_with(&self, headers: &HeaderMap) -> Result<Response> {
        let once = async || {
            let response = self.ask(headers.clone()).await?;
            match response.status() {
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(refusal(response).await),
                status if status.is_server_error() => Err(refusal(response).await),
                _ => Ok(response),
            }
        };
        once.retry(self.patience).when(is_outage).await
    }

    async fn ask(&self, headers: HeaderMap) -> Result<Response> {
        let request = self.client.get(self.url.clone()).headers(headers);
        let request = match &self.authorization {
            Authorization::None => request,
            Authorization::Bearer(token) => request.bearer_auth(token),
            Authorization::Basic(user, password) => request.basic_auth(user, Some(password)),
        };
        request.send().await.map_err(broken)
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<()> {
    let value = value
        .parse()
        .map_err(|_| failed(format!("`{value}` cannot be a {name}")))?;
    headers.insert(name, value);
    Ok(())
}

/// What the headers of an answer say of a file of `size` bytes.
pub fn facts(headers: &HeaderMap, size: u64) -> Facts {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let modified = text(LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date).ok());
    Facts {
        size,
        etag: text(ETAG).map(str::to_owned),
        last_modified: modified.unwrap_or(SystemTime::UNIX_EPOCH),
    }
}

/// Where the bytes of an answer begin: at the first, unless it says that they are a part.
pub fn begins_at(response: &Response) -> Option<u64> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Some(0);
    }
    let range = response.headers().get(CONTENT_RANGE)?;
    ContentRange::parse(range.to_str().ok()?)?.start
}

/// Whether a part is one of a file whose size the server does not say: `bytes 0-0/*`.
fn of_unknown_size(response: &Response) -> bool {
    let range = response.headers().get(CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with("bytes ") && range.ends_with("/*"))
}

/// `bytes 0-0/10`, or `bytes */10` (RFC 9110, section 14.4).
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    start: Option<u64>,
    size: u64,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let start = match range.split_once('-') {
            Some((start, _)) => Some(start.parse().ok()?),
            None => None,
        };
        let size = size.parse().ok()?;
        Some(Self { start, size })
    }
}

const STORE: &str = "HTTP";

/// A failure of a server that may pass.
pub fn failed(what: impl Into<String>) -> Error {
    let what: Box<dyn std::error::Error + Send + Sync> = what.into().into();
    Error::Generic {
        store: STORE,
        source: what,
    }
}

/// What rustls says of a certificate whose authority it does not know, or only another one of the same name (`rustls::Error`). Unlike other
/// failures to connect it does not pass.
const UNTRUSTED: [&str; 2] = [
    "invalid peer certificate: UnknownIssuer",
    "invalid peer certificate: BadSignature",
];

fn says(error: &dyn std::error::Error, text: &str) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.any(|cause| cause.to_string().contains(text))
}

/// No answer, or not all of one. The text is without the address, which a server that sent us on may have signed.
pub fn broken(error: reqwest::Error) -> Error {
    if error.is_builder() {
        return Error::Unauthenticated {
            path: String::new(),
            source: "they have a character that no header takes".into(),
        };
    }
    if let Some(untrusted) = UNTRUSTED.into_iter().find(|text| says(&error, text)) {
        return failed(format!(
            "the certificate on the way to the server is of an authority that is not trusted here ({untrusted}): trust it by the chart's value \
             hub.caConfigMap, or outside the cluster by SSL_CERT_FILE"
        ));
    }
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    Error::Generic {
        store: STORE,
        source: HttpError::new(kind, error.without_url()).into(),
    }
}

/// Sorts an answer that is none of those that were hoped for, as `object_store` does for clouds.
async fn refusal(response: Response) -> Error {
    let status = response.status();
    let meant = meant(status, response.headers());
    let body = response.text().await.unwrap_or_default();
    let body = &body[..body.floor_char_boundary(LONGEST_ANSWER)];
    // The words of `object_store`'s own clients, which `is_outage` and `is_refused` read.
    let source = format!("the server answered with status code: {status}: {body}").into();
    let path = String::new();
    match meant {
        StatusCode::NOT_FOUND | StatusCode::GONE => Error::NotFound { path, source },
        StatusCode::UNAUTHORIZED => Error::Unauthenticated { path, source },
        StatusCode::FORBIDDEN => Error::PermissionDenied { path, source },
        StatusCode::PRECONDITION_FAILED => Error::Precondition { path, source },
        _ => Error::Generic { store: STORE, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_says_where_bytes_begin_and_how_many_there_are() {
        let range = |start, size| Some(ContentRange { start, size });
        for (text, want) in [
            ("bytes 0-0/10", range(Some(0), 10)),
            ("bytes */0", range(None, 0)),
            ("bytes 0-0/*", None),
            ("rows 0-0/10", None),
            ("bytes x-0/10", None),
        ] {
            assert_eq!(ContentRange::parse(text), want, "{text}");
        }
    }
}
