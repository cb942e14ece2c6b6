//! Bodies that do not come as they should: the whole answer is known, and some of it is sent.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response as HttpResponse, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use tokio::time::sleep;

use super::connections::ConnectionEnd;
use super::script::Cut;

/// Pieces of a body that comes slowly.
const PIECES: usize = 4;
/// Between the first part of a body and the end of its connection, so that the part is on its way.
const BEFORE_THE_END: Duration = Duration::from_millis(20);

/// The answer's first half, of a body without a known length, and then the end of the connection.
pub fn broken_off() -> Response {
    let parts = [
        Ok(Bytes::from_static(br#"{"id":"chatcmpl-"#)),
        Err(io::Error::other("the row asked for it")),
    ];
    let body = Body::from_stream(stream::iter(parts));
    (
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body,
    )
        .into_response()
}

/// All headers of an answer, its length too, half of its body, and then the end of the connection.
pub async fn cut(response: Response, how: Cut, connection: &ConnectionEnd) -> Response {
    let (mut head, whole) = taken(response).await;
    head.headers_mut().insert(header::CONTENT_LENGTH, whole.len().into());
    if how == Cut::Reset {
        connection.will_be_a_reset();
    }
    let half = whole.slice(..whole.len() / 2);
    let end = async {
        sleep(BEFORE_THE_END).await;
        Err(io::Error::other("the row asked for it"))
    };
    let parts = stream::once(async { Ok(half) }).chain(stream::once(end));
    head.map(|()| Body::from_stream(parts))
}

/// Half of the body, as if that were all.
pub async fn truncated(response: Response) -> Response {
    let (mut head, whole) = taken(response).await;
    head.headers_mut().remove(header::CONTENT_LENGTH);
    head.map(|()| Body::from(whole.slice(..whole.len() / 2)))
}

/// The headers at once, and the body in pieces over this time.
pub async fn slow(response: Response, time: Duration) -> Response {
    let (mut head, whole) = taken(response).await;
    head.headers_mut().insert(header::CONTENT_LENGTH, whole.len().into());
    let step = whole.len().div_ceil(PIECES).max(1);
    let pieces: Vec<Bytes> = (0..whole.len())
        .step_by(step)
        .map(|start| whole.slice(start..whole.len().min(start + step)))
        .collect();
    let pause = time / u32::try_from(pieces.len()).unwrap_or(1).max(1);
    let pieces = stream::iter(pieces).then(move |piece| async move {
        sleep(pause).await;
        Ok::<_, io::Error>(piece)
    });
    head.map(|()| Body::from_stream(pieces))
}

async fn taken(response: Response) -> (HttpResponse<()>, Bytes) {
    let (parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await;
    (
        HttpResponse::from_parts(parts, ()),
        whole.expect("a body of ours is in memory"),
    )
}
