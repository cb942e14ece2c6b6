//! An S3 that fails as it is told to: a proxy before a real one.
//!
//! Test targets include this folder with `#[path = "../s3-proxy/mod.rs"] mod s3_proxy;` and point a client's endpoint at
//! [`S3Proxy::url`]. Requests pass as they were signed, the `Host` header too, which the store compares with the signature.
//! Start with [`Fault`], what can go wrong, and [`Which`], for which requests.

#![allow(dead_code, reason = "each test target that includes this folder uses a part of it")]

mod faults;
mod request;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

pub use request::Request;

const BACKLOG: u32 = 1024;
/// To take the port again, with a pause between two.
const TRIES: usize = 1000;
const PAUSE: Duration = Duration::from_millis(5);

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status and S3 error code, and the store is not asked: 503 `SlowDown`, 500 `InternalError`,
    /// 403 `RequestTimeTooSkewed`, 507 `InsufficientStorage`.
    Answer(u16, &'static str),
    /// It is taken, and never answered.
    Silence,
    /// It reaches the store late.
    Delay(Duration),
    /// Half of it is taken, and then the connection is reset.
    ResetInRequest,
    /// The store does what it is asked, and half of its answer arrives before the connection is reset.
    ResetInAnswer,
    /// The store does what it is asked, and nothing of its answer arrives.
    AnswerLost,
    /// It is to delete objects, and is answered that this is not permitted for any of them.
    DeletesRefused,
    /// The store takes a put on the condition that there is no such object, and replaces the one that is there.
    ConditionIgnored,
}

/// Which requests a fault befalls: of those that fit, the first so many.
#[derive(Clone, Copy, Debug)]
pub struct Which {
    method: Option<&'static str>,
    of: &'static str,
    times: usize,
    after: usize,
    from_byte: u64,
}

impl Which {
    /// All requests.
    pub fn all() -> Self {
        Self {
            method: None,
            of: "",
            times: usize::MAX,
            after: 0,
            from_byte: 0,
        }
    }

    /// Requests that write objects, parts of them, and their completion.
    pub fn puts() -> Self {
        Self {
            method: Some("PUT"),
            ..Self::all()
        }
    }

    /// Requests that read objects or list them.
    pub fn gets() -> Self {
        Self {
            method: Some("GET"),
            ..Self::all()
        }
    }

    /// Requests that begin uploads in parts and complete them.
    pub fn posts() -> Self {
        Self {
            method: Some("POST"),
            ..Self::all()
        }
    }

    /// Requests to delete several objects.
    pub fn deletes() -> Self {
        Self {
            method: Some("POST"),
            of: "?delete",
            ..Self::all()
        }
    }

    /// Only of objects whose path has this in it.
    pub fn of(self, of: &'static str) -> Self {
        Self { of, ..self }
    }

    /// Only the first so many.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Not the first so many.
    pub fn after(self, after: usize) -> Self {
        Self { after, ..self }
    }

    /// Only reads that begin at this byte of an object or behind it: of reads in parallel, any may come first.
    pub fn behind(self, from_byte: u64) -> Self {
        Self { from_byte, ..self }
    }

    fn fits(&self, request: &Request) -> bool {
        self.method.is_none_or(|method| method == request.method)
            && request.target.contains(self.of)
            && request.first_byte() >= self.from_byte
    }
}

/// A running proxy, until it is dropped.
pub struct S3Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    door: Mutex<Option<Door>>,
}

enum Door {
    Open {
        _accepting: AbortOnDropHandle<()>,
    },
    /// The port is kept, and refuses connections.
    Shut(TcpSocket),
}

struct Shared {
    /// Where the store listens.
    s3: SocketAddr,
    /// Where its objects are files: `/buckets/BUCKET/KEY`, without signatures.
    filer: SocketAddr,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<(Request, Option<Fault>)>>,
    answered: Mutex<Vec<(Request, SystemTime)>>,
}

struct Rule {
    which: Which,
    fault: Fault,
    fitted: usize,
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What befalls a request: the first rule that fits it decides.
    fn decide(&self, request: &Request) -> Option<Fault> {
        let mut fault = None;
        for rule in self.rules().iter_mut().filter(|rule| rule.which.fits(request)) {
            rule.fitted += 1;
            let nth = rule.fitted - rule.which.after.min(rule.fitted);
            if (1..=rule.which.times).contains(&nth) {
                fault = fault.or(Some(rule.fault));
            }
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push((request.clone(), fault));
        fault
    }

    fn note_answer(&self, request: &Request) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.push((request.clone(), SystemTime::now()));
    }
}

impl S3Proxy {
    /// Starts on the current runtime, before a `SeaweedFS` that has its S3 and its filer at these places.
    pub async fn start(s3: SocketAddr, filer: SocketAddr) -> Self {
        Self::listen(([127, 0, 0, 1], 0).into(), s3, filer).await
    }

    /// The same at another address of this machine; port 0 takes a free one.
    pub async fn listen(address: SocketAddr, s3: SocketAddr, filer: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            s3,
            filer,
            rules: Mutex::default(),
            seen: Mutex::default(),
            answered: Mutex::default(),
        });
        let door = Mutex::new(Some(open(listener, &shared)));
        Self { address, shared, door }
    }

    /// The endpoint for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, this befalls those requests. Earlier rules stay, and come first.
    pub fn fail(&self, which: Which, fault: Fault) {
        self.shared.rules().push(Rule {
            which,
            fault,
            fitted: 0,
        });
    }

    /// From now on, requests pass. Those that are not answered stay so.
    pub fn heal(&self) {
        self.shared.rules().clear();
    }

    /// All connections are reset, and new ones are refused.
    pub async fn go_away(&self) {
        drop(self.door().take());
        let port = take(self.address).await;
        *self.door() = Some(Door::Shut(port));
    }

    /// It is there again.
    pub fn come_back(&self) {
        let mut door = self.door();
        *door = match door.take() {
            Some(Door::Shut(port)) => Some(open(port.listen(BACKLOG).unwrap(), &self.shared)),
            open => open,
        };
    }

    /// All requests that came, with what befell them.
    pub fn seen(&self) -> Vec<(Request, Option<Fault>)> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All requests that the store has answered, with when it did.
    pub fn answered(&self) -> Vec<(Request, SystemTime)> {
        let answered = self.shared.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.clone()
    }

    /// How many requests something befell.
    pub fn failed(&self) -> usize {
        self.seen().iter().filter(|(_, fault)| fault.is_some()).count()
    }

    fn door(&self) -> MutexGuard<'_, Option<Door>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a port without listening on it.
async fn take(address: SocketAddr) -> TcpSocket {
    for _ in 0..TRIES {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        if socket.bind(address).is_ok() {
            return socket;
        }
        // The task that listened is gone a moment after it was aborted.
        sleep(PAUSE).await;
    }
    panic!("{address} cannot be taken again");
}

fn open(listener: TcpListener, shared: &Arc<Shared>) -> Door {
    let shared = Arc::clone(shared);
    let accepting = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(connection(stream, Arc::clone(&shared)));
            while connections.try_join_next().is_some() {}
        }
    });
    Door::Open {
        _accepting: AbortOnDropHandle::new(accepting),
    }
}

/// One request. An error is a connection that ended, on either side: there is nobody to tell.
async fn connection(mut stream: TcpStream, shared: Arc<Shared>) {
    // A connection that is not ended well is ended badly.
    let _ = stream.set_zero_linger();
    let Ok(Some(request)) = request::read_head(&mut stream).await else {
        return;
    };
    let fault = shared.decide(&request);
    let _ = faults::pass(&shared, &mut stream, &request, fault).await;
}
