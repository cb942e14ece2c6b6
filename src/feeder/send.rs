//! Sends one row to one pod, over a connection that is kept for the next.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::engine::lorax_bodies::{Told, in_openai_form};
use crate::engine::{Answer, Engine, Fault, Outcome, Verdict, classify, lacks_adapter};
use crate::openai::{Endpoint, ResponseBody};

use super::backoff::read_retry_after;
use super::concurrency::work;
use super::memory::{Held, Memory};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer that is larger is none that a row can have.
pub const LARGEST_ANSWER: usize = 64 << 20;
pub(super) const REQUEST_ID: &str = "x-request-id";

/// A request as it goes out.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// Which path.
    pub endpoint: Endpoint,
    /// The body: JSON.
    pub body: Bytes,
    /// Names the request in the server's log.
    pub request_id: &'a str,
}

/// What came back.
#[derive(Debug)]
pub enum Reply {
    /// An answer.
    Answered(Answered),
    /// An answer that is larger than any can be.
    TooLarge,
    /// No whole answer.
    Fault(Fault),
}

/// A whole answer.
#[derive(Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The server's own name for the request.
    pub request_id: Option<String>,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
    /// What it says.
    pub body: ResponseBody,
    /// The memory that it takes.
    pub held: Held,
}

/// The way to one pod: at most one request at a time.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    host: HeaderValue,
    open: Option<Open>,
}

/// Plain HTTP/1.1, as pods are inside the cluster, and without a pool, as each connection has one user.
#[derive(Debug)]
struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
    is_over: bool,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotOpen {
    /// The server takes none, or cannot be reached.
    Refused,
    /// There are no ports, files or memory left for one here.
    Here,
}

impl NotOpen {
    fn of(error: &io::Error) -> Self {
        let of_here = [
            Errno::ADDRNOTAVAIL,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
        ];
        match Errno::from_io_error(error) {
            Some(errno) if of_here.contains(&errno) => Self::Here,
            _ => Self::Refused,
        }
    }
}

impl Connection {
    /// A connection that is opened when it is used.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        // An address is ASCII without spaces.
        let host = HeaderValue::from_str(&address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("server"));
        Self {
            address,
            host,
            open: None,
        }
    }

    /// Sends a request and waits for the whole answer, or for a reason why there is none. A request that is dropped before leaves
    /// no answer behind for the next.
    pub async fn send(&mut self, request: Outgoing<'_>, within: Duration, memory: &Memory) -> Reply {
        let reply = match timeout(within, self.exchange(request, memory)).await {
            Ok(reply) => reply,
            Err(_) => Reply::Fault(Fault::TimedOut),
        };
        match reply {
            Reply::Fault(Fault::ConnectionLost) => Reply::Fault(self.why_lost().await),
            reply => reply,
        }
    }

    async fn exchange(&mut self, request: Outgoing<'_>, memory: &Memory) -> Reply {
        let Some(mut open) = self.take_open().await else {
            return Reply::Fault(Fault::ConnectFailed);
        };
        let request = self.request(request);
        let (reply, is_whole) = open.exchange(request, memory).await;
        if is_whole {
            self.open = Some(open);
        }
        reply
    }

    /// The open connection, or a new one if that was closed meanwhile. `None` when the server takes none.
    async fn take_open(&mut self) -> Option<Open> {
        if let Some(mut open) = self.open.take()
            && open.is_ready().await
        {
            return Some(open);
        }
        let mut open = Open::connect(self.address).await.ok()?;
        open.is_ready().await.then_some(open)
    }

    /// A server that ended takes no connection; one that only closed this one does. Where none can be made from here, nothing is
    /// known of the server.
    async fn why_lost(&self) -> Fault {
        match Open::connect(self.address).await {
            Err(NotOpen::Refused) => Fault::ServerGone,
            Ok(_) | Err(NotOpen::Here) => Fault::ConnectionLost,
        }
    }

    fn request(&self, outgoing: Outgoing<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(outgoing.body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = hyper::Uri::from_static(outgoing.endpoint.path());
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(id) = HeaderValue::from_str(outgoing.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        request
    }
}

impl Open {
    async fn connect(address: SocketAddr) -> Result<Self, NotOpen> {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connected
            .map_err(|_| NotOpen::Refused)?
            .map_err(|error| NotOpen::of(&error))?;
        // Without it, a request's last bytes could wait for an acknowledgement. It works all the same.
        let _ = stream.set_nodelay(true);
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = handshake.map_err(|_| NotOpen::Refused)?;
        Ok(Self {
            sender,
            driver: Box::pin(driver),
            is_over: false,
        })
    }

    async fn is_ready(&mut self) -> bool {
        let Self {
            sender,
            driver,
            is_over,
        } = self;
        driven(driver, is_over, sender.ready()).await.is_ok()
    }

    /// The reply, and whether the connection can be used again.
    async fn exchange(&mut self, request: Request<Full<Bytes>>, memory: &Memory) -> (Reply, bool) {
        let Self {
            sender,
            driver,
            is_over,
        } = self;
        let exchange = async {
            match sender.send_request(request).await {
                Ok(response) => read(response, memory).await,
                Err(_) => Reply::Fault(Fault::ConnectionLost),
            }
        };
        let reply = driven(driver, is_over, exchange).await;
        let is_whole = matches!(reply, Reply::Answered(_)) && !*is_over;
        (reply, is_whole)
    }
}

/// Does the work while the connection's own part, which reads and writes, is done in the same task.
async fn driven<T>(
    driver: &mut Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
    is_over: &mut bool,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        // Before the work, to see what came; after it, to send what it wants sent.
        *is_over = *is_over || driver.as_mut().poll(context).is_ready();
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        if *is_over {
            return Poll::Pending;
        }
        *is_over = driver.as_mut().poll(context).is_ready();
        if *is_over {
            work.as_mut().poll(context)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// Reads an answer to its end, within what memory there is.
pub(super) async fn read<B>(response: Response<B>, memory: &Memory) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let (parts, mut incoming) = response.into_parts();
    let expected = incoming
        .size_hint()
        .exact()
        .and_then(|bytes| usize::try_from(bytes).ok());
    if expected.is_some_and(|bytes| bytes > LARGEST_ANSWER) {
        return Reply::TooLarge;
    }
    let mut held = Held::default();
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else {
            return Reply::Fault(Fault::ConnectionLost);
        };
        let Ok(chunk) = frame.into_data() else { continue };
        let length = body.len() + chunk.len();
        if length > LARGEST_ANSWER {
            return Reply::TooLarge;
        }
        memory.for_answer(&mut held, length).await;
        if body.is_empty() && expected == Some(length) {
            return answered(&parts.headers, parts.status.as_u16(), chunk, held);
        }
        body.extend_from_slice(&chunk);
    }
    answered(&parts.headers, parts.status.as_u16(), body.freeze(), held)
}

fn answered(headers: &HeaderMap, status: u16, body: Bytes, held: Held) -> Reply {
    Reply::Answered(Answered {
        status,
        request_id: text(headers, REQUEST_ID).map(ToOwned::to_owned),
        retry_after: text(headers, RETRY_AFTER.as_str()).and_then(|header| read_retry_after(header, SystemTime::now())),
        body: ResponseBody::new(body),
        held,
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl Answered {
    fn answer(&self) -> Answer<'_> {
        Answer {
            status: self.status,
            body: &self.body,
            retry_after: self.retry_after,
        }
    }
}

impl Reply {
    /// How much work the answer was; at least 1.
    #[must_use]
    pub fn work(&self) -> u64 {
        let Self::Answered(answered) = self else { return 1 };
        let usage = answered.body.usage();
        work(usage.prompt_tokens, usage.completion_tokens)
    }

    /// The reply as `OpenAI`'s servers would have put it, where the engine is known to put it otherwise.
    #[must_use]
    pub fn in_openai_form<'a>(self, engine: Engine, told: impl FnOnce() -> Told<'a>) -> Self {
        match self {
            Self::Answered(mut answered) if engine == Engine::LoRAX => {
                answered.body = ResponseBody::new(in_openai_form(answered.body.into_bytes(), &told()));
                Self::Answered(answered)
            }
            reply => reply,
        }
    }

    /// The HTTP status, of an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(answered) => Some(answered.status),
            Self::TooLarge | Self::Fault(_) => None,
        }
    }

    /// What the reply means for the row.
    #[must_use]
    pub fn verdict(&self, engine: Engine) -> Verdict {
        let outcome = match self {
            Self::TooLarge => return Verdict::RowFailed,
            Self::Fault(fault) => Outcome::Fault(*fault),
            Self::Answered(answered) => Outcome::Answer(answered.answer()),
        };
        classify(engine, outcome)
    }

    /// Whether the server says that it does not have the adapter that the row names.
    #[must_use]
    pub fn lacks_adapter(&self, engine: Engine) -> bool {
        matches!(self, Self::Answered(answered) if lacks_adapter(engine, &answered.answer()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_ports_or_files_here_says_nothing_of_the_server() {
        let why = |errno: Errno| NotOpen::of(&errno.into());
        assert_eq!([Errno::ADDRNOTAVAIL, Errno::MFILE].map(why), [NotOpen::Here; 2]);
        assert_eq!([Errno::CONNREFUSED, Errno::HOSTUNREACH].map(why), [NotOpen::Refused; 2]);
    }
}
