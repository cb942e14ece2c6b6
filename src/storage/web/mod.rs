//! A file of a web server as an object store that holds nothing else, whatever path is asked for.
//!
//! `request` asks the server for bytes; where it gives no ranges, `copy` keeps the file on the scratch disk, and `pause` is how long it is
//! not fetched again when it found no room there. `object_store`'s own client for HTTP asks by HEAD, which few servers answer alike, and has
//! nothing for servers without ranges.

mod copy;
mod meant;
mod pause;
mod request;

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, Extensions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::OnceCell;

use copy::Copy;
pub(super) use copy::Scratch;
pub(super) use meant::{CODE, meant};
use pause::Pause;
use request::{Answer, Part};
pub(super) use request::{Authorization, LONGEST_ANSWER, Request, begins_at};

/// One file of a server.
pub(super) struct WebFile {
    request: Request,
    scratch: Scratch,
    copy: OnceCell<Copy>,
    pause: Pause,
}

impl WebFile {
    /// What `request` asks for; a copy of it may be kept in `scratch`.
    pub fn new(request: Request, scratch: Scratch) -> Self {
        Self {
            request,
            scratch,
            copy: OnceCell::new(),
            pause: Pause::default(),
        }
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let part = match self.copy.get() {
            Some(copy) => of_copy(copy, &options).await?,
            None => self.of_server(&options).await?,
        };
        check(&options, &part)?;
        let bytes = if options.head { Bytes::new() } else { part.bytes };
        Ok(GetResult {
            meta: ObjectMeta {
                location: path.clone(),
                last_modified: part.facts.last_modified.into(),
                size: part.facts.size,
                e_tag: part.facts.etag,
                version: None,
            },
            range: part.start..part.start + bytes.len() as u64,
            payload: GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed()),
            attributes: Attributes::new(),
            extensions: Extensions::new(),
        })
    }

    /// While the pause lasts, the server is not asked at all: it would begin to send the whole file.
    async fn of_server(&self, options: &GetOptions) -> Result<Part> {
        self.not_paused()?;
        match self.request.send(wanted(options), options.if_match.as_deref()).await? {
            Answer::Part(part) => Ok(part),
            Answer::NoRanges => of_copy(self.copied().await?, options).await,
        }
    }

    async fn copied(&self) -> Result<&Copy> {
        let copying = || async {
            // Several reads may wait for one copy, and the next must not begin another.
            self.not_paused()?;
            Copy::of(&self.request, &self.scratch, &self.pause).await
        };
        self.copy.get_or_try_init(copying).await
    }

    fn not_paused(&self) -> Result<()> {
        match self.pause.lasting() {
            Some(what) => Err(copy::disk(std::io::Error::other(what))),
            None => Ok(()),
        }
    }
}

async fn of_copy(copy: &Copy, options: &GetOptions) -> Result<Part> {
    let facts = copy.facts().clone();
    let range = wanted(options);
    let range = range.start.min(facts.size)..range.end.min(facts.size);
    Ok(Part {
        bytes: copy.read(range.clone()).await?,
        start: range.start,
        facts,
    })
}

/// What is to be asked for. A look at the file is one at its first byte: servers tell its size with that too.
fn wanted(options: &GetOptions) -> Range<u64> {
    match &options.range {
        _ if options.head => 0..1,
        Some(GetRange::Bounded(range)) => range.clone(),
        Some(GetRange::Offset(start)) => *start..u64::MAX,
        // Nobody here asks for the end of a file whose size he does not know.
        Some(GetRange::Suffix(_)) | None => 0..u64::MAX,
    }
}

/// Refuses what is not what was asked for. Many servers take no notice of `If-Match`.
fn check(options: &GetOptions, part: &Part) -> Result<()> {
    let expected = options.if_match.as_ref().filter(|_| !options.head);
    if expected.is_some_and(|expected| part.facts.etag.as_ref() != Some(expected)) {
        return Err(Error::Precondition {
            path: String::new(),
            source: "its entity tag is another one now".into(),
        });
    }
    match &options.range {
        Some(GetRange::Bounded(range)) if part.start != range.start && !options.head => Err(request::failed(format!(
            "the server was asked for the bytes from {} on, and gave those from {} on",
            range.start, part.start
        ))),
        _ => Ok(()),
    }
}

impl fmt::Debug for WebFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebFile")
            .field("url", self.request.url())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for WebFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.url().fmt(f)
    }
}

/// What is only ever read cannot do this.
fn read_only() -> Error {
    Error::NotSupported {
        source: "a file of a web server is only read".into(),
    }
}

#[async_trait]
impl ObjectStore for WebFile {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.get(location, options).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::once(async { Err(read_only()) }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(async { Err(read_only()) }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(read_only())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}
