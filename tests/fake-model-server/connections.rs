//! Connections that can be made to end badly: one of them by a reset, or all at once by a crash.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Connections that may wait to be accepted; Linux cuts it to its own limit.
const BACKLOG: u32 = 4096;
/// Between two tries to take the port again, or to accept when that failed.
const PAUSE: Duration = Duration::from_millis(10);

/// Crashes: all connections are reset, and for a while there is nobody to connect to.
#[derive(Debug, Default)]
pub struct Crashes(Mutex<Life>);

#[derive(Clone, Debug, Default)]
struct Life {
    /// Cancelled when it ends.
    over: CancellationToken,
    /// How long nobody listens after the life before this one.
    down: Duration,
}

impl Crashes {
    /// Crashes now.
    pub fn crash(&self, down: Duration) {
        let next = Life {
            over: CancellationToken::new(),
            down,
        };
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), next);
        before.over.cancel();
    }

    fn life(&self) -> Life {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes a port without listening on it yet.
pub fn take_port(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Begins to listen on a port.
pub fn listen(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)
}

/// Accepts connections, but for the time after a crash.
pub struct Listener {
    address: SocketAddr,
    /// None while it is down.
    listening: Option<TcpListener>,
    crashes: Arc<Crashes>,
    life: Life,
}

impl Listener {
    pub fn new(listening: TcpListener, crashes: Arc<Crashes>) -> io::Result<Self> {
        Ok(Self {
            address: listening.local_addr()?,
            listening: Some(listening),
            life: crashes.life(),
            crashes,
        })
    }

    async fn accept_one(&mut self) -> io::Result<(Connection, SocketAddr)> {
        if let Some(listening) = &self.listening
            && !self.life.over.is_cancelled()
        {
            tokio::select! {
                accepted = listening.accept() => {
                    let (stream, peer) = accepted?;
                    stream.set_nodelay(true)?;
                    return Ok((Connection::new(stream, &self.life.over), peer));
                }
                () = self.life.over.cancelled() => {}
            }
        }
        // Who waits to be accepted is reset with the port.
        self.listening = None;
        self.life = self.crashes.life();
        // At once, or somebody else may be given it.
        let port = take_port(self.address)?;
        sleep(self.life.down).await;
        self.listening = Some(listen(port)?);
        Err(io::Error::other("this was no connection, but a crash"))
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.accept_one().await {
                Ok(accepted) => return accepted,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// How the end of one connection is decided.
#[derive(Clone, Debug, Default)]
pub struct ConnectionEnd {
    by_reset: Arc<AtomicBool>,
}

impl ConnectionEnd {
    /// The end will be a reset, whenever it comes.
    pub fn will_be_a_reset(&self) {
        self.by_reset.store(true, Ordering::SeqCst);
    }
}

impl Connected<IncomingStream<'_, Listener>> for ConnectionEnd {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().end.clone()
    }
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    end: ConnectionEnd,
    crash: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    fn new(stream: TcpStream, crash: &CancellationToken) -> Self {
        Self {
            stream,
            end: ConnectionEnd::default(),
            crash: Box::pin(crash.clone().cancelled_owned()),
        }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.crash.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        self.end.will_be_a_reset();
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.end.by_reset.load(Ordering::SeqCst) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A shutdown would send a FIN before the reset.
        if self.end.by_reset.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
