//! Data sets of web servers and hubs, good ones and those that give no ranges, change, vanish or refuse.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, LOCATION, RANGE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;

use super::{Compression, Source, SourceError};
use crate::storage::loopback::serve;
use crate::storage::{Credentials, Directories, Side, StoreUri, open_dataset};

const ROWS: &[u8] = b"0123456789";
/// Of a copy.
const COPY_LIMIT: u64 = 10;

/// What a server does.
#[derive(Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that servers do or do not"
)]
struct Behaviour {
    content: &'static [u8],
    etag: Option<&'static str>,
    gives_ranges: bool,
    /// Whether a part says how large the whole is.
    tells_size: bool,
    /// Whether it says how much is to come of a whole file.
    tells_length: bool,
    heeds_if_match: bool,
    /// What it answers instead.
    refuses: Option<StatusCode>,
    /// What a hub calls that.
    hub_code: Option<&'static str>,
    /// Where it sends everybody.
    sends_on_to: Option<String>,
    /// How many answers break off in the middle before one is whole.
    broken_answers: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            content: ROWS,
            etag: Some("\"1\""),
            gives_ranges: true,
            tells_size: true,
            tells_length: true,
            heeds_if_match: true,
            refuses: None,
            hub_code: None,
            sends_on_to: None,
            broken_answers: 0,
        }
    }
}

const WITHOUT_RANGES: fn() -> Behaviour = || Behaviour {
    etag: None,
    gives_ranges: false,
    ..Behaviour::default()
};

struct Asked {
    path: String,
    range: Option<String>,
    authorization: Option<String>,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<(Behaviour, Vec<Asked>)>>);

struct Server {
    address: String,
    shared: Shared,
    scratch: TempDir,
}

impl Server {
    async fn start(behaviour: Behaviour) -> Self {
        let shared = Shared(Arc::new(Mutex::new((behaviour, Vec::new()))));
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        let address = format!("http://{}", serve(router).await);
        let scratch = tempfile::tempdir().unwrap();
        Self {
            address,
            shared,
            scratch,
        }
    }

    fn now(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.0.lock().unwrap().0);
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.0.lock().unwrap().1)
    }

    fn source(&self, vars: &[(&str, &str)]) -> Source {
        open(&format!("{}/a/rows.jsonl", self.address), vars, self.scratch.path())
    }

    fn kept(&self) -> usize {
        std::fs::read_dir(self.scratch.path()).unwrap().count()
    }
}

fn open(uri: &str, vars: &[(&str, &str)], scratch: &Path) -> Source {
    let uri = StoreUri::parse_object(uri).unwrap();
    let vars = vars
        .iter()
        .map(|(name, value)| (format!("DATASET_{name}"), (*value).to_owned()));
    let directories = Directories {
        scratch: Some(scratch),
        copy_limit: Some(COPY_LIMIT),
        ..Directories::default()
    };
    let opened = open_dataset(&uri, &Credentials::from_env(Side::Dataset, vars), directories).unwrap();
    Source::new(
        opened.store.clone(),
        opened.path.clone(),
        uri.to_string(),
        opened.hints(),
    )
    .with_read_bytes(3)
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let headers = request.headers();
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let mut state = shared.0.lock().unwrap();
    state.1.push(Asked {
        path: request.uri().path().to_owned(),
        range: text(RANGE),
        authorization: text(AUTHORIZATION),
    });
    let behaviour = &mut state.0;
    let mut told = HeaderMap::new();
    if let Some(etag) = behaviour.etag {
        told.insert(ETAG, etag.parse().unwrap());
    }
    if let Some(code) = behaviour.hub_code {
        told.insert("x-error-code", code.parse().unwrap());
    }
    if let Some(status) = behaviour.refuses {
        return (status, told, "the server's words").into_response();
    }
    if let Some(location) = &behaviour.sends_on_to {
        told.insert(LOCATION, location.parse().unwrap());
        return (StatusCode::FOUND, told).into_response();
    }
    if behaviour.heeds_if_match && text(IF_MATCH).is_some_and(|tag| Some(tag.as_str()) != behaviour.etag) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let size = behaviour.content.len();
    let range = text(RANGE)
        .filter(|_| behaviour.gives_ranges)
        .map(|range| bounds(&range, size));
    let (status, content) = match range {
        None => (StatusCode::OK, behaviour.content),
        Some((start, _)) if start >= size => {
            told.insert(CONTENT_RANGE, format!("bytes */{size}").parse().unwrap());
            (StatusCode::RANGE_NOT_SATISFIABLE, &b""[..])
        }
        Some((start, end)) => {
            let whole = if behaviour.tells_size {
                size.to_string()
            } else {
                "*".to_owned()
            };
            let range = format!("bytes {start}-{}/{whole}", end - 1);
            told.insert(CONTENT_RANGE, range.parse().unwrap());
            (StatusCode::PARTIAL_CONTENT, &behaviour.content[start..end])
        }
    };
    if behaviour.broken_answers > 0 {
        behaviour.broken_answers -= 1;
        told.insert(CONTENT_LENGTH, (content.len() + 1).into());
        let cut = stream::once(async move { Ok(content) }).chain(stream::once(async { Err("cut off") }));
        return (status, told, Body::from_stream(cut)).into_response();
    }
    if !behaviour.tells_length && status == StatusCode::OK {
        let body = stream::once(async move { Ok::<_, std::io::Error>(content) });
        return (status, told, Body::from_stream(body)).into_response();
    }
    (status, told, content).into_response()
}

/// `bytes=2-4` of a file of `size` bytes.
fn bounds(range: &str, size: usize) -> (usize, usize) {
    let (start, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let last: u64 = last.parse().unwrap();
    let end = usize::try_from(last).map_or(size, |last| size.min(last.saturating_add(1)));
    (start.parse().unwrap(), end)
}

async fn read(source: &Source) -> Result<Vec<u8>, SourceError> {
    let version = source.version().await?;
    let chunks: Vec<_> = source.stream(&version).try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn a_server_with_ranges_is_asked_for_them_and_nothing_is_kept() {
    let server = Server::start(Behaviour::default()).await;
    let source = server.source(&[]);
    assert_eq!(read(&source).await.unwrap(), ROWS);
    assert_eq!(source.read(2..5).await.unwrap(), "234");
    let ranges: Vec<_> = server.asked().into_iter().filter_map(|asked| asked.range).collect();
    let wanted = [
        "bytes=0-0",
        "bytes=0-2",
        "bytes=3-5",
        "bytes=6-8",
        "bytes=9-9",
        "bytes=2-4",
    ];
    assert_eq!(ranges.len(), wanted.len());
    assert!(
        wanted.iter().all(|want| ranges.iter().any(|range| range == want)),
        "{ranges:?}"
    );
    assert_eq!(server.kept(), 0);
}

#[tokio::test]
async fn a_server_without_ranges_is_read_once_to_the_scratch_disk() {
    for tells_length in [true, false] {
        let server = Server::start(Behaviour {
            tells_length,
            ..WITHOUT_RANGES()
        })
        .await;
        let source = server.source(&[]);
        assert_eq!(read(&source).await.unwrap(), ROWS);
        assert_eq!(source.read(2..5).await.unwrap(), "234");
        assert!(matches!(source.read(8..12).await, Err(SourceError::Changed { .. })));
        let whole = server.asked().into_iter().filter(|asked| asked.range.is_none());
        assert_eq!((whole.count(), server.kept()), (1, 1));
        drop(source);
        assert_eq!(server.kept(), 0);
    }
}

#[tokio::test]
async fn a_server_that_says_of_no_part_how_large_the_whole_is_is_read_once() {
    let server = Server::start(Behaviour {
        tells_size: false,
        ..Behaviour::default()
    })
    .await;
    let source = server.source(&[]);
    assert_eq!(read(&source).await.unwrap(), ROWS);
    let whole = server.asked().into_iter().filter(|asked| asked.range.is_none());
    assert_eq!((whole.count(), server.kept()), (1, 1));
}

#[tokio::test]
async fn the_version_of_a_copy_is_its_content() {
    let server = Server::start(WITHOUT_RANGES()).await;
    let version = async || server.source(&[]).version().await.unwrap().to_string();
    let first = version().await;
    assert_eq!(version().await, first);
    server.now(|behaviour| behaviour.content = b"9876543210");
    assert_ne!(version().await, first);
}

#[tokio::test]
async fn a_file_without_bytes_is_one() {
    for behaviour in [Behaviour::default(), WITHOUT_RANGES()] {
        let content = b"";
        let server = Server::start(Behaviour { content, ..behaviour }).await;
        assert_eq!(read(&server.source(&[])).await.unwrap(), b"");
    }
}

#[tokio::test]
async fn a_file_that_vanishes_in_the_middle_is_not_found() {
    let server = Server::start(Behaviour::default()).await;
    let source = server.source(&[]);
    let version = source.version().await.unwrap();
    server.now(|behaviour| behaviour.refuses = Some(StatusCode::NOT_FOUND));
    let read: Result<Vec<_>, _> = source.stream(&version).try_collect().await;
    assert!(matches!(read, Err(SourceError::NotFound { .. })), "{read:?}");
}

#[tokio::test]
async fn a_file_that_changes_in_the_middle_is_told() {
    let changes: [fn(&mut Behaviour); 3] = [
        |now| now.etag = Some("\"2\""),
        |now| (now.etag, now.heeds_if_match) = (Some("\"2\""), false),
        |now| now.content = b"0123",
    ];
    for change in changes {
        let server = Server::start(Behaviour::default()).await;
        let source = server.source(&[]);
        let version = source.version().await.unwrap();
        server.now(change);
        let read: Result<Vec<_>, _> = source.stream(&version).try_collect().await;
        assert!(matches!(read, Err(SourceError::Changed { .. })), "{read:?}");
    }
}

#[tokio::test]
async fn a_server_that_gives_up_ranges_in_the_middle_is_read_from_a_copy() {
    let server = Server::start(Behaviour::default()).await;
    let source = server.source(&[]);
    let version = source.version().await.unwrap();
    server.now(|behaviour| behaviour.gives_ranges = false);
    let chunks: Vec<_> = source.stream(&version).try_collect().await.unwrap();
    assert_eq!((chunks.concat(), server.kept()), (ROWS.to_vec(), 1));
}

#[tokio::test]
async fn refusals_say_what_to_check() {
    let no_key = "no HTTP_BEARER_TOKEN was given by spec.dataset.credentialsSecretRef: \
                  name a Secret with HTTP_BEARER_TOKEN, or HTTP_USERNAME and HTTP_PASSWORD there";
    let key = "check HTTP_BEARER_TOKEN in the Secret of spec.dataset.credentialsSecretRef, and what it may read";
    let token = [("HTTP_BEARER_TOKEN", "visible")];
    for (status, vars, want) in [
        (401, &[][..], format!("does not accept the credentials: {no_key}")),
        (401, &token, format!("does not accept the credentials: {key}")),
        (403, &token, format!("is not permitted: {key}")),
        (404, &[], "does not exist; correct `spec.dataset`".to_owned()),
        (410, &[], "does not exist; correct `spec.dataset`".to_owned()),
        (451, &[], "cannot be read just now".to_owned()),
    ] {
        let refuses = Some(StatusCode::from_u16(status).unwrap());
        let server = Server::start(Behaviour {
            refuses,
            ..Behaviour::default()
        })
        .await;
        let error = server.source(vars).version().await.unwrap_err();
        let told = error.to_string();
        assert!(told.contains(&want), "{status}: {told}");
        assert!(told.contains("/a/rows.jsonl`") && !told.contains("visible"), "{told}");
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_sent_is_refused_before_anybody_is_asked() {
    let server = Server::start(Behaviour::default()).await;
    let source = server.source(&[("HTTP_BEARER_TOKEN", "two\nlines")]);
    let error = source.version().await.unwrap_err();
    assert!(matches!(error, SourceError::Unauthenticated { .. }), "{error:?}");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_asked_for_again() {
    let server = Server::start(Behaviour {
        broken_answers: 1,
        ..Behaviour::default()
    })
    .await;
    assert_eq!(read(&server.source(&[])).await.unwrap(), ROWS);
}

#[tokio::test]
async fn who_asks_is_told_to_the_server_and_to_no_other_that_it_sends_on_to() {
    let there = Server::start(Behaviour::default()).await;
    let sends_on_to = Some(there.address.replace("127.0.0.1", "localhost") + "/signed");
    let here = Server::start(Behaviour {
        sends_on_to,
        ..Behaviour::default()
    })
    .await;
    for (vars, want) in [
        (&[("HTTP_BEARER_TOKEN", "token")][..], "Bearer token"),
        (&[("HTTP_USERNAME", "me"), ("HTTP_PASSWORD", "x")], "Basic bWU6eA=="),
    ] {
        assert_eq!(read(&here.source(vars)).await.unwrap(), ROWS);
        let told = |asked: Vec<Asked>| asked.into_iter().map(|asked| asked.authorization).collect::<Vec<_>>();
        assert!(told(here.asked()).iter().all(|told| told.as_deref() == Some(want)));
        let elsewhere = told(there.asked());
        assert!(
            !elsewhere.is_empty() && elsewhere.iter().all(Option::is_none),
            "{elsewhere:?}"
        );
    }
}

#[tokio::test]
async fn a_hub_is_asked_for_the_file_at_its_revision_with_the_token() {
    let hub = Server::start(Behaviour::default()).await;
    let vars = [("HF_ENDPOINT", hub.address.as_str()), ("HF_TOKEN", "hf_x")];
    let source = open("hf://datasets/org/set@v1/data/rows.jsonl.gz", &vars, hub.scratch.path());
    assert_eq!(source.compression(), Compression::Gzip);
    assert_eq!(source.object(), "hf://datasets/org/set@v1/data/rows.jsonl.gz");
    assert_eq!(read(&source).await.unwrap(), ROWS);
    for asked in hub.asked() {
        assert_eq!(asked.path, "/datasets/org/set/resolve/v1/data/rows.jsonl.gz");
        assert_eq!(asked.authorization.as_deref(), Some("Bearer hf_x"));
    }
}

#[tokio::test]
async fn a_data_set_that_a_hub_does_not_have_or_show_is_told_from_a_refusal() {
    let mistyped =
        "does not exist; correct `spec.dataset`, or upload it and create the job again; if it is not for all to see, ";
    let name = "set HF_TOKEN in the Secret of spec.dataset.credentialsSecretRef";
    let check = "see that HF_TOKEN of the Secret of spec.dataset.credentialsSecretRef may read it";
    let no_token = "is not permitted: no HF_TOKEN was given";
    for (status, hub_code, token, want) in [
        (
            StatusCode::UNAUTHORIZED,
            "RepoNotFound",
            None,
            format!("{mistyped}{name}"),
        ),
        (
            StatusCode::NOT_FOUND,
            "RepoNotFound",
            Some("hf_x"),
            format!("{mistyped}{check}"),
        ),
        (StatusCode::UNAUTHORIZED, "GatedRepo", None, no_token.to_owned()),
    ] {
        let hub = Server::start(Behaviour {
            refuses: Some(status),
            hub_code: Some(hub_code),
            ..Behaviour::default()
        })
        .await;
        let mut vars = vec![("HF_ENDPOINT", hub.address.as_str())];
        vars.extend(token.map(|token| ("HF_TOKEN", token)));
        let source = open("hf://datasets/org/set/rows.jsonl", &vars, hub.scratch.path());
        let told = source.version().await.unwrap_err().to_string();
        assert!(told.contains(&want), "{hub_code}: {told}");
    }
}

const TOO_LARGE: &[u8] = b"0123456789a";

#[tokio::test]
async fn a_copy_that_would_be_larger_than_the_scratch_disk_is_not_made() {
    for tells_length in [true, false] {
        let server = Server::start(Behaviour {
            content: TOO_LARGE,
            tells_length,
            ..WITHOUT_RANGES()
        })
        .await;
        let source = server.source(&[]);
        let error = source.version().await.unwrap_err();
        assert!(matches!(error, SourceError::Scratch { .. }), "{error:?}");
        let told = error.to_string();
        assert!(told.contains("more than the 10 bytes that a copy may take"), "{told}");
        assert!(told.contains("spec.feeder.scratch.sizeLimit"), "{told}");
        assert_eq!(server.kept(), 0);
    }
}

#[tokio::test]
async fn a_server_that_says_how_large_its_file_is_is_asked_again_at_once() {
    let server = Server::start(Behaviour {
        content: TOO_LARGE,
        ..WITHOUT_RANGES()
    })
    .await;
    let source = server.source(&[]);
    source.version().await.unwrap_err();
    server.now(|behaviour| behaviour.content = ROWS);
    assert_eq!(read(&source).await.unwrap(), ROWS);
}

#[tokio::test]
async fn a_file_that_came_for_nothing_is_fetched_again_only_after_a_pause() {
    let server = Server::start(Behaviour {
        content: TOO_LARGE,
        tells_length: false,
        ..WITHOUT_RANGES()
    })
    .await;
    let source = server.source(&[]);
    let first = source.version().await.unwrap_err().to_string();
    let whole = server.asked().into_iter().filter(|asked| asked.range.is_none());
    assert_eq!(whole.count(), 1);
    server.now(|behaviour| behaviour.content = ROWS);
    assert_eq!(source.version().await.unwrap_err().to_string(), first);
    assert!(server.asked().is_empty(), "it is asked in the pause");
    // Not while sockets are waited for: time would go on by itself.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
    assert_eq!(read(&source).await.unwrap(), ROWS);
}

#[tokio::test]
async fn a_copy_that_finds_no_room_is_the_scratch_disks_fault() {
    let server = Server::start(WITHOUT_RANGES()).await;
    let uri = format!("{}/rows.jsonl", server.address);
    let source = open(&uri, &[], &server.scratch.path().join("none"));
    let error = source.version().await.unwrap_err();
    assert!(matches!(error, SourceError::Scratch { .. }), "{error:?}");
    assert!(error.to_string().contains("spec.feeder.scratch.sizeLimit"), "{error}");
}
